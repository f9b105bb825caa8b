/*
 * metadata-relay - `jetpack-shim metadata-relay`, which only the supervisor starts
 */
#ifndef JETPACK_METADATA_RELAY_H
#define JETPACK_METADATA_RELAY_H

/*
 * PORT UID GID PARENT. Descriptor 0 listens in a pod's network; what comes is carried to
 * 127.0.0.1:PORT of the network that this process is in. Exit status 0 when nobody has called for
 * some seconds, or PARENT has died.
 */
int metadata_relay(char **argv);

#endif
