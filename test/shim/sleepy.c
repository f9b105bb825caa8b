/*
 * sleepy - a FUSE daemon with the fault of zfs-fuse, for the tests of `wake`
 *
 *     sleepy ONE OTHER
 *
 * Mounts a file system on each folder, and then waits for a request for OTHER, as zfs-fuse does
 * when the kernel has taken back the request that it was about to read: ONE is not answered before
 * OTHER has been used. Prints a line when both are mounted. Ends when they are unmounted, or after
 * 30 seconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int mount_on(const char *folder) {
    char options[100];
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    return mount("sleepy", folder, "fuse", MS_NOSUID | MS_NODEV, options) < 0 ? -1 : fd;
}

static void answer(int fd, const struct fuse_in_header *in, int error, const void *body, size_t n) {
    char out[512];
    const struct fuse_out_header head = {
        .len = (unsigned)(sizeof head + n), .error = error, .unique = in->unique};
    memcpy(out, &head, sizeof head);
    if (n > 0)
        memcpy(out + sizeof head, body, n);
    if (write(fd, out, sizeof head + n) < 0)
        perror("sleepy");
}

/* Reads one request, waiting for it, and answers. False when the file system is gone. */
static int serve(int fd) {
    static char in[FUSE_MIN_READ_BUFFER * 32];
    const struct fuse_in_header *head = (const struct fuse_in_header *)in;
    if (read(fd, in, sizeof in) < (ssize_t)sizeof *head)
        return 0;
    if (head->opcode == FUSE_INIT) {
        const struct fuse_init_out init = {
            .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096};
        answer(fd, head, 0, &init, sizeof init);
    } else if (head->opcode == FUSE_STATFS) {
        const struct fuse_statfs_out statfs = {.st = {.bsize = 4096, .namelen = 255}};
        answer(fd, head, 0, &statfs, sizeof statfs);
    } else if (head->opcode != FUSE_FORGET && head->opcode != FUSE_INTERRUPT)
        answer(fd, head, -ENOSYS, NULL, 0);
    return 1;
}

int main(int argc, char **argv) {
    alarm(30);
    if (argc != 3)
        return 2;
    int one = mount_on(argv[1]);
    int other = mount_on(argv[2]);
    if (one < 0 || other < 0) {
        perror("sleepy");
        return 1;
    }
    (void)serve(one);
    (void)serve(other);
    puts("mounted");
    fflush(stdout);
    (void)serve(other); /* the fault */
    struct pollfd fds[] = {{.fd = one, .events = POLLIN}, {.fd = other, .events = POLLIN}};
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0)
            return 1;
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents != 0 && !serve(fds[i].fd))
                fds[i].fd = -1;
        }
    }
    return 0;
}
