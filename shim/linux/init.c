/*
 * init - see init.h.
 *
 * Privileges: root with everything the supervisor has, in the pod's namespaces, not dumpable.
 * No malloc, no stdio; ends by _exit only. Descriptors: the channel, a signalfd, and for each app
 * its context and stdio; nothing that holds a mount of the host.
 */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fd.h"
#include "../keep.h"
#include "../report.h"
#include "context.h"
#include "launch.h"
#include "self.h"
#include "sys.h"
#include "trim.h"

enum phase { IDLE, PRE, READY, MAIN, POST, DONE };

struct task {
    enum phase phase;
    pid_t pid;
    int report; /* the end of the CLOEXEC pipe that tells whether the program runs; -1: told */
    bool failed_to_run;
    bool seen; /* a process of it has been started before */
    struct context context;
};

/* What poll(2) looks at, and whose it is. */
struct watch {
    struct pollfd *set;
    unsigned *owner;
};

/* Static: one pod per process, and nothing on a stack that 64 apps could overflow. */
static KEPT struct task *tasks;
static KEPT struct watch watch;
static KEPT const struct init *self;
static KEPT bool stopping;

static void tell(const struct wire *w) {
    if (fd_send(self->channel, w, sizeof *w, -1) < 0)
        _exit(EXIT_SHIM); /* no supervisor, no pod */
}

static _Noreturn void give_up(unsigned app, struct wire *problem) {
    problem->kind = WIRE_PROBLEM;
    problem->app = (uint16_t)app;
    tell(problem);
    _exit(EXIT_SHIM);
}

static void check(bool fine, unsigned app, struct wire *problem) {
    if (!fine)
        give_up(app, problem);
}

/* -- before the apps ------------------------------------------------------------------------ */

static void watch_supervisor(void) {
    struct wire problem = {0};
    struct pollfd gone = {.fd = self->channel};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        check(problem_at(&problem, STEP_ORPHAN, 0, errno), WIRE_ALL, &problem);
    /* It may have died before the line above. getppid() is 0 in a new pid namespace either way. */
    if (poll(&gone, 1, 0) < 0 || (gone.revents & (POLLHUP | POLLERR)) != 0)
        _exit(EXIT_SHIM);
}

static void sort(int *list, size_t n) {
    for (size_t i = 1; i < n; i++) {
        for (size_t j = i; j > 0 && list[j - 1] > list[j]; j--) {
            int other = list[j];
            list[j] = list[j - 1];
            list[j - 1] = other;
        }
    }
}

/* Closes whatever belongs to the supervisor: its log files, sockets, terminal, folders. */
static void keep_own_files(void) {
    int keep[4 + PLAN_APPS_MAX * 4]; /* on the stack, which trim() gives back */
    size_t n = 0;
    keep[n++] = self->channel;
    for (size_t i = 0; i < self->plan->app_count; i++) {
        const struct init_app *a = &self->apps[i];
        const int all[4] = {a->in, a->out, a->err, a->cgroup};
        for (size_t k = 0; k < 4; k++) {
            if (all[k] >= 0)
                keep[n++] = all[k];
        }
    }
    sort(keep, n);
    unsigned from = 3;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)keep[i] > from)
            (void)sys_close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    (void)sys_close_range(from, ~0u, 0);
    /* 0 to 2 stay taken, by something that is no file of the host. */
    for (int fd = 0; fd < 3; fd++) {
        if (dup3(self->channel, fd, O_CLOEXEC) < 0)
            _exit(EXIT_SHIM);
    }
}

static bool loopback_up(struct wire *problem) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, "lo", 3);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : 0;
    if (r == 0 && ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        r = -errno;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (r == 0 && ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        r = -errno;
    fd_close(&fd);
    return r == 0 || problem_at(problem, STEP_LOOPBACK, 0, r);
}

static void build_contexts(void) {
    struct wire problem = {0};
    int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        check(problem_at(&problem, STEP_NAMESPACE, 0, errno), WIRE_ALL, &problem);
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        struct task *t = &tasks[i];
        t->report = -1;
        check(context_build(self->plan->apps[i], self->tty, &t->context, &problem), i, &problem);
        int r = sys_setns(own, CLONE_NEWNS);
        check(r == 0 || problem_at(&problem, STEP_NAMESPACE, 0, r), i, &problem);
    }
    fd_close(&own);
    check(context_leave_host(&problem), WIRE_ALL, &problem);
}

