/*
 * netns - see netns.h.
 *
 * The file is asked for its kind through the descriptor that is joined later, so nothing can be
 * put in its place between the look and the use. The host's own is refused: a pod gets that only
 * by `net host`, where everybody can see it.
 */
#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/nsfs.h>

#include "../fd.h"

static bool same_as(const struct stat *st, const char *path) {
    struct stat other;
    return stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

bool netns_open(const struct plan *plan, int *fd, struct problem *problem) {
    struct stat st;
    const char *what = NULL;
    int error = 0;
    *fd = -1;
    if (plan->net_ns == NULL)
        return true;
    /* Not blocking: a FIFO of that name must not hold us. */
    int ns = open(plan->net_ns, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (ns < 0 || fstat(ns, &st) < 0) {
        what = "cannot open the network namespace";
        error = errno;
    } else if (ioctl(ns, NS_GET_NSTYPE) != CLONE_NEWNET) {
        what = "not a network namespace:";
    } else if (same_as(&st, "/proc/self/ns/net") || same_as(&st, "/proc/1/ns/net")) {
        what = "this is the network namespace of the host:";
    }
    if (what == NULL) {
        *fd = ns;
        return true;
    }
    fd_close(&ns);
    problem_set(problem, EXIT_SHIM, "NETWORK_FAILED", what, plan->net_ns, error,
                "see the named ones with `ip netns list`");
    return false;
}
