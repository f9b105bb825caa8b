/*
 * client - see client.h. No privileges but access to the socket.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "text.h"

#define ANSWER_S 10
#define ANSWER_MAX 131072

int client_connect(const char *dir) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {ANSWER_S, 0};
    struct text t = TEXT_ON(address.sun_path);
    /* Through a descriptor: sun_path is short. */
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    text_str(&t, "/proc/self/fd/");
    text_num(&t, (uint64_t)at);
    text_str(&t, "/control");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : 0;
    if (r == 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
                   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
                   connect(fd, (const struct sockaddr *)&address, sizeof address) < 0))
        r = -errno;
    close(at);
    if (r < 0)
        fd_close(&fd);
    return r < 0 ? r : fd;
}

int client_send(int fd, const char *line) {
    size_t n = strlen(line);
    while (n > 0) {
        ssize_t done = send(fd, line, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        line += done;
        n -= (size_t)done;
    }
    return 0;
}

/* The value of `key=` in the app's part of a status answer. Changes the text. */
static char *find_value(char *text, const char *app, const char *key) {
    bool here = false;
    size_t key_length = strlen(key);
    for (char *line = text; *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        bool last = *end == '\0';
        *end = '\0';
        if (strncmp(line, "app=", 4) == 0)
            here = strcmp(line + 4, app) == 0;
        else if (here && strncmp(line, key, key_length) == 0 && line[key_length] == '=')
            return line + key_length + 1;
        if (last)
            break;
        *end = '\n';
        line = end + 1;
    }
    return NULL;
}

pid_t client_find_pid(const char *dir, const char *app) {
    static char answer[ANSWER_MAX];
    uint64_t pid = 0;
    int fd = client_connect(dir);
    if (fd < 0)
        return fd;
    int r = client_send(fd, "status\n");
    ssize_t n = r < 0 ? r : fd_read_all(fd, answer, sizeof answer - 1);
    close(fd);
    if (n < 0)
        return (pid_t)n;
    answer[n] = '\0';
    char *state = find_value(answer, app, "state");
    if (state == NULL)
        return -ESRCH;
    if (strcmp(state, "running") != 0)
        return 0;
    state[strlen(state)] = '\n';
    char *value = find_value(answer, app, "pid");
    return value != NULL && number_parse(value, INT32_MAX, &pid) ? (pid_t)pid : -EPROTO;
}
