/*
 * load - see load.h.
 */
#include "load.h"

#include <errno.h>
#include <stddef.h>

#include "file.h"

/* The rest of the file's last page when it is enough, as for most plans of one app; else new pages.
 */
static void *room_after(char *bytes, size_t length, size_t size) {
    const size_t page = 4096;
    size_t unit = _Alignof(max_align_t);
    size_t used = (length + unit) / unit * unit; /* and the final zero */
    size_t mapped = (length + page) / page * page;
    return used <= mapped && mapped - used >= size ? (void *)(bytes + used) : file_room(size);
}

bool plan_load(const char *path, struct plan *plan, struct problem *problem) {
    struct plan_error error = {0, "", ""};
    char *bytes;
    size_t length;
    int r = file_load(path, PLAN_BYTES_MAX, &bytes, &length);
    if (r < 0) {
        problem_set(problem, EXIT_SHIM, "PLAN_UNREADABLE", "cannot read the plan", path, -r,
                    r == -EPERM ? "it must be a regular file, yours, and writable by you alone"
                                : "name the `plan` file of a prepared pod");
        return false;
    }
    size_t size = plan_measure(bytes, length, &error);
    void *arena = size > 0 ? room_after(bytes, length, size) : NULL;
    if (size > 0 && arena == NULL) {
        problem_set(problem, EXIT_SHIM, "OUT_OF_MEMORY", "no memory for the plan", path, ENOMEM,
                    NULL);
        return false;
    }
    if (size == 0 || !plan_parse(bytes, length, arena, size, plan, &error)) {
        problem_from_plan(problem, path, &error);
        return false;
    }
    return true;
}
