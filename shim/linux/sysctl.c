/*
 * sysctl - see sysctl.h. The plan's parser has checked the keys: none of them leads out of
 * /proc/sys, or to a parameter that the host has only once.
 */
#define _GNU_SOURCE
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../fd.h"
#include "../text.h"
#include "context.h"

static int set(const struct plan_sysctl *s) {
    char path[512];
    struct text t = TEXT_ON(path);
    text_str(&t, "/proc/sys/");
    text_str(&t, s->key);
    if (t.cut)
        return -ENAMETOOLONG;
    for (char *c = path + sizeof "/proc/sys/" - 1; *c != '\0'; c++) {
        if (*c == '.')
            *c = '/';
    }
    int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* One write: the kernel takes a value as a whole. */
    ssize_t n = write(fd, s->value, strlen(s->value));
    int r = n < 0 ? -errno : 0;
    fd_close(&fd);
    return r;
}

bool sysctls_set(const struct plan *plan, struct wire *problem) {
    unsigned index = 0;
    for (const struct plan_sysctl *s = plan->sysctls; s != NULL; s = s->next, index++) {
        int r = set(s);
        if (r < 0)
            return problem_at(problem, STEP_SYSCTL, index, r);
    }
    return true;
}
