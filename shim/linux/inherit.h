/*
 * inherit - what a process of a pod has from the pod's start, and not from whoever enters it
 */
#ifndef JETPACK_INHERIT_H
#define JETPACK_INHERIT_H

/*
 * Gives this process, and so the children that it starts, the resource limits, out-of-memory score,
 * scheduling, processors and i/o priority of the pod's init, which every app was started with; and
 * no keyring of the caller (inherit_no_keys). `app` is a pidfd of an app's main process. Where the
 * kernel refuses to raise something, the lower value stays. 0, -ESRCH: the app is gone, -errno.
 */
int inherit_from_pod(int app);

/*
 * An empty session keyring: the caller's may hold the keys of whoever is logged in. For the pod's
 * init, and for what enters. 0 or -errno; a kernel without keyrings is fine.
 */
int inherit_no_keys(void);

#endif
