/*
 * unit - the pure parts of the shim: plan parser, values, text, frames, notices, ring.
 * TAP on stdout.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "notice.h"
#include "plan-values.h"
#include "plan.h"
#include "ring.h"
#include "text.h"

static unsigned count;
static unsigned failures;

static void ok(bool fine, const char *title) {
    count++;
    if (!fine)
        failures++;
    printf("%sok %u - %s\n", fine ? "" : "not ", count, title);
}

/* -- building plans
 * ------------------------------------------------------------------------- */

static char bytes[1 << 21];
static size_t length;

static void put(const char *s) {
    size_t n = strlen(s) + 1;
    memcpy(bytes + length, s, n);
    length += n;
}

/* `line` is the record's words, separated by `|`; the count is made unless
 * `counted`. */
static void record(const char *line) {
    char copy[4096];
    char digits[16];
    unsigned fields = 0;
    strcpy(copy, line);
    for (char *p = copy; *p != '\0'; p++)
        fields += *p == '|';
    snprintf(digits, sizeof digits, "%u", fields);
    char *word = copy;
    for (unsigned i = 0; i <= fields; i++) {
        char *end = word + strcspn(word, "|");
        *end = '\0';
        put(word);
        if (i == 0)
            put(digits);
        word = end + 1;
    }
    bytes[length++] = '\n';
}

static const char *const head[] = {"jetpack-plan|1",
                                   "uuid|01234567-89ab-cdef-0123-456789abcdef",
                                   "dir|/var/lib/jetpack/pods/x",
                                   "hostname|Pod-1.example",
                                   "net|none",
                                   "log-max|1000000",
                                   "log-keep|3",
                                   "stop-grace|5000",
                                   NULL};
static const char *const body[] = {"rootfs|dir|/srv/root|rw",
                                   "exec|/bin/true|a b",
                                   "env|PATH=/bin|EMPTY=",
                                   "passwd-env|0",
                                   "cwd|/",
                                   "user|root",
                                   "group|0",
                                   "groups|1|2",
                                   "caps|00000000a80425fb|0000000000000000",
                                   "no-new-privs|1",
                                   "stop-signal|15",
                                   NULL};

/* The plan above, where `swap` (KEY|...) replaces the record of that key or is
 * added, `drop` leaves one out. */
static void write_part(const char *const *records, const char *swap, const char *drop) {
    for (; *records != NULL; records++) {
        size_t key = strcspn(*records, "|");
        if (drop != NULL && strncmp(*records, drop, key) == 0 && drop[key] == '\0')
            continue;
        bool here = swap != NULL && strncmp(*records, swap, key) == 0 && strcspn(swap, "|") == key;
        record(here ? swap : *records);
    }
}

static struct plan plan;
static struct plan_error error;

static bool parse(void) {
    size_t size = plan_measure(bytes, length, &error);
    /* Exactly sized blocks, so that AddressSanitizer sees a byte too many. */
    static char *copy;
    static void *arena;
    free(copy);
    free(arena);
    copy = malloc(length + 1);
    arena = malloc(size + 1);
    if (copy == NULL || arena == NULL)
        abort();
    memcpy(copy, bytes, length);
    bool fine = size > 0 && plan_parse(copy, length, arena, size, &plan, &error);
    /* What plan_measure() found lies in `bytes`, the rest in the copy: both stay
     * until the next call. */
    return fine;
}

static bool plan_with(const char *pod_swap, const char *pod_drop, const char *app_swap,
                      const char *app_drop, const char *pod_more, const char *app_more) {
    length = 0;
    write_part(head, pod_swap, pod_drop);
    if (pod_more != NULL)
        record(pod_more);
    record("app|web");
    write_part(body, app_swap, app_drop);
    if (app_more != NULL)
        record(app_more);
    record("end");
    return parse();
}

