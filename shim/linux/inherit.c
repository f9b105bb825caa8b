/*
 * inherit - see inherit.h.
 *
 * Everything is read from /proc of the host and by process numbers; at the end the pidfd tells that
 * the app still lives, so its parent, the pod's init, does too, and no number had changed hands.
 */
#define _GNU_SOURCE
#include "inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>

#include "../fd.h"
#include "../text.h"

#define LIMITS 16 /* RLIM_NLIMITS of the kernel */

/* The layout of sched_setattr(2), version 0; not every libc has it. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

struct traits {
    struct rlimit limits[LIMITS];
    char oom_score[16];
    struct scheduling scheduling;
    cpu_set_t processors;
    long io_priority;
};

static ssize_t read_text(const char *path, char *room, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : fd_read_all(fd, room, size - 1);
    fd_close(&fd);
    room[n > 0 ? n : 0] = '\0';
    return n;
}

/* The number after `key` at the beginning of a line; 0: there is none. */
static pid_t find_pid(const char *path, const char *key) {
    char room[4096];
    uint64_t pid = 0;
    size_t n = strlen(key);
    if (read_text(path, room, sizeof room) <= 0)
        return 0;
    for (char *line = room; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) != 0)
            continue;
        line += n + strspn(line + n, "\t ");
        line[strspn(line, "0123456789")] = '\0';
        return number_parse(line, INT32_MAX, &pid) ? (pid_t)pid : 0;
    }
    return 0;
}

static void path_of(struct text *t, const char *before, uint64_t n, const char *after) {
    text_str(t, before);
    text_num(t, n);
    text_str(t, after);
}

static pid_t find_init(int app) {
    char path[64];
    struct text t = TEXT_ON(path);
    path_of(&t, "/proc/self/fdinfo/", (uint64_t)app, "");
    pid_t pid = find_pid(path, "Pid:");
    t = TEXT_ON(path);
    path_of(&t, "/proc/", (uint64_t)pid, "/status");
    return pid > 0 ? find_pid(path, "PPid:") : 0;
}

static bool lives(int pidfd) {
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

static int look(pid_t init, struct traits *t) {
    char path[64];
    struct text name = TEXT_ON(path);
    for (int i = 0; i < LIMITS; i++) {
        if (syscall(SYS_prlimit64, init, i, NULL, &t->limits[i]) < 0)
            return -errno;
    }
    path_of(&name, "/proc/", (uint64_t)init, "/oom_score_adj");
    ssize_t n = read_text(path, t->oom_score, sizeof t->oom_score);
    if (n < 0)
        return (int)n;
    t->scheduling = (struct scheduling){.size = sizeof t->scheduling};
    if (syscall(SYS_sched_getattr, init, &t->scheduling, sizeof t->scheduling, 0) < 0)
        return -errno;
    CPU_ZERO(&t->processors);
    if (syscall(SYS_sched_getaffinity, init, sizeof t->processors, &t->processors) < 0)
        return -errno;
    t->io_priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, init);
    return 0;
}

static void set_limit(int which, struct rlimit limit) {
    struct rlimit own;
    if (syscall(SYS_prlimit64, 0, which, &limit, NULL) == 0 ||
        syscall(SYS_prlimit64, 0, which, NULL, &own) < 0)
        return;
    if (limit.rlim_max > own.rlim_max)
        limit.rlim_max = own.rlim_max;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    (void)syscall(SYS_prlimit64, 0, which, &limit, NULL);
}

/* What is refused would have been more than the caller has. */
static void adopt(struct traits *t) {
    for (int i = 0; i < LIMITS; i++)
        set_limit(i, t->limits[i]);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)fd_write_all(fd, t->oom_score, strlen(t->oom_score));
    fd_close(&fd);
    (void)syscall(SYS_sched_setaffinity, 0, sizeof t->processors, &t->processors);
    (void)syscall(SYS_sched_setattr, 0, &t->scheduling, 0);
    if (t->io_priority >= 0)
        (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, t->io_priority);
}

int inherit_no_keys(void) {
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) >= 0)
        return 0;
    /* No keyrings here, or none that anybody below us could ask for. */
    return errno == ENOSYS || errno == EPERM ? 0 : -errno;
}

int inherit_from_pod(int app) {
    static struct traits traits;
    pid_t init = find_init(app);
    int r = init > 0 ? look(init, &traits) : -ESRCH;
    if (!lives(app))
        return -ESRCH;
    if (r < 0)
        return r;
    adopt(&traits);
    return inherit_no_keys();
}
