/*
 * readiness - see readiness.h.
 */
#define _GNU_SOURCE
#include "readiness.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../control.h"
#include "../fd.h"
#include "../keep.h"
#include "../poller.h"
#include "../report.h"
#include "../text.h"
#include "given.h"
#include "notify.h"

/* An app may talk as much as it likes; the service manager hears only so often. */
#define STATUS_PAUSE_MS 200
/* How long a service manager that does not listen may hold us. */
#define MANAGER_S 2

static KEPT struct pod *pod;
static KEPT int notices = -1;
static KEPT int manager = -1;
static KEPT bool json;
static KEPT bool stopping;
static KEPT bool changed; /* an app has become ready since the last look */
static KEPT bool manager_failed;
static KEPT long long next_status; /* no earlier than this */
static KEPT struct notify_wire
    *said; /* the last text that was not passed on yet; app WIRE_ALL: none */

static void tell_manager(const char *message, size_t n) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(given.notify);
    if (manager < 0)
        return;
    memcpy(address.sun_path, given.notify, length);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0'; /* an abstract name has no end but its length */
    if (sendto(manager, message, n, MSG_NOSIGNAL, (const struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) >= 0 ||
        manager_failed)
        return;
    manager_failed = true;
    report_note("cannot tell the service manager at", given.notify, error_text(errno), json);
}

static void tell_line(const char *line) {
    tell_manager(line, strlen(line));
}

COLD void readiness_init(struct pod *p, int from, bool as_json) {
    const struct timeval limit = {MANAGER_S, 0};
    pod = p;
    notices = from;
    json = as_json;
    if (given.notify[0] == '\0')
        return;
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (manager < 0 || setsockopt(manager, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        report_note("cannot tell the service manager at", given.notify, error_text(errno), json);
    said = keep_room(sizeof *said);
    said->app = WIRE_ALL;
}

static bool hear(void);

static void check(void) {
    if (!changed || pod->ready.tv_sec != 0 || stopping)
        return;
    changed = false;
    for (unsigned i = 0; i < pod->plan->app_count; i++) {
        if (pod->plan->apps[i] != NULL && pod->apps[i].ready.tv_sec == 0)
            return;
    }
    clock_gettime(CLOCK_REALTIME, &pod->ready);
    (void)pod_write_status(pod);
    tell_line("READY=1");
    control_pod_ready();
}

/* False: it is already. */
static bool app_ready(unsigned app) {
    struct app_run *run = &pod->apps[app];
    if (run->ready.tv_sec != 0)
        return false;
    clock_gettime(CLOCK_REALTIME, &run->ready);
    changed = true;
    return true;
}

void readiness_look(void) {
    changed = true;
}

void readiness_app_started(unsigned app) {
    if (!pod->plan->apps[app]->notify)
        (void)app_ready(app);
}

void readiness_app_over(unsigned app) {
    while (notices >= 0 && hear())
        continue;
    if (pod->apps[app].ready.tv_sec != 0 || pod->ready.tv_sec != 0 || stopping ||
        pod->plan->changeable)
        return;
    pod->never_ready = pod->plan->apps[app]->name;
    control_pod_never_ready();
}

void readiness_stopping(void) {
    if (!stopping)
        tell_line("STOPPING=1");
    stopping = true;
}

static void pass_status(void) {
    char line[NOTIFY_TEXT * 4 + 128];
    char plain[NOTIFY_TEXT + 1];
    struct text t = TEXT_ON(line);
    if (said == NULL || said->app == WIRE_ALL)
        return;
    if (pod->plan->apps[said->app] == NULL) { /* it has left meanwhile */
        said->app = WIRE_ALL;
        return;
    }
    if (poller_now() < next_status) {
        poller_until(next_status);
        return;
    }
    memcpy(plain, said->text, said->length);
    plain[said->length] = '\0';
    text_str(&t, "STATUS=");
    if (pod->plan->app_count > 1 || pod->plan->changeable) {
        text_str(&t, pod->plan->apps[said->app]->name);
        text_str(&t, ": ");
    }
    text_plain(&t, plain);
    tell_manager(line, t.len);
    said->app = WIRE_ALL;
    next_status = poller_now() + STATUS_PAUSE_MS;
}

/* False: nothing (more) to hear. */
static bool hear(void) {
    struct notify_wire w;
    ssize_t n = recv(notices, &w, sizeof w, MSG_DONTWAIT);
    if (n != (ssize_t)sizeof w || w.app >= pod->plan->app_count || w.length > NOTIFY_TEXT) {
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            fd_close(&notices); /* init is gone */
        return false;
    }
    if (pod->plan->apps[w.app] == NULL)
        return true;
    if (w.has_text && said != NULL)
        *said = w;
    /* Once: an app that says so without end does not write to the host's disk as often. */
    if (w.ready && app_ready(w.app))
        (void)pod_write_app(pod, w.app);
    if (w.stopping && pod->plan->app_count == 1 && !pod->plan->changeable)
        readiness_stopping();
    return true;
}

static void on_notices(unsigned which, short events) {
    (void)which;
    (void)events;
    if (notices >= 0)
        (void)hear();
}

void readiness_watch(void) {
    check();
    pass_status();
    poller_watch(notices, POLLIN, on_notices, 0);
}

COLD void readiness_end(void) {
    while (notices >= 0 && hear())
        continue;
    fd_close(&notices);
    check();
    next_status = 0;
    pass_status();
    readiness_stopping();
}
