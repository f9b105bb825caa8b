/*
 * jetpack-seccomp - compiles a list of system calls to a classic BPF filter
 *
 *     jetpack-seccomp compile LIST OUT
 *
 * The only program here that is linked with libseccomp; it needs no privileges and runs when a
 * policy changes, or when a pod is prepared whose apps bring one. OUT is an array of struct
 * sock_filter in the host's byte order, for this machine's architecture and its 32-bit sibling; it
 * is replaced atomically. A LIST of `-` is stdin, an OUT of `-` is stdout, in hex digits. LIST is
 * text, `#` begins a comment:
 *
 *     default errno N | kill | allow            once, first
 *     allow NAME...                             NAME is a system call
 *     errno N NAME...                           N is a number, or a name such as EPERM
 *     kill NAME...                              SIGSYS for the whole process
 *     ACTION NAME where ARG OP VALUE            ARG 0-5, OP eq ne lt le gt ge
 *     ACTION NAME where ARG masked MASK VALUE   (argument & MASK) == VALUE
 *     ACTION NAME where … and …                 all of them (of different arguments)
 *     strict | lenient                          what an unknown NAME is from here on
 *
 * Several lines for one call are alternatives; those that only repeat the default are dropped. A
 * name that this libseccomp does not know for any architecture is skipped, and told on stderr;
 * after `strict` it is an error, and all of them are told. Exit status: 0; 1 for an error, which
 * names the line; 2 for a wrong usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#define CONDITIONS_MAX 6
#define WORDS_MAX 4096

static scmp_filter_ctx filter;
static uint32_t default_action;
static bool strict;
static unsigned unknown;

/* Every name of errno(3). */
#define E(name)                                                                                    \
    { #name, name }
static const struct {
    const char *name;
    unsigned value;
} errors[] = {E(EPERM),           E(ENOENT),       E(ESRCH),
              E(EINTR),           E(EIO),          E(ENXIO),
              E(E2BIG),           E(ENOEXEC),      E(EBADF),
              E(ECHILD),          E(EAGAIN),       E(ENOMEM),
              E(EACCES),          E(EFAULT),       E(ENOTBLK),
              E(EBUSY),           E(EEXIST),       E(EXDEV),
              E(ENODEV),          E(ENOTDIR),      E(EISDIR),
              E(EINVAL),          E(ENFILE),       E(EMFILE),
              E(ENOTTY),          E(ETXTBSY),      E(EFBIG),
              E(ENOSPC),          E(ESPIPE),       E(EROFS),
              E(EMLINK),          E(EPIPE),        E(EDOM),
              E(ERANGE),          E(EDEADLK),      E(ENAMETOOLONG),
              E(ENOLCK),          E(ENOSYS),       E(ENOTEMPTY),
              E(ELOOP),           E(EWOULDBLOCK),  E(ENOMSG),
              E(EIDRM),           E(ECHRNG),       E(EL2NSYNC),
              E(EL3HLT),          E(EL3RST),       E(ELNRNG),
              E(EUNATCH),         E(ENOCSI),       E(EL2HLT),
              E(EBADE),           E(EBADR),        E(EXFULL),
              E(ENOANO),          E(EBADRQC),      E(EBADSLT),
              E(EDEADLOCK),       E(EBFONT),       E(ENOSTR),
              E(ENODATA),         E(ETIME),        E(ENOSR),
              E(ENONET),          E(ENOPKG),       E(EREMOTE),
              E(ENOLINK),         E(EADV),         E(ESRMNT),
              E(ECOMM),           E(EPROTO),       E(EMULTIHOP),
              E(EDOTDOT),         E(EBADMSG),      E(EOVERFLOW),
              E(ENOTUNIQ),        E(EBADFD),       E(EREMCHG),
              E(ELIBACC),         E(ELIBBAD),      E(ELIBSCN),
              E(ELIBMAX),         E(ELIBEXEC),     E(EILSEQ),
              E(ERESTART),        E(ESTRPIPE),     E(EUSERS),
              E(ENOTSOCK),        E(EDESTADDRREQ), E(EMSGSIZE),
              E(EPROTOTYPE),      E(ENOPROTOOPT),  E(EPROTONOSUPPORT),
              E(ESOCKTNOSUPPORT), E(EOPNOTSUPP),   E(ENOTSUP),
              E(EPFNOSUPPORT),    E(EAFNOSUPPORT), E(EADDRINUSE),
              E(EADDRNOTAVAIL),   E(ENETDOWN),     E(ENETUNREACH),
              E(ENETRESET),       E(ECONNABORTED), E(ECONNRESET),
              E(ENOBUFS),         E(EISCONN),      E(ENOTCONN),
              E(ESHUTDOWN),       E(ETOOMANYREFS), E(ETIMEDOUT),
              E(ECONNREFUSED),    E(EHOSTDOWN),    E(EHOSTUNREACH),
              E(EALREADY),        E(EINPROGRESS),  E(ESTALE),
              E(EUCLEAN),         E(ENOTNAM),      E(ENAVAIL),
              E(EISNAM),          E(EREMOTEIO),    E(EDQUOT),
              E(ENOMEDIUM),       E(EMEDIUMTYPE),  E(ECANCELED),
              E(ENOKEY),          E(EKEYEXPIRED),  E(EKEYREVOKED),
              E(EKEYREJECTED),    E(EOWNERDEAD),   E(ENOTRECOVERABLE),
              E(ERFKILL),         E(EHWPOISON)};
#undef E

static int complain(unsigned line, const char *what, const char *thing) {
    fprintf(stderr, "jetpack-seccomp: line %u: %s%s%s\n", line, what, thing[0] != '\0' ? " " : "",
            thing);
    return -1;
}

static int parse_number(const char *word, unsigned long long *out) {
    char *end;
    errno = 0;
    if (word[0] < '0' || word[0] > '9')
        return -1;
    *out = strtoull(word, &end, 0);
    return errno == 0 && *end == '\0' ? 0 : -1;
}

static int parse_errno(const char *word, uint32_t *action) {
    unsigned long long number = 0;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strcmp(errors[i].name, word) == 0)
            number = errors[i].value;
    }
    if (number == 0 && (parse_number(word, &number) < 0 || number == 0 || number > 4095))
        return -1;
    *action = SCMP_ACT_ERRNO((uint32_t)number);
    return 0;
}

