/*
 * mds - see mds.h.
 *
 * Order: sockets, while root may bind; a mount namespace with a root of its own, in which only the
 * program, its libraries and the data are, all of it read-only; limits; the user; Landlock; execve.
 * Where this process may not make a mount namespace, that part is left out and told: the user
 * cannot write to what is root's there either.
 */
#define _GNU_SOURCE
#include "mds.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "../fd.h"
#include "../report.h"
#include "../text.h"
#include "context.h"
#include "drop.h"
#include "given.h"
#include "sys.h"

#define BACKLOG 511
#define OPEN_FILES 4096

static int refuse(const char *code, const char *what, const char *thing, int error,
                  const char *remedy) {
    static struct problem problem;
    problem_set(&problem, EXIT_SHIM, code, what, thing, error < 0 ? -error : error, remedy);
    report(&problem, false);
    return problem.exit;
}

/* -- sockets -------------------------------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t parse(const char *text, uint16_t port, union address *out) {
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return out->v4.sin_addr.s_addr == htonl(INADDR_ANY) ? 0 : sizeof out->v4;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1 ||
        IN6_IS_ADDR_UNSPECIFIED(&out->v6.sin6_addr) || IN6_IS_ADDR_V4MAPPED(&out->v6.sin6_addr))
        return 0;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    return sizeof out->v6;
}

static int listen_at(const union address *address, socklen_t size) {
    int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    bool v6 = address->any.sa_family == AF_INET6;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        bind(fd, &address->any, size) < 0 || listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* Sockets behind the inherited ones, without a gap. -1: told. */
static int bind_all(const struct mds_options *o) {
    int next = GIVEN_FIRST + (int)given.sockets;
    for (unsigned i = 0; i < o->address_count; i++) {
        union address address;
        socklen_t size = parse(o->addresses[i], o->port, &address);
        if (size == 0) {
            (void)refuse("USAGE", "mds: not an address to listen on:", o->addresses[i], 0, NULL);
            return -1;
        }
        int fd = listen_at(&address, size);
        if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) {
            /* The service looks again. */
            report_note("not listening (yet) on", o->addresses[i], error_text(-fd), false);
            continue;
        }
        if (fd < 0) {
            (void)refuse("MDS_LISTEN", "cannot listen on", o->addresses[i], fd,
                         fd == -EADDRINUSE ? "is it running already? see `jetpack info`" : NULL);
            return -1;
        }
        if (fd != next) {
            if (dup3(fd, next, O_CLOEXEC) < 0) {
                (void)refuse("MDS_LISTEN", "cannot listen on", o->addresses[i], errno, NULL);
                return -1;
            }
            close(fd);
        }
        next++;
    }
    return next - GIVEN_FIRST;
}

/* -- what it sees --------------------------------------------------------------------------- */

#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static int show(int root, const char *path, uint64_t attributes) {
    struct stat st;
    int tree = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    if (tree < 0)
        return tree;
    int r = fstat(tree, &st) < 0 ? -errno : sys_mount_setattr(tree, 0, attributes, MS_PRIVATE);
    int onto = r < 0 ? r : target_ensure(root, path, S_ISDIR(st.st_mode), 0);
    r = onto < 0 ? onto : sys_move_mount(tree, onto);
    fd_close(&onto);
    fd_close(&tree);
    return r;
}

static int show_all(int root, const struct mds_options *o, const char **failed) {
    static const char *const libraries[] = {"/lib",       "/lib64",         "/usr/lib",
                                            "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"};
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        int r = show(root, libraries[i], READ_ONLY);
        if (r < 0 && r != -ENOENT) {
            *failed = libraries[i];
            return r;
        }
    }
    for (unsigned i = 0; i < o->program_count + o->data_count; i++) {
        bool data = i >= o->program_count;
        const char *path = data ? o->data[i - o->program_count] : o->programs[i];
        int r = show(root, path, data ? READ_ONLY | MOUNT_ATTR_NOEXEC : READ_ONLY);
        if (r < 0) {
            *failed = path;
            return r;
        }
    }
    return 0;
}

