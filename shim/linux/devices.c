/*
 * devices - the app's /dev: a small tmpfs with the nodes that OS-SPEC lists
 *
 * Runs in the pod's init while the app's namespace is built (see context.h). The umask must be 0.
 * Where mknod(2) is refused, the host's node is bound instead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../fd.h"
#include "context.h"
#include "sys.h"

static const struct node {
    const char *name;
    const char *host;
    unsigned major, minor;
    mode_t mode;
} nodes[] = {
    {"null", "/dev/null", 1, 3, 0666},       {"zero", "/dev/zero", 1, 5, 0666},
    {"full", "/dev/full", 1, 7, 0666},       {"random", "/dev/random", 1, 8, 0666},
    {"urandom", "/dev/urandom", 1, 9, 0666}, {"tty", "/dev/tty", 5, 0, 0666},
};

/* Without a terminal the console swallows what is written to it. */
static const struct node no_console = {"console", "/dev/null", 1, 3, 0620};

static const char *const links[][2] = {
    {"pts/ptmx", "ptmx"},          {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
    {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
};

/* Binds an open file on a new, empty file of that name. */
static int bind_on(int dev, const char *name, int tree) {
    int file = openat(dev, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return -errno;
    int r = sys_move_mount(tree, file);
    close(file);
    return r;
}

/* A mount of its own for the node: /dev itself becomes nodev, and the node must not. */
static int set_apart(int dev, const char *name) {
    int tree = sys_open_tree(dev, name, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
    int onto = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int r = tree < 0 ? tree : onto < 0 ? -errno : sys_move_mount(tree, onto);
    fd_close(&onto);
    fd_close(&tree);
    return r;
}

static int make_node(int dev, const struct node *n) {
    if (mknodat(dev, n->name, S_IFCHR | n->mode, makedev(n->major, n->minor)) == 0)
        return set_apart(dev, n->name);
    if (errno != EPERM)
        return -errno;
    int tree = sys_open_tree(AT_FDCWD, n->host, OPEN_TREE_CLONE);
    if (tree < 0)
        return tree;
    int r = sys_mount_setattr(tree, 0, 0, MS_PRIVATE);
    if (r == 0)
        r = bind_on(dev, n->name, tree);
    close(tree);
    return r;
}

/* A file system mounted on a new folder of /dev. Keeps the tree when `keep` is not NULL. */
static bool mount_below(int dev, const char *name, const char *type, const char *const *options,
                        uint64_t attributes, enum wire_base base, int *keep, struct wire *problem) {
    if (mkdirat(dev, name, 0755) < 0)
        return problem_at(problem, STEP_BASE, base, errno);
    int tree = sys_fsmount(type, options, attributes);
    int onto = openat(dev, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = tree < 0 ? tree : onto < 0 ? -errno : sys_move_mount(tree, onto);
    fd_close(&onto);
    if (r == 0 && keep != NULL)
        *keep = tree;
    else
        fd_close(&tree);
    return r == 0 || problem_at(problem, STEP_BASE, base, r);
}

/* A pty of the app's own devpts; its slave becomes /dev/console. */
static int make_terminal(int dev, int pts, int *master) {
    int unlock = 0;
    int fd = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = ioctl(fd, TIOCSPTLCK, &unlock) < 0 ? -errno : 0;
    int slave = r == 0 ? openat(pts, "0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (r == 0 && slave < 0)
        r = -errno;
    int tree = r == 0 ? sys_open_tree(pts, "0", OPEN_TREE_CLONE) : -1;
    if (r == 0)
        r = tree < 0 ? tree : bind_on(dev, "console", tree);
    fd_close(&tree);
    fd_close(&slave);
    if (r < 0)
        fd_close(&fd);
    *master = fd;
    return r;
}

static bool populate(int dev, bool tty, int *master, struct wire *problem) {
    static const char *const pts_options[] = {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
                                              NULL};
    static const char *const shm_options[] = {"mode=1777", NULL};
    const uint64_t plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        int r = make_node(dev, &nodes[i]);
        if (r < 0)
            return problem_at(problem, STEP_BASE, BASE_DEV, r);
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        if (symlinkat(links[i][0], dev, links[i][1]) < 0)
            return problem_at(problem, STEP_BASE, BASE_DEV, errno);
    }
    int pts = -1;
    if (!mount_below(dev, "pts", "devpts", pts_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                     BASE_PTS, &pts, problem) ||
        !mount_below(dev, "shm", "tmpfs", shm_options, plain, BASE_SHM, NULL, problem) ||
        !mount_below(dev, "mqueue", "mqueue", NULL, plain, BASE_MQUEUE, NULL, problem)) {
        fd_close(&pts);
        return false;
    }
    int r = tty ? make_terminal(dev, pts, master) : make_node(dev, &no_console);
    fd_close(&pts);
    if (r != 0)
        return problem_at(problem, STEP_BASE, BASE_CONSOLE, r);
    /* An app with CAP_MKNOD may make any node; on a file system of its own it must open none. */
    r = sys_mount_setattr(dev, 0, MOUNT_ATTR_NODEV, 0);
    return r == 0 || problem_at(problem, STEP_BASE, BASE_DEV, r);
}

bool devices_make(int root, bool tty, int *master, struct wire *problem) {
    static const char *const options[] = {"mode=0755", "size=65536k", NULL};
    if (mkdirat(root, "dev", 0755) < 0 && errno != EEXIST && errno != EROFS)
        return problem_at(problem, STEP_BASE, BASE_DEV, errno);
    int onto =
        sys_openat2(root, "dev", O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (onto < 0)
        return problem_at(problem, STEP_BASE, BASE_DEV, onto);
    int dev = sys_fsmount("tmpfs", options, MOUNT_ATTR_NOSUID);
    int r = dev < 0 ? dev : sys_move_mount(dev, onto);
    bool made =
        r == 0 ? populate(dev, tty, master, problem) : problem_at(problem, STEP_BASE, BASE_DEV, r);
    fd_close(&onto);
    fd_close(&dev);
    return made;
}
