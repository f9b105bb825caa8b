/*
 * control - the pod's control socket, seen from the supervisor
 *
 * A bounded number of connections with bounded buffers; no client can hold up the pod. A client
 * that does not take its output in time loses its connection, not the app's output: that is in
 * the log. A request must be complete within ten seconds.
 */
#ifndef JETPACK_CONTROL_H
#define JETPACK_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "pod.h"

void control_init(struct pod *pod);
/* Once per round of the event loop. */
void control_watch(void);
/* For the clients attached to the app; stream 0 is stdout, 1 stderr. */
void control_output(unsigned app, unsigned stream, const char *bytes, size_t n);
/* The app's main process ended: its clients get the exit frame and the end. */
void control_app_exited(unsigned app, int exit);
/* The final files are written: `exit=N` to all who wait. */
void control_pod_exited(int exit);
/* The pod is ready: those who waited for it are told. */
void control_pod_ready(void);
/* Every answer is on its way, or its client gave up. */
bool control_idle(void);
void control_close_all(void);

/* What the supervisor does for a client; implemented by the platform. */
void supervisor_stop(unsigned grace_ms);
/* WIRE_ALL: every app. */
void supervisor_signal(unsigned app, int sig);

#endif
