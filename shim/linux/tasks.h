/*
 * tasks - the apps of a pod as its init runs them: handlers, main processes, their ends
 *
 * One process of an app at a time: pre-start handler, main process, post-stop handler. Every step
 * is told to the supervisor (wire.h). Without a supervisor init ends, and the pod with it.
 */
#ifndef JETPACK_TASKS_H
#define JETPACK_TASKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "../wire.h"
#include "context.h"
#include "init.h"

/* BUILD: a child makes the context of an app that joins. WAIT: between an end and the next start.
 */
enum phase { IDLE, BUILD, PRE, READY, MAIN, POST, WAIT, DONE };

struct task {
    enum phase phase;
    pid_t pid;
    int report; /* the end of the CLOEXEC pipe that tells whether the program runs; -1: told */
    bool failed_to_run;
    bool seen;      /* a process of it has been started before */
    bool ran;       /* its main process has been started */
    bool again;     /* it will be started again */
    bool signalled; /* it got its stop signal */
    bool halted;    /* somebody stopped this app alone */
    unsigned tries; /* starts after failures in a row */
    long long at;   /* of the last start; in WAIT: of the next one (poller_now) */
    struct context context;
};

extern struct task *tasks; /* as many as the plan has apps */

void tasks_init(const struct init *init);
/* Pre-start handler, or ready for the start. */
void task_begin(unsigned index);
/* What can be done now: all apps start together, when the last pre-start handler has ended; pauses
 * end; in a stop the next one gets its signal. */
void tasks_advance(void);
/* When tasks_advance() has something to do again (poller_now); 0: when something happens. */
long long tasks_deadline(void);
/* Reads what the process said before it became its program, or that it has become it. */
void task_hear(unsigned index);
/* Whatever has ended, of ours or left to us. */
void tasks_reap(void);
/* A request of the supervisor, and the descriptor that came along, or -1. */
void tasks_obey(const struct wire *w, int fd);
/* No app has anything left to do. */
bool tasks_done(void);

void task_tell(const struct wire *w);
/* Unless `fine`: tells the problem and ends init. */
void task_check(bool fine, unsigned app, struct wire *problem);

#endif
