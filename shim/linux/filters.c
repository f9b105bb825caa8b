/*
 * filters - see filters.h. The kernel checks a program's sense; here only its size and owner.
 */
#include "filters.h"

#include <errno.h>

#include "../file.h"

bool filter_load(const struct plan_app *app, struct sock_fprog *program, struct problem *problem) {
    char *bytes;
    size_t length = 0;
    *program = (struct sock_fprog){0, NULL};
    if (app->seccomp == NULL)
        return true;
    int r = file_load(app->seccomp, BPF_MAXINSNS * sizeof(struct sock_filter), &bytes, &length);
    if (r == 0 && (length == 0 || length % sizeof(struct sock_filter) != 0))
        r = -EINVAL;
    if (r < 0) {
        problem_set(problem, EXIT_SHIM, "SECCOMP_FAILED", "cannot use the seccomp filter",
                    app->seccomp, -r, "compile it with `jetpack-seccomp compile`");
        return false;
    }
    program->len = (unsigned short)(length / sizeof(struct sock_filter));
    program->filter = (struct sock_filter *)(void *)bytes;
    return true;
}
