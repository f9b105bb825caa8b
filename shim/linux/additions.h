/*
 * additions - apps that join a running pod, seen from its init
 *
 * Init has left the host's mounts long ago. What an app needs of them comes as descriptors, one
 * WIRE_GIVE each; then WIRE_ADD starts a child that joins the host's mount namespace, builds the
 * context there as init did at the start, sends the namespace, and is gone. Init itself never goes
 * back, and the descriptor of the host's namespace is closed before anything of an app runs.
 */
#ifndef JETPACK_ADDITIONS_H
#define JETPACK_ADDITIONS_H

#include "../wire.h"
#include "init.h"

/* Before the first app runs. Changes `init` and its plan from here on. */
void additions_init(struct init *init);
/* Takes the descriptor. */
void additions_give(const struct wire *w, int fd);
/* Reads the app's plan and starts the child that builds its context. */
void additions_build(const struct wire *w);
/* The child's word: a note, a problem, or the finished context. */
void additions_hear(unsigned index);
/* Gives back what the app had, and kills what is left of it. */
void additions_forget(unsigned index);

#endif
