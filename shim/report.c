/*
 * report - see report.h. Writes to stderr only; no stdio, safe after fork.
 */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

const char *error_text(int error) {
    switch (error) {
    case ENOENT:
        return "no such file or folder";
    case ELOOP:
        return "a symbolic link stands in the way";
    case EROFS:
        return "the file system is read-only";
    case ENOSYS:
        return "this kernel cannot do it (Linux 5.12 or newer is needed)";
    default:
        return strerror(error);
    }
}

void problem_set(struct problem *p, int exit, const char *code, const char *what, const char *thing,
                 int error, const char *remedy) {
    struct text message = TEXT_ON(p->message);
    struct text try = TEXT_ON(p->remedy);
    p->exit = exit;
    p->code = code;
    p->message[0] = p->remedy[0] = '\0';
    text_str(&message, what);
    if (thing != NULL) {
        text_str(&message, " ");
        text_plain(&message, thing);
    }
    if (error > 0) {
        text_str(&message, ": ");
        text_str(&message, error_text(error));
    }
    if (remedy != NULL)
        text_str(&try, remedy);
}

void problem_from_plan(struct problem *p, const char *path, const struct plan_error *error) {
    problem_set(p, EXIT_SHIM, "PLAN_INVALID", "the plan", path, 0,
                "prepare the pod again, with the jetpack that belongs to this shim");
    struct text message = {p->message, sizeof p->message, strlen(p->message), false};
    text_str(&message, " is not valid: record ");
    text_num(&message, error->record);
    text_str(&message, " (");
    /* A key of a broken file may be anything: a short, harmless excerpt will do. */
    char key[33];
    struct text excerpt = TEXT_ON(key);
    key[0] = '\0';
    text_str(&excerpt, error->key);
    text_plain(&message, key);
    text_str(&message, "): ");
    text_str(&message, error->reason);
}

static void emit(const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, bytes, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* nobody to tell */
        bytes += done;
        n -= (size_t)done;
    }
}

static void report_as(const char *kind, const char *code, const char *message, const char *remedy,
                      bool json) {
    static char line[4096]; /* static: once per process, and the stack stays small */
    struct text t = TEXT_ON(line);
    if (json) {
        text_str(&t, "{");
        text_json(&t, kind);
        text_str(&t, ":{\"code\":");
        text_json(&t, code);
        text_str(&t, ",\"message\":");
        text_json(&t, message);
        text_str(&t, ",\"remedies\":[");
        if (remedy[0] != '\0')
            text_json(&t, remedy);
        text_str(&t, "]}}\n");
    } else {
        text_str(&t, strcmp(kind, "error") == 0 ? "jetpack: " : "jetpack: note: ");
        text_str(&t, message);
        if (remedy[0] != '\0') {
            text_str(&t, "\n  try: ");
            text_str(&t, remedy);
        }
        text_str(&t, "\n");
    }
    emit(line, t.len);
}

void report(const struct problem *p, bool json) {
    report_as("error", p->code, p->message, p->remedy, json);
}

void report_warning(const char *what, const char *remedy, bool json) {
    char line[512];
    char message[256];
    struct text t = TEXT_ON(line);
    struct text m = TEXT_ON(message);
    text_str(&m, what);
    text_str(&m, "; ");
    text_str(&m, remedy);
    text_str(&t, json ? "{\"warning\":{\"message\":" : "jetpack: warning: ");
    if (json)
        text_json(&t, message);
    else
        text_str(&t, message);
    text_str(&t, json ? "}}\n" : "\n");
    emit(line, t.len);
}

void report_note(const char *what, const char *thing, const char *why, bool json) {
    char message[512];
    struct text t = TEXT_ON(message);
    text_str(&t, what);
    text_str(&t, " ");
    text_plain(&t, thing);
    text_str(&t, ": ");
    text_str(&t, why);
    report_as("note", "note", message, "", json);
}
