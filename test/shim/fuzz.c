/*
 * fuzz - the readers of foreign bytes: the plan parser, the frames of an attached client, and
 * what an app says of itself
 *
 * With libFuzzer: LLVMFuzzerTestOneInput. Without (-DSTANDALONE): a driver that mutates the seed
 * files named on the command line for SECONDS, from a fixed random seed.
 *
 *     fuzz-standalone SECONDS SEED-FILE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"
#include "notice.h"
#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte that a parsed plan points to. */
static size_t touch(const struct plan *p) {
    size_t sum = strlen(p->uuid) + strlen(p->dir) + strlen(p->hostname);
    for (const struct plan_command *c = p->reap; c != NULL; c = c->next) {
        for (size_t i = 0; i < c->argv.n; i++)
            sum += strlen(c->argv.v[i]);
    }
    for (size_t i = 0; i < p->app_count; i++) {
        const struct plan_app *a = p->apps[i];
        for (size_t k = 0; k < a->exec.n; k++)
            sum += strlen(a->exec.v[k]);
        for (size_t k = 0; k < a->env.n; k++)
            sum += strlen(a->env.v[k]);
        for (size_t k = 0; k < a->group_count; k++)
            sum += a->groups[k];
        for (const struct plan_mount *m = a->mounts; m != NULL; m = m->next)
            sum += strlen(m->source) + strlen(m->target) + m->flags;
        for (const struct plan_listen *l = a->listen; l != NULL; l = l->next)
            sum += strlen(l->name) + l->port;
        for (const struct plan_setting *s = a->settings; s != NULL; s = s->next)
            sum += strlen(s->file) + strlen(s->value);
        if (a->exec.n == 0 || a->exec.v[a->exec.n] != NULL || a->env.v[a->env.n] != NULL ||
            a->stop_signal < 1 || a->stop_signal > 64)
            abort();
    }
    return sum;
}

static void on_frame(void *context, const struct frame *f) {
    size_t *sum = context;
    for (size_t i = 0; i < f->length; i++)
        *sum += (unsigned char)f->bytes[i];
    if (f->length > f->total)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volatile size_t sink;
    static struct plan plan;
    struct plan_error error = {0, "", ""};
    struct frame_reader frames = {0};
    size_t sum = 0;
    char *copy = malloc(size + 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    size_t need = plan_measure(copy, size, &error);
    void *arena = need > 0 ? malloc(need) : NULL;
    if (arena != NULL && plan_parse(copy, size, arena, need, &plan, &error))
        sum += touch(&plan);
    sum += strlen(error.key) + strlen(error.reason);
    (void)frame_read(&frames, copy, size / 2, on_frame, &sum);
    (void)frame_read(&frames, copy + size / 2, size - size / 2, on_frame, &sum);
    struct notice notice;
    if (notice_parse((const char *)data, size, &notice) && notice.status != NULL) {
        if (notice.status < (const char *)data ||
            notice.status + notice.length > (const char *)data + size)
            abort();
        if (notice_cut(notice.status, notice.length, 240) > notice.length)
            abort();
    }
    sink += sum;
    free(arena);
    free(copy);
    return 0;
}

#ifdef STANDALONE
static uint8_t room[1 << 16];

static size_t mutate(size_t n) {
    static const char *const words[] = {"app",  "end",  "mount", "exec", "0",
                                        "4096", "4097", "1",     "\n"};
    for (int k = rand() % 8; k >= 0 && n > 1; k--) {
        size_t at = (size_t)rand() % n;
        const char *word = words[rand() % 9];
        switch (rand() % 5) {
        case 0:
            room[at] = (uint8_t)rand();
            break;
        case 1:
            memmove(room + at, room + at + 1, --n - at);
            break;
        case 2:
            if (n < sizeof room / 2) {
                size_t length = (size_t)rand() % (n - at) + 1;
                memmove(room + at + length, room + at, n - at);
                n += length;
            }
            break;
        case 3:
            if (at + strlen(word) < n)
                memcpy(room + at, word, strlen(word) + 1);
            break;
        default:
            if (rand() % 20 == 0)
                n = at + 1;
        }
    }
    return n;
}

int main(int argc, char **argv) {
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
    unsigned long runs = 0;
    srand(1);
    while (time(NULL) < end) {
        for (int i = 2; i < argc; i++) {
            static uint8_t seed[1 << 15];
            FILE *f = fopen(argv[i], "rb");
            size_t n = f != NULL ? fread(seed, 1, sizeof seed, f) : 0;
            if (f != NULL)
                fclose(f);
            for (int k = 0; k < 20000; k++, runs++) {
                memcpy(room, seed, n);
                LLVMFuzzerTestOneInput(room, mutate(n));
            }
        }
    }
    printf("%lu inputs, no fault\n", runs);
    return 0;
}
#endif
