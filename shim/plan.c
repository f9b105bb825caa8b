/*
 * plan - strict parser of a plan (PLAN.md)
 *
 * Two passes: frame() cuts the bytes into records and counts, plan_parse() walks the same frames
 * and fills the structure. A table says for every key where it may stand, how often and with how
 * many fields; a value's own rule stands in pod_record() and app_record().
 *
 * No privileges, no effects, no allocation. Unknown, missing, doubled or malformed: an error.
 */
#include "plan.h"

#include <stdalign.h>
#include <string.h>

#include "plan-values.h"
#include "text.h"

enum key {
    KEY_PLAN,
    KEY_UUID,
    KEY_DIR,
    KEY_HOSTNAME,
    KEY_NET,
    KEY_NET_RATE,
    KEY_MUTABLE,
    KEY_CGROUP,
    KEY_POD_SET,
    KEY_SYSCTL,
    KEY_METADATA,
    KEY_LOG_MAX,
    KEY_LOG_KEEP,
    KEY_STOP_GRACE,
    KEY_REAP,
    KEY_REMOVE,
    KEY_APP,
    KEY_ROOTFS,
    KEY_EXEC,
    KEY_ENV,
    KEY_PASSWD_ENV,
    KEY_CWD,
    KEY_USER,
    KEY_GROUP,
    KEY_GROUPS,
    KEY_CAPS,
    KEY_NNP,
    KEY_SECCOMP,
    KEY_OOM,
    KEY_LABEL,
    KEY_APP_SET,
    KEY_MASK,
    KEY_READONLY,
    KEY_MOUNT,
    KEY_PRE_START,
    KEY_POST_STOP,
    KEY_STOP_SIGNAL,
    KEY_RESTART,
    KEY_NOTIFY,
    KEY_LISTEN,
    KEY_COUNT
};

static const struct rule {
    const char *name;
    bool app; /* belongs to an app's group */
    unsigned min_fields, max_fields;
    unsigned min_times, max_times;
} rules[KEY_COUNT] = {
    [KEY_PLAN] = {"jetpack-plan", false, 1, 1, 1, 1},
    [KEY_UUID] = {"uuid", false, 1, 1, 1, 1},
    [KEY_DIR] = {"dir", false, 1, 1, 1, 1},
    [KEY_HOSTNAME] = {"hostname", false, 1, 1, 1, 1},
    [KEY_NET] = {"net", false, 1, 2, 1, 1},
    [KEY_NET_RATE] = {"net-rate", false, 3, 3, 0, 1},
    [KEY_MUTABLE] = {"mutable", false, 1, 1, 0, 1},
    [KEY_CGROUP] = {"cgroup", false, 1, 1, 0, 1},
    [KEY_POD_SET] = {"cgroup-set", false, 2, 2, 0, PLAN_RECORDS_MAX},
    [KEY_SYSCTL] = {"sysctl", false, 2, 2, 0, 256},
    [KEY_METADATA] = {"metadata", false, 4, 4, 0, 1},
    [KEY_LOG_MAX] = {"log-max", false, 1, 1, 1, 1},
    [KEY_LOG_KEEP] = {"log-keep", false, 1, 1, 1, 1},
    [KEY_STOP_GRACE] = {"stop-grace", false, 1, 1, 1, 1},
    [KEY_REAP] = {"reap", false, 1, 64, 0, 16},
    [KEY_REMOVE] = {"remove", false, 1, 64, 0, 16},
    [KEY_APP] = {"app", true, 1, 1, 1, 1},
    [KEY_ROOTFS] = {"rootfs", true, 3, 3, 1, 1},
    [KEY_EXEC] = {"exec", true, 1, PLAN_FIELDS_MAX, 1, 1},
    [KEY_ENV] = {"env", true, 0, PLAN_FIELDS_MAX, 1, 1},
    [KEY_PASSWD_ENV] = {"passwd-env", true, 1, 1, 1, 1},
    [KEY_CWD] = {"cwd", true, 1, 1, 1, 1},
    [KEY_USER] = {"user", true, 1, 1, 1, 1},
    [KEY_GROUP] = {"group", true, 1, 1, 1, 1},
    [KEY_GROUPS] = {"groups", true, 0, PLAN_GROUPS_MAX, 1, 1},
    [KEY_CAPS] = {"caps", true, 2, 2, 1, 1},
    [KEY_NNP] = {"no-new-privs", true, 1, 1, 1, 1},
    [KEY_SECCOMP] = {"seccomp", true, 1, 1, 0, 1},
    [KEY_OOM] = {"oom-score-adj", true, 1, 1, 0, 1},
    [KEY_LABEL] = {"exec-label", true, 2, 2, 0, 1},
    [KEY_APP_SET] = {"cgroup-set", true, 2, 2, 0, PLAN_RECORDS_MAX},
    [KEY_MASK] = {"mask", true, 1, 1, 0, PLAN_RECORDS_MAX},
    [KEY_READONLY] = {"readonly", true, 1, 1, 0, PLAN_RECORDS_MAX},
    [KEY_MOUNT] = {"mount", true, 4, 4, 0, PLAN_RECORDS_MAX},
    [KEY_PRE_START] = {"pre-start", true, 1, PLAN_FIELDS_MAX, 0, 1},
    [KEY_POST_STOP] = {"post-stop", true, 1, PLAN_FIELDS_MAX, 0, 1},
    [KEY_STOP_SIGNAL] = {"stop-signal", true, 1, 1, 1, 1},
    [KEY_RESTART] = {"restart", true, 1, 2, 0, 1},
    [KEY_NOTIFY] = {"notify", true, 1, 1, 0, 1},
    [KEY_LISTEN] = {"listen", true, 3, 3, 0, PLAN_LISTEN_MAX},
};

