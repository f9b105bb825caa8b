/*
 * main - jetpack-shim: the privileged program of jetpack
 *
 *     jetpack-shim run [--detach] [--interactive] [--tty] [--remove] [--json] PLAN
 *     jetpack-shim version
 *
 * PLAN.md describes each. Exit status: 125 for a wrong usage, and what each command says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h> /* renameat, for libcs that want it */
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "linux/self.h"
#include "report.h"
#include "supervisor.h"

#ifndef VERSION
#define VERSION "0.0.0"
#endif

extern char **environ;

static int usage(const char *what, const char *thing) {
    static struct problem problem;
    problem_set(&problem, EXIT_SHIM, "usage", what, thing, 0,
                "jetpack-shim run|enter|attach|xattr-apply|xattr-dump|version");
    report(&problem, false);
    return problem.exit;
}

static int run(char **argv) {
    struct run_options o = {0};
    const struct {
        const char *name;
        bool *value;
    } flags[] = {{"--detach", &o.detach}, {"--interactive", &o.interactive}, {"--tty", &o.tty},
                 {"--remove", &o.remove}, {"--json", &o.json}};
    for (; argv[0] != NULL && strncmp(argv[0], "--", 2) == 0; argv++) {
        bool known = false;
        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
            if (strcmp(argv[0], flags[i].name) == 0)
                known = *flags[i].value = true;
        }
        if (!known)
            return usage("run: unknown option", argv[0]);
    }
    if (argv[0] == NULL || argv[1] != NULL)
        return usage("run: name one plan", NULL);
    return supervisor_run(argv[0], &o);
}

static int version(char **argv) {
    static const char line[] = "jetpack-shim " VERSION " plan 1\n";
    (void)argv;
    return fd_write_all(STDOUT_FILENO, line, sizeof line - 1) < 0 ? 1 : 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*fn)(char **);
    } commands[] = {{"run", run}, {"version", version}};
    static struct problem problem;
    if (argc < 2)
        return usage("name a command", NULL);
    int r = self_prepare(argv, environ);
    if (r < 0) {
        problem_set(&problem, EXIT_SHIM, "self", "cannot make a copy of this program in memory", NULL,
                    -r, NULL);
        report(&problem, false);
        return problem.exit;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].fn(argv + 2);
    }
    return usage("unknown command", argv[1]);
}
