/*
 * text - see text.h. No privileges, no effects.
 */
#include "text.h"

#include <string.h>

void text_bytes(struct text *t, const char *s, size_t n) {
    if (t->cap == 0)
        return;
    size_t room = t->cap - 1 - t->len;
    if (n > room) {
        n = room;
        t->cut = true;
    }
    memcpy(t->buf + t->len, s, n);
    t->len += n;
    t->buf[t->len] = '\0';
}

void text_str(struct text *t, const char *s) {
    text_bytes(t, s, strlen(s));
}

void text_num(struct text *t, uint64_t n) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    text_bytes(t, digits + at, sizeof digits - at);
}

void text_int(struct text *t, int64_t n) {
    if (n < 0)
        text_bytes(t, "-", 1);
    text_num(t, n < 0 ? (uint64_t)0 - (uint64_t)n : (uint64_t)n);
}

static void text_hex(struct text *t, const char *prefix, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    text_str(t, prefix);
    text_bytes(t, &hex[c >> 4], 1);
    text_bytes(t, &hex[c & 15], 1);
}

void text_plain(struct text *t, const char *s) {
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f)
            text_hex(t, "\\x", c);
        else
            text_bytes(t, s, 1);
    }
}

/*
 * The length of the well-formed UTF-8 sequence at s, or 0. An overlong form, a surrogate or a lone
 * byte would make the whole JSON document unreadable, so such bytes are written as U+FFFD.
 */
static size_t utf8_length(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 && p[0] <= 0xf4   ? 4
               : p[0] >= 0xe0 && p[0] <= 0xef ? 3
               : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
                                              : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

void text_json(struct text *t, const char *s) {
    text_str(t, "\"");
    while (*s != '\0') {
        unsigned char c = (unsigned char)*s;
        size_t n = utf8_length(s);
        if (n == 0) {
            text_str(t, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            text_bytes(t, "\\", 1);
            text_bytes(t, s, 1);
        } else if (c < 0x20 || c == 0x7f) {
            text_hex(t, "\\u00", c);
        } else {
            text_bytes(t, s, n);
        }
        s += n;
    }
    text_str(t, "\"");
}

static void text_padded(struct text *t, uint64_t n, unsigned width) {
    char digits[10];
    for (unsigned i = width; i > 0; i--) {
        digits[i - 1] = (char)('0' + n % 10);
        n /= 10;
    }
    text_bytes(t, digits, width);
}

void text_time(struct text *t, struct timespec at) {
    /* Days to civil date, in a calendar whose year begins in March; only years 1970..9999 occur. */
    uint64_t seconds = at.tv_sec > 0 ? (uint64_t)at.tv_sec : 0;
    uint64_t days = seconds / 86400 + 719468;
    uint64_t rest = seconds % 86400;
    uint64_t era = days / 146097;
    uint64_t doe = days % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint64_t mp = (5 * doy + 2) / 153;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    text_padded(t, yoe + era * 400 + (month <= 2 ? 1 : 0), 4);
    text_str(t, "-");
    text_padded(t, month, 2);
    text_str(t, "-");
    text_padded(t, doy - (153 * mp + 2) / 5 + 1, 2);
    text_str(t, "T");
    text_padded(t, rest / 3600, 2);
    text_str(t, ":");
    text_padded(t, rest / 60 % 60, 2);
    text_str(t, ":");
    text_padded(t, rest % 60, 2);
    text_str(t, ".");
    text_padded(t, (uint64_t)at.tv_nsec, 9);
    text_str(t, "Z");
}

void text_pair(struct text *t, const char *key, const char *value) {
    text_str(t, key);
    text_str(t, "=");
    text_str(t, value);
    text_str(t, "\n");
}

void text_pair_num(struct text *t, const char *key, uint64_t value) {
    text_str(t, key);
    text_str(t, "=");
    text_num(t, value);
    text_str(t, "\n");
}

bool number_parse(const char *s, uint64_t max, uint64_t *out) {
    uint64_t n = 0;
    if (*s == '\0' || (s[0] == '0' && s[1] != '\0'))
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return false;
        unsigned digit = (unsigned)(*s - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *out = n;
    return true;
}
