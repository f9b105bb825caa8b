/*
 * leftovers - see leftovers.h.
 *
 * Reads a /proc of its own that is mounted nowhere: init's root is empty, and that of the app is
 * the app's. A number that is taken by another process between the look and the kill would have to
 * come around all of pid_max first; init reaps nothing meanwhile, so what it looks at stays.
 */
#define _GNU_SOURCE
#include "leftovers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../fd.h"
#include "../text.h"
#include "sys.h"

#define ROUNDS 16

/* struct linux_dirent64 of getdents64(2) up to its name; libc's readdir(3) would allocate. */
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t length;
    uint8_t type;
};
#define NAME_AT 19

static bool is_in(int proc, const char *pid, const struct stat *wanted) {
    char path[64];
    struct text t = TEXT_ON(path);
    struct stat st;
    text_str(&t, pid);
    text_str(&t, "/ns/mnt");
    return fstatat(proc, path, &st, 0) == 0 && st.st_ino == wanted->st_ino &&
           st.st_dev == wanted->st_dev;
}

static unsigned kill_some(int proc, const struct stat *wanted, const char *bytes, size_t n) {
    unsigned killed = 0;
    for (size_t at = 0; at + NAME_AT < n;) {
        struct entry e;
        uint64_t pid;
        memcpy(&e, bytes + at, NAME_AT);
        const char *name = bytes + at + NAME_AT;
        if (number_parse(name, INT32_MAX, &pid) && pid > 1 && is_in(proc, name, wanted))
            killed += kill((pid_t)pid, SIGKILL) == 0;
        at += e.length;
    }
    return killed;
}

void leftovers_kill(int mount_namespace) {
    char bytes[2048];
    struct stat wanted;
    int proc = sys_fsmount("proc", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (proc < 0 || fstat(mount_namespace, &wanted) < 0) {
        fd_close(&proc);
        return;
    }
    unsigned killed = 1;
    for (unsigned round = 0; round < ROUNDS && killed > 0; round++) {
        int folder = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        long n;
        killed = 0;
        while (folder >= 0 && (n = syscall(SYS_getdents64, folder, bytes, sizeof bytes)) > 0)
            killed += kill_some(proc, &wanted, bytes, (size_t)n);
        fd_close(&folder);
    }
    fd_close(&proc);
}
