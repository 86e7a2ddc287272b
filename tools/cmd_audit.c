#include "adapter.h"
#include "audit.h"
#include "batch.h"
#include "cmd.h"
#include "data_show.h"
#include "log.h"
#include "limit.h"
#include "moves.h"
#include "num.h"
#include "open_model.h"
#include "run_plan.h"
#include "run_start.h"
#include "train_model.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    struct conf_list data;
    const char *format, *tokenizer;
    const char *adapter, *lora_targets, *lora_mode, *weights;
    const char *compute, *gemm, *group_by, *perturb;
    struct conf_pairs set;
    bool lora_norms, recompute, json, quiet;
    int64_t lora_rank, batch, seq, seeds, seed, threads;
    double eps;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_SECTION("Data"),
    CONF_LIST(O, data, "data", "FILE",
              "texts (also .gz, .zst) or folders of texts, repeatable; or one shard of `duet "
              "tokenize`, or raw16 tokens; - is standard input"),
    CONF_CHOICE(O, format, "format", "auto", "auto raw16",
                "auto: by content; raw16: headerless uint16 tokens"),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "byte, or a tokenizer file; default: the one in the model file"),
    CONF_INT(O, batch, "batch", "4", 1, 65536, "sequences of the batch"),
    CONF_INT(O, seq, "seq", "0", 0, 1 << 20, "tokens a sequence; 0: the model's training length"),
    CONF_SECTION("Model"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "override a key of the model description (repeatable)"),
    CONF_CHOICE(O, weights, "weights", "f32", weights_words,
                "how matrices are held in memory; q8_0 is for frozen weights (--lora, --adapter), "
                "f16 where a row is not whole blocks of 32"),
    CONF_INT(O, lora_rank, "lora", "0", 0, 65536,
             "audit new adapters of this rank beside frozen weights; 0: audit the weights"),
    CONF_STRING(O, lora_targets, "lora-targets", "q,k,v,o", "LIST",
                "which weights get adapters: all, or some of q,k,v,o,gate,up,down", .with = "lora"),
    CONF_BOOL(O, lora_norms, "lora-norms", "with --lora: the norm weights too", .with = "lora"),
    CONF_STRING(O, adapter, "adapter", NULL, "FILE",
                "audit this trained adapter; MODEL must be its base"),
    CONF_CHOICE(O, lora_mode, "lora-mode", "split", "split merge",
                "compute adapters beside the weights, or merged into them as they are read"),
    CONF_SECTION("Audit"),
    CONF_INT(O, seeds, "seeds", "8", AUDIT_LEAST_SEEDS, 4096, "directions"),
    CONF_FLOAT(O, eps, "eps", "-1", 0, 10,
               "size of a perturbation; -1: of seven from 1e-4 to 0.1 the largest with an error of "
               "at most 1 %, else that with the least",
               .above = true),
    CONF_CHOICE(O, group_by, "group-by", "role", "role layer",
                "groups of weights: kinds of them, or layers"),
    CONF_STRING(O, perturb, "perturb", NULL, "WORDS",
                "audit what a run with this --perturb moves; weights count in units of its scales"),
    CONF_INT(O, seed, "seed", "1", 0, 9e18, "seed of the batch, the directions and new adapters"),
    CONF_SECTION("Computing"),
    CONF_CHOICE(O, compute, "compute", "f32", compute_words,
                "type of GEMM inputs of the probes; auto: the faster here; the gradient is "
                "computed in f32"),
    CONF_CHOICE(O, gemm, "gemm", "auto", gemm_words, "matrix product backend"),
    CONF_BOOL(O, recompute, "recompute",
              "for the gradient keep only block inputs and run blocks again"),
    THREADS_ROW(O, threads),
    CONF_SECTION("Output"),
    CONF_BOOL(O, json, "json", "print JSON, with the figures of every direction"),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END};
#undef O

/* What a run holds. */
struct job {
    const struct opts *o;
    const char *path;
    struct run_files files; /* what it stands for */
    struct model model;
    struct dataset data;
    struct machine machine, machine_grad; /* of the probes; of the gradient, which is f32 */
    struct audit audit;
    struct audit_opts audit_opts;
    struct engine_memory memory;
    struct audit_advice advice;
    struct batcher batch;
    struct log_progress line;
};

