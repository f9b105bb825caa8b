/*
 * sys - the system calls that libc does not wrap, or wraps with more than is wanted
 *
 * All return a result or -errno, never touch errno's meaning for the caller, and are safe after
 * fork. Needs Linux 5.12 (mount_setattr); an older kernel answers -ENOSYS.
 */
#ifndef JETPACK_SYS_H
#define JETPACK_SYS_H

#include <stdbool.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>

#define SYS_MNT_DETACH 2

struct sys_clone {
    uint64_t flags;
    int cgroup; /* a folder of cgroup v2 to be born in, or -1 */
};

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int sys_open_tree(int dir, const char *path, unsigned flags);
/* Mounts the detached or open tree `from` on the open file or folder `onto`. */
int sys_move_mount(int from, int onto);
/*
 * A file of the real /proc, below it: an app that may mount could have put something else in its
 * place, and what is written would go there. -ENOTSUP: /proc is not what it seems.
 */
int sys_open_proc(const char *name, int flags);
/* Whether a descriptor is on the file system of that magic. */
bool sys_is_on(int fd, long magic);
/* Whether the working directory is below the root: the kernel calls any other "(unreachable)". */
bool sys_cwd_is_inside(void);
int sys_mount_setattr(int fd, unsigned at_flags, uint64_t set, uint64_t propagation);
int sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
              const char *data);
int sys_umount(const char *target, int flags);
int sys_pivot_root(const char *new_root, const char *old_root);
/* fsopen, fsconfig for each "key" or "key=value" of the NULL-terminated options, fsmount. */
int sys_fsmount(const char *type, const char *const *options, uint64_t attributes);
int sys_unshare(uint64_t flags);
int sys_setns(int fd, int flags);
int sys_pidfd_open(pid_t pid);
/* A copy of a descriptor of that process, CLOEXEC, the lowest number that is free. */
int sys_pidfd_getfd(int pidfd, int fd);
/* As fork(2): 0 in the child. */
pid_t sys_clone3(const struct sys_clone *how);
int sys_close_range(unsigned first, unsigned last, unsigned flags);
int sys_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable);
int sys_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int sys_seccomp(const struct sock_fprog *program);
int sys_setgroups(size_t n, const gid_t *list);
int sys_setresgid(gid_t gid);
int sys_setresuid(uid_t uid);
/* The mount that a path lies on. */
int sys_mount_id(const char *path, uint64_t *id);
int sys_access(const char *path, int mode);

#endif