static void send_terminal(void) {
    struct wire hello = {.kind = WIRE_TTY};
    if (self->tty && fd_send(self->channel, &hello, sizeof hello, tasks[0].context.master) < 0)
        _exit(EXIT_SHIM);
}

/* -- processes ------------------------------------------------------------------------------ */

static void start(unsigned index, enum phase phase) {
    struct task *t = &tasks[index];
    const struct plan_app *app = self->plan->apps[index];
    const struct init_app *own = &self->apps[index];
    struct wire problem = {0};
    int ends[2] = {-1, -1};
    int r = fd_pipe(ends, 0);
    check(r == 0 || problem_at(&problem, STEP_FORK, 0, r), index, &problem);
    struct sys_clone how = {0, own->cgroup};
    pid_t pid = sys_clone3(&how);
    check(pid >= 0 || problem_at(&problem, STEP_FORK, 0, pid), index, &problem);
    if (pid == 0) {
        struct launch l = {
            .app = app,
            .argv = phase == PRE    ? app->pre_start
                    : phase == POST ? app->post_stop
                                    : app->exec,
            .env = app->env,
            .user = app->user,
            .group = app->group,
            .cwd = app->cwd,
            .filter = own->filter,
            .exec_step = phase == PRE    ? STEP_PRE_EXEC
                         : phase == POST ? STEP_POST_EXEC
                                         : STEP_EXEC,
            .namespace_fd = t->context.mntns,
            .namespace_flags = CLONE_NEWNS,
            .new_cgroup_ns = true,
            .mount_cgroup = own->cgroup >= 0 && !t->seen,
            .in = phase == MAIN ? own->in : -1,
            .out = own->out,
            .err = own->err,
            .master = t->context.master,
            .controlling = phase == MAIN,
            .report = ends[1],
        };
        launch(&l);
    }
    fd_close(&ends[1]);
    t->pid = pid;
    t->report = ends[0];
    t->phase = phase;
    t->failed_to_run = false;
    t->seen = true;
}

/* Reads what the process said before it became its program, or that it has become it. */
static void hear(unsigned index) {
    struct task *t = &tasks[index];
    struct wire w;
    ssize_t n = read(t->report, &w, sizeof w);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    fd_close(&t->report);
    if (n == (ssize_t)sizeof w) {
        t->failed_to_run = true;
        w.kind = WIRE_PROBLEM;
        w.app = (uint16_t)index;
        tell(&w);
        return;
    }
    if (t->phase == MAIN) {
        w = (struct wire){.kind = WIRE_STARTED, .app = (uint16_t)index};
        if (fd_send_pid(self->channel, &w, sizeof w, t->pid) < 0)
            _exit(EXIT_SHIM);
        trim();
    }
}

static void done(unsigned index) {
    struct wire w = {.kind = WIRE_DONE, .app = (uint16_t)index};
    tasks[index].phase = DONE;
    fd_close(&tasks[index].context.mntns);
    tell(&w);
}

static void never_started(unsigned index) {
    struct wire w = {.kind = WIRE_EXITED, .app = (uint16_t)index, .value = -1};
    tell(&w);
    done(index);
}

static void ended(unsigned index, int status) {
    struct task *t = &tasks[index];
    const struct plan_app *app = self->plan->apps[index];
    struct wire w = {.kind = WIRE_EXITED, .app = (uint16_t)index, .value = status};
    bool failed = t->failed_to_run || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    t->pid = 0;
    switch (t->phase) {
    case PRE:
        if (failed && !t->failed_to_run) {
            w.kind = WIRE_PROBLEM;
            w.step = STEP_PRE_START;
            tell(&w);
        }
        if (failed || stopping)
            never_started(index);
        else
            t->phase = READY;
        break;
    case MAIN:
        if (t->failed_to_run) {
            never_started(index);
            break;
        }
        tell(&w);
        if (app->post_stop.n > 0)
            start(index, POST);
        else
            done(index);
        break;
    case POST:
        if (failed && !t->failed_to_run) {
            w.kind = WIRE_PROBLEM;
            w.step = STEP_POST_STOP;
            tell(&w);
        }
        done(index);
        break;
    case IDLE:
    case READY:
    case DONE:
        break;
    }
}

