/*
 * copy - the content of one folder into another, empty one
 *
 * For a new volume that starts with what the image has at its mount point: files, folders,
 * symbolic links, FIFOs, sockets, with owners, modes, times, hard links among them and the extended
 * attributes of files and folders. Neither side is left: names are single components, links are
 * copied and never followed. Device nodes are refused. Runs in the pod's init; the umask must be 0.
 *
 * A file named SEEDING stands in the volume while it is copied into. A volume that has it when the
 * pod starts was left half-done by a kill: its content goes, and the copy is made again. No app has
 * run with it; what an app without privileges made under that name is no such mark. An image's own
 * file of that name is not copied.
 *
 * 0 or -errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../fd.h"
#include "context.h"

#define SEEDING ".jetpack-seeding"
#define DEPTH_MAX 64
#define XATTR_BYTES 65536

struct entry {
    uint64_t ino;
    int64_t off;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* What is done to each entry of a folder. */
typedef int visit(int from, int to, const char *name, unsigned depth);

/* -- walking -------------------------------------------------------------------------------- */

static bool is_dots(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Until the first that returns something else than 0. */
static int each_entry(int from, int to, unsigned depth, visit *each) {
    _Alignas(struct entry) char room[2048];
    if (depth > DEPTH_MAX)
        return -ELOOP;
    for (;;) {
        long n = syscall(SYS_getdents64, from, room, sizeof room);
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(const void *)(room + at);
            at += e->length;
            if (is_dots(e->name))
                continue;
            int r = each(from, to, e->name, depth);
            if (r != 0)
                return r;
        }
    }
}

static int found_one(int from, int to, const char *name, unsigned depth) {
    (void)from;
    (void)to;
    (void)name;
    (void)depth;
    return 1;
}

int folder_is_filled(int folder) {
    return each_entry(folder, -1, 0, found_one);
}

