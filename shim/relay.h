/*
 * relay - bytes between two descriptors through a small buffer, for attach and enter
 *
 * Reads what is there, writes what is taken; a side that is gone ends only its own direction. The
 * descriptors' blocking mode is not changed: reads and writes follow poll(2), and writes to a
 * blocking descriptor are small enough for a pipe that polls as writable.
 */
#ifndef JETPACK_RELAY_H
#define JETPACK_RELAY_H

#include <stdbool.h>

#include "ring.h"

#define RELAY_ROOM 8192
#define RELAY_PIECE 4096 /* PIPE_BUF */

struct relay {
    struct ring ring;
    int from; /* -1: no more comes */
    int to;   /* -1: nobody takes it; what comes is dropped */
};

void relay_watch(struct relay *r, unsigned which);
/* One of the watched relays, by its number; call once with the array. */
void relay_use(struct relay *relays, unsigned count);
bool relay_done(const struct relay *r);

#endif
