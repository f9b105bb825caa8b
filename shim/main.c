/*
 * main - jetpack-shim: the privileged program of jetpack
 *
 *     jetpack-shim run [--detach] [--interactive] [--tty] [--remove] [--json] PLAN
 *     jetpack-shim enter [--tty] [--interactive] [--json] [--env NAME=VALUE]... [--user U]
 *                        [--group G] [--cwd P] PLAN APP [-- ARGV...]
 *     jetpack-shim attach [--tty] [--json] DIR APP
 *     jetpack-shim xattr-apply DIR
 *     jetpack-shim xattr-dump DIR
 *     jetpack-shim hold
 *     jetpack-shim wake FOLDER
 *     jetpack-shim mds --uid U --gid G --port P [--listen ADDRESS]...
 *                      [--program PATH]... [--data PATH]... -- ARGV...
 *     jetpack-shim version
 *
 * PLAN.md describes each. Exit status: 125 for a wrong usage, and what each command says.
 */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "fd.h"
#include "linux/enter.h"
#include "linux/mds.h"
#include "linux/metadata-relay.h"
#include "linux/given.h"
#include "linux/self.h"
#include "linux/wake.h"
#include "linux/xattr.h"
#include "plan-values.h"
#include "report.h"
#include "supervisor.h"
#include "text.h"

#ifndef VERSION
#define VERSION "0.0.0"
#endif

static int usage(const char *what, const char *thing) {
    static struct problem problem;
    problem_set(&problem, EXIT_SHIM, "USAGE", what, thing, 0,
                "jetpack-shim run|enter|attach|mds|xattr-apply|xattr-dump|wake|version");
    report(&problem, false);
    return problem.exit;
}

/* An option without a value, or (text not NULL) with one. */
struct option {
    const char *name;
    bool *flag;
    const char **text;
};

#define OPTIONS(list) (list), sizeof(list) / sizeof *(list)

/* Steps over the options; NULL after it has told what is wrong. */
static char **read_options(char **argv, const struct option *options, size_t count, int *exit) {
    for (; argv[0] != NULL && strncmp(argv[0], "--", 2) == 0; argv++) {
        const struct option *o = options;
        while (o < options + count && strcmp(argv[0], o->name) != 0)
            o++;
        if (o == options + count) {
            *exit = usage("unknown option", argv[0]);
            return NULL;
        }
        if (o->flag != NULL) {
            *o->flag = true;
        } else if (argv[1] == NULL) {
            *exit = usage("no value for option", argv[0]);
            return NULL;
        } else {
            *o->text = *++argv;
        }
    }
    return argv;
}

static int run(char **argv) {
    int exit;
    struct run_options o = {0};
    const struct option options[] = {{"--detach", &o.detach, NULL},
                                     {"--interactive", &o.interactive, NULL},
                                     {"--tty", &o.tty, NULL},
                                     {"--remove", &o.remove, NULL},
                                     {"--json", &o.json, NULL}};
    argv = read_options(argv, OPTIONS(options), &exit);
    if (argv == NULL)
        return exit;
    if (argv[0] == NULL || argv[1] != NULL)
        return usage("run: name one plan", NULL);
    return supervisor_run(argv[0], &o);
}

/* Moves the values of all `--env` to the front; options come before the plan and the app. */
static char **take_env(char **argv, struct enter_options *o) {
    size_t from = 0;
    size_t to = 0;
    size_t count = 0;
    static char *env[PLAN_FIELDS_MAX];
    while (argv[from] != NULL && strncmp(argv[from], "--", 2) == 0) {
        bool flag = strcmp(argv[from], "--tty") == 0 || strcmp(argv[from], "--interactive") == 0 ||
                    strcmp(argv[from], "--json") == 0;
        if (strcmp(argv[from], "--env") == 0) {
            if (argv[from + 1] == NULL || strchr(argv[from + 1], '=') == NULL ||
                argv[from + 1][0] == '=' || count == PLAN_FIELDS_MAX)
                return NULL;
            env[count++] = argv[from + 1];
            from += 2;
            continue;
        }
        argv[to++] = argv[from++];
        if (!flag && argv[from] != NULL)
            argv[to++] = argv[from++];
    }
    o->env = env;
    o->env_count = count;
    while (argv[from] != NULL)
        argv[to++] = argv[from++];
    argv[to] = NULL;
    return argv;
}

