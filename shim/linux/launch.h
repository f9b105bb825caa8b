/*
 * launch - a freshly forked process becomes the app, a handler, or an entered command
 *
 * The last step of run and of enter alike, so that nothing of an app's isolation can be missing
 * from one of them.
 */
#ifndef JETPACK_LAUNCH_H
#define JETPACK_LAUNCH_H

#include <stdbool.h>
#include <linux/filter.h>

#include "../plan.h"
#include "../wire.h"
#include "init.h"

struct launch {
    const struct plan_app *app;
    struct plan_words argv; /* n == 0: the user's shell */
    struct plan_words env;
    /* enter may choose others than the plan */
    const char *user;
    const char *group;
    const char *cwd;
    const struct sock_fprog *filter; /* or NULL */
    enum wire_step exec_step;        /* what a failing execve(2) is called */
    int namespace_fd;                /* a mount namespace, or a pidfd */
    int namespace_flags;
    bool new_cgroup_ns;
    bool mount_cgroup;
    int in, out, err; /* -1: /dev/null of the app; unused with a terminal */
    int master;       /* the pty's master, whose slave becomes stdin, stdout, stderr; or -1 */
    bool make_master; /* open one in the app's devpts instead, and send it to `send_master` */
    int send_master;
    bool controlling; /* the terminal controls the new session */
    bool die_with_parent;
    bool notify; /* it finds the socket of sd_notify(3) in its environment */
    const struct listen_socket *sockets; /* become 3 and following, with sd_listen_fds(3) */
    unsigned socket_count;
    int report; /* CLOEXEC: a struct wire when it fails, the end of the file when it became the
                   program */
};

/* Call in the child, with all signals blocked. Never returns. */
_Noreturn void launch(const struct launch *l);

#endif
