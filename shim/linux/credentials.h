/*
 * credentials - from root with everything to what the plan grants, in one numbered order
 */
#ifndef JETPACK_CREDENTIALS_H
#define JETPACK_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/filter.h>

#include "../plan.h"
#include "../wire.h"
#include "users.h"

/*
 * Runs in the process that becomes the program, after the app's root is its root. On success the
 * next system call must be execve(2): `filter` (or NULL) is in force. Errors: false, see `problem`;
 * the process is then between two identities and must end.
 */
bool credentials_drop(const struct plan_app *app, const struct identity *id, const char *cwd,
                      const struct sock_fprog *filter, bool die_with_parent, struct wire *problem);
/* The capabilities that this process can hand on. */
uint64_t credentials_held(void);
/* Takes all but these from the bounding set. 0 or -errno. */
int credentials_bound(uint64_t keep);

#endif
