/*
 * context - an app's view: its own mount namespace, root, /dev, /proc, /sys, volumes
 *
 * Runs in the pod's init, as root with all capabilities, in the pod's pid, uts, ipc and network
 * namespaces and in a private copy of the host's mounts. No malloc, no stdio.
 *
 * Every path of the image is resolved with openat2(RESOLVE_IN_ROOT) and then used through the
 * descriptor: an image may hold symbolic links anywhere, and none may lead out of it.
 *
 * Errors: false, and the problem's step, index and value (errno) say what failed. A failed build
 * leaves mounts only in the namespace, which dies with init.
 */
#ifndef JETPACK_CONTEXT_H
#define JETPACK_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "../plan.h"
#include "../wire.h"

struct context {
    int mntns;  /* the namespace, CLOEXEC */
    int master; /* the pty's master, or -1 */
};

/* Tells of something that did not fail: a step that is a note, and the number of the mount. */
typedef void context_note(enum wire_step step, unsigned index);

/*
 * Makes a new mount namespace from the present one and leaves the caller in it, with the app's
 * root as its root and working directory.
 */
bool context_build(const struct plan_app *app, bool tty, context_note *note, struct context *out,
                   struct wire *problem);
/* Leaves all mounts of the host: the caller's root becomes an empty read-only tmpfs. */
bool context_leave_host(struct wire *problem);
/* Stops changes of this mount namespace from reaching the host; those of the host still arrive. */
bool context_isolate(struct wire *problem);
/* Mounts the cgroup file system of the caller's cgroup namespace, in the app's root. 0 or -errno.
 */
int context_mount_cgroup(void);

/* -- between the files of this folder ------------------------------------------------------ */

bool problem_at(struct wire *problem, enum wire_step step, unsigned index, int error);
/*
 * Opens a path of the image for mounting on, O_PATH. `resolve`: flags of openat2(2) beside those
 * that keep it inside the root. -errno.
 */
int target_open(int root, const char *path, uint64_t resolve);
/* The same; missing parts are created root:root 0755, the last as a folder or a file. */
int target_ensure(int root, const char *path, bool folder, uint64_t resolve);
/* mount(2) of a file system that needs it; a detached mount, or -errno. */
int mount_staged(const char *type, const char *source, unsigned long flags);

bool devices_make(int root, bool tty, int *master, struct wire *problem);
bool volumes_mount(int root, const struct plan_app *app, context_note *note, struct wire *problem);
bool masks_mount(int root, const struct plan_app *app, struct wire *problem);
/*
 * Copies the content of the folder `from` into the folder `to`, if that is empty or has what an
 * earlier copy left half-done. 0 or -errno.
 */
int copy_tree(int from, int to);
/* Whether a folder has an entry: 1, 0 or -errno. */
int folder_is_filled(int folder);

#endif
