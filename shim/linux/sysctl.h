/*
 * sysctl - kernel parameters of the pod's own namespaces
 */
#ifndef JETPACK_SYSCTL_H
#define JETPACK_SYSCTL_H

#include <stdbool.h>

#include "../plan.h"
#include "../wire.h"

/*
 * Writes the plan's parameters. Runs in the pod's init, in the pod's ipc and network namespaces,
 * while the host's /proc is still there: the kernel looks at the writer's namespaces, not at the
 * mount's. False: the problem is filled, and its index is that of the parameter.
 */
bool sysctls_set(const struct plan *plan, struct wire *problem);

#endif
