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

/* What a plan that was read while the pod runs lies in. */
struct plan_memory {
    char *bytes;
    size_t bytes_size;
    void *arena;
    size_t arena_size;
};

/* Reads the plan that is open at `fd`; `path` is for the problem's words. */
bool plan_read(int fd, const char *path, struct plan *plan, struct plan_memory *memory,
               struct problem *problem);
/* Gives the memory back: nothing of the plan may be used any more. All zero is fine. */
void plan_forget(struct plan_memory *memory);

#endif
