/*
 * supervisor - `run`: claims the pod, starts its init, carries its output, records its end
 *
 * Runs in the host's namespaces as root. Everything is parsed, allocated and opened before the
 * first clone; afterwards one event loop with fixed buffers. Order: plan, filters, claim, logs,
 * cgroup, pipes, init; loop; then the final files and the marker, `exit=N` to those who wait, the
 * cgroup, `reap`, and with --remove the marker `deleting` and `remove`.
 *
 * Killed at any moment, it takes init and with it the whole pod along (PDEATHSIG), and the kernel
 * gives back the lock of the folder.
 */
#define _GNU_SOURCE
#include "../supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../commands.h"
#include "../control.h"
#include "../detach.h"
#include "../fd.h"
#include "../keep.h"
#include "../load.h"
#include "../poller.h"
#include "../streams.h"
#include "../terminal.h"
#include "cgroup.h"
#include "filters.h"
#include "metadata.h"
#include "listen.h"
#include "own.h"
#include "rate.h"
#include "readiness.h"
#include "trim.h"

/* Beside the three of each app: connections, signals, our own stdio. */
#define WATCHES 48
/* How long the end of a pod waits for a slow terminal before it is recorded. */
#define DRAIN_MS 200

KEPT struct own own = {.channel = -1, .signals = -1};

static KEPT bool stopping;
static KEPT long long kill_at; /* 0: no deadline */
static KEPT int status = -1;   /* of the first app that failed */
static KEPT unsigned started;  /* apps that have run */
static KEPT unsigned expected; /* those that the pod was started with */
static KEPT bool init_ready;
static KEPT bool told_ready;
static KEPT int init_status = -1;
static KEPT bool impatient; /* a signal came after the pod's end */

void tell_init(enum wire_kind kind, unsigned app, int value) {
    struct wire w = {.kind = (uint8_t)kind, .app = (uint16_t)app, .value = value};
    if (own.channel >= 0)
        (void)fd_send(own.channel, &w, sizeof w, -1); /* a dead init is seen by its SIGCHLD */
}

bool supervisor_stopping(void) {
    return stopping;
}

void supervisor_signal(unsigned app, int sig) {
    tell_init(WIRE_SIGNAL, app, sig);
}

void supervisor_stop(unsigned grace_ms) {
    long long at = poller_now() + grace_ms;
    if (kill_at == 0 || at < kill_at)
        kill_at = at;
    if (!stopping || grace_ms > 0)
        tell_init(WIRE_STOP, WIRE_ALL, (int)grace_ms);
    stopping = true;
    readiness_stopping();
}

/* Not of a changeable pod: there the others go on. */
static void pod_failed(int exit) {
    if (status < 0)
        status = exit;
    if (!stopping)
        supervisor_stop(own.plan.stop_grace_ms);
}

/* -- what init tells ------------------------------------------------------------------------ */

static void app_failed(int exit) {
    if (!own.plan.changeable)
        pod_failed(exit);
}

/* Whoever waits for a detached pod is told when init is done with it, and every app has started
 * (or, in a changeable pod, has not: it goes on without). */
static void ready_if(void) {
    if (told_ready || started < expected || (own.plan.changeable && !init_ready))
        return;
    told_ready = true;
    detach_ready();
    trim();
}

static void on_started(unsigned index, pid_t pid) {
    struct app_run *run = &own.pod.apps[index];
    run->state = APP_RUNNING;
    run->pid = pid;
    run->starts++;
    clock_gettime(CLOCK_REALTIME, &run->started);
    readiness_app_started(index);
    (void)pod_write_app(&own.pod, index);
    control_app_started(index);
    if (run->starts == 1) {
        started++;
        ready_if();
    }
}

static void app_ended(unsigned index, enum app_state state) {
    struct app_run *run = &own.pod.apps[index];
    if (run->state != APP_WAITING) {
        uint64_t kills = cgroup_oom_kills(&own.cgroups, index);
        clock_gettime(CLOCK_REALTIME, &run->finished);
        /* A child that was killed is counted, but did not end the app. */
        run->oom = run->signal == SIGKILL && kills > run->oom_kills;
        run->oom_kills = kills;
    }
    run->state = state;
    (void)pod_write_app(&own.pod, index);
    streams_drain(index);
}