struct frame {
    char *key;
    char *first; /* the first field; the others follow, each after a NUL */
    unsigned count;
};

struct reader {
    char *at;
    char *end;
    unsigned record;
};

static bool fail(struct plan_error *error, unsigned record, const char *key, const char *reason) {
    error->record = record;
    error->key = key;
    error->reason = reason;
    return false;
}

/* Steps over one NUL-terminated string; NULL when the NUL is missing. */
static char *skip(struct reader *r, char *from) {
    char *nul = from < r->end ? memchr(from, '\0', (size_t)(r->end - from)) : NULL;
    return nul != NULL ? nul + 1 : NULL;
}

/* Cuts the next record out of the bytes. Checks framing only. */
static bool frame(struct reader *r, struct frame *f, struct plan_error *error) {
    uint64_t count;
    r->record++;
    char *word = skip(r, r->at);
    if (word == NULL)
        return fail(error, r->record, "", "the record is cut off");
    char *fields = skip(r, word);
    if (fields == NULL)
        return fail(error, r->record, r->at, "the record is cut off");
    if (!number_parse(word, PLAN_FIELDS_MAX, &count))
        return fail(error, r->record, r->at, "its count is not a number from 0 to 4096");
    char *next = fields;
    for (uint64_t i = 0; i < count; i++) {
        next = skip(r, next);
        if (next == NULL)
            return fail(error, r->record, r->at, "the record is cut off");
    }
    if (next >= r->end || *next != '\n')
        return fail(error, r->record, r->at, "no line feed ends the record");
    f->key = r->at;
    f->first = fields;
    f->count = (unsigned)count;
    r->at = next + 1;
    return true;
}

size_t plan_measure(const char *bytes, size_t length, struct plan_error *error) {
    size_t size = 0;
    struct reader r = {(char *)(uintptr_t)bytes, (char *)(uintptr_t)bytes + length, 0};
    if (length > PLAN_BYTES_MAX) {
        fail(error, 0, "", "the file is larger than 1 MiB");
        return 0;
    }
    while (r.at < r.end) {
        struct frame f;
        if (!frame(&r, &f, error))
            return 0;
        if (r.record > PLAN_RECORDS_MAX) {
            fail(error, r.record, f.key, "there are more than 16384 records");
            return 0;
        }
        size += sizeof(struct plan_mount) + (f.count + 1) * sizeof(char *) + alignof(max_align_t);
        if (strcmp(f.key, "app") == 0)
            size += sizeof(struct plan_app) + sizeof(struct plan_app *) + alignof(max_align_t);
        else if (strcmp(f.key, "mutable") == 0)
            size += PLAN_APPS_MAX * sizeof(struct plan_app *);
    }
    return size + sizeof(struct plan_mount) + 2 * alignof(max_align_t);
}

