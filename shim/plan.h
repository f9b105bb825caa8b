/*
 * plan - the parsed plan of a pod (PLAN.md is the contract)
 *
 * plan_parse() is pure: bytes in, pointers out. All strings point into the caller's bytes, all
 * arrays into the caller's arena, whose size plan_measure() tells beforehand; so nothing is
 * allocated while parsing, and both must live as long as the plan is used.
 *
 * Errors: false, and `error` names the record (1 = the header), its key and the reason.
 */
#ifndef JETPACK_PLAN_H
#define JETPACK_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PLAN_BYTES_MAX (1u << 20)
#define PLAN_RECORDS_MAX 16384u
#define PLAN_FIELDS_MAX 4096u
#define PLAN_APPS_MAX 64u
#define PLAN_GROUPS_MAX 64u
#define PLAN_LISTEN_MAX 64u

struct plan_error {
    unsigned record;
    const char *key; /* inside the plan's bytes, or "" */
    const char *reason;
};

/* NULL-terminated, as execve(2) wants it. */
struct plan_words {
    char **v;
    size_t n;
};

struct plan_setting {
    struct plan_setting *next;
    const char *file;
    const char *value;
};

/* A kernel parameter: `kernel.shmmax`. */
struct plan_sysctl {
    struct plan_sysctl *next;
    const char *key;
    const char *value;
};

struct plan_item {
    struct plan_item *next;
    const char *path;
};

struct plan_command {
    struct plan_command *next;
    struct plan_words argv;
};

/* A listening socket that the app expects to be given. */
struct plan_listen {
    struct plan_listen *next;
    const char *name; /* of the port */
    bool udp;         /* else tcp */
    uint16_t port;
};

enum plan_source { PLAN_DIR, PLAN_ZFS };

enum plan_mount_flag {
    PLAN_RO = 1,
    PLAN_REC = 2,
    PLAN_NOSUID = 4,
    PLAN_NOEXEC = 8,
    PLAN_NODEV = 16,
    PLAN_COPY = 32,
    PLAN_MISSING = 64,
};

struct plan_mount {
    struct plan_mount *next;
    enum plan_source kind; /* PLAN_DIR: bind */
    const char *source;
    const char *target;
    unsigned flags;
};

enum plan_restart { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct plan_app {
    const char *name;
    enum plan_source root_kind;
    const char *root;
    bool root_ro;
    struct plan_words exec;
    struct plan_words env;
    bool passwd_env;
    const char *cwd;
    const char *user;
    const char *group;
    gid_t *groups;
    size_t group_count;
    uint64_t caps_root; /* bounding set; all other sets of uid 0 */
    uint64_t caps_user; /* permitted, effective, inheritable, ambient of any other uid */
    bool no_new_privs;
    const char *seccomp; /* or NULL */
    const char *label;   /* for the exec of the app, or NULL */
    bool label_selinux;  /* else AppArmor's */
    bool has_oom_score;
    int oom_score;
    struct plan_setting *settings;
    struct plan_item *masks;
    struct plan_item *readonly;
    struct plan_mount *mounts;
    struct plan_words pre_start; /* n == 0: none */
    struct plan_words post_stop;
    int stop_signal;
    enum plan_restart restart;
    unsigned restart_max; /* in a row; 0: no limit */
    bool notify;          /* it tells by sd_notify(3) when it is ready */
    struct plan_listen *listen;
};

struct plan {
    const char *uuid;
    const char *dir;
    const char *hostname;
    uint64_t net_rate;    /* bytes a second through the interfaces of net_ns, or 0 */
    const char *tc, *nft; /* the programs that limit it */
    bool own_net;         /* a new network namespace */
    bool changeable;      /* apps come and go while it runs; it ends only by a stop */
    const char *net_ns;   /* or NULL: the file of the one to join */
    const char *cgroup;   /* or NULL */
    struct plan_setting *settings;
    bool has_metadata; /* of the service, and of a relay to it */
    bool metadata_warn;
    uint16_t metadata_port;
    uid_t metadata_uid;
    gid_t metadata_gid;
    struct plan_sysctl *sysctls;
    uint64_t log_max;
    unsigned log_keep;
    unsigned stop_grace_ms;
    struct plan_command *reap;
    struct plan_command *remove;
    struct plan_app **apps; /* room for plan_room() of them */
    size_t app_count;
};

/* How many apps the pod may have at once while it runs. apps[i] of a changeable pod may be NULL. */
size_t plan_room(const struct plan *plan);
/* The app of that name, or app_count. */
size_t plan_find(const struct plan *plan, const char *name);
/* How large an arena plan_parse() needs at most for these bytes; 0 if their framing is wrong. */
size_t plan_measure(const char *bytes, size_t length, struct plan_error *error);
/* `bytes` is only read. `arena` must be aligned for any type. */
bool plan_parse(char *bytes, size_t length, void *arena, size_t arena_size, struct plan *plan,
                struct plan_error *error);

#endif
