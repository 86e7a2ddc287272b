#include "search_view.h"

#include "record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define X(name) #name,
static const char *const outcome_names[] = {VIEW_OUTCOMES(X)};
#undef X

const char *view_outcome_name(enum view_outcome o) {
    return outcome_names[o];
}

bool view_failed(enum view_outcome o) {
    return o > VIEW_ok;
}

/* Trials --------------------------------------------------------------------------------------- */

/* A trial's results from the last to the first; *i: begins as that of struct ledger_trial. */
static const struct ledger_result *next_result(const struct ledger *l, size_t *i) {
    if (!*i) return NULL;
    const struct ledger_result *r = &l->result[*i - 1];
    *i = r->before;
    return r;
}

static double share_of(const struct ledger *l, int64_t trial, int rung) {
    size_t i = l->trial[trial].job;
    while (i && l->job[i - 1].rung != rung) i = l->job[i - 1].before;
    return i ? l->job[i - 1].share : NAN;
}

/* Fills all but the outcome. Returns how its first failing seed ended, or VIEW_ok. */
static enum view_outcome measure(const struct ledger *l, int64_t trial, struct view_trial *t) {
    enum view_outcome failed = VIEW_ok;
    size_t i = l->trial[trial].result;
    int top = -1;
    double sum = 0;
    for (const struct ledger_result *r; (r = next_result(l, &i));) {
        const double seconds = record_number(r->json, "seconds");
        if (seconds > 0) t->seconds += seconds;
        if (r->status != TRIAL_ok)
            failed = (enum view_outcome)(VIEW_ok + (int)r->status - TRIAL_ok);
        else if (r->rung > top)
            top = r->rung;
    }
    t->rung = top < 0 ? l->job[l->trial[trial].job - 1].rung : top;
    t->share = share_of(l, trial, t->rung);
    i = l->trial[trial].result;
    for (const struct ledger_result *r; top >= 0 && (r = next_result(l, &i));)
        if (r->rung == top && r->status == TRIAL_ok) sum += r->value, t->seeds++;
    t->value = t->seeds ? sum / t->seeds : NAN;
    return failed;
}

static struct view_trial look(const struct ledger *l, int64_t trial) {
    struct view_trial t = {.outcome = VIEW_running};
    const enum view_outcome failed = measure(l, trial, &t);
    const enum trial_decision decision = l->trial[trial].decision;
    const bool waits = t.seeds && t.share < 1 && t.rung == l->job[l->trial[trial].job - 1].rung;
    if (trial == 0 && (t.seeds || failed == VIEW_ok))
        t.outcome = VIEW_base;
    else if (decision == DECISION_keep)
        t.outcome = VIEW_keep;
    else if (failed != VIEW_ok)
        t.outcome = failed;
    else if (waits || (decision == DECISION_discard && t.share < 1))
        t.outcome = VIEW_partial;
    else if (decision == DECISION_discard)
        t.outcome = VIEW_discard;
    t.decided = trial == 0 ? decision != DECISION_none : t.outcome != VIEW_running;
    return t;
}

int view_expected(const struct search_view *v, int64_t *n, struct err *e) {
    const struct search_file *f = &v->s->file;
    if (v->n) return search_expected(v->s, n, e);
    *n = strcmp(f->strategy.kind->name, SEARCH_HAND) ? f->trials : -1;
    return 0;
}

int search_view(struct search_view *v, const struct search *s, struct err *e) {
    int rc = 0;
    *v = (struct search_view){.s = s, .incumbent = search_incumbent(s)};
    v->trial = calloc(s->ledger.n_trials + 1, sizeof *v->trial);
    if (!v->trial) return err_set(e, ERR_NOMEM, "no memory to look at a search");
    for (; v->n < s->ledger.n_trials; v->n++) {
        v->trial[v->n] = look(&s->ledger, (int64_t)v->n);
        v->count[v->trial[v->n].outcome]++;
    }
    TRY(search_noise(s, &v->noise, e));
out:
    if (rc) search_view_release(v);
    return rc;
}

void search_view_release(struct search_view *v) {
    free(v->trial);
    *v = (struct search_view){0};
}

double view_keep_rate(const struct search_view *v) {
    size_t n = v->count[VIEW_keep] + v->count[VIEW_discard] + v->count[VIEW_partial];
    for (int o = VIEW_ok + 1; o < VIEW_N_OUTCOMES; o++)
        if (o != VIEW_refused) n += v->count[o];
    return n ? (double)v->count[VIEW_keep] / (double)n : NAN;
}

/* Differences ---------------------------------------------------------------------------------- */

/* The most seeds that a trial has. */
static size_t most_seeds(const struct search *s) {
    size_t most = 1;
    for (size_t i = 0; i < s->ledger.n_trials; i++)
        if (s->ledger.trial[i].n_results > most) most = s->ledger.trial[i].n_results;
    return most;
}

