/*
 * control - see control.h. Runs in the supervisor; the socket's mode (0600) is the permission.
 */
#define _GNU_SOURCE
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "frame.h"
#include "keep.h"
#include "poller.h"
#include "ring.h"
#include "streams.h"
#include "wire.h"

#define CONNECTIONS_MAX 32
#define REQUEST_MS 10000
#define FLUSH_MS 5000
#define REQUEST_MAX 4096
#define OUTPUT_MAX 65536

/* WAIT: for the pod's end; the last three: for what happens to one app. */
enum mode { FREE, REQUEST, WAIT, WAIT_READY, ATTACHED, CLOSING, STARTING, STOPPING, FORGETTING };

struct connection {
    enum mode mode;
    int fd;
    unsigned app;
    bool heard_end; /* the client sends no more */
    long long deadline;
    size_t have; /* bytes in `in` */
    struct frame_reader frames;
    struct ring out;
};

/* Untouched pages cost nothing; those of a closed connection are given back. */
static _Alignas(4096) char outputs[CONNECTIONS_MAX][OUTPUT_MAX];
static _Alignas(4096) char inputs[CONNECTIONS_MAX][REQUEST_MAX];
static KEPT struct connection *connections; /* CONNECTIONS_MAX of them */
static KEPT struct pod *pod;

COLD void control_init(struct pod *p) {
    pod = p;
    /* All zero is a free connection: nothing is touched before it is needed. */
    connections = keep_room(CONNECTIONS_MAX * sizeof *connections);
}

static void drop(struct connection *c) {
    size_t i = (size_t)(c - connections);
    char unread[1024];
    /* Closing with unread bytes would take the answer away from the client. */
    for (unsigned n = 0; n < 64 && recv(c->fd, unread, sizeof unread, MSG_DONTWAIT) > 0; n++)
        continue;
    fd_close(&c->fd);
    c->mode = FREE;
    (void)madvise(outputs[i], sizeof outputs[i], MADV_DONTNEED);
    (void)madvise(inputs[i], sizeof inputs[i], MADV_DONTNEED);
}

static void flush(struct connection *c) {
    while (c->out.len > 0) {
        const char *bytes;
        size_t n = ring_peek(&c->out, &bytes);
        ssize_t done = send(c->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN)
            return;
        if (done < 0) {
            drop(c);
            return;
        }
        ring_drop(&c->out, (size_t)done);
    }
    if (c->mode == CLOSING)
        drop(c);
}

/* Queues all or drops the client: half a message would be worse. */
static bool queue(struct connection *c, const void *bytes, size_t n) {
    if (ring_room(&c->out) < n) {
        drop(c);
        return false;
    }
    ring_put(&c->out, bytes, n);
    return true;
}

static void answer(struct connection *c, const char *line) {
    if (queue(c, line, strlen(line)))
        flush(c);
}

static void finish(struct connection *c) {
    if (c->mode == FREE)
        return;
    c->mode = CLOSING;
    c->deadline = poller_now() + FLUSH_MS;
    flush(c);
}

static void answer_and_close(struct connection *c, const char *line) {
    answer(c, line);
    finish(c);
}

/* -- requests ----------------------------------------------------------------------------- */

COLD static unsigned find_app(const char *name) {
    size_t i = plan_find(pod->plan, name);
    return i < pod->plan->app_count ? (unsigned)i : WIRE_ALL;
}

COLD static void do_status(struct connection *c) {
    /* The request is not needed any more, and its pages go with the connection. */
    char *room = inputs[c - connections];
    struct text t = {room, sizeof inputs[0], 0, false};
    pod_status_text(pod, &t);
    bool fits = queue(c, room, t.len);
    for (unsigned i = 0; fits && i < pod->plan->app_count; i++) {
        if (pod->plan->apps[i] == NULL)
            continue;
        t = (struct text){room, sizeof inputs[0], 0, false};
        text_pair(&t, "app", pod->plan->apps[i]->name);
        pod_app_text(&pod->apps[i], &t);
        fits = queue(c, room, t.len);
    }
    if (fits)
        answer_and_close(c, "\n");
}

