/*
 * changes - apps that join, start, stop and leave a pod while it runs (plan key `mutable`)
 *
 * Runs in the supervisor, in its event loop, when a client asks. The plan that the pod was started
 * from stays; an app that joins is read from `dir/plan` as it is now, which stage0 has replaced as
 * a whole. Its descriptors, and one of our mount namespace, go to init, which builds the context
 * in a child and starts the app there. What belongs to the app alone (its part of the plan, pipes,
 * log, cgroup) is given back when it leaves.
 *
 * Nothing here ends the pod: what fails is told to whoever asked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../control.h"
#include "../fd.h"
#include "../keep.h"
#include "../load.h"
#include "../poller.h"
#include "../streams.h"
#include "cgroup.h"
#include "own.h"

static KEPT struct plan_memory *memories; /* of each app that joined */
static struct problem problem;

void changes_init(void) {
    if (own.plan.changeable)
        memories = keep_room(PLAN_APPS_MAX * sizeof *memories);
}

static void drop(unsigned app) {
    const char *name = own.plan.apps[app]->name;
    streams_detach(app);
    cgroup_drop(&own.cgroups, app, name);
    pod_drop_app(&own.pod, app);
    own.plan.apps[app] = NULL;
    plan_forget(&memories[app]);
}

/* -- an app that joins ---------------------------------------------------------------------- */

static void give(enum wire_gift gift, int fd) {
    struct wire w = {.kind = WIRE_GIVE, .index = (uint16_t)gift};
    if (own.channel >= 0 && fd >= 0)
        (void)fd_send(own.channel, &w, sizeof w, fd); /* a dead init is seen by its SIGCHLD */
}

