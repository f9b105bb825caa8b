/*
 * streams - see streams.h. No privileges beyond its descriptors.
 */
#define _GNU_SOURCE
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "fd.h"
#include "keep.h"
#include "poller.h"
#include "report.h"
#include "ring.h"

#define CHUNK 4096
/* A pty without any open slave reads as an error: looked at again after this long. */
#define TERMINAL_RETRY_MS 50

/* Our own stdout or stderr. */
struct sink {
    int fd; /* -1: none, or closed by its reader */
    bool socket;
    struct ring ring;
};

static char sink_room[2][2 * CHUNK];
static char input_room[2 * CHUNK];

static KEPT struct {
    struct pod *pod;
    struct streams_setup setup;
    struct sink sinks[2];
    struct ring input;
    bool input_ended; /* nothing more comes; close the app's stdin when the ring is empty */
    bool stdin_open;  /* our own still gives */
    int master;
    long long master_retry;
    char *chunk;
    int *in; /* of each app */
    int (*out)[2];
} s;

/*
 * A description of our own, so that O_NONBLOCK does not reach the shell's. A regular file keeps
 * its own (its offset is shared with whoever wrote before us); it never blocks for long.
 */
COLD static void open_sink(struct sink *sink, int fd, const char *path) {
    struct stat st;
    sink->fd = -1;
    if (fstat(fd, &st) < 0)
        return;
    sink->socket = S_ISSOCK(st.st_mode);
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        sink->fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (sink->fd < 0 && errno != ENXIO)
        sink->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

COLD void streams_init(struct pod *pod, const struct streams_setup *setup) {
    s.pod = pod;
    s.chunk = keep_room(CHUNK);
    size_t room = plan_room(pod->plan);
    s.in = keep_room(room * sizeof *s.in);
    s.out = keep_room(room * sizeof *s.out);
    s.setup = *setup;
    s.master = -1;
    s.stdin_open = setup->read_stdin;
    s.input = (struct ring){input_room, sizeof input_room, 0, 0};
    for (unsigned i = 0; i < 2; i++) {
        s.sinks[i].ring = (struct ring){sink_room[i], sizeof sink_room[i], 0, 0};
        s.sinks[i].fd = -1;
    }
    errno = 0;
    if (setup->foreground) {
        open_sink(&s.sinks[0], STDOUT_FILENO, "/proc/self/fd/1");
        open_sink(&s.sinks[1], STDERR_FILENO, "/proc/self/fd/2");
    }
    for (size_t i = 0; i < room; i++)
        s.in[i] = s.out[i][0] = s.out[i][1] = -1;
}

COLD void streams_attach(unsigned app, int in, int out, int err) {
    s.in[app] = in;
    s.out[app][0] = out;
    s.out[app][1] = err;
}

COLD void streams_detach(unsigned app) {
    fd_close(&s.in[app]);
    fd_close(&s.out[app][0]);
    fd_close(&s.out[app][1]);
}

COLD void streams_attach_terminal(int master) {
    s.master = master;
    (void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
}

bool streams_have_terminal(void) {
    return s.master >= 0;
}

void streams_window(unsigned short rows, unsigned short columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    if (s.master >= 0)
        (void)ioctl(s.master, TIOCSWINSZ, &size);
}

/* -- towards our own stdout and stderr --------------------------------------------------- */

static ssize_t sink_write(const struct sink *sink, const char *bytes, size_t n) {
    ssize_t done;
    do {
        done = sink->socket ? send(sink->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : write(sink->fd, bytes, n);
    } while (done < 0 && errno == EINTR);
    return done;
}

/* Returns what was taken; closes the sink when its reader is gone. */
static size_t sink_try(struct sink *sink, const char *bytes, size_t n) {
    size_t taken = 0;
    while (taken < n) {
        ssize_t done = sink_write(sink, bytes + taken, n - taken);
        if (done > 0) {
            taken += (size_t)done;
        } else if (done < 0 && errno == EAGAIN) {
            break;
        } else {
            fd_close(&sink->fd);
            sink->ring.len = sink->ring.head = 0;
            return n;
        }
    }
    return taken;
}

static void sink_flush(struct sink *sink) {
    while (sink->fd >= 0 && sink->ring.len > 0) {
        const char *bytes;
        size_t n = ring_peek(&sink->ring, &bytes);
        size_t taken = sink_try(sink, bytes, n);
        if (sink->fd < 0)
            return;
        ring_drop(&sink->ring, taken);
        if (taken < n)
            return;
    }
}

static void sink_put(struct sink *sink, const char *bytes, size_t n) {
    if (sink->fd < 0)
        return;
    size_t taken = sink->ring.len == 0 ? sink_try(sink, bytes, n) : 0;
    if (sink->fd >= 0 && taken < n)
        ring_put(&sink->ring, bytes + taken, n - taken);
}

static bool sinks_ready(void) {
    for (unsigned i = 0; i < 2; i++) {
        if (s.sinks[i].fd >= 0 && ring_room(&s.sinks[i].ring) < CHUNK)
            return false;
    }
    return true;
}

static void on_sink(unsigned which, short events) {
    (void)events;
    sink_flush(&s.sinks[which]);
}

/* -- from the apps ------------------------------------------------------------------------ */

static void deliver(unsigned app, unsigned stream, const char *bytes, size_t n) {
    int r = log_write(&s.pod->apps[app].log, stream == 1, bytes, n);
    if (r < 0)
        report_note("cannot write the log of app", s.pod->plan->apps[app]->name, error_text(-r),
                    s.setup.json);
    sink_put(&s.sinks[stream], bytes, n);
    control_output(app, stream, bytes, n);
}

/* One chunk. False when there is nothing now. */
static bool read_stream(unsigned app, unsigned stream) {
    bool terminal = s.master >= 0;
    int *fd = terminal ? &s.master : &s.out[app][stream];
    ssize_t n = read(*fd, s.chunk, CHUNK);
    if (n > 0) {
        deliver(app, stream, s.chunk, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (terminal)
        s.master_retry = poller_now() + TERMINAL_RETRY_MS;
    else
        fd_close(fd);
    return false;
}

static void on_output(unsigned which, short events) {
    (void)events;
    if (!sinks_ready())
        return; /* an earlier app of this round filled them */
    if (s.master >= 0 || s.out[which / 2][which % 2] >= 0)
        (void)read_stream(which / 2, which % 2);
}

void streams_drain(unsigned app) {
    for (unsigned i = 0; i < s.pod->plan->app_count; i++) {
        if (app != WIRE_ALL && app != i)
            continue;
        for (unsigned stream = 0; stream < 2; stream++) {
            bool more = s.master >= 0 ? stream == 0 : s.out[i][stream] >= 0;
            /* What is there now, and no more: somebody may go on writing for ever. */
            int left = 0;
            if (more && ioctl(s.master >= 0 ? s.master : s.out[i][stream], FIONREAD, &left) < 0)
                left = CHUNK;
            for (int rounds = left / CHUNK + 1; more && rounds > 0 && sinks_ready(); rounds--) {
                more = read_stream(i, stream);
                if (s.sinks[stream].ring.len > 0)
                    sink_flush(&s.sinks[stream]);
            }
        }
    }
}

COLD void streams_close_inputs(void) {
    for (unsigned i = 0; i < s.pod->plan->app_count; i++) {
        fd_close(&s.in[i]);
        fd_close(&s.out[i][0]);
        fd_close(&s.out[i][1]);
    }
    fd_close(&s.master);
    s.stdin_open = false;
}

bool streams_idle(void) {
    return (s.sinks[0].fd < 0 || s.sinks[0].ring.len == 0) &&
           (s.sinks[1].fd < 0 || s.sinks[1].ring.len == 0);
}

/* -- towards the app ---------------------------------------------------------------------- */

static int *input_fd(void) {
    return s.master >= 0 ? &s.master : &s.in[0];
}

size_t streams_input_room(void) {
    /* Nobody to read it: swallowed, so that whoever sends it is not held up. */
    return *input_fd() < 0 || s.input_ended ? s.input.cap : ring_room(&s.input);
}

void streams_input(const char *bytes, size_t n) {
    size_t room = ring_room(&s.input);
    if (*input_fd() >= 0 && !s.input_ended)
        ring_put(&s.input, bytes, n < room ? n : room);
}

void streams_input_end(void) {
    if (s.master < 0) {
        s.input_ended = true;
    } else if (ring_room(&s.input) > 0) {
        ring_put(&s.input, "\004", 1); /* what the line discipline takes for the end */
    }
}

static void flush_input(void) {
    int *fd = input_fd();
    while (*fd >= 0 && s.input.len > 0) {
        const char *bytes;
        size_t n = ring_peek(&s.input, &bytes);
        ssize_t done = write(*fd, bytes, n);
        if (done > 0) {
            ring_drop(&s.input, (size_t)done);
        } else if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else {
            s.input.len = s.input.head = 0; /* the app reads no more */
            if (s.master < 0)
                fd_close(fd);
            s.stdin_open = s.stdin_open && s.master >= 0;
        }
    }
    if (s.input_ended && s.input.len == 0 && s.master < 0)
        fd_close(fd);
}

static void on_input(unsigned which, short events) {
    (void)which;
    (void)events;
    flush_input();
}

static void on_stdin(unsigned which, short events) {
    char chunk[CHUNK];
    size_t room = streams_input_room();
    (void)which;
    (void)events;
    if (room == 0)
        return; /* a client of this round filled it */
    ssize_t n = read(STDIN_FILENO, chunk, room < sizeof chunk ? room : sizeof chunk);
    if (n > 0) {
        streams_input(chunk, (size_t)n);
        flush_input();
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        s.stdin_open = false;
        streams_input_end();
        flush_input();
    }
}

void streams_watch(void) {
    for (unsigned i = 0; i < 2; i++) {
        if (s.sinks[i].fd >= 0 && s.sinks[i].ring.len > 0)
            poller_watch(s.sinks[i].fd, POLLOUT, on_sink, i);
    }
    if (sinks_ready() && s.master >= 0) {
        if (poller_now() >= s.master_retry)
            poller_watch(s.master, POLLIN, on_output, 0);
        else
            poller_until(s.master_retry);
    }
    for (unsigned i = 0; sinks_ready() && i < s.pod->plan->app_count; i++) {
        poller_watch(s.out[i][0], POLLIN, on_output, 2 * i);
        poller_watch(s.out[i][1], POLLIN, on_output, 2 * i + 1);
    }
    if (s.input.len > 0 || (s.input_ended && s.master < 0))
        poller_watch(*input_fd(), POLLOUT, on_input, 0);
    if (s.stdin_open && streams_input_room() > 0 && *input_fd() >= 0)
        poller_watch(STDIN_FILENO, POLLIN, on_stdin, 0);
}
