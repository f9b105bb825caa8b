/*
 * netns - a network namespace that somebody else made, for a pod to join
 */
#ifndef JETPACK_NETNS_H
#define JETPACK_NETNS_H

#include <stdbool.h>

#include "../plan.h"
#include "../report.h"

/*
 * Opens the plan's network namespace (CLOEXEC); *fd is -1 when it names none. In the supervisor, in
 * the host's namespaces. False: the problem is filled.
 */
bool netns_open(const struct plan *plan, int *fd, struct problem *problem);

#endif
