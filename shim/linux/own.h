/*
 * own - what the supervisor's files know together of the one pod that it runs
 *
 * start.c fills it before the pod runs; supervisor.c changes it while it runs.
 */
#ifndef JETPACK_OWN_H
#define JETPACK_OWN_H

#include <stdbool.h>
#include <linux/filter.h>

#include "../plan.h"
#include "../pod.h"
#include "../report.h"
#include "../supervisor.h"
#include "../wire.h"
#include "cgroup.h"
#include "init.h"

struct own {
    struct plan plan;
    struct pod pod;
    struct init init;
    struct cgroups cgroups;
    struct sock_fprog *filters; /* of each app */
    struct run_options options;
    int channel; /* SOCK_SEQPACKET to init; -1 before its start and after its end */
    int signals; /* signalfd, or -1 */
};

extern struct own own;

/* -- start.c ------------------------------------------------------------------------------- */

/* Makes the pod ours (pod_claim). Errors: false, and the problem is filled. */
bool start_claim(struct problem *problem);
void start_note_missing_caps(void);
bool start_catch_signals(void);
/* Logs, cgroup, pipes, signals, init, status files. On failure own.pod.init tells whether init
 * was started. */
bool start_set_up(struct problem *problem);

/* -- supervisor.c -------------------------------------------------------------------------- */

/* After SIGKILL, the next one: for a handler that came after it. */
#define KILL_AGAIN_MS 1000

void tell_init(enum wire_kind kind, unsigned app, int value);
bool supervisor_stopping(void);

/* -- changes.c ----------------------------------------------------------------------------- */

/* Before the first fork. */
void changes_init(void);
/* Once per round of the event loop: the ends of single apps' grace. */
void changes_watch(void);
/* Init has let go of the app. */
void changes_forgotten(unsigned app);

#endif
