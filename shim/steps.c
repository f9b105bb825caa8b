/*
 * steps - the text of an error that happened inside the pod
 *
 * A table tells for every step its code, its words and what to do; the thing it failed on is
 * looked up in the plan. No privileges, no effects.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "report.h"
#include "text.h"

static const struct step_text {
    const char *code;
    const char *what;
    const char *remedy;
} steps[STEP_COUNT] = {
    [STEP_NONE] = {"INTERNAL", "the pod's init failed", NULL},
    [STEP_ORPHAN] = {"INTERNAL", "the supervisor went away", NULL},
    [STEP_NAMESPACE] = {"NAMESPACE_FAILED", "cannot make the pod's namespaces",
                        "run as root, on a kernel with namespaces"},
    [STEP_HOSTNAME] = {"HOSTNAME_FAILED", "cannot set the host name", NULL},
    [STEP_LOOPBACK] = {"LOOPBACK_FAILED", "cannot bring up the pod's loopback interface", NULL},
    [STEP_SYSCTL] = {"SYSCTL_FAILED", "cannot set the kernel parameter",
                     "does this kernel have it, and is the value one that it takes?"},
    [STEP_KEYS] = {"KEYS_FAILED", "cannot make the pod's keyring", NULL},
    [STEP_NETNS] = {"NETWORK_FAILED", "cannot join the pod's network namespace", NULL},
    [STEP_ROOTFS] = {"ROOTFS_FAILED", "cannot mount the root",
                     "look at it with `zfs list`, or prepare the pod again"},
    [STEP_BASE] = {"MOUNT_FAILED", "cannot mount",
                   "the image needs real, writable folders at /proc, /sys and /dev"},
    [STEP_MOUNT_FROM] = {"VOLUME_SOURCE", "cannot use the volume's source",
                         "the source must exist, and no part of its path may be a symbolic link"},
    [STEP_MOUNT_ONTO] =
        {"VOLUME_TARGET", "cannot mount a volume on",
         "make the target in the image, as a folder for a folder or a file for a file"},
    [STEP_MOUNT_ACROSS] =
        {"VOLUME_TARGET", "a link of the image leads into another mount from the volume's target",
         "choose a target whose path has no link, or none that leads to /proc, /sys, /dev or a "
         "volume"},
    [STEP_MOUNT_COPY] = {"VOLUME_COPY", "cannot copy the image's content into the volume at", NULL},
    [STEP_MOUNT_HIDES] = {"VOLUME_HIDES", "a volume hides what the image has at", NULL},
    [STEP_MOUNT_REPLACES] = {"VOLUME_REPLACES", "a volume takes the place of the image's file",
                             NULL},
    [STEP_MASK] = {"MASK_FAILED", "cannot hide", NULL},
    [STEP_READONLY] = {"READONLY_FAILED", "cannot make read-only", NULL},
    [STEP_NOTIFY] = {"NOTIFY_FAILED", "cannot make the socket /dev/notify", NULL},
    [STEP_PIVOT] = {"PIVOT_FAILED", "cannot enter the root", NULL},
    [STEP_CGROUP] = {"CGROUP_FAILED", "cannot use the pod's cgroup", NULL},
    [STEP_TTY] = {"TTY_FAILED", "cannot make the pod's terminal", NULL},
    [STEP_FORK] = {"FORK_FAILED", "cannot start a process", "is a limit of processes reached?"},
    [STEP_SESSION] = {"SESSION_FAILED", "cannot set up stdin, stdout and stderr", NULL},
    [STEP_LIMITS] = {"LIMITS_FAILED", "cannot set the limits of open files", NULL},
    [STEP_OOM_SCORE] = {"OOM_SCORE", "cannot set oom-score-adj",
                        "a value below the present one needs CAP_SYS_RESOURCE"},
    [STEP_LABEL] = {"LABEL_FAILED", "the kernel does not give the program the label",
                    "is the profile loaded, and the context one of the policy?"},
    [STEP_USER] = {"USER_NOT_FOUND", "no such user",
                   "name a user of the image's /etc/passwd, or a number"},
    [STEP_GROUP] = {"GROUP_NOT_FOUND", "no such group",
                    "name a group of the image's /etc/group, or a number"},
    [STEP_PASSWD] = {"PASSWD_UNUSABLE", "cannot read the image's", "it must be a regular file"},
    [STEP_CAPS] = {"CAPS_FAILED", "cannot set the capabilities", NULL},
    [STEP_IDS] = {"IDS_FAILED", "cannot become the user", NULL},
    [STEP_CWD] = {"CWD_FAILED", "cannot enter the working directory",
                  "make it in the image, or choose another working directory"},
    [STEP_SECCOMP] = {"SECCOMP_FAILED", "cannot install the filter",
                      "is it a filter made for this machine?"},
    [STEP_EXEC] = {"EXEC_FAILED", "cannot run", NULL},
    [STEP_PRE_START] = {"PRE_START_FAILED", "the pre-start handler failed", NULL},
    [STEP_PRE_EXEC] = {"PRE_START_FAILED", "cannot run the pre-start handler", NULL},
    [STEP_POST_STOP] = {"POST_STOP_FAILED", "the post-stop handler failed", NULL},
    [STEP_POST_EXEC] = {"POST_STOP_FAILED", "cannot run the post-stop handler", NULL},
};

static const char *const base_names[BASE_COUNT] = {
    "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console"};

static const struct plan_mount *mount_at(const struct plan_app *a, unsigned index) {
    const struct plan_mount *m = a->mounts;
    while (m != NULL && index-- > 0)
        m = m->next;
    return m;
}

static const char *item_at(const struct plan_item *i, unsigned index) {
    while (i != NULL && index-- > 0)
        i = i->next;
    return i != NULL ? i->path : NULL;
}

static const char *sysctl_at(const struct plan_sysctl *s, unsigned index) {
    while (s != NULL && index-- > 0)
        s = s->next;
    return s != NULL ? s->key : NULL;
}

static const char *thing_of(const struct plan_app *a, const struct wire *w) {
    const struct plan_mount *m;
    switch (w->step) {
    case STEP_ROOTFS:
    case STEP_PIVOT:
        return a->root;
    case STEP_BASE:
        return w->index < BASE_COUNT ? base_names[w->index] : NULL;
    case STEP_MOUNT_FROM:
        m = mount_at(a, w->index);
        return m != NULL ? m->source : NULL;
    case STEP_MOUNT_ONTO:
    case STEP_MOUNT_ACROSS:
    case STEP_MOUNT_COPY:
    case STEP_MOUNT_HIDES:
    case STEP_MOUNT_REPLACES:
        m = mount_at(a, w->index);
        return m != NULL ? m->target : NULL;
    case STEP_MASK:
        return item_at(a->masks, w->index);
    case STEP_READONLY:
        return item_at(a->readonly, w->index);
    case STEP_USER:
    case STEP_IDS:
        return a->user;
    case STEP_GROUP:
        return a->group;
    case STEP_PASSWD:
        return w->index == 0 ? "/etc/passwd" : "/etc/group";
    case STEP_CWD:
        return a->cwd;
    case STEP_LABEL:
        return a->label;
    case STEP_SECCOMP:
        return a->seccomp;
    case STEP_EXEC:
        return a->exec.v[0];
    case STEP_PRE_EXEC:
    case STEP_PRE_START:
        return a->pre_start.n > 0 ? a->pre_start.v[0] : NULL;
    case STEP_POST_EXEC:
    case STEP_POST_STOP:
        return a->post_stop.n > 0 ? a->post_stop.v[0] : NULL;
    default:
        return NULL;
    }
}

/* Whether a program is missing, or there but unusable, is what 127 and 126 tell apart. */
static void exec_details(struct problem *p, struct text *message, const struct wire *w) {
    struct text remedy = TEXT_ON(p->remedy);
    p->remedy[0] = '\0';
    if (w->value == ENOENT && w->index == 0) {
        text_str(message, ": no such file in the image");
        text_str(&remedy, "check the program's path, and the app's PATH");
        p->code = "EXEC_NOT_FOUND";
        p->exit = EXIT_ABSENT;
    } else if (w->value == ENOENT) {
        text_str(message,
                 ": the file is there, but its interpreter or dynamic loader is not in the image");
        text_str(&remedy, "add the interpreter (first line of a script, or ld.so) to the image");
        p->code = "EXEC_INTERPRETER";
        p->exit = EXIT_ABSENT;
    } else {
        text_str(message, ": ");
        if (w->value == EACCES)
            text_str(message, "it may not be executed by this user, or lies on a noexec mount");
        else if (w->value == ENOEXEC)
            text_str(message, "it is not a program for this machine");
        else
            text_str(message, error_text(w->value));
        p->code = "EXEC_DENIED";
        p->exit = EXIT_DENIED;
    }
}

