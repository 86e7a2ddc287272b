#include "search_status.h"

#include "facts.h"
#include "file.h"
#include "log.h"
#include "num.h"
#include "record.h"
#include "search_cost.h"
#include "table.h"
#include "term.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HITS = 5, DIGITS = 4, RUNNING_MAX = 64, SEEDS_MAX = 64 };

/* A process of a trial that is at work. */
struct at_work {
    int64_t trial, seed, step;
    double share; /* of the whole budget; NaN: not known */
};

struct status {
    const struct search_view *v;
    bool running;
    size_t decided;
    int64_t planned; /* configurations in all; -1: without an end, by hand */
    struct at_work work[RUNNING_MAX];
    size_t n_work;
    struct view_delta gain; /* of the incumbent against the base */
    int64_t hit[HITS];      /* what was kept, largest gain first */
    size_t n_hits;
    double spent, each, left; /* seconds: of processes, a trial's, until the end; NaN: not known */
};

/* What runs ------------------------------------------------------------------------------------ */

static double share_done(const struct search_file *f, const struct record *r) {
    const struct record_step *last = r->n_steps ? &r->steps[r->n_steps - 1] : NULL;
    switch (f->budget) {
    case SEARCH_time: return last ? last->seconds / f->amount : 0;
    case SEARCH_steps: return (double)r->step / f->amount;
    case SEARCH_tokens: return last ? last->tokens / f->amount : 0;
    default: return NAN;
    }
}

/* A run that has begun, and of which there is no result. */
static void look_at_run(struct status *st, int64_t trial, int64_t seed) {
    const struct search *s = st->v->s;
    struct record r = {0};
    struct err ignored;
    if (st->n_work == RUNNING_MAX || search_result(s, trial, seed)) return;
    char *dir = search_run_path(s, trial, seed, NULL);
    if (dir && file_is_dir(dir)) {
        const bool read = record_read(&r, dir, RECORD_BRIEF, &ignored) == 0;
        st->work[st->n_work++] =
            (struct at_work){trial, seed, read ? r.step : 0, read ? share_done(&s->file, &r) : 0};
        record_release(&r);
    }
    free(dir);
}

static void find_work(struct status *st) {
    const struct search_view *v = st->v;
    int64_t seeds = v->s->file.seeds > 5 ? v->s->file.seeds : 5; /* the base has five */
    if (seeds > SEEDS_MAX) seeds = SEEDS_MAX;
    for (size_t i = 0; i < v->n && st->running; i++) {
        const struct view_trial *t = &v->trial[i];
        const bool open = !t->decided || t->outcome == VIEW_partial || t->outcome == VIEW_base ||
                          (int64_t)i == v->incumbent;
        for (int64_t seed = 1; open && seed <= seeds; seed++) look_at_run(st, (int64_t)i, seed);
    }
}

/* Figures -------------------------------------------------------------------------------------- */

/* Which of two kept trials gained more. */
static bool gains_more(const struct search_view *v, int64_t a, int64_t b) {
    const double x = v->s->sign * view_decided(v, a).diff, y = v->s->sign * view_decided(v, b).diff;
    return isnan(x) || isnan(y) ? isnan(y) && !isnan(x) : x < y;
}

static void find_hits(struct status *st) {
    for (size_t i = 1; i < st->v->n; i++) {
        if (st->v->trial[i].outcome != VIEW_keep) continue;
        size_t at = st->n_hits;
        while (at > 0 && gains_more(st->v, (int64_t)i, st->hit[at - 1])) at--;
        if (at == HITS) continue;
        if (st->n_hits < HITS) st->n_hits++;
        for (size_t k = st->n_hits - 1; k > at; k--) st->hit[k] = st->hit[k - 1];
        st->hit[at] = (int64_t)i;
    }
}

/* A trial that is still to come takes as long as those before it did, the base aside; of halving
 * they take what the base says, as those that end first are short. */
static void tell_time(struct status *st) {
    const struct search_view *v = st->v;
    const double share = search_cost_share(v->s);
    double sum = 0, others = 0;
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct view_trial *t = &v->trial[i];
        st->spent += t->seconds;
        if (i) others += t->seconds;
        if (i && t->seconds > 0 && t->decided) sum += t->seconds, n++;
    }
    if (v->n && v->trial[0].seeds && (!n || share < 1)) {
        sum = v->trial[0].seconds * share;
        n = v->trial[0].seeds;
    }
    st->each = n ? sum / (double)n : NAN;
    double left = st->each * ((double)st->planned - (double)st->decided);
    if (share < 1) left = st->each * ((double)st->planned - 1) - others;
    st->left = st->planned < 0 ? NAN : fmax(left, 0) / (double)v->s->file.jobs;
}

