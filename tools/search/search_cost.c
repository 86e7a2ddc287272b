#include "search_cost.h"

#include "clock.h"
#include "graph.h"
#include "json_text.h"
#include "judge.h"
#include "limit.h"
#include "metric.h"
#include "opt.h"
#include "rng.h"
#include "textin.h"
#include "textlist.h"
#include "train_plan.h"
#include "trial.h"
#include "usual_peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 12, SAMPLE_TEXT = 1 << 18, RUNG_POINTS = 64 };
#define SAMPLE_SECONDS 2.0 /* for asking about them */
#define GOOD_SHARE 0.6     /* of the GEMM peak, of a training */
#define USUAL_SHARE 0.4
#define POOR_SHARE 0.2

/* The options of a trial as `duet train` reads them, and what it would be. */
struct asked {
    struct conf conf;
    struct train_opts o;
    struct adapter_words words;
    struct train_plan plan;
};

/* What is found out on the way. */
struct costing {
    const struct search *s;
    struct search_cost *c;
    double peak;     /* operations a second, of a trial's processors */
    double tokens;   /* of the text that is validated on; 0: not known */
    double starting; /* seconds until a training begins */
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

/* Time ----------------------------------------------------------------------------------------- */

/* Of a trial, where they share the processors; with "threads" they may have enough of them. */
static double peak_of(const struct search *s, struct asked *a) {
    struct machine *m = &a->plan.machine;
    double peak = usual_peak(m->gemm, a->plan.memory.total);
    if (!(peak > 0)) peak = machine_peak(m, 0.3, a->plan.memory.total);
    const double threads = (double)machine_threads(m) * (double)s->file.jobs;
    return peak * 1e9 * fmin(1, trial_threads(1) / threads);
}

static struct cost_span at_shares(double work, double peak) {
    return (struct cost_span){work / (GOOD_SHARE * peak), work / (USUAL_SHARE * peak),
                              work / (POOR_SHARE * peak)};
}

/* Of a whole training; with a budget in seconds about as many. 0: not known. */
static double updates_of(const struct costing *x, const struct asked *a) {
    const struct train_plan *p = &a->plan;
    if (x->s->file.budget != SEARCH_time) return (double)p->updates;
    return p->flops > 0 ? floor(x->s->file.amount * USUAL_SHARE * x->peak / p->flops) : 0;
}

/* Operations of what validates a run and measures it: passes forward. */
static double eval_work(const struct costing *x, const struct asked *a) {
    const struct train_plan *p = &a->plan;
    const struct train_opts *o = &a->o;
    const double T = (double)p->val_seq;
    if (!(T > 0)) return 0;
    double once = (double)o->val_windows * T, times = 1 + (o->init != NULL);
    if (o->task) once = (double)p->task_eval.n * T;
    if (!o->task && x->tokens > 0) once = fmin(once, x->tokens);
    if (o->val_every > 0) times += floor(updates_of(x, a) / (double)o->val_every);
    const double exact = metric_needs(&x->s->file.metric) == METRIC_SCORER ? x->tokens : 0;
    return (times * once + exact) * graph_flops(&p->model.graph, false, 1, p->val_seq) / T;
}

/* Of the base. Of steps they follow from its work. */
static void fill_seconds(const struct costing *x, const struct asked *a) {
    const struct search_file *f = &x->s->file;
    struct search_cost *c = x->c;
    const double work = f->budget == SEARCH_flops ? f->amount : a->plan.all_flops;
    c->training = (struct cost_span){NAN, NAN, NAN};
    if (f->budget == SEARCH_time)
        c->training = (struct cost_span){f->amount, f->amount, f->amount};
    else if (work > 0)
        c->training = at_shares(work, x->peak);
    c->beside = at_shares(eval_work(x, a), x->peak);
    c->beside.least += x->starting;
    c->beside.usual += x->starting;
    c->beside.most += x->starting;
}

struct cost_span search_cost_seconds(const struct search_cost *c, int64_t jobs) {
    const double n = (double)jobs;
    const struct cost_span *t = &c->trainings, *r = &c->runs;
    return (struct cost_span){
        (t->least * c->training.least + r->least * c->beside.least) / n,
        (t->usual * c->training.usual + r->usual * c->beside.usual) / n,
        (t->most * c->training.most + r->most * c->beside.most) / n};
}

/* Text ----------------------------------------------------------------------------------------- */

/* What a run makes of texts. */
struct made {
    double bytes;   /* of the shard in its folder */
    double tokens;  /* in all, also of a shard that there is; 0: not known */
    double seconds; /* with one thread, beyond what the plan has done; 0: none, or not known */
};

/* Bytes of tokens, and seconds, a byte of the file, by the beginning of its text. */
static int sample_tokens(const struct tokenizer *t, const char *path, double *ratio,
                         double *seconds, struct err *e) {
    struct textin in = {0};
    struct tok_ids ids = {0};
    char *text = malloc(SAMPLE_TEXT);
    size_t got = 0;
    int rc;
    TRY(text ? textin_open(&in, path, e) : err_set(e, ERR_NOMEM, "no memory for a search"));
    TRY(textin_read(&in, text, SAMPLE_TEXT, &got, e));
    const double began = clock_seconds();
    TRY(tokenizer_encode(t, text, got, true, false, &ids, e));
    const double width = tokenizer_vocab_size(t) > 1 << 16 ? 4 : 2;
    *ratio = in.done ? width * (double)ids.n / (double)in.done : 0;
    *seconds = in.done ? (clock_seconds() - began) / (double)in.done : 0;
out:
    free(ids.ids);
    free(text);
    textin_close(&in);
    return rc;
}

/* shard: of the plan, if it has opened or made one. */
static int look_at_text(const struct asked *a, const struct conf_list *data,
                        const struct shard *shard, struct made *m, struct err *e) {
    const struct tokenizer *tok = a->plan.data.tokenizer;
    struct textlist l = {0};
    double ratio = 0, seconds = 0;
    int rc = 0;
    *m = (struct made){.tokens = (double)shard->n_tokens};
    if (!data->n || !strcmp(a->o.format, "raw16") || shard_probe(data->item[0])) return 0;
    if (shard->map.size) {
        m->bytes = (double)shard->map.size;
        return 0;
    }
    TRY(textlist_open(&l, data->item, data->n, e));
    const double size = (double)textlist_size(&l); /* 0: of a pipe */
    if (size > 0 && tok) {
        TRY(sample_tokens(tok, l.path[0], &ratio, &seconds, e));
        m->bytes = ratio * size;
        m->tokens = m->bytes / (tokenizer_vocab_size(tok) > 1 << 16 ? 4 : 2);
        m->seconds = seconds * size;
    }
out:
    textlist_close(&l);
    return rc;
}

/* What stays of a training that is kept, and what its texts take of time. */
static int fill_text(struct costing *x, const struct asked *a, struct err *e) {
    const struct train_plan *p = &a->plan;
    struct search_cost *c = x->c;
    struct made data, val;
    int rc;
    TRY(look_at_text(a, &a->o.data, &p->data.shard, &data, e));
    TRY(look_at_text(a, &a->o.val_data, &p->val_data.shard, &val, e));
    c->tokens_mb = 1e-6 * (data.bytes + val.bytes);
    c->disk_mb = in_mb(p->memory.weights) + 0.9 * in_mb(p->memory.optimizer) + c->tokens_mb;
    x->tokens = a->o.val_data.n ? val.tokens : a->o.val_fraction * data.tokens;
    x->starting += (data.seconds + val.seconds) / (double)machine_threads(&p->machine);
out:
    return rc;
}

/* Trainings ------------------------------------------------------------------------------------ */

/* What configurations take with one seed. */
struct work {
    double trainings; /* whole ones, in sum */
    double runs;      /* processes */
    double whole;     /* that come to all of the budget */
};

/* Of halving, bracket after bracket: of the first rung all of its share, and of each further one
 * what is new in it. */
static struct work halving_work(const struct strategy_choice *c, double others) {
    const double eta = strategy_option(c, "eta");
    const int top = (int)strategy_option(c, "rungs") - 1;
    const bool hyperband = strategy_option(c, "hyperband") != 0;
    struct work w = {0};
    for (int turn = 0; others > 0; turn++) {
        const int s = hyperband ? top - turn % (top + 1) : top;
        double n = fmin((double)halving_bracket(c, s), others), share = pow(eta, -s);
        others -= n;
        w.trainings += n * share;
        w.runs += n;
        for (int k = 0; k < s; k++) {
            n = fmax(1, floor(n / eta));
            w.trainings += n * share * (eta - 1);
            w.runs += n;
            share *= eta;
        }
        w.whole += n;
    }
    return w;
}

static struct work work_of(const struct search *s, double others) {
    const struct strategy_choice *choice = &s->file.strategy;
    if (choice->kind->rungs) return halving_work(choice, others);
    return (struct work){others, others, others};
}

double search_cost_share(const struct search *s) {
    const double others = fmax(1, (double)s->file.trials - 1);
    return s->file.strategy.kind->rungs ? work_of(s, others).trainings / others : 1;
}

/* Where the base has that many seeds, and a candidate these. What comes to the whole budget takes
 * further seeds there. */
static void count_trainings(const struct work *w, double base, double seeds, double *trainings,
                            double *runs) {
    *trainings = base + w->trainings + w->whole * (seeds - 1);
    *runs = base + w->runs + w->whole * (seeds - 1);
}

/* Of a configuration that is known nothing is trained: a strategy that does not end of itself comes
 * to all that there are, the base perhaps among them. With halving that is known only of what came
 * to the end. */
static int fill_trainings(const struct search *s, struct search_cost *c, struct err *e) {
    const double seeds = s->plan.max_seeds, floor = fmin(seeds, JUDGE_FLOOR);
    const bool all = s->file.every_seed, halving = s->file.strategy.kind->rungs;
    double there = space_count(&s->file.space, 0); /* NaN: no memory, as many as may be */
    int64_t expected;
    const int rc = search_expected(s, &expected, e);
    if (rc) return rc;
    if (expected < 0) expected = s->file.trials;
    if (expected - search_by_hand(s) < s->file.trials) there = INFINITY; /* all of them are new */
    const double others = fmax(0, (double)(expected - 1 - search_by_hand(s)));
    const struct work least = work_of(s, fmin(others, fmax(there - 1, 0)));
    const struct work most = work_of(s, halving ? others : fmin(others, there));
    c->floor = floor;
    count_trainings(&least, all ? seeds : floor, all ? seeds : 1, &c->trainings.least,
                    &c->runs.least);
    count_trainings(&most, all ? seeds : floor, all ? seeds : fmin(seeds, SEARCH_COST_SEEDS),
                    &c->trainings.usual, &c->runs.usual);
    count_trainings(&most, seeds, seeds, &c->trainings.most, &c->runs.most);
    return 0;
}

/* Would the gate keep a configuration that is better beyond all noise? With few seeds no difference
 * is evidence enough; the first says nothing of what halving has taken further (judge.c), unless a
 * bracket begins with all of the budget. */
static bool can_keep(const struct search *s) {
    const struct strategy_choice *how = &s->file.strategy;
    const bool chosen = how->kind->rungs && !strategy_option(how, "hyperband");
    const unsigned all = s->plan.max_seeds, floor = all < JUDGE_FLOOR ? all : JUDGE_FLOOR;
    const unsigned n = all - chosen;
    if (!n) return !(s->file.confidence > 0);
    const double pool = fmin(s->plan.pool_df, floor - 1);
    const struct gate_contrast best = {.diff = -1, .x = -1, .variance = 1.0 / n, .squares = 1,
                                       .df = pool + n - 1, .own_squares = 1, .own_df = n - 1,
                                       .candidate = n, .incumbent = n, .paired = n};
    return !(s->file.confidence > 0) || gate_log_e(&best) >= gate_threshold(&s->plan, 1, 0);
}

/* Rungs ---------------------------------------------------------------------------------------- */

/* The first update that passes the share ends a rung. What counts is the configuration whose
 * warm-up takes the most of its first rung. */
static void note_rung(const struct costing *x, const struct asked *a) {
    struct search_cost *c = x->c;
    const double updates = updates_of(x, a), warmup = (double)a->plan.setup.sched.warmup;
    const double rung = ceil(c->rung * updates - 1e-9);
    if (!(updates > 0)) return;
    const double more = isinf(c->rung_updates) ? 1 : warmup * c->rung_updates - c->warmup * rung;
    if (more < 0 || (more == 0 && rung >= c->rung_updates)) return;
    c->warmup = warmup;
    c->rung_updates = rung;
}

/* Axes that say where a rung lies in the warm-up, with those that they depend on. */
struct deciders {
    bool used[SPACE_MAX_AXES];   /* at their largest, or */
    bool walked[SPACE_MAX_AXES]; /* in conditions: at each of their values */
    double points;               /* combinations of these */
};

/* The longest warm-up beside the largest batch, which makes the fewest updates of anything but
 * steps. */
static struct deciders find_deciders(const struct search *s) {
    static const char *const keys[] = {"warmup", "batch", "accum", "seq"};
    const struct space *space = &s->file.space;
    const size_t n = s->file.budget == SEARCH_steps ? 1 : sizeof keys / sizeof *keys;
    struct deciders d = {.points = 1};
    for (size_t i = 0; i < n; i++) {
        const size_t axis = space_find(space, keys[i]);
        if (axis < space->n) d.used[axis] = true;
    }
    for (size_t k = space->n; k-- > 0;) {
        const struct axis *a = &space->axis[space->order[k]];
        if (!d.used[space->order[k]]) continue;
        if (d.walked[space->order[k]]) d.points *= (double)axis_levels(a);
        if (a->kind == AXIS_share_of) d.used[a->of] = true;
        for (size_t i = 0; i < a->n_when; i++)
            d.used[a->when[i].axis] = d.walked[a->when[i].axis] = true;
    }
    return d;
}

/* Where an axis has its largest number. */
static double most_of(const struct axis *a) {
    const size_t n = json_array_size(a->choices);
    for (size_t i = 0; i < n; i++)
        if (json_number_value(json_array_get(a->choices, i)) == a->most) return axis_middle(i, n);
    return n ? 0.5 : 1;
}

/* The base's configuration with the axes that decide as combination `index` has them. New. */
static json_t *rung_config(const struct search *s, const struct deciders *d, uint64_t index,
                           const json_t *base) {
    const struct space *space = &s->file.space;
    double u[SPACE_MAX_AXES];
    for (size_t i = 0; i < space->n; i++) {
        const size_t n = d->walked[i] ? axis_levels(&space->axis[i]) : 0;
        u[i] = n ? axis_middle((size_t)(index % n), n) : most_of(&space->axis[i]);
        if (n) index /= n;
    }
    json_t *config = json_copy((json_t *)(uintptr_t)base), *point = space_config(space, u);
    bool ok = config && point;
    for (size_t i = 0; i < space->n && ok; i++) {
        json_t *v = json_object_get(point, space->axis[i].key);
        if (!d->used[i]) continue;
        if (v)
            ok = !json_object_set(config, space->axis[i].key, v);
        else
            json_object_del(config, space->axis[i].key);
    }
    json_decref(point);
    if (ok) return config;
    json_decref(config);
    return NULL;
}

/* The base itself has all of the budget. */
static int fill_rung(const struct costing *x, const json_t *base, struct err *e) {
    const struct deciders d = find_deciders(x->s);
    const double all = fmin(d.points, 0x1p53), n = fmin(all, RUNG_POINTS);
    const double began = clock_seconds();
    for (double i = 0; i < n && clock_seconds() - began < SAMPLE_SECONDS; i++) {
        struct asked a;
        struct err why;
        json_t *config = rung_config(x->s, &d, (uint64_t)(i * (all / n)), base);
        const int rc = config ? ask(x->s, config, &a, &why) : ERR_NOMEM;
        json_decref(config);
        if (rc == ERR_NOMEM) return err_set(e, ERR_NOMEM, "no memory for a search");
        if (rc) continue; /* it could not be trained: the others tell */
        note_rung(x, &a);
        release(&a);
    }
    return 0;
}

/* Configurations ------------------------------------------------------------------------------- */

static void note(const struct costing *x, const struct asked *a) {
    struct search_cost *c = x->c;
    const double mb = in_mb(a->plan.memory.total);
    c->least_mb = isnan(c->least_mb) ? mb : fmin(c->least_mb, mb);
    c->most_mb = isnan(c->most_mb) ? mb : fmax(c->most_mb, mb);
    c->refused += c->memory_mb > 0 && mb > c->memory_mb;
    if (c->rung < 1) note_rung(x, a);
}

/* At random: what the space asks of the machine. */
static int sample(const struct costing *x, struct err *e) {
    const struct search *s = x->s;
    struct search_cost *c = x->c;
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
        c->asked++;
        if (rc) {
            c->refused++;
            continue;
        }
        note(x, &a);
        release(&a);
    }
    return 0;
}

