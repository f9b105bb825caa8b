/*
 * supervisor - a pod from its claim to its end
 */
#ifndef JETPACK_SUPERVISOR_H
#define JETPACK_SUPERVISOR_H

#include <stdbool.h>

struct run_options {
    bool detach;
    bool interactive;
    bool tty;
    bool remove;
    bool json;
};

/* `jetpack-shim run`: returns the exit status of the process. */
int supervisor_run(const char *plan_path, const struct run_options *options);

#endif