/* Results of the candidate, of what it is compared with, and of all others that tell of noise (two
 * results at least): in this order. value: owned, of all of them. */
struct results {
    struct gate_runs *runs;
    double *value;
    size_t n;
};

static int gather(const struct search *s, int64_t candidate, int64_t against, struct results *r,
                  struct err *e) {
    const size_t most = most_seeds(s);
    size_t n = 2;
    for (size_t i = 0; i < s->ledger.n_trials; i++) n += s->ledger.trial[i].n_results > 1;
    *r = (struct results){.runs = calloc(n, sizeof *r->runs)};
    r->value = r->runs ? calloc(n, most * sizeof *r->value) : NULL;
    if (!r->value) return err_set(e, ERR_NOMEM, "no memory for a difference");
    for (int64_t i = -2; i < (int64_t)s->ledger.n_trials; i++) {
        const int64_t trial = i == -2 ? candidate : i == -1 ? against : i;
        if (i >= 0 && (i == candidate || i == against || s->ledger.trial[i].n_results < 2))
            continue;
        search_runs(s, trial, most, r->value + r->n * most, most, &r->runs[r->n]);
        r->n++;
    }
    return 0;
}

int view_delta(const struct search_view *v, int64_t candidate, int64_t against,
               struct view_delta *d, struct err *e) {
    const struct search *s = v->s;
    const double confidence = s->file.confidence > 0 ? s->file.confidence : 0.95;
    struct results r;
    struct gate_noise noise;
    double low, high;
    int rc;
    *d = (struct view_delta){NAN, NAN, NAN, 0};
    TRY(gather(s, candidate, against, &r, e));
    gate_noise(r.runs + 1, r.n - 1, 0, &noise);
    const struct gate_contrast c = gate_contrast(&r.runs[1], &r.runs[0], &noise, s->plan.pool_df);
    d->diff = s->sign * c.diff;
    d->seeds = c.candidate;
    if (!isfinite(c.diff)) goto out;
    gate_interval(&c, confidence, &low, &high);
    d->low = s->sign > 0 ? low : -high;
    d->high = s->sign > 0 ? high : -low;
out:
    free(r.runs);
    free(r.value);
    return rc;
}

struct view_delta view_decided(const struct search_view *v, int64_t trial) {
    struct search_evidence ev;
    if (!search_evidence(v->s, trial, &ev)) return (struct view_delta){NAN, NAN, NAN, 0};
    const bool up = v->s->sign < 0;
    const double low = isnan(ev.low) ? -HUGE_VAL : ev.low;
    const double high = isnan(ev.high) ? HUGE_VAL : ev.high;
    return (struct view_delta){v->s->sign * ev.diff, up ? -high : low, up ? -low : high, ev.seeds};
}

/* Numbers and words ---------------------------------------------------------------------------- */

double view_number(const struct search_view *v, int64_t trial, const char *key) {
    const struct ledger *l = &v->s->ledger;
    size_t i = l->trial[trial].result, n = 0;
    double sum = 0;
    for (const struct ledger_result *r; (r = next_result(l, &i));) {
        double x = record_number(json_object_get(r->json, "summary"), key);
        if (isnan(x)) x = record_number(r->json, key);
        if (r->rung == v->trial[trial].rung && isfinite(x)) sum += x, n++;
    }
    return n ? sum / (double)n : NAN;
}

static const char *failure_words(enum view_outcome o) {
    switch (o) {
    case VIEW_refused: return "does not fit";
    case VIEW_memory: return "out of memory";
    case VIEW_nan: return "diverged";
    case VIEW_time: return "out of time";
    case VIEW_killed: return "killed";
    default: return "crashed";
    }
}

/* Words of files do nothing on a terminal, and stay on a line. */
static void tame(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < ' ' || *p == 127) *p = '?';
        if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) *p = p[1] = '?'; /* U+0080 to U+009F */
    }
}

const char *view_changes(const struct search_view *v, int64_t trial, int64_t from, char *buf,
                         size_t size) {
    search_changes(v->s, trial, from, buf, size);
    tame(buf);
    return buf;
}

const char *view_describe(const struct search_view *v, int64_t trial, char *buf, size_t size) {
    const json_t *job = search_job(v->s, trial)->json;
    const char *note = json_string_value(json_object_get(job, "note"));
    const int64_t rival = search_rival(v->s, trial);
    if (trial == 0)
        snprintf(buf, size, "baseline");
    else if (note && *note)
        snprintf(buf, size, "%s", note);
    else
        search_changes(v->s, trial, rival < 0 ? 0 : rival, buf, size);
    const size_t n = strlen(buf);
    if (view_failed(v->trial[trial].outcome))
        snprintf(buf + n, size - n, "%s(%s)", n ? " " : "", failure_words(v->trial[trial].outcome));
    tame(buf);
    return buf;
}
