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
#include "../report.h"
#include "launch.h"
#include "sys.h"
#include "trim.h"

KEPT struct task *tasks;
static KEPT const struct init *self;
static KEPT bool stopping;

void tasks_init(const struct init *init) {
    self = init;
    tasks = keep_room(init->plan->app_count * sizeof *tasks);
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

static void start(unsigned index, enum phase phase) {
    struct task *t = &tasks[index];
    const struct plan_app *app = self->plan->apps[index];
    const struct init_app *own = &self->apps[index];
    struct wire problem = {0};
    int ends[2] = {-1, -1};
    int r = fd_pipe(ends, 0);
    task_check(r == 0 || problem_at(&problem, STEP_FORK, 0, r), index, &problem);
    struct sys_clone how = {0, own->cgroup};
    pid_t pid = sys_clone3(&how);
    task_check(pid >= 0 || problem_at(&problem, STEP_FORK, 0, pid), index, &problem);
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

void task_hear(unsigned index) {
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
        task_tell(&w);
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
    task_tell(&w);
}

static void never_started(unsigned index) {
    struct wire w = {.kind = WIRE_EXITED, .app = (uint16_t)index, .value = -1};
    task_tell(&w);
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
            task_tell(&w);
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
        task_tell(&w);
        if (app->post_stop.n > 0)
            start(index, POST);
        else
            done(index);
        break;
    case POST:
        if (failed && !t->failed_to_run) {
            w.kind = WIRE_PROBLEM;
            w.step = STEP_POST_STOP;
            task_tell(&w);
        }
        done(index);
        break;
    case IDLE:
    case READY:
    case DONE:
        break;
    }
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
        if (ours && tasks[index].report >= 0)
            task_hear(index);
        if (waitpid(info.si_pid, &status, 0) == info.si_pid && ours)
            ended(index, status);
    }
}

void tasks_advance(void) {
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

void task_begin(unsigned index) {
    if (self->plan->apps[index]->pre_start.n > 0)
        start(index, PRE);
    else
        tasks[index].phase = READY;
}

static void signal_task(unsigned index, int sig) {
    const struct task *t = &tasks[index];
    bool any = sig == SIGKILL; /* else the main process only */
    if (t->pid > 0 && (t->phase == MAIN || any))
        (void)kill(t->pid, sig);
}

void tasks_obey(const struct wire *w) {
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

bool tasks_done(void) {
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        if (tasks[i].phase != DONE)
            return false;
    }
    return true;
}
