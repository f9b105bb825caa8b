/*
 * users - names of the image's /etc/passwd and /etc/group
 *
 * Runs in the app's root, before any privilege is dropped. The files are the image's: read with
 * bounded, static buffers, never through libc's name services; anything but a regular file is
 * refused without waiting for it. Not reentrant.
 */
#ifndef JETPACK_USERS_H
#define JETPACK_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USERS_GROUPS_MAX 64u

struct identity {
    uid_t uid;
    gid_t gid;
    gid_t own; /* the group in the user's line of passwd, 0 without one */
    /* those whose lines in /etc/group name the user: users_find_own_groups */
    gid_t groups[USERS_GROUPS_MAX];
    size_t group_count;
    /* from passwd, empty when the user has no line */
    char name[128];
    char home[512];
    char shell[512];
};

/*
 * A name, else a number, else (with a leading slash) the owner of that file. 0, -ENOENT: no such
 * name; -ENOTSUP: the file itself is unusable; another -errno of stat(2) for a path.
 */
int users_find_user(const char *who, struct identity *out);
int users_find_group(const char *who, gid_t *out);
/* Of the user that was found: none without a name. 0, or -ENOTSUP: the file is unusable. */
int users_find_own_groups(struct identity *user);

#endif
