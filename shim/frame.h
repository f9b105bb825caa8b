/*
 * frame - the protocol of an attached client: type, length (big endian, 16 bits), payload
 *
 * The reader takes bytes as they come and hands out pieces of payloads, so it needs no buffer but
 * for the four bytes of a window size. Pure.
 */
#ifndef JETPACK_FRAME_H
#define JETPACK_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#define FRAME_HEAD 3

enum frame_type { FRAME_STDIN, FRAME_STDOUT, FRAME_STDERR, FRAME_WINDOW, FRAME_EXIT };

/* A piece of a frame: `length` bytes of a payload of `total`. */
struct frame {
    enum frame_type type;
    size_t total;
    const char *bytes;
    size_t length;
};

struct frame_reader {
    char head[FRAME_HEAD];
    size_t have_head;
    size_t left;
    char small[4]; /* of a WINDOW frame, given out whole */
    size_t have_small;
};

typedef void frame_fn(void *context, const struct frame *piece);

/* False: an unknown type. */
bool frame_read(struct frame_reader *r, const char *bytes, size_t n, frame_fn *fn, void *context);
void frame_head(char head[FRAME_HEAD], enum frame_type type, size_t length);
unsigned short frame_number(const char *two_bytes);

#endif