static void status_details(struct text *message, int status) {
    if (WIFSIGNALED(status)) {
        text_str(message, ": killed by signal ");
        text_num(message, (uint64_t)WTERMSIG(status));
    } else {
        text_str(message, ": exit status ");
        text_num(message, (uint64_t)WEXITSTATUS(status));
    }
}

void problem_from_wire(struct problem *p, const struct plan *plan, const struct wire *w) {
    const struct step_text *s = &steps[w->step < STEP_COUNT ? w->step : STEP_NONE];
    const struct plan_app *a = w->app < plan->app_count ? plan->apps[w->app] : NULL;
    struct text message = TEXT_ON(p->message);
    problem_set(p, EXIT_SHIM, s->code, "", NULL, 0, s->remedy);
    if (a != NULL) {
        text_str(&message, "app ");
        text_str(&message, a->name);
        text_str(&message, ": ");
    }
    text_str(&message, s->what);
    const char *thing = a != NULL                ? thing_of(a, w)
                        : w->step == STEP_SYSCTL ? sysctl_at(plan->sysctls, w->index)
                                                 : NULL;
    if (thing != NULL) {
        text_str(&message, " ");
        text_plain(&message, thing);
    }
    if (w->step == STEP_EXEC || w->step == STEP_PRE_EXEC || w->step == STEP_POST_EXEC) {
        exec_details(p, &message, w);
        if (w->step != STEP_EXEC) {
            p->exit = EXIT_SHIM;
            p->code = s->code;
        }
    } else if (w->step == STEP_PRE_START || w->step == STEP_POST_STOP) {
        status_details(&message, w->value);
    } else if (w->value > 0) {
        text_str(&message, ": ");
        text_str(&message, error_text(w->value));
    }
}
