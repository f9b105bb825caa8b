/*
 * metadata-wait - the part of metadata.h that is in the supervisor's loop, and small
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "../fd.h"
#include "../keep.h"
#include "../poller.h"
#include "../report.h"
#include "metadata.h"
#include "own.h"

/* Between two starts of a relay, when the first did not end well. */
#define PAUSE_MS 1000

static KEPT int listener = -1;
static KEPT pid_t relay;
static KEPT long long not_before;

void metadata_take(int fd, int error) {
    if (fd >= 0 && listener < 0) {
        listener = fd;
        return;
    }
    fd_close(&fd);
    report_note("no relay to the metadata service:", "127.0.0.1 in the pod's network",
                error_text(error), own.options.json);
}

static void on_call(unsigned which, short events) {
    (void)which;
    (void)events;
    relay = metadata_start_relay(listener);
    if (relay < 0)
        not_before = poller_now() + PAUSE_MS; /* no processes left: the caller waits */
}

void metadata_watch(void) {
    if (listener < 0 || relay > 0)
        return;
    if (poller_now() < not_before)
        poller_until(not_before);
    else
        poller_watch(listener, POLLIN, on_call, 0);
}

void metadata_reap(void) {
    int status;
    if (relay <= 0 || waitpid(relay, &status, WNOHANG) != relay)
        return;
    relay = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        not_before = poller_now() + PAUSE_MS;
}

void metadata_end(void) {
    int status;
    fd_close(&listener);
    if (relay <= 0)
        return;
    (void)kill(relay, SIGKILL);
    while (waitpid(relay, &status, 0) < 0 && errno == EINTR)
        continue;
    relay = 0;
}
