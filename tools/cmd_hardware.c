/* duet hardware: what the machine is, what it reads, copies and multiplies, and what that is good
 * for. */
#include "bench.h"
#include "clock.h"
#include "cmd.h"
#include "facts.h"
#include "hardware.h"
#include "log.h"
#include "usual_peak.h"

#include <string.h>

struct opts {
    bool quick, json, quiet;
    int64_t threads;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_BOOL(O, quick, "quick", "measure for two seconds only: fewer sizes, one thread and all"),
    CONF_INT(O, threads, "threads", "0", 0, 4096,
             "threads to measure with, and to estimate for; 0: one per processor"),
    CONF_BOOL(O, json, "json", "print the result as one JSON object"),
    CONF_BOOL(O, quiet, "quiet", "no progress line"),
    CONF_END};
#undef O

/* Seconds for each measurement, half of it more at most, and for a turn of the reference. */
struct times {
    double memory, products, reference;
};
static const struct times usual_times = {4.5, 7.5, 0.1}, quick_times = {0.6, 0.8, 0.02};

struct work {
    struct hardware *h;
    struct log_progress line;
    const char *doing;
    bool peak_in_rounds; /* the reference has its turns already */
    int rc;
    struct err *e;
};

static void seen(void *ctx, int64_t done, int64_t of) {
    struct work *w = ctx;
    struct turn t;
    if (!w->peak_in_rounds && !w->rc) w->rc = peak_turn(&w->h->reference, &t, w->e);
    log_bar(&w->line, w->doing, (uint64_t)done, (uint64_t)of, "rounds");
}

/* ---- what is known without measuring --------------------------------------------------------- */

static void look(struct hardware *h) {
    cpu_model(h->model, sizeof h->model);
    topology_read(&h->topology);
    memory_limits(&h->memory);
    h->usable = cpu_count();
    h->quota = limit_cpus();
    h->plannable = machine_memory(&h->machine);
}

/* All of the last level that so many threads have, several times over. */
static size_t largest_set(const struct hardware *h) {
    const struct topology *t = &h->topology;
    const size_t mb = (size_t)1 << 20, least = (h->quick ? 32 : 64) * mb,
                 most = (h->quick ? 256 : 1024) * mb;
    size_t last = 0;
    for (int i = 0; i < t->n_caches; i++) {
        const size_t all = cliff_capacity(t->cache + i, machine_threads(&h->machine));
        if (all > last) last = all;
    }
    const size_t want = last ? (h->quick ? 2 : 4) * last : 4 * least;
    return want < least ? least : want > most ? most : want;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void find_cliffs(struct hardware *h) {
    static const enum bandwidth_kind kind[] = {BANDWIDTH_read_one, BANDWIDTH_read_all};
    const struct bandwidth *b = &h->bandwidth;
    size_t bytes[64];
    double rate[64];
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        struct hardware_cliffs *of = h->cliffs + k;
        const int n = b->n < 64 ? b->n : 64;
        for (int i = 0; i < n; i++) {
            bytes[i] = b->point[i].bytes;
            rate[i] = b->point[i].rate[kind[k]];
        }
        of->kind = kind[k];
        of->threads = k ? b->threads : 1;
        of->n = cliff_find(bytes, rate, n, of->cliff, HARDWARE_CLIFFS);
    }
}

static int measure_memory(struct work *w, const struct times *t, struct err *e) {
    struct hardware *h = w->h;
    const struct bandwidth_opts o = {.pool = h->machine.pool,
                                     .kern = h->machine.kern,
                                     .most = largest_set(h),
                                     .per_octave = h->quick ? 1 : 2,
                                     .seconds = t->memory,
                                     .seen = seen,
                                     .ctx = w};
    w->doing = "reading and copying memory";
    log_begin(&w->line);
    log_state(&w->line, "%s", w->doing);
    const int rc = bandwidth_measure(&h->bandwidth, &o, e);
    if (!rc) find_cliffs(h);
    return rc;
}

static int measure_products(struct work *w, const struct times *t, struct err *e) {
    struct hardware *h = w->h;
    const struct peaks_opts o = {.machine = &h->machine,
                                 .quick = h->quick,
                                 .seconds = t->products,
                                 .reference = &h->reference,
                                 .seen = seen,
                                 .ctx = w};
    w->doing = "multiplying";
    w->peak_in_rounds = true;
    log_begin(&w->line);
    log_state(&w->line, "%s", w->doing);
    return peaks_measure(&h->peaks, &o, e);
}

/* ---- what that means ------------------------------------------------------------------------- */

