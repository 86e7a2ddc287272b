#include "search_cost.h"

#include "clock.h"
#include "json_text.h"
#include "judge.h"
#include "limit.h"
#include "log.h"
#include "num.h"
#include "opt.h"
#include "rng.h"
#include "term.h"
#include "textin.h"
#include "textlist.h"
#include "train_plan.h"
#include "trial.h"
#include "usual_peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 12, SAMPLE_TEXT = 1 << 18 };
#define SAMPLE_SECONDS 2.0 /* for asking about them */
#define GOOD_SHARE 0.6     /* of the GEMM peak, of a training */
#define POOR_SHARE 0.2

/* The options of a trial as `duet train` reads them, and what it would be. */
struct asked {
    struct conf conf;
    struct train_opts o;
    struct adapter_words words;
    struct train_plan plan;
};

static void release(struct asked *a) {
    train_plan_close(&a->plan);
    train_release_adapter(&a->words);
    conf_release(&a->conf);
    *a = (struct asked){0};
}

static int ask(const struct search *s, const json_t *config, struct asked *a, struct err *e) {
    int rc;
    json_t *o = search_file_options(&s->file, config);
    *a = (struct asked){0};
    if (o) json_object_del(o, "program");
    char *text = o ? json_text_dump(o, JSON_COMPACT) : NULL;
    if (!text) TRY(err_set(e, ERR_NOMEM, "no memory for a search"));
    TRY(conf_parse(&a->conf, train_rows, &a->o, 0, NULL, e));
    TRY(conf_read_defaults_text(&a->conf, text, s->file.path, e));
    TRY(train_take_adapter(&a->o, &a->conf, &a->words, e));
    TRY(train_plan_make(&a->plan, &a->o, e));
    rc = train_check_effect(&a->plan.setup, &a->o, &a->conf, e);
out:
    if (rc) release(a);
    free(text);
    json_decref(o);
    return rc;
}

/* Seconds of the base. Of steps they follow from its work. */
static void fill_seconds(const struct search *s, struct asked *a, struct search_cost *c) {
    struct machine *m = &a->plan.machine;
    c->seconds = c->seconds_most = NAN;
    if (s->file.budget == SEARCH_time) c->seconds = c->seconds_most = s->file.amount;
    const double work = s->file.budget == SEARCH_flops ? s->file.amount : a->plan.all_flops;
    if (!isnan(c->seconds) || !(work > 0)) return;
    double peak = usual_peak(m->gemm, a->plan.memory.total);
    if (!(peak > 0)) peak = machine_peak(m, 0.3, a->plan.memory.total);
    /* of a trial, where they share the processors; with "threads" they may have enough of them */
    const double threads = (double)machine_threads(m) * (double)s->file.jobs;
    peak *= 1e9 * fmin(1, trial_threads(1) / threads);
    c->seconds = work / (GOOD_SHARE * peak);
    c->seconds_most = work / (POOR_SHARE * peak);
}

/* A cohort of eta^(rungs - 1) takes the first rung, one training, and for each further rung what is
 * new in it, 1 - 1 / eta. */
double search_cost_share(const struct search *s) {
    const struct strategy_choice *choice = &s->file.strategy;
    if (!choice->kind->rungs) return 1;
    const double rungs = strategy_option(choice, "rungs"), eta = strategy_option(choice, "eta");
    return fmin(1, (1 + (rungs - 1) * (1 - 1 / eta)) / pow(eta, rungs - 1));
}

/* Bytes of tokens a byte of the file, by the beginning of its text. */
static int sample_tokens(const struct tokenizer *t, const char *path, double *ratio,
                         struct err *e) {
    struct textin in = {0};
    struct tok_ids ids = {0};
    char *text = malloc(SAMPLE_TEXT);
    size_t got = 0;
    int rc;
    TRY(text ? textin_open(&in, path, e) : err_set(e, ERR_NOMEM, "no memory for a search"));
    TRY(textin_read(&in, text, SAMPLE_TEXT, &got, e));
    TRY(tokenizer_encode(t, text, got, true, false, &ids, e));
    const double width = tokenizer_vocab_size(t) > 1 << 16 ? 4 : 2;
    *ratio = in.done ? width * (double)ids.n / (double)in.done : 0;
out:
    free(ids.ids);
    free(text);
    textin_close(&in);
    return rc;
}

