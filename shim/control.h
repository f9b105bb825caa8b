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
/* What a request about one app waits for. An app that is over will not start; one that is forgotten
 * neither. */
void control_app_started(unsigned app);
void control_app_over(unsigned app, const char *error);
/* Its post-stop handler has ended, too. */
void control_app_idle(unsigned app, int exit);
void control_app_forgotten(unsigned app, const char *error);
/* The final files are written: `exit=N` to all who wait. */
void control_pod_exited(int exit);
/* The pod is ready: those who waited for it are told. */
void control_pod_ready(void);
/* It cannot become ready any more, since `never_ready` ended: they are told as well. */
void control_pod_never_ready(void);
/* Every answer is on its way, or its client gave up. */
bool control_idle(void);
void control_close_all(void);

/* What the supervisor does for a client; implemented by the platform. */
void supervisor_stop(unsigned grace_ms);
/* WIRE_ALL: every app. */
void supervisor_signal(unsigned app, int sig);
/* Of a changeable pod. NULL: it has begun, and its end is told by the functions above; or why it
 * cannot be done. `app` becomes the app's number. */
const char *supervisor_start_app(const char *name, unsigned *app);
const char *supervisor_stop_app(const char *name, unsigned grace_ms, unsigned *app);
const char *supervisor_forget_app(const char *name, unsigned *app);

#endif