static void refused(bool parsed, unsigned at, const char *key, const char *title) {
    bool fine = !parsed && (at == 0 || error.record == at) && strcmp(error.key, key) == 0;
    if (!fine)
        printf("# parsed %d, record %u key `%s`: %s\n", parsed, error.record, error.key,
               error.reason);
    ok(fine, title);
}

static void test_good(void) {
    ok(plan_with(NULL, NULL, NULL, NULL, NULL, NULL), "the smallest plan is accepted");
    ok(plan.app_count == 1 && strcmp(plan.apps[0]->exec.v[1], "a b") == 0 &&
           plan.apps[0]->exec.v[2] == NULL && plan.apps[0]->group_count == 2 &&
           plan.apps[0]->groups[1] == 2 && plan.own_net && plan.apps[0]->caps_root == 0xa80425fb,
       "and its values are found");
    ok(plan_with("net|ns|/run/netns/a", NULL, NULL, NULL, NULL, NULL) && !plan.own_net &&
           strcmp(plan.net_ns, "/run/netns/a") == 0,
       "a network namespace to join is accepted");
    ok(plan_with(NULL, NULL, "env", NULL, NULL, NULL) && plan.apps[0]->env.n == 0,
       "an empty environment is accepted");
    ok(plan_with(NULL, NULL, NULL, NULL, NULL, "mount|bind|/a|/b|ro,rec,nosuid") &&
           plan.apps[0]->mounts->flags == (PLAN_RO | PLAN_REC | PLAN_NOSUID),
       "the options of a mount are read");
    ok(plan.apps[0]->label == NULL &&
           plan_with(NULL, NULL, NULL, NULL, NULL, "exec-label|selinux|a:b:c:s0") &&
           plan.apps[0]->label_selinux && strcmp(plan.apps[0]->label, "a:b:c:s0") == 0 &&
           plan_with(NULL, NULL, NULL, NULL, NULL, "exec-label|apparmor|x y") &&
           !plan.apps[0]->label_selinux && strcmp(plan.apps[0]->label, "x y") == 0,
       "labels are read");
    ok(plan.apps[0]->restart == RESTART_NO &&
           plan_with(NULL, NULL, NULL, NULL, NULL, "restart|on-failure|7") &&
           plan.apps[0]->restart == RESTART_ON_FAILURE && plan.apps[0]->restart_max == 7 &&
           plan_with(NULL, NULL, NULL, NULL, NULL, "restart|always") &&
           plan.apps[0]->restart == RESTART_ALWAYS && plan.apps[0]->restart_max == 0,
       "restart policies are read");
    ok(plan_with(NULL, NULL, NULL, NULL, NULL, "listen|dns|udp|53") && plan.apps[0]->listen->udp &&
           plan.apps[0]->listen->port == 53 && strcmp(plan.apps[0]->listen->name, "dns") == 0 &&
           !plan.apps[0]->notify,
       "a socket that the app wants is read");
    ok(plan_with(NULL, NULL, NULL, NULL, NULL, "notify|1") && plan.apps[0]->notify,
       "an app may tell when it is ready");
    length = 0;
    write_part(head, NULL, NULL);
    record("mutable|1");
    record("end");
    ok(parse() && plan.changeable && plan.app_count == 0 && plan_room(&plan) == PLAN_APPS_MAX &&
           plan_find(&plan, "web") == 0,
       "a mutable pod may have no app");
    length = 0;
    write_part(head, NULL, NULL);
    record("mutable|0");
    record("end");
    refused(parse(), 0, "app", "any other pod has one");
    length = 0;
    write_part(head, NULL, NULL);
    record("cgroup|/sys/fs/cgroup/x");
    record("cgroup-set|memory.max|1");
    record("reap|/bin/a|b");
    record("reap|/bin/c");
    for (unsigned i = 0; i < PLAN_APPS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "app|a%u", i);
        record(name);
        write_part(body, NULL, NULL);
        record("cgroup-set|pids.max|9");
    }
    size_t before = length;
    record("end");
    ok(parse() && plan.app_count == 64 && plan.apps[63]->settings != NULL &&
           strcmp(plan.reap->next->argv.v[0], "/bin/c") == 0,
       "64 apps and repeated records in order are accepted");
    length = before;
    record("app|one-more");
    write_part(body, NULL, NULL);
    record("end");
    refused(parse(), 0, "app", "a 65th app is refused");
}