/* Before anything is measured: what is wrong with the descriptions is said at once. */
static int plan(const struct machine *m, const struct size_shape *s, int n, struct class_fit *fit,
                struct err *e) {
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) rc = size_plan(s + i, m, &fit[i].need, e);
    return rc;
}

/* The number of the machine's class among them. */
static int judge(const struct hardware *h, const struct size_shape *s, int n,
                 struct class_fit *fit) {
    const bool bf16 = gemm_faster_compute("auto", &h->machine.cpu) == DT_BF16;
    const double peak[] = {hardware_peak(h, DT_F32), bf16 ? hardware_peak(h, DT_BF16) : 0};
    for (int i = 0; i < n; i++) fit[i].rate = size_rate(s + i, peak[0], peak[1]);
    return class_judge(fit, n, h->plannable, machine_threads(&h->machine));
}

static void warn(struct work *w) {
    const struct hardware *h = w->h;
    const double peak = drift_spread(&h->reference.rates).median;
    bench_warn_of_drift(&h->reference.rates);
    if (usual_peak_missed(peak, h->usual))
        log_warn(&w->line,
                 "warning: %.0f GFLOP/s, where this machine usually has %.0f: something else may "
                 "be using it",
                 peak, h->usual);
}

static int measure(struct work *w, struct err *e) {
    int rc;
    struct hardware *h = w->h;
    struct turn turn;
    const struct times *t = h->quick ? &quick_times : &usual_times;
    const double at = clock_seconds();
    log_state(&w->line, "looking at the machine");
    TRY(peaks_reference(&h->reference, &h->machine, t->reference, e));
    TRY(peak_turn(&h->reference, &turn, e));
    TRY(measure_memory(w, t, e));
    TRY(w->rc);
    TRY(measure_products(w, t, e));
    log_progress_end(&w->line);
    if (h->reference.data.shape.m == gemm_peak_side(&h->reference.g, h->plannable))
        h->usual = usual_peak(&h->reference.g, h->plannable);
    h->seconds = clock_seconds() - at;
    judge(h, size_shapes, n_size_shapes, h->shape);
    h->in_class = judge(h, size_classes, n_size_classes, h->class);
out:
    log_progress_end(&w->line);
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct opts o = {0};
    struct conf conf = {0};
    struct hardware h = {0};
    struct work w = {.h = &h, .e = e};
    TRY(cmd_parse(&cmd_hardware, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(cmd_count("hardware", &conf, 0, 0, 0, "no argument", e));
    h.quick = o.quick;
    log_progress_init(&w.line, o.quiet);
    TRY(cmd_machine(&h.machine, o.threads, e));
    look(&h);
    TRY(plan(&h.machine, size_shapes, n_size_shapes, h.shape, e));
    TRY(plan(&h.machine, size_classes, n_size_classes, h.class, e));
    TRY(measure(&w, e));
    if (o.json) {
        json_t *j = hardware_json(&h);
        facts_print_json(j, stdout);
        json_decref(j);
    } else {
        TRY(hardware_print(&h, stdout, e));
    }
    fflush(stdout);
    warn(&w);
out:
    peaks_release(&h.peaks);
    bandwidth_release(&h.bandwidth);
    peak_close(&h.reference);
    machine_close(&h.machine);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_hardware = {
    .name = "hardware",
    .summary = "What the machine is, reads, copies and multiplies, and what it can train.",
    .usage = "[--quick] [--threads N] [--json]",
    .notes =
        "Takes about 15 seconds, with --quick 2. Rates are medians of rounds, nine at most. On a "
        "busy machine\n"
        "there are fewer, and what has not been measured by then is left out, which is said.\n"
        "\n"
        "Bandwidth: bytes that loops ask for, in 10^9 a second; a copy counts what it reads and "
        "what it\n"
        "writes. The working set is what all threads together touch. Caches and working sets are "
        "in\n"
        "powers of 1024. A cliff is a fall by more than a fifth that does not come back, named by "
        "the cache\n"
        "that ends there.\n"
        "\n"
        "Products: large squares by every instruction set of this CPU, up to what DUET_CPU allows, "
        "with the\n"
        "backend that duet takes; with every number of threads up to 16, then some of them.\n"
        "\n"
        "What one thread does is timed by its processor, what several do by the clock: where the "
        "first is\n"
        "much better, something else is using the machine.\n"
        "\n"
        "Tokens a second and size classes are estimates from the measured peak; docs/guide.md says "
        "how.\n",
    .rows = rows,
    .run = run,
};
