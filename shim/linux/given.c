/*
 * given - see given.h.
 *
 * Node marks every descriptor that it inherits CLOEXEC, so sockets do not survive its execve(2).
 * A child that was started with them holds them meanwhile; its descriptors are taken by number
 * (pidfd_getfd), after making sure that it is a child of ours.
 */
#define _GNU_SOURCE
#include "given.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fd.h"
#include "../text.h"
#include "sys.h"

#define HOLD_S 60

struct given given; /* all zero, and no page of its own, where nothing was given */

extern char **environ;

static char *find(const char *name) {
    size_t n = strlen(name);
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e;
    }
    return NULL;
}

static bool find_number(const char *name, uint64_t *out) {
    const char *pair = find(name);
    return pair != NULL && number_parse(strchr(pair, '=') + 1, INT32_MAX, out);
}

static void read_notify(void) {
    const char *pair = find("NOTIFY_SOCKET");
    const char *path = pair != NULL ? strchr(pair, '=') + 1 : "";
    size_t n = strlen(path);
    /* A path or an abstract name; what else there may be (vsock) is not for this host. */
    if ((path[0] == '/' || path[0] == '@') && n > 1 && n < sizeof given.notify)
        memcpy(given.notify, path, n + 1);
}

/* Sockets that are meant for this very process. */
static void read_sockets(void) {
    uint64_t pid;
    uint64_t count;
    if (!find_number("LISTEN_PID", &pid) || (pid_t)pid != getpid() ||
        !find_number("LISTEN_FDS", &count))
        return;
    given.sockets = count < GIVEN_MAX ? (unsigned)count : GIVEN_MAX;
    given.too_many = (unsigned)count - given.sockets;
}

static int take_over(pid_t holder) {
    siginfo_t info;
    /* Whoever forges the variable does not get our hands into a stranger's files. */
    if (waitid(P_PID, (id_t)holder, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return -errno;
    int pidfd = sys_pidfd_open(holder);
    if (pidfd < 0)
        return pidfd;
    int r = fcntl(pidfd, F_DUPFD_CLOEXEC, GIVEN_FIRST + GIVEN_MAX);
    close(pidfd);
    pidfd = r;
    for (unsigned i = 0; i < given.sockets && r >= 0; i++) {
        int want = GIVEN_FIRST + (int)i;
        int got = sys_pidfd_getfd(pidfd, want);
        r = got < 0 ? got : got != want ? -EBADF : fcntl(got, F_SETFD, 0) < 0 ? -errno : 0;
    }
    fd_close(&pidfd);
    (void)kill(holder, SIGKILL);
    (void)waitpid(holder, NULL, 0);
    return r < 0 ? r : 0;
}

int given_nothing(void) {
    return sys_close_range(GIVEN_FIRST, ~0u, 0);
}

int given_take(void) {
    uint64_t holder = 0;
    read_notify();
    read_sockets();
    if (given.sockets == 0 || find_number("JETPACK_LISTEN_HOLDER", &holder)) {
        int r = given_nothing();
        return r < 0 || given.sockets == 0 ? r : take_over((pid_t)holder);
    }
    for (unsigned i = 0; i < given.sockets; i++) {
        /* Fewer than were told: none is what it seems, and their numbers are not to be trusted. */
        if (fcntl(GIVEN_FIRST + (int)i, F_GETFD) < 0) {
            given.sockets = 0;
            return given_nothing();
        }
    }
    return sys_close_range(GIVEN_FIRST + given.sockets, ~0u, 0);
}

char **given_env(void) {
    static const char *const names[] = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"};
    static char *env[sizeof names / sizeof names[0] + 1];
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *pair = find(names[i]);
        if (pair != NULL)
            env[n++] = pair;
    }
    env[n] = NULL;
    return env;
}

int given_settle(void) {
    for (unsigned i = 0; i < given.sockets; i++) {
        if (fcntl(GIVEN_FIRST + (int)i, F_SETFD, FD_CLOEXEC) < 0)
            return -errno;
    }
    for (char **e = environ; e != NULL && *e != NULL; e++)
        memset(*e, 0, strlen(*e));
    return 0;
}

_Noreturn void given_hold(void) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)alarm(HOLD_S); /* should its parent never come for them */
    for (;;)
        pause();
}
