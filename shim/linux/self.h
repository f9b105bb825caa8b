/*
 * self - this process and its own executable, before anything else is done
 */
#ifndef JETPACK_SELF_H
#define JETPACK_SELF_H

/*
 * Repairs what execve(2) from Node leaves: ignored signals, a signal mask, O_NONBLOCK on 0 to 2,
 * missing 0 to 2, a raised soft limit of open files, stray descriptors. Then becomes a sealed copy
 * of itself in memory, so that nothing in a pod can ever open the host's binary for writing through
 * /proc/PID/exe (CVE-2019-5736), and is not dumpable. The copy has no environment, but for what
 * given.h tells of `run`: nothing of the host's can get into a pod by accident. Returns in the
 * copy. 0 or -errno.
 */
int self_prepare(char **argv);

/*
 * In the pod's init: overwrites the command line, which anybody in the pod can read in /proc/1.
 */
void self_forget(const char *name);

#endif
