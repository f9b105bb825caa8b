/*
 * additions - see additions.h.
 *
 * Privileges: those of init. The child has the host's mounts and is in the pod's pid namespace,
 * where apps may see it. It is not dumpable and has capabilities that no confined app has, so none
 * can look into it (ptrace(2), "PTRACE_MODE"), as at the start of the pod and in `enter`.
 *
 * Errors: WIRE_PROBLEM and WIRE_FORGOTTEN for the app; the pod goes on.
 */
#define _GNU_SOURCE
#include "additions.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../fd.h"
#include "../file.h"
#include "../keep.h"
#include "../load.h"
#include "../report.h"
#include "context.h"
#include "leftovers.h"
#include "notify.h"
#include "sys.h"
#include "tasks.h"

/* What an app that joined has of its own. */
struct addition {
    struct plan_memory plan;
    struct sock_fprog filter;
    size_t filter_size;
};

static KEPT struct init *self;
static KEPT struct addition *added;
static KEPT int *gifts; /* GIFT_COUNT of them, each a descriptor or -1 */
static int word;        /* in the child: to init */

void additions_init(struct init *init) {
    self = init;
    added = keep_room(PLAN_APPS_MAX * sizeof *added);
    gifts = keep_room(GIFT_COUNT * sizeof *gifts);
    for (unsigned i = 0; i < GIFT_COUNT; i++)
        gifts[i] = -1;
}

void additions_give(const struct wire *w, int fd) {
    if (gifts == NULL || w->index >= GIFT_COUNT) {
        fd_close(&fd);
        return;
    }
    fd_close(&gifts[w->index]);
    gifts[w->index] = fd;
}

static void close_gifts(void) {
    for (unsigned i = 0; i < GIFT_COUNT; i++)
        fd_close(&gifts[i]);
}

static int take(enum wire_gift gift) {
    int fd = gifts[gift];
    gifts[gift] = -1;
    return fd;
}

/* -- the app's own memory ------------------------------------------------------------------- */

static bool read_plan(unsigned index, unsigned place, struct wire *problem) {
    static struct plan plan;
    static struct problem words; /* the supervisor has read the same file, and tells better */
    struct addition *a = &added[index];
    if (!plan_read(gifts[GIFT_PLAN], "plan", &plan, &a->plan, &words))
        return problem_at(problem, STEP_NONE, 0, 0);
    if (place >= plan.app_count)
        return problem_at(problem, STEP_NONE, 0, 0);
    self->plan->apps[index] = plan.apps[place];
    if (index >= self->plan->app_count)
        self->plan->app_count = index + 1;
    return true;
}

static bool read_filter(unsigned index, struct wire *problem) {
    struct addition *a = &added[index];
    char *bytes;
    size_t length;
    self->apps[index].filter = NULL;
    if (gifts[GIFT_FILTER] < 0)
        return true;
    int r = file_load_open(gifts[GIFT_FILTER], BPF_MAXINSNS * sizeof(struct sock_filter), &bytes,
                           &length);
    if (r < 0)
        return problem_at(problem, STEP_SECCOMP, 0, r);
    a->filter_size = length + 1;
    a->filter = (struct sock_fprog){(unsigned short)(length / sizeof(struct sock_filter)),
                                    (struct sock_filter *)(void *)bytes};
    self->apps[index].filter = &a->filter;
    if (length == 0 || length % sizeof(struct sock_filter) != 0)
        return problem_at(problem, STEP_SECCOMP, 0, EINVAL);
    return true;
}

/* -- the child ------------------------------------------------------------------------------ */

static void send_word(const struct wire *w, int fd) {
    if (fd_send(word, w, sizeof *w, fd) < 0)
        _exit(EXIT_SHIM);
}

static void note(enum wire_step step, unsigned index) {
    send_word(&(struct wire){.kind = WIRE_NOTE, .step = (uint8_t)step, .index = (uint16_t)index},
              -1);
}

