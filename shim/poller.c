/*
 * poller - see poller.h.
 */
#define _GNU_SOURCE
#include "poller.h"

#include <limits.h>
#include <poll.h>

#include "keep.h"

struct call {
    poller_fn *fn;
    unsigned which;
};

static KEPT struct call *calls;
static KEPT struct pollfd *set;
static KEPT nfds_t max;
static KEPT nfds_t count;
static KEPT long long until;

COLD void poller_init(unsigned watches) {
    max = watches;
    calls = keep_room(max * sizeof *calls);
    set = keep_room(max * sizeof *set);
}

long long poller_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void poller_watch(int fd, short events, poller_fn *fn, unsigned which) {
    if (fd < 0 || count == max)
        return;
    set[count] = (struct pollfd){.fd = fd, .events = events};
    calls[count].fn = fn;
    calls[count].which = which;
    count++;
}

void poller_until(long long deadline_ms) {
    if (deadline_ms > 0 && (until == 0 || deadline_ms < until))
        until = deadline_ms;
}

int poller_left(long long deadline_ms) {
    long long left = deadline_ms - poller_now();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void poller_round(void) {
    int timeout = until == 0 ? -1 : poller_left(until);
    nfds_t n = count;
    int ready = poll(set, n, timeout);
    count = 0;
    until = 0;
    for (nfds_t i = 0; ready > 0 && i < n; i++) {
        if (set[i].revents != 0)
            calls[i].fn(calls[i].which, set[i].revents);
    }
}
