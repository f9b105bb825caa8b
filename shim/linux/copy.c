/*
 * copy - the content of one folder into another, empty one
 *
 * For a new volume that starts with what the image has at its mount point: files, folders,
 * symbolic links, FIFOs, sockets, with owners, modes and times. Neither side is left: names are
 * single components, links are copied and never followed. Device nodes are refused. Runs in
 * the pod's init; the umask must be 0. 0 or -errno; a failure leaves what was copied so far.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../fd.h"
#include "context.h"

#define DEPTH_MAX 64

struct entry {
    uint64_t ino;
    int64_t off;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int copy_folder(int from, int to, unsigned depth);

static bool is_dots(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static int copy_file(int from, int to, const char *name, const struct stat *st) {
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
    if (r == 0 && (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0))
        r = -errno;
    fd_close(&out);
    close(in);
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

static int copy_subfolder(int from, int to, const char *name, const struct stat *st,
                          unsigned depth) {
    if (mkdirat(to, name, 0700) < 0)
        return -errno;
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return -errno;
    int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = out < 0 ? -errno : copy_folder(in, out, depth + 1);
    if (r == 0 && (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0))
        r = -errno;
    fd_close(&out);
    close(in);
    return r;
}

static int copy_entry(int from, int to, const char *name, unsigned depth) {
    struct stat st;
    int r;
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
        if (r == 0 && fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
            r = -errno;
        break;
    case S_IFIFO:
    case S_IFSOCK:
        r = mknodat(to, name, st.st_mode, 0) < 0 ||
                    fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0
                ? -errno
                : 0;
        break;
    default:
        return -EPERM;
    }
    if (r == 0) {
        struct timespec times[2] = {st.st_atim, st.st_mtim};
        if (utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
            r = -errno;
    }
    return r;
}

/* Calls copy_entry for each entry; with to < 0 only looks whether there is one (-ENOTEMPTY). */
static int copy_folder(int from, int to, unsigned depth) {
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
            int r = to < 0 ? -ENOTEMPTY : copy_entry(from, to, e->name, depth);
            if (r < 0)
                return r;
        }
    }
}

int copy_tree(int from, int to) {
    struct stat st;
    int r = copy_folder(to, -1, 0);
    if (r < 0)
        return r == -ENOTEMPTY ? 0 : r;
    r = copy_folder(from, to, 0);
    if (r < 0)
        return r;
    if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
        fchmod(to, st.st_mode & 07777) < 0)
        return -errno;
    return 0;
}
