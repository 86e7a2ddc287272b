#include "hardware.h"
#include "num.h"
#include "table.h"
#include "term.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static int columns(void) {
    return isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0;
}

static int finish(struct table *t, FILE *f, struct err *e) {
    int rc = 0;
    if (t->no_memory)
        rc = err_set(e, ERR_NOMEM, "out of memory for a table");
    else
        table_print(t, columns(), "--json has all", f);
    table_release(t);
    return rc;
}

/* ---- what the machine is --------------------------------------------------------------------- */

/* "2 cores", "1 core"; of 0 that it is not known. */
static const char *counted(char text[48], int n, const char *what) {
    if (n)
        snprintf(text, 48, "%d %s%s", n, what, n == 1 ? "" : "s");
    else
        snprintf(text, 48, "%ss not known", what);
    return text;
}

static void print_processors(const struct hardware *h, FILE *f) {
    const struct topology *t = &h->topology;
    char a[48], b[48], c[48], kinds[256] = "";
    term_fact(f, "processor", "%s", h->model);
    term_fact(f, "cores", "%s, %s, %s", counted(a, t->sockets, "socket"),
              counted(b, t->cores, "core"), counted(c, t->threads, "thread"));
    for (int i = 0; i < t->n_kinds; i++) {
        const size_t n = strlen(kinds);
        snprintf(kinds + n, sizeof kinds - n, "%s%d %s", i ? ", " : "", t->kind[i].threads,
                 t->kind[i].name);
    }
    if (t->n_kinds) term_fact(f, "kinds", "threads of cores of several kinds: %s", kinds);
    if (h->quota)
        term_fact(f, "usable", "%s, of a quota of %d processors' time",
                  counted(a, h->usable, "thread"), h->quota);
    else
        term_fact(f, "usable", "%s", counted(a, h->usable, "thread"));
}

/* The tiers that there are, up to one; those that are built. */
static const char *tiers(char text[128], int most) {
    *text = 0;
    for (int t = 0; t <= most; t++) {
        const size_t n = strlen(text);
        if (cpu_tier_built((enum cpu_tier)t))
            snprintf(text + n, 128 - n, "%s%s", n ? " " : "", cpu_tier_name((enum cpu_tier)t));
    }
    return text;
}

static void print_tiers(const struct hardware *h, FILE *f) {
    char built[128], runs[128], name[40];
    const bool capped = (int)h->machine.cpu.tier < (int)cpu_best();
    term_fact(f, "tiers", "duet has %s; this processor runs %s", tiers(built, CPU_TIER_COUNT - 1),
              tiers(runs, (int)cpu_best()));
    term_fact(f, "chosen", "%s%s", peaks_tier_name(&h->machine.cpu, name),
              capped ? ", capped by DUET_CPU" : "");
}

static void print_memory(const struct hardware *h, FILE *f) {
    const struct memory_limits *m = &h->memory;
    if (m->total)
        term_fact(f, "memory", "%.0f MB, %.0f MB available", in_mb(m->total), in_mb(m->available));
    else
        term_fact(f, "memory", "not known");
    if (m->group)
        term_fact(f, "cgroup", "limit %.0f MB, %.0f MB left", in_mb(m->group),
                  in_mb(m->group_left));
    if (m->rlimit)
        term_fact(f, "ulimit", "%.0f MB, %.0f MB left", in_mb(m->rlimit), in_mb(m->rlimit_left));
    if (h->plannable)
        term_fact(f, "plannable", "%.0f MB: what a run may take", in_mb(h->plannable));
    for (int i = 0; i < h->topology.n_nodes && h->topology.n_nodes > 1; i++) {
        const struct topology_node *n = h->topology.node + i;
        char key[32], a[48];
        snprintf(key, sizeof key, "node %d", n->id);
        term_fact(f, key, "%s, %.0f MB", counted(a, n->threads, "thread"),
                  in_mb((size_t)n->bytes));
    }
    if (h->topology.n_nodes == 1) term_fact(f, "nodes", "one node of memory");
}

static int print_caches(const struct hardware *h, FILE *f, struct err *e) {
    const struct topology *t = &h->topology;
    struct table table = {0};
    if (!t->n_caches) {
        fprintf(f, "\nCaches are not known.\n");
        return 0;
    }
    fprintf(f, "\nCaches%s, each shared by so many threads:\n",
            t->caches_of_cpuid ? ", as the processor says" : "");
    table_column(&table, "cache", true, 0);
    table_column(&table, "size", false, 0);
    table_column(&table, "threads", false, 0);
    table_column(&table, "of these", false, 1);
    for (int i = 0; i < t->n_caches; i++) {
        const struct cpu_cache *c = t->cache + i;
        char name[16], size[24];
        table_row(&table);
        table_set(&table, 0, "%s", cliff_cache_name(c, name));
        table_set(&table, 1, "%s", cliff_size((size_t)c->bytes, size));
        table_set(&table, 2, "%d", c->threads);
        if (c->count) table_set(&table, 3, "%d", c->count);
    }
    return finish(&table, f, e);
}

