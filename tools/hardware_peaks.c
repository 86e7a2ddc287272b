#include "hardware_peaks.h"

#include "clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const enum dtype peaks_types[PEAKS_TYPES] = {DT_F32, DT_BF16};

int peaks_counts(int threads, bool quick, int count[PEAKS_COUNTS]) {
    enum { ALL = 16 };
    int n = 0;
    for (int t = 1; t < threads && n + 1 < PEAKS_COUNTS;) {
        count[n++] = t;
        if (quick) break;
        t = t < ALL ? t + 1 : t & (t - 1) ? t / 3 * 4 : t + t / 2;
    }
    count[n++] = threads;
    return n;
}

const char *peaks_rate_name(enum gemm_rate r) {
    static const char *const name[] = {"none", "loops", "rounded", "vectors", "tiles"};
    return name[r];
}

const char *peaks_tier_name(const struct cpu *cpu, char name[40]) {
    snprintf(name, 40, "%s%s", cpu_tier_name(cpu->tier), cpu->tiles ? " + tiles" : "");
    return name;
}

/* ---- what is measured ------------------------------------------------------------------------ */

static int pool_of(struct peaks *p, int threads, struct pool **pool, struct err *e) {
    int i = 0, rc;
    while (i < p->counts && p->count[i] != threads) i++;
    if (i == p->counts) {
        if ((rc = pool_open(&p->pool[i], threads, e))) return rc;
        p->count[p->counts++] = threads;
    }
    *pool = p->pool[i];
    return 0;
}

static bool same_cpu(const struct cpu *a, const struct cpu *b) {
    return a->tier == b->tier && a->tiles == b->tiles;
}

/* Unless it is there, or nothing computes this here. */
static int add(struct peaks *p, const struct machine *m, const struct cpu *cpu, int threads,
               enum dtype compute, struct err *e) {
    struct err none;
    struct pool *pool;
    struct peaks_way w = {
        .cpu = *cpu, .chosen = same_cpu(cpu, &m->cpu), .threads = threads, .compute = compute};
    for (int i = 0; i < p->n; i++)
        if (same_cpu(&p->way[i].cpu, cpu) && p->way[i].threads == threads &&
            p->way[i].compute == compute)
            return 0;
    const int rc = pool_of(p, threads, &pool, e);
    if (rc) return rc;
    if (p->n == PEAKS_WAYS || gemm_init(&w.gemm, "auto", compute, cpu, pool, &none)) return 0;
    w.rate = w.gemm.backend->rate(compute, cpu);
    p->way[p->n++] = w;
    return 0;
}

static int add_tier(struct peaks *p, const struct machine *m, const struct cpu *cpu,
                    struct err *e) {
    int rc = 0;
    for (int t = 0; t < PEAKS_TYPES; t++) {
        TRY(add(p, m, cpu, 1, peaks_types[t], e));
        TRY(add(p, m, cpu, machine_threads(m), peaks_types[t], e));
    }
out:
    return rc;
}

/* Every tier without tiles, up to the one that is chosen; that one with them; and it once more with
 * every number of threads, in the types that it has instructions for. */
static int list_ways(struct peaks *p, const struct peaks_opts *o, struct err *e) {
    int rc = 0, count[PEAKS_COUNTS];
    const struct cpu *chosen = &o->machine->cpu;
    const int counts = peaks_counts(machine_threads(o->machine), o->quick, count);
    for (int t = 0; t <= (int)chosen->tier; t++) {
        struct cpu cpu;
        if (!cpu_tier_built((enum cpu_tier)t)) continue;
        (void)cpu_choose(&cpu, cpu_tier_name((enum cpu_tier)t));
        TRY(add_tier(p, o->machine, &cpu, e));
    }
    TRY(add_tier(p, o->machine, chosen, e));
    for (int i = 0; i < counts; i++)
        for (int t = 0; t < PEAKS_TYPES; t++)
            if (t == 0 || gemm_faster_compute("auto", chosen) == peaks_types[t])
                TRY(add(p, o->machine, chosen, count[i], peaks_types[t], e));
out:
    return rc;
}

/* ---- sides, and their operands --------------------------------------------------------------- */

/* Judged by a small square on one thread, and as if others took an equal share. */
static int choose_sides(struct peaks *p, double most, struct err *e) {
    int rc = 0;
    for (int i = 0; i < p->n; i++) {
        struct peaks_way *w = p->way + i;
        double trial;
        if (w->side) continue;
        struct gemm one = w->gemm;
        one.pool = NULL;
        TRY(peak_trial(&one, &trial, e));
        for (int j = i; j < p->n; j++) {
            struct peaks_way *v = p->way + j;
            if (!same_cpu(&v->cpu, &w->cpu) || v->compute != w->compute) continue;
            v->side = peak_side_within(&v->gemm, trial / v->threads, most);
        }
    }
out:
    return rc;
}

