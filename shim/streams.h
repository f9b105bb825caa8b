/*
 * streams - what the apps write and read, between pipes (or a pty), log, terminal and clients
 *
 * One thread, no blocking call: the supervisor's own stdout and stderr are written through
 * descriptors of their own that do not block. While one of them is slow, the apps are read from no
 * faster, so nothing is lost; when one is closed, the apps go on and are only logged.
 */
#ifndef JETPACK_STREAMS_H
#define JETPACK_STREAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "pod.h"

struct streams_setup {
    bool foreground; /* copy to our own stdout and stderr */
    bool read_stdin; /* relay our own stdin to the only app */
    bool json;       /* how warnings look */
};

void streams_init(struct pod *pod, const struct streams_setup *setup);
/* Hands over an app's descriptors (or -1): our ends of its pipes. They must not block. */
void streams_attach(unsigned app, int in, int out, int err);
/* The end of that: what has been read is written, what was not is lost. */
void streams_detach(unsigned app);
/* The master of the only app's pty. */
void streams_attach_terminal(int master);
bool streams_have_terminal(void);
void streams_window(unsigned short rows, unsigned short columns);

/* Input for the app, from a client: as many bytes as there is room for. */
size_t streams_input_room(void);
void streams_input(const char *bytes, size_t n);
void streams_input_end(void);

/* Once per round of the event loop. */
void streams_watch(void);
/* Reads what an app (or every app, WIRE_ALL) has written so far, as far as the sinks take it. */
void streams_drain(unsigned app);
/* Nothing left to read, nothing left to write. */
bool streams_idle(void);
/* Everything read is written; what the apps left in the pipes may wait. */
void streams_close_inputs(void);

#endif