/* ---- model ----------------------------------------------------------------------------------- */

static int check_options(const struct opts *o, const struct conf *conf, struct err *e) {
    if (conf->n_pos != 1)
        return err_set(e, ERR_USAGE, "audit takes one model file, found %d", conf->n_pos);
    if (!o->data.n) return err_set(e, ERR_USAGE, "give the data to audit on with --data FILE");
    if (o->perturb && moves_check(o->perturb, e)) return e->code;
    return conf_check_company(rows, o, e);
}

/* Of MODEL or of --adapter. */
static int check_adapter(const struct job *j, const struct conf *conf, struct err *e) {
    const char *adapter = j->files.adapter;
    if (j->o->lora_rank && adapter)
        return err_set(e, ERR_USAGE,
                       "either --lora for new adapters or a trained one, that of %s", adapter);
    if (conf_given(conf, "lora-mode") && !j->o->lora_rank && !adapter)
        return err_set(e, ERR_USAGE, "--lora-mode has no effect without --lora or --adapter");
    return 0;
}

/* loaded: the weights have their memory already. */
static int check_memory(struct job *j, bool loaded, struct err *e) {
    struct engine_memory *mem = &j->memory;
    struct audit_opts *ao = &j->audit_opts;
    ao->seq = j->o->seq ? j->o->seq : j->model.config.seq_len;
    const int rc = audit_plan(&j->model, ao, mem, e);
    if (rc) return rc;
    log_note(&j->line, "memory: %.1f MB (weights %.1f, gradients %.1f, activations %.1f)",
             in_mb(mem->total), in_mb(mem->weights), in_mb(mem->gradients), in_mb(mem->passing));
    struct engine_memory more = *mem;
    if (loaded) more.weights = 0;
    return run_plan_fits(&more, &j->machine, "this audit",
                         "a smaller --batch or --seq, --recompute or --lora",
                         e);
}

static int open_with_adapter(struct job *j, struct err *e) {
    const struct opts *o = j->o;
    const struct adapter_use use = {.weights = (enum dtype)dtype_find(o->weights),
                                    .scale = 1,
                                    .merge = !strcmp(o->lora_mode, "merge"),
                                    .sets = &o->set,
                                    .pool = j->machine.pool};
    int rc;
    TRY(run_files_open(&j->files, &j->model, &use, e));
    if (o->perturb) TRY(moves_apply(o->perturb, j->model.params, j->model.n_params, e));
    TRY(check_memory(j, true, e));
out:
    return rc;
}

/* The model as training would open it, with everything trainable that it trains. */
static int open_to_train(struct job *j, struct err *e) {
    int rc;
    const struct opts *o = j->o;
    struct model_config c = {0};
    struct conf rest = {0};
    struct train_files f = {.verify = true};
    struct train_opts t;
    struct train_setup setup;
    TRY(conf_parse(&rest, train_rows, &t, 0, NULL, e)); /* what audit has no option for */
    t.init = j->path;
    t.set = o->set;
    t.seed = o->seed;
    t.weights = o->weights;
    t.lora_rank = o->lora_rank;
    t.lora_norms = o->lora_norms;
    t.lora_mode = o->lora_mode;
    t.lora_targets = o->lora_targets;
    t.steps = 1;
    TRY(train_setup_make(&setup, &t, &j->machine.cpu, e));
    setup.perturb = o->perturb;
    TRY(train_model_create(&j->model, &t, &f, 0, e));
    j->model.pool = j->machine.pool;
    TRY(train_model_config(&c, &t, &f, &j->model, e)); /* for the tokenizer in the file */
    TRY(train_model_shape(&j->model, &setup, NULL, 0, e));
    TRY(check_memory(j, false, e));
    TRY(train_model_load(&j->model, &setup, &t, &f, j->path, e));
out:
    model_config_release(&c);
    conf_release(&rest);
    train_files_close(&f);
    return rc;
}

/* ---- batch ----------------------------------------------------------------------------------- */

/* The batch that a training run of this seed begins with, were all of the data its
 * training split. */
