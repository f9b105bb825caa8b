/*
 * commands - the plan's `reap` and `remove` lists
 *
 * Run in the host's namespaces with all privileges, an environment of PATH and LC_ALL=C, stdin
 * from /dev/null. A command that fails is tried again for up to two seconds.
 */
#ifndef JETPACK_COMMANDS_H
#define JETPACK_COMMANDS_H

#include <stdbool.h>

#include "plan.h"

/* In order. One that fails for good is told on stderr; those after it are left to `jetpack gc`. */
/* Runs one once; its output goes to that descriptor. Its wait status, or -1. */
int command_once(const struct plan_command *c, int output);
/* The first line of what was written to the file `output`, in the buffer; else the fallback. */
const char *command_said(int output, char *buffer, size_t size, const char *fallback);
void commands_run(const struct plan_command *list, const char *kind, bool json);

#endif
