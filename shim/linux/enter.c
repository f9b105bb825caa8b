/*
 * enter - see enter.h.
 *
 * Runs in the host's namespaces as root. The supervisor names the app's main process; a pidfd of it
 * is opened and the question asked again: the same answer means that the pidfd is of that
 * process and of no later one with its number. Limits and priorities are those that the pod was
 * started with, not ours. The child joins the cgroup (at birth), then all
 * namespaces at once through the pidfd, and goes the way of every app: launch(). Without --tty it
 * keeps our stdin, stdout and stderr, through pipes, so no terminal of the host gets into the pod.
 */
#define _GNU_SOURCE
#include "enter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../client.h"
#include "../fd.h"
#include "../file.h"
#include "../load.h"
#include "../poller.h"
#include "../relay.h"
#include "../terminal.h"
#include "cgroup.h"
#include "filters.h"
#include "inherit.h"
#include "launch.h"
#include "sys.h"

#define LINGER_MS 200

enum { TO_APP, FROM_OUT, FROM_ERR, RELAYS };

static struct plan plan;
static struct sock_fprog filter;
static struct problem problem;
static struct relay relays[RELAYS];
static char rooms[RELAYS][RELAY_ROOM];
static int signals = -1;
static int child_status = -1;
static pid_t child;
static int master = -1;
static const struct enter_options *options;

static int refuse(const char *code, const char *what, const char *thing, int error,
                  const char *try) {
    problem_set(&problem, EXIT_SHIM, code, what, thing, error < 0 ? -error : error, try);
    report(&problem, options->json);
    return problem.exit;
}

static const struct plan_app *find_app(const char *name) {
    for (size_t i = 0; i < plan.app_count; i++) {
        if (strcmp(plan.apps[i]->name, name) == 0)
            return plan.apps[i];
    }
    return NULL;
}

/* A pidfd that certainly is the app's main process; 0 is never returned. -ESRCH: it does not run.
 */
static int find_process(const char *app) {
    for (unsigned tries = 0; tries < 3; tries++) {
        pid_t pid = client_find_pid(plan.dir, app);
        if (pid <= 0)
            return pid == 0 ? -ESRCH : pid;
        int fd = sys_pidfd_open(pid);
        if (fd == -ESRCH)
            continue;
        if (fd < 0)
            return fd;
        if (client_find_pid(plan.dir, app) == pid)
            return fd;
        close(fd);
    }
    return -ESRCH;
}

/* The plan's environment, with what the command line replaces or adds. */
static bool merge_env(const struct plan_app *app, struct plan_words *out) {
    size_t n = 0;
    char **all = file_room((app->env.n + options->env_count + 1) * sizeof *all);
    if (all == NULL || app->env.n + options->env_count > PLAN_FIELDS_MAX)
        return false;
    for (size_t i = 0; i < app->env.n; i++)
        all[n++] = app->env.v[i];
    for (size_t i = 0; i < options->env_count; i++) {
        size_t name = strcspn(options->env[i], "=") + 1;
        size_t at = 0;
        while (at < n && strncmp(all[at], options->env[i], name) != 0)
            at++;
        all[at] = options->env[i];
        n = at == n ? n + 1 : n;
    }
    *out = (struct plan_words){all, n};
    return true;
}

static void on_signal(unsigned which, short events) {
    struct signalfd_siginfo info;
    unsigned short rows;
    unsigned short columns;
    int status;
    (void)which;
    (void)events;
    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD) {
        if (child_status < 0 && waitpid(child, &status, WNOHANG) == child)
            child_status = status;
    } else if (info.ssi_signo == SIGWINCH) {
        if (master >= 0 && terminal_window(STDIN_FILENO, &rows, &columns)) {
            struct winsize size = {.ws_row = rows, .ws_col = columns};
            (void)ioctl(master, TIOCSWINSZ, &size);
        }
    } else if (child_status < 0) {
        (void)kill(child, (int)info.ssi_signo); /* not reaped yet: the number is its own */
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
           sigaction(SIGPIPE, &ignore, NULL) == 0;
}

static void set_relay(unsigned which, int from, int to) {
    relays[which] = (struct relay){{rooms[which], RELAY_ROOM, 0, 0}, from, to};
}

/* Waits for the child's word: 1 it runs, 0 it failed (told), and takes the pty's master. */
static bool started(int report_fd, int terminal, const struct plan_app *app,
                    const struct launch *l) {
    struct wire w;
    if (terminal >= 0 && fd_receive(terminal, &w, sizeof w, &master, NULL) == 1 && master >= 0) {
        unsigned short rows;
        unsigned short columns;
        if (terminal_window(STDIN_FILENO, &rows, &columns)) {
            struct winsize size = {.ws_row = rows, .ws_col = columns};
            (void)ioctl(master, TIOCSWINSZ, &size);
        }
    }
    if (fd_read_all(report_fd, &w, sizeof w) != (ssize_t)sizeof w)
        return true;
    /* The words are those of the app, but for what the command line changed. */
    static struct plan_app seen;
    static struct plan one;
    static struct plan_app *list[] = {&seen};
    seen = *app;
    seen.user = l->user;
    seen.group = l->group;
    seen.cwd = l->cwd;
    if (l->argv.n > 0)
        seen.exec = l->argv;
    else
        seen.exec.v[0] = (char *)(uintptr_t) "the user's shell";
    one.apps = list;
    one.app_count = 1;
    w.app = 0;
    problem_from_wire(&problem, &one, &w);
    report(&problem, options->json);
    return false;
}

