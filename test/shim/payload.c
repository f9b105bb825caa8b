/*
 * payload - the app of the integration tests: tells what it finds itself in, and misbehaves on
 * demand
 *
 * Static, needs nothing of its root. Without a mode it prints one JSON object and exits 0. The
 * modes may be combined; they run in the order given:
 *
 *     --report            the JSON object (also the default when nothing else is asked)
 *     --exit N            exit with N at once
 *     --sleep S           sleep S seconds (0 = for ever)
 *     --ignore-term       SIGTERM is ignored from here on
 *     --on-term N         SIGTERM makes it exit with N
 *     --crash SIG         kill itself with that signal
 *     --write-lines N     `line 1` ... `line N` on stdout
 *     --stderr TEXT       TEXT and a line feed on stderr
 *     --stdout TEXT       TEXT without a line feed on stdout
 *     --fork-zombies N    N children that exit at once and are not waited for, each with an orphan
 *     --alloc MIB         touch that much memory
 *     --read-stdin        copy stdin to stdout until its end
 *     --write-file PATH   create PATH with the line `written`; errno as exit status on failure
 *     --try CALL          `CALL: ok` or `CALL: ENAME` of one harmless system call: see try_call()
 *     --fork N            N children that wait; `forked M` and the errno that stopped it
 *     --burn MS           compute for so many milliseconds of processor time
 *     --alloc-child MIB   a child touches that much memory; its wait status is told
 *     --fill PATH MIB     `wrote N MiB` of random bytes to PATH, and the errno that stopped it
 *     --cat PATH          the bytes of a file
 *     --talk ADDRESS PORT KIB   sends so much over TCP (IPv4), then reads to the end; both are told
 *     --daemon S          a child in a session of its own that sleeps S seconds and keeps stdout
 * open
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void string(const char *s) {
    putchar('"');
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void strings(const char *key, char **list) {
    printf(",\"%s\":[", key);
    for (size_t i = 0; list[i] != NULL; i++) {
        if (i > 0)
            putchar(',');
        string(list[i]);
    }
    putchar(']');
}

/* The value of a line of /proc/self/status, as a string. */
static void status_line(const char *key, const char *wanted) {
    char line[512];
    FILE *f = fopen("/proc/self/status", "r");
    printf(",\"%s\":", key);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, wanted, strlen(wanted)) == 0 && line[strlen(wanted)] == ':') {
            char *value = line + strlen(wanted) + 1;
            value += strspn(value, "\t ");
            value[strcspn(value, "\n")] = '\0';
            string(value);
            fclose(f);
            return;
        }
    }
    if (f != NULL)
        fclose(f);
    fputs("null", stdout);
}

static void report_mounts(void) {
    char line[4096];
    bool first = true;
    FILE *f = fopen("/proc/self/mountinfo", "r");
    fputs(",\"mounts\":[", stdout);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *word[64];
        size_t n = 0;
        for (char *w = strtok(line, " \n"); w != NULL && n < 64; w = strtok(NULL, " \n"))
            word[n++] = w;
        size_t dash = 6;
        while (dash < n && strcmp(word[dash], "-") != 0)
            dash++;
        if (dash + 3 >= n)
            continue;
        printf("%s{\"target\":", first ? "" : ",");
        string(word[4]);
        printf(",\"root\":");
        string(word[3]);
        printf(",\"options\":");
        string(word[5]);
        printf(",\"type\":");
        string(word[dash + 1]);
        printf(",\"source\":");
        string(word[dash + 2]);
        printf(",\"superOptions\":");
        string(word[dash + 3]);
        printf(",\"propagation\":");
        string(dash > 6 ? word[6] : "private");
        putchar('}');
        first = false;
    }
    if (f != NULL)
        fclose(f);
    putchar(']');
}

static void report_devices(void) {
    bool first = true;
    DIR *d = opendir("/dev");
    fputs(",\"devices\":{", stdout);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        struct stat st;
        char path[512];
        char target[512];
        snprintf(path, sizeof path, "/dev/%s", e->d_name);
        if (e->d_name[0] == '.' || lstat(path, &st) < 0)
            continue;
        if (!first)
            putchar(',');
        first = false;
        string(e->d_name);
        putchar(':');
        ssize_t n = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof target - 1) : -1;
        if (n >= 0) {
            char text[600];
            target[n] = '\0';
            snprintf(text, sizeof text, "-> %s", target);
            string(text);
        } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
            printf("\"%c %u:%u %04o %u:%u\"", S_ISCHR(st.st_mode) ? 'c' : 'b', major(st.st_rdev),
                   minor(st.st_rdev), st.st_mode & 07777, st.st_uid, st.st_gid);
        } else {
            printf("\"%s %04o\"", S_ISDIR(st.st_mode) ? "dir" : "file", st.st_mode & 07777);
        }
    }
    if (d != NULL)
        closedir(d);
    putchar('}');
}