static int remove_entry(int from, int to, const char *name, unsigned depth) {
    if (to < 0 && strcmp(name, SEEDING) == 0)
        return 0; /* goes when nothing else is left */
    if (unlinkat(from, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int folder = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int r = each_entry(folder, folder, depth + 1, remove_entry);
    close(folder);
    if (r == 0 && unlinkat(from, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}

/* -- hard links ------------------------------------------------------------------------------ */

/*
 * Where the first copy of an inode with several names went, relative to the volume. When there are
 * more than fit, further ones become files of their own: no content is lost, only the sharing.
 */
static struct {
    int root; /* of the volume */
    char path[4096];
    size_t length; /* of the folder that is being copied, with a slash at its end */
    struct {
        uint64_t device;
        uint64_t inode;
        uint32_t at;
    } first[1024];
    unsigned count;
    char paths[64 * 1024];
    uint32_t used;
} links;

static bool path_push(const char *name) {
    size_t n = strlen(name);
    if (links.length + n + 2 > sizeof links.path)
        return false;
    memcpy(links.path + links.length, name, n);
    links.length += n;
    links.path[links.length++] = '/';
    return true;
}

static void path_pop(const char *name) {
    links.length -= strlen(name) + 1;
}

/* 1: `name` is now a link to the copy made before; 0: there is none; or -errno. */
static int link_to_first(int to, const char *name, const struct stat *st) {
    for (unsigned i = 0; i < links.count; i++) {
        if (links.first[i].inode != st->st_ino || links.first[i].device != st->st_dev)
            continue;
        /* Nobody else writes here: the path leads to what was made under it. */
        return linkat(links.root, links.paths + links.first[i].at, to, name, 0) < 0 ? -errno : 1;
    }
    return 0;
}

static void remember_first(const char *name, const struct stat *st) {
    size_t n = strlen(name) + 1;
    if (links.count == sizeof links.first / sizeof links.first[0] ||
        links.used + links.length + n > sizeof links.paths)
        return;
    links.first[links.count].device = st->st_dev;
    links.first[links.count].inode = st->st_ino;
    links.first[links.count++].at = links.used;
    memcpy(links.paths + links.used, links.path, links.length);
    memcpy(links.paths + links.used + links.length, name, n);
    links.used += (uint32_t)(links.length + n);
}

/* -- content --------------------------------------------------------------------------------- */

/* After owner and mode, since a change of owner takes file capabilities away. */
static int copy_attributes(int in, int out) {
    static char names[XATTR_BYTES];
    static char value[XATTR_BYTES];
    ssize_t length = flistxattr(in, names, sizeof names);
    if (length < 0)
        return errno == ENOTSUP ? 0 : -errno;
    for (const char *name = names; name < names + length; name += strlen(name) + 1) {
        bool virtual = strncmp(name, "system.", 7) == 0;
        ssize_t n = fgetxattr(in, name, value, sizeof value);
        if (n < 0 && (errno == ENODATA || (virtual && errno == ENOTSUP)))
            continue;
        if (n < 0)
            return -errno;
        if (fsetxattr(out, name, value, (size_t)n, 0) < 0 && !(virtual && errno == ENOTSUP))
            return -errno;
    }
    return 0;
}

static int copy_owner(int in, int out, const struct stat *st) {
    if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
        return -errno;
    return copy_attributes(in, out);
}

static int copy_file(int from, int to, const char *name, const struct stat *st) {
    if (st->st_nlink > 1) {
        int linked = link_to_first(to, name, st);
        if (linked != 0)
            return linked < 0 ? linked : 0;
    }
    /* NONBLOCK: the type was looked at before, and could be another by now. */
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return -errno;
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = out < 0 ? -errno : 0;
    while (r == 0) {
        ssize_t n = sendfile(out, in, NULL, 1 << 20);
        if (n == 0)
            break;
        if (n < 0)
            r = -errno;
    }
    if (r == 0)
        r = copy_owner(in, out, st);
    fd_close(&out);
    close(in);
    if (r == 0 && st->st_nlink > 1)
        remember_first(name, st);
    return r;
}

static int copy_link(int from, int to, const char *name) {
    char target[4096];
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth);

static int copy_subfolder(int from, int to, const char *name, const struct stat *st,
                          unsigned depth) {
    if (mkdirat(to, name, 0700) < 0)
        return -errno;
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return -errno;
    int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = out < 0 ? -errno : path_push(name) ? 0 : -ENAMETOOLONG;
    if (r == 0) {
        r = each_entry(in, out, depth + 1, copy_entry);
        path_pop(name);
    }
    if (r == 0)
        r = copy_owner(in, out, st);
    fd_close(&out);
    close(in);
    return r;
}

static int copy_special(int to, const char *name, const struct stat *st) {
    return mknodat(to, name, st->st_mode, 0) < 0 ? -errno : 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth) {
    struct stat st;
    int r;
    if (depth == 0 && strcmp(name, SEEDING) == 0)
        return 0;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    switch (st.st_mode & S_IFMT) {
    case S_IFDIR:
        r = copy_subfolder(from, to, name, &st, depth);
        break;
    case S_IFREG:
        r = copy_file(from, to, name, &st);
        break;
    case S_IFLNK:
        r = copy_link(from, to, name);
        break;
    case S_IFIFO:
    case S_IFSOCK:
        r = copy_special(to, name, &st);
        break;
    default:
        return -EPERM;
    }
    bool owned = S_ISDIR(st.st_mode) || S_ISREG(st.st_mode);
    if (r == 0 && !owned && fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r == 0) {
        struct timespec times[2] = {st.st_atim, st.st_mtim};
        if (utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
            r = -errno;
    }
    return r;
}

/* -- the volume ------------------------------------------------------------------------------ */

static bool is_half_done(int to) {
    struct stat st;
    return fstatat(to, SEEDING, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_uid == 0 && (st.st_mode & 07777) == 0600;
}

int copy_tree(int from, int to) {
    struct stat st;
    bool half_done = is_half_done(to);
    int r = half_done ? each_entry(to, -1, 0, remove_entry) : folder_is_filled(to);
    if (r != 0)
        return r < 0 ? r : 0;
    int mark = openat(to, SEEDING, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (mark < 0)
        return -errno;
    close(mark);
    links.root = to;
    links.length = links.count = links.used = 0;
    if (half_done && lseek(to, 0, SEEK_SET) < 0)
        return -errno;
    r = each_entry(from, to, 0, copy_entry);
    if (r == 0 && fstat(from, &st) < 0)
        r = -errno;
    if (r == 0)
        r = copy_owner(from, to, &st);
    /* ZFS keeps the order of changes over a crash, too: the content is there before the mark goes.
     */
    if (r == 0 && unlinkat(to, SEEDING, 0) < 0)
        r = -errno;
    return r;
}
