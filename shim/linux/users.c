/*
 * users - see users.h.
 */
#define _GNU_SOURCE
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/magic.h>

#include "../text.h"
#include "sys.h"

#define FILE_MAX (8u << 20)

/* A line's fields; returns true to stop. */
typedef bool match_fn(char **fields, size_t count, void *context);

static size_t split(char *line, char **fields, size_t max) {
    size_t n = 0;
    while (n < max) {
        fields[n++] = line;
        line = strchr(line, ':');
        if (line == NULL)
            break;
        *line++ = '\0';
    }
    return n;
}

/* 1: matched, 0: read to the end, -errno. Lines that are too long or hold a NUL match nothing. */
static int scan_file(int fd, match_fn *match, void *context) {
    static char room[4096];
    size_t have = 0;
    size_t total = 0;
    bool skipping = false;
    for (;;) {
        ssize_t n = read(fd, room + have, sizeof room - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        have += (size_t)n;
        total += (size_t)n;
        if (total > FILE_MAX)
            return -EFBIG;
        char *line = room;
        for (;;) {
            char *end = memchr(line, '\n', have - (size_t)(line - room));
            if (end == NULL && n == 0 && line < room + have)
                end = room + have; /* the last line needs no line feed */
            if (end == NULL)
                break;
            *end = '\0';
            char *fields[8];
            if (!skipping && strlen(line) == (size_t)(end - line) &&
                match(fields, split(line, fields, 8), context))
                return 1;
            skipping = false;
            line = end + 1;
            if (line > room + have)
                return 0;
        }
        if (n == 0)
            return 0;
        have -= (size_t)(line - room);
        memmove(room, line, have);
        if (have == sizeof room - 1) {
            skipping = true;
            have = 0;
        }
    }
}

static int scan(const char *path, match_fn *match, void *context) {
    struct stat st;
    int fd = sys_openat2(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                         RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return -ENOTSUP;
    /* Some files of /proc call themselves regular and give, or take away, what is the host's
     * (kmsg). */
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !sys_is_on(fd, PROC_SUPER_MAGIC) &&
                 !sys_is_on(fd, SYSFS_MAGIC);
    int r = plain ? scan_file(fd, match, context) : -ENOTSUP;
    close(fd);
    return r < 0 ? -ENOTSUP : r;
}

static bool fits(char *to, size_t cap, const char *from) {
    size_t n = strlen(from);
    if (n >= cap)
        return false;
    memcpy(to, from, n + 1);
    return true;
}

struct search {
    const char *name; /* or NULL: search for `id` */
    uint64_t id;
    struct identity *user;
};

static bool match_user(char **f, size_t count, void *context) {
    struct search *s = context;
    uint64_t uid;
    if (count < 4 || !number_parse(f[2], UINT32_MAX - 1, &uid))
        return false;
    if (s->name != NULL ? strcmp(f[0], s->name) != 0 : uid != s->id)
        return false;
    s->id = uid;
    struct identity *u = s->user;
    uint64_t own;
    u->own = number_parse(f[3], UINT32_MAX - 1, &own) ? (gid_t)own : 0;
    if (!fits(u->name, sizeof u->name, f[0]) ||
        !fits(u->home, sizeof u->home, count > 5 ? f[5] : "") ||
        !fits(u->shell, sizeof u->shell, count > 6 ? f[6] : ""))
        u->name[0] = u->home[0] = u->shell[0] = '\0';
    return true;
}

static bool match_group(char **f, size_t count, void *context) {
    struct search *s = context;
    uint64_t gid;
    if (count < 3 || strcmp(f[0], s->name) != 0 || !number_parse(f[2], UINT32_MAX - 1, &gid))
        return false;
    s->id = gid;
    return true;
}

/* Whether a name is one of a list with commas. */
static bool lists(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

static bool match_member(char **f, size_t count, void *context) {
    struct identity *user = context;
    uint64_t gid;
    if (count < 4 || !lists(f[3], user->name) || !number_parse(f[2], UINT32_MAX - 1, &gid))
        return false;
    user->groups[user->group_count++] = (gid_t)gid;
    return user->group_count == USERS_GROUPS_MAX;
}

static int owner_of(const char *path, struct stat *st) {
    int fd = sys_openat2(AT_FDCWD, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    int r = fstat(fd, st) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int users_find_user(const char *who, struct identity *out) {
    struct stat st;
    struct search s = {who, 0, out};
    out->name[0] = out->home[0] = out->shell[0] = '\0';
    out->own = 0;
    out->group_count = 0;
    if (who[0] == '/') {
        int r = owner_of(who, &st);
        if (r < 0)
            return r;
        s.id = st.st_uid;
    } else {
        int r = scan("/etc/passwd", match_user, &s);
        if (r == 1) {
            out->uid = (uid_t)s.id;
            return 0;
        }
        if (!number_parse(who, UINT32_MAX - 1, &s.id))
            return r < 0 ? r : -ENOENT;
    }
    out->uid = (uid_t)s.id;
    s.name = NULL;
    (void)scan("/etc/passwd", match_user, &s); /* a number needs no line */
    return 0;
}

int users_find_group(const char *who, gid_t *out) {
    struct stat st;
    struct search s = {who, 0, NULL};
    if (who[0] == '/') {
        int r = owner_of(who, &st);
        if (r < 0)
            return r;
        *out = st.st_gid;
        return 0;
    }
    int r = scan("/etc/group", match_group, &s);
    if (r != 1 && !number_parse(who, UINT32_MAX - 1, &s.id))
        return r < 0 ? r : -ENOENT;
    *out = (gid_t)s.id;
    return 0;
}

int users_find_own_groups(struct identity *user) {
    user->group_count = 0;
    if (user->name[0] == '\0')
        return 0;
    int r = scan("/etc/group", match_member, user);
    return r < 0 ? r : 0;
}
