/*
 * manager - what a service manager does, as far as the tests of the shim need it
 *
 *     manager hear PATH OUT          binds PATH (a leading @: an abstract name) and appends every
 *                                    message to OUT, its lines joined by `|`, until it is killed
 *     manager say PATH TEXT          one message to PATH
 *     manager activate SPEC... -- PROGRAM ARG...
 *                                    becomes PROGRAM with the sockets of sd_listen_fds(3); SPEC is
 *                                    tcp:ADDRESS:PORT, udp:ADDRESS:PORT, unbound, unix, or pipe
 *     manager tell tcp|udp ADDRESS PORT TEXT
 *                                    connects, sends TEXT, prints the answer
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(2);
}

static struct sockaddr_un address_of(const char *path, socklen_t *size) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        die(path);
    strcpy(a.sun_path, path);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        a.sun_path[0] = '\0';
    return a;
}

static _Noreturn void hear(const char *path, const char *out) {
    socklen_t size;
    char room[8192];
    struct sockaddr_un a = address_of(path, &size);
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int to = open(out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (s < 0 || to < 0 || bind(s, (struct sockaddr *)&a, size) < 0)
        die(path);
    for (;;) {
        ssize_t n = recv(s, room, sizeof room - 1, 0);
        if (n < 0)
            die("recv");
        for (ssize_t i = 0; i < n; i++) {
            if (room[i] == '\n')
                room[i] = '|';
        }
        room[n] = '\n';
        if (write(to, room, (size_t)n + 1) < 0)
            die(out);
    }
}

static int say(const char *path, const char *text) {
    socklen_t size;
    struct sockaddr_un a = address_of(path, &size);
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sendto(s, text, strlen(text), 0, (struct sockaddr *)&a, size) < 0)
        die(path);
    return 0;
}

static struct sockaddr_in inet(const char *address, const char *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
        die(address);
    return a;
}

static int open_one(char *spec) {
    int ends[2];
    int on = 1;
    if (strcmp(spec, "unix") == 0)
        return socket(AF_UNIX, SOCK_STREAM, 0);
    if (strcmp(spec, "unbound") == 0)
        return socket(AF_INET, SOCK_STREAM, 0);
    if (strcmp(spec, "pipe") == 0)
        return pipe(ends) < 0 ? -1 : ends[0];
    char *kind = strtok(spec, ":");
    char *address = strtok(NULL, ":");
    char *port = strtok(NULL, ":");
    if (kind == NULL || address == NULL || port == NULL)
        die("spec");
    struct sockaddr_in a = inet(address, port);
    int s = socket(AF_INET, strcmp(kind, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(s, (struct sockaddr *)&a, sizeof a) < 0)
        die(address);
    if (strcmp(kind, "tcp") == 0 && listen(s, 16) < 0)
        die("listen");
    return s;
}

static int activate(char **argv) {
    int fds[80];
    int n = 0;
    char text[32];
    for (; *argv != NULL && strcmp(*argv, "--") != 0 && n < 80; argv++) {
        int fd = open_one(*argv);
        /* Above all that they become. */
        fds[n] = fcntl(fd, F_DUPFD, 100);
        close(fd);
        if (fds[n++] < 0)
            die("F_DUPFD");
    }
    for (int i = 0; i < n; i++) {
        if (dup2(fds[i], 3 + i) < 0)
            die("dup2");
        close(fds[i]);
    }
    snprintf(text, sizeof text, "%d", n);
    setenv("LISTEN_FDS", text, 1);
    snprintf(text, sizeof text, "%d", getpid());
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDNAMES", "whatever", 1);
    if (argv[0] == NULL || argv[1] == NULL)
        die("no program");
    execvp(argv[1], argv + 1);
    die(argv[1]);
    return 2;
}

static int tell(const char *kind, const char *address, const char *port, const char *text) {
    struct sockaddr_in a = inet(address, port);
    struct timeval limit = {10, 0};
    char room[1024];
    for (int tries = 0; tries < 200; tries++) { /* nobody listens yet */
        int s = socket(AF_INET, strcmp(kind, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, 0);
        setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ssize_t n = -1;
        if (connect(s, (struct sockaddr *)&a, sizeof a) == 0 && send(s, text, strlen(text), 0) > 0)
            n = recv(s, room, sizeof room - 1, 0);
        if (n >= 0) {
            room[n] = '\0';
            puts(room);
            return 0;
        }
        if (errno != ECONNREFUSED)
            die(address);
        close(s);
        usleep(50000);
    }
    die(address);
    return 2;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "hear") == 0)
        hear(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "say") == 0)
        return say(argv[2], argv[3]);
    if (argc == 6 && strcmp(argv[1], "tell") == 0)
        return tell(argv[2], argv[3], argv[4], argv[5]);
    if (argc > 3 && strcmp(argv[1], "activate") == 0)
        return activate(argv + 2);
    fputs("usage: see the head of manager.c\n", stderr);
    return 2;
}
