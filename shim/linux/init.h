/*
 * init - process 1 of a pod
 */
#ifndef JETPACK_INIT_H
#define JETPACK_INIT_H

#include <stdbool.h>
#include <linux/filter.h>

#include "../plan.h"

/* A listening socket for an app, under the name of its port. */
struct listen_socket {
    int fd;
    const char *name;
};

/* What an app gets from the supervisor. All descriptors are above 2 and CLOEXEC, or -1. */
struct init_app {
    const struct sock_fprog *filter; /* or NULL */
    int in, out, err;                /* the app's ends of the pipes */
    int cgroup;                      /* its folder in the unified hierarchy */
    struct listen_socket *sockets;   /* in the order in which the app gets them */
    unsigned socket_count;
};

struct init {
    struct plan *plan;
    int channel; /* SOCK_SEQPACKET to the supervisor */
    int netns;   /* the network namespace to join, or -1 */
    int notices; /* SOCK_SEQPACKET to the supervisor (notify.h), or -1 */
    bool tty;
    struct init_app *apps; /* as many as plan_room() says */
};

/*
 * The first process in the pod's namespaces, right after clone3(2), all signals blocked. Builds
 * every app's context, leaves the host's mounts, runs pre-start handlers, apps and post-stop
 * handlers, reaps whatever is left to it, and exits when all apps are done. Tells the supervisor
 * each step (wire.h) and dies with it.
 */
_Noreturn void init_main(struct init *init);

#endif