/* `allow`, `kill`, `errno N`: the number of words it took; -1: none of them, -2: no errno. */
static int parse_action(char **words, size_t n, uint32_t *action) {
    if (n > 0 && strcmp(words[0], "allow") == 0) {
        *action = SCMP_ACT_ALLOW;
        return 1;
    }
    if (n > 0 && strcmp(words[0], "kill") == 0) {
        *action = SCMP_ACT_KILL_PROCESS;
        return 1;
    }
    if (n > 1 && strcmp(words[0], "errno") == 0)
        return parse_errno(words[1], action) < 0 ? -2 : 2;
    return -1;
}

static int complain_action(unsigned line, int used, char **words) {
    if (used == -2)
        return complain(line, "no errno:", words[1]);
    return complain(line, "not a known action:", words[0]);
}

static int parse_condition(char **words, size_t n, struct scmp_arg_cmp *out) {
    static const struct {
        const char *name;
        enum scmp_compare op;
    } ops[] = {{"eq", SCMP_CMP_EQ}, {"ne", SCMP_CMP_NE}, {"lt", SCMP_CMP_LT},
               {"le", SCMP_CMP_LE}, {"gt", SCMP_CMP_GT}, {"ge", SCMP_CMP_GE}};
    unsigned long long arg;
    unsigned long long a;
    unsigned long long b = 0;
    if (n < 3 || parse_number(words[0], &arg) < 0 || arg > 5 || parse_number(words[2], &a) < 0)
        return -1;
    *out = (struct scmp_arg_cmp){.arg = (unsigned)arg, .datum_a = a};
    if (n == 4 && strcmp(words[1], "masked") == 0 && parse_number(words[3], &b) == 0) {
        out->op = SCMP_CMP_MASKED_EQ;
        out->datum_b = b;
        return 0;
    }
    for (size_t i = 0; n == 3 && i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(words[1], ops[i].name) == 0) {
            out->op = ops[i].op;
            return 0;
        }
    }
    return -1;
}

/* `C`, `C and C` …: how many, or -1. */
static int parse_conditions(char **words, size_t n, struct scmp_arg_cmp *out) {
    int count = 0;
    for (size_t from = 0;;) {
        size_t to = from;
        while (to < n && strcmp(words[to], "and") != 0)
            to++;
        if (count == CONDITIONS_MAX || parse_condition(words + from, to - from, &out[count]) < 0)
            return -1;
        count++;
        if (to == n)
            return count;
        from = to + 1;
    }
}

static int add(unsigned line, uint32_t action, const char *name,
               const struct scmp_arg_cmp *conditions, unsigned count) {
    int number = seccomp_syscall_resolve_name(name);
    if (action == default_action && (number != __NR_SCMP_ERROR || !strict))
        return 0;
    if (number == __NR_SCMP_ERROR && strict) {
        (void)complain(line, "no system call:", name);
        unknown++; /* the other lines may have more of them */
        return 0;
    }
    if (number == __NR_SCMP_ERROR) {
        fprintf(stderr, "jetpack-seccomp: note: line %u: unknown here, skipped: %s\n", line, name);
        return 0;
    }
    int r = seccomp_rule_add_array(filter, action, number, count, conditions);
    /* One that only another architecture has, and a repetition, change nothing. */
    return r == 0 || r == -EEXIST || r == -EDOM ? 0 : complain(line, strerror(-r), name);
}

