/*
 * report - what went wrong, for people and for programs
 *
 * A problem has an exit status, a code that never changes for the same fault, a message that says
 * what failed on which thing, and what to do next. It goes to stderr, as
 *
 *     jetpack: MESSAGE
 *       try: REMEDY
 *
 * or, with --json, as {"error":{"code","message","remedies":[]}} on one line.
 */
#ifndef JETPACK_REPORT_H
#define JETPACK_REPORT_H

#include <stdbool.h>

#include "plan.h"
#include "wire.h"

#define EXIT_SHIM 125
#define EXIT_DENIED 126
#define EXIT_ABSENT 127

struct problem {
    int exit;
    const char *code;
    char message[1024];
    char remedy[256];
};

/* Fills a problem: message is `what` and, unless NULL, `: thing`, and for error > 0 its meaning. */
void problem_set(struct problem *p, int exit, const char *code, const char *what, const char *thing,
                 int error, const char *remedy);
/* The problem that a message from inside the pod tells. */
void problem_from_wire(struct problem *p, const struct plan *plan, const struct wire *w);
void problem_from_plan(struct problem *p, const char *path, const struct plan_error *error);

void report(const struct problem *p, bool json);
/* `jetpack: warning: WHAT; WHAT TO DO`, or {"warning":{"message"}}, as stage0 has it. */
void report_warning(const char *what, const char *remedy, bool json);
/* The same shape as an error, but nothing failed. */
void report_note(const char *what, const char *thing, const char *why, bool json);
/* The meaning of an errno, in the words of this program. */
const char *error_text(int error);

#endif
