/*
 * listen - see listen.h. Runs in the supervisor, before the pod is claimed.
 */
#define _GNU_SOURCE
#include "listen.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "../keep.h"
#include "../text.h"
#include "given.h"
#include "sys.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* What a given descriptor is; port 0: nothing that an app could want. */
struct bound {
    bool udp;
    uint16_t port;
    bool wanted;
};

static int option(int fd, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

static struct bound look_at(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.any = {0}};
    socklen_t size = sizeof address;
    struct bound b = {false, 0, false};
    if (getsockname(fd, &address.any, &size) < 0 ||
        (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6))
        return b;
    int protocol = option(fd, SO_PROTOCOL);
    int type = option(fd, SO_TYPE);
    bool tcp = type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP) &&
               option(fd, SO_ACCEPTCONN) == 1;
    b.udp = type == SOCK_DGRAM && protocol == IPPROTO_UDP;
    if (tcp || b.udp)
        b.port =
            ntohs(address.any.sa_family == AF_INET ? address.four.sin_port : address.six.sin6_port);
    return b;
}

static void port_words(struct text *t, bool udp, unsigned port) {
    text_str(t, udp ? "udp port " : "tcp port ");
    text_num(t, port);
}

static bool missing(const struct plan_app *app, const struct plan_listen *want,
                    struct problem *problem) {
    char words[192];
    struct text t = TEXT_ON(words);
    text_str(&t, app->name);
    text_str(&t, ", port ");
    text_str(&t, want->name);
    text_str(&t, " (");
    port_words(&t, want->udp, want->port);
    text_str(&t, ")");
    problem_set(problem, EXIT_SHIM, "SOCKET_MISSING", "no listening socket was passed for app",
                words, 0, "start the pod by a socket unit, or under systemd-socket-activate");
    return false;
}

static void note_unwanted(const struct bound *b, bool json) {
    char words[64];
    struct text t = TEXT_ON(words);
    if (b->port != 0)
        port_words(&t, b->udp, b->port);
    else
        text_str(&t, "no listening TCP and no UDP socket");
    report_note("a passed socket is closed:", words, "no app of the pod wants it", json);
}

bool listen_assign(const struct plan *plan, struct init_app *apps, bool json,
                   struct problem *problem) {
    struct bound bounds[GIVEN_MAX] = {0};
    for (unsigned k = 0; k < given.sockets; k++)
        bounds[k] = look_at(GIVEN_FIRST + (int)k);
    for (size_t i = 0; i < plan->app_count; i++) {
        struct init_app *app = &apps[i];
        if (plan->apps[i]->listen == NULL)
            continue;
        app->sockets = keep_room(GIVEN_MAX * sizeof *app->sockets);
        for (const struct plan_listen *want = plan->apps[i]->listen; want != NULL;
             want = want->next) {
            bool found = false;
            for (unsigned k = 0; k < given.sockets && app->socket_count < GIVEN_MAX; k++) {
                struct bound *b = &bounds[k];
                if (b->port != want->port || b->udp != want->udp)
                    continue;
                app->sockets[app->socket_count++] =
                    (struct listen_socket){GIVEN_FIRST + (int)k, want->name};
                found = b->wanted = true;
            }
            if (!found)
                return missing(plan->apps[i], want, problem);
        }
    }
    for (unsigned k = 0; k < given.sockets; k++) {
        if (!bounds[k].wanted)
            note_unwanted(&bounds[k], json);
    }
    if (given.too_many > 0)
        report_note("too many sockets were passed", "", "only the first 64 are taken", json);
    return true;
}

bool listen_is_wanted(const struct plan *plan, const struct init_app *apps, int fd) {
    for (size_t i = 0; i < plan->app_count; i++) {
        for (unsigned k = 0; k < apps[i].socket_count; k++) {
            if (apps[i].sockets[k].fd == fd)
                return true;
        }
    }
    return false;
}

void listen_close(void) {
    if (given.sockets > 0)
        (void)sys_close_range(GIVEN_FIRST, GIVEN_FIRST + given.sockets - 1, 0);
}
