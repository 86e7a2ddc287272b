#include "bench.h"

#include "bench_product.h"
#include "bench_remote.h"
#include "clock.h"
#include "log.h"
#include "op.h"
#include "rng.h"
#include "stat.h"
#include "train_model.h"
#include "limit.h"

#include <jansson.h>
#include <stdlib.h>

struct source {
    const struct bench_opts *o;
    int64_t vocab, seq;
};

static void random_tokens(void *ctx, uint64_t row, struct engine_batch *b) {
    const struct source *s = ctx;
    struct rng r = rng_make((uint64_t)s->o->train.seed, RNG_TEST, row, 0, 0);
    for (int64_t i = 0; i < s->o->train.batch * s->seq; i++) {
        b->input[i] = (uint32_t)rng_below(&r, (uint64_t)s->vocab);
        b->target[i] = (uint32_t)rng_below(&r, (uint64_t)s->vocab);
    }
}

struct measured {
    struct stat_spread ms; /* of a step */
    double ms_min, ms_max, cpu_ms, tokens_per_second, gflops, rss_mb, planned_mb;
    struct stat_spread peak; /* GFLOP/s */
    struct drift peaks;
    int64_t side;      /* of the square that tells it */
    double (*part)[2]; /* of each op: forward, backward; ms a step; owned */
    double norm, update;
    struct engine_report report; /* ms a step */
};

static int create(struct model *m, const struct bench_opts *o, const struct train_setup *setup,
                  struct err *e) {
    struct model_config c;
    int rc;
    TRY(model_config_read(&c, o->train.model, &o->train.set, e));
    if (o->vocab) {
        json_object_set_new(c.json, "vocab_size", json_integer(o->vocab));
        c.vocab = o->vocab;
    }
    TRY(model_create(m, &c, e));
    m->pool = o->machine.pool;
    TRY(train_model_shape(m, setup, NULL, 0, e));
    TRY(train_model_load(m, setup, &o->train, NULL, NULL, e));
out:
    return rc;
}

static struct engine_report scaled(struct engine_report r, double s) {
    return (struct engine_report){r.pack * s,       r.gemm * s,   r.lora * s, r.attention * s,
                                  r.classifier * s, r.update * s, r.rest * s};
}

/* What the machine can do now, by the backend of the steps. Its operands go again, so that the peak
 * of memory is that of training; where there is none for them beside the model, nobody looks. */
static int look_at_peak(struct measured *out, const struct gemm *g, struct err *e) {
    struct peak p;
    struct turn t;
    int rc = peak_open(&p, g, out->side, e);
    if (rc == ERR_NOMEM) return 0;
    TRY(rc);
    TRY(peak_turn(&p, &t, e));
    TRY(drift_add(&out->peaks, p.rates.x[0], e));
out:
    peak_close(&p);
    return rc;
}

static int one_step(struct run *run, struct turn *t, struct err *e) {
    const double cpu = clock_cpu_seconds(), wall = clock_seconds();
    const int rc = run_step(run, e);
    t->wall = clock_seconds() - wall;
    t->cpu = clock_cpu_seconds() - cpu;
    return rc;
}

enum { LOOKS = 8 }; /* at the peak, between steps */

static int take_steps(struct run *run, const struct bench_opts *o, double *wall, double *cpu,
                      struct measured *out, struct err *e) {
    int rc = 0;
    struct log_progress line;
    const int64_t every = (o->runs + LOOKS - 1) / LOOKS;
    log_progress_init(&line, o->train.quiet);
    log_begin(&line);
    for (int64_t i = -o->warmup; i < o->runs; i++) {
        struct turn t;
        if (i == 0) engine_report_reset(&run->engine);
        TRY(one_step(run, &t, e));
        log_bar(&line, "measuring", (uint64_t)(i + o->warmup + 1), (uint64_t)(o->runs + o->warmup),
                "steps");
        if (i < 0) continue;
        wall[i] = t.wall;
        cpu[i] = t.cpu;
        if (i == 0) out->rss_mb = in_mb(clock_peak_rss());
        if ((i + 1) % every == 0 || i + 1 == o->runs)
            TRY(look_at_peak(out, run->engine.opts.machine->gemm, e));
    }
out:
    log_progress_end(&line);
    return rc;
}

static int measure(struct run *run, const struct bench_opts *o, struct measured *out,
                   struct err *e) {
    int rc = 0;
    const size_t n = (size_t)o->runs;
    double *wall = malloc(n * sizeof *wall), *cpu = malloc(n * sizeof *cpu);
    struct engine *g = &run->engine;
    out->part = calloc((size_t)n_ops, sizeof *out->part);
    if (!wall || !cpu || !out->part) TRY(err_set(e, ERR_NOMEM, "out of memory"));
    TRY(take_steps(run, o, wall, cpu, out, e));
    const double ms = 1e3 / (double)o->runs;
    for (size_t i = 0; i < n; i++) wall[i] *= 1e3;
    out->ms = stat_spread(wall, n);
    out->ms_min = wall[0];
    out->ms_max = wall[n - 1];
    out->cpu_ms = 1e3 * stat_median(cpu, n);
    for (int k = 0; k < n_ops; k++)
        for (int d = 0; d < 2; d++) out->part[k][d] = g->exec.seconds[k][d] * ms;
    out->norm = g->seconds_norm * ms;
    out->update = g->seconds_update * ms;
    out->report = scaled(engine_report(g), ms);
out:
    free(wall);
    free(cpu);
    return rc;
}