static int exit_of(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Until the child has ended and what it wrote is passed on. */
static int carry(int *to_app) {
    long long until = 0;
    relay_use(relays, RELAYS);
    poller_init(1 + 2 * RELAYS);
    for (;;) {
        if (child_status >= 0) {
            /* Others may hold the other ends; what is there now is read, then it is over. */
            if (until == 0)
                until = poller_now() + LINGER_MS;
            if ((relay_done(&relays[FROM_OUT]) && relay_done(&relays[FROM_ERR])) ||
                poller_now() >= until)
                return exit_of(child_status);
            poller_until(until);
        }
        poller_watch(signals, POLLIN, on_signal, 0);
        for (unsigned i = 0; i < RELAYS; i++)
            relay_watch(&relays[i], i);
        poller_round();
        if (relay_done(&relays[TO_APP]) && master < 0)
            fd_close(to_app); /* the end of the input */
    }
}

static int start_and_carry(struct launch *l, const struct plan_app *app, int cgroup, int pidfd) {
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    int word[2] = {-1, -1};
    int terminal[2] = {-1, -1};
    bool fine = fd_pipe(word, -1) == 0;
    if (options->tty)
        fine = fine && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, terminal) == 0;
    else
        fine = fine && (!options->interactive || fd_pipe(in, 1) == 0) && fd_pipe(out, 0) == 0 &&
               fd_pipe(err, 0) == 0;
    if (!fine)
        return refuse("PIPE_FAILED", "cannot make a pipe", NULL, errno, NULL);
    l->in = in[0];
    l->out = out[1];
    l->err = err[1];
    l->send_master = terminal[1];
    l->report = word[1];
    /* Only children are moved by this one; the others are joined by the child itself. */
    int r = sys_setns(pidfd, CLONE_NEWPID);
    if (r < 0)
        return refuse("NAMESPACE_FAILED", "cannot join the namespaces of app", app->name, r, NULL);
    struct sys_clone how = {0, cgroup};
    child = sys_clone3(&how);
    if (child == 0)
        launch(l);
    if (child < 0)
        return refuse("FORK_FAILED", "cannot start a process in app", app->name, child,
                      child == -EAGAIN ? "is a limit of processes reached?" : NULL);
    fd_close(&in[0]);
    fd_close(&out[1]);
    fd_close(&err[1]);
    fd_close(&word[1]);
    fd_close(&terminal[1]);
    if (!started(word[0], terminal[0], app, l)) {
        int status;
        (void)waitpid(child, &status, 0);
        return problem.exit;
    }
    bool relay_in = options->interactive || (options->tty && isatty(STDIN_FILENO) == 1);
    set_relay(TO_APP, relay_in ? STDIN_FILENO : -1, options->tty ? master : in[1]);
    set_relay(FROM_OUT, options->tty ? master : out[0], STDOUT_FILENO);
    set_relay(FROM_ERR, options->tty ? -1 : err[0], STDERR_FILENO);
    if (options->tty) {
        (void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
        (void)terminal_raw(STDIN_FILENO);
    }
    int status = carry(&in[1]);
    terminal_restore();
    return status;
}

int enter_run(const char *plan_path, const char *name, const struct enter_options *wanted) {
    struct launch l = {0};
    options = wanted;
    if (!plan_load(plan_path, &plan, &problem)) {
        report(&problem, options->json);
        return problem.exit;
    }
    const struct plan_app *app = find_app(name);
    if (app == NULL)
        return refuse("NO_SUCH_APP", "the pod has no app", name, 0,
                      "look at it with `jetpack status`");
    if (!filter_load(app, &filter, &problem)) {
        report(&problem, options->json);
        return problem.exit;
    }
    int pidfd = find_process(name);
    if (pidfd < 0)
        return refuse("NOT_RUNNING", "the app does not run:", name,
                      pidfd == -ESRCH || pidfd == -ENOENT || pidfd == -ECONNREFUSED ? 0 : pidfd,
                      "look at the pod with `jetpack status`");
    int r = inherit_from_pod(pidfd);
    if (r < 0)
        return refuse(r == -ESRCH ? "NOT_RUNNING" : "LIMITS_FAILED",
                      r == -ESRCH ? "the app does not run:" : "cannot take on the limits of app",
                      name, r == -ESRCH ? 0 : r, "look at the pod with `jetpack status`");
    int cgroup = cgroup_open(&plan, name);
    if (cgroup < -1)
        return refuse("CGROUP_FAILED", "cannot open the cgroup of app", name, cgroup, NULL);
    l.app = app;
    while (options->argv[l.argv.n] != NULL)
        l.argv.n++;
    l.argv.v = options->argv;
    if (!merge_env(app, &l.env))
        return refuse("environment", "too many variables for app", name, 0, NULL);
    l.user = options->user != NULL ? options->user : app->user;
    l.group = options->group != NULL ? options->group : app->group;
    l.cwd = options->cwd != NULL ? options->cwd : app->cwd;
    l.filter = filter.len > 0 ? &filter : NULL;
    l.exec_step = STEP_EXEC;
    l.namespace_fd = pidfd;
    l.namespace_flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;
    l.master = -1;
    l.make_master = options->tty;
    l.controlling = options->tty;
    l.die_with_parent = true;
    if (chdir("/") < 0 || !catch_signals())
        return refuse("SIGNAL_FAILED", "cannot catch signals", NULL, errno, NULL);
    return start_and_carry(&l, app, cgroup, pidfd);
}
