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
#include <unistd.h>

#include "../fd.h"
#include "../keep.h"
#include "../poller.h"
#include "../report.h"
#include "additions.h"
#include "context.h"
#include "metadata.h"
#include "given.h"
#include "inherit.h"
#include "listen.h"
#include "notify.h"
#include "self.h"
#include "sys.h"
#include "sysctl.h"
#include "tasks.h"

/* What poll(2) looks at, and whose it is. */
struct watch {
    struct pollfd *set;
    unsigned *owner;
};

/* Static: one pod per process, and nothing on a stack that 64 apps could overflow. */
static KEPT struct watch watch;
static KEPT const struct init *self;

/* -- before the apps ------------------------------------------------------------------------ */

COLD static void watch_supervisor(void) {
    struct wire problem = {0};
    struct pollfd gone = {.fd = self->channel};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        task_check(problem_at(&problem, STEP_ORPHAN, 0, errno), WIRE_ALL, &problem);
    /* It may have died before the line above. getppid() is 0 in a new pid namespace either way. */
    if (poll(&gone, 1, 0) < 0 || (gone.revents & (POLLHUP | POLLERR)) != 0)
        _exit(EXIT_SHIM);
}

COLD static void sort(int *list, size_t n) {
    for (size_t i = 1; i < n; i++) {
        for (size_t j = i; j > 0 && list[j - 1] > list[j]; j--) {
            int other = list[j];
            list[j] = list[j - 1];
            list[j - 1] = other;
        }
    }
}

/* Closes whatever belongs to the supervisor: its log files, sockets, terminal, folders. */
COLD static void keep_own_files(void) {
    int keep[4 + PLAN_APPS_MAX * 4 + GIVEN_MAX]; /* on the stack, which trim() gives back */
    size_t n = 0;
    keep[n++] = self->channel;
    if (self->notices >= 0)
        keep[n++] = self->notices;
    for (unsigned i = 0; i < given.sockets; i++) {
        if (listen_is_wanted(self->plan, self->apps, GIVEN_FIRST + (int)i))
            keep[n++] = GIVEN_FIRST + (int)i;
    }
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

/* Before the descriptor goes away with all that is the supervisor's. */
COLD static void join_network(void) {
    struct wire problem = {0};
    int r = self->netns >= 0 ? sys_setns(self->netns, CLONE_NEWNET) : 0;
    task_check(r == 0 || problem_at(&problem, STEP_NETNS, 0, r), WIRE_ALL, &problem);
}

COLD static bool loopback_up(struct wire *problem) {
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

static KEPT unsigned building; /* whose context it is */

COLD static void tell_note(enum wire_step step, unsigned index) {
    struct wire w = {.kind = WIRE_NOTE,
                     .step = (uint8_t)step,
                     .app = (uint16_t)building,
                     .index = (uint16_t)index};
    task_tell(&w);
}

COLD static void build_contexts(void) {
    struct wire problem = {0};
    int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        task_check(problem_at(&problem, STEP_NAMESPACE, 0, errno), WIRE_ALL, &problem);
    for (unsigned i = 0; i < self->plan->app_count; i++) {
        struct task *t = &tasks[i];
        t->report = -1;
        building = i;
        task_check(context_build(self->plan->apps[i], self->tty, tell_note, &t->context, &problem),
                   i, &problem);
        int r = notify_bind(i);
        task_check(r == 0 || problem_at(&problem, STEP_NOTIFY, 0, r), i, &problem);
        r = sys_setns(own, CLONE_NEWNS);
        task_check(r == 0 || problem_at(&problem, STEP_NAMESPACE, 0, r), i, &problem);
    }
    fd_close(&own);
    task_check(context_leave_host(&problem), WIRE_ALL, &problem);
}

COLD static void send_terminal(void) {
    struct wire hello = {.kind = WIRE_TTY};
    if (self->tty && fd_send(self->channel, &hello, sizeof hello, tasks[0].context.master) < 0)
        _exit(EXIT_SHIM);
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
    long long deadline = tasks_deadline();
    nfds_t notices = notify_watch(set + n);
    if (poll(set, n + notices, deadline == 0 ? -1 : poller_left(deadline)) < 0)
        return;
    notify_hear(set + n, notices);
    for (nfds_t i = 2; i < n; i++) {
        if (set[i].revents != 0 && tasks[owner[i]].report == set[i].fd)
            task_hear(owner[i]);
    }
    if (set[1].revents != 0) {
        struct signalfd_siginfo info;
        (void)!read(signals, &info, sizeof info);
    }
    if (set[0].revents != 0) {
        struct wire w;
        int fd = -1;
        if (fd_receive(self->channel, &w, sizeof w, &fd, NULL) != 1)
            _exit(EXIT_SHIM);
        tasks_obey(&w, fd);
    }
}

_Noreturn void init_main(struct init *init) {
    struct wire problem = {0};
    sigset_t children;
    self = init;
    tasks_init(init);
    notify_init(init->plan, init->notices);
    size_t room = plan_room(init->plan);
    watch.set = keep_room((2 + 2 * room) * sizeof *watch.set);
    watch.owner = keep_room((2 + room) * sizeof *watch.owner);
    if (init->plan->changeable)
        additions_init(init);
    watch_supervisor();
    join_network();
    int keys = inherit_no_keys();
    task_check(keys == 0 || problem_at(&problem, STEP_KEYS, 0, keys), WIRE_ALL, &problem);
    self_forget("jetpack-init");
    umask(0);
    keep_own_files();
    task_check(context_isolate(&problem), WIRE_ALL, &problem);
    if (sethostname(init->plan->hostname, strlen(init->plan->hostname)) < 0)
        task_check(problem_at(&problem, STEP_HOSTNAME, 0, errno), WIRE_ALL, &problem);
    if (init->plan->own_net || init->plan->net_ns != NULL)
        task_check(loopback_up(&problem), WIRE_ALL, &problem);
    task_check(sysctls_set(init->plan, &problem), WIRE_ALL, &problem);
    metadata_offer(init->plan, init->channel);
    build_contexts();
    send_terminal();

    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        task_check(problem_at(&problem, STEP_FORK, 0, errno), WIRE_ALL, &problem);
    if (init->plan->changeable)
        task_tell(&(struct wire){.kind = WIRE_READY});
    for (unsigned i = 0; i < init->plan->app_count; i++)
        task_begin(i);
    for (;;) {
        tasks_advance();
        if (tasks_done()) {
            notify_hear_all();
            _exit(0);
        }
        wait_for_something(signals);
        tasks_reap();
    }
}