static json_t *parts_json(const struct measured *r) {
    json_t *parts = json_object();
    for (int k = 0; k < n_ops; k++) {
        char name[64];
        for (int d = 0; d < 2; d++) {
            if (d && !ops[k]->backward) continue; /* xent: forward and backward are one */
            snprintf(name, sizeof name, "%s_%s", ops[k]->name, d ? "backward" : "forward");
            json_object_set_new(parts, ops[k]->backward ? name : ops[k]->name,
                                json_real(r->part[k][d]));
        }
    }
    json_object_set_new(parts, "grad_norm", json_real(r->norm));
    json_object_set_new(parts, "update", json_real(r->update));
    return parts;
}

static json_t *report_json(const struct engine_report *r) {
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "pack", r->pack, "gemm", r->gemm, "lora",
                     r->lora, "attention", r->attention, "classifier", r->classifier, "update",
                     r->update, "rest", r->rest);
}

static void print_json(const struct measured *r, const struct bench_opts *o, const struct engine *g,
                       const struct source *src) {
    const struct train_opts *t = &o->train;
    const struct machine *machine = g->opts.machine;
    const bool zo = g->opts.estimator != NULL;
    const struct opt_rule *of = g->opts.hyper.of;
    char cpu[CPU_MODEL];
    json_t *j = json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:s,s:s,s:s,s:s,s:b,s:i,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,"
        "s:o,s:o,s:s,s:s,s:s,s:I,s:s,s:I,s:s}",
        "model", t->model, "batch", (json_int_t)t->batch, "seq", (json_int_t)src->seq, "accum",
        (json_int_t)t->accum, "vocab", (json_int_t)src->vocab, "engine", t->engine, "compute",
        dtype_row(machine->gemm->compute)->name, "optimizer", of[ROLE_norm].kind->name, "backend",
        machine->gemm->backend->name, "recompute", t->recompute, "threads",
        machine_threads(machine), "runs", (json_int_t)o->runs, "ms_per_step", r->ms.median,
        "ms_min", r->ms_min, "ms_max", r->ms_max, "tokens_per_second", r->tokens_per_second,
        "gflops", r->gflops, "gemm_peak_gflops", r->peak.median, "peak_fraction",
        r->peak.median > 0 ? r->gflops / r->peak.median : 0, "peak_rss_mb", r->rss_mb, "planned_mb",
        r->planned_mb, "num_params_M", (double)model_param_count(g->model) * 1e-6, "parts_ms",
        parts_json(r), "report_ms", report_json(&r->report), "cpu", cpu_model(cpu, sizeof cpu),
        "isa", cpu_tier_name(machine->cpu.tier), "weights", t->weights, "lora",
        (json_int_t)t->lora_rank, "estimator", zo ? g->opts.estimator->name : "", "directions",
        (json_int_t)(zo ? g->opts.directions : 0), "optimizer_matrix", of[ROLE_matrix].kind->name);
    json_object_set_new(j, "ms_low", json_real(r->ms.low));
    json_object_set_new(j, "ms_high", json_real(r->ms.high));
    json_object_set_new(j, "interval_level", json_real(stat_spread_level((size_t)o->runs)));
    json_object_set_new(j, "cpu_ms_per_step", json_real(r->cpu_ms));
    json_object_set_new(j, "gemm_peak_moved", json_real(drift_range(&r->peaks).moved));
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

