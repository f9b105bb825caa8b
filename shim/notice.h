/*
 * notice - what an app tells of itself by the protocol of sd_notify(3)
 *
 * Pure: the bytes of one datagram in, what matters here out. Foreign bytes: bounded, nothing is
 * guessed.
 */
#ifndef JETPACK_NOTICE_H
#define JETPACK_NOTICE_H

#include <stdbool.h>
#include <stddef.h>

/* A longer datagram is ignored as a whole. */
#define NOTICE_MAX 4096u

struct notice {
    bool ready;         /* READY=1 */
    bool stopping;      /* STOPPING=1 */
    const char *status; /* the text of the last STATUS=, inside the datagram; NULL: none */
    size_t length;
};

/*
 * Lines of NAME=VALUE; a final zero byte is allowed, any other makes the datagram malformed. Names
 * that mean nothing here (MAINPID, WATCHDOG, FDSTORE and the like) are skipped. False: malformed.
 */
bool notice_parse(const char *bytes, size_t n, struct notice *out);
/* The longest beginning of the text that has at most `max` bytes and no torn UTF-8 sequence. */
size_t notice_cut(const char *text, size_t n, size_t max);

#endif