/* Everything that init needs; the pipes' ends that are ours are kept. */
static bool hand_over(const struct plan_app *app, int plan_file, unsigned slot) {
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int filter = app->seccomp == NULL
                     ? -1
                     : open(app->seccomp, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    const char *what = host < 0                             ? "cannot open our mount namespace"
                       : app->seccomp != NULL && filter < 0 ? "cannot open the seccomp filter"
                                                            : NULL;
    int error = errno;
    int r = what == NULL ? fd_pipe(out, 0) : 0;
    if (what == NULL && r == 0)
        r = fd_pipe(err, 0);
    if (what == NULL && r < 0) {
        what = "cannot make a pipe";
        error = -r;
    }
    if (what == NULL) {
        give(GIFT_PLAN, plan_file);
        give(GIFT_FILTER, filter);
        give(GIFT_HOST, host);
        give(GIFT_CGROUP, own.cgroups.apps[slot]);
        give(GIFT_OUT, out[1]);
        give(GIFT_ERR, err[1]);
        streams_attach(slot, -1, out[0], err[0]);
    } else {
        problem_set(&problem, EXIT_SHIM, "APP_ADD", what, NULL, error, NULL);
        fd_close(&out[0]);
        fd_close(&err[0]);
    }
    fd_close(&host);
    fd_close(&filter);
    fd_close(&out[1]);
    fd_close(&err[1]);
    return what == NULL;
}

static unsigned free_slot(void) {
    unsigned i = 0;
    while (i < own.plan.app_count && own.plan.apps[i] != NULL)
        i++;
    return i;
}

static bool take_in(int plan_file, const char *name, unsigned slot) {
    static struct plan now;
    struct plan_memory memory;
    if (!plan_read(plan_file, own.plan.dir, &now, &memory, &problem))
        return false;
    size_t place = plan_find(&now, name);
    if (place == now.app_count || strcmp(now.uuid, own.plan.uuid) != 0) {
        plan_forget(&memory);
        problem_set(&problem, EXIT_SHIM, "NO_SUCH_APP", "no such app", NULL, 0, NULL);
        return false;
    }
    if (now.apps[place]->listen != NULL) {
        plan_forget(&memory);
        problem_set(&problem, EXIT_SHIM, "SOCKET_MISSING",
                    "sockets are passed to the apps that the pod was started with, to none that "
                    "joins",
                    NULL, 0, NULL);
        return false;
    }
    memories[slot] = memory;
    own.plan.apps[slot] = now.apps[place];
    if (slot == own.plan.app_count)
        own.plan.app_count++;
    int r = pod_add_app(&own.pod, slot);
    if (r < 0) {
        problem_set(&problem, EXIT_SHIM, "LOG_FAILED", "cannot open the log", NULL, -r, NULL);
    } else if (cgroup_add(&own.plan, &own.cgroups, slot, &problem) &&
               hand_over(now.apps[place], plan_file, slot)) {
        tell_init(WIRE_ADD, slot, (int)place);
        return true;
    }
    drop(slot);
    return false;
}

static bool join(const char *name, unsigned slot) {
    if (slot == PLAN_APPS_MAX) {
        problem_set(&problem, EXIT_SHIM, "TOO_MANY_APPS", "the pod has 64 apps already", NULL, 0,
                    NULL);
        return false;
    }
    int file = openat(own.pod.dir, "plan", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) {
        problem_set(&problem, EXIT_SHIM, "PLAN_UNREADABLE", "cannot open the pod's plan", NULL,
                    errno, NULL);
        return false;
    }
    bool fine = take_in(file, name, slot);
    fd_close(&file);
    return fine;
}

/* -- what a client may ask for -------------------------------------------------------------- */

static const char *refuse_change(void) {
    return !own.plan.changeable                       ? "the pod was not started with --mutable"
           : supervisor_stopping() || own.channel < 0 ? "the pod is stopping"
                                                      : NULL;
}

const char *supervisor_start_app(const char *name, unsigned *app) {
    const char *reason = refuse_change();
    if (reason != NULL)
        return reason;
    unsigned slot = (unsigned)plan_find(&own.plan, name);
    bool joins = slot == own.plan.app_count;
    struct app_run *run = &own.pod.apps[slot];
    if (joins) {
        slot = free_slot();
        if (!join(name, slot))
            return problem.message;
        run = &own.pod.apps[slot];
    } else if (!run->idle) {
        return run->state == APP_EXITED ? "the app is still ending" : "the app runs already";
    } else {
        run->state = APP_CREATED;
        run->pid = 0;
        run->exit = run->signal = 0;
        run->starts = 0;
        run->error[0] = '\0';
        run->started = run->finished = run->ready = (struct timespec){0};
        tell_init(WIRE_START, slot, 0);
    }
    run->idle = false;
    run->kill_at = 0;
    (void)pod_write_app(&own.pod, slot);
    *app = slot;
    return NULL;
}

const char *supervisor_stop_app(const char *name, unsigned grace_ms, unsigned *app) {
    const char *reason = refuse_change();
    unsigned slot = (unsigned)plan_find(&own.plan, name);
    if (reason == NULL && slot == own.plan.app_count)
        reason = "no such app";
    else if (reason == NULL && own.pod.apps[slot].idle)
        reason = "the app does not run";
    if (reason != NULL)
        return reason;
    struct app_run *run = &own.pod.apps[slot];
    long long at = poller_now() + grace_ms;
    if (run->kill_at == 0 || at < run->kill_at)
        run->kill_at = at;
    tell_init(WIRE_STOP_APP, slot, 0);
    *app = slot;
    return NULL;
}

const char *supervisor_forget_app(const char *name, unsigned *app) {
    const char *reason = refuse_change();
    unsigned slot = (unsigned)plan_find(&own.plan, name);
    if (reason == NULL && slot == own.plan.app_count)
        reason = "no such app";
    else if (reason == NULL && !own.pod.apps[slot].idle)
        reason = "the app runs";
    if (reason != NULL)
        return reason;
    tell_init(WIRE_FORGET, slot, 0);
    *app = slot;
    return NULL;
}

/* -- the loop ------------------------------------------------------------------------------- */

void changes_forgotten(unsigned app) {
    char error[sizeof own.pod.apps[app].error];
    if (own.plan.apps[app] == NULL)
        return;
    memcpy(error, own.pod.apps[app].error, sizeof error);
    if (error[0] != '\0')
        (void)pod_write_app(&own.pod, app);
    int exit = own.pod.apps[app].exit;
    drop(app);
    /* One that went away while it was built has neither run nor ended; they wait all the same. */
    control_app_exited(app, exit);
    control_app_idle(app, exit);
    control_app_forgotten(app, error);
}

void changes_watch(void) {
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        struct app_run *run = &own.pod.apps[i];
        if (run->kill_at == 0)
            continue;
        if (poller_now() >= run->kill_at) {
            supervisor_signal(i, SIGKILL);
            run->kill_at = poller_now() + KILL_AGAIN_MS;
        }
        poller_until(run->kill_at);
    }
}
