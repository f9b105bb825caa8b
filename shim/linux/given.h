/*
 * given - what a service manager gives the program that it starts: sockets, and a socket to tell
 *
 * sd_listen_fds(3) and sd_notify(3): LISTEN_FDS, LISTEN_PID and NOTIFY_SOCKET of the environment,
 * and the descriptors from 3 on. Only `run` and `mds` take them.
 */
#ifndef JETPACK_GIVEN_H
#define JETPACK_GIVEN_H

#include <stdbool.h>

#define GIVEN_FIRST 3
#define GIVEN_MAX 64

struct given {
    char notify[108];  /* where to tell; empty: nowhere */
    unsigned sockets;  /* descriptors GIVEN_FIRST and following */
    unsigned too_many; /* that were given beyond GIVEN_MAX, and are closed */
};

extern struct given given;

/*
 * Reads the environment; nothing but 0 to 2 and what was given may be needed of what is open. The
 * sockets of JETPACK_LISTEN_HOLDER, a child of ours that holds them (given_hold), are taken over;
 * all other descriptors are closed. 0 or -errno.
 */
int given_take(void);
/* No sockets and nobody to tell: every descriptor above 2 is closed. */
int given_nothing(void);
/* The part of the environment that given_take() reads, for ourselves after an execve(2). */
char **given_env(void);
/* In the copy: the sockets become CLOEXEC, and no trace of the environment stays. */
int given_settle(void);

/*
 * `jetpack-shim hold`: keeps its descriptors from 3 on until it is killed. A program that cannot
 * pass them through execve(2) itself starts it as a child and then becomes `jetpack-shim run`.
 */
_Noreturn void given_hold(void);

#endif