static void test_pod_keys(void) {
    static const char *const bad[][2] = {
        {"jetpack-plan|2", "another version"},
        {"uuid|01234567-89AB-cdef-0123-456789abcdef", "upper case in the uuid"},
        {"uuid|short", "a short uuid"},
        {"dir|relative", "a relative folder"},
        {"dir|/a//b", "a doubled slash"},
        {"dir|/a/../b", "a dot-dot component"},
        {"dir|/a/", "a trailing slash"},
        {"dir|/./a", "a dot component"},
        {"hostname|", "an empty host name"},
        {"hostname|a b", "a space in the host name"},
        {"net|bridge", "an unknown network"},
        {"net|none|/run/netns/a", "a namespace beside `none`"},
        {"net|ns", "a namespace without its path"},
        {"net|ns|a", "a namespace without a whole path"},
        {"net|ns|/", "the root as a namespace"},
        {"log-max|0", "logs without room"},
        {"log-max|-1", "a signed number"},
        {"log-keep|01", "a leading zero"},
        {"log-keep|", "an empty number"},
        {"stop-grace|99999999999999999999", "a number out of range"},
        {"uuid|a|b", "a field too many"},
        {"log-keep", "a field too few"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(bad[i][0], "|"), bad[i][0]);
        refused(plan_with(bad[i][0], NULL, NULL, NULL, NULL, NULL), 0, key, bad[i][1]);
    }
    for (size_t i = 1; head[i] != NULL; i++) {
        char key[32];
        char title[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(head[i], "|"), head[i]);
        snprintf(title, sizeof title, "a plan without %s is refused", key);
        refused(plan_with(NULL, key, NULL, NULL, NULL, NULL), 8, key, title);
        snprintf(title, sizeof title, "%s twice is refused", key);
        refused(plan_with(NULL, NULL, NULL, NULL, head[i], NULL), 9, key, title);
    }
    refused(plan_with(NULL, NULL, NULL, NULL, "colour|red", NULL), 9, "colour", "an unknown key");
    refused(plan_with(NULL, NULL, NULL, NULL, "cwd|/", NULL), 9, "cwd",
            "an app's key in the pod's part");
    refused(plan_with(NULL, NULL, NULL, NULL, "cgroup-set|a|b", NULL), 0, "cgroup-set",
            "settings without a cgroup");
    refused(plan_with(NULL, NULL, NULL, NULL, "cgroup|/", NULL), 9, "cgroup", "the root as cgroup");
    static const char *const no_service[] = {
        "metadata|0|999|995|1",    "metadata|65536|999|995|1",      "metadata|1104|0|995|1",
        "metadata|1104|999|0|1",   "metadata|1104|joe|995|1",       "metadata|1104|999|995",
        "metadata|1104|999|995|2", "metadata|1104|4294967295|995|1"};
    for (size_t i = 0; i < sizeof no_service / sizeof no_service[0]; i++)
        refused(plan_with(NULL, NULL, NULL, NULL, no_service[i], NULL), 9, "metadata",
                no_service[i]);
    ok(plan_with(NULL, NULL, NULL, NULL, "metadata|1104|999|995|1", NULL) && plan.has_metadata &&
           plan.metadata_port == 1104 && plan.metadata_uid == 999 && plan.metadata_gid == 995 &&
           plan.metadata_warn,
       "the metadata service");
    static const char *const no_rate[] = {"net-rate|tc|/sbin/nft|5000", "net-rate|/sbin/tc||5000",
                                          "net-rate|/sbin/tc|/sbin/nft|1023",
                                          "net-rate|/sbin/tc|/sbin/nft"};
    for (size_t i = 0; i < sizeof no_rate / sizeof no_rate[0]; i++)
        refused(plan_with("net|ns|/run/netns/a", NULL, NULL, NULL, no_rate[i], NULL), 9, "net-rate",
                no_rate[i]);
    refused(plan_with(NULL, NULL, NULL, NULL, "net-rate|/sbin/tc|/sbin/nft|5000", NULL), 0,
            "net-rate", "a rate without interfaces");
    ok(plan_with("net|ns|/run/netns/a", NULL, NULL, NULL, "net-rate|/sbin/tc|/sbin/nft|5000",
                 NULL) &&
           plan.net_rate == 5000 && strcmp(plan.tc, "/sbin/tc") == 0 &&
           strcmp(plan.nft, "/sbin/nft") == 0,
       "a rate of the network");
    static const char *const no_sysctl[] = {"sysctl|kernel.hostname|x",
                                            "sysctl|kernel.shmmax",
                                            "sysctl|kernel.shmmaxx|1",
                                            "sysctl|vm.swappiness|1",
                                            "sysctl|fs.mqueue.|1",
                                            "sysctl|fs.mqueue|1",
                                            "sysctl|net.|1",
                                            "sysctl|net..x|1",
                                            "sysctl|net.ipv4/../x|1",
                                            "sysctl|net.a/b|1",
                                            "sysctl|.net.a|1",
                                            "sysctl|fs.mqueue...core|1",
                                            "sysctl|kernel.core_pattern|x",
                                            "sysctl|net.ipv4.conf.eth0. |1",
                                            "sysctl||1"};
    for (size_t i = 0; i < sizeof no_sysctl / sizeof no_sysctl[0]; i++)
        refused(plan_with(NULL, NULL, NULL, NULL, no_sysctl[i], NULL), 9, "sysctl", no_sysctl[i]);
    ok(plan_with(NULL, NULL, NULL, NULL, "sysctl|net.ipv4.conf.a-B_0.x|1 2", NULL) &&
           strcmp(plan.sysctls->key, "net.ipv4.conf.a-B_0.x") == 0 &&
           strcmp(plan.sysctls->value, "1 2") == 0 && plan.sysctls->next == NULL,
       "a kernel parameter");
    ok(plan_with("net|host", NULL, NULL, NULL, "sysctl|fs.mqueue.msg_max|5", NULL),
       "one of the ipc namespace, on the host's network");
    refused(plan_with("net|host", NULL, NULL, NULL, "sysctl|net.core.somaxconn|5", NULL), 0,
            "sysctl", "one of the host's network");
    refused(plan_with("net|ns|/run/netns/a", NULL, NULL, NULL, "sysctl|net.core.somaxconn|5", NULL),
            0, "sysctl", "one of another's network");
    refused(plan_with(NULL, NULL, NULL, NULL, "reap|relative", NULL), 9, "reap",
            "a relative command");
    refused(plan_with(NULL, NULL, NULL, NULL, "jetpack-plan|1", NULL), 9, "jetpack-plan",
            "a second header");
    refused(plan_with(NULL, "jetpack-plan", NULL, NULL, NULL, NULL), 1, "uuid",
            "a plan without a header");
}

