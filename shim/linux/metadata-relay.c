/*
 * metadata-relay - see metadata-relay.h.
 *
 * Its callers are not trusted, nor is what they send: bytes are carried and never looked at. Root
 * only until everything is set; then the plan's user, no capability, no file, one port, and the
 * system calls of the loop below. A caller can use up the slots of its own pod, and nothing else.
 */
#define _GNU_SOURCE
#include "metadata-relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#include "../fd.h"
#include "../poller.h"
#include "../report.h"
#include "../text.h"
#include "drop.h"
#include "sys.h"

#define SLOTS 16
#define BUFFER 4096
/* Nobody has called for so long: the end. The supervisor waits for the next caller. */
#define LINGER_MS 5000
#define IDLE_MS 30000
#define TOTAL_MS 300000
/* After the answer that there is no service. */
#define REFUSED_MS 2000
#define LISTENER 0
/* The service tells pods from the host by this address. */
#define CALLER_ADDRESS 0x7f000002U

struct way {
    char bytes[BUFFER];
    size_t from, to;
    bool ended;  /* nothing more comes in */
    bool closed; /* and the other side knows it */
};

struct slot {
    int pod; /* -1: the slot is free */
    int host;
    bool connecting;
    bool refused; /* there is no service: what comes is read and forgotten */
    long long idle_at, end_at;
    struct way in, out; /* from the pod to the host; from the host to the pod */
};

static struct slot slots[SLOTS];
static struct sockaddr_in service;

static const char no_service[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                 "Content-Type: text/plain; charset=us-ascii\r\n"
                                 "Content-Length: 38\r\n"
                                 "Connection: close\r\n\r\n"
                                 "the metadata service does not answer.\n";

/* -- the filter ----------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#endif

#if defined(FILTER_ARCH) && !defined(__SANITIZE_ADDRESS__)

#define ALLOW(call)                                                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int restrict_calls(void) {
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_poll
        ALLOW(SYS_poll),
#endif
        ALLOW(SYS_ppoll),
        ALLOW(SYS_read),
        ALLOW(SYS_write),
        ALLOW(SYS_sendto),
        ALLOW(SYS_accept4),
        ALLOW(SYS_socket),
        ALLOW(SYS_bind),
        ALLOW(SYS_connect),
        ALLOW(SYS_getsockopt),
        ALLOW(SYS_shutdown),
        ALLOW(SYS_close),
        ALLOW(SYS_clock_gettime),
        ALLOW(SYS_restart_syscall),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_exit),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    static const struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    return sys_seccomp(&program);
}

#else

/* No filter for this machine is known; or the sanitizers make calls of their own. */
static int restrict_calls(void) {
    return 0;
}

#endif

/* -- one connection ------------------------------------------------------------------------- */

static void drop_slot(struct slot *s) {
    fd_close(&s->pod);
    fd_close(&s->host);
}

static void refuse_call(struct slot *s) {
    fd_close(&s->host);
    s->connecting = false;
    s->refused = true;
    s->end_at = poller_now() + REFUSED_MS;
    memcpy(s->out.bytes, no_service, sizeof no_service - 1);
    s->out.from = 0;
    s->out.to = sizeof no_service - 1;
    s->out.ended = true;
}

static void open_slot(struct slot *s, int pod) {
    const struct sockaddr_in caller = {.sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(CALLER_ADDRESS)};
    memset(s, 0, sizeof *s);
    s->pod = pod;
    s->end_at = poller_now() + TOTAL_MS;
    s->idle_at = poller_now() + IDLE_MS;
    s->host = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->host < 0 || bind(s->host, (const struct sockaddr *)&caller, sizeof caller) < 0) {
        refuse_call(s);
        return;
    }
    if (connect(s->host, (const struct sockaddr *)&service, sizeof service) == 0)
        return;
    if (errno == EINPROGRESS)
        s->connecting = true;
    else
        refuse_call(s);
}