/* One set of operands for all of a side. */
static int open_data(struct peaks *p, int64_t side, struct err *e) {
    enum { MOST = sizeof p->data / sizeof *p->data };
    int n = 0;
    const struct shape square = {FORM_forward, side, side, side};
    struct gemm *g = calloc((size_t)p->n, sizeof *g);
    if (!g) return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < p->n; i++) {
        if (p->way[i].side != side) continue;
        g[n++] = p->way[i].gemm;
        p->way[i].data = p->datas;
    }
    const int rc = p->datas < MOST ? product_data_open(p->data + p->datas, &square, g, n, e)
                                   : err_set(e, ERR_NOMEM, "too many sides");
    if (!rc) p->datas++;
    free(g);
    return rc;
}

static int open_all_data(struct peaks *p, struct err *e) {
    int rc = 0;
    for (int i = 0; i < p->n; i++) {
        int j = 0;
        while (j < i && p->way[j].side != p->way[i].side) j++;
        if (j == i) TRY(open_data(p, p->way[i].side, e));
    }
out:
    return rc;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* Rivals of a round at most, and the reference beside them. */
enum { GROUP = MAX_RIVALS - 1, ROUNDS = 9 };

/* Rounds of all groups, as one count. */
struct telling {
    const struct peaks_opts *o;
    int64_t before, all;
};

static void tell(void *ctx, int64_t done, int64_t of) {
    const struct telling *t = ctx;
    (void)of;
    if (t->o->seen) t->o->seen(t->o->ctx, t->before + done, t->all);
}

static int take_group(struct peaks *p, const struct peaks_opts *o, int from, int n,
                      struct err *e) {
    struct telling t = {o, (int64_t)(from / GROUP) * p->rounds,
                        (int64_t)((p->n + GROUP - 1) / GROUP) * p->rounds};
    struct rival rival[MAX_RIVALS];
    struct rounds r;
    for (int i = 0; i < n; i++)
        rival[i] = (struct rival){NULL, product_turn, &p->way[from + i].product};
    rival[n] = (struct rival){NULL, peak_turn, o->reference};
    const int rc = rounds_take(&r, rival, n + 1, p->rounds, 1, tell, &t, e);
    if (rc) return rc;
    for (int i = 0; i < n; i++) {
        struct peaks_way *w = p->way + from + i;
        const struct stat_spread s = rounds_seconds(&r, i, false);
        const double flops = 1e-9 * shape_flops(&p->data[w->data].shape);
        w->gflops = (struct stat_spread){flops / s.median, flops / s.high, flops / s.low};
    }
    rounds_release(&r);
    return 0;
}

static int take_rounds(struct peaks *p, const struct peaks_opts *o, struct err *e) {
    int rc = 0;
    double turns = 0;
    for (int i = 0; i < p->n; i++) {
        struct peaks_way *w = p->way + i;
        struct turn t;
        product_init(&w->product, &w->gemm, p->data + w->data);
        const double at = clock_seconds();
        TRY(product_turn(&w->product, &t, e));
        turns += clock_seconds() - at;
    }
    const double fit = o->seconds / fmax(turns, 1e-9);
    p->rounds = fit < 3 ? 3 : fit < ROUNDS ? (int)fit : ROUNDS;
    for (int i = 0; i < p->n; i += GROUP)
        TRY(take_group(p, o, i, p->n - i < GROUP ? p->n - i : GROUP, e));
out:
    return rc;
}

int peaks_measure(struct peaks *p, const struct peaks_opts *o, struct err *e) {
    int rc;
    *p = (struct peaks){.n = 0};
    p->way = calloc(PEAKS_WAYS, sizeof *p->way);
    if (!p->way) TRY(err_set(e, ERR_NOMEM, "out of memory"));
    TRY(list_ways(p, o, e));
    /* Warming up and finding out how long a turn is take as much again as three rounds. */
    TRY(choose_sides(p, o->seconds / (6 * (p->n + 1)), e));
    TRY(open_all_data(p, e));
    TRY(take_rounds(p, o, e));
out:
    if (rc) peaks_release(p);
    return rc;
}

int peaks_reference(struct peak *p, const struct machine *m, double most, struct err *e) {
    int rc;
    double trial;
    struct gemm g, one;
    TRY(gemm_init(&g, "auto", DT_F32, &m->cpu, m->pool, e));
    one = g;
    one.pool = NULL;
    TRY(peak_trial(&one, &trial, e));
    TRY(peak_open(p, &g, peak_side_within(&g, trial / machine_threads(m), most), e));
out:
    return rc;
}

double peaks_chosen(const struct peaks *p, enum dtype compute, int threads) {
    for (int i = 0; i < p->n; i++) {
        const struct peaks_way *w = p->way + i;
        if (w->chosen && w->compute == compute && w->threads == threads) return w->gflops.median;
    }
    return 0;
}

void peaks_release(struct peaks *p) {
    for (int i = 0; i < p->datas; i++) product_data_close(p->data + i);
    for (int i = 0; i < p->counts; i++) pool_close(p->pool[i]);
    free(p->way);
    *p = (struct peaks){0};
}
