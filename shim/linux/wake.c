/*
 * wake - see wake.h.
 *
 * Each question is asked by a child of its own, since it may never be answered. A child that waits
 * is left to itself, not killed: its request would be one more that is taken back.
 */
#define _GNU_SOURCE
#include "wake.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAP_MS 5
#define ANSWER_MS 400 /* a busy daemon takes some milliseconds */
#define AWAKE_MS 3000

/* The pid of a child that asks; 0 when none can be made. */
static pid_t ask(const char *folder) {
    const pid_t child = fork();
    if (child == 0) {
        struct statfs s;
        /* Whoever reads from our output must not wait for this one. */
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            (void)close(fd);
        _exit(statfs(folder, &s) < 0 ? 1 : 0);
    }
    return child < 0 ? 0 : child;
}

static bool is_answered(pid_t child, int ms) {
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};
    for (int waited = 0;; waited += NAP_MS) {
        if (child == 0 || waitpid(child, NULL, WNOHANG) != 0)
            return child != 0;
        if (waited >= ms)
            return false;
        (void)nanosleep(&nap, NULL);
    }
}

/* Of proc(5), mountinfo: blanks and the like are `\ooo`. In place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at != '\0'; to++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] != '\0' && at[3] != '\0') {
            *to = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 4;
        } else
            *to = *at++;
    }
    *to = '\0';
}

static void use_every_fuse(void) {
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (mounts == NULL)
        return;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, mounts) > 0) {
        char place[PATH_MAX];
        const char *type = strstr(line, " - ");
        if (type == NULL || strncmp(type + 3, "fuse", 4) != 0)
            continue;
        if (sscanf(line, "%*s %*s %*s %*s %4095s", place) != 1)
            continue;
        unescape(place);
        (void)ask(place);
    }
    free(line);
    (void)fclose(mounts);
}

int wake(const char *folder) {
    const pid_t child = ask(folder);
    if (is_answered(child, ANSWER_MS))
        return 0;
    use_every_fuse();
    return is_answered(child, AWAKE_MS) ? 0 : 1;
}
