/*
 * mds - `jetpack-shim mds`: starts the metadata service without what it must not have
 */
#ifndef JETPACK_MDS_H
#define JETPACK_MDS_H

#include <stdint.h>
#include <sys/types.h>

#define MDS_SOCKETS_MAX 64u
#define MDS_PATHS_MAX 16u

struct mds_options {
    uid_t uid;
    gid_t gid;
    uint16_t port;
    const char *addresses[MDS_SOCKETS_MAX]; /* numeric; bound at `port` */
    unsigned address_count;
    const char *programs[MDS_PATHS_MAX]; /* folders and files that it may execute from */
    unsigned program_count;
    const char *data[MDS_PATHS_MAX]; /* and those that it may only read */
    unsigned data_count;
    char **argv; /* the service; the program is a path */
};

/*
 * Binds (beside the sockets that it was given, given.h), leaves everything behind that is not in
 * the options, becomes the user, and executes the service with its sockets as sd_listen_fds(3) has
 * them. Returns only on failure, having told it.
 */
int mds_start(const struct mds_options *options);

#endif
