/*
 * filters - the plan's seccomp programs, read before anything is started
 */
#ifndef JETPACK_FILTERS_H
#define JETPACK_FILTERS_H

#include <stdbool.h>
#include <linux/filter.h>

#include "../plan.h"
#include "../report.h"

/* `program->len` 0: the app has no filter. False: the problem is filled. */
bool filter_load(const struct plan_app *app, struct sock_fprog *program, struct problem *problem);

#endif
