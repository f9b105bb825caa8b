/*
 * sys - see sys.h.
 */
#define _GNU_SOURCE
#include "sys.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/stat.h>

static int result(long r) {
    return r < 0 ? -errno : (int)r;
}

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    long r;
    /* EAGAIN: a rename elsewhere raced with a resolution that must not leave its root. */
    unsigned tries = 0;
    do {
        r = syscall(SYS_openat2, dir, path, &how, sizeof how);
    } while (r < 0 && errno == EAGAIN && ++tries < 64);
    return result(r);
}

bool sys_is_on(int fd, long magic) {
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (long)fs.f_type == magic;
}

int sys_open_proc(const char *name, int flags) {
    int proc = sys_openat2(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
    if (proc < 0)
        return proc;
    int fd = sys_is_on(proc, PROC_SUPER_MAGIC)
                 ? sys_openat2(proc, name, (uint64_t)flags, 0,
                               RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS)
                 : -ENOTSUP;
    close(proc);
    return fd == -EXDEV ? -ENOTSUP : fd;
}

int sys_open_tree(int dir, const char *path, unsigned flags) {
    return result(syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC));
}

int sys_move_mount(int from, int onto) {
    return result(syscall(SYS_move_mount, from, "", onto, "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int sys_mount_setattr(int fd, unsigned at_flags, uint64_t set, uint64_t propagation) {
    struct mount_attr attr = {.attr_set = set, .propagation = propagation};
    return result(syscall(SYS_mount_setattr, fd, "", at_flags | AT_EMPTY_PATH, &attr, sizeof attr));
}

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
              const char *data) {
    return result(syscall(SYS_mount, source, target, type, flags, data));
}

int sys_umount(const char *target, int flags) {
    return result(syscall(SYS_umount2, target, flags));
}

int sys_pivot_root(const char *new_root, const char *old_root) {
    return result(syscall(SYS_pivot_root, new_root, old_root));
}

static int configure(int fs, const char *const *options) {
    char key[32];
    for (; options != NULL && *options != NULL; options++) {
        const char *equals = strchr(*options, '=');
        size_t n = equals != NULL ? (size_t)(equals - *options) : strlen(*options);
        if (n >= sizeof key)
            return -EINVAL;
        memcpy(key, *options, n);
        key[n] = '\0';
        long r = equals != NULL ? syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, equals + 1, 0)
                                : syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0);
        if (r < 0)
            return -errno;
    }
    return result(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

int sys_fsmount(const char *type, const char *const *options, uint64_t attributes) {
    int fs = result(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
    if (fs < 0)
        return fs;
    /* What /proc/mounts shows as the device. */
    int r = result(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", type, 0));
    if (r == 0)
        r = configure(fs, options);
    if (r == 0)
        r = result(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes));
    close(fs);
    return r;
}

int sys_unshare(uint64_t flags) {
    return result(syscall(SYS_unshare, flags));
}

int sys_setns(int fd, int flags) {
    return result(syscall(SYS_setns, fd, flags));
}

int sys_pidfd_open(pid_t pid) {
    return result(syscall(SYS_pidfd_open, pid, 0));
}

int sys_pidfd_getfd(int pidfd, int fd) {
    return result(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

pid_t sys_clone3(const struct sys_clone *how) {
    struct clone_args args = {.flags = how->flags, .exit_signal = SIGCHLD};
    if (how->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)how->cgroup;
    }
    return result(syscall(SYS_clone3, &args, sizeof args));
}

int sys_close_range(unsigned first, unsigned last, unsigned flags) {
    return result(syscall(SYS_close_range, first, last, flags));
}

int sys_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *effective = data[0].effective | (uint64_t)data[1].effective << 32;
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    *inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

int sys_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (unsigned i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> 32 * i);
        data[i].permitted = (uint32_t)(permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    return result(syscall(SYS_capset, &header, data));
}

int sys_seccomp(const struct sock_fprog *program) {
    return result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program));
}

int sys_setgroups(size_t n, const gid_t *list) {
    return result(syscall(SYS_setgroups, n, list));
}

int sys_setresgid(gid_t gid) {
    return result(syscall(SYS_setresgid, gid, gid, gid));
}

int sys_setresuid(uid_t uid) {
    return result(syscall(SYS_setresuid, uid, uid, uid));
}

int sys_access(const char *path, int mode) {
    return result(syscall(SYS_faccessat, AT_FDCWD, path, mode));
}

int sys_mount_id(const char *path, uint64_t *id) {
    struct statx st;
    if (syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) < 0)
        return -errno;
    *id = st.stx_mnt_id;
    return (st.stx_mask & STATX_MNT_ID) != 0 ? 0 : -ENOSYS;
}

bool sys_cwd_is_inside(void) {
    static char path[4096];
    long n = syscall(SYS_getcwd, path, sizeof path);
    /* A path that is too long for the buffer is one from the root down. */
    return n > 0 ? path[0] == '/' : errno == ERANGE || errno == ENAMETOOLONG;
}
