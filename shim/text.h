/*
 * text - bounded text without stdio
 *
 * Builds lines in a caller's buffer. Never allocates, never fails: what does not fit is cut, and
 * `cut` says so. Safe after fork and in a process that must not use stdio.
 */
#ifndef JETPACK_TEXT_H
#define JETPACK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct text {
    char *buf;
    size_t cap; /* includes the final NUL */
    size_t len;
    bool cut;
};

#define TEXT_ON(array) ((struct text){(array), sizeof(array), 0, false})

void text_bytes(struct text *t, const char *s, size_t n);
void text_str(struct text *t, const char *s);
void text_num(struct text *t, uint64_t n);
void text_int(struct text *t, int64_t n);
/* Control bytes, quotes' worst friends, become \xNN: what a child or a file says is no terminal
 * command. */
void text_plain(struct text *t, const char *s);
void text_json(struct text *t, const char *s);
/* RFC 3339, UTC, nine digits of a second: 30 bytes. */
void text_time(struct text *t, struct timespec at);
/* `key=number` LF and `key=text` LF. */
void text_pair(struct text *t, const char *key, const char *value);
void text_pair_num(struct text *t, const char *key, uint64_t value);

/* Decimal without sign or leading zeros, at most `max`. */
bool number_parse(const char *s, uint64_t max, uint64_t *out);

#endif
