/*
 * plan-values - see plan-values.h. No privileges, no effects.
 */
#include "plan-values.h"

#include <string.h>

#include "plan.h"
#include "text.h"

static bool among(char c, const char *extra) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(extra, c) != NULL);
}

static bool upper(char c) {
    return c >= 'A' && c <= 'Z';
}

bool value_path(const char *s) {
    size_t n = strlen(s);
    if (s[0] != '/' || n > 4095)
        return false;
    if (n == 1)
        return true;
    while (*s == '/') {
        const char *part = s + 1;
        s = part + strcspn(part, "/");
        size_t length = (size_t)(s - part);
        if (length == 0 || length > 255 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    return true;
}

bool value_name(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
        return false;
    for (; *s != '\0'; s++) {
        if (!among(*s, "-") || (s[0] == '-' && s[1] == '-'))
            return false;
    }
    return true;
}

bool value_uuid(const char *s) {
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(s) != sizeof shape - 1)
        return false;
    for (size_t i = 0; shape[i] != '\0'; i++) {
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
        if (shape[i] == '-' ? s[i] != '-' : !hex)
            return false;
    }
    return true;
}

bool value_host(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > 64)
        return false;
    for (; *s != '\0'; s++) {
        if (!among(*s, ".-") && !upper(*s))
            return false;
    }
    return true;
}

bool value_file(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > 255 || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
        return false;
    for (; *s != '\0'; s++) {
        if (!among(*s, "_."))
            return false;
    }
    return true;
}

/* Components of letters, digits, `_` and `-`, none empty: no `..`, no slash. */
static bool dotted(const char *s) {
    bool fresh = true;
    for (; *s != '\0'; s++) {
        if (*s == '.' ? fresh : !among(*s, "_-") && !upper(*s))
            return false;
        fresh = *s == '.';
    }
    return !fresh;
}

bool value_sysctl(const char *s) {
    /* What an ipc namespace has; a network namespace has its own of everything that it shows. */
    static const char *const ipc[] = {
        "kernel.auto_msgmni",     "kernel.msg_next_id", "kernel.msgmax",      "kernel.msgmnb",
        "kernel.msgmni",          "kernel.sem",         "kernel.sem_next_id", "kernel.shm_next_id",
        "kernel.shm_rmid_forced", "kernel.shmall",      "kernel.shmmax",      "kernel.shmmni"};
    if (strlen(s) > 255 || !dotted(s))
        return false;
    for (size_t i = 0; i < sizeof ipc / sizeof ipc[0]; i++) {
        if (strcmp(s, ipc[i]) == 0)
            return true;
    }
    return strncmp(s, "fs.mqueue.", 10) == 0 || strncmp(s, "net.", 4) == 0;
}

bool value_dataset(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > 255 || s[0] == '/' || s[n - 1] == '/')
        return false;
    for (; *s != '\0'; s++) {
        if ((!among(*s, "_.:- /") && !upper(*s)) || (s[0] == '/' && s[1] == '/'))
            return false;
    }
    return true;
}

bool value_env(const char *s) {
    return s[0] != '=' && strchr(s, '=') != NULL;
}

bool value_bool(const char *s, bool *out) {
    if (strcmp(s, "0") != 0 && strcmp(s, "1") != 0)
        return false;
    *out = s[0] == '1';
    return true;
}

bool value_mask(const char *s, uint64_t *out) {
    uint64_t mask = 0;
    if (strlen(s) != 16)
        return false;
    for (; *s != '\0'; s++) {
        if (*s >= '0' && *s <= '9')
            mask = mask << 4 | (uint64_t)(*s - '0');
        else if (*s >= 'a' && *s <= 'f')
            mask = mask << 4 | (uint64_t)(*s - 'a' + 10);
        else
            return false;
    }
    *out = mask;
    return true;
}

bool value_integer(const char *s, int min, int max, int *out) {
    uint64_t n;
    bool minus = s[0] == '-';
    if (!number_parse(s + (minus ? 1 : 0), INT32_MAX, &n) || (minus && n == 0))
        return false;
    int value = minus ? -(int)n : (int)n;
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool value_mount_options(const char *s, unsigned *flags) {
    static const struct {
        const char *name;
        unsigned flag;
    } options[] = {{"ro", PLAN_RO},          {"rec", PLAN_REC},     {"nosuid", PLAN_NOSUID},
                   {"noexec", PLAN_NOEXEC},  {"nodev", PLAN_NODEV}, {"copy", PLAN_COPY},
                   {"missing", PLAN_MISSING}};
    unsigned found = 0;
    if (strcmp(s, "-") == 0) {
        *flags = 0;
        return true;
    }
    for (;;) {
        size_t n = strcspn(s, ",");
        unsigned flag = 0;
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
            if (strlen(options[i].name) == n && memcmp(options[i].name, s, n) == 0)
                flag = options[i].flag;
        }
        if (flag == 0 || (found & flag) != 0)
            return false;
        found |= flag;
        s += n;
        if (*s == '\0')
            break;
        s++;
    }
    *flags = found;
    return true;
}
