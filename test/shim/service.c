/*
 * service - an app that is started by sockets and tells when it is ready
 *
 * Static, needs nothing of its root. The modes may be combined; they run in the order given:
 *
 *     --notify TEXT        TEXT (\n is a line feed) to $NOTIFY_SOCKET
 *     --child-notify TEXT  the same from a child that is gone before anybody can look at it
 *     --barrier            BARRIER=1 with a descriptor, as sd_notify_barrier(3): waits until the
 *                          other side has closed it, prints `barrier`
 *     --big N              READY=1 in a datagram of N bytes
 *     --flood N            N times STATUS=
 *     --sockets            what of sd_listen_fds(3) is there: `own pid`, then a line for each
 *     --serve N            answers N connections or datagrams with `NAME: ` and what came
 *     --sleep S, --exit N, --stdout TEXT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] == '\\' && from[1] == 'n') {
            *to++ = '\n';
            from++;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static void say(const char *bytes, size_t n, int fd) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (path == NULL || strlen(path) >= sizeof to.sun_path) {
        puts("no NOTIFY_SOCKET");
        exit(9);
    }
    strcpy(to.sun_path, path);
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec part = {(void *)(size_t)bytes, n};
    struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    if (sendmsg(s, &m, 0) < 0) {
        printf("cannot tell: %s\n", strerror(errno));
        exit(8);
    }
    close(s);
}

static void barrier(void) {
    int ends[2];
    struct pollfd gone;
    if (pipe(ends) < 0)
        exit(7);
    say("BARRIER=1", 9, ends[1]);
    close(ends[1]);
    gone = (struct pollfd){.fd = ends[0]};
    puts(poll(&gone, 1, 5000) == 1 ? "barrier" : "no barrier");
    fflush(stdout);
}

static int port_of(int fd, const char **type) {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } a = {.any = {0}};
    socklen_t size = sizeof a;
    int kind = 0;
    socklen_t kind_size = sizeof kind;
    if (getsockname(fd, &a.any, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &kind_size) < 0)
        return -1;
    *type = kind == SOCK_STREAM ? "tcp" : "udp";
    in_port_t port = a.any.sa_family == AF_INET ? a.four.sin_port : a.six.sin6_port;
    return ntohs(port);
}

static int count(void) {
    const char *text = getenv("LISTEN_FDS");
    return text != NULL ? atoi(text) : 0;
}

static const char *name_of(int index) {
    static char room[8192];
    const char *names = getenv("LISTEN_FDNAMES");
    snprintf(room, sizeof room, "%s", names != NULL ? names : "");
    char *name = strtok(room, ":");
    while (name != NULL && index-- > 0)
        name = strtok(NULL, ":");
    return name != NULL ? name : "?";
}

static void sockets(void) {
    const char *pid = getenv("LISTEN_PID");
    puts(pid != NULL && atoi(pid) == getpid() ? "own pid" : "no pid");
    for (int i = 0; i < count(); i++) {
        const char *type = "?";
        int port = port_of(3 + i, &type);
        printf("%d %s %d %s\n", 3 + i, type, port, name_of(i));
    }
    fflush(stdout);
}

static void serve(int times) {
    struct pollfd set[64] = {0};
    char in[512];
    char out[600];
    for (int i = 0; i < count(); i++)
        set[i] = (struct pollfd){.fd = 3 + i, .events = POLLIN};
    while (times > 0 && poll(set, (nfds_t)count(), -1) > 0) {
        for (int i = 0; i < count(); i++) {
            const char *type = "?";
            struct sockaddr_storage from;
            socklen_t size = sizeof from;
            if (set[i].revents == 0)
                continue;
            (void)port_of(3 + i, &type);
            int c = strcmp(type, "tcp") == 0 ? accept(3 + i, NULL, NULL) : 3 + i;
            ssize_t n = recvfrom(c, in, sizeof in - 1, 0, (struct sockaddr *)&from, &size);
            in[n > 0 ? n : 0] = '\0';
            int length = snprintf(out, sizeof out, "%s: %s", name_of(i), in);
            if (c == 3 + i)
                sendto(c, out, (size_t)length, 0, (struct sockaddr *)&from, size);
            else if (send(c, out, (size_t)length, 0) >= 0)
                close(c);
            times--;
        }
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *mode = argv[i];
        char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(mode, "--barrier") == 0) {
            barrier();
            continue;
        }
        if (strcmp(mode, "--sockets") == 0) {
            sockets();
            continue;
        }
        i++;
        if (strcmp(mode, "--notify") == 0) {
            unescape(value);
            say(value, strlen(value), -1);
        } else if (strcmp(mode, "--child-notify") == 0) {
            unescape(value);
            if (fork() == 0) {
                say(value, strlen(value), -1);
                _exit(0);
            }
            wait(NULL);
        } else if (strcmp(mode, "--big") == 0) {
            size_t n = (size_t)atoi(value);
            char *bytes = malloc(n);
            if (bytes == NULL)
                return 6;
            memset(bytes, 'x', n);
            bytes[(size_t)snprintf(bytes, n, "READY=1")] = '\n';
            say(bytes, n, -1);
            free(bytes);
        } else if (strcmp(mode, "--flood") == 0) {
            for (int k = atoi(value); k > 0; k--)
                say("STATUS=flood", 12, -1);
        } else if (strcmp(mode, "--serve") == 0) {
            serve(atoi(value));
        } else if (strcmp(mode, "--sleep") == 0) {
            sleep((unsigned)atoi(value));
        } else if (strcmp(mode, "--exit") == 0) {
            return atoi(value);
        } else if (strcmp(mode, "--stdout") == 0) {
            puts(value);
            fflush(stdout);
        } else {
            fprintf(stderr, "service: unknown mode %s\n", mode);
            return 64;
        }
    }
    return 0;
}