/* ---- what it reads and copies ---------------------------------------------------------------- */

enum { BAR = 16 };

static double highest(const struct bandwidth *b, enum bandwidth_kind k) {
    double most = 0;
    for (int i = 0; i < b->n; i++) most = fmax(most, b->point[i].rate[k]);
    return most;
}

/* Of the largest working set. */
static void print_rates(const struct hardware *h, FILE *f) {
    const struct bandwidth *b = &h->bandwidth;
    const struct bandwidth_point *last = b->point + b->n - 1;
    static const struct {
        const char *name;
        enum bandwidth_kind one, all;
    } rows[] = {{"read", BANDWIDTH_read_one, BANDWIDTH_read_all},
                {"copy", BANDWIDTH_copy_one, BANDWIDTH_copy_all}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char one[32], all[32], more[64] = "", size[24];
        num_digits(last->rate[rows[i].one], 3, one);
        num_digits(last->rate[rows[i].all], 3, all);
        if (b->threads > 1 && isfinite(last->rate[rows[i].all]))
            snprintf(more, sizeof more, ", %s by %d", all, b->threads);
        term_fact(f, rows[i].name, "%s GB/s by one thread%s, of %s", one, more,
                  cliff_size(last->bytes, size));
    }
}

/* What begins to fall behind this working set. */
static const char *mark(const struct hardware *h, size_t bytes, char text[CLIFF_TEXT]) {
    const struct hardware_cliffs *of = h->cliffs;
    for (int i = 0; i < of->n; i++)
        if (of->cliff[i].from == bytes)
            return cliff_text(of->cliff + i, h->topology.cache, h->topology.n_caches, of->threads,
                              text);
    return "";
}

static int print_curve(const struct hardware *h, FILE *f, struct err *e) {
    const struct bandwidth *b = &h->bandwidth;
    const int shown = b->threads > 1 ? BANDWIDTH_COUNT : BANDWIDTH_read_all;
    const double most = highest(b, BANDWIDTH_read_one);
    char bar[3 * BAR + 1], size[24], text[CLIFF_TEXT], rate[32];
    struct table t = {0};
    fprintf(f, "\nBandwidth against the working set, GB/s, of one thread%s; bars: reading by one.\n",
            b->threads > 1 ? " and of all" : "");
    table_column(&t, "working set", false, 0);
    table_column(&t, "read", false, 0);
    table_column(&t, "copy", false, 0);
    if (b->threads > 1) {
        table_column(&t, "read, all", false, 2);
        table_column(&t, "copy, all", false, 3);
    }
    table_column(&t, "", true, 0);
    table_column(&t, "", true, 1);
    for (int i = 0; i < b->n; i++) {
        table_row(&t);
        table_set(&t, 0, "%s", cliff_size(b->point[i].bytes, size));
        for (int k = 0; k < shown; k++)
            if (isfinite(b->point[i].rate[k]))
                table_set(&t, k + 1, "%s", num_digits(b->point[i].rate[k], 3, rate));
        term_bar(b->point[i].rate[BANDWIDTH_read_one] / most, BAR, term_utf8(), bar, sizeof bar);
        table_set(&t, shown + 1, "%s", *bar ? bar : " ");
        const char *cliff = mark(h, b->point[i].bytes, text);
        table_set(&t, shown + 2, "%s", *cliff ? cliff : " ");
    }
    return finish(&t, f, e);
}

static void print_cliffs(const struct hardware *h, FILE *f) {
    char from[24], to[24], text[CLIFF_TEXT], threads[32], a[32], b[32];
    if (h->bandwidth.cut)
        fprintf(f, "Time was up: the machine is busy. Larger working sets were not measured.\n");
    for (size_t k = 0; k < sizeof h->cliffs / sizeof *h->cliffs; k++) {
        const struct hardware_cliffs *of = h->cliffs + k;
        if (k && of->threads == 1) continue; /* the same curve once more */
        for (int i = 0; i < of->n; i++) {
            const struct cliff *c = of->cliff + i;
            snprintf(threads, sizeof threads, "%d thread%s", of->threads,
                     of->threads == 1 ? "" : "s");
            fprintf(f, "cliff, %s: %s to %s, %s to %s GB/s: %s\n", threads,
                    cliff_size(c->from, from), cliff_size(c->to, to),
                    num_digits(c->before, 3, a), num_digits(c->after, 3, b),
                    cliff_text(c, h->topology.cache, h->topology.n_caches, of->threads, text));
        }
        if (!of->n)
            fprintf(f, "no cliff, %d thread%s\n", of->threads, of->threads == 1 ? "" : "s");
    }
}

