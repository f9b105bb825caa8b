/*
 * cgroup - see cgroup.h.
 */
#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../fd.h"
#include "../keep.h"
#include "../text.h"

static int put(int dir, const char *file, const char *value) {
    int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    /* One write: the kernel takes a value as a whole. */
    ssize_t n = write(fd, value, strlen(value));
    int r = n < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* Turns on what the settings' files need: `memory.max` needs `+memory`. */
static int enable(int dir, const struct plan_setting *settings) {
    for (const struct plan_setting *s = settings; s != NULL; s = s->next) {
        size_t n = strcspn(s->file, ".");
        char word[64];
        struct text t = TEXT_ON(word);
        if (strncmp(s->file, "cgroup.", 7) == 0)
            continue;
        text_str(&t, "+");
        text_bytes(&t, s->file, n);
        int r = put(dir, "cgroup.subtree_control", word);
        if (r < 0)
            return r;
    }
    return 0;
}

static int apply(int dir, const struct plan_setting *settings, const char **file) {
    for (const struct plan_setting *s = settings; s != NULL; s = s->next) {
        int r = put(dir, s->file, s->value);
        /* A kernel without swap space, or that does not count it, has nothing to limit there. */
        if (r == -ENOENT && strcmp(s->file, "memory.swap.max") == 0)
            continue;
        if (r < 0) {
            *file = s->file;
            return r;
        }
    }
    return 0;
}

static int open_dir(int at, const char *name) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int make_dir(int at, const char *name) {
    if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    return open_dir(at, name);
}

static bool fail(struct problem *problem, const char *what, const char *thing, int error) {
    problem_set(problem, EXIT_SHIM, "CGROUP_FAILED", what, thing, -error,
                "is the parent a writable cgroup v2 with the controllers enabled?");
    return false;
}

void cgroup_none(const struct plan *plan, struct cgroups *g) {
    size_t room = plan_room(plan);
    g->pod = g->init = -1;
    g->apps = keep_room(room * sizeof *g->apps);
    for (size_t i = 0; i < room; i++)
        g->apps[i] = -1;
}

/*
 * The folder of all pods, with its controllers: they are gone after a reboot. What cannot be turned
 * on matters only to those who need it, and they are told.
 */
static void make_parent(const char *path) {
    static const char *const controllers[] = {"+cpu", "+io", "+memory", "+pids"};
    char parent[4096];
    for (int up = 1; up >= 0; up--) { /* first its own parent hands the controllers out, then it */
        struct text t = TEXT_ON(parent);
        text_str(&t, path);
        for (int i = 0; i <= up; i++) {
            char *slash = strrchr(parent, '/');
            if (slash == NULL || slash == parent)
                return;
            *slash = '\0';
        }
        int dir = up == 1 ? open_dir(AT_FDCWD, parent) : make_dir(AT_FDCWD, parent);
        for (size_t i = 0; dir >= 0 && i < sizeof controllers / sizeof controllers[0]; i++)
            (void)put(dir, "cgroup.subtree_control", controllers[i]);
        fd_close(&dir);
    }
}

static bool make_app(const struct plan *plan, struct cgroups *g, unsigned app,
                     struct problem *problem) {
    const char *file = NULL;
    g->apps[app] = make_dir(g->pod, plan->apps[app]->name);
    if (g->apps[app] < 0)
        return fail(problem, "cannot make a cgroup below", plan->cgroup, g->apps[app]);
    int r = apply(g->apps[app], plan->apps[app]->settings, &file);
    return r == 0 || fail(problem, "cannot set the cgroup's", file, r);
}

bool cgroup_create(const struct plan *plan, struct cgroups *g, struct problem *problem) {
    const char *file = NULL;
    if (plan->cgroup == NULL)
        return true;
    make_parent(plan->cgroup);
    g->pod = make_dir(AT_FDCWD, plan->cgroup);
    if (g->pod < 0)
        return fail(problem, "cannot make the cgroup", plan->cgroup, g->pod);
    int r = apply(g->pod, plan->settings, &file);
    if (r < 0)
        return fail(problem, "cannot set the cgroup's", file, r);
    for (unsigned i = 0; i < plan->app_count; i++) {
        r = enable(g->pod, plan->apps[i]->settings);
        if (r < 0)
            return fail(problem, "cannot enable the controllers of the cgroup", plan->cgroup, r);
    }
    /* For memory.events; without the controller an out-of-memory kill is just a kill. */
    (void)put(g->pod, "cgroup.subtree_control", "+memory");
    g->init = make_dir(g->pod, "_init");
    if (g->init < 0)
        return fail(problem, "cannot make a cgroup below", plan->cgroup, g->init);
    for (unsigned i = 0; i < plan->app_count; i++) {
        if (!make_app(plan, g, i, problem))
            return false;
    }
    return true;
}

bool cgroup_add(const struct plan *plan, struct cgroups *g, unsigned app, struct problem *problem) {
    if (plan->cgroup == NULL)
        return true;
    int r = enable(g->pod, plan->apps[app]->settings);
    if (r < 0)
        return fail(problem, "cannot enable the controllers of the cgroup", plan->cgroup, r);
    return make_app(plan, g, app, problem);
}

void cgroup_drop(struct cgroups *g, unsigned app, const char *name) {
    if (g->apps[app] < 0)
        return;
    (void)put(g->apps[app], "cgroup.kill", "1"); /* absent before Linux 5.14 */
    fd_close(&g->apps[app]);
    for (unsigned tries = 0; tries < 50; tries++) {
        const struct timespec pause = {0, 2000000};
        if (unlinkat(g->pod, name, AT_REMOVEDIR) == 0 || errno != EBUSY)
            return;
        nanosleep(&pause, NULL);
    }
}

uint64_t cgroup_oom_kills(const struct cgroups *g, unsigned app) {
    char room[512];
    uint64_t kills = 0;
    int fd = g->apps[app] < 0 ? -1 : openat(g->apps[app], "memory.events", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_all(fd, room, sizeof room - 1);
    fd_close(&fd);
    if (n <= 0)
        return 0;
    room[n] = '\0';
    char *at = strstr(room, "oom_kill ");
    if (at == NULL)
        return 0;
    at += sizeof "oom_kill " - 1;
    at[strcspn(at, "\n")] = '\0';
    return number_parse(at, INT64_MAX, &kills) ? kills : 0;
}

static int remove_all(int parent, const char *name, const struct plan *plan, int pod) {
    int r = 0;
    if (unlinkat(pod, "_init", AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    for (unsigned i = 0; i < plan->app_count; i++) {
        if (plan->apps[i] != NULL && unlinkat(pod, plan->apps[i]->name, AT_REMOVEDIR) < 0 &&
            errno != ENOENT)
            r = -errno;
    }
    if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int cgroup_remove(const struct plan *plan, struct cgroups *g) {
    int r = 0;
    if (plan->cgroup == NULL || g->pod < 0)
        return 0;
    for (size_t i = 0; i < plan_room(plan); i++)
        fd_close(&g->apps[i]);
    fd_close(&g->init);
    (void)put(g->pod, "cgroup.kill",
              "1"); /* absent before Linux 5.14; init took all with it anyway */
    for (unsigned tries = 0; tries < 200; tries++) {
        const struct timespec pause = {0, 10000000};
        r = remove_all(AT_FDCWD, plan->cgroup, plan, g->pod);
        if (r != -EBUSY)
            break;
        nanosleep(&pause, NULL);
    }
    fd_close(&g->pod);
    return r;
}

int cgroup_open(const struct plan *plan, const char *app) {
    if (plan->cgroup == NULL)
        return -1;
    int pod = open_dir(AT_FDCWD, plan->cgroup);
    if (pod < 0)
        return pod;
    int fd = open_dir(pod, app);
    close(pod);
    return fd;
}
