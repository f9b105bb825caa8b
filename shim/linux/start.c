/*
 * start - a pod from its claim to its init: all that the supervisor does once, before its loop
 *
 * Runs in the host's namespaces as root. Order: the claim; logs, cgroup, pipes, signals, init,
 * status files. Errors: false, and the problem is filled; what was made is taken back at the pod's
 * end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../fd.h"
#include "../streams.h"
#include "../text.h"
#include "cgroup.h"
#include "credentials.h"
#include "listen.h"
#include "netns.h"
#include "rate.h"
#include "own.h"
#include "readiness.h"
#include "sys.h"

bool start_catch_signals(void) {
    static const int caught[] = {SIGCHLD, SIGINT,  SIGTERM, SIGHUP,
                                 SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        sigaddset(&set, caught[i]);
    own.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return own.signals >= 0 && sigprocmask(SIG_SETMASK, &set, NULL) == 0 &&
           sigaction(SIGPIPE, &ignore, NULL) == 0 && sigaction(SIGXFSZ, &ignore, NULL) == 0;
}

static bool fail(struct problem *problem, const char *code, const char *what, int error) {
    problem_set(problem, EXIT_SHIM, code, what, NULL, error < 0 ? -error : error, NULL);
    return false;
}

bool start_claim(struct problem *problem) {
    int r = pod_claim(&own.pod);
    if (r == 0)
        return true;
    if (r == -EBUSY)
        problem_set(problem, EXIT_SHIM, "ALREADY_RUNNING", "the pod runs already:", own.plan.uuid,
                    0, "look at it with `jetpack status`");
    else if (r == -ESTALE)
        problem_set(problem, EXIT_SHIM, "NOT_PREPARED",
                    "the pod is neither prepared nor exited:", own.plan.uuid, 0,
                    "look at it with `jetpack status`; `jetpack gc` cleans up after a crash");
    else
        problem_set(problem, EXIT_SHIM, "POD_FOLDER", "cannot use the pod's folder", own.plan.dir,
                    -r, NULL);
    return false;
}

static bool make_pipes(struct problem *problem) {
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        struct init_app *a = &own.init.apps[i];
        int in[2] = {-1, -1};
        int out[2] = {-1, -1};
        int err[2] = {-1, -1};
        int r = 0;
        a->in = a->out = a->err = -1;
        a->cgroup = own.cgroups.apps[i];
        a->filter = own.filters[i].len > 0 ? &own.filters[i] : NULL;
        if (!own.options.tty) {
            if (own.options.interactive)
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
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        fd_close(&own.init.apps[i].in);
        fd_close(&own.init.apps[i].out);
        fd_close(&own.init.apps[i].err);
    }
    fd_close(&own.init.channel);
    fd_close(&own.init.netns);
    fd_close(&own.init.notices);
    listen_close();
    fd_close(&own.cgroups.init);
}

/* Only where some app tells when it is ready. */
static bool make_notices(struct problem *problem) {
    int pair[2] = {-1, -1};
    bool wanted = own.plan.changeable; /* such an app may join */
    for (unsigned i = 0; i < own.plan.app_count; i++)
        wanted = wanted || own.plan.apps[i]->notify;
    own.init.notices = -1;
    if (wanted && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail(problem, "SOCKET_FAILED", "cannot make a socket", errno);
    own.init.notices = pair[1];
    readiness_init(&own.pod, pair[0], own.options.json);
    return true;
}

static bool start_init(struct problem *problem) {
    int pair[2];
    int on = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail(problem, "SOCKET_FAILED", "cannot make a socket", errno);
    own.channel = pair[0];
    own.init.channel = pair[1];
    own.init.plan = &own.plan;
    own.init.tty = own.options.tty;
    if (setsockopt(own.channel, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
        int error = errno;
        close_init_ends();
        fd_close(&own.channel);
        return fail(problem, "SOCKET_FAILED", "cannot make a socket", error);
    }
    struct sys_clone how = {CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
                                (own.plan.own_net ? (uint64_t)CLONE_NEWNET : 0),
                            own.cgroups.init};
    pid_t pid = sys_clone3(&how);
    if (pid == 0) {
        fd_close(&own.channel);
        init_main(&own.init);
    }
    if (pid < 0) {
        /* Our own copy of init's end would keep us listening for ever. */
        close_init_ends();
        fd_close(&own.channel);
        problem_set(problem, EXIT_SHIM, "NAMESPACE_FAILED", "cannot make the pod's namespaces",
                    NULL, -pid, "run as root, on a kernel with namespaces");
        return false;
    }
    own.pod.init = pid;
    close_init_ends();
    return true;
}

void start_note_missing_caps(void) {
    uint64_t held = credentials_held();
    for (unsigned i = 0; i < own.plan.app_count; i++) {
        const struct plan_app *a = own.plan.apps[i];
        uint64_t missing = (a->caps_root | a->caps_user) & ~held;
        for (unsigned cap = 0; cap < 64; cap++) {
            char word[32];
            struct text t = TEXT_ON(word);
            if ((missing >> cap & 1) == 0)
                continue;
            text_str(&t, "capability ");
            text_num(&t, cap);
            report_note(a->name, word, "this host does not have it to give", own.options.json);
        }
    }
}

bool start_set_up(struct problem *problem) {
    int r = pod_open_logs(&own.pod);
    if (r < 0)
        return fail(problem, "LOG_FAILED", "cannot open the logs", r);
    if (!netns_open(&own.plan, &own.init.netns, problem) ||
        !rate_begin(&own.plan, own.init.netns, problem) ||
        !cgroup_create(&own.plan, &own.cgroups, problem) || !make_pipes(problem))
        return false;
    if (!start_catch_signals())
        return fail(problem, "SIGNAL_FAILED", "cannot catch signals", errno);
    if (!make_notices(problem) || !start_init(problem))
        return false;
    r = pod_write_status(&own.pod);
    for (unsigned i = 0; r == 0 && i < own.plan.app_count; i++)
        r = pod_write_app(&own.pod, i);
    if (r < 0) {
        (void)kill(own.pod.init, SIGKILL);
        return fail(problem, "STATUS_FAILED", "cannot write the pod's status files", r);
    }
    return true;
}