static _Noreturn void build(const struct plan_app *app, int host) {
    struct wire problem = {0};
    struct context context;
    int r = sys_setns(host, CLONE_NEWNS);
    /* A copy of its own before anything is changed in it. */
    if (r == 0)
        r = sys_unshare(CLONE_NEWNS);
    bool fine = r == 0 || problem_at(&problem, STEP_NAMESPACE, 0, r);
    if (!fine || !context_isolate(&problem) ||
        !context_build(app, false, note, &context, &problem)) {
        send_word(&problem, -1);
        _exit(EXIT_SHIM);
    }
    if (app->notify) {
        r = notify_open();
        if (r < 0) {
            problem_at(&problem, STEP_NOTIFY, 0, r);
            send_word(&problem, -1);
            _exit(EXIT_SHIM);
        }
        send_word(&(struct wire){.kind = WIRE_GIVE}, r);
    }
    send_word(&(struct wire){.kind = WIRE_READY}, context.mntns);
    _exit(0);
}

/* -- in init -------------------------------------------------------------------------------- */

static bool start_child(unsigned index, struct wire *problem) {
    struct task *t = &tasks[index];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return problem_at(problem, STEP_FORK, 0, errno);
    struct sys_clone how = {0, -1};
    pid_t pid = sys_clone3(&how);
    if (pid == 0) {
        fd_close(&pair[0]);
        word = pair[1];
        build(self->plan->apps[index], gifts[GIFT_HOST]);
    }
    fd_close(&pair[1]);
    if (pid < 0) {
        fd_close(&pair[0]);
        return problem_at(problem, STEP_FORK, 0, pid);
    }
    t->pid = pid;
    t->report = pair[0];
    t->phase = BUILD;
    return true;
}

void additions_build(const struct wire *w) {
    struct wire problem = {0};
    unsigned index = w->app;
    if (gifts == NULL || index >= PLAN_APPS_MAX)
        return;
    struct task *t = &tasks[index];
    *t = (struct task){.phase = DONE, .report = -1};
    t->context.mntns = t->context.master = -1;
    self->apps[index] = (struct init_app){
        .in = -1, .cgroup = take(GIFT_CGROUP), .out = take(GIFT_OUT), .err = take(GIFT_ERR)};
    bool fine = read_plan(index, (unsigned)w->value, &problem) && read_filter(index, &problem) &&
                start_child(index, &problem);
    close_gifts();
    if (fine)
        return;
    problem.app = (uint16_t)index;
    task_tell(&problem);
    additions_forget(index);
}

void additions_hear(unsigned index) {
    struct task *t = &tasks[index];
    struct wire w;
    int fd = -1;
    if (fd_receive(t->report, &w, sizeof w, &fd, NULL) != 1) {
        fd_close(&fd);
        fd_close(&t->report);
        return;
    }
    if (w.kind == WIRE_GIVE) {
        notify_take(index, fd);
        return;
    }
    if (w.kind == WIRE_READY && fd >= 0) {
        fd_close(&t->context.mntns);
        t->context.mntns = fd;
        return;
    }
    fd_close(&fd);
    w.app = (uint16_t)index;
    t->failed_to_run = t->failed_to_run || w.kind == WIRE_PROBLEM;
    task_tell(&w);
}

void additions_forget(unsigned index) {
    struct wire w = {.kind = WIRE_FORGOTTEN, .app = (uint16_t)index};
    struct task *t = &tasks[index];
    struct init_app *a = &self->apps[index];
    if (t->context.mntns >= 0)
        leftovers_kill(t->context.mntns);
    fd_close(&t->context.mntns);
    fd_close(&t->report);
    notify_take(index, -1);
    *t = (struct task){.phase = DONE, .report = -1};
    t->context.mntns = t->context.master = -1;
    fd_close(&a->in);
    fd_close(&a->out);
    fd_close(&a->err);
    fd_close(&a->cgroup);
    if (added[index].filter_size > 0)
        (void)munmap(added[index].filter.filter, added[index].filter_size);
    a->filter = NULL;
    self->plan->apps[index] = NULL;
    plan_forget(&added[index].plan);
    added[index] = (struct addition){0};
    task_tell(&w);
}