static void finish_connecting(struct slot *s) {
    int error = 0;
    socklen_t size = sizeof error;
    s->connecting = false;
    if (getsockopt(s->host, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
        refuse_call(s);
}

static bool wait_more(void) {
    return errno == EAGAIN || errno == EINTR;
}

/* False: the connection has broken. */
static bool take(struct slot *s, struct way *w, int from) {
    ssize_t n = read(from, w->bytes + w->to, BUFFER - w->to);
    if (n < 0)
        return wait_more();
    w->ended = n == 0;
    w->to += (size_t)n;
    s->idle_at = poller_now() + IDLE_MS;
    return true;
}

static bool give(struct slot *s, struct way *w, int to) {
    if (w->to > w->from) {
        ssize_t n = send(to, w->bytes + w->from, w->to - w->from, MSG_NOSIGNAL);
        if (n < 0)
            return wait_more();
        w->from += (size_t)n;
        s->idle_at = poller_now() + IDLE_MS;
    }
    if (w->from == w->to) {
        w->from = w->to = 0;
        if (w->ended && !w->closed) {
            w->closed = true;
            (void)shutdown(to, SHUT_WR);
        }
    }
    return true;
}

static bool forget_input(struct slot *s) {
    char chunk[512];
    ssize_t n = read(s->pod, chunk, sizeof chunk);
    return n > 0 || (n < 0 && wait_more());
}

static bool serve(struct slot *s, short pod_events, short host_events) {
    const short readable = POLLIN | POLLHUP | POLLERR;
    if (s->connecting) {
        if (host_events == 0)
            return true;
        finish_connecting(s);
        return true;
    }
    if (s->refused) {
        if ((pod_events & readable) != 0 && !forget_input(s))
            return false;
        return give(s, &s->out, s->pod);
    }
    if ((pod_events & readable) != 0 && !s->in.ended && s->in.to < BUFFER &&
        !take(s, &s->in, s->pod))
        return false;
    if ((host_events & readable) != 0 && !s->out.ended && s->out.to < BUFFER &&
        !take(s, &s->out, s->host))
        return false;
    if (!give(s, &s->in, s->host) || !give(s, &s->out, s->pod))
        return false;
    return !(s->in.closed && s->out.closed);
}

/* -- the loop ------------------------------------------------------------------------------- */

static short wanted(const struct way *incoming, const struct way *outgoing) {
    short events = 0;
    if (!incoming->ended && incoming->to < BUFFER)
        events |= POLLIN;
    if (outgoing->from < outgoing->to)
        events |= POLLOUT;
    return events;
}

static void watch(const struct slot *s, struct pollfd *pod, struct pollfd *host) {
    /* With nothing wanted not even a hang-up is: it would be told without end. */
    short from_pod = 0;
    short from_host = POLLOUT;
    if (!s->connecting) {
        from_pod = wanted(&s->in, &s->out);
        from_host = wanted(&s->out, &s->in);
    }
    if (s->refused)
        from_pod |= POLLIN;
    *pod = (struct pollfd){.fd = from_pod != 0 ? s->pod : -1, .events = from_pod};
    *host = (struct pollfd){.fd = from_host != 0 ? s->host : -1, .events = from_host};
}

static long long next_end(bool *any) {
    long long at = 0;
    *any = false;
    for (size_t i = 0; i < SLOTS; i++) {
        const struct slot *s = &slots[i];
        if (s->pod < 0)
            continue;
        long long end = s->idle_at < s->end_at ? s->idle_at : s->end_at;
        if (!*any || end < at)
            at = end;
        *any = true;
    }
    return at;
}

static struct slot *free_slot(void) {
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].pod < 0)
            return &slots[i];
    }
    return NULL;
}

/* False: the listener itself is of no more use. */
static bool accept_one(void) {
    struct slot *s = free_slot();
    int pod = s != NULL ? accept4(LISTENER, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    if (s == NULL)
        return true;
    if (pod < 0)
        return errno != EBADF && errno != EINVAL && errno != ENOTSOCK;
    open_slot(s, pod);
    return true;
}

static int carry(void) {
    static struct pollfd set[1 + 2 * SLOTS];
    long long leave_at = poller_now() + LINGER_MS;
    for (;;) {
        bool any;
        long long end = next_end(&any);
        long long now = poller_now();
        if (!any && now >= leave_at)
            return 0;
        long long wait = (any ? end : leave_at) - now;
        set[0] = (struct pollfd){.fd = free_slot() != NULL ? LISTENER : -1, .events = POLLIN};
        for (size_t i = 0; i < SLOTS; i++)
            watch(&slots[i], &set[1 + 2 * i], &set[2 + 2 * i]);
        if (poll(set, 1 + 2 * SLOTS, wait < 0 ? 0 : (int)wait) < 0 && errno != EINTR)
            return 1;
        now = poller_now();
        for (size_t i = 0; i < SLOTS; i++) {
            struct slot *s = &slots[i];
            if (s->pod >= 0 && (now >= s->idle_at || now >= s->end_at ||
                                !serve(s, set[1 + 2 * i].revents, set[2 + 2 * i].revents)))
                drop_slot(s);
        }
        if (set[0].revents != 0 && !accept_one())
            return 1;
        if (any || set[0].revents != 0)
            leave_at = poller_now() + LINGER_MS;
    }
}

static bool numbers(char **argv, uint64_t *out) {
    static const uint64_t most[4] = {65535, UINT32_MAX - 1, UINT32_MAX - 1, INT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        if (argv[i] == NULL || !number_parse(argv[i], most[i], &out[i]) || out[i] == 0)
            return false;
    }
    return argv[4] == NULL;
}

int metadata_relay(char **argv) {
    uint64_t n[4];
    if (!numbers(argv, n))
        return EXIT_SHIM;
    service = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)n[0]),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < SLOTS; i++)
        slots[i].pod = slots[i].host = -1;
    (void)prctl(PR_SET_NAME, "jetpack-relay", 0, 0, 0);
    if (chdir("/") < 0 || fcntl(LISTENER, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return EXIT_SHIM;
    if (drop_privileges((uid_t)n[1], (gid_t)n[2]) < 0)
        return EXIT_SHIM;
    /* After the ids, which clear it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return EXIT_SHIM;
    if ((uint64_t)getppid() != n[3])
        return 0;
    (void)drop_landlock(false, DROP_TCP_CONNECT, (uint16_t)n[0]);
    if (restrict_calls() < 0)
        return EXIT_SHIM;
    return carry();
}
