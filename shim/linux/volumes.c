/*
 * volumes - the plan's mounts, hidden paths and read-only paths of an app
 *
 * Runs in the pod's init while the app's namespace is built (see context.h). Sources are paths of
 * the host; no part of one may be a symbolic link, since another pod may own the folder above it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fd.h"
#include "context.h"
#include "sys.h"

/* Never with devices: an app with CAP_MKNOD could make and open the host's. */
static uint64_t attributes_of(unsigned flags) {
    return (uint64_t)MOUNT_ATTR_NODEV | ((flags & PLAN_RO) != 0 ? (uint64_t)MOUNT_ATTR_RDONLY : 0) |
           ((flags & PLAN_NOSUID) != 0 ? (uint64_t)MOUNT_ATTR_NOSUID : 0) |
           ((flags & PLAN_NOEXEC) != 0 ? (uint64_t)MOUNT_ATTR_NOEXEC : 0);
}

static int source_tree(const struct plan_mount *m) {
    if (m->kind == PLAN_ZFS)
        return mount_staged("zfs", m->source, 0);
    int fd =
        sys_openat2(AT_FDCWD, m->source, O_PATH, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    int tree = sys_open_tree(
        fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | ((m->flags & PLAN_REC) != 0 ? AT_RECURSIVE : 0));
    close(fd);
    return tree;
}

/* The image's folder, opened before the volume covers it; reading needs more than O_PATH. */
static int copy_up(int onto, int tree) {
    int from = openat(onto, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0)
        return -errno;
    int to = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = to < 0 ? -errno : copy_tree(from, to);
    fd_close(&to);
    close(from);
    return r;
}

static bool mount_one(int root, const struct plan_mount *m, unsigned index, struct wire *problem) {
    struct stat st;
    int tree = source_tree(m);
    if (tree < 0)
        return problem_at(problem, STEP_MOUNT_FROM, index, tree);
    if (fstat(tree, &st) < 0) {
        int error = errno;
        close(tree);
        return problem_at(problem, STEP_MOUNT_FROM, index, error);
    }
    int existing = (m->flags & PLAN_COPY) != 0 ? target_open(root, m->target) : -ENOENT;
    int onto = existing >= 0 ? existing : target_ensure(root, m->target, S_ISDIR(st.st_mode));
    enum wire_step step = STEP_MOUNT_ONTO;
    int r = onto < 0 ? onto : 0;
    if (r == 0 && existing >= 0) {
        step = STEP_MOUNT_COPY;
        r = copy_up(onto, tree);
    }
    if (r == 0) {
        step = STEP_MOUNT_ONTO;
        r = sys_mount_setattr(tree, (m->flags & PLAN_REC) != 0 ? AT_RECURSIVE : 0,
                              attributes_of(m->flags), MS_PRIVATE);
    }
    if (r == 0)
        r = sys_move_mount(tree, onto);
    fd_close(&onto);
    close(tree);
    return r == 0 || problem_at(problem, step, index, r);
}

bool volumes_mount(int root, const struct plan_app *app, struct wire *problem) {
    unsigned index = 0;
    for (const struct plan_mount *m = app->mounts; m != NULL; m = m->next) {
        if (!mount_one(root, m, index++, problem))
            return false;
    }
    return true;
}

static int hide(int root, int onto) {
    static const char *const options[] = {"size=4k", "nr_inodes=1", "mode=0555", NULL};
    struct stat st;
    if (fstat(onto, &st) < 0)
        return -errno;
    int tree = S_ISDIR(st.st_mode)
                   ? sys_fsmount("tmpfs", options,
                                 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                     MOUNT_ATTR_NOEXEC)
                   : sys_open_tree(root, "dev/null", OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
    if (tree < 0)
        return tree;
    int r = sys_move_mount(tree, onto);
    close(tree);
    return r;
}

static int protect(int onto) {
    int tree = sys_open_tree(onto, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int r = sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MS_PRIVATE);
    if (r == 0)
        r = sys_move_mount(tree, onto);
    close(tree);
    return r;
}

bool masks_mount(int root, const struct plan_app *app, struct wire *problem) {
    unsigned index = 0;
    for (const struct plan_item *i = app->readonly; i != NULL; i = i->next, index++) {
        int onto = target_open(root, i->path);
        if (onto == -ENOENT || onto == -ENOTDIR)
            continue;
        int r = onto < 0 ? onto : protect(onto);
        fd_close(&onto);
        if (r < 0)
            return problem_at(problem, STEP_READONLY, index, r);
    }
    index = 0;
    for (const struct plan_item *i = app->masks; i != NULL; i = i->next, index++) {
        int onto = target_open(root, i->path);
        if (onto == -ENOENT || onto == -ENOTDIR)
            continue;
        int r = onto < 0 ? onto : hide(root, onto);
        fd_close(&onto);
        if (r < 0)
            return problem_at(problem, STEP_MASK, index, r);
    }
    return true;
}
