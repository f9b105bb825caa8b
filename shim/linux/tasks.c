/*
 * tasks - see tasks.h.
 *
 * Runs in the pod's init: no malloc, no stdio; ends by _exit only.
 */
#define _GNU_SOURCE
#include "tasks.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fd.h"
#include "../keep.h"
#include "../poller.h"
#include "../report.h"
#include "additions.h"
#include "launch.h"
#include "notify.h"
#include "sys.h"
#include "trim.h"

/* The pause before an app is started again: doubled each time, until it has run for STEADY_MS. */
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 30000
#define STEADY_MS 10000

KEPT struct task *tasks;
static KEPT const struct init *self;
static KEPT bool begun;    /* the apps have been started for the first time */
static KEPT bool settled;  /* nothing is started again */
static KEPT bool stopping; /* nothing is started at all */
static KEPT long long grace_until;
static KEPT long long turn_until; /* before this only the app whose turn it is gets its signal */

COLD void tasks_init(const struct init *init) {
    self = init;
    tasks = keep_room(plan_room(init->plan) * sizeof *tasks);
}

void task_tell(const struct wire *w) {
    if (fd_send(self->channel, w, sizeof *w, -1) < 0)
        _exit(EXIT_SHIM); /* no supervisor, no pod */
}

static _Noreturn void give_up(unsigned app, struct wire *problem) {
    problem->kind = WIRE_PROBLEM;
    problem->app = (uint16_t)app;
    task_tell(problem);
    _exit(EXIT_SHIM);
}

void task_check(bool fine, unsigned app, struct wire *problem) {
    if (!fine)
        give_up(app, problem);
}

/* False: it could not be forked, and that is told. */
COLD static bool start(unsigned index, enum phase phase) {
    struct task *t = &tasks[index];
    const struct plan_app *app = self->plan->apps[index];
    const struct init_app *own = &self->apps[index];
    struct wire problem = {0};
    int ends[2] = {-1, -1};
    struct sys_clone how = {0, own->cgroup};
    int r = fd_pipe(ends, 0);
    pid_t pid = r == 0 ? sys_clone3(&how) : r;
    if (pid < 0) {
        fd_close(&ends[0]);
        fd_close(&ends[1]);
        problem_at(&problem, STEP_FORK, 0, pid);
        problem.app = (uint16_t)index;
        task_tell(&problem);
        return false;
    }
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
            .sockets = phase == MAIN ? own->sockets : NULL,
            .socket_count = phase == MAIN ? own->socket_count : 0,
            .notify = phase == MAIN && app->notify,
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
    return true;
}

void task_hear(unsigned index) {
    struct task *t = &tasks[index];
    struct wire w;
    if (t->phase == BUILD) {
        additions_hear(index);
        return;
    }
    ssize_t n = read(t->report, &w, sizeof w);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    fd_close(&t->report);
    if (n == (ssize_t)sizeof w) {
        t->failed_to_run = true;
        w.kind = WIRE_PROBLEM;
        w.app = (uint16_t)index;
        task_tell(&w);
        return;
    }
    if (t->phase == MAIN) {
        t->ran = true;
        if (self->plan->apps[index]->restart != RESTART_NO)
            t->at = poller_now();
        w = (struct wire){.kind = WIRE_STARTED, .app = (uint16_t)index};
        if (fd_send_pid(self->channel, &w, sizeof w, t->pid) < 0)
            _exit(EXIT_SHIM);
        trim();
    }
}

/* -- ends ----------------------------------------------------------------------------------- */

static void done(unsigned index) {
    struct wire w = {.kind = WIRE_DONE, .app = (uint16_t)index};
    tasks[index].phase = DONE;
    if (!self->plan->changeable) /* there it may be started again */
        fd_close(&tasks[index].context.mntns);
    task_tell(&w);
}

/* Nothing more of it will run. */
static void give_up_on(unsigned index) {
    struct wire w = {.kind = WIRE_EXITED, .app = (uint16_t)index, .value = -1};
    if (!tasks[index].ran)
        task_tell(&w);
    done(index);
}

/* Whether the policy wants another start after this end; counts it. */
static bool wants_again(unsigned index, bool failed) {
    struct task *t = &tasks[index];
    const struct plan_app *app = self->plan->apps[index];
    if (settled || t->halted || app->restart == RESTART_NO ||
        (app->restart == RESTART_ON_FAILURE && !failed))
        return false;
    if (t->phase == MAIN && poller_now() - t->at >= STEADY_MS)
        t->tries = 0;
    if (app->restart_max > 0 && t->tries >= app->restart_max)
        return false;
    t->tries++;
    return true;
}

