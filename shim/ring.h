/*
 * ring - a fixed buffer between a fast and a slow side. Never allocates.
 */
#ifndef JETPACK_RING_H
#define JETPACK_RING_H

#include <stddef.h>

struct ring {
    char *buf;
    size_t cap;
    size_t head; /* of the oldest byte */
    size_t len;
};

size_t ring_room(const struct ring *r);
/* All n bytes must fit. */
void ring_put(struct ring *r, const void *bytes, size_t n);
/* The oldest bytes that lie together. */
size_t ring_peek(const struct ring *r, const char **bytes);
void ring_drop(struct ring *r, size_t n);

#endif
