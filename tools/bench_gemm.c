/* Products of many shapes, by every backend in turns with the others and with one product that
 * tells what the machine can do at the time. */
#include "bench.h"
#include "bench_product.h"
#include "bench_remote.h"
#include "log.h"
#include "num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WAYS = MAX_RIVALS - 1 }; /* the last rival is the peak */

/* One way of multiplying: a backend here, or another program. */
struct way {
    const char *name;
    const struct gemm *g; /* NULL: the program */
    struct remote *remote;
};

/* Those of one type. */
struct ways {
    const struct bench_opts *o;
    enum dtype compute;
    struct way way[MAX_WAYS];
    int n;
    struct gemm gemm[MAX_WAYS]; /* of those that are here */
    int gemms;
    struct remote remote[MAX_WAYS];
    int remotes;
    int subject;    /* the one that is set against the best of the others */
    unsigned named; /* bit i: not auto, which is another of them under a second name */
    struct peak peak;
    const struct shape_set *set; /* of the last row */
    struct log_progress line;
    uint64_t turns, all_turns; /* rounds that are done, and of all shapes */
    double share; /* of the peak, the greatest of a product */
    json_t *rows;
};

static int add_backend(struct ways *w, const char *backend, struct err *e) {
    struct gemm *g = w->gemm + w->gemms;
    const int rc = gemm_init(g, backend, w->compute, &w->o->machine.cpu, w->o->machine.pool, e);
    if (rc) return rc;
    if (strcmp(backend, "auto")) w->named |= 1u << w->n;
    w->gemms++;
    w->way[w->n++] = (struct way){.name = backend, .g = g};
    return 0;
}

static int add_program(struct ways *w, const char *path, struct err *e) {
    struct words command = {0};
    struct remote *r = w->remote + w->remotes;
    char threads[16];
    bool old = false;
    snprintf(threads, sizeof threads, "%d", machine_threads(&w->o->machine));
    const char *const argv[] = {
        path,        "bench",          "gemm",      "--serve",
        "--gemm",    w->o->train.gemm, "--compute", dtype_row(w->compute)->name,
        "--threads", threads};
    for (size_t i = 0; i < sizeof argv / sizeof *argv; i++) words_add(&command, argv[i]);
    int rc = remote_open(r, &command, "gemm", &old, e);
    words_release(&command);
    if (!rc && old)
        rc = err_set(e, ERR_INPUT,
                     "%.200s measures no products on request (it has no --serve): compare steps",
                     path);
    if (rc) return rc;
    w->remotes++;
    w->named |= 1u << w->n;
    w->way[w->n++] = (struct way){.name = path, .remote = r};
    return 0;
}

/* auto and every backend but the reference, which is no measure of the machine, as far as they can
 * compute this; or those that were asked for. */
static int find_ways(struct ways *w, struct err *e) {
    const struct train_opts *t = &w->o->train;
    int rc;
    TRY(add_backend(w, t->gemm, e));
    for (size_t i = 0; i < w->o->against.n; i++) {
        bool backend;
        const char *word = w->o->against.item[i];
        TRY(bench_against_kind(word, &backend, e));
        TRY(backend ? add_backend(w, word, e) : add_program(w, word, e));
    }
    if (w->o->against.n || strcmp(t->gemm, "auto")) goto out;
    for (size_t i = 0; i < n_gemm_backends; i++) {
        struct err ignored;
        const char *name = gemm_backends[i]->name;
        if (!strcmp(name, "ref")) continue;
        if (!strcmp(name, "native")) w->subject = w->n;
        if (add_backend(w, name, &ignored) && !t->json)
            printf("%s: not here: %s\n", name, ignored.msg);
    }
out:
    return rc;
}

/* ---- a row ---------------------------------------------------------------------------------- */

/* What the rounds told of a shape. */
struct row {
    const struct shape *shape;
    struct rounds rounds;
    int best;  /* of the named, or of all if none is */
    int other; /* the best of the others than the subject, auto apart; -1: there is none */
};

static struct stat_spread rate(const struct row *r, int i) {
    const struct stat_spread s = rounds_seconds(&r->rounds, i, false);
    const double g = 1e-9 * shape_flops(r->shape);
    return (struct stat_spread){g / s.median, g / s.high, g / s.low};
}