static void report_files(void) {
    bool first = true;
    DIR *d = opendir("/proc/self/fd");
    fputs(",\"fds\":{", stdout);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char path[300];
        char target[512];
        if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(d))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (!first)
            putchar(',');
        first = false;
        string(e->d_name);
        putchar(':');
        string(target);
    }
    if (d != NULL)
        closedir(d);
    putchar('}');
}

static void report_limits(void) {
    static const struct {
        const char *name;
        int resource;
    } limits[] = {{"nofile", RLIMIT_NOFILE},   {"core", RLIMIT_CORE},   {"nproc", RLIMIT_NPROC},
                  {"memlock", RLIMIT_MEMLOCK}, {"stack", RLIMIT_STACK}, {"fsize", RLIMIT_FSIZE}};
    fputs(",\"rlimits\":{", stdout);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct rlimit r = {0, 0};
        (void)getrlimit((__typeof__(RLIMIT_NOFILE))limits[i].resource, &r);
        printf("%s\"%s\":[%lld,%lld]", i > 0 ? "," : "", limits[i].name,
               r.rlim_cur == RLIM_INFINITY ? -1LL : (long long)r.rlim_cur,
               r.rlim_max == RLIM_INFINITY ? -1LL : (long long)r.rlim_max);
    }
    putchar('}');
}

static void report_namespaces(void) {
    static const char *const kinds[] = {"mnt", "pid", "uts", "ipc", "net", "cgroup", "user"};
    fputs(",\"namespaces\":{", stdout);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char path[64];
        struct stat st = {0};
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        (void)stat(path, &st);
        printf("%s\"%s\":%llu", i > 0 ? "," : "", kinds[i], (unsigned long long)st.st_ino);
    }
    putchar('}');
}

static void report_signals(void) {
    bool first = true;
    fputs(",\"ignoredSignals\":[", stdout);
    for (int sig = 1; sig <= 64; sig++) {
        struct sigaction a;
        if (sigaction(sig, NULL, &a) == 0 && a.sa_handler == SIG_IGN) {
            printf("%s%d", first ? "" : ",", sig);
            first = false;
        }
    }
    putchar(']');
    status_line("blockedSignals", "SigBlk");
}

static void report(char **argv) {
    gid_t groups[256];
    char room[4096];
    int n = getgroups(256, groups);
    mode_t mask = umask(0);
    umask(mask);
    printf("{\"uid\":%u,\"euid\":%u,\"gid\":%u,\"egid\":%u,\"groups\":[", getuid(), geteuid(),
           getgid(), getegid());
    for (int i = 0; i < n; i++)
        printf("%s%u", i > 0 ? "," : "", groups[i]);
    putchar(']');
    status_line("capInheritable", "CapInh");
    status_line("capPermitted", "CapPrm");
    status_line("capEffective", "CapEff");
    status_line("capBounding", "CapBnd");
    status_line("capAmbient", "CapAmb");
    status_line("seccomp", "Seccomp");
    status_line("noNewPrivs", "NoNewPrivs");
    printf(",\"cwd\":");
    string(getcwd(room, sizeof room) != NULL ? room : "");
    strings("argv", argv);
    strings("env", environ);
    printf(",\"hostname\":");
    string(gethostname(room, sizeof room) == 0 ? room : "");
    printf(",\"umask\":\"%04o\",\"pid\":%d,\"ppid\":%d,\"sid\":%d,\"pgid\":%d", mask, getpid(),
           getppid(), getsid(0), getpgrp());
    printf(",\"tty\":[%d,%d,%d]", isatty(0), isatty(1), isatty(2));
    int console = open("/dev/tty", O_RDWR | O_CLOEXEC);
    printf(",\"controllingTty\":%s", console >= 0 ? "true" : "false");
    if (console >= 0)
        close(console);
    FILE *f = fopen("/proc/self/oom_score_adj", "r");
    int score = 0;
    if (f != NULL && fscanf(f, "%d", &score) == 1)
        printf(",\"oomScoreAdj\":%d", score);
    if (f != NULL)
        fclose(f);
    printf(",\"dumpable\":%d", prctl(PR_GET_DUMPABLE));
    report_mounts();
    report_devices();
    report_limits();
    report_files();
    report_namespaces();
    report_signals();
    fputs("}\n", stdout);
    fflush(stdout);
}

