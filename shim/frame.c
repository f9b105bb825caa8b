/*
 * frame - see frame.h. No privileges, no effects.
 */
#include "frame.h"

void frame_head(char head[FRAME_HEAD], enum frame_type type, size_t length) {
    head[0] = (char)type;
    head[1] = (char)(length >> 8);
    head[2] = (char)length;
}

unsigned short frame_number(const char *two_bytes) {
    return (unsigned short)((unsigned char)two_bytes[0] << 8 | (unsigned char)two_bytes[1]);
}

static void give(struct frame_reader *r, const char *bytes, size_t n, frame_fn *fn, void *context) {
    struct frame f = {(enum frame_type)(unsigned char)r->head[0], frame_number(r->head + 1), bytes,
                      n};
    if (f.type == FRAME_WINDOW && f.total == sizeof r->small) {
        for (size_t i = 0; i < n; i++)
            r->small[r->have_small++] = bytes[i];
        f.bytes = r->small;
        f.length = r->have_small;
        if (r->have_small == sizeof r->small)
            fn(context, &f);
        return;
    }
    fn(context, &f);
}

bool frame_read(struct frame_reader *r, const char *bytes, size_t n, frame_fn *fn, void *context) {
    while (n > 0) {
        if (r->have_head < FRAME_HEAD) {
            r->head[r->have_head++] = *bytes++;
            n--;
            if (r->have_head < FRAME_HEAD)
                continue;
            if ((unsigned char)r->head[0] > FRAME_EXIT)
                return false;
            r->left = frame_number(r->head + 1);
            r->have_small = 0;
            if (r->left == 0) {
                give(r, bytes, 0, fn, context);
                r->have_head = 0;
            }
            continue;
        }
        size_t piece = n < r->left ? n : r->left;
        give(r, bytes, piece, fn, context);
        bytes += piece;
        n -= piece;
        r->left -= piece;
        if (r->left == 0)
            r->have_head = 0;
    }
    return true;
}
