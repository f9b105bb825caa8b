/*
 * launch - see launch.h.
 *
 * Order: namespaces, session and stdio, what needs privileges (limits, oom score, names), the
 * environment, the program's path, then credentials_drop() and execve(2). No malloc, no stdio.
 */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/close_range.h>
#include <linux/magic.h>

#include "../fd.h"
#include "../report.h"
#include "../text.h"
#include "context.h"
#include "credentials.h"
#include "given.h"
#include "notify.h"
#include "sys.h"
#include "users.h"

#define OPEN_FILES_SOFT 1024

static _Noreturn void give_up(const struct launch *l, const struct wire *problem) {
    (void)fd_write_all(l->report, problem, sizeof *problem);
    _exit(EXIT_SHIM);
}

static bool join(const struct launch *l, struct wire *problem) {
    int r = 0;
    if (l->new_cgroup_ns)
        r = sys_unshare(CLONE_NEWCGROUP);
    if (r == 0)
        r = sys_setns(l->namespace_fd, l->namespace_flags);
    if (r < 0)
        return problem_at(problem, STEP_NAMESPACE, 0, r);
    r = l->mount_cgroup ? context_mount_cgroup() : 0;
    return r == 0 || problem_at(problem, STEP_CGROUP, 0, r);
}

/* A pty of the app's own devpts; nothing that the app could have put there instead. */
static int make_master(void) {
    int unlock = 0;
    int fd = sys_openat2(AT_FDCWD, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        return fd;
    int r = !sys_is_on(fd, DEVPTS_SUPER_MAGIC)   ? -ENOTTY
            : ioctl(fd, TIOCSPTLCK, &unlock) < 0 ? -errno
                                                 : 0;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static int open_slave(const struct launch *l) {
    int master = l->master;
    int r = 0;
    if (l->make_master) {
        static const struct wire hello = {.kind = WIRE_TTY};
        master = make_master();
        if (master < 0)
            return master;
        r = fd_send(l->send_master, &hello, sizeof hello, master);
    }
    int slave = r < 0 ? r : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (r == 0 && slave < 0)
        slave = -errno;
    if (l->make_master)
        close(master);
    return slave;
}

/* The app's, and no other thing that it might have put in that place. */
static int open_null(void) {
    struct stat st;
    int fd = open("/dev/null", O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
        return fd;
    close(fd);
    return -ENOTSUP;
}

static bool stdio(const struct launch *l, struct wire *problem) {
    int from[3] = {l->in, l->out, l->err};
    bool terminal = l->master >= 0 || l->make_master;
    if (setsid() < 0)
        return problem_at(problem, STEP_SESSION, 0, errno);
    if (terminal) {
        int slave = open_slave(l);
        if (slave < 0)
            return problem_at(problem, STEP_TTY, 0, slave);
        if (l->controlling && ioctl(slave, TIOCSCTTY, 0) < 0)
            return problem_at(problem, STEP_TTY, 0, errno);
        from[0] = from[1] = from[2] = slave;
    }
    for (int fd = 0; fd < 3; fd++) {
        int source = from[fd];
        if (source < 0)
            source = open_null();
        /* All sources are above 2, so dup2 also clears CLOEXEC. */
        if (source < 3 || dup2(source, fd) < 0)
            return problem_at(problem, STEP_SESSION, 0, source < 0 ? source : EBADF);
    }
    return true;
}

/* A user other than root must be able to open /dev/stdout again, through /proc. */
static bool hand_over_stdio(const struct launch *l, const struct identity *id,
                            struct wire *problem) {
    bool terminal = l->master >= 0 || l->make_master;
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0)
            return problem_at(problem, STEP_SESSION, 0, errno);
        if (S_ISFIFO(st.st_mode) && fchown(fd, id->uid, id->gid) < 0)
            return problem_at(problem, STEP_SESSION, 0, errno);
    }
    if (terminal && fchown(0, id->uid, (gid_t)-1) < 0)
        return problem_at(problem, STEP_TTY, 0, errno);
    return true;
}

static bool limits(const struct plan_app *app, struct wire *problem) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return problem_at(problem, STEP_LIMITS, 0, errno);
    files.rlim_cur = files.rlim_max < OPEN_FILES_SOFT ? files.rlim_max : OPEN_FILES_SOFT;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        return problem_at(problem, STEP_LIMITS, 0, errno);
    if (app->has_oom_score) {
        char digits[8];
        struct text t = TEXT_ON(digits);
        text_int(&t, app->oom_score);
        int fd = sys_open_proc("self/oom_score_adj", O_WRONLY);
        int r = fd < 0 ? fd : fd_write_all(fd, digits, t.len);
        fd_close(&fd);
        if (r < 0)
            return problem_at(problem, STEP_OOM_SCORE, 0, r);
    }
    return true;
}