/* Share of the peak, which is another product: by the flops of both. */
static struct stat_spread share(const struct ways *w, const struct row *r, int i, bool cpu) {
    const struct stat_spread s = rounds_ratio(&r->rounds, i, w->n, cpu);
    const double f = shape_flops(r->shape) / shape_flops(&w->peak.data.shape);
    return (struct stat_spread){s.median * f, s.low * f, s.high * f};
}

static double peak_rate(const struct ways *w, const struct row *r) {
    return 1e-9 * shape_flops(&w->peak.data.shape) / rounds_seconds(&r->rounds, w->n, false).median;
}

static void seen(void *ways, int64_t done, int64_t of) {
    struct ways *w = ways;
    (void)done, (void)of;
    log_bar(&w->line, "measuring", ++w->turns, w->all_turns, "rounds");
}

/* The other program makes its own operands, and warms up. */
static int ask_for(struct remote *r, const struct shape *s, struct err *e) {
    struct turn warm;
    snprintf(r->request, sizeof r->request, "%s:%lldx%lldx%lld\n", shape_form(s), (long long)s->m,
             (long long)s->n, (long long)s->k);
    return remote_turn(r, &warm, e);
}

static int take(struct row *r, struct ways *w, const struct shape *s, struct err *e) {
    int rc;
    struct product_data data = {0};
    struct product product[MAX_WAYS];
    struct rival rival[MAX_RIVALS];
    const unsigned all = (1u << w->n) - 1;
    *r = (struct row){.shape = s};
    TRY(product_data_open(&data, s, w->gemm, w->gemms, e));
    for (int i = 0; i < w->n; i++) {
        const struct way *way = w->way + i;
        if (way->remote) {
            TRY(ask_for(way->remote, s, e));
            rival[i] = (struct rival){way->name, remote_turn, way->remote};
        } else {
            product_init(product + i, way->g, &data);
            rival[i] = (struct rival){way->name, product_turn, product + i};
        }
    }
    rival[w->n] = (struct rival){"peak", peak_turn, &w->peak};
    TRY(rounds_take(&r->rounds, rival, w->n + 1, w->o->runs, (uint64_t)w->o->train.seed, seen, w,
                    e));
    r->best = rounds_best(&r->rounds, w->named ? w->named : all);
    r->other = rounds_best(&r->rounds, (w->o->against.n ? all : w->named) & ~(1u << w->subject));
out:
    product_data_close(&data);
    return rc;
}

static void size_text(const struct shape *s, char *buf, size_t size) {
    snprintf(buf, size, "%lldx%lldx%lld", (long long)s->m, (long long)s->n, (long long)s->k);
}

static void print_head(const struct ways *w) {
    const struct machine *m = &w->o->machine;
    char versus[64], cpu[CPU_MODEL];
    if (!json_array_size(w->rows))
        printf(
            "GFLOP/s, packing included: medians of %lld rounds of one turn each\n%s, %d threads, "
            "%s; a-b: where the median lies with %.0f %%; *: the best; share: of\nthe peak; cpu: "
            "by seconds of processors, which other work does not take\n",
            (long long)w->o->runs, cpu_model(cpu, sizeof cpu), machine_threads(m),
            cpu_tier_name(m->cpu.tier), 100 * stat_spread_level((size_t)w->o->runs));
    printf("\n%-11s %14s %5s", dtype_row(w->compute)->name, "M x N x K", "peak");
    for (int i = 0; i < w->n; i++) printf(" %8.8s", bench_short_name(w->way[i].name));
    snprintf(versus, sizeof versus, "%.8s/%.8s", bench_short_name(w->way[w->subject].name),
             w->n == 2 ? bench_short_name(w->way[!w->subject].name) : "other");
    if (w->n > 1) printf(" %-14.14s  cpu", versus);
    printf(" share  cpu\n");
}

static void print_row(struct ways *w, const struct row *r, const struct shape_set *set) {
    char text[64];
    if (w->set != set)
        printf("%s%s%s\n", set->name ? set->name : "", set->name ? ": " : "", set->about);
    w->set = set;
    size_text(r->shape, text, sizeof text);
    printf("%-11s %14s %5.0f", shape_form(r->shape), text, peak_rate(w, r));
    for (int i = 0; i < w->n; i++) {
        const double gflops = rate(r, i).median;
        printf(" %7.*f%c", gflops < 10 ? 2 : 0, gflops, w->n > 1 && i == r->best ? '*' : ' ');
    }
    if (w->n > 1 && r->other >= 0)
        printf(" %-14s %4.2f",
               bench_spread_text(rounds_ratio(&r->rounds, w->subject, r->other, false), text),
               rounds_ratio(&r->rounds, w->subject, r->other, true).median);
    else if (w->n > 1)
        printf(" %-14s    -", "-");
    printf("  %4.2f %4.2f\n", share(w, r, w->subject, false).median,
           share(w, r, w->subject, true).median);
    fflush(stdout);
}

