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
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
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
#include "credentials.h"
#include "filters.h"
#include "init.h"
#include "sys.h"
#include "trim.h"

#define KILL_AGAIN_MS 1000
/* Beside the three of each app: connections, signals, our own stdio. */
#define WATCHES 64
/* How long the end of a pod waits for a slow terminal before it is recorded. */
#define DRAIN_MS 200

static KEPT struct plan plan;
static KEPT struct pod pod;
static KEPT struct init init;
static KEPT struct cgroups cgroups;
static KEPT struct sock_fprog *filters; /* of each app */
static KEPT struct run_options options;
static KEPT int channel = -1;
static KEPT int signals = -1;
static KEPT bool stopping;
static KEPT long long kill_at; /* 0: no deadline */
static KEPT int status = -1;   /* of the first app that failed */
static KEPT unsigned started;
static KEPT int init_status = -1;
static KEPT bool impatient; /* a signal came after the pod's end */

static void tell_init(enum wire_kind kind, unsigned app, int value) {
    struct wire w = {.kind = (uint8_t)kind, .app = (uint16_t)app, .value = value};
    if (channel >= 0)
        (void)fd_send(channel, &w, sizeof w, -1); /* a dead init is seen by its SIGCHLD */
}

void supervisor_signal(unsigned app, int sig) {
    tell_init(WIRE_SIGNAL, app, sig);
}

void supervisor_stop(unsigned grace_ms) {
    long long at = poller_now() + grace_ms;
    if (kill_at == 0 || at < kill_at)
        kill_at = at;
    if (!stopping || grace_ms > 0)
        tell_init(WIRE_STOP, WIRE_ALL, 0);
    stopping = true;
}

static void app_failed(int exit) {
    if (status < 0)
        status = exit;
    if (!stopping)
        supervisor_stop(plan.stop_grace_ms);
}

/* -- what init tells ------------------------------------------------------------------------ */

static void on_started(unsigned index, pid_t pid) {
    struct app_run *run = &pod.apps[index];
    run->state = APP_RUNNING;
    run->pid = pid;
    clock_gettime(CLOCK_REALTIME, &run->started);
    (void)pod_write_app(&pod, index);
    if (++started == plan.app_count) {
        detach_ready();
        trim();
    }
}

static void app_over(unsigned index) {
    struct app_run *run = &pod.apps[index];
    run->state = APP_EXITED;
    clock_gettime(CLOCK_REALTIME, &run->finished);
    run->oom = cgroup_saw_oom(&cgroups, index);
    (void)pod_write_app(&pod, index);
    streams_drain(index);
    control_app_exited(index, run->exit);
    if (run->exit != 0)
        app_failed(run->exit);
}

static void on_exited(unsigned index, int wait_status) {
    struct app_run *run = &pod.apps[index];
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
    app_over(index);
}

static void on_problem(const struct wire *w) {
    static struct problem problem;
    problem_from_wire(&problem, &plan, w);
    if (w->step == STEP_POST_STOP || w->step == STEP_POST_EXEC) {
        report_note(problem.message, "", "the app's own status stands", options.json);
        return;
    }
    /* The terminal is ours again before something is written to it. */
    terminal_restore();
    report(&problem, options.json);
    if (w->app < plan.app_count) {
        struct app_run *run = &pod.apps[w->app];
        struct text t = TEXT_ON(run->error);
        text_str(&t, problem.message);
        run->exit = problem.exit;
    }
    app_failed(problem.exit);
}

static bool hear_init(void) {
    struct wire w;
    int fd = -1;
    pid_t pid = 0;
    int r = fd_receive(channel, &w, sizeof w, &fd, &pid);
    if (r != 1 || (w.app >= plan.app_count && w.kind != WIRE_PROBLEM)) {
        fd_close(&fd);
        if (r != -EAGAIN)
            fd_close(&channel);
        return false;
    }
    switch (w.kind) {
    case WIRE_TTY:
        if (fd >= 0) {
            unsigned short rows;
            unsigned short columns;
            streams_attach_terminal(fd);
            if (!options.detach && terminal_window(STDIN_FILENO, &rows, &columns))
                streams_window(rows, columns);
            return true;
        }
        break;
    case WIRE_STARTED:
        on_started(w.app, pid);
        break;
    case WIRE_EXITED:
        on_exited(w.app, w.value);
        break;
    case WIRE_DONE:
        pod.apps[w.app].done = true;
        break;
    case WIRE_PROBLEM:
        on_problem(&w);
        break;
    default:
        break;
    }
    fd_close(&fd);
    return true;
}

static void on_channel(unsigned which, short events) {
    (void)which;
    (void)events;
    if (channel >= 0)
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
    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    switch (info.ssi_signo) {
    case SIGCHLD:
        if (init_status < 0 && waitpid(pod.init, &wait_status, WNOHANG) == pod.init)
            init_status = wait_status;
        break;
    case SIGWINCH:
        if (!options.detach && terminal_window(STDIN_FILENO, &rows, &columns))
            streams_window(rows, columns);
        break;
    case SIGTERM:
        impatient = init_status >= 0;
        supervisor_stop(plan.stop_grace_ms);
        break;
    default:
        impatient = init_status >= 0;
        supervisor_signal(WIRE_ALL, (int)info.ssi_signo);
    }
}