static void reap(void) {
    for (;;) {
        siginfo_t info = {0};
        int status;
        /* The pid must not be free again before the supervisor has heard of it. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        unsigned index = 0;
        while (index < self->plan->app_count && tasks[index].pid != info.si_pid)
            index++;
        bool ours = index < self->plan->app_count;
        if (ours && tasks[index].report >= 0)
            hear(index);
        if (waitpid(info.si_pid, &status, 0) == info.si_pid && ours)
            ended(index, status);
    }
}

/* All apps start together, when the last pre-start handler has ended. */
static void advance(void) {
    bool waiting = false;
    for (unsigned i = 0; i < self->plan->app_count; i++)
        waiting = waiting || tasks[i].phase == PRE || tasks[i].phase == IDLE;
    for (unsigned i = 0; i < self->plan->app_count && !waiting; i++) {
        if (tasks[i].phase != READY)
            continue;
        if (stopping)
            never_started(i);
        else
            start(i, MAIN);
    }
}

static void signal_task(unsigned index, int sig) {
    const struct task *t = &tasks[index];
    bool any = sig == SIGKILL; /* else the main process only */
    if (t->pid > 0 && (t->phase == MAIN || any))
        (void)kill(t->pid, sig);
}

static void obey(const struct wire *w) {
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (w->app != WIRE_ALL && w->app != i)
            continue;
        if (w->kind == WIRE_SIGNAL) {
            signal_task(i, w->value);
        } else if (w->kind == WIRE_STOP) {
            signal_task(i, self->plan->apps[i]->stop_signal);
            if (tasks[i].phase == PRE && tasks[i].pid > 0)
                (void)kill(tasks[i].pid, SIGTERM);
        }
    }
    if (w->kind == WIRE_STOP)
        stopping = true;
}

static bool all_done(void) {
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (tasks[i].phase != DONE)
            return false;
    }
    return true;
}

static void wait_for_something(int signals) {
    struct pollfd *set = watch.set;
    unsigned *owner = watch.owner;
    nfds_t n = 2;
    set[0] = (struct pollfd){.fd = self->channel, .events = POLLIN};
    set[1] = (struct pollfd){.fd = signals, .events = POLLIN};
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (tasks[i].report >= 0) {
            owner[n] = i;
            set[n++] = (struct pollfd){.fd = tasks[i].report, .events = POLLIN};
        }
    }
    if (poll(set, n, -1) < 0)
        return;
    for (nfds_t i = 2; i < n; i++) {
        if (set[i].revents != 0 && tasks[owner[i]].report == set[i].fd)
            hear(owner[i]);
    }
    if (set[1].revents != 0) {
        struct signalfd_siginfo info;
        (void)!read(signals, &info, sizeof info);
    }
    if (set[0].revents != 0) {
        struct wire w;
        if (fd_receive(self->channel, &w, sizeof w, NULL, NULL) != 1)
            _exit(EXIT_SHIM);
        obey(&w);
    }
}

_Noreturn void init_main(const struct init *init) {
    struct wire problem = {0};
    sigset_t children;
    self = init;
    tasks = keep_room(init->plan->app_count * sizeof *tasks);
    watch.set = keep_room((2 + init->plan->app_count) * sizeof *watch.set);
    watch.owner = keep_room((2 + init->plan->app_count) * sizeof *watch.owner);
    watch_supervisor();
    self_forget("jetpack-init");
    umask(0);
    keep_own_files();
    check(context_isolate(&problem), WIRE_ALL, &problem);
    if (sethostname(init->plan->hostname, strlen(init->plan->hostname)) < 0)
        check(problem_at(&problem, STEP_HOSTNAME, 0, errno), WIRE_ALL, &problem);
    if (init->plan->own_net)
        check(loopback_up(&problem), WIRE_ALL, &problem);
    build_contexts();
    send_terminal();

    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        check(problem_at(&problem, STEP_FORK, 0, errno), WIRE_ALL, &problem);
    for (unsigned i = 0; i < init->plan->app_count; i++) {
        if (init->plan->apps[i]->pre_start.n > 0)
            start(i, PRE);
        else
            tasks[i].phase = READY;
    }
    for (;;) {
        advance();
        if (all_done())
            _exit(0);
        wait_for_something(signals);
        reap();
    }
}
