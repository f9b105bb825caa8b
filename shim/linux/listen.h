/*
 * listen - sockets of the service manager, handed on to the apps that want them (sd_listen_fds(3))
 */
#ifndef JETPACK_LISTEN_H
#define JETPACK_LISTEN_H

#include <stdbool.h>

#include "../plan.h"
#include "../report.h"
#include "init.h"

/*
 * Finds for every `listen` record the given sockets of that protocol and port, by what they are
 * bound to; several may be (an address each). A record without one is an error; a socket that
 * nobody wants is told. All keep their numbers until listen_close().
 */
bool listen_assign(const struct plan *plan, struct init_app *apps, bool json,
                   struct problem *problem);
/* For init, which keeps those for every start of an app. */
bool listen_is_wanted(const struct plan *plan, const struct init_app *apps, int fd);
/* The supervisor's copies, once init has its own. */
void listen_close(void);

#endif
