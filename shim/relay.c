/*
 * relay - see relay.h.
 */
#define _GNU_SOURCE
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "poller.h"

static struct relay *all;
static unsigned total;

void relay_use(struct relay *relays, unsigned count) {
    all = relays;
    total = count;
}

static void on_readable(unsigned which, short events) {
    struct relay *r = &all[which];
    char chunk[RELAY_PIECE];
    (void)events;
    if (r->from < 0 || ring_room(&r->ring) < sizeof chunk)
        return;
    ssize_t n = read(r->from, chunk, sizeof chunk);
    if (n > 0 && r->to >= 0)
        ring_put(&r->ring, chunk, (size_t)n);
    else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        r->from = -1; /* a pty whose slave is closed says EIO */
}

static void on_writable(unsigned which, short events) {
    struct relay *r = &all[which];
    const char *bytes;
    (void)events;
    if (r->to < 0 || r->ring.len == 0)
        return;
    size_t n = ring_peek(&r->ring, &bytes);
    ssize_t done = write(r->to, bytes, n < RELAY_PIECE ? n : RELAY_PIECE);
    if (done > 0) {
        ring_drop(&r->ring, (size_t)done);
    } else if (done < 0 && errno != EAGAIN && errno != EINTR) {
        r->to = -1;
        r->ring.len = r->ring.head = 0;
    }
}

void relay_watch(struct relay *r, unsigned which) {
    if (which >= total)
        return;
    if (r->from >= 0 && ring_room(&r->ring) >= RELAY_PIECE)
        poller_watch(r->from, POLLIN, on_readable, which);
    if (r->to >= 0 && r->ring.len > 0)
        poller_watch(r->to, POLLOUT, on_writable, which);
}

bool relay_done(const struct relay *r) {
    return r->from < 0 && r->ring.len == 0;
}
