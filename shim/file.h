/*
 * file - a whole file that only we can have written
 */
#ifndef JETPACK_FILE_H
#define JETPACK_FILE_H

#include <stddef.h>

/*
 * Maps a private, zero-terminated copy of a regular file of at most `max` bytes. It must belong to
 * the effective user and be writable by nobody else. 0, -EPERM: it is not such a file; -EFBIG; or
 * another -errno. The memory is never freed.
 */
int file_load(const char *path, size_t max, char **bytes, size_t *length);
/* The same for an open file, read from its beginning; it stays open. */
int file_load_open(int fd, size_t max, char **bytes, size_t *length);
/* Zeroed memory for the rest of the process's life, or NULL. */
void *file_room(size_t size);

#endif