static void test_app_keys(void) {
    static const char *const bad[][2] = {
        {"rootfs|ext4|/a|rw", "an unknown kind of root"},
        {"rootfs|dir|a|rw", "a relative root"},
        {"rootfs|dir|/a|wr", "neither ro nor rw"},
        {"rootfs|zfs|/pool|rw", "a dataset with a slash first"},
        {"rootfs|zfs|pool@snap|rw", "a snapshot as root"},
        {"exec", "no program"},
        {"exec|", "an empty program"},
        {"env|NOEQUALS", "a variable without ="},
        {"env|=x", "a variable without a name"},
        {"passwd-env|2", "no bool"},
        {"passwd-env|", "an empty bool"},
        {"cwd|x", "a relative cwd"},
        {"user|", "an empty user"},
        {"group|", "an empty group"},
        {"groups|-1", "a negative group"},
        {"groups|4294967295", "the group that means none"},
        {"caps|00000000A80425FB|0000000000000000", "an upper-case mask"},
        {"caps|0|0", "a short mask"},
        {"no-new-privs|yes", "no bool either"},
        {"stop-signal|0", "signal 0"},
        {"stop-signal|65", "signal 65"},
    };
    static const char *const more[][2] = {
        {"seccomp|x", "a relative filter"},
        {"restart|sometimes", "an unknown restart policy"},
        {"restart|", "an empty restart policy"},
        {"restart|no|3", "a limit of no restarts"},
        {"restart|always|3", "a limit of restarts that never fail"},
        {"restart|on-failure|0", "a limit of zero restarts"},
        {"restart|on-failure|03", "a limit with a leading zero"},
        {"restart|on-failure|3|4", "two limits"},
        {"oom-score-adj|1001", "a score out of range"},
        {"oom-score-adj|-0", "minus zero"},
        {"oom-score-adj|--1", "two signs"},
        {"exec-label|tomoyo|x", "an unknown security module"},
        {"exec-label|selinux|", "an empty label"},
        {"exec-label|apparmor", "a security module without a label"},
        {"mask|x", "a relative mask"},
        {"readonly|/a/", "a readonly path with a slash"},
        {"mount|tmpfs|/a|/b|-", "an unknown kind of mount"},
        {"mount|bind|a|/b|-", "a relative source"},
        {"mount|bind|/a|/|-", "the root as target"},
        {"mount|bind|/a|/b|", "empty options"},
        {"mount|bind|/a|/b|ro,", "a comma at the end"},
        {"mount|bind|/a|/b|ro,ro", "an option twice"},
        {"mount|bind|/a|/b|rw", "an unknown option"},
        {"mount|zfs|p/a|/b|rec", "rec without a bind"},
        {"mount|bind|/a|/b", "a mount without options"},
        {"cgroup-set|pids.max|1", "settings without the pod's cgroup"},
        {"pre-start|", "an empty handler"},
        {"notify|yes", "a third no bool"},
        {"listen|http|tcp|0", "port 0"},
        {"listen|http|tcp|65536", "a port out of range"},
        {"listen|http|sctp|80", "an unknown protocol"},
        {"listen|HTTP|tcp|80", "a port's name that is none"},
        {"listen|http|tcp", "a port without its number"},
        {"uuid|01234567-89ab-cdef-0123-456789abcdef", "a pod's key in an app"},
        {"end|x", "an end with a field"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(bad[i][0], "|"), bad[i][0]);
        refused(plan_with(NULL, NULL, bad[i][0], NULL, NULL, NULL), 0, key, bad[i][1]);
    }
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(more[i][0], "|"), more[i][0]);
        refused(plan_with(NULL, NULL, NULL, NULL, NULL, more[i][0]), 21, key, more[i][1]);
    }
    for (size_t i = 0; body[i] != NULL; i++) {
        char key[32];
        char title[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(body[i], "|"), body[i]);
        snprintf(title, sizeof title, "an app without %s is refused", key);
        refused(plan_with(NULL, NULL, NULL, key, NULL, NULL), 20, key, title);
        snprintf(title, sizeof title, "an app with %s twice is refused", key);
        refused(plan_with(NULL, NULL, NULL, NULL, NULL, body[i]), 21, key, title);
    }
    refused(plan_with(NULL, NULL, NULL, NULL, NULL, "app|web"), 21, "app", "an app's name twice");
    refused(plan_with(NULL, NULL, NULL, NULL, NULL, "app|Web"), 21, "app", "an upper-case name");
    refused(plan_with(NULL, NULL, NULL, NULL, NULL, "app|a--b"), 21, "app", "two hyphens");
}