/* Of the base. */
static int measure(struct costing *x, const json_t *config, struct err *e) {
    struct search_cost *c = x->c;
    struct asked a;
    const double began = clock_seconds();
    int rc = ask(x->s, config, &a, e);
    if (rc) return rc;
    x->starting = clock_seconds() - began;
    x->peak = peak_of(x->s, &a);
    c->planned_mb = in_mb(a.plan.memory.total);
    c->num_params_M = 1e-6 * (double)model_param_count(&a.plan.model);
    rc = fill_text(x, &a, e);
    if (!rc) fill_seconds(x, &a);
    release(&a);
    return rc;
}

int search_cost(const struct search *s, struct search_cost *c, struct err *e) {
    const struct strategy_choice *choice = &s->file.strategy;
    struct costing x = {.s = s, .c = c};
    json_t *config = NULL;
    int rc;
    *c = (struct search_cost){.rung = 1, .rung_updates = INFINITY};
    if (choice->kind->rungs)
        c->rung = pow(strategy_option(choice, "eta"), 1 - strategy_option(choice, "rungs"));
    c->memory_mb = s->file.launcher ? 0 : trial_memory_mb((unsigned)s->file.jobs);
    TRY(search_base(&s->file, &config, e));
    TRY(measure(&x, config, e));
    if (c->rung < 1) TRY(fill_rung(&x, config, e));
    TRY(fill_trainings(s, c, e));
    c->can_keep = can_keep(s);
    rc = sample(&x, e);
    if (isinf(c->rung_updates)) c->rung_updates = NAN;
out:
    if (rc) err_prefix(e, "%s: the base cannot be trained", s->file.path);
    json_decref(config);
    return rc;
}
