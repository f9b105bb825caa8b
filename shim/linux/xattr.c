/*
 * xattr - `xattr-apply` and `xattr-dump`: extended attributes and device nodes, for stage0
 *
 * Needs what setting the attributes and nodes needs (root). Every entry is reached through a walk
 * that follows no symbolic link and cannot leave the folder; only its last component is worked on,
 * itself never followed. Records are those of a plan (PLAN.md, "Helpers").
 *
 * Exit status: 0; 1 for a broken record or an error that names path and attribute; 3 when
 * attributes were not supported by the file system: each is told on stderr, the rest is applied.
 */
#define _GNU_SOURCE
#include "xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../fd.h"
#include "../report.h"
#include "../text.h"
#include "sys.h"

#define VALUE_MAX 65536
#define RECORD_MAX (4096 + 256 + 2 * VALUE_MAX + 64)
#define EXIT_UNSUPPORTED 3

static char record[RECORD_MAX];
static char value[VALUE_MAX];
static int result;

static int complain(const char *what, const char *path, const char *name, int error, int exit) {
    static struct problem p;
    char thing[1024];
    struct text t = TEXT_ON(thing);
    text_plain(&t, path);
    if (name != NULL) {
        text_str(&t, " (");
        text_plain(&t, name);
        text_str(&t, ")");
    }
    problem_set(&p, exit, "xattr", what, thing, error < 0 ? -error : error, NULL);
    report(&p, false);
    return exit;
}

/* The folder that holds the path's last component, which *name becomes; "." for the top itself. */
static int open_parent(int top, char *path, const char **name) {
    const uint64_t strict = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        path[--n] = '\0';
    while (*path == '/')
        path++;
    char *slash = strrchr(path, '/');
    *name = slash != NULL ? slash + 1 : path[0] != '\0' ? path : ".";
    if (strcmp(*name, "..") == 0)
        return -EXDEV;
    if (slash == NULL)
        return sys_openat2(top, ".", O_PATH | O_DIRECTORY, 0, strict);
    *slash = '\0';
    return sys_openat2(top, path, O_PATH | O_DIRECTORY, 0, strict);
}

/* `/proc/self/fd/N/name`: the l*xattr calls take no descriptor of a folder. */
static const char *entry_path(int parent, const char *name) {
    static char room[4096 + 64];
    struct text t = TEXT_ON(room);
    text_str(&t, "/proc/self/fd/");
    text_num(&t, (uint64_t)parent);
    text_str(&t, "/");
    text_str(&t, name);
    return t.cut ? "" : room;
}

static int from_hex(const char *hex, size_t *length) {
    size_t n = strlen(hex);
    if (n % 2 != 0 || n / 2 > sizeof value)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        char c = hex[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -EINVAL;
        value[i / 2] = (char)(i % 2 == 0 ? digit << 4 : (unsigned char)value[i / 2] | digit);
    }
    *length = n / 2;
    return 0;
}

static int apply_xattr(int top, char **f) {
    char shown[4096];
    const char *name;
    size_t length = 0;
    struct text t = TEXT_ON(shown);
    text_str(&t, f[0]);
    int r = from_hex(f[2], &length);
    if (r < 0)
        return complain("not a value in hex:", shown, f[1], 0, 1);
    int parent = open_parent(top, f[0], &name);
    if (parent < 0)
        return complain("cannot reach", shown, NULL, parent, 1);
    r = lsetxattr(entry_path(parent, name), f[1], value, length, 0) < 0 ? -errno : 0;
    close(parent);
    if (r == -ENOTSUP) {
        result =
            complain("the file system takes no such attribute:", shown, f[1], 0, EXIT_UNSUPPORTED);
        return 0;
    }
    return r < 0 ? complain("cannot set the attribute of", shown, f[1], r, 1) : 0;
}

static int apply_node(int top, char **f) {
    char shown[4096];
    const char *name;
    uint64_t mode;
    uint64_t numbers[2];
    struct text t = TEXT_ON(shown);
    text_str(&t, f[0]);
    mode_t type = strcmp(f[1], "c") == 0 ? S_IFCHR : strcmp(f[1], "b") == 0 ? S_IFBLK : S_IFIFO;
    if ((type == S_IFIFO && strcmp(f[1], "p") != 0) || !number_parse(f[2], 07777, &mode) ||
        !number_parse(f[3], UINT32_MAX, &numbers[0]) ||
        !number_parse(f[4], UINT32_MAX, &numbers[1]))
        return complain("not a node's type, mode and numbers:", shown, NULL, 0, 1);
    int parent = open_parent(top, f[0], &name);
    if (parent < 0)
        return complain("cannot reach", shown, NULL, parent, 1);
    dev_t device = type == S_IFIFO ? 0 : makedev((unsigned)numbers[0], (unsigned)numbers[1]);
    mode_t before = umask(0);
    int r = mknodat(parent, name, type | (mode_t)mode, device) < 0 ? -errno : 0;
    umask(before);
    close(parent);
    return r < 0 ? complain("cannot make the node", shown, NULL, r, 1) : 0;
}