/* Taken at the execve, whatever the filter then allows. The /proc is the one that we mounted. */
static bool exec_label(const struct plan_app *app, struct wire *problem) {
    static const char apparmor[] = "self/attr/apparmor/exec";
    static const char only_one[] = "self/attr/exec"; /* SELinux; AppArmor before Linux 5.8 */
    char word[300];
    struct text t = TEXT_ON(word);
    if (app->label == NULL)
        return true;
    if (!app->label_selinux)
        text_str(&t, "exec ");
    text_str(&t, app->label);
    int fd = sys_open_proc(app->label_selinux ? only_one : apparmor, O_WRONLY);
    if (fd == -ENOENT && !app->label_selinux)
        fd = sys_open_proc(only_one, O_WRONLY);
    int r = fd < 0 ? fd : fd_write_all(fd, word, t.len);
    fd_close(&fd);
    return r == 0 || problem_at(problem, STEP_LABEL, 0, r);
}

static bool names(const struct launch *l, struct identity *id, struct wire *problem) {
    int r = users_find_user(l->user, id);
    if (r < 0)
        return problem_at(problem, r == -ENOTSUP ? STEP_PASSWD : STEP_USER, 0,
                          r == -ENOENT ? 0 : r);
    if (strcmp(l->group, ":") == 0) {
        id->gid = id->own;
        r = users_find_own_groups(id);
    } else {
        r = users_find_group(l->group, &id->gid);
    }
    if (r < 0)
        return problem_at(problem, r == -ENOTSUP ? STEP_PASSWD : STEP_GROUP, 1,
                          r == -ENOENT ? 0 : r);
    return true;
}

static const char *env_get(char *const *env, const char *name) {
    size_t n = strlen(name);
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    }
    return NULL;
}

/* Room for what is added to the plan's environment; the names of the sockets take the most. */
struct additions {
    char passwd[4][640];
    char fds[32];
    char pid[32];
    char names[16 + GIVEN_MAX * 64];
};

static bool is_named(const char *pair, const char *const *names) {
    for (; *names != NULL; names++) {
        size_t n = strlen(*names);
        if (strncmp(pair, *names, n) == 0 && pair[n] == '=')
            return true;
    }
    return false;
}

static char *number_pair(char *room, size_t size, const char *name, uint64_t n) {
    struct text t = {room, size, 0, false};
    text_str(&t, name);
    text_num(&t, n);
    return room;
}

static char *names_pair(char *room, size_t size, const struct launch *l) {
    struct text t = {room, size, 0, false};
    text_str(&t, "LISTEN_FDNAMES=");
    for (unsigned i = 0; i < l->socket_count; i++) {
        text_str(&t, i > 0 ? ":" : "");
        text_str(&t, l->sockets[i].name);
    }
    return room;
}

/* The plan's environment, what passwd says if that is wanted, and what goes with sockets and
 * readiness: that is ours to say, whatever the plan has. In static room. */
static char **environment(const struct launch *l, const struct identity *id) {
    static char *env[PLAN_FIELDS_MAX + 12];
    static struct additions room;
    static const char *const of_sockets[] = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", NULL};
    static const char *const of_notify[] = {"NOTIFY_SOCKET", NULL};
    const struct {
        const char *name;
        const char *value;
    } extra[4] = {
        {"USER", id->name}, {"LOGNAME", id->name}, {"HOME", id->home}, {"SHELL", id->shell}};
    size_t n = 0;
    for (size_t i = 0; i < l->env.n && n < PLAN_FIELDS_MAX; i++) {
        if ((l->socket_count > 0 && is_named(l->env.v[i], of_sockets)) ||
            (l->notify && is_named(l->env.v[i], of_notify)))
            continue;
        env[n++] = l->env.v[i];
    }
    for (size_t i = 0; l->app->passwd_env && i < 4; i++) {
        if (extra[i].value[0] == '\0' || env_get(env, extra[i].name) != NULL)
            continue;
        struct text t = TEXT_ON(room.passwd[i]);
        text_str(&t, extra[i].name);
        text_str(&t, "=");
        text_str(&t, extra[i].value);
        env[n++] = room.passwd[i];
    }
    if (l->notify)
        env[n++] = (char *)(uintptr_t) "NOTIFY_SOCKET=" NOTIFY_PATH;
    if (l->socket_count > 0) {
        env[n++] = number_pair(room.fds, sizeof room.fds, "LISTEN_FDS=", l->socket_count);
        /* The number that the process has for itself: that of the pod's namespace. */
        env[n++] = number_pair(room.pid, sizeof room.pid, "LISTEN_PID=", (uint64_t)getpid());
        env[n++] = names_pair(room.names, sizeof room.names, l);
    }
    env[n] = NULL;
    return env;
}