static int start(unsigned line, uint32_t action) {
    if (filter != NULL)
        return complain(line, "the default stands twice", "");
    default_action = action;
    filter = seccomp_init(action);
    if (filter == NULL)
        return complain(line, "no memory", "");
    switch (seccomp_arch_native()) {
    case SCMP_ARCH_X86_64:
        (void)seccomp_arch_add(filter, SCMP_ARCH_X86);
        break;
    case SCMP_ARCH_AARCH64:
        (void)seccomp_arch_add(filter, SCMP_ARCH_ARM);
        break;
    default:
        break;
    }
    /* Another calling convention (x32) is not there, as on most kernels. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return 0;
}

static int read_line(unsigned line, char **words, size_t n) {
    uint32_t action = 0;
    if (n == 1 && (strcmp(words[0], "strict") == 0 || strcmp(words[0], "lenient") == 0)) {
        strict = words[0][0] == 's';
        return 0;
    }
    if (strcmp(words[0], "default") == 0) {
        int used = parse_action(words + 1, n - 1, &action);
        if (used == -2)
            return complain_action(line, used, words + 1);
        if (used < 0 || (size_t)used + 1 != n)
            return complain(line, "the default is not `errno N`, `kill` or `allow`", "");
        return start(line, action);
    }
    int used = parse_action(words, n, &action);
    if (used < 0)
        return complain_action(line, used, words);
    if (filter == NULL)
        return complain(line, "`default` must come first", "");
    size_t first = (size_t)used;
    if (n > first + 1 && strcmp(words[first + 1], "where") == 0) {
        struct scmp_arg_cmp conditions[CONDITIONS_MAX];
        int count = parse_conditions(words + first + 2, n - first - 2, conditions);
        if (count < 0)
            return complain(line, "not a condition after `where`", "");
        return add(line, action, words[first], conditions, (unsigned)count);
    }
    for (size_t i = first; i < n; i++) {
        if (add(line, action, words[i], NULL, 0) < 0)
            return -1;
    }
    return 0;
}

static int read_list(FILE *list) {
    static char text[65536];
    static char *words[WORDS_MAX];
    for (unsigned line = 1; fgets(text, sizeof text, list) != NULL; line++) {
        size_t n = 0;
        if (strchr(text, '\n') == NULL && !feof(list))
            return complain(line, "the line is too long", "");
        text[strcspn(text, "#")] = '\0';
        for (char *word = strtok(text, " \t\r\n"); word != NULL && n < WORDS_MAX;
             word = strtok(NULL, " \t\r\n"))
            words[n++] = word;
        if (n > 0 && read_line(line, words, n) < 0)
            return -1;
    }
    if (ferror(list) || filter == NULL)
        return complain(0, ferror(list) ? strerror(errno) : "the list has no `default`", "");
    return unknown == 0 ? 0 : -1;
}

/* The program as hex digits: for who reads text from us. */
static int print_filter(void) {
    unsigned char chunk[4096];
    ssize_t n = 0;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    while (r == 0 && (n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0)
            r = -errno;
        for (ssize_t i = 0; i < n; i++)
            printf("%02x", chunk[i]);
    }
    if (fd >= 0)
        (void)close(fd);
    if (r == 0 && fflush(stdout) == EOF)
        r = -errno;
    return r == 0 ? 0 : complain(0, strerror(-r), "stdout");
}

static int write_filter(const char *path) {
    char aside[4096];
    int n = snprintf(aside, sizeof aside, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof aside)
        return complain(0, "the path is too long:", path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return complain(0, strerror(errno), aside);
    int r = seccomp_export_bpf(filter, fd);
    if (r == 0 && fsync(fd) < 0 && errno != EINVAL)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(aside, path) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlink(aside);
        return complain(0, strerror(-r), path);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4 || strcmp(argv[1], "compile") != 0) {
        fputs("usage: jetpack-seccomp compile LIST OUT\n", stderr);
        return 2;
    }
    FILE *list = strcmp(argv[2], "-") == 0 ? stdin : fopen(argv[2], "re");
    if (list == NULL) {
        fprintf(stderr, "jetpack-seccomp: %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    int r = read_list(list);
    if (list != stdin && fclose(list) == EOF && r == 0)
        r = complain(0, strerror(errno), argv[2]);
    if (r == 0)
        r = strcmp(argv[3], "-") == 0 ? print_filter() : write_filter(argv[3]);
    if (filter != NULL)
        seccomp_release(filter);
    return r == 0 ? 0 : 1;
}
