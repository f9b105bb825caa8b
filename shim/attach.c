/*
 * attach - a client of a running app's stdin, stdout and stderr (client.h)
 *
 * No privileges but access to the control socket. One poll loop: our terminal or pipes on one side,
 * frames on the other. With --tty our terminal is raw; three times Ctrl-] in a row leave it.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fd.h"
#include "frame.h"
#include "poller.h"
#include "report.h"
#include "ring.h"
#include "terminal.h"
#include "text.h"

#define PIECE 2048
#define LEAVE 0x1d

static char rooms[3][4 * PIECE];
/* 0: to the socket; 1, 2: to our stdout and stderr. */
static struct ring rings[3];
static int sinks[3] = {-1, STDOUT_FILENO, STDERR_FILENO};
static bool stdin_open = true;
static bool raw;
static bool leaving;
static unsigned leave_bytes;
static int status = -1;
static struct frame_reader frames;
static volatile sig_atomic_t resized;
static volatile sig_atomic_t ended_by;

static void on_winch(int sig) {
    (void)sig;
    resized = 1;
}

static void on_end(int sig) {
    ended_by = sig;
}

static void on_frame(void *context, const struct frame *f) {
    (void)context;
    if (f->type == FRAME_STDOUT || f->type == FRAME_STDERR) {
        struct ring *r = &rings[f->type == FRAME_STDERR ? 2 : 1];
        if (sinks[f->type == FRAME_STDERR ? 2 : 1] >= 0)
            ring_put(r, f->bytes, f->length);
    } else if (f->type == FRAME_EXIT && f->length == 1) {
        status = (unsigned char)f->bytes[0];
    }
}

static void put_frame(enum frame_type type, const char *bytes, size_t n) {
    char head[FRAME_HEAD];
    frame_head(head, type, n);
    ring_put(&rings[0], head, sizeof head);
    ring_put(&rings[0], bytes, n);
}

static void on_socket(unsigned which, short events) {
    char chunk[PIECE];
    (void)which;
    (void)events;
    ssize_t n = recv(sinks[0], chunk, sizeof chunk, MSG_DONTWAIT);
    if (n > 0 && frame_read(&frames, chunk, (size_t)n, on_frame, NULL))
        return;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    fd_close(&sinks[0]);
}

static void on_stdin(unsigned which, short events) {
    char chunk[PIECE];
    (void)which;
    (void)events;
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        stdin_open = false;
        put_frame(FRAME_STDIN, "", 0);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        leave_bytes = chunk[i] == LEAVE ? leave_bytes + 1 : 0;
        leaving = leaving || (raw && leave_bytes == 3);
    }
    put_frame(FRAME_STDIN, chunk, (size_t)n);
}

static void on_writable(unsigned which, short events) {
    const char *bytes;
    (void)events;
    struct ring *r = &rings[which];
    size_t n = ring_peek(r, &bytes);
    if (sinks[which] < 0 || n == 0)
        return;
    ssize_t done = which == 0 ? send(sinks[0], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                              : write(sinks[which], bytes, n < PIECE ? n : PIECE);
    if (done > 0)
        ring_drop(r, (size_t)done);
    else if (done < 0 && errno != EAGAIN && errno != EINTR) {
        if (which == 0)
            fd_close(&sinks[0]);
        sinks[which] = -1;
        r->len = r->head = 0;
    }
}

static void send_window(void) {
    unsigned short rows;
    unsigned short columns;
    if (!terminal_window(STDIN_FILENO, &rows, &columns) || ring_room(&rings[0]) < 8)
        return;
    const char size[4] = {(char)(rows >> 8), (char)rows, (char)(columns >> 8), (char)columns};
    put_frame(FRAME_WINDOW, size, sizeof size);
}

static void carry(bool tty) {
    poller_init(8);
    while (!leaving && ended_by == 0 && (sinks[0] >= 0 || rings[1].len > 0 || rings[2].len > 0)) {
        bool room = ring_room(&rings[1]) >= PIECE && ring_room(&rings[2]) >= PIECE;
        if (resized != 0 && tty) {
            resized = 0;
            send_window();
        }
        if (room)
            poller_watch(sinks[0], POLLIN, on_socket, 0);
        if (stdin_open && sinks[0] >= 0 && ring_room(&rings[0]) >= PIECE + FRAME_HEAD)
            poller_watch(STDIN_FILENO, POLLIN, on_stdin, 0);
        for (unsigned i = 0; i < 3; i++) {
            if (rings[i].len > 0)
                poller_watch(sinks[i], POLLOUT, on_writable, i);
        }
        poller_round();
    }
}

/* The first line of the answer; frames may follow at once, so byte by byte. */
static int read_answer(int fd, char *line, size_t size) {
    for (size_t n = 0; n + 1 < size; n++) {
        ssize_t r = recv(fd, line + n, 1, 0);
        if (r <= 0)
            return r < 0 ? -errno : -ECONNRESET;
        if (line[n] == '\n') {
            line[n] = '\0';
            return 0;
        }
    }
    return -EPROTO;
}

static int refuse(const char *code, const char *what, const char *thing, int error, bool json) {
    static struct problem problem;
    problem_set(&problem, EXIT_SHIM, code, what, thing, error < 0 ? -error : error,
                "look at the pod with `jetpack status`");
    report(&problem, json);
    return problem.exit;
}

int attach_run(const char *dir, const char *app, const struct attach_options *options) {
    char line[256];
    struct text t = TEXT_ON(line);
    const struct timeval forever = {0, 0};
    struct sigaction resize = {.sa_handler = on_winch};
    struct sigaction end = {.sa_handler = on_end};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int fd = client_connect(dir);
    if (fd < 0)
        return refuse("NOT_RUNNING", "the pod does not run:", dir, fd, options->json);
    text_str(&t, "attach ");
    text_str(&t, app);
    text_str(&t, "\n");
    int r = t.cut ? -EINVAL : client_send(fd, line);
    if (r == 0)
        r = read_answer(fd, line, sizeof line);
    if (r < 0 || strncmp(line, "ok ", 3) != 0) {
        close(fd);
        return refuse("ATTACH_REFUSED", "cannot attach to app", app, r, options->json);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    sinks[0] = fd;
    for (unsigned i = 0; i < 3; i++)
        rings[i] = (struct ring){rooms[i], sizeof rooms[i], 0, 0};
    (void)sigaction(SIGWINCH, &resize, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGHUP, &end, NULL);
    (void)sigaction(SIGINT, &end, NULL);
    bool tty = options->tty && strcmp(line, "ok tty") == 0;
    if (tty) {
        raw = terminal_raw(STDIN_FILENO);
        send_window();
    }
    carry(tty);
    terminal_restore();
    fd_close(&sinks[0]);
    if (ended_by != 0)
        return 128 + (int)ended_by;
    if (leaving)
        return 0;
    return status >= 0
               ? status
               : refuse("DETACHED", "the pod closed the connection to app", app, 0, options->json);
}