COLD static void do_wait(struct connection *c) {
    c->mode = WAIT;
    c->deadline = 0;
}

static void answer_never_ready(struct connection *c) {
    char line[160];
    struct text t = TEXT_ON(line);
    text_str(&t, "error app ");
    text_str(&t, pod->never_ready);
    text_str(&t, " has ended before it was ready\n");
    answer_and_close(c, line);
}

static void do_wait_ready(struct connection *c) {
    if (pod->ready.tv_sec != 0) {
        answer_and_close(c, "ready\n");
        return;
    }
    if (pod->never_ready != NULL) {
        answer_never_ready(c);
        return;
    }
    c->mode = WAIT_READY;
    c->deadline = 0;
}

COLD static void do_attach(struct connection *c, unsigned app) {
    c->mode = ATTACHED;
    c->app = app;
    c->deadline = 0;
    c->frames = (struct frame_reader){0};
    c->have = 0;
    answer(c, streams_have_terminal() ? "ok tty\n" : "ok stream\n");
}

/* Before it is done: its answer may come at once. */
COLD static void do_change(struct connection *c, enum mode mode, const char *name,
                           unsigned grace_ms) {
    char line[128];
    unsigned app = 0;
    struct text t = TEXT_ON(line);
    const char *reason = mode == STARTING   ? supervisor_start_app(name, &app)
                         : mode == STOPPING ? supervisor_stop_app(name, grace_ms, &app)
                                            : supervisor_forget_app(name, &app);
    if (reason != NULL) {
        text_str(&t, "error ");
        text_str(&t, reason);
        text_str(&t, "\n");
        answer_and_close(c, line);
        return;
    }
    c->mode = mode;
    c->app = app;
    c->deadline = 0;
    if (mode == STOPPING)
        answer(c, "ok\n");
}

/* Splits at single spaces; 0 when there are more than `max` words or an empty one. */
COLD static size_t split(char *line, char **words, size_t max) {
    size_t n = 0;
    for (;;) {
        char *space = strchr(line, ' ');
        if (n == max || line[0] == '\0' || line[0] == ' ')
            return 0;
        words[n++] = line;
        if (space == NULL)
            return n;
        *space = '\0';
        line = space + 1;
    }
}

COLD static void obey(struct connection *c, char *line) {
    char *w[4];
    uint64_t number = 0;
    size_t n = split(line, w, 4);
    unsigned app = n > 1 ? find_app(w[n - 1]) : WIRE_ALL;
    if (n == 1 && strcmp(w[0], "status") == 0) {
        do_status(c);
    } else if (n == 1 && strcmp(w[0], "wait") == 0) {
        do_wait(c);
    } else if (n == 1 && strcmp(w[0], "wait-ready") == 0) {
        do_wait_ready(c);
    } else if (n == 2 && strcmp(w[0], "stop") == 0) {
        if (!number_parse(w[1], 86400000, &number)) {
            answer_and_close(c, "error the time is not a number of milliseconds\n");
            return;
        }
        do_wait(c);
        answer(c, "ok\n");
        supervisor_stop((unsigned)number);
    } else if ((n == 2 || n == 3) && strcmp(w[0], "kill") == 0) {
        if (!number_parse(w[1], 64, &number) || number == 0) {
            answer_and_close(c, "error the signal is not a number from 1 to 64\n");
        } else if (n == 3 && app == WIRE_ALL) {
            answer_and_close(c, "error no such app\n");
        } else {
            supervisor_signal(n == 3 ? app : WIRE_ALL, (int)number);
            answer_and_close(c, "ok\n");
        }
    } else if (n == 2 && strcmp(w[0], "app-start") == 0) {
        do_change(c, STARTING, w[1], 0);
    } else if (n == 3 && strcmp(w[0], "app-stop") == 0) {
        if (number_parse(w[1], 86400000, &number))
            do_change(c, STOPPING, w[2], (unsigned)number);
        else
            answer_and_close(c, "error the time is not a number of milliseconds\n");
    } else if (n == 2 && strcmp(w[0], "app-forget") == 0) {
        do_change(c, FORGETTING, w[1], 0);
    } else if (n == 2 && strcmp(w[0], "attach") == 0) {
        if (app == WIRE_ALL)
            answer_and_close(c, "error no such app\n");
        else if (pod->apps[app].state == APP_EXITED)
            answer_and_close(c, "error the app has exited\n");
        else
            do_attach(c, app);
    } else {
        answer_and_close(c, "error unknown request\n");
    }
}