/* What the file system makes up from other things it knows, and no archive may carry. */
static bool is_virtual(const char *name) {
    return strncmp(name, "system.", 7) == 0 && strncmp(name, "system.posix_acl_", 17) != 0;
}

/* Labels that the host's security module puts on files by itself, and does not let go of. */
static bool is_of_the_host(const char *name) {
    static const char *const names[] = {"security.selinux", "security.SMACK64", "security.ima",
                                        "security.evm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static char attributes[65536];

static int strip(int top, char **f) {
    char shown[4096];
    const char *name;
    struct text t = TEXT_ON(shown);
    text_str(&t, f[0]);
    int parent = open_parent(top, f[0], &name);
    if (parent < 0)
        return complain("cannot reach", shown, NULL, parent, 1);
    const char *entry = entry_path(parent, name);
    ssize_t n = llistxattr(entry, attributes, sizeof attributes);
    int r = n < 0 && errno != ENOTSUP ? -errno : 0;
    for (char *at = attributes; r == 0 && at < attributes + n && at[0] != '\0';
         at += strlen(at) + 1) {
        if (!is_virtual(at) && !is_of_the_host(at) && lremovexattr(entry, at) < 0)
            r = errno == ENODATA ? 0 : -errno;
    }
    close(parent);
    return r < 0 ? complain("cannot take the attributes from", shown, NULL, r, 1) : 0;
}

static int apply_record(int top, char **words, size_t n, unsigned number) {
    uint64_t count;
    char digits[24];
    struct text t = TEXT_ON(digits);
    bool counted = n >= 2 && number_parse(words[1], 16, &count) && count == n - 2;
    if (counted && count == 3 && strcmp(words[0], "x") == 0)
        return apply_xattr(top, words + 2);
    if (counted && count == 5 && strcmp(words[0], "node") == 0)
        return apply_node(top, words + 2);
    if (counted && count == 1 && strcmp(words[0], "strip") == 0)
        return strip(top, words + 2);
    text_num(&t, number);
    return complain("not a record of xattr-apply: number", digits, NULL, 0, 1);
}

/*
 * The next record, cut into its NUL-ended words: 1; 0 at the end; -errno. The count says where it
 * ends, so a field may hold a line feed.
 */
static int read_record(char **words, size_t max, size_t *n) {
    static char input[65536];
    static size_t have;
    static size_t at;
    size_t used = 0;
    uint64_t count = 0;
    *n = 0;
    words[0] = record;
    for (;;) {
        if (at == have) {
            ssize_t got = read(STDIN_FILENO, input, sizeof input);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return got < 0 ? -errno : used == 0 ? 0 : -EPROTO;
            have = (size_t)got;
            at = 0;
        }
        char c = input[at++];
        if (*n >= 2 && *n == count + 2)
            return c == '\n' ? 1 : -EPROTO;
        if (used == sizeof record)
            return -E2BIG;
        record[used++] = c;
        if (c != '\0')
            continue;
        ++*n;
        if (*n == 2 && (!number_parse(words[1], max - 2, &count)))
            return -EPROTO;
        if (*n < max)
            words[*n] = record + used;
    }
}

int xattr_apply(const char *dir) {
    char *words[16];
    size_t n;
    unsigned number = 0;
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return complain("cannot open", dir, NULL, errno, 1);
    for (;;) {
        number++;
        int r = read_record(words, 16, &n);
        if (r == 0)
            return result;
        if (r < 0) {
            char digits[24];
            struct text t = TEXT_ON(digits);
            text_num(&t, number);
            return complain("not a record of xattr-apply: number", digits, NULL,
                            r == -EPROTO ? 0 : r, 1);
        }
        r = apply_record(top, words, n, number);
        if (r != 0)
            return r;
    }
}

/* -- dump --------------------------------------------------------------------------------- */

static char output[8192];
static size_t pending;

static int flush(void) {
    int r = fd_write_all(STDOUT_FILENO, output, pending);
    pending = 0;
    return r;
}

static int put(const char *bytes, size_t n) {
    while (n > 0) {
        size_t piece = sizeof output - pending < n ? sizeof output - pending : n;
        memcpy(output + pending, bytes, piece);
        pending += piece;
        bytes += piece;
        n -= piece;
        int r = pending == sizeof output ? flush() : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_record(const char *path, const char *name, size_t length) {
    static const char hex[] = "0123456789abcdef";
    int r = put("x\0003\0", 4);
    if (r == 0)
        r = put(path, strlen(path) + 1);
    if (r == 0)
        r = put(name, strlen(name) + 1);
    for (size_t i = 0; r == 0 && i < length; i++) {
        unsigned char c = (unsigned char)value[i];
        const char two[2] = {hex[c >> 4], hex[c & 15]};
        r = put(two, 2);
    }
    return r == 0 ? put("\0\n", 2) : r;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int dump_entry(int parent, const char *name, const char *path) {
    static char *names[sizeof attributes / 6]; /* a name has a namespace and a dot */
    size_t count = 0;
    const char *entry = entry_path(parent, name);
    ssize_t n = llistxattr(entry, attributes, sizeof attributes);
    if (n < 0)
        return errno == ENOTSUP ? 0
                                : complain("cannot list the attributes of", path, NULL, errno, 1);
    for (char *at = attributes; at < attributes + n && at[0] != '\0'; at += strlen(at) + 1) {
        if (!is_virtual(at))
            names[count++] = at;
    }
    qsort(names, count, sizeof names[0], by_name);
    for (size_t i = 0; i < count; i++) {
        ssize_t length = lgetxattr(entry, names[i], value, sizeof value);
        if (length < 0)
            return complain("cannot read the attribute of", path, names[i], errno, 1);
        int r = put_record(path, names[i], (size_t)length);
        if (r < 0)
            return complain("cannot write", "the records", NULL, r, 1);
    }
    return 0;
}

struct entry {
    uint64_t ino;
    int64_t off;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* The names in a folder, sorted; one block to be freed. */
static int read_names(int dir, char ***out, size_t *count) {
    size_t used = 0;
    size_t cap = 0;
    size_t n = 0;
    char *names = malloc(1); /* never NULL, even for an empty folder */
    _Alignas(struct entry) char room[16384];
    if (names == NULL)
        return -ENOMEM;
    for (;;) {
        long got = syscall(SYS_getdents64, dir, room, sizeof room);
        if (got < 0) {
            int error = errno;
            free(names);
            return -error;
        }
        if (got == 0)
            break;
        for (long at = 0; at < got;) {
            const struct entry *e = (const struct entry *)(const void *)(room + at);
            at += e->length;
            if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
                continue;
            size_t size = strlen(e->name) + 1;
            if (used + size > cap) {
                cap = (used + size) * 2;
                char *more = realloc(names, cap);
                if (more == NULL) {
                    free(names);
                    return -ENOMEM;
                }
                names = more;
            }
            memcpy(names + used, e->name, size);
            used += size;
            n++;
        }
    }
    char **list = malloc(n * sizeof *list + used + 1);
    if (list == NULL) {
        free(names);
        return -ENOMEM;
    }
    char *copy = (char *)(list + n);
    memcpy(copy, names, used);
    free(names);
    for (size_t i = 0; i < n; i++) {
        list[i] = copy;
        copy += strlen(copy) + 1;
    }
    qsort(list, n, sizeof *list, by_name);
    *out = list;
    *count = n;
    return 0;
}

/* `path` is a buffer of 4096 bytes that holds the folder's path, of `length` bytes. */
static int dump_folder(int dir, char *path, size_t length) {
    char **names = NULL;
    size_t count = 0;
    int r = read_names(dir, &names, &count);
    if (r < 0)
        return complain("cannot read the folder", path, NULL, r, 1);
    for (size_t i = 0; r == 0 && i < count; i++) {
        size_t size = strlen(names[i]);
        if (length + 1 + size >= 4096) {
            r = complain("the path is too long below", path, NULL, 0, 1);
            break;
        }
        path[length] = '/';
        memcpy(path + length + 1, names[i], size + 1);
        r = dump_entry(dir, names[i], path + 1);
        int below = r == 0 ? openat(dir, names[i],
                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                           : -1;
        if (below >= 0) {
            r = dump_folder(below, path, length + 1 + size);
            close(below);
        } else if (r == 0 && errno != ENOTDIR && errno != ELOOP) {
            r = complain("cannot open", path + 1, NULL, errno, 1);
        }
        path[length] = '\0';
    }
    free(names);
    return r;
}

int xattr_dump(const char *dir) {
    char path[4096] = "";
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return complain("cannot open", dir, NULL, errno, 1);
    int r = dump_entry(top, ".", ".");
    if (r == 0)
        r = dump_folder(top, path, 0);
    close(top);
    if (r == 0 && flush() < 0)
        return complain("cannot write", "the records", NULL, errno, 1);
    return r;
}
