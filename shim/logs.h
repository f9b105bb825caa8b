/*
 * logs - an app's output as lines of the CRI log format, rotated by size
 *
 * `RFC3339Nano stdout|stderr F|P TEXT`: F ends with a line feed of the app, P does not. A piece is
 * written as soon as it is read, so nothing waits in memory; joining the P pieces of a stream gives
 * the app's bytes back exactly.
 *
 * A file system without room loses log lines, never the app: the first failure of a log is told
 * by log_write's result, the file is cut back to its last whole line, and later writes try again.
 */
#ifndef JETPACK_LOGS_H
#define JETPACK_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log {
    int dir; /* borrowed */
    const char *name;
    uint64_t max;
    unsigned keep;
    int fd;
    uint64_t size;
    bool told;
};

/* Opens dir/name for appending. 0 or -errno. */
int log_open(struct log *log, int dir, const char *name, uint64_t max, unsigned keep);
/* 0, or -errno when this is the log's first failure. */
int log_write(struct log *log, bool stderr_stream, const char *bytes, size_t n);

#endif
