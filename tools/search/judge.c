#include "judge.h"

#include "num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int judge_open(struct judge *g, const struct search *s, struct err *e) {
    const size_t n = s->ledger.n_trials;
    *g = (struct judge){.s = s, .incumbent = search_incumbent(s)};
    g->known = calloc(n + 1, sizeof *g->known);
    g->value = calloc(2 * (size_t)s->plan.max_seeds, sizeof *g->value);
    if (!g->known || !g->value) {
        judge_close(g);
        return err_set(e, ERR_NOMEM, "no memory to judge trials");
    }
    search_known(s, g->known);
    for (size_t i = 0; i < s->ledger.n_decisions; i++) {
        const struct ledger_decision *d = &s->ledger.decision[i];
        const json_t *evidence = json_object_get(d->json, "evidence");
        if (!json_is_integer(json_object_get(evidence, "test"))) continue;
        g->tests++;
        g->kept += d->keep;
    }
    const int rc = search_noise(s, &g->noise, e);
    if (rc) judge_close(g);
    return rc;
}

void judge_close(struct judge *g) {
    free(g->known);
    free(g->value);
    *g = (struct judge){0};
}

/* Results -------------------------------------------------------------------------------------- */

static void want(const struct judge *g, struct wants *w, int64_t trial, int64_t seed) {
    if (search_result(g->s, trial, seed) || w->n == w->most) return;
    for (size_t i = 0; i < w->n; i++)
        if (w->want[i].trial == trial && w->want[i].seed == seed) return;
    w->want[w->n++] = (struct want){trial, seed};
}

/* Has it results with seeds 1 to n? Adds those that it lacks. */
static bool has_seeds(const struct judge *g, int64_t trial, size_t n, struct wants *w) {
    bool all = true;
    for (size_t seed = 1; seed <= n; seed++) {
        if (search_result(g->s, trial, (int64_t)seed)) continue;
        want(g, w, trial, (int64_t)seed);
        all = false;
    }
    return all;
}

bool judge_complete(const struct judge *g, struct wants *w) {
    return g->incumbent < 0 || has_seeds(g, g->incumbent, g->known[g->incumbent], w);
}

/* The result that there is of a known configuration at the same share, of whichever trial had it
 * first. *pending: there will be. */
static const struct ledger_result *find_same(const struct search *s, const struct ledger_job *job,
                                             bool *pending) {
    const struct ledger *l = &s->ledger;
    *pending = false;
    for (const struct ledger_job *its = l->job; its < job; its++) {
        if (its->trial == job->trial || its->share != job->share || strcmp(its->hash, job->hash))
            continue;
        const struct ledger_result *r = ledger_find(l, its->trial, 1, its->rung);
        if (r) return r;
        /* decided without one, it gets none */
        *pending = *pending || l->trial[its->trial].decision == DECISION_none;
    }
    return NULL;
}

/* Verdicts ------------------------------------------------------------------------------------- */

static bool put(json_t *o, const char *key, json_t *v) {
    return v && !json_object_set_new(o, key, v);
}

/* Means over the seeds that both have, as measured. */
static void put_means(json_t *o, const struct judge *g, const struct gate_runs *a,
                      const struct gate_runs *b, bool *ok) {
    double sum[2] = {0, 0};
    size_t n = 0;
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (isnan(a->value[i]) || isnan(b->value[i])) continue;
        sum[0] += a->value[i];
        sum[1] += b->value[i];
        n++;
    }
    if (!n) return;
    *ok = *ok && put(o, "value", num_json(g->s->sign * sum[1] / (double)n)) &&
          put(o, "rival", num_json(g->s->sign * sum[0] / (double)n)) &&
          put(o, "diff", num_json((sum[1] - sum[0]) / (double)n));
}

/* A verdict that is no test's. */
static struct verdict decided(const struct judge *g, bool keep, const char *reason,
                              int64_t seeds) {
    json_t *o = json_pack("{s:s, s:I}", "reason", reason, "seeds", (json_int_t)seeds);
    return (struct verdict){.what = VERDICT_DECIDED, .keep = keep, .against = g->incumbent,
                            .reason = reason, .evidence = o};
}