static int open_batch(struct job *j, struct err *e) {
    int rc;
    char name[256];
    const struct opts *o = j->o;
    const int64_t T = j->audit_opts.seq;
    struct split all, none;
    const struct dataset_opts d = {.data = o->data,
                                   .format = o->format,
                                   .tokenizer = o->tokenizer,
                                   .own = model_tok_own(&j->model),
                                   .pool = j->machine.pool,
                                   .raw_vocab = (uint32_t)j->model.config.vocab};
    TRY(data_show_open(&j->data, &d, o->quiet, e));
    if (j->data.tokenizer) TRY(model_check_tokenizer(&j->model, j->data.tokenizer, j->path, e));
    TRY(split_make(&j->data.shard, dataset_name(&o->data, name), 0, T, &all, &none, e));
    j->batch = (struct batcher){
        .shard = &j->data.shard, .split = all, .T = T, .seed = (uint64_t)o->seed};
    j->audit_opts.data = (struct run_data){.text = &j->batch};
out:
    return rc;
}

/* Looks at the data. */
static int gradient(struct job *j, struct err *e) {
    char name[256];
    const int rc = audit_gradient(&j->audit, e);
    if (rc == ERR_INPUT) err_prefix(e, "%s", dataset_name(&j->o->data, name));
    return rc;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* x with so many digits, or a dash for what is not known. */
static const char *figure(double x, int digits, char room[32]) {
    snprintf(room, 32, "%.*g", digits, x);
    return isfinite(x) ? room : "-";
}

static void print_notes(const struct audit *a, bool searched) {
    bool coarse = false, slope = false;
    for (int k = 0; k < a->n_groups; k++) {
        const struct audit_group *g = a->group + k;
        coarse |= g->verdict == AUDIT_COARSE;
        slope |= g->verdict == AUDIT_DERIVATIVE;
        if (g->norm == 0)
            printf("\n%s: the gradient is 0%s\n", g->name,
                   strcmp(g->name, "LoRA A") ? ""
                                             : ", because B is 0 in new adapters: audit a trained "
                                               "one with --adapter FILE");
    }
    if (slope)
        printf("\ndiffers: derivative: with a large eps c is not the derivative; an error of the "
               "engines stays\nwhen --eps is made smaller\n");
    if (coarse)
        printf("\ntoo coarse: finite differences of eps %g are off by up to a tenth or more; %s\n",
               a->opts.eps,
               searched ? "no other of those above is better for all weights together"
                        : "without --eps the one that fits is looked for");
}

static void print_derivatives(const struct audit *a) {
    printf(
        "\nDerivatives along a direction z of signs, with eps %g: c by MeZO's two forward passes, "
        "g.z by\nbackpropagation. Error: the root mean square of c - g.z over %lld directions, "
        "as a share of |g|.\n\n"
        "%-18s %10s %9s  %11s %11s  %9s %9s\n",
        a->opts.eps, (long long)a->opts.seeds, "weights", "number", "|g|", "c of first",
        "g.z of first", "error", "allowed");
    for (int k = 0; k < a->n_groups; k++) {
        const struct audit_group *g = a->group + k;
        const char *unit = g->norm > 0 ? "%" : " ";
        const double times = g->norm > 0 ? 100 : 1;
        printf("%-18s %10lld %9.4g  %11.5g %11.5g  %8.3g%s %8.3g%s\n", g->name, (long long)g->n,
               g->norm, g->coef[0], g->slope[0], g->derivative.found * times, unit,
               g->derivative.allowed * times, unit);
    }
}

/* "found, and what it must be give or take what" */
static void print_check(const struct audit_check *c, int width) {
    char r[3][32], text[112];
    snprintf(text, sizeof text, "%s (%s +- %s)", figure(c->found, 3, r[0]),
             figure(c->theory, 3, r[1]), figure(c->allowed, 2, r[2]));
    printf(" %*s", width, isfinite(c->found) ? text : "-");
}

static void print_estimates(const struct audit *a) {
    printf("\nThe estimate of the gradient, the mean of c z over the directions, with what theory "
           "says in brackets\n\n%-18s %22s %28s %20s  %s\n",
           "weights", "mean c^2 / |g|^2", "|mean c z - g|^2 / |g|^2", "cosine with g", "verdict");
    for (int k = 0; k < a->n_groups; k++) {
        const struct audit_group *g = a->group + k;
        char r[2][32], text[80];
        printf("%-18s", g->name);
        print_check(&g->square, 22);
        print_check(&g->variance, 28);
        snprintf(text, sizeof text, "%s (%s)", figure(g->cosine, 3, r[0]),
                 figure(g->cosine_theory, 3, r[1]));
        printf(" %20s  %s\n", isfinite(g->cosine) ? text : "-", audit_verdict_name(g->verdict));
    }
}

static void print_scan(const struct audit_advice *v, double taken) {
    if (!v->n) return;
    printf(
        "\nError of c for all weights together, by eps (small: rounding; large: curvature)\n\n%-8s",
        "eps");
    for (int i = 0; i < v->n; i++)
        printf(" %7g%s", v->eps[i], v->eps[i] == taken ? "*" : " ");
    printf("\n%-8s", "error");
    for (int i = 0; i < v->n; i++) printf(" %6.3g%% ", 100 * v->error[i]);
    printf("\n");
}

/* What a run of training that says nothing else would take. */
static void print_advice(const struct job *j) {
    const double rate = j->advice.lr;
    const struct audit *a = &j->audit;
    const bool coarse = a->group[a->n_groups - 1].verdict == AUDIT_COARSE; /* all together */
    if (coarse && !j->advice.n)
        printf("\nFor train --engine mezo: not eps = %g\n", a->opts.eps);
    else if (rate > 0)
        printf(
            "\nFor train --engine mezo: use eps = %g, a rate near %.2g (grzo, --batch %d, sgd)\n",
            a->opts.eps, rate, ADVICE_BATCH);
    else
        printf("\nFor train --engine mezo: no eps and no rate: no perturbation changes the loss\n");
}

static void print_text(const struct job *j) {
    const struct audit *a = &j->audit;
    const struct audit_opts *o = &a->opts;
    printf("%s: %lld x %lld tokens, loss %.6f; probes in %s (%s)\n", j->path, (long long)o->batch,
           (long long)o->seq, a->loss, dtype_row(o->machine->gemm->compute)->name,
           o->machine->gemm->backend->name);
    print_scan(&j->advice, o->eps);
    print_derivatives(a);
    print_estimates(a);
    print_notes(a, j->advice.n > 0);
    print_advice(j);
}

static json_t *check_json(const struct audit_check *c) {
    return json_pack("{s:o,s:o,s:o}", "found", num_json(c->found), "theory", num_json(c->theory),
                     "allowed", num_json(c->allowed));
}

static json_t *list_json(const double *x, int64_t n) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(list, num_json(x[i]));
    return list;
}