/* -- filling the structure --------------------------------------------------------------- */

struct builder {
    struct plan *plan;
    struct plan_app *app; /* NULL while in the pod's part */
    char *arena;
    size_t left;
    unsigned times[KEY_COUNT];
    /* where the next element of a list goes */
    struct plan_setting **setting;
    struct plan_sysctl **sysctl;
    struct plan_item **mask, **readonly;
    struct plan_mount **mount;
    struct plan_listen **listen;
    struct plan_command **reap, **remove;
};

/* Zeroed room from the arena; plan_measure() made it large enough, or NULL. */
static void *take(struct builder *b, size_t size) {
    size_t unit = alignof(max_align_t);
    size = (size + unit - 1) / unit * unit;
    if (size > b->left)
        return NULL;
    void *got = b->arena;
    b->arena += size;
    b->left -= size;
    memset(got, 0, size);
    return got;
}

static const char *words(struct builder *b, const struct frame *f, struct plan_words *out) {
    char **v = take(b, (f->count + 1) * sizeof *v);
    char *at = f->first;
    if (v == NULL)
        return "the arena is too small";
    for (unsigned i = 0; i < f->count; i++) {
        v[i] = at;
        at += strlen(at) + 1;
    }
    out->v = v;
    out->n = f->count;
    return NULL;
}

static const char *command(struct builder *b, const struct frame *f, struct plan_command ***tail) {
    struct plan_command *c = take(b, sizeof *c);
    if (c == NULL)
        return "the arena is too small";
    const char *reason = words(b, f, &c->argv);
    if (reason == NULL && !value_path(c->argv.v[0]))
        reason = "the program is not an absolute path";
    **tail = c;
    *tail = &c->next;
    return reason;
}

static const char *item(struct builder *b, const char *path, struct plan_item ***tail) {
    struct plan_item *i = take(b, sizeof *i);
    if (i == NULL)
        return "the arena is too small";
    if (!value_path(path))
        return "not an absolute, normalised path";
    i->path = path;
    **tail = i;
    *tail = &i->next;
    return NULL;
}

static const char *setting(struct builder *b, const char *file) {
    struct plan_setting *s = take(b, sizeof *s);
    if (s == NULL)
        return "the arena is too small";
    if (!value_file(file))
        return "not the name of a cgroup's file";
    s->file = file;
    s->value = file + strlen(file) + 1;
    *b->setting = s;
    b->setting = &s->next;
    return NULL;
}

static const char *sysctl(struct builder *b, const char *key) {
    struct plan_sysctl *s = take(b, sizeof *s);
    if (s == NULL)
        return "the arena is too small";
    if (!value_sysctl(key))
        return "not a kernel parameter of a pod's namespaces";
    s->key = key;
    s->value = key + strlen(key) + 1;
    *b->sysctl = s;
    b->sysctl = &s->next;
    return NULL;
}

static const char *mount_record(struct builder *b, const char *kind) {
    const char *source = kind + strlen(kind) + 1;
    const char *target = source + strlen(source) + 1;
    const char *options = target + strlen(target) + 1;
    struct plan_mount *m = take(b, sizeof *m);
    if (m == NULL)
        return "the arena is too small";
    if (strcmp(kind, "zfs") == 0)
        m->kind = PLAN_ZFS;
    else if (strcmp(kind, "bind") == 0)
        m->kind = PLAN_DIR;
    else
        return "not `bind` or `zfs`";
    if (m->kind == PLAN_ZFS ? !value_dataset(source) : !value_path(source))
        return "the source is not a dataset or path";
    if (!value_path(target) || target[1] == '\0')
        return "the target is not a path below the root";
    if (!value_mount_options(options, &m->flags))
        return "unknown or doubled option";
    if ((m->flags & PLAN_REC) != 0 && m->kind != PLAN_DIR)
        return "`rec` needs a bind";
    m->source = source;
    m->target = target;
    *b->mount = m;
    b->mount = &m->next;
    return NULL;
}