/* ---- what it multiplies ---------------------------------------------------------------------- */

static const struct peaks_way *way_of(const struct peaks *p, const struct peaks_way *like,
                                      int threads, enum dtype compute) {
    for (int i = 0; i < p->n; i++) {
        const struct peaks_way *w = p->way + i;
        if (w->cpu.tier == like->cpu.tier && w->cpu.tiles == like->cpu.tiles &&
            w->threads == threads && w->compute == compute)
            return w;
    }
    return NULL;
}

static int print_peaks_of_tiers(const struct hardware *h, FILE *f, struct err *e) {
    const struct peaks *p = &h->peaks;
    const int all = machine_threads(&h->machine);
    char text[40], rate[32];
    struct table t = {0};
    fprintf(f, "\nLarge products, GFLOP/s (medians of %d round%s):\n", p->rounds,
            p->rounds == 1 ? "" : "s");
    table_column(&t, "tier", true, 0);
    table_column(&t, "type", true, 0);
    table_column(&t, "products", true, 2);
    table_column(&t, "1 thread", false, 0);
    snprintf(text, sizeof text, "%d threads", all);
    if (all > 1) table_column(&t, text, false, 0);
    table_column(&t, "", true, 1);
    for (int i = 0; i < p->n; i++) {
        const struct peaks_way *w = p->way + i, *on_all = way_of(p, w, all, w->compute);
        if (w->threads != 1) continue;
        table_row(&t);
        table_set(&t, 0, "%s", peaks_tier_name(&w->cpu, text));
        table_set(&t, 1, "%s", dtype_row(w->compute)->name);
        table_set(&t, 2, "%s, %s", w->gemm.backend->name, peaks_rate_name(w->rate));
        table_set(&t, 3, "%s", num_digits(w->gflops.median, 3, rate));
        if (all > 1 && on_all)
            table_set(&t, 4, "%s", num_digits(on_all->gflops.median, 3, rate));
        table_set(&t, all > 1 ? 5 : 4, "%s", w->chosen ? "chosen" : " ");
    }
    if (p->cut) fprintf(f, "Time was up: the machine is busy. Some were not measured.\n");
    return finish(&t, f, e);
}

static int print_peaks_of_threads(const struct hardware *h, FILE *f, struct err *e) {
    const struct peaks *p = &h->peaks;
    char rate[32], name[40];
    struct table t = {0};
    if (h->quick || machine_threads(&h->machine) < 2) return 0;
    fprintf(f, "\nWith more threads, tier %s:\n", peaks_tier_name(&h->machine.cpu, name));
    table_column(&t, "threads", false, 0);
    table_column(&t, "f32", false, 0);
    table_column(&t, "times", false, 0);
    table_column(&t, "bf16", false, 1);
    table_column(&t, "times", false, 1);
    const struct peaks_way *one[PEAKS_TYPES] = {NULL};
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < PEAKS_TYPES; k++)
            if (p->way[i].chosen && p->way[i].threads == 1 && p->way[i].compute == peaks_types[k])
                one[k] = p->way + i;
    for (int n = 1; one[0] && n <= machine_threads(&h->machine); n++) {
        if (!way_of(p, one[0], n, DT_F32)) continue;
        table_row(&t);
        table_set(&t, 0, "%d", n);
        for (int k = 0; k < PEAKS_TYPES && one[k]; k++) {
            const struct peaks_way *w = way_of(p, one[0], n, peaks_types[k]);
            if (!w) continue;
            table_set(&t, 1 + 2 * k, "%s", num_digits(w->gflops.median, 3, rate));
            table_set(&t, 2 + 2 * k, "%.2f", w->gflops.median / one[k]->gflops.median);
        }
    }
    return finish(&t, f, e);
}

/* ---- what that means ------------------------------------------------------------------------- */

/* "31,200", or nothing. */
static void set_tokens(struct table *t, int col, double x) {
    char text[32];
    if (isfinite(x)) table_set(t, col, "%s", num_count((long long)(x + 0.5), text));
}