static json_t *group_json(const struct audit_group *g, int64_t n) {
    return json_pack("{s:s,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "name", g->name,
                     "weights", (json_int_t)g->n, "grad_norm", num_json(g->norm), "derivative",
                     check_json(&g->derivative), "square", check_json(&g->square), "variance",
                     check_json(&g->variance), "cosine", num_json(g->cosine), "cosine_theory",
                     num_json(g->cosine_theory), "coef", list_json(g->coef, n), "coef_twice_eps",
                     list_json(g->coef2, n), "slope", list_json(g->slope, n), "verdict",
                     audit_verdict_name(g->verdict));
}

static void print_json(const struct job *j) {
    const struct audit *a = &j->audit;
    const struct audit_opts *o = &a->opts;
    json_t *groups = json_array();
    for (int k = 0; k < a->n_groups; k++)
        json_array_append_new(groups, group_json(a->group + k, o->seeds));
    json_t *root = json_pack("{s:s,s:I,s:I,s:f,s:I,s:I,s:f,s:s,s:s,s:s,s:I,s:o}", "model", j->path,
                             "batch", (json_int_t)o->batch, "seq", (json_int_t)o->seq, "loss",
                             a->loss, "seeds", (json_int_t)o->seeds, "seed", (json_int_t)o->seed,
                             "eps", o->eps, "compute", dtype_row(o->machine->gemm->compute)->name,
                             "weights", j->o->weights, "backend", o->machine->gemm->backend->name,
                             "planned_bytes", (json_int_t)j->memory.total, "groups", groups);
    json_t *scan = json_array();
    for (int i = 0; i < j->advice.n; i++)
        json_array_append_new(scan, json_pack("{s:f,s:o}", "eps", j->advice.eps[i], "error",
                                              num_json(j->advice.error[i])));
    json_object_set_new(root, "scan", scan);
    json_object_set_new(root, "advice",
                        json_pack("{s:f,s:f,s:s,s:i}", "eps", o->eps, "lr", j->advice.lr,
                                  "estimator", "grzo", "batch", ADVICE_BATCH));
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(root);
}

