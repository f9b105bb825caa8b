/*
 * load - see load.h.
 */
#include "load.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

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

static bool unreadable(struct problem *problem, const char *path, int r) {
    problem_set(problem, EXIT_SHIM, "PLAN_UNREADABLE", "cannot read the plan", path, -r,
                r == -EPERM ? "it must be a regular file, yours, and writable by you alone"
                            : "name the `plan` file of a prepared pod");
    return false;
}

/* `arena` NULL: no memory. */
static bool parse(char *bytes, size_t length, void *arena, size_t size, const char *path,
                  struct plan *plan, struct plan_error *error, struct problem *problem) {
    if (size > 0 && arena == NULL) {
        problem_set(problem, EXIT_SHIM, "OUT_OF_MEMORY", "no memory for the plan", path, ENOMEM,
                    NULL);
        return false;
    }
    if (size == 0 || !plan_parse(bytes, length, arena, size, plan, error)) {
        problem_from_plan(problem, path, error);
        return false;
    }
    return true;
}

bool plan_load(const char *path, struct plan *plan, struct problem *problem) {
    struct plan_error error = {0, "", ""};
    char *bytes;
    size_t length;
    int r = file_load(path, PLAN_BYTES_MAX, &bytes, &length);
    if (r < 0)
        return unreadable(problem, path, r);
    size_t size = plan_measure(bytes, length, &error);
    void *arena = size > 0 ? room_after(bytes, length, size) : NULL;
    return parse(bytes, length, arena, size, path, plan, &error, problem);
}

bool plan_read(int fd, const char *path, struct plan *plan, struct plan_memory *memory,
               struct problem *problem) {
    struct plan_error error = {0, "", ""};
    char *bytes;
    size_t length;
    int r = file_load_open(fd, PLAN_BYTES_MAX, &bytes, &length);
    if (r < 0)
        return unreadable(problem, path, r);
    size_t size = plan_measure(bytes, length, &error);
    void *arena = size > 0 ? file_room(size) : NULL;
    *memory = (struct plan_memory){bytes, length + 1, arena, arena != NULL ? size : 0};
    if (parse(bytes, length, arena, size, path, plan, &error, problem))
        return true;
    plan_forget(memory);
    return false;
}

void plan_forget(struct plan_memory *memory) {
    if (memory->bytes_size > 0)
        (void)munmap(memory->bytes, memory->bytes_size);
    if (memory->arena_size > 0)
        (void)munmap(memory->arena, memory->arena_size);
    *memory = (struct plan_memory){0};
}
