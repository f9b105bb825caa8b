/*
 * detach - the supervisor in the background
 *
 * The parent stays until the daemon tells that every app has been started, prints the pod's UUID
 * and exits 0; or passes the daemon's status on. Until then the daemon keeps our stderr for errors;
 * afterwards it has its own session, / as working directory and /dev/null as 0, 1 and 2.
 */
#ifndef JETPACK_DETACH_H
#define JETPACK_DETACH_H

#include <stdbool.h>

/* In the parent: its exit status, 0 to 255. In the daemon: -1. Without memory or processes: 125. */
int detach_fork(const char *uuid, bool json);
/* Both do nothing in a process that is no daemon, or has told already. */
void detach_ready(void);
void detach_failed(int exit);

#endif