static void print_text(const struct measured *r, const struct engine *g, int64_t runs) {
    const struct drift_range d = drift_range(&r->peaks);
    printf("%.1f ms a step (%.1f to %.1f; the median lies in %.1f to %.1f with %.0f %%), "
           "%.0f tokens/s, %.1f ms of processors\n",
           r->ms.median, r->ms_min, r->ms_max, r->ms.low, r->ms.high,
           100 * stat_spread_level((size_t)runs), r->tokens_per_second, r->cpu_ms);
    printf("%.0f GFLOP/s, %.3f of the GEMM peak of %.0f (%s; %.0f to %.0f meanwhile)\n", r->gflops,
           r->peak.median > 0 ? r->gflops / r->peak.median : 0, r->peak.median,
           g->opts.machine->gemm->backend->name, d.low, d.high);
    printf("peak RSS %.0f MB, planned %.0f MB\n\n%-10s %10s %10s  (ms a step)\n", r->rss_mb,
           r->planned_mb, "part", "forward", "backward");
    for (int k = 0; k < n_ops; k++) {
        if (ops[k]->backward && g->kind->backward)
            printf("%-10s %10.2f %10.2f\n", ops[k]->name, r->part[k][0], r->part[k][1]);
        else
            printf("%-10s %*.2f\n", ops[k]->name, g->kind->backward ? 21 : 10, r->part[k][0]);
    }
    if (g->kind->backward) printf("%-10s %21.2f\n", "grad norm", r->norm);
    printf("%-10s %*.2f\n", "update", g->kind->backward ? 21 : 10, r->update);
    const struct engine_report *p = &r->report;
    printf(
        "\nstep report: pack%s %.1f, base GEMM %.1f, LoRA %.1f, attention %.1f, classifier %.1f, "
        "update %.1f, rest %.1f ms\n",
        g->kind->backward ? "" : "/perturb", p->pack, p->gemm, p->lora, p->attention, p->classifier,
        p->update, p->rest);
}

/* ---- steps on request ------------------------------------------------------------------------ */

static int serve_steps(void *ctx, const char *request, struct turn *t, struct err *e) {
    enum { MOST = 256 };
    double wall[MOST], cpu[MOST];
    char *end;
    const long n = strtol(request, &end, 10);
    if (n < 1 || n > MOST || *end)
        return err_set(e, ERR_INPUT, "asked for \"%.40s\" steps, expected 1 to %d", request, MOST);
    for (long i = 0; i < n; i++) {
        const int rc = one_step(ctx, t, e);
        if (rc) return rc;
        wall[i] = t->wall;
        cpu[i] = t->cpu;
    }
    t->wall = stat_median(wall, (size_t)n);
    t->cpu = stat_median(cpu, (size_t)n);
    return 0;
}

static int serve(struct run *run, const struct bench_opts *o, struct err *e) {
    int rc = 0;
    struct turn t;
    for (int64_t i = 0; i < o->warmup; i++) TRY(one_step(run, &t, e));
    TRY(bench_serve(run->batch_flops * (double)o->train.accum, serve_steps, run, e));
out:
    return rc;
}

/* ---- a measurement --------------------------------------------------------------------------- */

static int report(struct measured *r, struct run *run, const struct bench_opts *o,
                  const struct source *src, struct err *e) {
    int rc;
    const struct train_opts *t = &o->train;
    TRY(measure(run, o, r, e));
    const double tokens = (double)(t->batch * src->seq * t->accum);
    r->tokens_per_second = tokens / r->ms.median * 1e3;
    r->gflops = run->batch_flops * (double)t->accum / r->ms.median * 1e-6;
    r->peak = drift_spread(&r->peaks);
    if (t->json)
        print_json(r, o, &run->engine, src);
    else
        print_text(r, &run->engine, o->runs);
    fflush(stdout);
    bench_warn_of_drift(&r->peaks);
    bench_warn_of_share(r->gflops / r->peak.median);
out:
    return rc;
}

int bench_step(const struct bench_opts *o, struct err *e) {
    int rc;
    struct model m = {0};
    struct run *run = NULL;
    struct machine machine = {0};
    struct measured r = {0};
    struct engine_memory mem;
    struct train_setup setup;
    if (!o->train.model)
        return err_set(e, ERR_USAGE, "bench step: give the model with --model FILE");
    if (o->against.n) return bench_against(o, e);
    struct train_opts to = o->train;
    to.init = to.model; /* LoRA trains beside random weights here */
    to.steps = 1;
    TRY(train_setup_make(&setup, &to, &o->machine.cpu, e));
    TRY(machine_share(&machine, &o->machine,
                      &(struct machine_opts){.gemm = to.gemm, .compute = to.compute}, e));
    if (!o->serve) {
        TRY(peak_side(machine.gemm, &r.side, e));
        TRY(look_at_peak(&r, machine.gemm, e));
    }
    TRY(create(&m, o, &setup, e));
    struct source src = {
        .o = o, .vocab = m.config.vocab, .seq = to.seq ? to.seq : m.config.seq_len};
    struct run_opts ro = train_run_opts(&setup, &to, &machine, src.seq);
    ro.lr = 1e-9; /* the weights stay as they are, as good as */
    ro.find_lr = false;
    ro.sched = (struct sched){.kind = SCHED_constant};
    ro.budget = (struct budget_use){0};
    ro.data = (struct run_data){.fill = random_tokens, .ctx = &src};
    TRY(run_plan(&mem, ro.engine, &m, &ro.engine_opts, 0, e));
    TRY(run_open(&run, &m, &ro, NULL, NULL, e));
    r.planned_mb = in_mb(mem.total);
    TRY(o->serve ? serve(run, o, e) : report(&r, run, o, &src, e));
out:
    drift_release(&r.peaks);
    free(r.part);
    run_close(run);
    model_close(&m);
    machine_close(&machine);
    return rc;
}