static int gather(struct status *st, const struct search_view *v, bool running, struct err *e) {
    *st = (struct status){.v = v, .running = running, .gain = {NAN, NAN, NAN, 0}};
    for (size_t i = 0; i < v->n; i++) st->decided += v->trial[i].decided;
    const int rc = view_expected(v, &st->planned, e);
    if (rc) return rc;
    find_work(st);
    find_hits(st);
    tell_time(st);
    return v->incumbent > 0 ? view_delta(v, v->incumbent, 0, &st->gain, e) : 0;
}

static const char *state_of(const struct status *st) {
    if (st->running) return "running";
    if (st->planned < 0) return "idle";
    return (int64_t)st->decided >= st->planned ? "finished" : "stopped";
}

static double confidence_of(const struct search *s) {
    return s->file.confidence > 0 ? s->file.confidence : 0.95;
}

static const char *metric_name(const struct search *s) {
    return s->file.metric.key ? s->file.metric.key : "the command's number";
}

static const char *budget_name(const struct search *s) {
#define X(name) #name,
    static const char *const names[] = {SEARCH_BUDGETS(X)};
#undef X
    return names[s->file.budget];
}

/* The commit of another duet that went on with it, where that is what trains; NULL: none did. */
static const char *other_commit(const struct search *s) {
    const json_t *other = s->file.program ? NULL : s->ledger.other;
    return json_string_value(json_object_get(other, "commit"));
}

/* JSON ----------------------------------------------------------------------------------------- */

static json_t *delta_json(const struct view_delta *d) {
    return json_pack("{s:o, s:o, s:o}", "diff", num_json(d->diff), "low", num_json(d->low), "high",
                     num_json(d->high));
}

static json_t *trial_json(const struct search_view *v, int64_t trial) {
    char what[1024];
    const struct view_trial *t = &v->trial[trial];
    json_t *o =
        json_pack("{s:I, s:o, s:i, s:s}", "trial", (json_int_t)trial, "value", num_json(t->value),
                  "seeds", (int)t->seeds, "outcome", view_outcome_name(t->outcome));
    facts_text(o, "description", view_describe(v, trial, what, sizeof what));
    return o;
}

static json_t *counts_json(const struct status *st) {
    json_t *o = json_object();
    facts_put(o, "planned", st->planned < 0 ? json_null() : json_integer(st->planned));
    facts_whole(o, "proposed", st->v->n);
    facts_whole(o, "decided", st->decided);
    for (int i = 0; i < VIEW_N_OUTCOMES; i++)
        if (i != VIEW_base && i != VIEW_ok) facts_whole(o, view_outcome_name(i), st->v->count[i]);
    facts_put(o, "keep_rate", num_json(view_keep_rate(st->v)));
    return o;
}

static json_t *work_json(const struct status *st) {
    json_t *all = json_array();
    for (size_t i = 0; i < st->n_work; i++) {
        const struct at_work *w = &st->work[i];
        json_array_append_new(all, json_pack("{s:I, s:I, s:I, s:o}", "trial", (json_int_t)w->trial,
                                             "seed", (json_int_t)w->seed, "step",
                                             (json_int_t)w->step, "share", num_json(w->share)));
    }
    return all;
}

static json_t *incumbent_json(const struct status *st) {
    const struct search_view *v = st->v;
    if (v->incumbent < 0) return json_null();
    json_t *o = trial_json(v, v->incumbent);
    facts_put(o, "config", json_incref(search_config(v->s, v->incumbent)));
    facts_put(o, "gain", v->incumbent ? delta_json(&st->gain) : json_null());
    return o;
}

static json_t *hits_json(const struct status *st) {
    json_t *all = json_array();
    for (size_t i = 0; i < st->n_hits; i++) {
        const struct view_delta d = view_decided(st->v, st->hit[i]);
        json_t *o = trial_json(st->v, st->hit[i]), *delta = delta_json(&d);
        facts_put(o, "against", json_integer(search_rival(st->v->s, st->hit[i])));
        json_object_update(o, delta);
        json_decref(delta);
        json_array_append_new(all, o);
    }
    return all;
}

