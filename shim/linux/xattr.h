/*
 * xattr - extended attributes of a tree, for stage0 (PLAN.md, "Helpers")
 */
#ifndef JETPACK_XATTR_H
#define JETPACK_XATTR_H

/* Both return the exit status of the process. */
int xattr_apply(const char *dir);
int xattr_dump(const char *dir);

#endif
