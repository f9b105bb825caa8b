/*
 * readiness - whether the pod is ready, and who is told
 *
 * An app that notifies (plan: `notify`) is ready when it says READY=1, every other when it has been
 * started; the pod is ready when all its apps have been, and stays so. Told are `status/`, the
 * clients of the control socket that wait, and the service manager that started us, if it gave a
 * socket of sd_notify(3). Runs in the supervisor.
 */
#ifndef JETPACK_READINESS_H
#define JETPACK_READINESS_H

#include <stdbool.h>

#include "../pod.h"

/* `notices`: SOCK_SEQPACKET from init, or -1 when no app notifies; it is owned from here on. */
void readiness_init(struct pod *pod, int notices, bool json);
/* Once per round of the event loop. */
void readiness_watch(void);
/* Something has changed that may make the pod ready. */
void readiness_look(void);
/* Before its status is written, which tells both. */
void readiness_app_started(unsigned app);
/* The app has ended well, and is not started again: without it the pod may never become ready. */
void readiness_app_over(unsigned app);
/* The pod is being stopped, or has ended: from here on it cannot become ready. */
void readiness_stopping(void);
/* Init has ended: what it told last. */
void readiness_end(void);

#endif
