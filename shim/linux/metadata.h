/*
 * metadata - how a pod in a network of its own reaches the host's metadata service
 *
 * Init listens inside, the supervisor waits for a first caller, and a relay (metadata-relay.h),
 * which lives only while there are callers, does the carrying. Nothing of it can fail a pod.
 */
#ifndef JETPACK_METADATA_H
#define JETPACK_METADATA_H

#include <stdbool.h>
#include <sys/types.h>

#include "../plan.h"

/* In the supervisor, before the start: tells when the plan wants it told that nobody answers. */
void metadata_probe(const struct plan *plan, bool json);
/* In init, in the pod's network: listens, and sends the socket to the supervisor. */
void metadata_offer(const struct plan *plan, int channel);

/* In the supervisor's loop. */
void metadata_take(int listener, int error);
void metadata_watch(void);
/* Its process, or -errno. */
pid_t metadata_start_relay(int listener);
/* After a SIGCHLD. */
void metadata_reap(void);
/* At the pod's end, before its cgroup goes. */
void metadata_end(void);

#endif