/* Bytes of the shard that a run's folder gets of texts. shard: of the plan, if it has made one. */
static int shard_bytes(const struct asked *a, const struct conf_list *data,
                       const struct shard *shard, double *bytes, struct err *e) {
    struct textlist l = {0};
    double ratio = 0;
    int rc = 0;
    *bytes = 0;
    if (!data->n || !strcmp(a->o.format, "raw16") || shard_probe(data->item[0])) return 0;
    if (shard->map.size) {
        *bytes = (double)shard->map.size;
        return 0;
    }
    TRY(textlist_open(&l, data->item, data->n, e));
    const double size = (double)textlist_size(&l); /* 0: of a pipe */
    if (size > 0 && a->plan.data.tokenizer) {
        TRY(sample_tokens(a->plan.data.tokenizer, l.path[0], &ratio, e));
        *bytes = ratio * size;
    }
out:
    textlist_close(&l);
    return rc;
}

/* What stays of a training that is kept. */
static int fill_disk(const struct asked *a, struct search_cost *c, struct err *e) {
    const struct train_plan *p = &a->plan;
    double data = 0, val_data = 0;
    int rc;
    TRY(shard_bytes(a, &a->o.data, &p->data.shard, &data, e));
    TRY(shard_bytes(a, &a->o.val_data, &p->val_data.shard, &val_data, e));
    c->tokens_mb = 1e-6 * (data + val_data);
    c->disk_mb = in_mb(p->memory.weights) + 0.9 * in_mb(p->memory.optimizer) + c->tokens_mb;
out:
    return rc;
}

/* Whole trainings. */
static void fill_trainings(const struct search *s, struct search_cost *c) {
    const double seeds = s->plan.max_seeds, others = (double)s->file.trials - 1;
    const double floor = seeds < JUDGE_FLOOR ? seeds : JUDGE_FLOOR;
    const double share = search_cost_share(s);
    c->floor = floor;
    c->least = floor + others * share;
    c->most = seeds * (1 + others * share);
    if (s->file.every_seed && share == 1) c->least = c->most;
}

static void note(struct search_cost *c, double mb) {
    c->asked++;
    c->least_mb = isnan(c->least_mb) ? mb : fmin(c->least_mb, mb);
    c->most_mb = isnan(c->most_mb) ? mb : fmax(c->most_mb, mb);
    c->refused += c->memory_mb > 0 && mb > c->memory_mb;
}

/* Configurations at random: what the space asks of the machine. */
static int sample(const struct search *s, struct search_cost *c, struct err *e) {
    struct rng r = rng_make((uint64_t)s->file.seed, RNG_SEARCH, 0, 0, 0);
    const double began = clock_seconds();
    c->least_mb = c->most_mb = NAN;
    if (!s->file.space.n) return 0;
    for (int i = 0; i < SAMPLES && clock_seconds() - began < SAMPLE_SECONDS; i++) {
        double u[SPACE_MAX_AXES];
        struct asked a;
        struct err why;
        for (size_t k = 0; k < s->file.space.n; k++) u[k] = strategy_uniform(&r);
        json_t *config = space_config(&s->file.space, u);
        if (!config) return err_set(e, ERR_NOMEM, "no memory for a search");
        const int rc = ask(s, config, &a, &why);
        json_decref(config);
        if (rc == ERR_NOMEM) return err_set(e, ERR_NOMEM, "%s", why.msg);
        if (!rc) note(c, in_mb(a.plan.memory.total));
        if (rc) c->asked++;
        if (rc) c->refused++;
        if (!rc) release(&a);
    }
    return 0;
}

/* Would the gate keep a configuration that is better beyond all noise? With few seeds no difference
 * is evidence enough. */