static int enter_root(int root) {
    int r = sys_mount_setattr(root, 0, READ_ONLY | MOUNT_ATTR_NOEXEC, 0);
    if (r == 0 && fchdir(root) < 0)
        r = -errno;
    if (r == 0)
        r = sys_pivot_root(".", ".");
    if (r == 0)
        r = sys_umount(".", SYS_MNT_DETACH); /* the old root, which lies on top of the new one */
    return r == 0 && chdir("/") < 0 ? -errno : r;
}

/* 1: done; 0: this process may not; negative: failed half-way, it must end. */
static int hide_the_rest(const struct mds_options *o, const char **failed) {
    static const char *const options[] = {"size=64k", "nr_inodes=256", "mode=0755", NULL};
    int r = sys_unshare(CLONE_NEWNS);
    if (r == -EPERM)
        return 0;
    *failed = "/";
    if (r == 0)
        r = sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    int root = r < 0 ? r : sys_fsmount("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (root < 0)
        return root;
    int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = slash < 0 ? -errno : sys_move_mount(root, slash);
    fd_close(&slash);
    if (r == 0)
        r = show_all(root, o, failed);
    if (r == 0)
        r = enter_root(root);
    fd_close(&root);
    return r < 0 ? r : 1;
}

/* -- the rest ------------------------------------------------------------------------------- */

static bool is_file(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int limit(void) {
    const struct rlimit none = {0, 0};
    const struct rlimit files = {OPEN_FILES, OPEN_FILES};
    /* Its access log may be a file, by the administrator's will. */
    bool log = is_file(STDOUT_FILENO) || is_file(STDERR_FILENO);
    if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
        (!log && setrlimit(RLIMIT_FSIZE, &none) < 0))
        return -errno;
    return 0;
}

static int quiet_input(void) {
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int r = null < 0 || dup2(null, STDIN_FILENO) < 0 ? -errno : 0;
    fd_close(&null);
    return r;
}

static int hand_over(int count) {
    int r = sys_close_range((unsigned)(GIVEN_FIRST + count), ~0u, 0);
    for (int fd = GIVEN_FIRST; r == 0 && fd < GIVEN_FIRST + count; fd++) {
        if (fcntl(fd, F_SETFD, 0) < 0)
            r = -errno;
    }
    return r;
}

static _Noreturn void execute(const struct mds_options *o, int count) {
    static char fds[32];
    static char pid[32];
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char locale[] = "LC_ALL=C";
    /* One heap of the libc for all threads: several would cost megabytes. */
    static char arenas[] = "MALLOC_ARENA_MAX=1";
    static char rings[] = "UV_USE_IO_URING=0";
    static char threads[] = "UV_THREADPOOL_SIZE=1";
    char *env[] = {path, locale, arenas, rings, threads, fds, pid, NULL};
    struct text t = TEXT_ON(fds);
    struct text u = TEXT_ON(pid);
    text_str(&t, "LISTEN_FDS=");
    text_num(&t, (uint64_t)count);
    text_str(&u, "LISTEN_PID=");
    text_num(&u, (uint64_t)getpid());
    execve(o->argv[0], o->argv, env);
    _exit(refuse("MDS_EXEC", "cannot execute", o->argv[0], errno, NULL));
}

int mds_start(const struct mds_options *o) {
    const char *failed = "/";
    int count = bind_all(o);
    if (count < 0)
        return EXIT_SHIM;
    int r = quiet_input();
    if (r < 0)
        return refuse("MDS_START", "cannot open", "/dev/null", r, NULL);
    umask(0);
    r = hide_the_rest(o, &failed);
    umask(077);
    if (r < 0)
        return refuse("MDS_NAMESPACE", "cannot show the metadata service", failed, r, NULL);
    if (r == 0)
        report_note("the metadata service has no mount namespace of its own:", "unshare(2)",
                    "not permitted here", false);
    if ((r = limit()) < 0 || (r = hand_over(count)) < 0)
        return refuse("MDS_START", "cannot set the limits of the metadata service", NULL, r, NULL);
    if ((r = drop_privileges(o->uid, o->gid)) < 0)
        return refuse("MDS_START", "cannot give up the privileges of root", NULL, r,
                      "run as root, with CAP_SETUID, CAP_SETGID and CAP_SETPCAP");
    (void)drop_landlock(true, DROP_TCP_BIND, o->port);
    execute(o, count);
}
