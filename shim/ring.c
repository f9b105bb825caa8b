/*
 * ring - see ring.h. No privileges, no effects.
 */
#include "ring.h"

#include <string.h>

size_t ring_room(const struct ring *r) {
    return r->cap - r->len;
}

void ring_put(struct ring *r, const void *bytes, size_t n) {
    size_t at = (r->head + r->len) % r->cap;
    size_t first = n < r->cap - at ? n : r->cap - at;
    memcpy(r->buf + at, bytes, first);
    memcpy(r->buf, (const char *)bytes + first, n - first);
    r->len += n;
}

size_t ring_peek(const struct ring *r, const char **bytes) {
    *bytes = r->buf + r->head;
    return r->len < r->cap - r->head ? r->len : r->cap - r->head;
}

void ring_drop(struct ring *r, size_t n) {
    r->len -= n;
    r->head = r->len == 0 ? 0 : (r->head + n) % r->cap;
}
