/*
 * commands - see commands.h. SIGCHLD must not be ignored.
 */
#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "poller.h"
#include "report.h"

#define AGAIN_FOR_MS 2000
#define AGAIN_AFTER_MS 100

static int run_once(const struct plan_command *c) {
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
        r = posix_spawn_file_actions_adddup2(&files, 2, 1); /* stdout belongs to the apps */
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

void commands_run(const struct plan_command *list, const char *kind, bool json) {
    for (const struct plan_command *c = list; c != NULL; c = c->next) {
        long long until = poller_now() + AGAIN_FOR_MS;
        int status = run_once(c);
        while (status != 0 && poller_now() < until) {
            const struct timespec pause = {0, AGAIN_AFTER_MS * 1000000L};
            nanosleep(&pause, NULL);
            status = run_once(c);
        }
        if (status != 0) {
            report_note(kind, c->argv.v[0], "the command failed; `jetpack gc` does the rest", json);
            return;
        }
    }
}
