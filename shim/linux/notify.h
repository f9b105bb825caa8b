/*
 * notify - the socket of sd_notify(3) that an app finds in its /dev, and its listener in init
 *
 * The pod's init binds one socket for every app whose plan says `notify`, in the tmpfs that is the
 * app's /dev: it is there whatever the image has, and no other app and no other pod can reach it.
 * Init itself listens, since the kernel then tells of every sender whether it is a process of the
 * pod: one that is not has no number in init's namespace. What an app says goes on to the
 * supervisor as fixed-size records. No malloc, no stdio.
 */
#ifndef JETPACK_NOTIFY_H
#define JETPACK_NOTIFY_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "../plan.h"

/* As the app sees it. */
#define NOTIFY_PATH "/dev/notify"
#define NOTIFY_TEXT 240

/* From init to the supervisor. */
struct notify_wire {
    uint16_t app;
    uint8_t ready;
    uint8_t stopping;
    uint8_t has_text;
    uint8_t length;
    char text[NOTIFY_TEXT];
};

/* -- in init ------------------------------------------------------------------------------- */

/* `notices`: SOCK_SEQPACKET to the supervisor, or -1 when no app notifies. */
void notify_init(const struct plan *plan, int notices);
/* In the app's root, before anything of it runs. 0 or -errno; nothing to do is 0. */
int notify_bind(unsigned app);
/* The same for an app that joins, in the process that builds its context: the socket, or -errno. */
int notify_open(void);
/* Listens to that socket for the app; -1: no more. */
void notify_take(unsigned app, int fd);
/* Adds to a poll set: at most as many as the plan has apps. */
nfds_t notify_watch(struct pollfd *set);
void notify_hear(const struct pollfd *set, nfds_t n);
/* What the app has said until now: before its end is told, which must not come first. */
void notify_hear_app(unsigned app);
/* What any has said: before init ends. */
void notify_hear_all(void);

#endif