static void test_framing(void) {
    length = 0;
    refused(parse(), 0, "end", "an empty file");
    plan_with(NULL, NULL, NULL, NULL, NULL, NULL);
    size_t whole = length;
    bool all = true;
    for (size_t n = 0; n < whole; n++) {
        length = n;
        all = all && !parse();
    }
    ok(all, "a plan cut anywhere is refused");
    length = whole;
    bytes[length++] = '\n';
    refused(parse(), 22, "", "a byte after the end");
    length = whole;
    record("end");
    refused(parse(), 21, "end", "a record after the end");
    length = 0;
    write_part(head, NULL, NULL);
    record("end");
    refused(parse(), 9, "app", "a plan without an app");
    static const struct {
        const char *text;
        size_t size;
        const char *title;
    } raw[] = {{"jetpack-plan\0+1\0001\0\n", 20, "a signed count"},
               {"jetpack-plan\0001x\0001\0\n", 19, "a count with a letter"},
               {"jetpack-plan\00001\0001\0\n", 19, "a count with a leading zero"},
               {"jetpack-plan\0004097\0001\0\n", 21, "a count above 4096"},
               {"jetpack-plan\0001\0001\0x", 18, "no line feed"},
               {"jetpack-plan\0001\0001\0\r\n", 19, "a carriage return"},
               {"jetpack-plan\00018446744073709551617\0001\0\n", 37, "a count that overflows"}};
    for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++) {
        memcpy(bytes, raw[i].text, raw[i].size);
        length = raw[i].size;
        refused(parse(), 1, "jetpack-plan", raw[i].title);
    }
    length = 0;
    write_part(head, NULL, NULL);
    for (unsigned i = 0; i < 16400; i++)
        record("reap|/a");
    refused(parse(), 0, "reap", "too many records");
    memset(bytes, 'x', PLAN_BYTES_MAX + 1);
    length = PLAN_BYTES_MAX + 1;
    refused(parse(), 0, "", "a file above 1 MiB");
}