static bool all_over(void) {
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        if (own.plan.apps[i] != NULL && own.pod.apps[i].state != APP_EXITED)
            return false;
    }
    return true;
}

static void app_over(unsigned index) {
    const struct app_run *run = &own.pod.apps[index];
    app_ended(index, APP_EXITED);
    control_app_exited(index, run->exit);
    control_app_over(index, run->error);
    if (run->exit != 0)
        app_failed(run->exit);
    else if (!all_over())
        readiness_app_over(index);
    if (own.plan.changeable && run->starts == 0) {
        started++;
        ready_if();
    }
}

static void on_exited(unsigned index, int wait_status, bool again) {
    struct app_run *run = &own.pod.apps[index];
    run->signal = 0;
    if (wait_status < 0) {
        /* Never started: for a reason that a problem told before, or since the pod stops. */
        if (run->exit == 0 && status < 0)
            run->exit = stopping ? 0 : EXIT_SHIM;
    } else if (WIFSIGNALED(wait_status)) {
        run->signal = WTERMSIG(wait_status);
        run->exit = 128 + run->signal;
    } else {
        run->exit = WEXITSTATUS(wait_status);
    }
    if (again)
        app_ended(index, APP_WAITING);
    else
        app_over(index);
}

/* One that waited for its next start will not get it: its last end stands. */
static void on_done(unsigned index) {
    if (own.pod.apps[index].state != APP_EXITED)
        app_over(index);
    own.pod.apps[index].idle = true;
    own.pod.apps[index].kill_at = 0;
    control_app_idle(index, own.pod.apps[index].exit);
}

COLD static void on_problem(const struct wire *w) {
    static struct problem problem;
    problem_from_wire(&problem, &own.plan, w);
    if (w->step == STEP_POST_STOP || w->step == STEP_POST_EXEC) {
        report_note(problem.message, "", "the app's own status stands", own.options.json);
        return;
    }
    if (w->step == STEP_PRE_START && w->index == 1) {
        report_note(problem.message, "", "it is tried again", own.options.json);
        return;
    }
    /* The terminal is ours again before something is written to it. */
    terminal_restore();
    report(&problem, own.options.json);
    bool of_app = w->app < own.plan.app_count;
    if (of_app) {
        struct app_run *run = &own.pod.apps[w->app];
        struct text t = TEXT_ON(run->error);
        text_str(&t, problem.message);
        run->exit = problem.exit;
    }
    if (of_app && init_ready)
        app_failed(problem.exit);
    else
        pod_failed(problem.exit);
}

COLD static void on_note(const struct wire *w) {
    static struct problem problem;
    problem_from_wire(&problem, &own.plan, w);
    report_note(problem.message, "", "the pod starts all the same", own.options.json);
}

static bool hear_init(void) {
    struct wire w;
    int fd = -1;
    pid_t pid = 0;
    int r = fd_receive(own.channel, &w, sizeof w, &fd, &pid);
    if (r != 1 || (w.app >= own.plan.app_count && w.kind != WIRE_PROBLEM &&
                   w.kind != WIRE_METADATA && w.kind != WIRE_READY)) {
        fd_close(&fd);
        if (r != -EAGAIN)
            fd_close(&own.channel);
        return false;
    }
    switch (w.kind) {
    case WIRE_TTY:
        if (fd >= 0) {
            unsigned short rows;
            unsigned short columns;
            streams_attach_terminal(fd);
            if (!own.options.detach && terminal_window(STDIN_FILENO, &rows, &columns))
                streams_window(rows, columns);
            return true;
        }
        break;
    case WIRE_STARTED:
        on_started(w.app, pid);
        break;
    case WIRE_EXITED:
        on_exited(w.app, w.value, w.index == 1);
        break;
    case WIRE_DONE:
        on_done(w.app);
        break;
    case WIRE_READY:
        init_ready = true;
        readiness_look();
        ready_if();
        break;
    case WIRE_FORGOTTEN:
        changes_forgotten(w.app);
        break;
    case WIRE_NOTE:
        on_note(&w);
        break;
    case WIRE_PROBLEM:
        on_problem(&w);
        break;
    case WIRE_METADATA:
        metadata_take(fd, w.value);
        return true;
    default:
        break;
    }
    fd_close(&fd);
    return true;
}

