/*
 * terminal - see terminal.h.
 */
#define _GNU_SOURCE
#include "terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static int changed = -1;

bool terminal_raw(int fd) {
    if (tcgetattr(fd, &before) < 0)
        return false;
    struct termios raw = before;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag &= ~(tcflag_t)OPOST;
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(fd, TCSANOW, &raw) < 0)
        return false;
    changed = fd;
    return true;
}

void terminal_restore(void) {
    /* In the background, changing the terminal would stop us: not now, when we are about to end. */
    sigset_t output;
    sigset_t old;
    if (changed < 0)
        return;
    sigemptyset(&output);
    sigaddset(&output, SIGTTOU);
    (void)sigprocmask(SIG_BLOCK, &output, &old);
    (void)tcsetattr(changed, TCSANOW, &before);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    changed = -1;
}

bool terminal_window(int fd, unsigned short *rows, unsigned short *columns) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0)
        return false;
    *rows = size.ws_row;
    *columns = size.ws_col;
    return true;
}
