#include "bench.h"

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
    double ms, ms_min, ms_max, tokens_per_second, gflops, peak, rss_mb, planned_mb;
    double (*part)[2]; /* of each op: forward, backward; ms a step; owned */
    double norm, update;
    struct engine_report report;      /* ms a step */
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

static int measure(struct run *run, const struct bench_opts *o, struct measured *out,
                   struct err *e) {
    int rc = 0;
    double *t = malloc((size_t)o->runs * sizeof *t);
    struct engine *g = &run->engine;
    struct log_progress line;
    out->part = calloc((size_t)n_ops, sizeof *out->part);
    if (!t || !out->part) {
        free(t);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    log_progress_init(&line, o->train.quiet);
    log_begin(&line);
    for (int64_t i = -o->warmup; i < o->runs; i++) {
        if (i == 0) engine_report_reset(g);
        const double begin = clock_seconds();
        TRY(run_step(run, e));
        if (i >= 0) t[i] = clock_seconds() - begin;
        log_bar(&line, "measuring", (uint64_t)(i + o->warmup + 1), (uint64_t)(o->runs + o->warmup),
                "steps");
    }
    const double ms = 1e3 / (double)o->runs;
    out->ms = 1e3 * stat_median(t, (size_t)o->runs);
    out->ms_min = 1e3 * t[0];
    out->ms_max = 1e3 * t[o->runs - 1];
    for (int k = 0; k < n_ops; k++)
        for (int d = 0; d < 2; d++) out->part[k][d] = g->exec.seconds[k][d] * ms;
    out->norm = g->seconds_norm * ms;
    out->update = g->seconds_update * ms;
    out->report = scaled(engine_report(g), ms);
out:
    log_progress_end(&line);
    free(t);
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
        machine_threads(machine), "runs", (json_int_t)o->runs, "ms_per_step", r->ms, "ms_min",
        r->ms_min, "ms_max", r->ms_max, "tokens_per_second", r->tokens_per_second, "gflops",
        r->gflops, "gemm_peak_gflops", r->peak, "peak_fraction",
        r->peak > 0 ? r->gflops / r->peak : 0, "peak_rss_mb", r->rss_mb, "planned_mb",
        r->planned_mb, "num_params_M", (double)model_param_count(g->model) * 1e-6, "parts_ms",
        parts_json(r), "report_ms", report_json(&r->report), "cpu", cpu_model(cpu, sizeof cpu),
        "isa", cpu_tier_name(machine->cpu.tier), "weights", t->weights, "lora",
        (json_int_t)t->lora_rank, "estimator", zo ? g->opts.estimator->name : "", "directions",
        (json_int_t)(zo ? g->opts.directions : 0), "optimizer_matrix", of[ROLE_matrix].kind->name);
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

static void print_text(const struct measured *r, const struct engine *g) {
    printf("%.1f ms a step (%.1f to %.1f), %.0f tokens/s\n", r->ms, r->ms_min, r->ms_max,
           r->tokens_per_second);
    printf("%.0f GFLOP/s, %.3f of the GEMM peak of %.0f (%s)\n", r->gflops,
           r->peak > 0 ? r->gflops / r->peak : 0, r->peak, g->opts.machine->gemm->backend->name);
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
    struct train_opts to = o->train;
    to.init = to.model; /* LoRA trains beside random weights here */
    to.steps = 1;
    TRY(train_setup_make(&setup, &to, &o->machine.cpu, e));
    TRY(machine_share(&machine, &o->machine,
                      &(struct machine_opts){.gemm = to.gemm, .compute = to.compute}, e));
    r.peak = machine_peak(&machine, 1, SIZE_MAX);
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
    TRY(measure(run, o, &r, e));
    const double tokens = (double)(to.batch * src.seq * to.accum);
    r.tokens_per_second = tokens / r.ms * 1e3;
    r.gflops = run->batch_flops * (double)to.accum / r.ms * 1e-6;
    r.rss_mb = in_mb(clock_peak_rss());
    r.planned_mb = in_mb(mem.total);
    if (to.json)
        print_json(&r, o, &run->engine, &src);
    else
        print_text(&r, &run->engine);
out:
    free(r.part);
    run_close(run);
    model_close(&m);
    machine_close(&machine);
    return rc;
}
