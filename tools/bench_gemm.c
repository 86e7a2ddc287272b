#include "bench.h"

#include "arena.h"
#include "clock.h"
#include "stat.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Products of a training step of the autoresearch shape at 8 x 128 tokens, and large ones. */
static const struct shape {
    const char *what;
    int64_t m, n, k;
    bool ta, tb;
} shapes[] = {
    {"square", 2048, 2048, 2048, false, false},    {"forward", 1024, 512, 512, false, false},
    {"forward", 1024, 1408, 512, false, false},    {"forward", 1024, 512, 1408, false, false},
    {"input grad", 1024, 512, 1408, false, true},  {"weight grad", 1408, 512, 1024, true, true},
    {"classifier", 256, 16384, 512, false, false},
};

/* Median GFLOP/s of gemm_run, packing included, over about `seconds`. */
static double rate(const struct gemm *g, const struct shape *s, double seconds, struct err *e) {
    struct arena a;
    const size_t work =
        gemm_work_bytes(g, s->m, s->n, s->k, mat_f32(NULL, s->ta ? s->m : s->k, s->ta));
    const size_t na = (size_t)(s->m * s->k), nb = (size_t)(s->n * s->k), nc = (size_t)(s->m * s->n);
    if (arena_init(&a,
                   arena_need(na, 4) + arena_need(nb, 4) + arena_need(nc, 4) + arena_round(work),
                   "bench", e))
        return 0;
    float *x = arena_alloc(&a, na, 4), *w = arena_alloc(&a, nb, 4), *y = arena_alloc(&a, nc, 4);
    void *room = arena_alloc(&a, work, 1);
    for (size_t i = 0; i < na; i++) x[i] = (float)(i % 7) - 3;
    for (size_t i = 0; i < nb; i++) w[i] = (float)(i % 5) - 2;
    double t[64], begin = 0;
    int n = -1; /* the first run warms up */
    while (n < 3 || (n < 64 && clock_seconds() - begin < seconds)) {
        const double s0 = clock_seconds();
        gemm_run(g, s->m, s->n, s->k, mat_f32(x, s->ta ? s->m : s->k, s->ta),
                 mat_f32(w, s->tb ? s->n : s->k, s->tb), y, s->n, false, room);
        if (n >= 0)
            t[n] = clock_seconds() - s0;
        else
            begin = clock_seconds();
        n++;
    }
    arena_release(&a);
    return 2e-9 * (double)s->m * (double)s->n * (double)s->k / stat_median(t, (size_t)n);
}

static int measure(const struct bench_opts *o, const char *backend, enum dtype compute, json_t *all,
                   struct err *e) {
    struct gemm g;
    const double seconds = (double)o->runs / 20;
    int rc = gemm_init(&g, backend, compute, &o->machine.cpu, o->machine.pool, e);
    if (rc) return rc;
    if (!o->train.json) printf("%-10s %-5s", backend, dtype_row(compute)->name);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = shapes + i;
        const double r = rate(&g, s, seconds, e);
        if (!o->train.json) {
            printf(" %14.0f", r);
            fflush(stdout);
        }
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:f}", "backend", backend,
                                             "compute", dtype_row(compute)->name, "what", s->what,
                                             "m", (json_int_t)s->m, "n", (json_int_t)s->n, "k",
                                             (json_int_t)s->k, "gflops", r));
    }
    if (!o->train.json) putchar('\n');
    return 0;
}

static void print_head(const struct machine *m) {
    char cpu[CPU_MODEL];
    printf("GFLOP/s, packing included; %s, %d threads, %s\n%-16s", cpu_model(cpu, sizeof cpu),
           machine_threads(m), cpu_tier_name(m->cpu.tier), "");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) printf(" %14s", shapes[i].what);
    printf("\n%-16s", "");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char text[32];
        snprintf(text, sizeof text, "%lldx%lldx%lld", (long long)shapes[i].m,
                 (long long)shapes[i].n, (long long)shapes[i].k);
        printf(" %14s", text);
    }
    putchar('\n');
}

int bench_gemm(const struct bench_opts *o, struct err *e) {
    static const enum dtype types[] = {DT_F32, DT_BF16};
    json_t *all = json_array();
    int rc = 0;
    if (!o->train.json) print_head(&o->machine);
    for (int c = 0; c < 2 && !rc; c++)
        for (size_t b = 0; b < n_gemm_backends && !rc; b++) {
            const char *name = gemm_backends[b]->name;
            struct err ignored;
            struct gemm g;
            if (o->one_type &&
                compute_type(o->train.compute, o->train.gemm, &o->machine.cpu) != types[c])
                continue;
            /* The reference is no measure of the machine; it is run only when asked for. */
            if (strcmp(o->train.gemm, "auto") ? strcmp(o->train.gemm, name) : !strcmp(name, "ref"))
                continue;
            if (gemm_init(&g, name, types[c], &o->machine.cpu, o->machine.pool, &ignored)) {
                if (!o->train.json)
                    printf("%-10s %-5s not here: %s\n", name, dtype_row(types[c])->name,
                           ignored.msg);
                continue;
            }
            rc = measure(o, name, types[c], all, e);
        }
    if (o->train.json && !rc) {
        char *text = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(5));
        printf("%s\n", text ? text : "[]");
        free(text);
    }
    json_decref(all);
    return rc;
}
