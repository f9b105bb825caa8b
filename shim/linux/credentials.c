/*
 * credentials - see credentials.h.
 *
 * The order matters: groups before the user (a user cannot change them), the bounding set while
 * CAP_SETPCAP is held, the sets after the user (setresuid clears them), no_new_privs and the
 * filter at the very end. A filter without no_new_privs needs CAP_SYS_ADMIN at that moment; it is
 * kept in this process only: execve(2) makes the new sets from the bounding set (uid 0) and
 * the ambient set, and it is in neither.
 */
#define _GNU_SOURCE
#include "credentials.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"
#include "sys.h"

#define BIT(cap) ((uint64_t)1 << (cap))

uint64_t credentials_held(void) {
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
    return sys_capget(&effective, &permitted, &inheritable) == 0 ? permitted : 0;
}

int credentials_bound(uint64_t keep) {
    for (unsigned cap = 0; cap < 64; cap++) {
        int present = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (present < 0)
            return errno == EINVAL ? 0 : -errno; /* past the kernel's last one */
        if (present == 1 && (keep & BIT(cap)) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    }
    return 0;
}

static int raise_ambient(uint64_t set) {
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    for (unsigned cap = 0; cap < 64; cap++) {
        if ((set & BIT(cap)) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    }
    return 0;
}

bool credentials_drop(const struct plan_app *app, const struct identity *id, const char *cwd,
                      const struct sock_fprog *filter, bool die_with_parent, struct wire *problem) {
    int r;
    uint64_t held = credentials_held();
    bool root = id->uid == 0;
    uint64_t wanted = (root ? app->caps_root : app->caps_user) & held;
    uint64_t until_exec =
        filter != NULL && !app->no_new_privs ? wanted | (held & BIT(CAP_SYS_ADMIN)) : wanted;

    /* 1. The working directory, as root: a home of mode 0700 on a volume need not be the user's. */
    bool there = chdir(cwd) == 0;
    /* 2. No program of the app can ever hold more than this. */
    if ((r = credentials_bound(app->caps_root)) < 0)
        return problem_at(problem, STEP_CAPS, 0, r);
    /* 3. Groups, then the user; the permitted set survives. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return problem_at(problem, STEP_IDS, 0, errno);
    gid_t groups[PLAN_GROUPS_MAX + USERS_GROUPS_MAX];
    size_t group_count = 0;
    for (size_t i = 0; i < app->group_count; i++)
        groups[group_count++] = app->groups[i];
    for (size_t i = 0; i < id->group_count; i++)
        groups[group_count++] = id->groups[i];
    if ((r = sys_setgroups(group_count, groups)) < 0 || (r = sys_setresgid(id->gid)) < 0 ||
        (r = sys_setresuid(id->uid)) < 0)
        return problem_at(problem, STEP_IDS, 0, r);
    /* 4. A change of user may make the process dumpable: its memory and files are still ours. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return problem_at(problem, STEP_IDS, 0, errno);
    /* 5. The other sets. What root holds by being root it holds by name too, so that it is the
     * same for every process of the app whatever becomes of its securebits. */
    if ((r = sys_capset(until_exec, until_exec, wanted)) < 0 || (r = raise_ambient(wanted)) < 0)
        return problem_at(problem, STEP_CAPS, 0, r);
    /* 6. As the user, if root could not (a network file system that squashes root). */
    if (!there && chdir(cwd) < 0)
        return problem_at(problem, STEP_CWD, 0, errno);
    if (!sys_cwd_is_inside())
        return problem_at(problem, STEP_CWD, 0, EXDEV);
    umask(022);
    /* 7. After the ids, which clear it. */
    if (die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return problem_at(problem, STEP_IDS, 0, errno);
    /* 8. */
    if (app->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return problem_at(problem, STEP_CAPS, 0, errno);
    /* 9. Nothing but execve(2) may follow. */
    if (filter != NULL && (r = sys_seccomp(filter)) < 0)
        return problem_at(problem, STEP_SECCOMP, 0, r);
    return true;
}
