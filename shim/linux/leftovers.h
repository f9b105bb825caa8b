/*
 * leftovers - processes that an app has left behind
 */
#ifndef JETPACK_LEFTOVERS_H
#define JETPACK_LEFTOVERS_H

/*
 * Kills every process of our pid namespace that is in this mount namespace. For init, which is in
 * none of them. A process that makes others as fast as it is killed may outlive it: it is bounded.
 */
void leftovers_kill(int mount_namespace);

#endif
