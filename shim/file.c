/*
 * file - see file.h.
 */
#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

void *file_room(size_t size) {
    void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return room == MAP_FAILED ? NULL : room;
}

int file_load_open(int fd, size_t max, char **bytes, size_t *length) {
    struct stat st;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return -EPERM;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        return -EFBIG;
    size_t size = (size_t)st.st_size;
    char *room = file_room(size + 1);
    if (room == NULL)
        return -ENOMEM;
    ssize_t n = fd_read_all(fd, room, size + 1);
    if (n < 0 || (size_t)n != size) {
        (void)munmap(room, size + 1);
        return n < 0 ? (int)n : -EAGAIN; /* it changed meanwhile */
    }
    *bytes = room;
    *length = size;
    return 0;
}

int file_load(const char *path, size_t max, char **bytes, size_t *length) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = file_load_open(fd, max, bytes, length);
    close(fd);
    return r;
}