/* Between two starts: longer each time, so that an app that cannot live does not eat the host. */
static void pause_or_end(unsigned index) {
    struct task *t = &tasks[index];
    long long pause = FIRST_PAUSE_MS;
    if (!t->again || settled || t->halted) {
        give_up_on(index);
        return;
    }
    for (unsigned i = 1; i < t->tries && pause < LONGEST_PAUSE_MS; i++)
        pause *= 2;
    t->phase = WAIT;
    t->at = poller_now() + (pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS);
}

static void pre_start_ended(unsigned index, int status, bool failed) {
    struct task *t = &tasks[index];
    struct wire w = {.kind = WIRE_PROBLEM, .app = (uint16_t)index, .value = status};
    t->again = failed && !t->failed_to_run && wants_again(index, true);
    if (failed && !t->failed_to_run) {
        w.step = STEP_PRE_START;
        w.index = t->again;
        task_tell(&w);
    }
    if (failed || stopping || t->halted)
        pause_or_end(index);
    else
        t->phase = READY;
}

static void main_ended(unsigned index, int status, bool failed) {
    struct task *t = &tasks[index];
    notify_hear_app(index);
    struct wire w = {.kind = WIRE_EXITED, .app = (uint16_t)index, .value = status};
    if (t->failed_to_run) {
        give_up_on(index);
        return;
    }
    t->again = wants_again(index, failed);
    w.index = t->again;
    task_tell(&w);
    if (self->plan->apps[index]->post_stop.n == 0 || !start(index, POST))
        pause_or_end(index);
}

static void post_stop_ended(unsigned index, int status, bool failed) {
    struct wire w = {.kind = WIRE_PROBLEM, .app = (uint16_t)index, .value = status};
    if (failed && !tasks[index].failed_to_run) {
        w.step = STEP_POST_STOP;
        task_tell(&w);
    }
    pause_or_end(index);
}

COLD static void built(unsigned index, bool failed) {
    struct wire w = {.kind = WIRE_PROBLEM, .app = (uint16_t)index};
    struct task *t = &tasks[index];
    while (t->report >= 0)
        additions_hear(index);
    if (t->context.mntns >= 0 && !failed && !t->failed_to_run && !stopping && !t->halted) {
        task_begin(index);
        return;
    }
    if (!t->failed_to_run && !stopping && !t->halted) { /* it died without a word */
        problem_at(&w, STEP_NAMESPACE, 0, EIO);
        task_tell(&w);
    }
    additions_forget(index);
}

static void ended(unsigned index, int status) {
    struct task *t = &tasks[index];
    bool failed = t->failed_to_run || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    t->pid = 0;
    if (t->phase == BUILD)
        built(index, failed);
    else if (t->phase == PRE)
        pre_start_ended(index, status, failed);
    else if (t->phase == MAIN)
        main_ended(index, status, failed);
    else if (t->phase == POST)
        post_stop_ended(index, status, failed);
}

void tasks_reap(void) {
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
        if (ours && tasks[index].report >= 0 && tasks[index].phase != BUILD)
            task_hear(index);
        if (waitpid(info.si_pid, &status, 0) == info.si_pid && ours)
            ended(index, status);
    }
}

/* -- starts --------------------------------------------------------------------------------- */

void task_begin(unsigned index) {
    if (self->plan->apps[index]->pre_start.n == 0)
        tasks[index].phase = READY;
    else if (!start(index, PRE))
        give_up_on(index);
}

/* Until every app is ready to start for the first time, none starts. */
static bool all_ready(void) {
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        enum phase phase = tasks[i].phase;
        if (phase == IDLE || phase == PRE || phase == WAIT)
            return false;
    }
    return true;
}

/*
 * In reverse order of the manifest, each when the one before is done or has used up its share of
 * the grace: an app that does not end takes nothing from the others but this.
 */