static struct stat_spread in_ms(struct stat_spread s) {
    return (struct stat_spread){1e3 * s.median, 1e3 * s.low, 1e3 * s.high};
}

static json_t *way_json(const struct ways *w, const struct row *r, int i) {
    const struct way *way = w->way + i;
    json_t *j = json_pack("{s:s}", way->g ? "backend" : "program", way->name);
    if (way->g) json_object_set_new(j, "uses", json_string(way->g->backend->name));
    bench_spread_json(j, "gflops", rate(r, i));
    bench_spread_json(j, "ms", in_ms(rounds_seconds(&r->rounds, i, false)));
    bench_spread_json(j, "cpu_ms", in_ms(rounds_seconds(&r->rounds, i, true)));
    bench_spread_json(j, "ratio_to_best", rounds_ratio(&r->rounds, i, r->best, false));
    bench_spread_json(j, "cpu_ratio_to_best", rounds_ratio(&r->rounds, i, r->best, true));
    bench_spread_json(j, "peak_fraction", share(w, r, i, false));
    bench_spread_json(j, "cpu_peak_fraction", share(w, r, i, true));
    return j;
}

static json_t *shape_json(const struct ways *w, const struct shape *s,
                          const struct shape_set *set) {
    return json_pack("{s:s,s:s?,s:s,s:I,s:I,s:I}", "compute", dtype_row(w->compute)->name, "set",
                     set->name, "form", shape_form(s), "m", (json_int_t)s->m, "n", (json_int_t)s->n,
                     "k", (json_int_t)s->k);
}

static json_t *row_json(const struct ways *w, const struct row *r, const struct shape_set *set) {
    json_t *j = shape_json(w, r->shape, set), *rivals = json_array();
    for (int i = 0; i < w->n; i++) json_array_append_new(rivals, way_json(w, r, i));
    json_object_set_new(j, "peak_gflops", json_real(peak_rate(w, r)));
    json_object_set_new(j, "best", json_string(w->way[r->best].name));
    json_object_set_new(j, "subject", json_string(w->way[w->subject].name));
    if (r->other >= 0) {
        json_object_set_new(j, "other", json_string(w->way[r->other].name));
        bench_spread_json(j, "ratio_to_other",
                          rounds_ratio(&r->rounds, w->subject, r->other, false));
        bench_spread_json(j, "cpu_ratio_to_other",
                          rounds_ratio(&r->rounds, w->subject, r->other, true));
    }
    json_object_set_new(j, "rivals", rivals);
    return j;
}