static bool can_keep(const struct search *s) {
    const unsigned n = s->plan.max_seeds, floor = n < JUDGE_FLOOR ? n : JUDGE_FLOOR;
    const double pool = fmin(s->plan.pool_df, floor - 1);
    const struct gate_contrast best = {.diff = -1, .x = -1, .variance = 1.0 / n, .squares = 1,
                                       .df = pool + n - 1, .own_squares = 1, .own_df = n - 1,
                                       .candidate = n, .incumbent = n, .paired = n};
    return !(s->file.confidence > 0) || gate_log_e(&best) >= gate_threshold(&s->plan, 1, 0);
}

int search_cost(const struct search *s, struct search_cost *c, struct err *e) {
    double u[SPACE_MAX_AXES];
    struct asked a;
    json_t *config = NULL;
    int rc;
    *c = (struct search_cost){0};
    c->memory_mb = s->file.launcher ? 0 : trial_memory_mb((unsigned)s->file.jobs);
    TRY(search_start(&s->file, u, e));
    config = space_config(&s->file.space, u);
    if (!config) TRY(err_set(e, ERR_NOMEM, "no memory for a search"));
    TRY(ask(s, config, &a, e));
    c->planned_mb = in_mb(a.plan.memory.total);
    c->num_params_M = 1e-6 * (double)model_param_count(&a.plan.model);
    rc = fill_disk(&a, c, e);
    if (!rc) fill_seconds(s, &a, c);
    release(&a);
    if (rc) goto out;
    fill_trainings(s, c);
    c->can_keep = can_keep(s);
    rc = sample(s, c, e);
out:
    if (rc) err_prefix(e, "%s: the base cannot be trained", s->file.path);
    json_decref(config);
    return rc;
}

/* Text ----------------------------------------------------------------------------------------- */

static const char *span(double a, double b, char buf[80]) {
    char from[32], to[32];
    log_duration(a, from);
    log_duration(b, to);
    if (strcmp(from, to))
        snprintf(buf, 80, "%s to %s", from, to);
    else
        snprintf(buf, 80, "%s", from);
    return buf;
}

void search_cost_print(const struct search *s, const struct search_cost *c, FILE *out) {
#define X(name) #name,
    static const char *const units[] = {SEARCH_BUDGETS(X)};
#undef X
    const struct search_file *f = &s->file;
    char text[80], each[32];
    term_fact(out, "search", "%lld trials at most, %s, %zu axes, %lld at a time",
              (long long)f->trials, f->strategy.kind->name, f->space.n, (long long)f->jobs);
    snprintf(each, sizeof each, "%.6g %s", f->amount,
             f->budget == SEARCH_time ? "seconds" : units[f->budget]);
    if (isnan(c->seconds))
        term_fact(out, "training", "%s, %.3g M parameters", each, c->num_params_M);
    else
        term_fact(out, "training", "%s, %.3g M parameters, %s", each, c->num_params_M,
                  span(c->seconds, c->seconds_most, text));
    term_fact(out, "trainings", "%.0f to %.0f", ceil(c->least - 1e-6), ceil(c->most - 1e-6));
    if (!isnan(c->seconds))
        term_fact(out, "time", "%s",
                  span(c->least * c->seconds / (double)f->jobs,
                       c->most * c->seconds_most / (double)f->jobs, text));
    term_fact(out, "memory", "%.1f MB for the base", c->planned_mb);
    if (!isnan(c->least_mb))
        term_fact(out, "space", "%.1f to %.1f MB for %d other configurations", c->least_mb,
                  c->most_mb, c->asked);
    if (c->refused)
        term_fact(out, "refused", "%d of these %d: above %.1f MB, or not to be trained",
                  c->refused, c->asked, c->memory_mb);
    if (!c->can_keep)
        term_fact(out, "keeps", "none can be shown with %lld seeds at confidence %g in %lld trials: "
                  "give more \"seeds\"", (long long)f->seeds, f->confidence,
                  (long long)s->planned);
    *text = '\0';
    if (c->tokens_mb > 0) snprintf(text, sizeof text, " (%.1f of them tokens)", c->tokens_mb);
    term_fact(out, "disk", "%.1f MB%s for each training of a trial that is kept, %.1f to %.1f MB "
              "in all",
              c->disk_mb, text, c->floor * c->disk_mb, ceil(c->most - 1e-6) * c->disk_mb);
}
