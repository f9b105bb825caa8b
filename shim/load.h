/*
 * load - a plan from its file, with errors in words
 */
#ifndef JETPACK_LOAD_H
#define JETPACK_LOAD_H

#include <stdbool.h>

#include "plan.h"
#include "report.h"

/* False: the problem is filled. The plan's memory stays for the rest of the process's life. */
bool plan_load(const char *path, struct plan *plan, struct problem *problem);

#endif
