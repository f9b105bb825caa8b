/*
 * rate - a limit of what goes through the interfaces of a network namespace that the pod joins
 *
 * Going out by a token bucket on every interface (tc-tbf(8)), coming in by a rule that drops what
 * is too much (nft(8)); never on loopback. Both bear the pod's UUID, so that what others have set
 * is neither replaced nor removed: an interface that has a queue of somebody's making is an error.
 */
#ifndef JETPACK_RATE_H
#define JETPACK_RATE_H

#include <stdbool.h>

#include "../plan.h"
#include "../report.h"

/* Before the pod's first process. Errors: false, nothing is limited, and the problem is filled. */
bool rate_begin(const struct plan *plan, int netns, struct problem *problem);
/* After the last one: takes away what rate_begin() made. A namespace that is gone is fine. */
void rate_end(const struct plan *plan);

#endif
