/*
 * cgroup - the pod's part of the unified (v2) hierarchy
 *
 *     <cgroup>/_init     the pod's init
 *     <cgroup>/<app>     the app with its handlers and whatever enters it
 *
 * `_init` cannot be an app's name. The caller of the shim has checked that the parent is writable
 * and has the controllers. Runs in the supervisor, in the host's namespaces.
 */
#ifndef JETPACK_CGROUP_H
#define JETPACK_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "../plan.h"
#include "../report.h"

struct cgroups {
    int pod;
    int init;
    int *apps; /* as many as plan_room() says, from cgroup_none() */
};

/* All descriptors -1: before anything can fail. */
void cgroup_none(const struct plan *plan, struct cgroups *g);
/* All descriptors -1 when the plan has no cgroup. Makes the folder above the pod's too. Errors:
 * false, and the problem is filled. */
bool cgroup_create(const struct plan *plan, struct cgroups *g, struct problem *problem);
/* The folder of an app that joins a running pod, with its settings. */
bool cgroup_add(const struct plan *plan, struct cgroups *g, unsigned app, struct problem *problem);
/* Kills what is left of the app and removes its folder, if that goes at once. */
void cgroup_drop(struct cgroups *g, unsigned app, const char *name);
/* How many processes of the app the kernel has killed for its memory, or for the pod's. */
uint64_t cgroup_oom_kills(const struct cgroups *g, unsigned app);
/* Kills what is left and removes the folders; waits up to two seconds. 0 or -errno. */
int cgroup_remove(const struct plan *plan, struct cgroups *g);
/* The app's folder, for a process that enters; -1 when the plan has none; -errno. */
int cgroup_open(const struct plan *plan, const char *app);

#endif