static int exit_on_term;

static void on_term(int sig) {
    (void)sig;
    _exit(exit_on_term);
}

static void read_stdin(void) {
    char chunk[4096];
    ssize_t n;
    while ((n = read(0, chunk, sizeof chunk)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t done = write(1, chunk + at, (size_t)(n - at));
            if (done <= 0)
                return;
            at += done;
        }
    }
}

static void zombies(int n) {
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (fork() == 0)
                usleep(20000); /* an orphan by then: process 1 must take it */
            _exit(0);
        }
    }
}

static void daemon_child(unsigned seconds) {
    if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        sleep(seconds);
        _exit(0);
    }
}

static void allocate(size_t mib) {
    char *room = malloc(mib << 20);
    for (size_t i = 0; room != NULL && i < mib << 20; i += 4096)
        *(volatile char *)(room + i) = 1;
    printf("allocated %zu MiB\n", room != NULL ? mib : 0);
    fflush(stdout);
}

static void write_file(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "written\n", 8) != 8)
        exit(errno);
    close(fd);
}

/* A call that must not do anything, but tells whether a filter lets it through. */
static void try_call(const char *name) {
    long r = -1;
    errno = ENOSYS;
    if (strcmp(name, "getpid") == 0)
        r = syscall(SYS_getpid);
    else if (strcmp(name, "mkdirat") == 0)
        r = syscall(SYS_mkdirat, -1, "", 0); /* ENOENT when it is let through */
    else if (strcmp(name, "mount") == 0)
        r = syscall(SYS_mount, NULL, NULL, NULL, 0UL, NULL); /* EFAULT or EPERM */
    else if (strcmp(name, "sethostname") == 0)
        r = syscall(SYS_sethostname, "x", -1L); /* EINVAL with, EPERM without CAP_SYS_ADMIN */
    else if (strcmp(name, "uname") == 0)
        r = syscall(SYS_uname, NULL); /* EFAULT */
#if defined(__x86_64__)
    /* The same as mkdirat, the way 32-bit programs enter the kernel. */
    else if (strcmp(name, "i386-mkdirat") == 0) {
        __asm__ volatile("int $0x80"
                         : "=a"(r)
                         : "a"(296), "b"(-1), "c"(0), "d"(0)
                         : "r8", "r9", "r10", "r11", "memory");
        if (r < 0) {
            errno = (int)-r;
            r = -1;
        }
    } else if (strcmp(name, "x32-mkdirat") == 0)
        r = syscall(0x40000000 + SYS_mkdirat, -1, "", 0);
#endif
    printf("%s: %s\n", name, r >= 0 ? "ok" : strerror(errno));
    fflush(stdout);
}

static void fork_many(int n) {
    int made = 0;
    errno = 0;
    for (; made < n; made++) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            pause();
            _exit(0);
        }
    }
    printf("forked %d: %s\n", made, strerror(errno));
    fflush(stdout);
}

static void burn(int ms) {
    struct timespec t = {0, 0};
    do {
        for (volatile int i = 0; i < 100000; i++)
            continue;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    } while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}

static void allocate_in_child(size_t mib) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        char *room = malloc(mib << 20);
        for (size_t i = 0; room != NULL && i < mib << 20; i += 4096)
            *(volatile char *)(room + i) = 1;
        _exit(0);
    }
    (void)waitpid(pid, &status, 0);
    printf("child: %s %d\n", WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
}

/* Bytes that no file system can make smaller. */
static void fill(const char *path, int mib) {
    static uint64_t block[131072];
    uint64_t seed = 88172645463325252u;
    int done = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    errno = fd < 0 ? errno : 0;
    for (; fd >= 0 && done < mib; done++) {
        for (size_t i = 0; i < sizeof block / sizeof block[0]; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            block[i] = seed;
        }
        ssize_t n = 0;
        for (size_t at = 0; n >= 0 && at<sizeof block; at += n> 0 ? (size_t)n : 0)
            n = write(fd, (char *)block + at, sizeof block - at);
        if (n < 0 || fsync(fd) < 0)
            break;
    }
    printf("wrote %d MiB: %s\n", done, strerror(errno));
    fflush(stdout);
}

