/*
 * wake - the `wake` command: makes a zfs-fuse daemon go on that waits for what will not come
 *
 *     jetpack-shim wake FOLDER
 *
 * zfs-fuse reads the requests of its file systems one after the other, and blocks in read(2) when
 * the kernel has taken back the one that poll(2) had announced: that happens when a process is
 * killed while it waits for its answer. From then on the daemon answers for no file system, until
 * the one that it reads from is used again. So: ask for FOLDER; when no answer comes in a moment,
 * use every FUSE file system once.
 *
 * Exit status: 0 when FOLDER answers, 1 when it still does not.
 */
#ifndef JETPACK_WAKE_H
#define JETPACK_WAKE_H

int wake(const char *folder);

#endif