static void test_text(void) {
    char room[64];
    struct text t = TEXT_ON(room);
    text_time(&t, (struct timespec){951782399, 5});
    ok(strcmp(room, "2000-02-28T23:59:59.000000005Z") == 0, "the day before a leap day");
    t = TEXT_ON(room);
    text_time(&t, (struct timespec){1709164800, 999999999});
    ok(strcmp(room, "2024-02-29T00:00:00.999999999Z") == 0, "a leap day");
    t = TEXT_ON(room);
    text_time(&t, (struct timespec){4102444800, 0});
    ok(strcmp(room, "2100-01-01T00:00:00.000000000Z") == 0, "a century");
    t = TEXT_ON(room);
    text_json(&t, "a\"\\\n\xff\xc3\xa9");
    ok(strcmp(room, "\"a\\\"\\\\\\u000a\\ufffd\xc3\xa9\"") == 0,
       "JSON stays JSON whatever the bytes");
    t = TEXT_ON(room);
    text_plain(&t, "x\033[2J");
    ok(strcmp(room, "x\\x1b[2J") == 0, "no escape sequence reaches a terminal");
    char small[4];
    t = TEXT_ON(small);
    text_str(&t, "abcdef");
    ok(t.cut && strcmp(small, "abc") == 0, "what does not fit is cut");
    uint64_t n;
    ok(number_parse("18446744073709551615", UINT64_MAX, &n) && n == UINT64_MAX &&
           !number_parse("18446744073709551616", UINT64_MAX, &n) && !number_parse("", 9, &n) &&
           !number_parse("10", 9, &n) && number_parse("0", 9, &n),
       "numbers at their borders");
}

static char seen[64];
static unsigned windows;

static void on_frame(void *context, const struct frame *f) {
    (void)context;
    if (f->type == FRAME_WINDOW)
        windows = frame_number(f->bytes) * 1000u + frame_number(f->bytes + 2);
    else if (f->total == 0)
        strcat(seen, "|end");
    else
        strncat(seen, f->bytes, f->length);
}