static void on_channel(unsigned which, short events) {
    (void)which;
    (void)events;
    if (own.channel >= 0)
        (void)hear_init();
}

/* -- signals -------------------------------------------------------------------------------- */

static void on_signal(unsigned which, short events) {
    struct signalfd_siginfo info;
    unsigned short rows;
    unsigned short columns;
    int wait_status;
    (void)which;
    (void)events;
    if (read(own.signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        if (init_status < 0 && waitpid(own.pod.init, &wait_status, WNOHANG) == own.pod.init)
            init_status = wait_status;
        metadata_reap();
        break;
    case SIGWINCH:
        if (!own.options.detach && terminal_window(STDIN_FILENO, &rows, &columns))
            streams_window(rows, columns);
        break;
    case SIGTERM:
        impatient = init_status >= 0;
        supervisor_stop(own.plan.stop_grace_ms);
        break;
    case SIGINT:
    case SIGQUIT:
    case SIGHUP:
        if (own.plan.changeable) {
            impatient = init_status >= 0;
            supervisor_stop(own.plan.stop_grace_ms);
            break;
        }
        /* who sends these wants an end, not a new start */
        tell_init(WIRE_SETTLE, WIRE_ALL, 0);
        /* fallthrough */
    default:
        impatient = init_status >= 0;
        supervisor_signal(WIRE_ALL, (int)info.ssi_signo);
    }
}

/* -- the loop and the end ------------------------------------------------------------------- */

static void round_once(void) {
    if (kill_at != 0 && poller_now() >= kill_at) {
        supervisor_signal(WIRE_ALL, SIGKILL);
        kill_at = poller_now() + KILL_AGAIN_MS; /* for the handlers that come next */
    }
    if (own.plan.changeable) /* whose code is not in memory otherwise (trim.c) */
        changes_watch();
    poller_until(kill_at);
    poller_watch(own.signals, POLLIN, on_signal, 0);
    poller_watch(own.channel, POLLIN, on_channel, 0);
    streams_watch();
    control_watch();
    metadata_watch();
    readiness_watch();
    poller_round();
}

static void supervise(void) {
    while (init_status < 0)
        round_once();
    while (own.channel >= 0 && hear_init())
        continue;
    readiness_end();
    fd_close(&own.channel);
    kill_at = 0;
    /* What the apps wrote last is in the pipes; a slow terminal may keep it there for now. */
    long long until = poller_now() + DRAIN_MS;
    streams_drain(WIRE_ALL);
    while (!streams_idle() && poller_now() < until) {
        poller_until(until);
        round_once();
        streams_drain(WIRE_ALL);
    }
}

/* Init was killed, or failed before the apps ran: nobody else tells what became of them. */
COLD static void settle_apps(void) {
    bool killed = init_status >= 0 && WIFSIGNALED(init_status);
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        struct app_run *run = &own.pod.apps[i];
        if (own.plan.apps[i] == NULL || run->state == APP_EXITED)
            continue;
        if (run->state == APP_RUNNING || (killed && run->state == APP_CREATED)) {
            run->signal = SIGKILL;
            run->exit = 128 + SIGKILL;
        } else if (run->state == APP_CREATED && run->exit == 0) {
            run->exit = EXIT_SHIM;
        }
        app_over(i);
    }
}

/*
 * zfs-fuse may wait for a request of a process that was killed, and answer nobody, until somebody
 * uses the file system that it waits for (wake.h). What we write next may be on another one.
 */
COLD static void use_roots(void) {
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        struct statfs s;
        if (own.plan.apps[i] != NULL && own.plan.apps[i]->root_kind == PLAN_DIR)
            (void)statfs(own.plan.apps[i]->root, &s);
    }
}

