/*
 * load - see load.h.
 */
#include "load.h"

#include <errno.h>

#include "file.h"

bool plan_load(const char *path, struct plan *plan, struct problem *problem) {
    struct plan_error error = {0, "", ""};
    char *bytes;
    size_t length;
    int r = file_load(path, PLAN_BYTES_MAX, &bytes, &length);
    if (r < 0) {
        problem_set(problem, EXIT_SHIM, "plan-unreadable", "cannot read the plan", path, -r,
                    r == -EPERM ? "it must be a regular file, yours, and writable by you alone"
                                : "name the `plan` file of a prepared pod");
        return false;
    }
    size_t size = plan_measure(bytes, length, &error);
    void *arena = size > 0 ? file_room(size) : NULL;
    if (size > 0 && arena == NULL) {
        problem_set(problem, EXIT_SHIM, "out-of-memory", "no memory for the plan", path, ENOMEM,
                    NULL);
        return false;
    }
    if (size == 0 || !plan_parse(bytes, length, arena, size, plan, &error)) {
        problem_from_plan(problem, path, &error);
        return false;
    }
    return true;
}
