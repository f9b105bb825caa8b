/*
 * drop - from root to an account that can do next to nothing, for the two services of metadata
 */
#ifndef JETPACK_DROP_H
#define JETPACK_DROP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * For good, also over an execve(2): no supplementary group, the ids, every capability set empty,
 * the bounding set too, securebits locked so that no id gives any back, no_new_privs. 0 or -errno;
 * after a failure the process is between two identities and must end.
 */
int drop_privileges(uid_t uid, gid_t gid);

/* What Landlock still allows of TCP. */
enum drop_tcp { DROP_TCP_CONNECT, DROP_TCP_BIND };

/*
 * After no_new_privs. As far as this kernel has Landlock: nothing may be written or made in any
 * file system, and of TCP only one thing may be done, with one port. `reading` false: nothing may
 * be read or executed either. Returns whether TCP is restricted; what the kernel lacks is no error.
 */
bool drop_landlock(bool reading, enum drop_tcp tcp, uint16_t port);

#endif