static void stop_in_turn(void) {
    long long now = poller_now();
    unsigned waiting = 0;
    for (unsigned i = 0; i < self->plan->app_count; i++)
        waiting += tasks[i].phase == MAIN && !tasks[i].signalled;
    for (unsigned i = (unsigned)self->plan->app_count; i-- > 0 && waiting > 0;) {
        struct task *t = &tasks[i];
        if (t->phase == DONE)
            continue;
        if (t->phase == MAIN && !t->signalled) {
            t->signalled = true;
            (void)kill(t->pid, self->plan->apps[i]->stop_signal);
            turn_until = now + (grace_until > now ? (grace_until - now) / waiting : 0);
            waiting--;
        }
        if (now < turn_until)
            return;
    }
    turn_until = 0;
}

void tasks_advance(void) {
    long long now = 0;
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        struct task *t = &tasks[i];
        if (t->phase != WAIT)
            continue;
        now = now == 0 ? poller_now() : now;
        if (settled || t->halted)
            give_up_on(i);
        else if (now >= t->at)
            task_begin(i);
    }
    begun = begun || all_ready();
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (tasks[i].phase != READY)
            continue;
        if (stopping || tasks[i].halted || (settled && tasks[i].ran))
            give_up_on(i);
        else if (begun && !start(i, MAIN))
            give_up_on(i);
    }
    if (stopping)
        stop_in_turn();
}

long long tasks_deadline(void) {
    long long first = stopping ? turn_until : 0;
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (tasks[i].phase == WAIT && (first == 0 || tasks[i].at < first))
            first = tasks[i].at;
    }
    return first;
}

/* -- requests ------------------------------------------------------------------------------- */

static void signal_task(unsigned index, int sig) {
    const struct task *t = &tasks[index];
    bool any = sig == SIGKILL; /* else the main process only */
    if (t->pid > 0 && (t->phase == MAIN || any))
        (void)kill(t->pid, sig);
}

COLD static void stop(int grace_ms) {
    long long until = poller_now() + grace_ms;
    if (!stopping || until < grace_until)
        grace_until = until;
    if (turn_until > grace_until) /* a share of more time than there is now */
        turn_until = poller_now();
    stopping = settled = true;
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        const struct task *t = &tasks[i];
        if (t->phase == BUILD)
            (void)kill(t->pid, SIGKILL);
        else if (t->phase == PRE && t->pid > 0)
            (void)kill(t->pid, SIGTERM);
        else if (t->signalled) /* somebody asks once more */
            signal_task(i, self->plan->apps[i]->stop_signal);
    }
}

COLD static void stop_app(unsigned index) {
    struct task *t = &tasks[index];
    t->halted = true;
    t->signalled = t->phase == MAIN;
    if (t->phase == BUILD)
        (void)kill(t->pid, SIGKILL);
    else if (t->phase == PRE)
        (void)kill(t->pid, SIGTERM);
    else
        signal_task(index, self->plan->apps[index]->stop_signal);
}

COLD static void start_again(unsigned index) {
    struct task *t = &tasks[index];
    t->ran = t->again = t->signalled = t->halted = false;
    t->tries = 0;
    task_begin(index);
}

/* In a changeable pod, for an app that is there. */
COLD static void obey_change(const struct wire *w) {
    bool done = tasks[w->app].phase == DONE;
    if (w->kind == WIRE_START && done && !stopping)
        start_again(w->app);
    else if (w->kind == WIRE_STOP_APP && !done)
        stop_app(w->app);
    else if (w->kind == WIRE_FORGET && done)
        additions_forget(w->app);
}

void tasks_obey(const struct wire *w, int fd) {
    switch (w->kind) {
    case WIRE_GIVE:
        additions_give(w, fd);
        return;
    case WIRE_ADD:
        additions_build(w);
        break;
    case WIRE_START:
    case WIRE_STOP_APP:
    case WIRE_FORGET:
        if (self->plan->changeable && w->app < self->plan->app_count &&
            self->plan->apps[w->app] != NULL)
            obey_change(w);
        break;
    case WIRE_SIGNAL:
        for (unsigned i = 0; i < self->plan->app_count; i++) {
            if (w->app == WIRE_ALL || w->app == i)
                signal_task(i, w->value);
        }
        break;
    case WIRE_SETTLE:
        settled = true;
        break;
    case WIRE_STOP:
        stop(w->value);
        break;
    default:
        break;
    }
    fd_close(&fd);
}

bool tasks_done(void) {
    if (self->plan->changeable && !stopping)
        return false;
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (tasks[i].phase != DONE)
            return false;
    }
    return true;
}
