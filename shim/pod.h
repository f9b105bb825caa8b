/*
 * pod - a running pod as its supervisor knows it, and its folder
 *
 * Needs write access to the pod's folder. All operations go through descriptors of that folder, so
 * neither a long path nor a replaced parent matters. 0 or -errno.
 */
#ifndef JETPACK_POD_H
#define JETPACK_POD_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "logs.h"
#include "plan.h"
#include "text.h"

/* APP_WAITING: it has ended, and is started again after a pause. */
enum app_state { APP_CREATED, APP_RUNNING, APP_WAITING, APP_EXITED };

struct app_run {
    const struct plan_app *app;
    enum app_state state;
    pid_t pid;
    struct timespec started, finished;
    struct timespec ready; /* zero: not yet */
    int exit;
    int signal;
    unsigned starts;
    bool oom;           /* its last end was an out-of-memory kill */
    uint64_t oom_kills; /* of any process of the app, since the pod runs */
    bool idle;          /* nothing of it runs or will: of a changeable pod, it may be started */
    long long kill_at;  /* of a stop of it alone; 0: no deadline */
    char error[256];
    struct log log;
};

struct pod {
    const struct plan *plan;
    int dir;
    int status_dir;
    int log_dir;
    int listener;
    pid_t supervisor, init;
    char boot[40];
    struct timespec started, finished;
    struct timespec ready;   /* zero: not yet */
    const char *never_ready; /* the app that ended before it was ready, or NULL */
    int exit;                /* -1 while it runs */
    struct app_run *apps;    /* as many as the plan has */
};

/* Names of the markers, in the order of a pod's life. */
#define MARKER_PREPARED "prepared"
#define MARKER_RUNNING "running"
#define MARKER_EXITED "exited"
#define MARKER_DELETING "deleting"

/*
 * Opens the folder and makes the pod ours: the lock of the folder, `control`, the marker. -EBUSY:
 * it runs already; -ESTALE: it is neither prepared nor exited; another -errno. On failure nothing
 * has changed.
 */
int pod_claim(struct pod *pod);
/* After a failure that comes before anything ran: the marker as it was, no control. */
void pod_unclaim(struct pod *pod);
int pod_open_logs(struct pod *pod);
int pod_write_status(const struct pod *pod);
int pod_write_app(const struct pod *pod, unsigned app);
/* The lines of the two files, also for the control socket. */
void pod_status_text(const struct pod *pod, struct text *t);
void pod_app_text(const struct app_run *run, struct text *t);
/* Of an app that joins a running pod: `apps[app]` all new, with its log. */
int pod_add_app(struct pod *pod, unsigned app);
void pod_drop_app(struct pod *pod, unsigned app);
/* `running` becomes `exited`, with the time of the exit. */
int pod_mark_exited(const struct pod *pod);
int pod_mark_deleting(const struct pod *pod);
void pod_close_control(struct pod *pod);

#endif