COLD static void finish(void) {
    use_roots();
    settle_apps();
    metadata_end();
    own.pod.exit = status < 0 ? 0 : status;
    clock_gettime(CLOCK_REALTIME, &own.pod.finished);
    /* The cgroup before the marker: an exited pod may be run again at once. */
    int r = cgroup_remove(&own.plan, &own.cgroups);
    if (r < 0)
        report_note("cannot remove the cgroup", own.plan.cgroup, error_text(-r), own.options.json);
    r = pod_write_status(&own.pod);
    if (r == 0)
        r = pod_mark_exited(&own.pod);
    if (r < 0)
        report_note("cannot record the end of the pod in", own.plan.dir, error_text(-r),
                    own.options.json);
    control_pod_exited(own.pod.exit);
    while (!control_idle())
        round_once();
    pod_close_control(&own.pod);
    control_close_all();
    terminal_restore();
    rate_end(&own.plan);
    commands_run(own.plan.reap, "reap", own.options.json);
    while (!streams_idle() && !impatient) {
        round_once();
        streams_drain(WIRE_ALL);
    }
    streams_close_inputs();
    if (own.options.remove) {
        r = pod_mark_deleting(&own.pod);
        if (r < 0)
            report_note("cannot mark the pod as deleting in", own.plan.dir, error_text(-r),
                        own.options.json);
        else
            commands_run(own.plan.remove, "remove", own.options.json);
    }
}

COLD static int refuse(const struct problem *problem) {
    report(problem, own.options.json);
    detach_failed(problem->exit);
    return problem->exit;
}

int supervisor_run(const char *plan_path, const struct run_options *wanted) {
    static struct problem problem;
    struct streams_setup streams = {0};
    own.options = *wanted;
    if (!plan_load(plan_path, &own.plan, &problem))
        return refuse(&problem);
    own.filters = keep_room(plan_room(&own.plan) * sizeof *own.filters);
    own.init.apps = keep_room(plan_room(&own.plan) * sizeof *own.init.apps);
    poller_init((unsigned)plan_room(&own.plan) * 3 + WATCHES);
    changes_init();
    cgroup_none(&own.plan, &own.cgroups);
    expected = (unsigned)own.plan.app_count;
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        if (!filter_load(own.plan.apps[i], &own.filters[i], &problem))
            return refuse(&problem);
    }
    if ((own.options.tty || own.options.interactive) &&
        (own.plan.app_count > 1 || own.plan.changeable)) {
        problem_set(&problem, EXIT_SHIM, "SEVERAL_APPS",
                    own.plan.changeable ? "--tty and --interactive need a pod that is not mutable"
                                        : "--tty and --interactive need a pod of one app",
                    NULL, 0, "run it with --detach, and attach to one of its apps");
        return refuse(&problem);
    }
    if (!listen_assign(&own.plan, own.init.apps, own.options.json, &problem))
        return refuse(&problem);
    int code = own.options.detach ? detach_fork(own.plan.uuid, own.options.json) : -1;
    if (code >= 0)
        return code; /* the parent, when the daemon has told */
    if (chdir("/") < 0)
        return EXIT_SHIM;
    own.pod.plan = &own.plan;
    if (!start_claim(&problem))
        return refuse(&problem);
    start_note_missing_caps();
    metadata_probe(&own.plan, own.options.json);
    control_init(&own.pod);
    streams.foreground = !own.options.detach;
    streams.read_stdin =
        !own.options.detach && (own.options.interactive || (own.options.tty && isatty(0) == 1));
    streams.json = own.options.json;
    streams_init(&own.pod, &streams);
    if (start_set_up(&problem)) {
        if (own.options.tty && !own.options.detach)
            (void)terminal_raw(STDIN_FILENO);
    } else {
        report(&problem, own.options.json);
        status = problem.exit;
        init_status = own.pod.init > 0 ? init_status : 0;
        if (own.signals < 0 && !start_catch_signals())
            return EXIT_SHIM;
    }
    supervise();
    finish();
    detach_failed(own.pod.exit);
    return own.pod.exit;
}