static const char *listen_record(struct builder *b, const char *name) {
    const char *protocol = name + strlen(name) + 1;
    const char *port = protocol + strlen(protocol) + 1;
    uint64_t n;
    struct plan_listen *l = take(b, sizeof *l);
    if (l == NULL)
        return "the arena is too small";
    if (!value_name(name))
        return "the port's name is not an AC Name";
    l->udp = strcmp(protocol, "udp") == 0;
    if (!l->udp && strcmp(protocol, "tcp") != 0)
        return "not `tcp` or `udp`";
    if (!number_parse(port, 65535, &n) || n == 0)
        return "the port is not a number from 1 to 65535";
    l->name = name;
    l->port = (uint16_t)n;
    *b->listen = l;
    b->listen = &l->next;
    return NULL;
}

static const char *metadata(struct plan *p, const char *port) {
    const char *uid = port + strlen(port) + 1;
    const char *gid = uid + strlen(uid) + 1;
    const char *warn = gid + strlen(gid) + 1;
    uint64_t n;
    if (!number_parse(port, 65535, &n) || n == 0)
        return "the port is not a number from 1 to 65535";
    p->metadata_port = (uint16_t)n;
    if (!number_parse(uid, UINT32_MAX - 1, &n) || n == 0)
        return "the user is not a number from 1 to 4294967294";
    p->metadata_uid = (uid_t)n;
    if (!number_parse(gid, UINT32_MAX - 1, &n) || n == 0)
        return "the group is not a number from 1 to 4294967294";
    p->metadata_gid = (gid_t)n;
    p->has_metadata = true;
    return value_bool(warn, &p->metadata_warn) ? NULL : "the last field is not 0 or 1";
}

static const char *network(struct plan *p, const struct frame *f) {
    const char *path = f->first + strlen(f->first) + 1;
    if (strcmp(f->first, "ns") == 0) {
        if (f->count != 2 || !value_path(path) || path[1] == '\0')
            return "no absolute, normalised path follows `ns`";
        p->net_ns = path;
        return NULL;
    }
    p->own_net = strcmp(f->first, "none") == 0;
    if (!p->own_net && strcmp(f->first, "host") != 0)
        return "not `host`, `none` or `ns`";
    return f->count == 1 ? NULL : "something follows `host` or `none`";
}

static const char *net_rate(struct plan *p, const char *tc) {
    p->tc = tc;
    p->nft = tc + strlen(tc) + 1;
    if (!value_path(p->tc) || !value_path(p->nft))
        return "a program is not an absolute path";
    if (!number_parse(p->nft + strlen(p->nft) + 1, INT64_MAX, &p->net_rate) || p->net_rate < 1024)
        return "the rate is not a number of at least 1024";
    return NULL;
}

