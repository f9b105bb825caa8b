/*
 * notice - see notice.h.
 */
#include "notice.h"

#include <string.h>

static bool is(const char *line, size_t n, const char *word) {
    return n == strlen(word) && memcmp(line, word, n) == 0;
}

bool notice_parse(const char *bytes, size_t n, struct notice *out) {
    static const char status[] = "STATUS=";
    const size_t name = sizeof status - 1;
    *out = (struct notice){0};
    if (n > 0 && bytes[n - 1] == '\0')
        n--;
    if (n == 0 || n > NOTICE_MAX || memchr(bytes, '\0', n) != NULL)
        return false;
    for (size_t at = 0; at < n;) {
        const char *line = bytes + at;
        const char *feed = memchr(line, '\n', n - at);
        size_t length = feed != NULL ? (size_t)(feed - line) : n - at;
        if (is(line, length, "READY=1")) {
            out->ready = true;
        } else if (is(line, length, "STOPPING=1")) {
            out->stopping = true;
        } else if (length >= name && memcmp(line, status, name) == 0) {
            out->status = line + name;
            out->length = length - name;
        }
        at += length + 1;
    }
    return true;
}

size_t notice_cut(const char *text, size_t n, size_t max) {
    if (n <= max)
        return n;
    /* The byte at `max` is the first that is left out: it must not continue a sequence. */
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}
