/*
 * volumes - the plan's mounts, hidden paths and read-only paths of an app
 *
 * Runs in the pod's init while the app's namespace is built (see context.h). Sources are paths of
 * the host; no part of one may be a symbolic link, since another pod may own the folder above it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
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

/* An empty regular file counts as missing: such a one is what an earlier run left to mount on. */
static bool is_missing(int onto) {
    struct stat st;
    return onto == -ENOENT ||
           (onto >= 0 && fstat(onto, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
}

static bool hides_something(int onto) {
    int folder = openat(onto, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool filled = folder >= 0 && folder_is_filled(folder) == 1;
    fd_close(&folder);
    return filled;
}

/*
 * A link of the image must not lead a target into /proc, /sys, /dev or another volume, whose
 * content may be the host's: what is made or taken away for a target is so in the app's own root
 * alone. stage0 refuses targets that say so themselves, but for this one.
 */
static uint64_t resolve_of(const char *target) {
    return strcmp(target, "/dev/shm") == 0 ? 0 : RESOLVE_NO_XDEV;
}

/* Takes away what has the target's name, a link or a file but no folder. */
static int remove_file(int root, const char *path) {
    char folder[4096];
    const char *name = strrchr(path, '/') + 1;
    size_t length = (size_t)(name - path) - 1;
    if (length >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, path, length);
    folder[length] = '\0';
    int parent = target_open(root, length == 0 ? "/" : folder, RESOLVE_NO_XDEV);
    if (parent < 0)
        return parent;
    int r = unlinkat(parent, name, 0) < 0 ? -errno : 0;
    close(parent);
    return r;
}

struct place {
    int onto;            /* what to mount on, or -errno */
    bool was_there;      /* and not made just now */
    enum wire_step note; /* STEP_NONE, or what should be told */
};

static struct place find_place(int root, const struct plan_mount *m, bool folder) {
    struct stat st;
    uint64_t resolve = resolve_of(m->target);
    struct place p = {.onto = target_open(root, m->target, resolve), .note = STEP_NONE};
    bool in_the_way = p.onto >= 0 && folder && fstat(p.onto, &st) == 0 && !S_ISDIR(st.st_mode);
    /* An image may have /etc/hostname as a link to what /proc says of it. */
    bool across = p.onto == -EXDEV && !folder;
    if (in_the_way || across) {
        fd_close(&p.onto);
        int r = remove_file(root, m->target);
        p.onto = r < 0 ? r : -ENOENT;
        p.note = STEP_MOUNT_REPLACES;
    }
    p.was_there = p.onto >= 0;
    if (p.onto == -ENOENT)
        p.onto = target_ensure(root, m->target, folder, resolve);
    else if (p.was_there && folder && (m->flags & PLAN_COPY) == 0 && hides_something(p.onto))
        p.note = STEP_MOUNT_HIDES;
    return p;
}

/* Sets *step to what is being done, for the case that it fails. */
static int mount_onto(int tree, const struct place *p, unsigned flags, enum wire_step *step) {
    int r = p->onto < 0 ? p->onto : 0;
    if (r == -EXDEV)
        *step = STEP_MOUNT_ACROSS;
    if (r == 0 && p->was_there && (flags & PLAN_COPY) != 0) {
        *step = STEP_MOUNT_COPY;
        r = copy_up(p->onto, tree);
    }
    if (r == 0) {
        *step = STEP_MOUNT_ONTO;
        r = sys_mount_setattr(tree, (flags & PLAN_REC) != 0 ? AT_RECURSIVE : 0,
                              attributes_of(flags), MS_PRIVATE);
    }
    return r == 0 ? sys_move_mount(tree, p->onto) : r;
}

static bool mount_one(int root, const struct plan_mount *m, unsigned index, context_note *note,
                      struct wire *problem) {
    struct stat st;
    if ((m->flags & PLAN_MISSING) != 0) {
        int there = target_open(root, m->target, 0);
        bool missing = is_missing(there);
        fd_close(&there);
        if (!missing)
            return true;
    }
    int tree = source_tree(m);
    if (tree < 0)
        return problem_at(problem, STEP_MOUNT_FROM, index, tree);
    if (fstat(tree, &st) < 0) {
        int error = errno;
        close(tree);
        return problem_at(problem, STEP_MOUNT_FROM, index, error);
    }
    struct place place = find_place(root, m, S_ISDIR(st.st_mode));
    enum wire_step step = STEP_MOUNT_ONTO;
    int r = mount_onto(tree, &place, m->flags, &step);
    fd_close(&place.onto);
    close(tree);
    if (r < 0)
        return problem_at(problem, step, index, r);
    if (place.note != STEP_NONE)
        note(place.note, index);
    return true;
}

bool volumes_mount(int root, const struct plan_app *app, context_note *note, struct wire *problem) {
    unsigned index = 0;
    for (const struct plan_mount *m = app->mounts; m != NULL; m = m->next) {
        if (!mount_one(root, m, index++, note, problem))
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
        int onto = target_open(root, i->path, 0);
        if (onto == -ENOENT || onto == -ENOTDIR)
            continue;
        int r = onto < 0 ? onto : protect(onto);
        fd_close(&onto);
        if (r < 0)
            return problem_at(problem, STEP_READONLY, index, r);
    }
    index = 0;
    for (const struct plan_item *i = app->masks; i != NULL; i = i->next, index++) {
        int onto = target_open(root, i->path, 0);
        if (onto == -ENOENT || onto == -ENOTDIR)
            continue;
        int r = onto < 0 ? onto : hide(root, onto);
        fd_close(&onto);
        if (r < 0)
            return problem_at(problem, STEP_MASK, index, r);
    }
    return true;
}
