/*
 * notify - see notify.h.
 *
 * Nothing here waits. While the supervisor does not take what was heard last, the apps are not
 * listened to, and their sends wait in their own sockets.
 */
#define _GNU_SOURCE
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../fd.h"
#include "../keep.h"
#include "../notice.h"

#define ALL_AT_END 64

static KEPT const struct plan *plan;
static KEPT int notices = -1;
static KEPT int *sockets;               /* of each app, or -1 */
static KEPT struct notify_wire *untold; /* what the supervisor did not take yet */
static KEPT bool clogged;

COLD void notify_init(const struct plan *p, int to) {
    plan = p;
    notices = to;
    if (notices < 0)
        return;
    untold = keep_room(sizeof *untold);
    size_t room = plan_room(p);
    sockets = keep_room(room * sizeof *sockets);
    for (size_t i = 0; i < room; i++)
        sockets[i] = -1;
}

COLD static int bind_here(int fd) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int on = 1;
    const char *name = strrchr(NOTIFY_PATH, '/') + 1;
    memcpy(address.sun_path, name, strlen(name) + 1);
    /* Before the first datagram can come: one without its sender is of no use. */
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    /* Any user of the app. */
    return fchmodat(AT_FDCWD, name, 0666, 0) < 0 ? -errno : 0;
}

COLD int notify_open(void) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* A name below the working directory: it is the folder that is meant, whatever its path. */
    int r = chdir("/dev") < 0 ? -errno : bind_here(fd);
    if (chdir("/") < 0 && r == 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

COLD int notify_bind(unsigned app) {
    if (notices < 0 || !plan->apps[app]->notify)
        return 0;
    int fd = notify_open();
    if (fd < 0)
        return fd;
    sockets[app] = fd;
    return 0;
}

COLD void notify_take(unsigned app, int fd) {
    if (notices < 0) {
        fd_close(&fd);
        return;
    }
    fd_close(&sockets[app]);
    sockets[app] = fd;
}

static void tell(void) {
    ssize_t n;
    do {
        n = send(notices, untold, sizeof *untold, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    clogged = n < 0 && errno == EAGAIN;
}

/* One datagram; false when there is none. */
static bool hear(unsigned app) {
    char bytes[NOTICE_MAX + 2];
    struct notice notice;
    pid_t sender;
    ssize_t n = fd_receive_datagram(sockets[app], bytes, sizeof bytes, &sender);
    if (n == -EAGAIN)
        return false;
    /* A sender without a number in this namespace is no process of the pod. */
    if (n <= 0 || sender <= 0 || !notice_parse(bytes, (size_t)n, &notice))
        return true;
    if (!notice.ready && !notice.stopping && notice.status == NULL)
        return true;
    *untold = (struct notify_wire){.app = (uint16_t)app,
                                   .ready = notice.ready,
                                   .stopping = notice.stopping,
                                   .has_text = notice.status != NULL};
    if (notice.status != NULL) {
        size_t length = notice_cut(notice.status, notice.length, NOTIFY_TEXT);
        memcpy(untold->text, notice.status, length);
        untold->length = (uint8_t)length;
    }
    tell();
    return true;
}

nfds_t notify_watch(struct pollfd *set) {
    nfds_t n = 0;
    if (notices < 0)
        return 0;
    if (clogged) {
        set[0] = (struct pollfd){.fd = notices, .events = POLLOUT};
        return 1;
    }
    for (unsigned i = 0; i < plan->app_count; i++) {
        if (sockets[i] >= 0)
            set[n++] = (struct pollfd){.fd = sockets[i], .events = POLLIN};
    }
    return n;
}

void notify_hear(const struct pollfd *set, nfds_t n) {
    for (nfds_t i = 0; i < n; i++) {
        if (set[i].revents == 0)
            continue;
        if (clogged)
            tell();
        for (unsigned app = 0; app < plan->app_count && !clogged; app++) {
            if (sockets[app] == set[i].fd)
                (void)hear(app);
        }
    }
}

COLD void notify_hear_app(unsigned app) {
    for (unsigned n = 0; notices >= 0 && sockets[app] >= 0 && n < ALL_AT_END && !clogged; n++) {
        if (!hear(app))
            break;
    }
}

COLD void notify_hear_all(void) {
    for (unsigned app = 0; notices >= 0 && app < plan->app_count; app++)
        notify_hear_app(app);
}
