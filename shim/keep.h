/*
 * keep - what is in use while a pod waits, together on few pages
 *
 * Supervisor and init each own a copy of every page that they have written to. Single variables
 * are marked KEPT; arrays that grow with the pod are as large as this pod needs, from keep_room().
 */
#ifndef JETPACK_KEEP_H
#define JETPACK_KEEP_H

#include <stddef.h>

/* A section that also holds the libc's own written data; it makes the file larger, so nothing
 * large may be marked. */
#define KEPT __attribute__((section(".data.kept")))

/* A function of the start or the end, or one that is rarely called: the linker puts it before what
 * trim() leaves in memory. */
#define COLD __attribute__((cold))

/* n bytes, zero, aligned for any type, for the rest of the process's life; never NULL. The sum of
 * all calls has a limit (keep.c) that 64 apps do not reach. */
__attribute__((returns_nonnull)) void *keep_room(size_t n);

#endif
