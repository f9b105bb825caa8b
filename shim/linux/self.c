/*
 * self - see self.h.
 *
 * The copy knows that it is one by looking at its own executable's seals, not by an argument or
 * the environment, which a caller could forge.
 */
#define _GNU_SOURCE
#include "self.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fd.h"
#include "../keep.h"
#include "given.h"
#include "sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define OPEN_FILES_MIN 4096

static void repair_signals(void) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int sig = 1; sig <= 64; sig++)
        (void)sigaction(sig, &plain, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int repair_stdio(void) {
    for (int fd = 0; fd < 3; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0) {
            /* Closed: nothing else may ever get this number. */
            if (open("/dev/null", O_RDWR) != fd)
                return -EBADF;
            continue;
        }
        if ((flags & O_NONBLOCK) != 0)
            (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
        if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && fcntl(fd, F_SETFD, 0) < 0)
            return -errno;
    }
    return 0;
}

static void repair_limits(void) {
    struct rlimit files;
    /* 64 apps need some hundred descriptors; the apps themselves get the usual soft limit back. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < OPEN_FILES_MIN ? files.rlim_max : OPEN_FILES_MIN;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int copy_to(int from, int to) {
    struct stat st;
    off_t at = 0;
    if (fstat(from, &st) < 0)
        return -errno;
    while (at < st.st_size) {
        ssize_t n = sendfile(to, from, &at, (size_t)(st.st_size - at));
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
    }
    return fcntl(to, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

static int become_copy(char **argv, char **env) {
    int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    int seals = fcntl(own, F_GET_SEALS);
    if (seals >= 0 && (seals & SEALS) == SEALS) {
        close(own);
        return 0;
    }
    int copy = memfd_create("jetpack-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL) /* before Linux 6.3 */
        copy = memfd_create("jetpack-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = copy < 0 ? -errno : copy_to(own, copy);
    fd_close(&own);
    if (r == 0) {
        fexecve(copy, argv, env);
        r = -errno;
    }
    fd_close(&copy);
    return r;
}

static KEPT char **own_argv;

static void overwrite(char **strings) {
    for (; strings != NULL && *strings != NULL; strings++)
        memset(*strings, 0, strlen(*strings));
}

void self_forget(const char *name) {
    size_t room = own_argv[0] != NULL ? strlen(own_argv[0]) : 0;
    size_t n = strlen(name);
    overwrite(own_argv);
    if (room > 0)
        memcpy(own_argv[0], name, n < room ? n : room);
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

int self_prepare(char **argv) {
    static char *no_env[] = {NULL};
    bool takes = argv[1] != NULL && (strcmp(argv[1], "run") == 0 || strcmp(argv[1], "mds") == 0);
    own_argv = argv;
    int r = repair_stdio();
    if (r == 0)
        r = takes ? given_take() : given_nothing();
    repair_signals();
    repair_limits();
    if (r == 0)
        r = become_copy(argv, takes ? given_env() : no_env);
    if (r == 0)
        r = given_settle();
    if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        r = -errno;
    if (r == 0) /* execve(2) of a descriptor names the process after it */
        (void)prctl(PR_SET_NAME, "jetpack-shim", 0, 0, 0);
    return r;
}
