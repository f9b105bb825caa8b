/*
 * context - see context.h.
 *
 * Order: copy of the namespace; root, attached over "/" of the copy; /proc, /sys, /dev; volumes;
 * masks; root read-only (the targets exist now); pivot_root; the old root goes away.
 */
#define _GNU_SOURCE
#include "context.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fd.h"
#include "sys.h"

#define TARGET_MAX 4096
#define LINKS_MAX 8

bool problem_at(struct wire *problem, enum wire_step step, unsigned index, int error) {
    problem->kind = WIRE_PROBLEM;
    problem->step = (uint8_t)step;
    problem->index = (uint16_t)index;
    problem->value = error < 0 ? -error : error;
    return false;
}

int target_open(int root, const char *path, uint64_t resolve) {
    return sys_openat2(root, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve);
}

/* -EEXIST: a link that leads nowhere has this name. */
static int create(int parent, const char *name, bool folder) {
    int r = folder
                ? mkdirat(parent, name, 0755)
                : openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    if (r < 0)
        return -errno;
    if (!folder)
        close(r);
    /* A set-group-id folder would hand its group on. */
    return fchownat(parent, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/*
 * The path with its part [from, to), a link in the folder `parent`, replaced by where that leads;
 * still to be resolved inside the root. 0 or -errno.
 */
static int follow(int parent, char *path, size_t from, size_t to, size_t length) {
    char link[TARGET_MAX];
    path[to] = '\0';
    ssize_t n = readlinkat(parent, path + from, link, sizeof link);
    if (n <= 0)
        return n < 0 ? -errno : -ELOOP;
    size_t keep = link[0] == '/' ? 0 : from;
    size_t rest = length - to; /* with its slash */
    if (keep + (size_t)n + rest >= TARGET_MAX)
        return -ENAMETOOLONG;
    path[to] = rest > 0 ? '/' : '\0';
    memmove(path + keep + n, path + to, rest + 1);
    memcpy(path + keep, link, (size_t)n);
    return 0;
}

/* One try; 1 when the path was changed and has to be tried again. */
static int ensure_once(int root, char *path, bool folder, uint64_t resolve, int *out) {
    size_t length = strlen(path);
    int parent = -1;
    for (size_t from = 1;;) {
        size_t to = from + strcspn(path + from, "/");
        bool last = path[to] == '\0';
        path[to] = '\0';
        int fd = target_open(root, path, resolve);
        int r = fd;
        if (fd == -ENOENT) {
            r = create(parent >= 0 ? parent : root, path + from, !last || folder);
            if (r == -EEXIST)
                r = follow(parent >= 0 ? parent : root, path, from, to, length) == 0 ? 1 : -ELOOP;
            else if (r == 0)
                r = fd = target_open(root, path, resolve);
        }
        fd_close(&parent);
        if (fd < 0)
            return r;
        if (last) {
            *out = fd;
            return 0;
        }
        parent = fd;
        path[to] = '/';
        from = to + 1;
    }
}

int target_ensure(int root, const char *target, bool folder, uint64_t resolve) {
    char path[TARGET_MAX];
    size_t length = strlen(target);
    int fd = target_open(root, target, resolve);
    if (fd != -ENOENT)
        return fd;
    if (length >= sizeof path)
        return -ENAMETOOLONG;
    memcpy(path, target, length + 1);
    /* An image may have a link to a file that only its first start makes, like that of resolv.conf.
     */
    for (int links = 0; links < LINKS_MAX; links++) {
        int r = ensure_once(root, path, folder, resolve, &fd);
        if (r != 1)
            return r < 0 ? r : fd;
    }
    return -ELOOP;
}

int mount_staged(const char *type, const char *source, unsigned long flags) {
    /*
     * Over "/" of this private namespace, so that no folder of the host is needed; "/.." then
     * leads to what lies on top. The ids make sure that it did: else the host's root would be
     * taken for the app's.
     */
    uint64_t below;
    uint64_t above;
    int r = sys_mount(source, "/", type, flags, "");
    if (r < 0)
        return r;
    int fd = sys_mount_id("/", &below) == 0 && sys_mount_id("/..", &above) == 0 && below != above
                 ? sys_open_tree(AT_FDCWD, "/..", OPEN_TREE_CLONE)
                 : -EIO;
    r = sys_umount("/..", SYS_MNT_DETACH);
    if (r < 0 && fd >= 0) {
        fd_close(&fd);
        return r;
    }
    return fd;
}

static bool mount_root(const struct plan_app *app, int *out, struct wire *problem) {
    int tree = app->root_kind == PLAN_ZFS ? mount_staged("zfs", app->root, MS_NODEV)
                                          : sys_open_tree(AT_FDCWD, app->root, OPEN_TREE_CLONE);
    if (tree < 0)
        return problem_at(problem, STEP_ROOTFS, 0, tree);
    struct stat st;
    int r = fstat(tree, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    if (r == 0)
        r = sys_mount_setattr(tree, 0, MOUNT_ATTR_NODEV, MS_PRIVATE);
    int slash = r == 0 ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (r == 0 && slash < 0)
        r = -errno;
    if (r == 0)
        r = sys_move_mount(tree, slash);
    fd_close(&slash);
    if (r < 0) {
        fd_close(&tree);
        return problem_at(problem, STEP_ROOTFS, 0, r);
    }
    *out = tree;
    return true;
}

/* A real folder of that name directly below the root, made when it is missing. */
static int base_folder(int root, const char *name) {
    if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
        return errno == EROFS ? sys_openat2(root, name, O_PATH | O_DIRECTORY, 0,
                                            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
                              : -errno;
    return sys_openat2(root, name, O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static bool mount_base(int root, const char *name, int tree, enum wire_base base,
                       struct wire *problem) {
    if (tree < 0)
        return problem_at(problem, STEP_BASE, base, tree);
    int onto = base_folder(root, name);
    int r = onto < 0 ? onto : sys_move_mount(tree, onto);
    fd_close(&onto);
    fd_close(&tree);
    return r == 0 || problem_at(problem, STEP_BASE, base, r);
}

static int sysfs_tree(void) {
    const uint64_t attributes =
        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int tree = sys_fsmount("sysfs", NULL, attributes);
    if (tree != -EPERM)
        return tree;
    /* A network namespace that is not ours: the host's own /sys, without what is mounted in it. */
    tree = sys_open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE);
    if (tree < 0)
        return tree;
    int r = sys_mount_setattr(tree, 0, attributes, MS_PRIVATE);
    if (r < 0) {
        close(tree);
        return r;
    }
    return tree;
}

static bool pivot(int root, struct wire *problem) {
    if (fchdir(root) < 0)
        return problem_at(problem, STEP_PIVOT, 0, errno);
    int r = sys_pivot_root(".", ".");
    if (r == 0)
        r = sys_umount(".", SYS_MNT_DETACH); /* the old root, which lies on top of the new one */
    if (r == 0 && chdir("/") < 0)
        r = -errno;
    return r == 0 || problem_at(problem, STEP_PIVOT, 0, r);
}

static bool build(int root, const struct plan_app *app, bool tty, context_note *note,
                  struct context *out, struct wire *problem) {
    const uint64_t plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (!mount_base(root, "proc", sys_fsmount("proc", NULL, plain), BASE_PROC, problem) ||
        !mount_base(root, "sys", sysfs_tree(), BASE_SYS, problem) ||
        !devices_make(root, tty, &out->master, problem) ||
        !volumes_mount(root, app, note, problem) || !masks_mount(root, app, problem))
        return false;
    if (app->root_ro) {
        int r = sys_mount_setattr(root, 0, MOUNT_ATTR_RDONLY, 0);
        if (r < 0)
            return problem_at(problem, STEP_ROOTFS, 0, r);
    }
    return pivot(root, problem);
}

bool context_build(const struct plan_app *app, bool tty, context_note *note, struct context *out,
                   struct wire *problem) {
    int root = -1;
    out->mntns = out->master = -1;
    int r = sys_unshare(CLONE_NEWNS);
    if (r < 0)
        return problem_at(problem, STEP_NAMESPACE, 0, r);
    if (!mount_root(app, &root, problem))
        return false;
    bool built = build(root, app, tty, note, out, problem);
    fd_close(&root);
    if (built) {
        /* Our own /proc, and nothing of the app has run yet. */
        out->mntns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        if (out->mntns < 0)
            built = problem_at(problem, STEP_NAMESPACE, 0, errno);
    }
    if (!built)
        fd_close(&out->master);
    return built;
}

bool context_isolate(struct wire *problem) {
    /* Slave, not private: what the host unmounts in this moment must not be held by our copy. */
    int r = sys_mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
    return r == 0 || problem_at(problem, STEP_NAMESPACE, 0, r);
}

bool context_leave_host(struct wire *problem) {
    static const char *const options[] = {"size=4k", "nr_inodes=1", "mode=0555", NULL};
    int tree =
        sys_fsmount("tmpfs", options,
                    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (tree < 0)
        return problem_at(problem, STEP_NAMESPACE, 0, tree);
    int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = slash < 0 ? -errno : sys_move_mount(tree, slash);
    fd_close(&slash);
    bool done = r == 0 ? pivot(tree, problem) : problem_at(problem, STEP_NAMESPACE, 0, r);
    fd_close(&tree);
    return done;
}

int context_mount_cgroup(void) {
    int onto =
        sys_openat2(AT_FDCWD, "/sys/fs/cgroup", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
    if (onto == -ENOENT || onto == -ENOTDIR)
        return 0; /* the plan hides /sys/fs */
    if (onto < 0)
        return onto;
    int tree =
        sys_fsmount("cgroup2", NULL,
                    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    int r = tree < 0 ? tree : sys_move_mount(tree, onto);
    fd_close(&tree);
    fd_close(&onto);
    return r;
}
