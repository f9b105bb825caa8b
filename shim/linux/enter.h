/*
 * enter - a new process in a running app's context
 */
#ifndef JETPACK_ENTER_H
#define JETPACK_ENTER_H

#include <stdbool.h>
#include <stddef.h>

struct enter_options {
    bool tty;
    bool interactive;
    bool json;
    const char *user, *group, *cwd; /* NULL: the plan's */
    char **env;                     /* NAME=value, added to or replacing the plan's */
    size_t env_count;
    char **argv; /* may be empty */
};

/* Returns the exit status of the process. */
int enter_run(const char *plan_path, const char *app, const struct enter_options *options);

#endif
