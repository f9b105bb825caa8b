/*
 * fd - see fd.h.
 */
#define _GNU_SOURCE
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void fd_close(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int fd_write_all(int fd, const void *bytes, size_t n) {
    const char *at = bytes;
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

ssize_t fd_read_all(int fd, void *bytes, size_t n) {
    char *at = bytes;
    size_t got = 0;
    while (got < n) {
        ssize_t r = read(fd, at + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

int fd_pipe(int ends[2], int nonblock_end) {
    int made[2];
    if (pipe2(made, O_CLOEXEC) < 0)
        return -errno;
    if (nonblock_end >= 0 && fcntl(made[nonblock_end], F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;
        close(made[0]);
        close(made[1]);
        return -error;
    }
    ends[0] = made[0];
    ends[1] = made[1];
    return 0;
}

/* One control message of `size` bytes, of SOL_SOCKET. */
static int send_with(int socket, const void *bytes, size_t n, int type, const void *extra,
                     size_t size) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = {(void *)(uintptr_t)bytes, n};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (size > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = (socklen_t)CMSG_SPACE(size);
        struct cmsghdr *c = &control.header; /* CMSG_FIRSTHDR, and never NULL */
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = type;
        c->cmsg_len = (socklen_t)CMSG_LEN(size);
        memcpy(CMSG_DATA(c), extra, size);
    }
    ssize_t done;
    do {
        done = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (done < 0 && errno == EINTR);
    if (done < 0)
        return -errno;
    return (size_t)done == n ? 0 : -EIO;
}

int fd_send(int socket, const void *bytes, size_t n, int fd) {
    return send_with(socket, bytes, n, SCM_RIGHTS, &fd, fd >= 0 ? sizeof fd : 0);
}

int fd_send_pid(int socket, const void *bytes, size_t n, pid_t pid) {
    struct ucred who = {.pid = pid, .uid = 0, .gid = 0};
    return send_with(socket, bytes, n, SCM_CREDENTIALS, &who, sizeof who);
}

/* The macros of some libcs mix signs. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
static struct cmsghdr *first_header(struct msghdr *message) {
    return CMSG_FIRSTHDR(message);
}

static struct cmsghdr *next_header(struct msghdr *message, struct cmsghdr *c) {
    return CMSG_NXTHDR(message, c);
}
#pragma GCC diagnostic pop

int fd_receive(int socket, void *bytes, size_t n, int *fd, pid_t *pid) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = {bytes, n};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got;
    int passed = -1;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (pid != NULL)
        *pid = 0;
    for (struct cmsghdr *c = first_header(&message); c != NULL; c = next_header(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            memcpy(&passed, CMSG_DATA(c), sizeof passed);
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && pid != NULL) {
            struct ucred who;
            memcpy(&who, CMSG_DATA(c), sizeof who);
            *pid = who.pid;
        }
    }
    if (fd != NULL)
        *fd = passed;
    else
        fd_close(&passed);
    if (got == 0)
        return 0;
    return (size_t)got == n ? 1 : -EPROTO;
}

static void close_rights(const struct cmsghdr *c) {
    const unsigned char *data = CMSG_DATA(c);
    size_t room = c->cmsg_len - (size_t)(data - (const unsigned char *)c);
    for (size_t at = 0; at + sizeof(int) <= room; at += sizeof(int)) {
        int fd;
        memcpy(&fd, data + at, sizeof fd);
        fd_close(&fd);
    }
}

ssize_t fd_receive_datagram(int socket, void *bytes, size_t n, pid_t *pid) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {bytes, n};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got;
    *pid = 0;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    for (struct cmsghdr *c = first_header(&message); c != NULL; c = next_header(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS) {
            close_rights(c);
        } else if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred who;
            memcpy(&who, CMSG_DATA(c), sizeof who);
            *pid = who.pid;
        }
    }
    return (message.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : got;
}
