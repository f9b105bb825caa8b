/*
 * pod - see pod.h.
 *
 * Order of a claim: the folder's flock, which the kernel gives back when the supervisor dies; then
 * `control`, so that whoever sees `running` finds somebody answering; then the marker.
 */
#define _GNU_SOURCE
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "keep.h"

static KEPT const char *came_from; /* the marker that the claim found */

/* A path of at most 108 bytes for a name in a folder that is only a descriptor. */
COLD static void socket_address(struct sockaddr_un *address, int dir, const char *name) {
    struct text t = TEXT_ON(address->sun_path);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    text_str(&t, "/proc/self/fd/");
    text_num(&t, (uint64_t)dir);
    text_str(&t, "/");
    text_str(&t, name);
}

COLD static int bind_control(struct pod *pod) {
    struct sockaddr_un address;
    static const char temporary[] = ".control.new";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)unlinkat(pod->dir, temporary, 0);
    socket_address(&address, pod->dir, temporary);
    mode_t before = umask(0177);
    int r = bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(before);
    if (r == 0 && (listen(fd, 64) < 0 || renameat(pod->dir, temporary, pod->dir, "control") < 0))
        r = -errno;
    if (r < 0) {
        (void)unlinkat(pod->dir, temporary, 0);
        close(fd);
        return r;
    }
    pod->listener = fd;
    return 0;
}

COLD static int take_marker(struct pod *pod) {
    static const char *const from[] = {MARKER_PREPARED, MARKER_EXITED};
    for (size_t i = 0; i < 2; i++) {
        if (renameat(pod->dir, from[i], pod->dir, MARKER_RUNNING) == 0) {
            came_from = from[i];
            return 0;
        }
        if (errno != ENOENT)
            return -errno;
    }
    return -ESTALE;
}