static int print_shapes(const struct hardware *h, FILE *f, struct err *e) {
    const bool bf16 = gemm_faster_compute("auto", &h->machine.cpu) == DT_BF16;
    struct table t = {0};
    fprintf(f, "\nEstimates for training (AdamW, f32 weights): operations over the share of the "
               "peak that each\nreached with two threads elsewhere (results/speed.md). Not "
               "measured here.\n");
    table_column(&t, "shape", true, 0);
    table_column(&t, "parameters, M", false, 2);
    table_column(&t, "batch", true, 0);
    table_column(&t, "GFLOP an update", false, 3);
    table_column(&t, "memory, MB", false, 0);
    table_column(&t, "fits", true, 0);
    table_column(&t, "tokens/s", false, 0);
    if (bf16) table_column(&t, "in bf16", false, 1);
    for (int i = 0; i < n_size_shapes; i++) {
        const struct size_shape *s = size_shapes + i;
        const struct class_fit *fit = h->shape + i;
        table_row(&t);
        table_set(&t, 0, "%s", s->name);
        table_set(&t, 1, "%.1f", (double)fit->need.params * 1e-6);
        table_set(&t, 2, "%lld x %lld", (long long)s->batch, (long long)s->seq);
        table_set(&t, 3, "%.1f", fit->need.flops * 1e-9);
        table_set(&t, 4, "%.0f", in_mb(fit->need.bytes));
        table_set(&t, 5, "%s", fit->fits ? "yes" : "no");
        set_tokens(&t, 6, hardware_tokens(h, s, &fit->need, DT_F32));
        if (bf16) set_tokens(&t, 7, hardware_tokens(h, s, &fit->need, DT_BF16));
    }
    return finish(&t, f, e);
}

static const char *verdict(const struct class_fit *c) {
    return c->fits && c->fast ? "yes" : c->fits ? "too slow" : c->fast ? "no memory"
                                                                       : "too slow, no memory";
}

static int print_classes(const struct hardware *h, FILE *f, struct err *e) {
    struct table t = {0};
    fprintf(f, "\nSize classes of the predecessors' chips: enough memory, and %d updates in %d s "
               "(estimated)?\n",
            CLASS_UPDATES, CLASS_SECONDS);
    table_column(&t, "class", true, 0);
    table_column(&t, "its chips have", true, 4);
    table_column(&t, "model", true, 0);
    table_column(&t, "parameters, M", false, 3);
    table_column(&t, "tokens an update", false, 2);
    table_column(&t, "memory, MB", false, 0);
    table_column(&t, "updates", false, 0);
    table_column(&t, "threads like these", false, 1);
    table_column(&t, "here", true, 0);
    for (int i = 0; i < n_size_classes; i++) {
        const struct class_fit *c = h->class + i;
        char text[32];
        table_row(&t);
        table_set(&t, 0, "%s", size_classes[i].name);
        table_set(&t, 1, "%s", size_classes[i].memory);
        table_set(&t, 2, "%lld x %lld", (long long)c->need.layers, (long long)c->need.dim);
        table_set(&t, 3, "%.1f", (double)c->need.params * 1e-6);
        table_set(&t, 4, "%s", num_count((long long)c->need.tokens, text));
        table_set(&t, 5, "%.0f", in_mb(c->need.bytes));
        table_set(&t, 6, "%.0f", c->updates);
        if (c->threads) table_set(&t, 7, "%s", num_count(c->threads, text));
        table_set(&t, 8, "%s", verdict(c));
    }
    return finish(&t, f, e);
}

static void print_class(const struct hardware *h, FILE *f) {
    char options[SIZE_TEXT];
    const int i = h->in_class;
    if (i < 0) {
        term_fact(f, "class", "below %s", size_classes[0].name);
        return;
    }
    term_fact(f, "class", "%s", size_classes[i].name);
    term_fact(f, "train", "duet train %s ...", size_options(size_classes + i, options));
}

int hardware_print(const struct hardware *h, FILE *f, struct err *e) {
    int rc;
    print_processors(h, f);
    print_tiers(h, f);
    print_memory(h, f);
    print_rates(h, f);
    TRY(print_caches(h, f, e));
    TRY(print_curve(h, f, e));
    print_cliffs(h, f);
    TRY(print_peaks_of_tiers(h, f, e));
    TRY(print_peaks_of_threads(h, f, e));
    TRY(print_shapes(h, f, e));
    TRY(print_classes(h, f, e));
    print_class(h, f);
out:
    return rc;
}
