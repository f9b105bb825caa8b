/*
 * rate - see rate.h.
 *
 * Runs in the supervisor. The programs run in a child that has joined the namespace, since the
 * supervisor stays in the host's. Whatever is left of a run that was killed is removed first.
 */
#define _GNU_SOURCE
#include "rate.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../commands.h"
#include "../fd.h"
#include "../text.h"
#include "netns.h"
#include "sys.h"

#define BURST_LEAST 65536u /* a packet of the largest size must fit */
#define BURST_MOST 4194304u
#define BURSTS_PER_SECOND 25u
#define WORDS_MAX 16

static char devices[65536]; /* /proc/self/net/dev */

static uint64_t burst_of(const struct plan *plan) {
    uint64_t burst = plan->net_rate / BURSTS_PER_SECOND;
    return burst < BURST_LEAST ? BURST_LEAST : burst > BURST_MOST ? BURST_MOST : burst;
}

/* The last word is followed by NULL. True when it ended with 0. */
static bool tool(const char *const *words, int output) {
    struct plan_command c = {NULL, {(char **)(uintptr_t)words, 0}};
    while (words[c.argv.n] != NULL)
        c.argv.n++;
    return command_once(&c, output) == 0;
}

/* `jetpack_01234567`, and `0123:` for queues. */
static const char *mark(const struct plan *plan, bool table, char *room, size_t size) {
    struct text t = {room, size, 0, false};
    text_str(&t, table ? "jetpack_" : "");
    text_bytes(&t, plan->uuid, table ? 8 : 4);
    text_str(&t, table ? "" : ":");
    return room;
}

static bool limit_in(const struct plan *plan, int output) {
    char rules[512];
    char name[32];
    struct text t = TEXT_ON(rules);
    text_str(&t, "table inet ");
    text_str(&t, mark(plan, true, name, sizeof name));
    text_str(&t, " {\nchain in {\ntype filter hook prerouting priority -310\niifname != \"lo\" "
                 "limit rate over ");
    text_num(&t, plan->net_rate);
    text_str(&t, " bytes/second burst ");
    text_num(&t, burst_of(plan));
    text_str(&t, " bytes drop\n}\n}\n");
    const char *const words[] = {plan->nft, rules, NULL};
    return tool(words, output);
}

static bool limit_out(const struct plan *plan, const char *device, int output) {
    char rate[40];
    char burst[40];
    char handle[16];
    struct text t = TEXT_ON(rate);
    text_num(&t, plan->net_rate);
    text_str(&t, "bps"); /* bytes, in the words of tc(8) */
    t = TEXT_ON(burst);
    text_num(&t, burst_of(plan));
    mark(plan, false, handle, sizeof handle);
    const char *const words[WORDS_MAX] = {plan->tc, "qdisc",   "add",   "dev",  device, "root",
                                          "handle", handle,    "tbf",   "rate", rate,   "burst",
                                          burst,    "latency", "400ms", NULL};
    return tool(words, output);
}

static void free_out(const struct plan *plan, const char *device, int output) {
    char handle[16];
    mark(plan, false, handle, sizeof handle);
    const char *const words[WORDS_MAX] = {plan->tc, "qdisc",  "del",  "dev", device,
                                          "root",   "handle", handle, NULL};
    (void)tool(words, output);
}

static void free_in(const struct plan *plan, int output) {
    char name[32];
    const char *const words[WORDS_MAX] = {
        plan->nft, "delete", "table", "inet", mark(plan, true, name, sizeof name), NULL};
    (void)tool(words, output);
}

/* The next interface that is not loopback, from the text of /proc/self/net/dev; NULL at its end. */
static const char *next_device(char **at) {
    for (char *line = *at; line != NULL && *line != '\0'; line = *at) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        *at = end != NULL ? end + 1 : NULL;
        line += strspn(line, " ");
        char *colon = strrchr(line, ':'); /* an alias has one in its name */
        if (colon == NULL)
            continue; /* the two lines of the head */
        *colon = '\0';
        if (strcmp(line, "lo") != 0)
            return line;
    }
    return NULL;
}

static bool read_devices(void) {
    int fd = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_all(fd, devices, sizeof devices - 1);
    fd_close(&fd);
    if (n < 0)
        return false;
    devices[n] = '\0';
    return true;
}

static void free_all(const struct plan *plan, int output) {
    char *at = devices;
    free_in(plan, output);
    if (!read_devices())
        return;
    for (const char *device; (device = next_device(&at)) != NULL;)
        free_out(plan, device, output);
}

static bool limit_all(const struct plan *plan, int output) {
    char *at = devices;
    if (!read_devices() || !limit_in(plan, output))
        return false;
    for (const char *device; (device = next_device(&at)) != NULL;) {
        if (!limit_out(plan, device, output))
            return false;
    }
    return true;
}

/* In a child that is in the namespace. True when all went well. */
static bool inside(const struct plan *plan, int netns, bool begin, int output) {
    struct sys_clone how = {0, -1};
    int status = -1;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = nowhere < 0 ? -1 : sys_clone3(&how);
    if (pid == 0) {
        if (sys_setns(netns, CLONE_NEWNET) < 0)
            _exit(1);
        free_all(plan, nowhere);
        if (!begin)
            _exit(0);
        if (limit_all(plan, output))
            _exit(0);
        free_all(plan, nowhere);
        _exit(1);
    }
    fd_close(&nowhere);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && status == 0;
}

bool rate_begin(const struct plan *plan, int netns, struct problem *problem) {
    char said[512];
    if (plan->net_rate == 0)
        return true;
    int output = memfd_create("output", MFD_CLOEXEC);
    bool fine = output >= 0 && inside(plan, netns, true, output);
    if (!fine) {
        problem_set(problem, EXIT_SHIM, "NETWORK_RATE",
                    "cannot limit the bandwidth of the network:",
                    command_said(output, said, sizeof said, plan->net_ns), 0,
                    "look at `tc qdisc show` in the namespace: another may be limiting it already");
    }
    fd_close(&output);
    return fine;
}

void rate_end(const struct plan *plan) {
    static struct problem gone;
    int netns = -1;
    if (plan->net_rate == 0 || !netns_open(plan, &netns, &gone))
        return;
    (void)inside(plan, netns, false, -1);
    fd_close(&netns);
}
