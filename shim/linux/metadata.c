/*
 * metadata - see metadata.h.
 *
 * What is needed once, or rarely; metadata-wait.c has what is in the loop.
 *
 * The relay is this program, executed anew: it inherits no page of the supervisor, whose memory
 * has the environment of every app. It is born in the pod's cgroup, so that a pod that calls
 * without end pays for it itself.
 */
#define _GNU_SOURCE
#include "metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "../fd.h"
#include "../report.h"
#include "../text.h"
#include "../wire.h"
#include "own.h"
#include "sys.h"

#define BACKLOG 64
#define PROBE_MS 50

static struct sockaddr_in address_of(const struct plan *plan) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(plan->metadata_port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool answers(const struct plan *plan) {
    const struct sockaddr_in address = address_of(plan);
    int error = 0;
    socklen_t size = sizeof error;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int r = connect(fd, (const struct sockaddr *)&address, sizeof address);
    if (r < 0 && errno == EINPROGRESS) {
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        bool told = poll(&one, 1, PROBE_MS) == 1 &&
                    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
        r = told ? 0 : -1;
    }
    close(fd);
    return r == 0;
}

void metadata_probe(const struct plan *plan, bool json) {
    char what[80];
    struct text t = TEXT_ON(what);
    if (!plan->has_metadata || !plan->metadata_warn || answers(plan))
        return;
    text_str(&t, "the metadata service does not answer at 127.0.0.1:");
    text_num(&t, plan->metadata_port);
    report_warning(what, "start it with `jetpack-mds`, or set `mds.warn = no`", json);
}

static int listen_inside(const struct plan *plan) {
    const struct sockaddr_in address = address_of(plan);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /*
     * Pods that share a network each bring their own relay. In a network of its own the address is
     * the pod's alone: nothing else of it can take a share of the calls.
     */
    bool shared = plan->net_ns != NULL;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

void metadata_offer(const struct plan *plan, int channel) {
    if (!plan->has_metadata || (!plan->own_net && plan->net_ns == NULL))
        return;
    int fd = listen_inside(plan);
    struct wire w = {.kind = WIRE_METADATA, .app = WIRE_ALL, .value = fd < 0 ? -fd : 0};
    if (fd_send(channel, &w, sizeof w, fd < 0 ? -1 : fd) < 0)
        _exit(EXIT_SHIM); /* no supervisor, no pod */
    fd_close(&fd);
}

/* -- the relay's process -------------------------------------------------------------------- */

static _Noreturn void become_relay(int listener, pid_t parent) {
    static char words[4][24];
    const uint64_t numbers[4] = {own.plan.metadata_port, own.plan.metadata_uid,
                                 own.plan.metadata_gid, (uint64_t)parent};
    static char name[] = "jetpack-shim";
    static char command[] = "metadata-relay";
    char *argv[] = {name, command, words[0], words[1], words[2], words[3], NULL};
    char *env[] = {NULL};
    for (size_t i = 0; i < 4; i++) {
        struct text t = TEXT_ON(words[i]);
        text_num(&t, numbers[i]);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0 && dup2(listener, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2)
        execve("/proc/self/exe", argv, env);
    _exit(EXIT_SHIM);
}

pid_t metadata_start_relay(int listener) {
    int cgroup = own.cgroups.pod >= 0 ? openat(own.cgroups.pod, "_init",
                                               O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
                                      : -1;
    struct sys_clone how = {0, cgroup};
    pid_t parent = getpid();
    pid_t pid = own.cgroups.pod >= 0 && cgroup < 0 ? -1 : sys_clone3(&how);
    if (pid == 0)
        become_relay(listener, parent);
    fd_close(&cgroup);
    return pid;
}
