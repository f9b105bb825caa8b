/*
 * logs - see logs.h. Needs write access to the pod's folder; no stdio, no allocation.
 */
#define _GNU_SOURCE
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "keep.h"
#include "text.h"

#define ROOM 8192

static KEPT char *room; /* for the lines of one chunk */

COLD int log_open(struct log *log, int dir, const char *name, uint64_t max, unsigned keep) {
    struct stat st;
    if (room == NULL)
        room = keep_room(ROOM);
    int fd = openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    *log = (struct log){dir, name, max, keep, fd, (uint64_t)st.st_size, false};
    return 0;
}

static void file_name(struct text *t, const char *name, unsigned number) {
    text_str(t, name);
    if (number > 0) {
        text_str(t, ".");
        text_num(t, number);
    }
}

COLD static int rotate(struct log *log) {
    for (unsigned i = log->keep; i > 0; i--) {
        char from[96];
        char to[96];
        struct text a = TEXT_ON(from);
        struct text b = TEXT_ON(to);
        file_name(&a, log->name, i - 1);
        file_name(&b, log->name, i);
        if (renameat(log->dir, from, log->dir, to) < 0 && errno != ENOENT)
            return -errno;
    }
    int fd = openat(log->dir, log->name,
                    O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    fd_close(&log->fd);
    log->fd = fd;
    log->size = 0;
    return 0;
}

/* Whole lines only: a write that fails half-way is taken back. */
static int put(struct log *log, const struct text *lines) {
    int r = 0;
    if (log->size > 0 && log->size + lines->len > log->max)
        r = rotate(log);
    if (r == 0)
        r = fd_write_all(log->fd, lines->buf, lines->len);
    if (r == 0) {
        log->size += lines->len;
        return 0;
    }
    (void)!ftruncate(log->fd, (off_t)log->size);
    bool first = !log->told;
    log->told = true;
    return first ? r : 0;
}

int log_write(struct log *log, bool stderr_stream, const char *bytes, size_t n) {
    struct text lines = {room, ROOM, 0, false};
    char head[64];
    struct text stamp = TEXT_ON(head);
    struct timespec now;
    int result = 0;
    if (log->fd < 0)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    text_time(&stamp, now);
    text_str(&stamp, stderr_stream ? " stderr " : " stdout ");
    while (n > 0) {
        const char *feed = memchr(bytes, '\n', n);
        size_t length = feed != NULL ? (size_t)(feed - bytes) : n;
        if (lines.len + stamp.len + length + 4 > ROOM) {
            int r = put(log, &lines);
            result = result != 0 ? result : r;
            lines.len = 0;
        }
        text_bytes(&lines, head, stamp.len);
        text_str(&lines, feed != NULL ? "F " : "P ");
        text_bytes(&lines, bytes, length);
        text_str(&lines, "\n");
        bytes += length + (feed != NULL ? 1 : 0);
        n -= length + (feed != NULL ? 1 : 0);
    }
    int r = lines.len > 0 ? put(log, &lines) : 0;
    return result != 0 ? result : r;
}