static json_t *noise_json(const struct gate_noise *n) {
    return json_pack("{s:o, s:o, s:o, s:f, s:o, s:f}", "sd", num_json(n->sd), "low",
                     num_json(n->low), "high", num_json(n->high), "df", n->df, "pair_sd",
                     num_json(n->pair_sd), "pair_df", n->pair_df);
}

static int print_json(const struct status *st, FILE *out, struct err *e) {
    const struct search *s = st->v->s;
    json_t *o = json_object();
    facts_text(o, "folder", s->dir);
    facts_text(o, "state", state_of(st));
    facts_text(o, "strategy", s->file.strategy.kind->name);
    facts_put(o, "budget", json_pack("{s:f}", budget_name(s), s->file.amount));
    facts_text(o, "metric", metric_name(s));
    facts_text(o, "better", s->sign > 0 ? "lower" : "higher");
    facts_put(o, "confidence", json_real(s->file.confidence));
    if (other_commit(s)) facts_text(o, "other_commit", other_commit(s));
    facts_put(o, "trials", counts_json(st));
    facts_put(o, "running", work_json(st));
    facts_put(o, "base", st->v->n ? trial_json(st->v, 0) : json_null());
    facts_put(o, "incumbent", incumbent_json(st));
    facts_put(o, "hits", hits_json(st));
    facts_put(o, "noise", noise_json(&st->v->noise));
    facts_put(o, "seconds",
              json_pack("{s:o, s:o, s:o}", "spent", num_json(st->spent), "a_trial",
                        num_json(st->each), "left", num_json(st->left)));
    const bool whole = json_object_get(o, "seconds") && json_object_get(o, "noise");
    if (whole) facts_print_json(o, out);
    json_decref(o);
    return whole ? 0 : err_set(e, ERR_NOMEM, "no memory to tell how a search stands");
}

/* Text ----------------------------------------------------------------------------------------- */

static const char *outcome_words(enum view_outcome o) {
    switch (o) {
    case VIEW_keep: return "kept";
    case VIEW_discard: return "discarded";
    case VIEW_partial: return "stopped at a share of the budget";
    case VIEW_crash: return "crashed";
    case VIEW_memory: return "out of memory";
    case VIEW_nan: return "diverged";
    case VIEW_time: return "out of time";
    default: return view_outcome_name(o);
    }
}

static void print_counts(const struct status *st, FILE *out) {
    char text[400];
    size_t n = 0;
    for (int o = VIEW_keep; o < VIEW_N_OUTCOMES; o++)
        if (st->v->count[o])
            n += (size_t)snprintf(text + n, sizeof text - n, ", %zu %s", st->v->count[o],
                                  outcome_words(o));
    char of[40] = "";
    if (st->planned >= 0) snprintf(of, sizeof of, " of %lld", (long long)st->planned);
    term_fact(out, "trials", "%zu%s decided%s%s", st->decided, of, n ? ";" : "", n ? text + 1 : "");
    const double rate = view_keep_rate(st->v);
    if (!isnan(rate)) term_fact(out, "keep_rate", "%.3f", rate);
}

/* " [-0.1, 0.2]", or "" where the ends are not known. */
static const char *interval(const struct view_delta *d, char buf[80]) {
    if (!isfinite(d->low) || !isfinite(d->high)) return strcpy(buf, "");
    snprintf(buf, 80, " [%+.*f, %+.*f]", DIGITS, d->low, DIGITS, d->high);
    return buf;
}

static void print_value(const struct status *st, const char *key, int64_t trial, FILE *out) {
    const struct view_trial *t = &st->v->trial[trial];
    char value[32];
    if (!t->seeds) return;
    term_fact(out, key, "%s, mean of %u seed%s (trial %lld)", num_text(t->value, DIGITS, value),
              t->seeds, t->seeds == 1 ? "" : "s", (long long)trial);
}

static void print_incumbent(const struct status *st, FILE *out) {
    const struct search_view *v = st->v;
    char what[1024], range[80];
    if (v->n) print_value(st, "base", 0, out);
    if (v->incumbent <= 0) return;
    print_value(st, "incumbent", v->incumbent, out);
    term_fact(out, "changes", "%s", view_changes(v, v->incumbent, 0, what, sizeof what));
    if (!isnan(st->gain.diff))
        term_fact(out, "difference", "%+.*f%s to the base", DIGITS, st->gain.diff,
                  interval(&st->gain, range));
}