static const char *pod_record(struct builder *b, enum key key, const struct frame *f) {
    struct plan *p = b->plan;
    const char *value = f->first;
    uint64_t n = 0;
    switch (key) {
    case KEY_PLAN:
        return strcmp(value, "1") == 0 ? NULL : "this program reads version 1";
    case KEY_UUID:
        p->uuid = value;
        return value_uuid(value) ? NULL : "not a canonical UUID";
    case KEY_DIR:
        p->dir = value;
        return value_path(value) ? NULL : "not an absolute, normalised path";
    case KEY_HOSTNAME:
        p->hostname = value;
        return value_host(value) ? NULL : "not a host name";
    case KEY_NET:
        return network(p, f);
    case KEY_NET_RATE:
        return net_rate(p, value);
    case KEY_MUTABLE:
        return value_bool(value, &p->changeable) ? NULL : "not 0 or 1";
    case KEY_CGROUP:
        p->cgroup = value;
        return value_path(value) && value[1] != '\0' ? NULL : "not an absolute, normalised path";
    case KEY_POD_SET:
        return setting(b, value);
    case KEY_SYSCTL:
        return sysctl(b, value);
    case KEY_METADATA:
        return metadata(p, value);
    case KEY_LOG_MAX:
        return number_parse(value, INT64_MAX, &p->log_max) && p->log_max >= 4096
                   ? NULL
                   : "not a number of at least 4096";
    case KEY_LOG_KEEP:
        if (!number_parse(value, 1000, &n))
            return "not a number from 0 to 1000";
        p->log_keep = (unsigned)n;
        return NULL;
    case KEY_STOP_GRACE:
        if (!number_parse(value, 86400000, &n))
            return "not a number from 0 to 86400000";
        p->stop_grace_ms = (unsigned)n;
        return NULL;
    case KEY_REAP:
        return command(b, f, &b->reap);
    case KEY_REMOVE:
        return command(b, f, &b->remove);
    default:
        return "unknown key";
    }
}

