/*
 * wire - what the pod's init and the supervisor tell each other
 *
 * Fixed-size messages over a SOCK_SEQPACKET pair; a child of init that cannot become its program
 * sends the same structure over a CLOEXEC pipe. Inside the pod only numbers are made; the text of
 * an error is made by the supervisor, from the step and the plan (steps.c).
 */
#ifndef JETPACK_WIRE_H
#define JETPACK_WIRE_H

#include <stdint.h>

#define WIRE_ALL 0xffffu /* every app */

enum wire_kind {
    /* init to supervisor */
    WIRE_TTY = 1,   /* carries the pty's master */
    WIRE_STARTED,   /* app; carries the pid as the receiver sees it */
    WIRE_EXITED,    /* app, value: wait status of its main process, or -1: it was never started;
                       index 1: it is started again, unless the pod stops meanwhile */
    WIRE_DONE,      /* app: its post-stop handler, if any, has ended too, and nothing follows */
    WIRE_PROBLEM,   /* app, step, index, value: errno or wait status */
    WIRE_NOTE,      /* app, step, index: nothing failed, and somebody should know */
    WIRE_METADATA,  /* carries the listener of a relay; value: errno when there is none */
    WIRE_READY,     /* of a changeable pod: all contexts are built */
    WIRE_FORGOTTEN, /* app: nothing of it is left in init */
    /* supervisor to init */
    WIRE_SIGNAL, /* app, value: signal for the main process (KILL: for whatever runs) */
    WIRE_SETTLE, /* start nothing again */
    WIRE_STOP,   /* value: grace in ms; start nothing more; to every app its stop signal, in turn */
    /* the same, in a changeable pod */
    WIRE_GIVE,     /* index: enum wire_gift; carries a descriptor for the app that is added next */
    WIRE_ADD,      /* app, value: its place in the plan that was given; build it and start it */
    WIRE_START,    /* app: one that is done */
    WIRE_STOP_APP, /* app: its stop signal, and no other start */
    WIRE_FORGET,   /* app: one that is done */
};

enum wire_gift { GIFT_PLAN, GIFT_FILTER, GIFT_HOST, GIFT_CGROUP, GIFT_OUT, GIFT_ERR, GIFT_COUNT };

enum wire_step {
    STEP_NONE,
    STEP_ORPHAN,    /* the supervisor is gone */
    STEP_NAMESPACE, /* unshare, setns, private mounts */
    STEP_HOSTNAME,
    STEP_LOOPBACK,
    STEP_SYSCTL,     /* index: n-th record of the pod */
    STEP_KEYS,       /* a session keyring of its own */
    STEP_NETNS,      /* the pod's network namespace cannot be joined */
    STEP_ROOTFS,     /* the app's root cannot be mounted */
    STEP_BASE,       /* index: enum wire_base */
    STEP_MOUNT_FROM, /* index: n-th mount record */
    STEP_MOUNT_ONTO,
    STEP_MOUNT_ACROSS, /* a link of the image leads to another mount */
    STEP_MOUNT_COPY,
    STEP_MOUNT_HIDES,    /* a note: the image has something below the target */
    STEP_MOUNT_REPLACES, /* a note: the image has a file where the volume's folder goes */
    STEP_MASK,           /* index: n-th record */
    STEP_READONLY,
    STEP_NOTIFY, /* the socket of sd_notify(3) in the app's /dev */
    STEP_PIVOT,
    STEP_CGROUP,
    STEP_TTY,
    STEP_FORK,
    STEP_SESSION,
    STEP_LIMITS,
    STEP_OOM_SCORE,
    STEP_LABEL,
    STEP_USER,
    STEP_GROUP,
    STEP_PASSWD, /* the file itself is unusable */
    STEP_CAPS,
    STEP_IDS,
    STEP_CWD,
    STEP_SECCOMP,
    STEP_EXEC,      /* value: errno; index: 1 = the file exists */
    STEP_PRE_START, /* value: wait status; index 1: it is tried again */
    STEP_PRE_EXEC,  /* as STEP_EXEC, of the handlers */
    STEP_POST_STOP,
    STEP_POST_EXEC,
    STEP_COUNT
};

enum wire_base {
    BASE_PROC,
    BASE_SYS,
    BASE_DEV,
    BASE_PTS,
    BASE_SHM,
    BASE_MQUEUE,
    BASE_CONSOLE,
    BASE_COUNT
};

struct wire {
    uint8_t kind;
    uint8_t step;
    uint16_t app;
    uint16_t index;
    uint16_t pad;
    int32_t value;
};

#endif
