/*
 * terminal - our own terminal in raw mode, and back
 *
 * One terminal per process. Restored by terminal_restore() only: every way out of a program that
 * made it raw must call it.
 */
#ifndef JETPACK_TERMINAL_H
#define JETPACK_TERMINAL_H

#include <stdbool.h>

/* False when fd is no terminal. */
bool terminal_raw(int fd);
void terminal_restore(void);
bool terminal_window(int fd, unsigned short *rows, unsigned short *columns);

#endif
