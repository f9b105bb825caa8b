/*
 * fd - small operations on descriptors. No allocation, no stdio; 0 or -errno.
 */
#ifndef JETPACK_FD_H
#define JETPACK_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Closes *fd unless it is negative, and makes it -1. Never retried: the descriptor is gone in any
 * case. */
void fd_close(int *fd);
int fd_write_all(int fd, const void *bytes, size_t n);
/* Reads up to n bytes, until the end of the file; the number read or -errno. */
ssize_t fd_read_all(int fd, void *bytes, size_t n);
/* A pipe whose ends are CLOEXEC; `nonblock_end` (0, 1 or -1 for none) does not block. */
int fd_pipe(int ends[2], int nonblock_end);
/* Sends `n` bytes and, unless it is -1, a descriptor; blocks. */
int fd_send(int socket, const void *bytes, size_t n, int fd);
/*
 * Receives one message of n bytes: 1, or 0 when the other side is gone, or -errno. *fd and *pid
 * (both optional) become what came along, else -1 and 0.
 */
int fd_receive(int socket, void *bytes, size_t n, int *fd, pid_t *pid);
/*
 * One datagram, without waiting: its length, or -errno (-EMSGSIZE: it was longer). *pid is its
 * sender in our namespace, 0: none of ours. Descriptors that come along are closed.
 */
ssize_t fd_receive_datagram(int socket, void *bytes, size_t n, pid_t *pid);
/* As fd_send, with the credentials (pid, 0, 0): only for the superuser. */
int fd_send_pid(int socket, const void *bytes, size_t n, pid_t pid);

#endif
