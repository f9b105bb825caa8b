/*
 * detach - see detach.h. No privileges. Forks before anything is claimed or locked.
 */
#define _GNU_SOURCE
#include "detach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "report.h"
#include "text.h"

static int tell = -1;

static int wait_for(int from, pid_t daemon, const char *uuid, bool json) {
    unsigned char code;
    char line[64];
    struct text t = TEXT_ON(line);
    if (fd_read_all(from, &code, 1) != 1) {
        int status;
        /* It died without a word. Waiting tells how, unless it only closed the pipe. */
        if (waitpid(daemon, &status, 0) == daemon && WIFEXITED(status) && WEXITSTATUS(status) != 0)
            return WEXITSTATUS(status);
        return EXIT_SHIM;
    }
    if (code != 0)
        return code;
    text_str(&t, json ? "{\"uuid\":\"" : "");
    text_str(&t, uuid);
    text_str(&t, json ? "\"}\n" : "\n");
    return fd_write_all(STDOUT_FILENO, line, t.len) < 0 ? EXIT_SHIM : 0;
}

int detach_fork(const char *uuid, bool json) {
    int ends[2];
    if (fd_pipe(ends, -1) < 0)
        return EXIT_SHIM;
    pid_t pid = fork();
    if (pid < 0)
        return EXIT_SHIM;
    if (pid > 0) {
        close(ends[1]);
        return wait_for(ends[0], pid, uuid, json);
    }
    close(ends[0]);
    tell = ends[1];
    (void)setsid(); /* a child is never a group leader: this cannot fail */
    return -1;
}

void detach_ready(void) {
    static const unsigned char fine = 0;
    if (tell < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        (void)dup2(null, fd);
    fd_close(&null);
    (void)fd_write_all(tell, &fine, 1);
    fd_close(&tell);
}

void detach_failed(int exit) {
    unsigned char code = (unsigned char)exit;
    if (tell < 0)
        return;
    (void)fd_write_all(tell, &code, 1);
    fd_close(&tell);
}
