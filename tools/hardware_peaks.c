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

/* Rivals of a round at most, and the reference beside them. */
enum { GROUP = MAX_RIVALS - 1, ROUNDS = 9 };

struct measuring {
    struct peaks *p;
    const struct peaks_opts *o;
    double began; /* clock_seconds() */
    bool ready[PEAKS_WAYS];
    /* Of a product: of one thread those of processors, which other programs disturb less. */
    double seconds[PEAKS_WAYS][ROUNDS];
};

/* Time is up where other work makes everything take longer than it should. */
static bool late(const struct measuring *m) {
    return clock_seconds() - m->began > 1.5 * m->o->seconds;
}

/* Judged by a small square on one thread, and as if others took an equal share. Warming up and
 * finding out how long a turn is take as much again as three rounds. */
static int choose_side(struct measuring *m, struct peaks_way *w, struct err *e) {
    struct peaks *p = m->p;
    struct gemm one = w->gemm;
    double trial;
    one.pool = NULL;
    const int rc = peak_trial(&one, &trial, e);
    for (int i = 0; i < p->n && !rc; i++) {
        struct peaks_way *v = p->way + i;
        if (same_cpu(&v->cpu, &w->cpu) && v->compute == w->compute)
            v->side = peak_side_within(&v->gemm, trial / v->threads,
                                       m->o->seconds / (6 * (p->n + 1)));
    }
    return rc;
}

/* One set of operands for all of a side, whoever else will be of that side. */
static int open_data(struct peaks *p, struct peaks_way *w, struct err *e) {
    enum { MOST = sizeof p->data / sizeof *p->data };
    const struct shape square = {FORM_forward, w->side, w->side, w->side};
    int i = 0, n = 0;
    while (i < p->datas && p->data[i].shape.m != w->side) i++;
    w->data = i;
    if (i < p->datas) return 0;
    if (i == MOST) return err_set(e, ERR_NOMEM, "too many sides");
    struct gemm *g = calloc((size_t)p->n, sizeof *g);
    if (!g) return err_set(e, ERR_NOMEM, "out of memory");
    for (int k = 0; k < p->n; k++) g[n++] = p->way[k].gemm;
    const int rc = product_data_open(p->data + i, &square, g, n, e);
    if (!rc) p->datas++;
    free(g);
    return rc;
}

/* Its first round; *turns: seconds of its turns so far. */
static int prepare(struct measuring *m, int i, double *turns, struct err *e) {
    int rc;
    struct peaks_way *w = m->p->way + i;
    struct turn t;
    if (!w->side) TRY(choose_side(m, w, e));
    TRY(open_data(m->p, w, e));
    product_init(&w->product, &w->gemm, m->p->data + w->data);
    const double at = clock_seconds();
    TRY(product_turn(&w->product, &t, e));
    *turns += clock_seconds() - at;
    m->seconds[i][0] = w->threads == 1 ? t.cpu : t.wall;
    m->ready[i] = true;
out:
    return rc;
}

/* What is chosen comes first; on one thread and all of them it is measured in any case. */
static int prepare_all(struct measuring *m, double *turns, struct err *e) {
    int rc = 0;
    struct peaks *p = m->p;
    const int all = machine_threads(m->o->machine);
    for (int first = 1; first >= 0; first--)
        for (int i = 0; i < p->n; i++) {
            const bool must = first && (p->way[i].threads == 1 || p->way[i].threads == all);
            if (p->way[i].chosen != first) continue;
            if (!must && late(m))
                p->cut = true;
            else
                TRY(prepare(m, i, turns, e));
        }
out:
    return rc;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* A turn of each of a group, in an order drawn anew. */
static int take_group(struct measuring *m, int from, int n, int round, struct err *e) {
    struct rival rival[MAX_RIVALS];
    struct rounds r;
    for (int i = 0; i < n; i++)
        rival[i] = (struct rival){NULL, product_turn, &m->p->way[from + i].product};
    rival[n] = (struct rival){NULL, peak_turn, m->o->reference};
    const int rc = rounds_take(&r, rival, n + 1, 1, (uint64_t)round, NULL, NULL, e);
    if (rc) return rc;
    for (int i = 0; i < n; i++)
        m->seconds[from + i][round] =
            rounds_seconds(&r, i, m->p->way[from + i].threads == 1).median;
    rounds_release(&r);
    return 0;
}

static int take_rounds(struct measuring *m, double turns, struct err *e) {
    int rc = 0;
    struct peaks *p = m->p;
    const double fit = (m->o->seconds + m->began - clock_seconds()) / fmax(turns, 1e-9);
    const int rounds = fit < 2 ? 3 : fit < ROUNDS - 1 ? 1 + (int)fit : ROUNDS;
    for (p->rounds = 1;; p->rounds++) {
        if (m->o->seen) m->o->seen(m->o->ctx, p->rounds, rounds);
        if (p->rounds == rounds || late(m)) break;
        for (int i = 0; i < p->n; i += GROUP)
            TRY(take_group(m, i, p->n - i < GROUP ? p->n - i : GROUP, p->rounds, e));
    }
    for (int i = 0; i < p->n; i++) {
        struct peaks_way *w = p->way + i;
        const struct stat_spread s = stat_spread(m->seconds[i], (size_t)p->rounds);
        const double flops = 1e-9 * shape_flops(&p->data[w->data].shape);
        w->gflops = (struct stat_spread){flops / s.median, flops / s.high, flops / s.low};
    }
out:
    return rc;
}

/* Those that had no turn go. */
static void drop_unready(struct measuring *m) {
    int n = 0;
    for (int i = 0; i < m->p->n; i++) {
        if (!m->ready[i]) continue;
        m->p->way[n] = m->p->way[i];
        m->p->way[n].product.g = &m->p->way[n].gemm;
        m->seconds[n++][0] = m->seconds[i][0];
    }
    m->p->n = n;
}

int peaks_measure(struct peaks *p, const struct peaks_opts *o, struct err *e) {
    int rc;
    double turns = 0;
    struct measuring *m = calloc(1, sizeof *m);
    *p = (struct peaks){.n = 0};
    p->way = calloc(PEAKS_WAYS, sizeof *p->way);
    if (!p->way || !m) TRY(err_set(e, ERR_NOMEM, "out of memory"));
    *m = (struct measuring){.p = p, .o = o, .began = clock_seconds()};
    TRY(list_ways(p, o, e));
    TRY(prepare_all(m, &turns, e));
    drop_unready(m);
    TRY(take_rounds(m, turns, e));
out:
    free(m);
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
