/*
 * client - the control socket, seen from the outside
 */
#ifndef JETPACK_CLIENT_H
#define JETPACK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A connection to the supervisor of the pod in that folder, with a time limit on reads. -errno. */
int client_connect(const char *dir);
int client_send(int fd, const char *line);
/* The app's main process, as the host sees it; 0: it does not run; -errno. */
pid_t client_find_pid(const char *dir, const char *app);

struct attach_options {
    bool tty;
    bool json;
};

/* `jetpack-shim attach`: the exit status of the app, or of a failure. */
int attach_run(const char *dir, const char *app, const struct attach_options *options);

#endif