static void test_frames(void) {
    static const char stream[] = "\0\0\3abc\3\0\4\0\41\0\115\0\0\2de\0\0\0";
    bool fine = true;
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        struct frame_reader r = {0};
        seen[0] = '\0';
        windows = 0;
        for (size_t at = 0; at < sizeof stream - 1; at += piece) {
            size_t n = sizeof stream - 1 - at < piece ? sizeof stream - 1 - at : piece;
            fine = fine && frame_read(&r, stream + at, n, on_frame, NULL);
        }
        fine = fine && strcmp(seen, "abcde|end") == 0 && windows == 33077;
    }
    ok(fine, "frames are read however they are cut");
    struct frame_reader r = {0};
    ok(!frame_read(&r, "\7\0\0", 3, on_frame, NULL), "an unknown frame is refused");
}

static void test_ring(void) {
    char room[7];
    struct ring r = {room, sizeof room, 0, 0};
    unsigned char in = 0;
    unsigned char out = 0;
    unsigned total = 0;
    bool fine = true;
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned k = i % 5; k > 0 && ring_room(&r) > 0; k--) {
            ring_put(&r, &in, 1);
            in++;
        }
        const char *bytes_out;
        size_t n = ring_peek(&r, &bytes_out);
        n = n < i % 4 ? n : i % 4;
        for (size_t k = 0; k < n; k++)
            fine = fine && (unsigned char)bytes_out[k] == out++;
        ring_drop(&r, n);
        total += (unsigned)n;
    }
    ok(fine && total > 1000, "a ring gives back what it took, in order");
}

static bool noticed(const char *text, size_t n, bool ready, bool stopping, const char *status) {
    struct notice got;
    /* Exactly sized, so that AddressSanitizer sees a byte too many. */
    char *copy = malloc(n > 0 ? n : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, text, n);
    bool fine = notice_parse(copy, n, &got) && got.ready == ready && got.stopping == stopping &&
                (status == NULL ? got.status == NULL
                                : got.status != NULL && got.length == strlen(status) &&
                                      memcmp(got.status, status, got.length) == 0);
    free(copy);
    return fine;
}

static void test_notices(void) {
    static char big[NOTICE_MAX + 1];
    struct notice got;
    ok(noticed("READY=1", 7, true, false, NULL), "READY=1 is understood");
    ok(noticed("READY=1\n", 8, true, false, NULL), "with a line feed");
    ok(noticed("READY=1", 8, true, false, NULL), "with a zero byte at its end");
    ok(noticed("MAINPID=3\n\nSTATUS=a=b c\nREADY=1\nSTOPPING=1", 42, true, true, "a=b c"),
       "among other words");
    ok(noticed("STATUS=a\nSTATUS=", 16, false, false, ""), "the last status counts");
    ok(noticed("READY=10\nREADY=\nXREADY=1\nready=1\nREADY", 39, false, false, NULL),
       "similar words mean nothing");
    ok(!notice_parse("", 0, &got) && !notice_parse("", 1, &got), "nothing is malformed");
    ok(!notice_parse("READY=1\0X=1", 11, &got), "a zero byte inside is malformed");
    memset(big, '\n', sizeof big);
    ok(notice_parse(big, NOTICE_MAX, &got) && !notice_parse(big, NOTICE_MAX + 1, &got),
       "so is more than the limit");
    ok(notice_cut("abc", 3, 3) == 3 && notice_cut("abc", 3, 2) == 2, "text is cut to its room");
    ok(notice_cut("a\xc3\xa4z", 4, 2) == 1 && notice_cut("a\xc3\xa4z", 4, 3) == 3,
       "not within a character");
    ok(notice_cut("\xa4\xa4\xa4\xa4", 4, 3) == 0, "nor without end");
}

int main(void) {
    test_good();
    test_pod_keys();
    test_app_keys();
    test_framing();
    test_text();
    test_frames();
    test_notices();
    test_ring();
    printf("1..%u\n", count);
    return failures == 0 ? 0 : 1;
}