/* A verdict of the gate; without the first `chosen` seeds. */
static struct verdict proven(const struct judge *g, const struct gate_evidence *e,
                             const struct gate_runs *incumbent, const struct gate_runs *candidate,
                             size_t chosen, enum gate_reason why) {
    const struct gate_contrast *c = &e->contrast;
    const char *reason = gate_reason_word(why);
    double low, high;
    struct verdict v = decided(g, e->verdict == GATE_KEEP, reason, (int64_t)candidate->n);
    bool ok = v.evidence != NULL;
    gate_interval(c, g->s->plan.confidence, &low, &high);
    if (ok) put_means(v.evidence, g, incumbent, candidate, &ok);
    if (ok && chosen) ok = put(v.evidence, "first_seed", json_integer((json_int_t)chosen + 1));
    ok = ok && put(v.evidence, "test", json_integer(g->tests + 1)) &&
         put(v.evidence, "diff", num_json(c->diff)) && put(v.evidence, "low", num_json(low)) &&
         put(v.evidence, "high", num_json(high)) &&
         put(v.evidence, "log_e", num_json(e->log_e)) &&
         put(v.evidence, "threshold", num_json(e->threshold)) &&
         put(v.evidence, "chance", num_json(e->chance)) &&
         put(v.evidence, "noise", num_json(g->noise.sd));
    if (ok) return v;
    json_decref(v.evidence);
    v.evidence = NULL;
    return v;
}

/* confidence 0: the rule of the predecessors, at the first seed, or by the mean of all. */
static struct verdict compare(const struct judge *g, const struct gate_runs *incumbent,
                              const struct gate_runs *candidate) {
    double diff = 0;
    for (size_t i = 0; i < candidate->n && i < incumbent->n; i++)
        if (!isnan(candidate->value[i]) && !isnan(incumbent->value[i]))
            diff += candidate->value[i] - incumbent->value[i];
    const bool better = !candidate->failed && (incumbent->failed || diff < 0);
    struct verdict v = decided(g, better, better ? "better" : "worse", (int64_t)candidate->n);
    bool ok = v.evidence != NULL;
    if (ok) put_means(v.evidence, g, incumbent, candidate, &ok);
    if (ok) return v;
    json_decref(v.evidence);
    v.evidence = NULL;
    return v;
}

/* Has any result. */
static bool has_value(const struct gate_runs *r) {
    for (size_t i = 0; i < r->n; i++)
        if (!isnan(r->value[i])) return true;
    return false;
}

/* Seeds, from the first, by whose results the trial was taken further than its rivals (halving).
 * Given that they are low whether it is better or not: they are no evidence for it. */
static size_t chosen_by(const struct judge *g, int64_t trial) {
    return search_job(g->s, trial)->before ? 1 : 0;
}

/* What the gate says of the seeds behind those: of candidate, those before them are left out. */
static struct gate_evidence look_behind(const struct judge *g, size_t chosen, double threshold,
                                        const struct gate_runs *incumbent,
                                        struct gate_runs *candidate, double *value) {
    struct gate_plan plan = g->s->plan;
    for (size_t i = 0; i < chosen && i < candidate->n; i++) value[i] = NAN;
    plan.max_seeds -= (unsigned)chosen;
    if (plan.min_seeds > plan.max_seeds) plan.min_seeds = plan.max_seeds;
    return gate_look(&plan, threshold, incumbent, candidate, &g->noise);
}

/* One look, at all seeds. */
static struct verdict look_once(const struct judge *g, int64_t trial, struct wants *w) {
    const struct search *s = g->s;
    const size_t most = s->plan.max_seeds;
    struct gate_runs incumbent, candidate;
    search_runs(s, g->incumbent, g->known[g->incumbent], g->value, most, &incumbent);
    if (!has_value(&incumbent)) return decided(g, true, "first", 1);
    const bool rival = has_seeds(g, g->incumbent, most, w);
    if (!has_seeds(g, trial, most, w) || !rival) return (struct verdict){.what = VERDICT_WAITS};
    search_runs(s, g->incumbent, most, g->value, most, &incumbent);
    search_runs(s, trial, most, g->value + most, most, &candidate);
    if (!(s->file.confidence > 0)) return compare(g, &incumbent, &candidate);
    const double threshold = gate_threshold(&s->plan, g->tests + 1, g->kept);
    const size_t chosen = chosen_by(g, trial);
    struct gate_evidence e =
        look_behind(g, chosen, threshold, &incumbent, &candidate, g->value + most);
    if (e.verdict != GATE_KEEP) e.verdict = GATE_DISCARD; /* results were lost */
    return proven(g, &e, &incumbent, &candidate, chosen,
                  e.reason == GATE_FAILED || e.reason == GATE_PROVEN ? e.reason : GATE_SPENT);
}