static void print_noise(const struct status *st, FILE *out) {
    const struct gate_noise *n = &st->v->noise;
    char pair[32];
    if (!(n->df > 0)) return;
    term_fact(out, "noise", "%.*f [%.*f, %.*f] of a result, %s of a paired difference", DIGITS,
              n->sd, DIGITS, n->low, DIGITS, n->high, num_text(n->pair_sd, DIGITS, pair));
}

static void print_time(const struct status *st, FILE *out) {
    char spent[32], each[32], left[32];
    if (isnan(st->each)) return;
    log_duration(st->spent, spent);
    log_duration(st->each, each);
    log_duration(st->left, left);
    if (st->left > 0)
        term_fact(out, "time", "%s in trials, %s each; about %s left", spent, each, left);
    else
        term_fact(out, "time", "%s in trials, %s each", spent, each);
}

static void print_work(const struct status *st, FILE *out) {
    for (size_t i = 0; i < st->n_work; i++) {
        const struct at_work *w = &st->work[i];
        char share[40] = "";
        if (w->share >= 0) snprintf(share, sizeof share, ", %.0f %%", 100 * fmin(w->share, 1));
        term_fact(out, "at_work", "trial %lld, seed %lld: step %lld%s", (long long)w->trial,
                  (long long)w->seed, (long long)w->step, share);
    }
}

static int print_hits(const struct status *st, FILE *out, struct err *e) {
    struct table t = {0};
    char what[1024], range[80], value[32];
    static const struct {
        const char *name;
        bool left;
        int rank;
    } columns[] = {{"trial", false, 0},         {"against", false, 3}, {"delta", false, 0},
                   {"interval", true, 2},       {"seeds", false, 1},   {"value", false, 0},
                   {"what it changes", true, 0}};
    if (!st->n_hits) return 0;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        table_column(&t, columns[i].name, columns[i].left, columns[i].rank);
    for (size_t i = 0; i < st->n_hits; i++) {
        const int64_t trial = st->hit[i];
        const struct view_delta d = view_decided(st->v, trial);
        table_row(&t);
        table_set(&t, 0, "%lld", (long long)trial);
        table_set(&t, 1, "%lld", (long long)search_rival(st->v->s, trial));
        table_set(&t, 2, "%+.*f", DIGITS, d.diff);
        table_set(&t, 3, "%s", interval(&d, range) + (*range == ' '));
        table_set(&t, 4, "%u", st->v->trial[trial].seeds);
        table_set(&t, 5, "%s", num_text(st->v->trial[trial].value, DIGITS, value));
        table_set(&t, 6, "%s", view_describe(st->v, trial, what, sizeof what));
    }
    fputc('\n', out);
    table_print(&t, isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0, "--json has all", out);
    const bool starved = t.no_memory;
    table_release(&t);
    return starved ? err_set(e, ERR_NOMEM, "no memory for a table") : 0;
}

static void print_program(const struct search *s, FILE *out) {
    const char *was = json_string_value(json_object_get(s->ledger.head, "commit"));
    if (other_commit(s))
        term_fact(out, "program", "commit %s, then %s: trials of both may not be comparable", was,
                  other_commit(s));
}

static int print_text(const struct status *st, FILE *out, struct err *e) {
    const struct search *s = st->v->s;
    char amount[32];
    if (s->file.budget == SEARCH_time)
        log_duration(s->file.amount, amount);
    else
        snprintf(amount, sizeof amount, "%.6g %s", s->file.amount, budget_name(s));
    term_fact(out, "state", "%s", state_of(st));
    term_fact(out, "search", "%s, %zu ax%s, %s a trial, %s (%s is better)",
              s->file.strategy.kind->name, s->file.space.n, s->file.space.n == 1 ? "is" : "es",
              amount, metric_name(s), s->sign > 0 ? "lower" : "higher");
    print_program(s, out);
    print_counts(st, out);
    print_work(st, out);
    print_incumbent(st, out);
    print_noise(st, out);
    print_time(st, out);
    if (st->n_hits && s->file.confidence > 0)
        term_fact(out, "intervals", "%g %%, at all looks together", 100 * confidence_of(s));
    return print_hits(st, out, e);
}

int search_status_print(const struct search_view *v, bool running, enum status_form form, FILE *out,
                        struct err *e) {
    struct status st;
    const int rc = gather(&st, v, running, e);
    if (rc) return rc;
    return form == STATUS_JSON ? print_json(&st, out, e) : print_text(&st, out, e);
}
