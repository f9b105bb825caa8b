/*
 * writer - stands where the metadata service would, and tries to change anything at all
 *
 *     writer PORT [FOLDER]
 *
 * Walks everything that it can see, below / or the folder, and tries on each folder and file what
 * a file system offers to change it; then to get privileges, other mounts, other networks. Prints
 * a line for every success and at the end how many attempts there were, what of its identity it
 * sees, and its open descriptors. Static: it needs nothing of its root.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static unsigned attempts;

static void tried(int failed, const char *how, const char *what) {
    attempts++;
    if (!failed)
        printf("DID %s %s\n", how, what);
}

static void try_folder(const char *path) {
    char name[4200];
    snprintf(name, sizeof name, "%s/.writer", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    tried(fd < 0, "create", name);
    tried(mkdir(name, 0700) < 0, "mkdir", name);
    tried(symlink("x", name) < 0, "symlink", name);
    tried(mkfifo(name, 0600) < 0, "mkfifo", name);
    tried(open(path, O_TMPFILE | O_WRONLY, 0600) < 0, "tmpfile", path);
    tried(mount("none", path, "tmpfs", 0, "") < 0, "mount", path);
    tried(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL) < 0, "remount", path);
}

static void try_any(const char *path, int folder) {
    char other[4200];
    snprintf(other, sizeof other, "%s.writer", path);
    tried(chmod(path, 0777) < 0, "chmod", path);
    tried(chown(path, getuid(), getgid()) < 0, "chown", path);
    tried(utimensat(AT_FDCWD, path, NULL, 0) < 0, "utimens", path);
    tried(rename(path, other) < 0, "rename", path);
    tried(setxattr(path, "user.writer", "x", 1, 0) < 0, "setxattr", path);
    if (!folder) {
        tried(open(path, O_WRONLY) < 0, "open", path);
        tried(open(path, O_RDWR) < 0, "open", path);
        tried(truncate(path, 0) < 0, "truncate", path);
        tried(link(path, other) < 0, "link", path);
        tried(unlink(path) < 0, "unlink", path);
    }
}

static void walk(const char *path, unsigned depth) {
    DIR *d = depth > 0 ? opendir(path) : NULL;
    try_folder(path);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char child[4096];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", strcmp(path, "/") == 0 ? "" : path, e->d_name);
        if (lstat(child, &st) < 0)
            continue;
        try_any(child, S_ISDIR(st.st_mode));
        if (S_ISDIR(st.st_mode))
            walk(child, depth - 1);
    }
    if (d != NULL)
        closedir(d);
}

static int dial(unsigned port) {
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int r = connect(fd, (const struct sockaddr *)&to, sizeof to);
    int error = errno;
    close(fd);
    errno = error;
    return r;
}

static void try_privileges(unsigned port) {
    tried(setresuid(0, 0, 0) < 0, "setuid", "0");
    tried(setresgid(0, 0, 0) < 0, "setgid", "0");
    tried(setgroups(0, NULL) < 0, "setgroups", "");
    tried(unshare(CLONE_NEWNS) < 0, "unshare", "mounts");
    tried(unshare(CLONE_NEWNET) < 0, "unshare", "network");
    tried(chroot("/") < 0, "chroot", "/");
    tried(prctl(PR_SET_SECUREBITS, 0) < 0, "securebits", "");
    tried(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0) < 0, "ambient", "");
    /* Only a refusal of the kernel's own counts: nobody listens there. */
    tried(dial(port) < 0, "connect", "");
    printf("connect: %s\n", strerror(errno));
    printf("more files: %s\n", syscall(SYS_memfd_create, "x", 0) < 0 ? "no" : "in memory only");
}

static void identity(void) {
    gid_t groups[64];
    struct rlimit core;
    uid_t u[3];
    gid_t g[3];
    getresuid(&u[0], &u[1], &u[2]);
    getresgid(&g[0], &g[1], &g[2]);
    printf("uid %u %u %u gid %u %u %u groups %d\n", u[0], u[1], u[2], g[0], g[1], g[2],
           getgroups(64, groups));
    printf("no_new_privs %d securebits %x", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
           (unsigned)prctl(PR_GET_SECUREBITS));
    getrlimit(RLIMIT_CORE, &core);
    printf(" core %llu\n", (unsigned long long)core.rlim_max);
    printf("fds");
    for (int fd = 0; fd < 64; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            printf(" %d%s", fd, S_ISSOCK(st.st_mode) ? ":socket" : "");
    }
    printf("\nLISTEN_FDS=%s LISTEN_PID=%s\n", getenv("LISTEN_FDS"),
           getenv("LISTEN_PID") != NULL && atoi(getenv("LISTEN_PID")) == getpid() ? "own" : "?");
}

int main(int argc, char **argv) {
    identity();
    walk(argc > 2 ? argv[2] : "/", 4);
    try_privileges(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    printf("attempts %s\n", attempts > 200 ? "many" : "few");
    return 0;
}
