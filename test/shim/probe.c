/*
 * probe - what the shell tests of the shim cannot do themselves
 *
 *     probe ctl DIR REQUEST            one request on DIR/control; prints all that is answered
 *     probe hang DIR REQUEST SECONDS   sends it and never reads
 *     probe raw DIR HEX SECONDS        sends bytes as they are, prints what comes until the end
 *     probe pty INPUT PROGRAM ARG...   on a new terminal of 33 rows and 77 columns: writes INPUT
 *                                      (\n, \003 ... as in printf) half a second after the start,
 *                                      prints what appears, `[rows x columns raw|cooked]` at the
 *                                      end, exits with the program's status
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int dial(const char *dir) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (chdir(dir) < 0) {
        perror(dir);
        exit(2);
    }
    strcpy(a.sun_path, "control");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        perror("connect");
        exit(2);
    }
    return fd;
}

static int drain(int fd) {
    char room[4096];
    ssize_t n;
    while ((n = read(fd, room, sizeof room)) > 0)
        fwrite(room, 1, (size_t)n, stdout);
    return 0;
}

static int ctl(const char *dir, const char *request) {
    int fd = dial(dir);
    dprintf(fd, "%s\n", request);
    return drain(fd);
}

static int hang(const char *dir, const char *request, unsigned seconds) {
    int fd = dial(dir);
    dprintf(fd, "%s\n", request);
    sleep(seconds);
    return 0;
}

static int raw(const char *dir, const char *hex, unsigned seconds) {
    int fd = dial(dir);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char room[4096];
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        char two[3] = {hex[0], hex[1], 0};
        unsigned char c = (unsigned char)strtoul(two, NULL, 16);
        if (send(fd, &c, 1, MSG_NOSIGNAL) < 0)
            break;
    }
    time_t end = time(NULL) + (time_t)seconds;
    while (time(NULL) < end && poll(&p, 1, 200) >= 0) {
        if (p.revents == 0)
            continue;
        ssize_t n = read(fd, room, sizeof room);
        if (n <= 0)
            return 0;
        fwrite(room, 1, (size_t)n, stdout);
    }
    return 1;
}

static size_t unescape(const char *from, char *to) {
    size_t n = 0;
    while (*from != '\0') {
        if (from[0] == '\\' && from[1] == 'n') {
            to[n++] = '\n';
            from += 2;
        } else if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3') {
            to[n++] = (char)strtoul((char[]){from[1], from[2], from[3], 0}, NULL, 8);
            from += 4;
        } else {
            to[n++] = *from++;
        }
    }
    return n;
}

static int on_pty(const char *input, char **argv) {
    char text[4096];
    size_t n = unescape(input, text);
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {.ws_row = 33, .ws_col = 77};
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return 2;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ioctl(slave, TIOCSWINSZ, &size);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        dup2(slave, 0);
        dup2(slave, 1);
        dup2(slave, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    int waited = 0;
    int status = -1;
again:
    for (int rounds = 0; rounds < 600; rounds++) {
        struct pollfd p = {.fd = master, .events = POLLIN};
        char room[4096];
        if (poll(&p, 1, 50) > 0) {
            ssize_t got = read(master, room, sizeof room);
            if (got > 0) {
                fwrite(room, 1, (size_t)got, stdout);
                rounds = rounds > 0 ? rounds - 1 : 0;
                if (waited < 2)
                    continue;
            }
        }
        waited++;
        if (waited == 10 && write(master, text, n) < 0)
            perror("write");
        if (status < 0) {
            int s;
            if (waitpid(pid, &s, WNOHANG) == pid) {
                status = s;
                goto again; /* what is still in the terminal */
            }
        } else if (p.revents == 0) {
            break;
        }
    }
    if (status < 0) {
        kill(pid, 9);
        waitpid(pid, &status, 0);
        printf("[stuck]");
    }
    struct termios t;
    tcgetattr(slave, &t);
    ioctl(slave, TIOCGWINSZ, &size);
    printf("[%d x %d %s]\n", size.ws_row, size.ws_col,
           (t.c_lflag & ICANON) != 0 ? "cooked" : "raw");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 4 && strcmp(argv[1], "ctl") == 0)
        return ctl(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "hang") == 0)
        return hang(argv[2], argv[3], (unsigned)atoi(argv[4]));
    if (argc == 5 && strcmp(argv[1], "raw") == 0)
        return raw(argv[2], argv[3], (unsigned)atoi(argv[4]));
    if (argc > 3 && strcmp(argv[1], "pty") == 0)
        return on_pty(argv[2], argv + 3);
    fputs("usage: see the head of probe.c\n", stderr);
    return 2;
}