static int measure(struct ways *w, const struct shape *s, const struct shape_set *set,
                   struct err *e) {
    struct row r;
    const bool json = w->o->train.json;
    const int rc = take(&r, w, s, e);
    if (rc == ERR_NOMEM) { /* of this shape: the others may fit */
        char text[64];
        size_text(s, text, sizeof text);
        json_t *j = shape_json(w, s, set);
        json_object_set_new(j, "left_out", json_string(e->msg));
        json_array_append_new(w->rows, j);
        if (!json) printf("%-11s %16s left out: %s\n", shape_form(s), text, e->msg);
        return 0;
    }
    if (rc) return rc;
    w->share = fmax(w->share, share(w, &r, w->subject, false).median);
    if (!json) print_row(w, &r, set);
    json_array_append_new(w->rows, row_json(w, &r, set));
    rounds_release(&r.rounds);
    return 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static json_t *peak_json(const struct ways *w) {
    const struct drift_range d = drift_range(&w->peak.rates);
    return json_pack("{s:s,s:s,s:I,s:f,s:f,s:f}", "compute", dtype_row(w->compute)->name, "backend",
                     w->peak.g.backend->name, "side", (json_int_t)w->peak.data.shape.m,
                     "gflops_low", d.low, "gflops_high", d.high, "moved", d.moved);
}

static int measure_type(const struct bench_opts *o, enum dtype compute,
                        const struct shape_list *shapes, json_t *rows, json_t *peaks,
                        struct err *e) {
    int rc;
    struct ways w = {.o = o, .compute = compute, .rows = rows};
    w.all_turns = shapes->n * (uint64_t)o->runs;
    log_progress_init(&w.line, o->train.quiet || !o->train.json); /* rows tell how far it is */
    log_begin(&w.line);
    TRY(find_ways(&w, e));
    TRY(peak_open_best(&w.peak, compute, &o->machine.cpu, o->machine.pool, e));
    if (!o->train.json) print_head(&w);
    fflush(stdout);
    for (size_t i = 0; i < shapes->n; i++) TRY(measure(&w, shapes->s + i, shapes->set[i], e));
    log_progress_end(&w.line);
    const struct drift_range d = drift_range(&w.peak.rates);
    if (!o->train.json)
        printf("peak: %s, %lld cubed, in turns with the others: %.0f to %.0f GFLOP/s\n",
               w.peak.g.backend->name, (long long)w.peak.data.shape.m, d.low, d.high);
    json_array_append_new(peaks, peak_json(&w));
    fflush(stdout);
    bench_warn_of_drift(&w.peak.rates);
    bench_warn_of_share(w.share);
out:
    log_progress_end(&w.line);
    for (int i = 0; i < w.remotes; i++) remote_close(w.remote + i);
    peak_close(&w.peak);
    return rc;
}

/* Types that this CPU multiplies faster than by rounding them, or the one that was asked for. */
static bool wanted(const struct bench_opts *o, enum dtype type) {
    if (o->one_type) return compute_type(o->train.compute, o->train.gemm, &o->machine.cpu) == type;
    if (type == DT_F32) return true;
    for (size_t i = 0; i < n_gemm_backends; i++)
        if (gemm_backends[i]->rate(type, &o->machine.cpu) >= GEMM_VECTORS) return true;
    return false;
}

static void print_json(const struct bench_opts *o, json_t *rows, json_t *peaks) {
    char cpu[CPU_MODEL];
    json_t *j =
        json_pack("{s:s,s:s,s:i,s:I,s:f,s:O,s:O}", "cpu", cpu_model(cpu, sizeof cpu), "isa",
                  cpu_tier_name(o->machine.cpu.tier), "threads", machine_threads(&o->machine),
                  "runs", (json_int_t)o->runs, "interval_level", stat_spread_level((size_t)o->runs),
                  "peaks", peaks, "shapes", rows);
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

/* ---- products on request --------------------------------------------------------------------- */

struct served {
    struct gemm g;
    struct product_data data;
    struct product product;
    char request[96]; /* that the data are for */
};

static int serve_product(void *ctx, const char *request, struct turn *t, struct err *e) {
    struct served *s = ctx;
    struct shape_list l = {0};
    int rc = 0;
    if (strcmp(request, s->request)) {
        *s->request = '\0';
        product_data_close(&s->data);
        TRY(shape_list_add(&l, request, e));
        TRY(product_data_open(&s->data, l.s, &s->g, 1, e));
        product_init(&s->product, &s->g, &s->data);
        snprintf(s->request, sizeof s->request, "%s", request);
    }
    TRY(product_turn(&s->product, t, e));
out:
    shape_list_release(&l);
    return rc;
}

static int serve(const struct bench_opts *o, struct err *e) {
    struct served s = {0};
    int rc;
    TRY(gemm_init(&s.g, o->train.gemm,
                  compute_type(o->train.compute, o->train.gemm, &o->machine.cpu), &o->machine.cpu,
                  o->machine.pool, e));
    TRY(bench_serve(0, serve_product, &s, e));
out:
    product_data_close(&s.data);
    return rc;
}

int bench_gemm(const struct bench_opts *o, struct err *e) {
    static const enum dtype types[] = {DT_F32, DT_BF16};
    struct shape_list shapes = {0};
    json_t *rows = json_array(), *peaks = json_array();
    int rc;
    if (o->serve) TRY(serve(o, e));
    if (o->serve) goto out;
    if (o->against.n >= MAX_WAYS) TRY(err_set(e, ERR_USAGE, "--against: at most %d", MAX_WAYS - 1));
    if (!o->shapes.n) TRY(shape_list_add(&shapes, "usual", e));
    for (size_t i = 0; i < o->shapes.n; i++) TRY(shape_list_add(&shapes, o->shapes.item[i], e));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (wanted(o, types[i])) TRY(measure_type(o, types[i], &shapes, rows, peaks, e));
    if (o->train.json) print_json(o, rows, peaks);
out:
    json_decref(rows);
    json_decref(peaks);
    shape_list_release(&shapes);
    return rc;
}