/* The verdict as an exit status. */
static int verdict(const struct audit *a, struct err *e) {
    char names[512] = "";
    int n = 0;
    for (int k = 0; k < a->n_groups; k++) {
        const size_t used = strlen(names);
        if (!audit_differs(a->group[k].verdict)) continue;
        snprintf(names + used, sizeof names - used, "%s%s", n++ ? ", " : "", a->group[k].name);
    }
    return n ? err_set(e, ERR_NUMERIC, "the two engines differ: %s", names) : 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void progress(void *ctx, int64_t done, int64_t total) {
    log_bar(ctx, "auditing", (uint64_t)done, (uint64_t)total, "directions");
}

static int audit(struct job *j, const struct conf *conf, struct err *e) {
    int rc;
    const struct opts *o = j->o;
    log_progress_init(&j->line, o->quiet);
    TRY(open_machine(&j->machine,
                     &(struct open_machine){o->threads, o->gemm, o->compute, o->quiet}, e));
    TRY(machine_share(&j->machine_grad, &j->machine, &(struct machine_opts){.gemm = o->gemm}, e));
    j->audit_opts = (struct audit_opts){.batch = o->batch,
                                        .machine = &j->machine,
                                        .machine_grad = &j->machine_grad,
                                        .recompute = o->recompute,
                                        .by_layer = !strcmp(o->group_by, "layer"),
                                        .seeds = o->seeds,
                                        .seed = (uint64_t)o->seed,
                                        .eps = o->eps > 0 ? o->eps : 1e-3,
                                        .progress = progress,
                                        .ctx = &j->line};
    TRY(run_files_find(&j->files, j->path, o->adapter, e));
    TRY(check_adapter(j, conf, e));
    TRY(j->files.adapter ? open_with_adapter(j, e) : open_to_train(j, e));
    open_say(&j->model);
    TRY(open_check_length(&j->model, j->audit_opts.seq, j->path, e));
    TRY(open_batch(j, e));
    TRY(audit_open(&j->audit, &j->model, &j->audit_opts, e));
    log_state(&j->line, "computing the gradient, and looking for an eps");
    TRY(gradient(j, e));
    TRY(audit_advise(&j->audit, o->eps < 0, &j->advice, e));
    log_begin(&j->line);
    TRY(audit_run(&j->audit, e));
    log_bar_end(&j->line, "audited", (uint64_t)(j->audit.n_groups * j->audit_opts.seeds),
                "directions");
    (o->json ? print_json : print_text)(j);
    TRY(verdict(&j->audit, e));
out:
    log_progress_end(&j->line);
    audit_close(&j->audit);
    dataset_close(&j->data);
    model_close(&j->model);
    run_files_release(&j->files);
    machine_close(&j->machine_grad);
    machine_close(&j->machine);
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    TRY(cmd_parse(&cmd_audit, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_options(&o, &conf, e));
    struct job j = {.o = &o, .path = conf.pos[0]};
    TRY(audit(&j, &conf, e));
out:
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_audit = {
    .name = "audit",
    .summary = "Check backpropagation and MeZO against each other on one batch.",
    .usage = "MODEL --data FILE [--lora R | --adapter FILE] [--group-by layer] [--json]",
    .notes =
        "For each group of weights only the group is perturbed. c is the SPSA coefficient of a "
        "direction z\n"
        "(signs), g the gradient of backpropagation. Within the tolerances of "
        "docs/numerics.md, for n\n"
        "weights and N directions:  c = g.z,  mean of c^2 = |g|^2,\n"
        "|mean of c z - g|^2 = (n-1)/N |g|^2.\n"
        "MODEL is a file or a run's folder (of a LoRA run with its adapter), and only read.\n"
        "Exit status 1 if a group differs; \"too coarse\" is no difference.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