static int enter(char **argv) {
    int exit;
    struct enter_options o = {0};
    const struct option options[] = {
        {"--tty", &o.tty, NULL},     {"--interactive", &o.interactive, NULL},
        {"--json", &o.json, NULL},   {"--user", NULL, &o.user},
        {"--group", NULL, &o.group}, {"--cwd", NULL, &o.cwd},
    };
    argv = take_env(argv, &o);
    if (argv == NULL)
        return usage("enter: --env needs NAME=VALUE", NULL);
    argv = read_options(argv, OPTIONS(options), &exit);
    if (argv == NULL)
        return exit;
    if (argv[0] == NULL || argv[1] == NULL)
        return usage("enter: name a plan and an app", NULL);
    if (argv[2] != NULL && strcmp(argv[2], "--") != 0)
        return usage("enter: `--` must stand before the command:", argv[2]);
    if (o.cwd != NULL && !value_path(o.cwd))
        return usage("enter: not an absolute, normalised path:", o.cwd);
    if ((o.user != NULL && o.user[0] == '\0') || (o.group != NULL && o.group[0] == '\0'))
        return usage("enter: the user or group is empty", NULL);
    o.argv = argv[2] != NULL ? argv + 3 : argv + 2;
    return enter_run(argv[0], argv[1], &o);
}

static int attach(char **argv) {
    int exit;
    struct attach_options o = {0};
    const struct option options[] = {{"--tty", &o.tty, NULL}, {"--json", &o.json, NULL}};
    argv = read_options(argv, OPTIONS(options), &exit);
    if (argv == NULL)
        return exit;
    if (argv[0] == NULL || argv[1] == NULL || argv[2] != NULL)
        return usage("attach: name a pod's folder and an app", NULL);
    return attach_run(argv[0], argv[1], &o);
}

static int apply(char **argv) {
    return argv[0] != NULL && argv[1] == NULL ? xattr_apply(argv[0])
                                              : usage("xattr-apply: name one folder", NULL);
}

static int dump(char **argv) {
    return argv[0] != NULL && argv[1] == NULL ? xattr_dump(argv[0])
                                              : usage("xattr-dump: name one folder", NULL);
}

static bool add(const char **list, unsigned max, unsigned *count, const char *value, bool fine) {
    if (!fine || *count == max)
        return false;
    list[(*count)++] = value;
    return true;
}

/* One option of `mds` and its value. */
static bool mds_option(struct mds_options *o, const char *name, const char *value) {
    uint64_t n = 0;
    const bool number = number_parse(value, UINT32_MAX - 1, &n);
    if (strcmp(name, "--uid") == 0) {
        o->uid = (uid_t)n;
        return number && n > 0;
    }
    if (strcmp(name, "--gid") == 0) {
        o->gid = (gid_t)n;
        return number && n > 0;
    }
    if (strcmp(name, "--port") == 0) {
        o->port = (uint16_t)n;
        return number && n > 0 && n <= 65535;
    }
    if (strcmp(name, "--listen") == 0)
        return add(o->addresses, MDS_SOCKETS_MAX, &o->address_count, value, true);
    if (strcmp(name, "--program") == 0)
        return add(o->programs, MDS_PATHS_MAX, &o->program_count, value, value_path(value));
    return strcmp(name, "--data") == 0 &&
           add(o->data, MDS_PATHS_MAX, &o->data_count, value, value_path(value));
}

static int mds(char **argv) {
    static struct mds_options o;
    for (; argv[0] != NULL && strcmp(argv[0], "--") != 0; argv += 2) {
        if (argv[1] == NULL || !mds_option(&o, argv[0], argv[1]))
            return usage("mds: not an option, or not a value for it:", argv[0]);
    }
    if (argv[0] == NULL || argv[1] == NULL || !value_path(argv[1]))
        return usage("mds: a program must follow `--`", NULL);
    if (o.uid == 0 || o.gid == 0 || o.port == 0)
        return usage("mds: --uid, --gid and --port are needed, and not 0", NULL);
    if (o.address_count + given.sockets == 0)
        return usage("mds: nothing to listen on", NULL);
    o.argv = argv + 1;
    return mds_start(&o);
}

static int wake_up(char **argv) {
    return argv[0] != NULL && argv[1] == NULL ? wake(argv[0])
                                              : usage("wake: name one folder", NULL);
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
    } commands[] = {{"run", run},
                    {"enter", enter},
                    {"attach", attach},
                    {"mds", mds},
                    {"metadata-relay", metadata_relay},
                    {"xattr-apply", apply},
                    {"xattr-dump", dump},
                    {"wake", wake_up},
                    {"version", version}};
    static struct problem problem;
    if (argc < 2)
        return usage("name a command", NULL);
    if (strcmp(argv[1], "hold") == 0)
        given_hold(); /* before its descriptors are closed */
    int r = self_prepare(argv);
    if (r < 0) {
        problem_set(&problem, EXIT_SHIM, "self", "cannot make a copy of this program in memory",
                    NULL, -r, NULL);
        report(&problem, false);
        return problem.exit;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].fn(argv + 2);
    }
    return usage("unknown command", argv[1]);
}