static bool catch_signals(void) {
    static const int caught[] = {SIGCHLD, SIGINT,  SIGTERM, SIGHUP,
                                 SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        sigaddset(&set, caught[i]);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals >= 0 && sigprocmask(SIG_SETMASK, &set, NULL) == 0 &&
           sigaction(SIGPIPE, &ignore, NULL) == 0 && sigaction(SIGXFSZ, &ignore, NULL) == 0;
}

/* -- start ---------------------------------------------------------------------------------- */

static bool fail(struct problem *problem, const char *code, const char *what, int error) {
    problem_set(problem, EXIT_SHIM, code, what, NULL, error < 0 ? -error : error, NULL);
    return false;
}

static bool claim(struct problem *problem) {
    int r = pod_claim(&pod);
    if (r == 0)
        return true;
    if (r == -EBUSY)
        problem_set(problem, EXIT_SHIM, "ALREADY_RUNNING", "the pod runs already:", plan.uuid, 0,
                    "look at it with `jetpack status`");
    else if (r == -ESTALE)
        problem_set(problem, EXIT_SHIM, "NOT_PREPARED",
                    "the pod is neither prepared nor exited:", plan.uuid, 0,
                    "look at it with `jetpack status`; `jetpack gc` cleans up after a crash");
    else
        problem_set(problem, EXIT_SHIM, "POD_FOLDER", "cannot use the pod's folder", plan.dir, -r,
                    NULL);
    return false;
}

static bool make_pipes(struct problem *problem) {
    for (unsigned i = 0; i < plan.app_count; i++) {
        struct init_app *a = &init.apps[i];
        int in[2] = {-1, -1};
        int out[2] = {-1, -1};
        int err[2] = {-1, -1};
        int r = 0;
        a->in = a->out = a->err = -1;
        a->cgroup = cgroups.apps[i];
        a->filter = filters[i].len > 0 ? &filters[i] : NULL;
        if (!options.tty) {
            if (options.interactive)
                r = fd_pipe(in, 1);
            if (r == 0)
                r = fd_pipe(out, 0);
            if (r == 0)
                r = fd_pipe(err, 0);
        }
        if (r < 0)
            return fail(problem, "PIPE_FAILED", "cannot make a pipe", r);
        a->in = in[0];
        a->out = out[1];
        a->err = err[1];
        streams_attach(i, in[1], out[0], err[0]);
    }
    return true;
}

static void close_init_ends(void) {
    for (unsigned i = 0; i < plan.app_count; i++) {
        fd_close(&init.apps[i].in);
        fd_close(&init.apps[i].out);
        fd_close(&init.apps[i].err);
    }
    fd_close(&init.channel);
    fd_close(&cgroups.init);
}

static bool start_init(struct problem *problem) {
    int pair[2];
    int on = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail(problem, "SOCKET_FAILED", "cannot make a socket", errno);
    channel = pair[0];
    init.channel = pair[1];
    init.plan = &plan;
    init.tty = options.tty;
    if (setsockopt(channel, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
        int error = errno;
        close_init_ends();
        fd_close(&channel);
        return fail(problem, "SOCKET_FAILED", "cannot make a socket", error);
    }
    struct sys_clone how = {CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
                                (plan.own_net ? (uint64_t)CLONE_NEWNET : 0),
                            cgroups.init};
    pid_t pid = sys_clone3(&how);
    if (pid == 0) {
        fd_close(&channel);
        init_main(&init);
    }
    if (pid < 0) {
        /* Our own copy of init's end would keep us listening for ever. */
        close_init_ends();
        fd_close(&channel);
        problem_set(problem, EXIT_SHIM, "NAMESPACE_FAILED", "cannot make the pod's namespaces",
                    NULL, -pid, "run as root, on a kernel with namespaces");
        return false;
    }
    pod.init = pid;
    close_init_ends();
    return true;
}

static void note_missing_caps(void) {
    uint64_t held = credentials_held();
    for (unsigned i = 0; i < plan.app_count; i++) {
        const struct plan_app *a = plan.apps[i];
        uint64_t missing = (a->caps_root | a->caps_user) & ~held;
        for (unsigned cap = 0; cap < 64; cap++) {
            char word[32];
            struct text t = TEXT_ON(word);
            if ((missing >> cap & 1) == 0)
                continue;
            text_str(&t, "capability ");
            text_num(&t, cap);
            report_note(a->name, word, "this host does not have it to give", options.json);
        }
    }
}

static bool set_up(struct problem *problem) {
    int r = pod_open_logs(&pod);
    if (r < 0)
        return fail(problem, "LOG_FAILED", "cannot open the logs", r);
    if (!cgroup_create(&plan, &cgroups, problem) || !make_pipes(problem))
        return false;
    if (!catch_signals())
        return fail(problem, "SIGNAL_FAILED", "cannot catch signals", errno);
    if (!start_init(problem))
        return false;
    r = pod_write_status(&pod);
    for (unsigned i = 0; r == 0 && i < plan.app_count; i++)
        r = pod_write_app(&pod, i);
    if (r < 0) {
        (void)kill(pod.init, SIGKILL);
        return fail(problem, "STATUS_FAILED", "cannot write the pod's status files", r);
    }
    return true;
}

/* -- the loop and the end ------------------------------------------------------------------- */

static void round_once(void) {
    if (kill_at != 0 && poller_now() >= kill_at) {
        supervisor_signal(WIRE_ALL, SIGKILL);
        kill_at = poller_now() + KILL_AGAIN_MS; /* for the handlers that come next */
    }
    poller_until(kill_at);
    poller_watch(signals, POLLIN, on_signal, 0);
    poller_watch(channel, POLLIN, on_channel, 0);
    streams_watch();
    control_watch();
    poller_round();
}

static void supervise(void) {
    while (init_status < 0)
        round_once();
    while (channel >= 0 && hear_init())
        continue;
    fd_close(&channel);
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
static void settle_apps(void) {
    bool killed = init_status >= 0 && WIFSIGNALED(init_status);
    for (unsigned i = 0; i < plan.app_count; i++) {
        struct app_run *run = &pod.apps[i];
        if (run->state == APP_EXITED)
            continue;
        if (run->state == APP_RUNNING || killed) {
            run->signal = SIGKILL;
            run->exit = 128 + SIGKILL;
        } else if (run->exit == 0) {
            run->exit = EXIT_SHIM;
        }
        app_over(i);
    }
}

static void finish(void) {
    settle_apps();
    pod.exit = status < 0 ? 0 : status;
    clock_gettime(CLOCK_REALTIME, &pod.finished);
    /* The cgroup before the marker: an exited pod may be run again at once. */
    int r = cgroup_remove(&plan, &cgroups);
    if (r < 0)
        report_note("cannot remove the cgroup", plan.cgroup, error_text(-r), options.json);
    r = pod_write_status(&pod);
    if (r == 0)
        r = pod_mark_exited(&pod);
    if (r < 0)
        report_note("cannot record the end of the pod in", plan.dir, error_text(-r), options.json);
    control_pod_exited(pod.exit);
    while (!control_idle())
        round_once();
    pod_close_control(&pod);
    control_close_all();
    terminal_restore();
    commands_run(plan.reap, "reap", options.json);
    while (!streams_idle() && !impatient) {
        round_once();
        streams_drain(WIRE_ALL);
    }
    streams_close_inputs();
    if (options.remove) {
        r = pod_mark_deleting(&pod);
        if (r < 0)
            report_note("cannot mark the pod as deleting in", plan.dir, error_text(-r),
                        options.json);
        else
            commands_run(plan.remove, "remove", options.json);
    }
}

static int refuse(const struct problem *problem) {
    report(problem, options.json);
    detach_failed(problem->exit);
    return problem->exit;
}

int supervisor_run(const char *plan_path, const struct run_options *wanted) {
    static struct problem problem;
    struct streams_setup streams = {0};
    options = *wanted;
    cgroup_none(&cgroups);
    if (!plan_load(plan_path, &plan, &problem))
        return refuse(&problem);
    filters = keep_room(plan.app_count * sizeof *filters);
    init.apps = keep_room(plan.app_count * sizeof *init.apps);
    poller_init((unsigned)plan.app_count * 3 + WATCHES);
    for (unsigned i = 0; i < plan.app_count; i++) {
        if (!filter_load(plan.apps[i], &filters[i], &problem))
            return refuse(&problem);
    }
    if ((options.tty || options.interactive) && plan.app_count > 1) {
        problem_set(&problem, EXIT_SHIM, "SEVERAL_APPS",
                    "--tty and --interactive need a pod of one app", NULL, 0,
                    "run it with --detach, and attach to one of its apps");
        return refuse(&problem);
    }
    int code = options.detach ? detach_fork(plan.uuid, options.json) : -1;
    if (code >= 0)
        return code; /* the parent, when the daemon has told */
    if (chdir("/") < 0)
        return EXIT_SHIM;
    pod.plan = &plan;
    if (!claim(&problem))
        return refuse(&problem);
    note_missing_caps();
    control_init(&pod);
    streams.foreground = !options.detach;
    streams.read_stdin =
        !options.detach && (options.interactive || (options.tty && isatty(0) == 1));
    streams.json = options.json;
    streams_init(&pod, &streams);
    if (set_up(&problem)) {
        if (options.tty && !options.detach)
            (void)terminal_raw(STDIN_FILENO);
    } else {
        report(&problem, options.json);
        status = problem.exit;
        init_status = pod.init > 0 ? init_status : 0;
        if (signals < 0 && !catch_signals())
            return EXIT_SHIM;
    }
    supervise();
    finish();
    detach_failed(pod.exit);
    return pod.exit;
}