/* -- input -------------------------------------------------------------------------------- */

static void on_frame(void *context, const struct frame *f) {
    struct connection *c = context;
    if (c->app != 0 && pod->plan->app_count > 1)
        return; /* several apps have no stdin */
    if (f->type == FRAME_STDIN && f->total == 0)
        streams_input_end();
    else if (f->type == FRAME_STDIN)
        streams_input(f->bytes, f->length);
    else if (f->type == FRAME_WINDOW && f->total == 4 && f->length == 4)
        streams_window(frame_number(f->bytes), frame_number(f->bytes + 2));
}

static void read_frames(struct connection *c) {
    char chunk[REQUEST_MAX];
    size_t room = streams_input_room();
    if (room == 0)
        return; /* another client of this round filled it */
    ssize_t n = recv(c->fd, chunk, room < sizeof chunk ? room : sizeof chunk, MSG_DONTWAIT);
    if (n > 0) {
        if (!frame_read(&c->frames, chunk, (size_t)n, on_frame, c))
            drop(c);
    } else if (n == 0) {
        c->heard_end = true; /* it may go on to listen */
    } else if (errno != EAGAIN && errno != EINTR) {
        drop(c);
    }
}

COLD static void read_request(struct connection *c) {
    char *in = inputs[c - connections];
    ssize_t n = recv(c->fd, in + c->have, REQUEST_MAX - c->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->have += (size_t)n;
    char *end = memchr(in, '\n', c->have);
    if (end == NULL) {
        if (c->have == REQUEST_MAX)
            answer_and_close(c, "error the request is too long\n");
        return;
    }
    size_t rest = c->have - (size_t)(end - in) - 1;
    *end = '\0';
    if (strlen(in) != (size_t)(end - in)) {
        answer_and_close(c, "error unknown request\n");
        return;
    }
    obey(c, in);
    /* Frames may follow the request at once. */
    if (c->mode == ATTACHED && rest > 0 && !frame_read(&c->frames, end + 1, rest, on_frame, c))
        drop(c);
}

static bool is_waiting(const struct connection *c) {
    return c->mode == WAIT || c->mode == WAIT_READY || c->mode == STARTING || c->mode == STOPPING ||
           c->mode == FORGETTING;
}

static void on_connection(unsigned which, short events) {
    struct connection *c = &connections[which];
    if (c->mode == FREE)
        return;
    if ((events & POLLOUT) != 0)
        flush(c);
    if (c->mode == REQUEST && (events & POLLIN) != 0)
        read_request(c);
    else if (c->mode == ATTACHED && (events & POLLIN) != 0)
        read_frames(c);
    else if (is_waiting(c) && (events & POLLIN) != 0) {
        char nothing[64];
        ssize_t n = recv(c->fd, nothing, sizeof nothing, MSG_DONTWAIT);
        c->heard_end = n == 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            drop(c);
    } else if ((events & (POLLHUP | POLLERR)) != 0 && (events & POLLIN) == 0 && c->mode != FREE)
        drop(c);
}

static void on_listener(unsigned which, short events) {
    (void)which;
    (void)events;
    int fd = accept4(pod->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode == FREE) {
            connections[i] = (struct connection){.mode = REQUEST, .fd = fd};
            connections[i].deadline = poller_now() + REQUEST_MS;
            connections[i].out = (struct ring){outputs[i], OUTPUT_MAX, 0, 0};
            return;
        }
    }
    static const char full[] = "error too many connections\n";
    (void)send(fd, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

void control_watch(void) {
    long long now = poller_now();
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &connections[i];
        if (c->mode != FREE && c->deadline != 0 && now >= c->deadline)
            drop(c);
        if (c->mode == FREE)
            continue;
        short events = 0;
        if (!c->heard_end && c->mode != CLOSING &&
            (c->mode != ATTACHED || streams_input_room() > 0))
            events |= POLLIN;
        if (c->out.len > 0)
            events |= POLLOUT;
        poller_until(c->deadline);
        poller_watch(c->fd, events, on_connection, i);
    }
    poller_watch(pod->listener, POLLIN, on_listener, 0);
}

/* -- output ------------------------------------------------------------------------------- */

static void queue_frame(struct connection *c, enum frame_type type, const char *bytes, size_t n) {
    char head[FRAME_HEAD];
    frame_head(head, type, n);
    if (queue(c, head, sizeof head) && queue(c, bytes, n))
        flush(c);
}

void control_output(unsigned app, unsigned stream, const char *bytes, size_t n) {
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &connections[i];
        if (c->mode == ATTACHED && c->app == app)
            queue_frame(c, stream == 1 ? FRAME_STDERR : FRAME_STDOUT, bytes, n);
    }
}