/*
 * The path to execute, found before the filter forbids to look. ENOENT: nowhere; EACCES: there, but
 * not for this user. Looked at as root, so a folder of the PATH that the user may not search counts
 * too; execve(2) has the last word.
 */
static int find_program(const char *name, char *const *env, char *room, size_t size,
                        const char **program) {
    if (strchr(name, '/') != NULL) {
        *program = name;
        return 0;
    }
    const char *path = env_get(env, "PATH");
    int error = -ENOENT;
    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        struct text t = {room, size, 0, false};
        struct stat st;
        text_bytes(&t, path, n);
        text_str(&t, n > 0 ? "/" : "./");
        text_str(&t, name);
        if (!t.cut && stat(room, &st) == 0 && S_ISREG(st.st_mode)) {
            if ((st.st_mode & 0111) != 0) {
                *program = room;
                return 0;
            }
            error = -EACCES;
        }
        path += n;
        if (*path == ':')
            path++;
    }
    return error;
}

static void reset_signals(void) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int sig = 1; sig <= 64; sig++)
        (void)sigaction(sig, &plain, NULL); /* refused for KILL, STOP and libc's own */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The app's sockets become 3 and following; `report` makes room. */
static bool place_sockets(const struct launch *l, int *report, struct wire *problem) {
    const int aside = GIVEN_FIRST + GIVEN_MAX;
    int from[GIVEN_MAX];
    if (l->socket_count == 0)
        return true;
    int r = fcntl(*report, F_DUPFD_CLOEXEC, aside);
    if (r >= 0)
        *report = r;
    for (unsigned i = 0; r >= 0 && i < l->socket_count; i++)
        r = from[i] = fcntl(l->sockets[i].fd, F_DUPFD_CLOEXEC, aside);
    for (unsigned i = 0; r >= 0 && i < l->socket_count; i++)
        r = dup2(from[i], GIVEN_FIRST + (int)i); /* without CLOEXEC */
    return r >= 0 || problem_at(problem, STEP_SESSION, 0, errno);
}

/*
 * From here on words of the image are resolved: its working directory, its program, the files that
 * tell users. What is open and leads out of its root must be closed by now, or
 * /proc/self/fd/N would be a way to the host (CVE-2024-21626). The app's sockets lead nowhere.
 */
static bool only_report(const struct launch *l, struct wire *problem) {
    unsigned report = (unsigned)l->report;
    unsigned first = GIVEN_FIRST + l->socket_count;
    int r = report > first ? sys_close_range(first, report - 1, 0) : 0;
    if (r == 0)
        r = sys_close_range(report + 1, ~0u, 0);
    return r == 0 || problem_at(problem, STEP_SESSION, 0, r);
}

_Noreturn void launch(const struct launch *given_launch) {
    struct wire problem = {0};
    struct launch own = *given_launch;
    const struct launch *l = &own;
    struct identity id;
    static char room[4096 + 256];
    const char *program = NULL;
    if (!join(l, &problem) || !stdio(l, &problem) || !place_sockets(l, &own.report, &problem) ||
        !only_report(l, &problem) || !limits(l->app, &problem) || !exec_label(l->app, &problem) ||
        !names(l, &id, &problem) || !hand_over_stdio(l, &id, &problem))
        give_up(l, &problem);
    char **env = environment(l, &id);
    struct plan_words argv = l->argv;
    char *shell[] = {id.shell[0] != '\0' ? id.shell : (char *)(uintptr_t) "/bin/sh", NULL};
    if (argv.n == 0)
        argv = (struct plan_words){shell, 1};
    if (chdir(l->cwd) < 0 && errno != EACCES) {
        problem_at(&problem, STEP_CWD, 0, errno);
        give_up(l, &problem);
    }
    if (!sys_cwd_is_inside()) {
        problem_at(&problem, STEP_CWD, 0, EXDEV);
        give_up(l, &problem);
    }
    int r = find_program(argv.v[0], env, room, sizeof room, &program);
    struct stat st;
    bool exists = r == 0 && stat(program, &st) == 0;
    if (r < 0) {
        problem_at(&problem, l->exec_step, 0, r);
        give_up(l, &problem);
    }
    /* Everything else was born CLOEXEC; this holds even for what a library might have left. */
    (void)sys_close_range(GIVEN_FIRST + l->socket_count, ~0u, CLOSE_RANGE_CLOEXEC);
    reset_signals();
    if (!credentials_drop(l->app, &id, l->cwd, l->filter, l->die_with_parent, &problem))
        give_up(l, &problem);
    execve(program, argv.v, env);
    problem_at(&problem, l->exec_step, exists ? 1 : 0, errno);
    give_up(l, &problem);
}
