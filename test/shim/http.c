/*
 * http - what an app does with its AC_METADATA_URL, and what a hostile one would
 *
 * Static, needs nothing of its root.
 *
 *     http METHOD PATH BODY [METHOD PATH BODY]...
 *         for each: one request to $AC_METADATA_URL + PATH on a connection of its own, with BODY as
 *         a form unless it is `-`; prints STATUS, content type and body on one line, separated by
 *         tabs. `@` in a BODY becomes the body of the last answer, percent-encoded. The exit status
 *         is 0 when every request was answered.
 *     http --hold N SECONDS
 *         opens N connections, sends the beginning of a request on each, and prints after so many
 *         seconds how many of them are still open
 *     http --serve PORT TEXT
 *         answers every request at 127.0.0.1:PORT with the caller's address and TEXT, until it is
 *         killed; prints `ready` first
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MOST (1u << 20)

static char answer[MOST];
static char last[MOST];
static char request[MOST];

/* http://ADDRESS:PORT/PREFIX */
static int parse_url(const char *url, struct sockaddr_in *to, const char **prefix) {
    char host[64];
    unsigned port;
    int used = 0;
    if (url == NULL || sscanf(url, "http://%63[0-9.]:%u%n", host, &port, &used) != 2)
        return -1;
    to->sin_family = AF_INET;
    to->sin_port = htons((uint16_t)port);
    *prefix = url + used;
    return inet_pton(AF_INET, host, &to->sin_addr) == 1 ? 0 : -1;
}

static int dial(const struct sockaddr_in *to) {
    const struct timeval patience = {10, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void encode(char *to, const char *from) {
    for (; *from != '\0'; from++) {
        if (isalnum((unsigned char)*from))
            *to++ = *from;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*from);
    }
    *to = '\0';
}

static void expand(char *to, const char *body) {
    for (; *body != '\0'; body++) {
        if (*body == '@') {
            encode(to, last);
            to += strlen(to);
        } else {
            *to++ = *body;
        }
    }
    *to = '\0';
}

static void print_escaped(const char *s) {
    for (; *s != '\0'; s++) {
        if (*s == '\n')
            fputs("\\n", stdout);
        else
            putchar(*s);
    }
}

static int send_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);
        if (done <= 0)
            return -1;
        bytes += done;
        n -= (size_t)done;
    }
    return 0;
}

static int ask(const char *method, const char *path, const char *body) {
    static char form[MOST / 2];
    struct sockaddr_in to = {0};
    const char *prefix;
    if (parse_url(getenv("AC_METADATA_URL"), &to, &prefix) < 0) {
        puts("no AC_METADATA_URL");
        return -1;
    }
    int fd = dial(&to);
    if (fd < 0) {
        printf("cannot connect: %s\n", strerror(errno));
        return -1;
    }
    int n = snprintf(request, sizeof request,
                     "%s %s%s HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: AppContainer\r\n"
                     "Connection: close\r\n",
                     method, prefix, path);
    if (strcmp(body, "-") == 0) {
        n += sprintf(request + n, "\r\n");
    } else {
        expand(form, body);
        n += sprintf(request + n,
                     "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n"
                     "\r\n%s",
                     strlen(form), form);
    }
    size_t got = 0;
    if (send_all(fd, request, (size_t)n) == 0) {
        ssize_t r;
        while ((r = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0)
            got += (size_t)r;
    }
    close(fd);
    answer[got] = '\0';
    char *end = strstr(answer, "\r\n\r\n");
    unsigned status;
    if (end == NULL || sscanf(answer, "HTTP/1.1 %u", &status) != 1) {
        printf("no answer\n");
        return -1;
    }
    *end = '\0';
    char *type = strcasestr(answer, "\ncontent-type: ");
    if (type != NULL) {
        type += strlen("\ncontent-type: ");
        type[strcspn(type, "\r\n")] = '\0';
    }
    strcpy(last, end + 4);
    printf("%u\t%s\t", status, type != NULL ? type : "-");
    print_escaped(last);
    putchar('\n');
    fflush(stdout);
    return 0;
}

static int hold(unsigned count, unsigned seconds) {
    static int fds[4096];
    static const char begin[] = "GET / HTTP/1.1\r\nX: ";
    struct sockaddr_in to = {0};
    const char *prefix;
    unsigned open = 0;
    if (parse_url(getenv("AC_METADATA_URL"), &to, &prefix) < 0 || count > 4096)
        return 2;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = dial(&to);
        if (fds[i] >= 0)
            (void)send_all(fds[i], begin, sizeof begin - 1);
    }
    puts("held");
    fflush(stdout);
    sleep(seconds);
    for (unsigned i = 0; i < count; i++) {
        struct pollfd one = {.fd = fds[i], .events = POLLIN};
        if (fds[i] >= 0 && poll(&one, 1, 0) == 0)
            open++;
    }
    printf("open %u\n", open);
    return 0;
}

static int serve(unsigned port, const char *text) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 64) < 0) {
        perror("listen");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        char name[INET_ADDRSTRLEN];
        int caller = accept(fd, (struct sockaddr *)&from, &size);
        if (caller < 0)
            continue;
        size_t got = 0;
        ssize_t r;
        while (got < sizeof answer - 1 &&
               (r = recv(caller, answer + got, sizeof answer - 1 - got, 0)) > 0) {
            got += (size_t)r;
            answer[got] = '\0';
            if (strstr(answer, "\r\n\r\n") != NULL)
                break;
        }
        inet_ntop(AF_INET, &from.sin_addr, name, sizeof name);
        char head[256];
        int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\n%s ", name);
        (void)send_all(caller, head, (size_t)n);
        /* Much of it, so that more than one buffer of a relay is needed. */
        for (unsigned i = 0; i < 2000; i++)
            (void)send_all(caller, text, strlen(text));
        (void)shutdown(caller, SHUT_WR);
        close(caller);
    }
}

int main(int argc, char **argv) {
    int status = 0;
    if (argc == 4 && strcmp(argv[1], "--hold") == 0)
        return hold((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    if (argc == 4 && strcmp(argv[1], "--serve") == 0)
        return serve((unsigned)atoi(argv[2]), argv[3]);
    if (argc < 4 || (argc - 1) % 3 != 0) {
        fprintf(stderr, "usage: http METHOD PATH BODY...\n");
        return 2;
    }
    for (int i = 1; i < argc; i += 3) {
        if (ask(argv[i], argv[i + 1], argv[i + 2]) < 0)
            status = 1;
    }
    return status;
}
