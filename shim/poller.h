/*
 * poller - the set of descriptors that one round of an event loop waits for
 *
 * Built anew for every round, so that what cannot make progress (a full buffer on the other side)
 * is simply not waited for, and cannot spin. Room for a number
 * of watches that the caller knows; one that does not fit waits a round.
 * A callback looks at its own state again: an earlier one in the round may have changed it.
 */
#ifndef JETPACK_POLLER_H
#define JETPACK_POLLER_H

#include <time.h>

typedef void poller_fn(unsigned which, short events);

/* Once, before all else: how many descriptors a round may have. */
void poller_init(unsigned watches);
void poller_watch(int fd, short events, poller_fn *fn, unsigned which);
/* No later than this (CLOCK_MONOTONIC, ms); 0 = never. */
void poller_until(long long deadline_ms);
/* Waits, calls, and forgets all watches. */
void poller_round(void);
long long poller_now(void);
/* The timeout of a poll(2) that ends then. */
int poller_left(long long deadline_ms);

#endif
