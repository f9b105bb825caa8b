/*
 * drop - see drop.h.
 *
 * Order: securebits and the bounding set while CAP_SETPCAP is held; groups before the user;
 * the sets after the user.
 */
#define _GNU_SOURCE
#include "drop.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/securebits.h>

#include "credentials.h"
#include "sys.h"

#define SECURE                                                                                     \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |                        \
     SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

int drop_privileges(uid_t uid, gid_t gid) {
    int r;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECUREBITS, SECURE, 0, 0, 0) < 0)
        return -errno;
    if ((r = credentials_bound(0)) < 0 || (r = sys_setgroups(0, NULL)) < 0 ||
        (r = sys_setresgid(gid)) < 0 || (r = sys_setresuid(uid)) < 0 ||
        (r = sys_capset(0, 0, 0)) < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/* -- Landlock, landlock(7); the system's headers may be older than its kernel ---------------- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ruleset {
    uint64_t files;
    uint64_t net;
    uint64_t scoped;
};

struct port_rule {
    uint64_t allowed;
    uint64_t port;
};

#define CREATE_VERSION 1U
#define RULE_NET_PORT 2
#define NET_BIND ((uint64_t)1)
#define NET_CONNECT ((uint64_t)2)
#define FILE_EXECUTE ((uint64_t)1)
#define FILE_READ ((uint64_t)4)
#define FILE_READ_DIR ((uint64_t)8)
#define SCOPE_ABSTRACT ((uint64_t)1)

/* All rights over files that a version knows: 13 at first, then rename, truncate, ioctl. */
static uint64_t file_rights(int version) {
    unsigned bits = version == 1 ? 13 : version == 2 ? 14 : version < 5 ? 15 : 16;
    return ((uint64_t)1 << bits) - 1;
}

static size_t ruleset_size(int version) {
    return version < 4 ? 8 : version < 6 ? 16 : 24;
}

bool drop_landlock(bool reading, enum drop_tcp tcp, uint16_t port) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    if (version < 1)
        return false;
    bool net = version >= 4;
    struct ruleset rules = {
        .files = file_rights((int)version),
        .net = net ? NET_BIND | NET_CONNECT : 0,
        .scoped = version >= 6 ? SCOPE_ABSTRACT : 0,
    };
    if (reading)
        rules.files &= ~(FILE_EXECUTE | FILE_READ | FILE_READ_DIR);
    long set = syscall(SYS_landlock_create_ruleset, &rules, ruleset_size((int)version), 0);
    if (set < 0)
        return false;
    /* The second: any free port, which an address to call from needs. */
    const struct port_rule allowed[2] = {{tcp == DROP_TCP_BIND ? NET_BIND : NET_CONNECT, port},
                                         {NET_BIND, 0}};
    size_t count = !net ? 0 : tcp == DROP_TCP_BIND ? 1 : 2;
    bool fine = true;
    for (size_t i = 0; i < count; i++)
        fine = fine && syscall(SYS_landlock_add_rule, (int)set, RULE_NET_PORT, &allowed[i], 0) == 0;
    fine = fine && syscall(SYS_landlock_restrict_self, (int)set, 0) == 0;
    (void)close((int)set);
    return fine && net;
}