static const char *rootfs(struct plan_app *a, const char *kind) {
    const char *source = kind + strlen(kind) + 1;
    const char *mode = source + strlen(source) + 1;
    if (strcmp(kind, "zfs") != 0 && strcmp(kind, "dir") != 0)
        return "not `zfs` or `dir`";
    a->root_kind = strcmp(kind, "zfs") == 0 ? PLAN_ZFS : PLAN_DIR;
    if (a->root_kind == PLAN_ZFS ? !value_dataset(source) : !value_path(source))
        return "the source is not a dataset or path";
    if (strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
        return "not `ro` or `rw`";
    a->root = source;
    a->root_ro = mode[1] == 'o';
    return NULL;
}

static const char *groups(struct builder *b, const struct frame *f) {
    gid_t *list = take(b, (f->count + 1) * sizeof *list);
    const char *at = f->first;
    if (list == NULL)
        return "the arena is too small";
    for (unsigned i = 0; i < f->count; i++) {
        uint64_t n;
        if (!number_parse(at, UINT32_MAX - 1, &n))
            return "not a number from 0 to 4294967294";
        list[i] = (gid_t)n;
        at += strlen(at) + 1;
    }
    b->app->groups = list;
    b->app->group_count = f->count;
    return NULL;
}

static const char *restart(struct plan_app *a, const struct frame *f) {
    const char *policy = f->first;
    const char *limit = policy + strlen(policy) + 1;
    uint64_t n = 0;
    if (strcmp(policy, "on-failure") == 0)
        a->restart = RESTART_ON_FAILURE;
    else if (strcmp(policy, "always") == 0)
        a->restart = RESTART_ALWAYS;
    else
        return strcmp(policy, "no") == 0 && f->count == 1
                   ? NULL
                   : "not `no`, `on-failure`, `on-failure` and a number, or `always`";
    if (f->count == 2 &&
        (a->restart == RESTART_ALWAYS || !number_parse(limit, 1000000, &n) || n == 0))
        return "only `on-failure` takes a limit, a number from 1 to 1000000";
    a->restart_max = (unsigned)n;
    return NULL;
}

static const char *env_record(struct builder *b, const struct frame *f) {
    const char *reason = words(b, f, &b->app->env);
    for (size_t i = 0; reason == NULL && i < b->app->env.n; i++) {
        if (!value_env(b->app->env.v[i]))
            reason = "not NAME=value";
    }
    return reason;
}

static const char *app_record(struct builder *b, enum key key, const struct frame *f) {
    struct plan_app *a = b->app;
    const char *value = f->first;
    switch (key) {
    case KEY_ROOTFS:
        return rootfs(a, value);
    case KEY_EXEC:
        return value[0] != '\0' ? words(b, f, &a->exec) : "the program's name is empty";
    case KEY_ENV:
        return env_record(b, f);
    case KEY_PASSWD_ENV:
        return value_bool(value, &a->passwd_env) ? NULL : "not 0 or 1";
    case KEY_CWD:
        a->cwd = value;
        return value_path(value) ? NULL : "not an absolute, normalised path";
    case KEY_USER:
        a->user = value;
        return value[0] != '\0' ? NULL : "empty";
    case KEY_GROUP:
        a->group = value;
        return value[0] != '\0' ? NULL : "empty";
    case KEY_GROUPS:
        return groups(b, f);
    case KEY_CAPS:
        return value_mask(value, &a->caps_root) &&
                       value_mask(value + strlen(value) + 1, &a->caps_user)
                   ? NULL
                   : "not 16 lower-case hex digits";
    case KEY_NNP:
        return value_bool(value, &a->no_new_privs) ? NULL : "not 0 or 1";
    case KEY_SECCOMP:
        a->seccomp = value;
        return value_path(value) ? NULL : "not an absolute, normalised path";
    case KEY_OOM:
        a->has_oom_score = true;
        return value_integer(value, -1000, 1000, &a->oom_score) ? NULL
                                                                : "not a number from -1000 to 1000";
    case KEY_LABEL:
        a->label_selinux = strcmp(value, "selinux") == 0;
        a->label = value + strlen(value) + 1;
        if (!a->label_selinux && strcmp(value, "apparmor") != 0)
            return "not `apparmor` or `selinux`";
        return a->label[0] != '\0' && strlen(a->label) <= 255 ? NULL : "no label of 1 to 255 bytes";
    case KEY_APP_SET:
        return b->plan->cgroup != NULL ? setting(b, value) : "the pod has no `cgroup`";
    case KEY_MASK:
        return item(b, value, &b->mask);
    case KEY_READONLY:
        return item(b, value, &b->readonly);
    case KEY_MOUNT:
        return mount_record(b, value);
    case KEY_PRE_START:
        return value[0] != '\0' ? words(b, f, &a->pre_start) : "the program's name is empty";
    case KEY_POST_STOP:
        return value[0] != '\0' ? words(b, f, &a->post_stop) : "the program's name is empty";
    case KEY_NOTIFY:
        return value_bool(value, &a->notify) ? NULL : "not 0 or 1";
    case KEY_LISTEN:
        return listen_record(b, value);
    case KEY_STOP_SIGNAL:
        return value_integer(value, 1, 64, &a->stop_signal) ? NULL : "not a number from 1 to 64";
    case KEY_RESTART:
        return restart(a, f);
    default:
        return "unknown key";
    }
}

/* The part that ends here must have every key that it needs. */
static bool complete(struct builder *b, unsigned record, struct plan_error *error) {
    for (int key = 0; key < KEY_COUNT; key++) {
        if (rules[key].app == (b->app != NULL) && b->times[key] < rules[key].min_times)
            return fail(error, record, rules[key].name, "the record is missing before this one");
    }
    if (b->app == NULL && b->plan->cgroup == NULL && b->plan->settings != NULL)
        return fail(error, record, "cgroup-set", "the pod has no `cgroup`");
    if (b->app == NULL && b->plan->net_rate > 0 && b->plan->net_ns == NULL)
        return fail(error, record, "net-rate", "`net` is not `ns`");
    for (const struct plan_sysctl *s = b->plan->sysctls; b->app == NULL && s != NULL; s = s->next) {
        if (strncmp(s->key, "net.", 4) == 0 && !b->plan->own_net)
            return fail(error, record, "sysctl", "`net.` needs a network of the pod's own");
    }
    return true;
}

static const char *open_app(struct builder *b, const char *name) {
    if (b->plan->app_count == PLAN_APPS_MAX)
        return "there are more than 64 apps";
    if (!value_name(name))
        return "not an AC Name";
    for (size_t i = 0; i < b->plan->app_count; i++) {
        if (strcmp(b->plan->apps[i]->name, name) == 0)
            return "the name stands twice";
    }
    b->app = take(b, sizeof *b->app);
    if (b->app == NULL)
        return "the arena is too small";
    memset(b->times, 0, sizeof b->times);
    b->app->name = name;
    b->setting = &b->app->settings;
    b->mask = &b->app->masks;
    b->readonly = &b->app->readonly;
    b->mount = &b->app->mounts;
    b->listen = &b->app->listen;
    b->plan->apps[b->plan->app_count++] = b->app;
    return NULL;
}

static enum key find_key(const struct builder *b, const char *name) {
    for (int key = 0; key < KEY_COUNT; key++) {
        bool here = rules[key].app == (b->app != NULL) || key == KEY_APP;
        if (here && strcmp(rules[key].name, name) == 0)
            return (enum key)key;
    }
    return KEY_COUNT;
}

/* Room for the apps, counted beforehand; what is wrong with the frames is told later. */
static bool take_apps(struct builder *b, const struct reader *from) {
    struct reader r = *from;
    struct plan_error error;
    struct frame f;
    size_t count = 0;
    while (r.at < r.end && count < PLAN_APPS_MAX && frame(&r, &f, &error)) {
        if (strcmp(f.key, "app") == 0)
            count++;
        else if (strcmp(f.key, "mutable") == 0)
            count = PLAN_APPS_MAX;
    }
    b->plan->apps = take(b, (count + 1) * sizeof(struct plan_app *));
    return b->plan->apps != NULL;
}

bool plan_parse(char *bytes, size_t length, void *arena, size_t arena_size, struct plan *plan,
                struct plan_error *error) {
    struct reader r = {bytes, bytes + length, 0};
    memset(plan, 0, sizeof *plan);
    struct builder b = {.plan = plan, .arena = arena, .left = arena_size};
    b.setting = &plan->settings;
    b.sysctl = &plan->sysctls;
    b.reap = &plan->reap;
    b.remove = &plan->remove;
    if (!take_apps(&b, &r))
        return fail(error, 0, "", "the arena is too small");
    for (;;) {
        struct frame f;
        if (r.at == r.end)
            return fail(error, r.record, "end", "the plan has no end");
        if (!frame(&r, &f, error))
            return false;
        if (r.record > PLAN_RECORDS_MAX)
            return fail(error, r.record, f.key, "there are more than 16384 records");
        if (r.record > 1 && strcmp(f.key, "end") == 0) {
            if (f.count != 0)
                return fail(error, r.record, f.key, "wrong number of fields");
            if (!complete(&b, r.record, error))
                return false;
            if (plan->app_count == 0 && !plan->changeable)
                return fail(error, r.record, "app", "the plan has no app");
            return r.at == r.end || fail(error, r.record, f.key, "something follows the end");
        }
        enum key key = find_key(&b, f.key);
        if (key == KEY_COUNT)
            return fail(error, r.record, f.key, "unknown key, or one of the other part");
        if ((r.record == 1) != (key == KEY_PLAN))
            return fail(error, r.record, f.key, "`jetpack-plan` must be the first record, once");
        if (f.count < rules[key].min_fields || f.count > rules[key].max_fields)
            return fail(error, r.record, f.key, "wrong number of fields");
        const char *reason;
        if (key == KEY_APP) {
            if (!complete(&b, r.record, error))
                return false;
            reason = open_app(&b, f.first);
            b.times[KEY_APP] = 1;
        } else if (b.times[key] == rules[key].max_times) {
            reason = "the record stands too often";
        } else {
            b.times[key]++;
            reason = b.app != NULL ? app_record(&b, key, &f) : pod_record(&b, key, &f);
        }
        if (reason != NULL)
            return fail(error, r.record, f.key, reason);
    }
}

size_t plan_room(const struct plan *plan) {
    return plan->changeable ? PLAN_APPS_MAX : plan->app_count;
}

size_t plan_find(const struct plan *plan, const char *name) {
    size_t i = 0;
    while (i < plan->app_count && (plan->apps[i] == NULL || strcmp(plan->apps[i]->name, name) != 0))
        i++;
    return i;
}