void control_app_exited(unsigned app, int exit) {
    char status = (char)exit;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &connections[i];
        if (c->mode == ATTACHED && c->app == app) {
            queue_frame(c, FRAME_EXIT, &status, 1);
            finish(c);
        }
    }
}

COLD static void answer_waiting(unsigned app, enum mode mode, const char *line) {
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode == mode && connections[i].app == app)
            answer_and_close(&connections[i], line);
    }
}

COLD static void answer_failed(unsigned app, enum mode mode, const char *error) {
    char line[320];
    struct text t = {line, sizeof line - 1, 0, false};
    text_str(&t, "error ");
    text_plain(&t, error);
    line[t.len] = '\n';
    line[t.len + 1] = '\0';
    answer_waiting(app, mode, line);
}

COLD void control_app_started(unsigned app) {
    answer_waiting(app, STARTING, "ok\n");
}

COLD void control_app_idle(unsigned app, int exit) {
    char line[16];
    struct text t = TEXT_ON(line);
    text_pair_num(&t, "exit", (uint64_t)exit);
    answer_waiting(app, STOPPING, line);
}

COLD void control_app_over(unsigned app, const char *error) {
    answer_failed(app, STARTING, error[0] != '\0' ? error : "the app was stopped");
}

COLD void control_app_forgotten(unsigned app, const char *error) {
    answer_waiting(app, FORGETTING, "ok\n");
    answer_failed(app, STARTING, error[0] != '\0' ? error : "the app was stopped");
}

COLD void control_pod_exited(int exit) {
    char line[16];
    struct text t = TEXT_ON(line);
    text_pair_num(&t, "exit", (uint64_t)exit);
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode == WAIT || connections[i].mode == WAIT_READY)
            answer_and_close(&connections[i], line);
        else if (is_waiting(&connections[i]))
            answer_and_close(&connections[i], "error the pod has ended\n");
    }
}

void control_pod_never_ready(void) {
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode == WAIT_READY)
            answer_never_ready(&connections[i]);
    }
}

void control_pod_ready(void) {
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode == WAIT_READY)
            answer_and_close(&connections[i], "ready\n");
    }
}

bool control_idle(void) {
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode == CLOSING)
            return false;
    }
    return true;
}

COLD void control_close_all(void) {
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].mode != FREE)
            drop(&connections[i]);
    }
}