/* Looks after one seed, after two, and so on, at no more than these, until the gate is sure or a
 * result is missing. At seeds that have chosen the trial only whether it is hopeless: giving up
 * makes no false keep. */
static struct verdict look(const struct judge *g, int64_t trial, struct wants *w) {
    const struct search *s = g->s;
    const size_t most = s->plan.max_seeds, known = g->known[g->incumbent];
    const size_t chosen = chosen_by(g, trial);
    const double threshold = gate_threshold(&s->plan, g->tests + 1, g->kept);
    struct gate_runs incumbent, candidate;
    search_runs(s, g->incumbent, known, g->value, most, &incumbent);
    search_runs(s, trial, 1, g->value + most, most, &candidate);
    if (!has_value(&incumbent)) return decided(g, true, "first", 1);
    if (!(s->file.confidence > 0)) return compare(g, &incumbent, &candidate);
    for (size_t n = 1;; n++) {
        if (!search_result(s, trial, (int64_t)n) || !search_result(s, g->incumbent, (int64_t)n)) {
            want(g, w, g->incumbent, (int64_t)n);
            want(g, w, trial, (int64_t)n);
            return (struct verdict){.what = VERDICT_WAITS};
        }
        search_runs(s, g->incumbent, known > n ? known : n, g->value, most, &incumbent);
        search_runs(s, trial, n, g->value + most, most, &candidate);
        const size_t out = n > chosen ? chosen : 0;
        struct gate_evidence e =
            look_behind(g, out, threshold, &incumbent, &candidate, g->value + most);
        if (n <= chosen && e.verdict == GATE_KEEP) e.verdict = GATE_MORE;
        if (e.verdict != GATE_MORE) return proven(g, &e, &incumbent, &candidate, out, e.reason);
        if (n < most) continue;
        e.verdict = GATE_DISCARD; /* seeds were lost */
        return proven(g, &e, &incumbent, &candidate, out, GATE_SPENT);
    }
}

/* The base: the noise floor, unless it fails at its first seed. */
static struct verdict judge_base(const struct judge *g, struct wants *w) {
    const size_t most = g->s->plan.max_seeds, floor = most < JUDGE_FLOOR ? most : JUDGE_FLOOR;
    const struct ledger_result *first = search_result(g->s, 0, 1);
    const bool failed = first && first->status != TRIAL_ok;
    if (!failed && !has_seeds(g, 0, floor, w)) return (struct verdict){.what = VERDICT_WAITS};
    struct verdict v = decided(g, true, "base", failed ? 1 : (int64_t)floor);
    v.against = -1;
    return v;
}

struct verdict judge_job(const struct judge *g, size_t number, bool first, struct wants *w) {
    const struct search *s = g->s;
    const struct ledger_job *job = &s->ledger.job[number];
    const struct verdict waits = {.what = VERDICT_WAITS};
    bool pending;
    if (judge_has_ended(s, number)) return (struct verdict){.what = VERDICT_ENDED};
    if (job->trial == 0) return judge_base(g, w);
    const struct ledger_result *r = ledger_find(&s->ledger, job->trial, 1, job->rung);
    if (!r) {
        const struct ledger_result *same = find_same(s, job, &pending);
        if (same) return (struct verdict){.what = VERDICT_SAME, .same = same->trial};
        if (!pending) want(g, w, job->trial, 1);
        return waits;
    }
    if (r->status != TRIAL_ok) return decided(g, false, gate_reason_word(GATE_FAILED), 1);
    if (job->share < 1) return (struct verdict){.what = VERDICT_ENDED};
    if (json_object_get(r->json, "same")) return decided(g, false, "known", 1);
    if (g->incumbent < 0) return waits; /* for the noise floor */
    if (!first && !judge_complete(g, &(struct wants){0})) return waits;
    if (!judge_complete(g, w)) return waits;
    return s->file.every_seed ? look_once(g, job->trial, w) : look(g, job->trial, w);
}

bool judge_has_ended(const struct search *s, size_t number) {
    const struct ledger_job *job = &s->ledger.job[number];
    const struct ledger_trial *t = &s->ledger.trial[job->trial];
    if (t->decision != DECISION_none) return true;
    const struct ledger_result *r = ledger_find(&s->ledger, job->trial, 1, job->rung);
    return job->share < 1 && r && r->status == TRIAL_ok;
}