COLD static int subfolder(int dir, const char *name) {
    struct stat st;
    if (mkdirat(dir, name, 0750) == 0) {
        /* Whoever may read the pod may read its status and logs. */
        if (fstat(dir, &st) < 0 ||
            fchownat(dir, name, (uid_t)-1, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
    } else if (errno != EEXIST) {
        return -errno;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

COLD static void read_boot_id(struct pod *pod) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : fd_read_all(fd, pod->boot, sizeof pod->boot - 1);
    pod->boot[n > 0 ? n : 0] = '\0';
    pod->boot[strcspn(pod->boot, "\n")] = '\0';
    fd_close(&fd);
}

/* Should this run be killed before it writes its own, the status must not be that of the last. */
COLD static void forget_last_run(const struct pod *pod) {
    int dir = subfolder(pod->dir, "status");
    if (dir < 0)
        return;
    (void)unlinkat(dir, ".pod", 0);
    for (unsigned i = 0; i < pod->plan->app_count; i++)
        (void)unlinkat(dir, pod->plan->apps[i]->name, 0);
    close(dir);
}

COLD int pod_claim(struct pod *pod) {
    int r;
    pod->listener = pod->status_dir = pod->log_dir = -1;
    pod->exit = -1;
    pod->apps = keep_room(plan_room(pod->plan) * sizeof *pod->apps);
    pod->dir = open(pod->plan->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pod->dir < 0)
        return -errno;
    if (flock(pod->dir, LOCK_EX | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
    else if (faccessat(pod->dir, MARKER_PREPARED, F_OK, 0) < 0 &&
             faccessat(pod->dir, MARKER_EXITED, F_OK, 0) < 0)
        r = -ESTALE;
    else
        r = bind_control(pod);
    if (r == 0) {
        forget_last_run(pod);
        r = take_marker(pod);
        if (r < 0)
            pod_close_control(pod);
    }
    if (r < 0) {
        fd_close(&pod->dir);
        return r;
    }
    pod->status_dir = subfolder(pod->dir, "status");
    pod->log_dir = subfolder(pod->dir, "logs");
    r = pod->status_dir < 0 ? pod->status_dir : pod->log_dir < 0 ? pod->log_dir : 0;
    if (r < 0) {
        pod_unclaim(pod);
        return r;
    }
    pod->supervisor = getpid();
    clock_gettime(CLOCK_REALTIME, &pod->started);
    read_boot_id(pod);
    for (unsigned i = 0; i < pod->plan->app_count; i++) {
        pod->apps[i] = (struct app_run){.app = pod->plan->apps[i]};
        pod->apps[i].log.fd = -1;
    }
    return 0;
}

COLD void pod_unclaim(struct pod *pod) {
    (void)renameat(pod->dir, MARKER_RUNNING, pod->dir, came_from);
    pod_close_control(pod);
    fd_close(&pod->status_dir);
    fd_close(&pod->log_dir);
    fd_close(&pod->dir);
}

COLD void pod_close_control(struct pod *pod) {
    if (pod->listener >= 0)
        (void)unlinkat(pod->dir, "control", 0);
    fd_close(&pod->listener);
}

COLD static int open_log(struct pod *pod, unsigned app) {
    return log_open(&pod->apps[app].log, pod->log_dir, pod->plan->apps[app]->name,
                    pod->plan->log_max, pod->plan->log_keep);
}

COLD int pod_open_logs(struct pod *pod) {
    for (unsigned i = 0; i < pod->plan->app_count; i++) {
        int r = open_log(pod, i);
        if (r < 0)
            return r;
    }
    return 0;
}

COLD int pod_add_app(struct pod *pod, unsigned app) {
    pod->apps[app] = (struct app_run){.app = pod->plan->apps[app], .idle = true};
    pod->apps[app].log.fd = -1;
    return open_log(pod, app);
}

COLD void pod_drop_app(struct pod *pod, unsigned app) {
    fd_close(&pod->apps[app].log.fd);
    pod->apps[app] = (struct app_run){0};
    pod->apps[app].log.fd = -1;
}

static void pair_time(struct text *t, const char *key, struct timespec at) {
    if (at.tv_sec == 0)
        return;
    text_str(t, key);
    text_str(t, "=");
    text_time(t, at);
    text_str(t, "\n");
}

void pod_status_text(const struct pod *pod, struct text *t) {
    text_pair_num(t, "supervisor", (uint64_t)pod->supervisor);
    text_pair_num(t, "init", (uint64_t)pod->init);
    pair_time(t, "started", pod->started);
    pair_time(t, "ready", pod->ready);
    pair_time(t, "finished", pod->finished);
    if (pod->exit >= 0)
        text_pair_num(t, "exit", (uint64_t)pod->exit);
    text_pair(t, "boot", pod->boot);
}

void pod_app_text(const struct app_run *run, struct text *t) {
    static const char *const states[] = {"created", "running", "waiting", "exited"};
    text_pair(t, "state", states[run->state]);
    if (run->pid > 0 && run->state != APP_WAITING)
        text_pair_num(t, "pid", (uint64_t)run->pid);
    pair_time(t, "started", run->started);
    pair_time(t, "ready", run->ready);
    if (run->state != APP_RUNNING)
        pair_time(t, "finished", run->finished);
    if (run->starts > 1)
        text_pair_num(t, "restarts", run->starts - 1);
    if (run->state == APP_EXITED || run->state == APP_WAITING) {
        text_pair_num(t, "exit", (uint64_t)run->exit);
        text_pair_num(t, "signal", (uint64_t)run->signal);
        text_pair(t, "oom", run->oom ? "1" : "0");
        if (run->oom_kills > 0)
            text_pair_num(t, "oom-kills", run->oom_kills);
    }
    if (run->error[0] != '\0')
        text_pair(t, "error", run->error);
}

/* Aside and renamed: a reader sees the old file or the new one. */
static int replace(int dir, const char *name, const struct text *content) {
    char aside[96];
    struct text t = TEXT_ON(aside);
    text_str(&t, ".");
    text_str(&t, name);
    text_str(&t, ".new");
    int fd = openat(dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, content->buf, content->len);
    close(fd);
    if (r == 0 && renameat(dir, aside, dir, name) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir, aside, 0);
    return r;
}

int pod_write_status(const struct pod *pod) {
    char room[512];
    struct text t = TEXT_ON(room);
    pod_status_text(pod, &t);
    return replace(pod->status_dir, ".pod", &t);
}

int pod_write_app(const struct pod *pod, unsigned app) {
    char room[1024];
    struct text t = TEXT_ON(room);
    pod_app_text(&pod->apps[app], &t);
    return replace(pod->status_dir, pod->plan->apps[app]->name, &t);
}

COLD int pod_mark_exited(const struct pod *pod) {
    const struct timespec times[2] = {pod->finished, pod->finished};
    (void)utimensat(pod->dir, MARKER_RUNNING, times, 0);
    return renameat(pod->dir, MARKER_RUNNING, pod->dir, MARKER_EXITED) < 0 ? -errno : 0;
}

COLD int pod_mark_deleting(const struct pod *pod) {
    return renameat(pod->dir, MARKER_EXITED, pod->dir, MARKER_DELETING) < 0 ? -errno : 0;
}