static void cat(const char *path) {
    char chunk[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, chunk, sizeof chunk)) > 0)
        fwrite(chunk, 1, (size_t)n, stdout);
    if (fd < 0)
        printf("%s: %s\n", path, strerror(errno));
    else
        close(fd);
    fflush(stdout);
}

static void talk(const char *address, int port, size_t kib) {
    static char chunk[16384];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    size_t sent = 0;
    size_t got = 0;
    ssize_t n = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    errno = 0;
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        printf("not connected: %s\n", strerror(errno));
        fflush(stdout);
        return;
    }
    for (; sent < kib << 10; sent += (size_t)n) {
        size_t left = (kib << 10) - sent;
        n = send(fd, chunk, left < sizeof chunk ? left : sizeof chunk, MSG_NOSIGNAL);
        if (n <= 0)
            break;
    }
    shutdown(fd, SHUT_WR);
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        got += (size_t)n;
    printf("sent %zu KiB, got %zu KiB\n", sent >> 10, got >> 10);
    fflush(stdout);
    close(fd);
}

/* One mode; returns how many arguments it took. */
static int act(char **argv, char **all) {
    const char *mode = argv[0];
    const char *value = argv[1] != NULL ? argv[1] : "";
    int n = atoi(value);
    if (strcmp(mode, "--report") == 0) {
        report(all);
        return 1;
    }
    if (strcmp(mode, "--ignore-term") == 0) {
        signal(SIGTERM, SIG_IGN);
        return 1;
    }
    if (strcmp(mode, "--read-stdin") == 0) {
        read_stdin();
        return 1;
    }
    if (argv[1] == NULL) {
        fprintf(stderr, "payload: no value for %s\n", mode);
        exit(64);
    }
    if (strcmp(mode, "--exit") == 0)
        exit(n);
    else if (strcmp(mode, "--sleep") == 0) {
        if (n > 0)
            sleep((unsigned)n);
        if (n == 0)
            sleep(1000000);
    } else if (strcmp(mode, "--on-term") == 0) {
        exit_on_term = n;
        signal(SIGTERM, on_term);
    } else if (strcmp(mode, "--crash") == 0) {
        signal(n, SIG_DFL);
        kill(getpid(), n);
    } else if (strcmp(mode, "--write-lines") == 0) {
        for (int i = 1; i <= n; i++)
            printf("line %d\n", i);
        fflush(stdout);
    } else if (strcmp(mode, "--stderr") == 0)
        fprintf(stderr, "%s\n", value);
    else if (strcmp(mode, "--stdout") == 0) {
        fputs(value, stdout);
        fflush(stdout);
    } else if (strcmp(mode, "--fork-zombies") == 0)
        zombies(n);
    else if (strcmp(mode, "--alloc") == 0)
        allocate((size_t)n);
    else if (strcmp(mode, "--write-file") == 0)
        write_file(value);
    else if (strcmp(mode, "--try") == 0)
        try_call(value);
    else if (strcmp(mode, "--cat") == 0)
        cat(value);
    else if (strcmp(mode, "--fork") == 0)
        fork_many(n);
    else if (strcmp(mode, "--burn") == 0)
        burn(n);
    else if (strcmp(mode, "--alloc-child") == 0)
        allocate_in_child((size_t)n);
    else if (strcmp(mode, "--fill") == 0 && argv[2] != NULL) {
        fill(value, atoi(argv[2]));
        return 3;
    } else if (strcmp(mode, "--talk") == 0 && argv[2] != NULL && argv[3] != NULL) {
        talk(value, atoi(argv[2]), (size_t)atoi(argv[3]));
        return 4;
    } else if (strcmp(mode, "--daemon") == 0)
        daemon_child((unsigned)n);
    else {
        fprintf(stderr, "payload: unknown mode %s\n", mode);
        exit(64);
    }
    return 2;
}

int main(int argc, char **argv) {
    (void)argc;
    if (argv[1] == NULL)
        report(argv);
    for (char **a = argv + 1; *a != NULL;)
        a += act(a, argv);
    return 0;
}
