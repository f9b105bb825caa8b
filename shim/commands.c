/*
 * commands - see commands.h. SIGCHLD must not be ignored.
 */
#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "poller.h"
#include "report.h"

#define AGAIN_FOR_MS 2000
#define FIRST_PAUSE_MS 5
#define LONGEST_PAUSE_MS 100

/* What a command says matters only when it has failed for good: it goes to OUTPUT. */
int command_once(const struct plan_command *c, int output) {
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C";
    char *env[] = {path, locale, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    pid_t pid;
    int status;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&files) != 0)
        return -1;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -1;
    }
    int r = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&files, output, 1);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&files, output, 2);
    if (r == 0)
        r = posix_spawnattr_setsigmask(&attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(&attributes, &all);
    if (r == 0)
        r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (r == 0)
        r = posix_spawn(&pid, c->argv.v[0], &files, &attributes, c->argv.v, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (r != 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return status;
}

/* The first line of what was said, or the fallback. */
const char *command_said(int output, char *buffer, size_t size, const char *fallback) {
    ssize_t n = pread(output, buffer, size - 1, 0);
    if (n <= 0)
        return fallback;
    buffer[n] = '\0';
    buffer[strcspn(buffer, "\n")] = '\0';
    return buffer[0] == '\0' ? fallback : buffer;
}

/* True when it succeeded, at the latest after AGAIN_FOR_MS: a file system may still be going away.
 */
static bool run_patiently(const struct plan_command *c, int output) {
    long long until = poller_now() + AGAIN_FOR_MS;
    long pause_ms = FIRST_PAUSE_MS;
    for (;;) {
        if (ftruncate(output, 0) != 0 || lseek(output, 0, SEEK_SET) != 0)
            return false;
        if (command_once(c, output) == 0)
            return true;
        if (poller_now() >= until)
            return false;
        const struct timespec pause = {0, pause_ms * 1000000L};
        nanosleep(&pause, NULL);
        pause_ms = pause_ms * 2 < LONGEST_PAUSE_MS ? pause_ms * 2 : LONGEST_PAUSE_MS;
    }
}

void commands_run(const struct plan_command *list, const char *kind, bool json) {
    char said[512];
    int output = memfd_create("output", MFD_CLOEXEC);
    if (output < 0) {
        if (list != NULL)
            report_note(kind, list->argv.v[0],
                        "no memory for its output; `jetpack gc` does the rest", json);
        return;
    }
    for (const struct plan_command *c = list; c != NULL; c = c->next) {
        if (run_patiently(c, output))
            continue;
        report_note(kind, c->argv.v[0],
                    command_said(output, said, sizeof said, "the command failed"), json);
        break;
    }
    close(output);
}
