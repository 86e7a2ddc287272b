#include "canon.h"
#include "conf.h"
#include "json_lines.h"
#include "ledger.h"
#include "strategy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define X(name) #name,
static const char *const event_names[] = {LEDGER_EVENTS(X)};
static const char *const status_names[] = {"pending", SEARCH_STATUSES(X)};
#undef X
#define X(name) " " #name
static const char statuses_text[] = "one of:" SEARCH_STATUSES(X);
#undef X
enum {
    N_EVENTS = sizeof event_names / sizeof *event_names,
    N_STATUSES = sizeof status_names / sizeof *status_names,
};

const char *trial_status_name(enum trial_status s) {
    return status_names[s];
}

/* Members -------------------------------------------------------------------------------------- */

static int wrong(const char *what, const char *key, const json_t *v, const char *expected,
                 struct err *e) {
    return canon_wrong(ERR_INPUT, what, key, v, expected, e);
}

static int read_count(const json_t *j, const char *what, const char *key, int64_t most,
                      int64_t *value, struct err *e) {
    char expected[80];
    const json_t *v = json_object_get(j, key);
    *value = json_integer_value(v);
    if (json_is_integer(v) && *value >= 0 && *value <= most) return 0;
    snprintf(expected, sizeof expected, "a whole number from 0 to %lld", (long long)most);
    return wrong(what, key, v, expected, e);
}

/* A number of a trial that there is. */
static int read_trial(const struct ledger *l, const json_t *j, const char *what, const char *key,
                      int64_t *trial, struct err *e) {
    if (l->n_trials) return read_count(j, what, key, (int64_t)l->n_trials - 1, trial, e);
    return err_set(e, ERR_INPUT, "%s: there is no proposal before it", what);
}

static int read_rung(const json_t *j, const char *what, int *rung, struct err *e) {
    int64_t n;
    const int rc = read_count(j, what, "rung", 1000, &n, e);
    *rung = (int)n;
    return rc;
}

/* Room for one more of n elements; doubles at powers of two. */
static void *room(void *array, size_t n, size_t size, struct err *e) {
    if (n & (n - 1)) return array; /* 0, 1, 2, 4, ... */
    void *more = realloc(array, (n ? 2 * n : 1) * size);
    if (!more) err_set(e, ERR_NOMEM, "no memory for a ledger");
    return more;
}

/* Events --------------------------------------------------------------------------------------- */

static int check_job(const struct ledger *l, const struct ledger_job *job, const char *what,
                     struct err *e) {
    if (job->trial == (int64_t)l->n_trials) return 0;
    const struct ledger_job *was = &l->job[l->trial[job->trial].job - 1];
    if (job->rung <= was->rung)
        return err_set(e, ERR_INPUT,
                       "%s: trial %lld is proposed again at rung %d, expected one above %d", what,
                       (long long)job->trial, job->rung, was->rung);
    if (strcmp(job->hash, was->hash))
        return err_set(e, ERR_INPUT, "%s: trial %lld has hash %s, and had %s before", what,
                       (long long)job->trial, job->hash, was->hash);
    return 0;
}

static int read_proposal(struct ledger *l, struct ledger_job *job, const char *what,
                         struct err *e) {
    int rc;
    int64_t number;
    const json_t *j = job->json, *share = json_object_get(j, "share");
    TRY(read_count(j, what, "job", (int64_t)1 << 52, &number, e));
    if (number != (int64_t)l->n_jobs)
        return err_set(e, ERR_INPUT, "%s: \"job\" is %lld, expected the next one, %zu", what,
                       (long long)number, l->n_jobs);
    TRY(read_count(j, what, "trial", (int64_t)l->n_trials, &job->trial, e));
    TRY(read_rung(j, what, &job->rung, e));
    job->share = json_number_value(share);
    if (!json_is_number(share) || !(job->share > 0 && job->share <= 1))
        return wrong(what, "share", share, "a number above 0 and at most 1", e);
    job->hash = json_string_value(json_object_get(j, "hash"));
    if (!job->hash || strlen(job->hash) != 16 || strspn(job->hash, "0123456789abcdef") != 16)
        return wrong(what, "hash", json_object_get(j, "hash"), "16 hexadecimal digits", e);
    job->from = json_string_value(json_object_get(j, "from"));
    if (!job->from) return wrong(what, "from", json_object_get(j, "from"), "a strategy's name", e);
    if (!json_is_object(json_object_get(j, "config")))
        return wrong(what, "config", json_object_get(j, "config"), "an object", e);
    TRY(check_job(l, job, what, e));
    job->u = malloc((l->space->n + 1) * sizeof *job->u);
    if (!job->u) return err_set(e, ERR_NOMEM, "no memory for a ledger");
    rc = ledger_is_own(job)
             ? space_nearest(l->space, json_object_get(j, "config"), job->u, e)
             : space_point(l->space, json_object_get(j, "config"), what, job->u, e);
out:
    return rc;
}

bool ledger_is_own(const struct ledger_job *job) {
    return !strcmp(job->from, SEARCH_BASE) || !strcmp(job->from, SEARCH_HAND);
}

static int take_proposal(struct ledger *l, json_t *j, const char *what, struct err *e) {
    struct ledger_job job = {.json = j, .line = l->n_lines + 1}, *jobs;
    struct ledger_trial *trials;
    int rc;
    TRY(read_proposal(l, &job, what, e));
    rc = ERR_NOMEM;
    if (!(jobs = room(l->job, l->n_jobs, sizeof job, e))) goto out;
    l->job = jobs;
    if (!(trials = room(l->trial, l->n_trials, sizeof *trials, e))) goto out;
    l->trial = trials;
    if (job.trial == (int64_t)l->n_trials) l->trial[l->n_trials++] = (struct ledger_trial){0};
    job.before = l->trial[job.trial].job;
    l->job[l->n_jobs++] = job;
    l->trial[job.trial].job = l->n_jobs;
    return 0;
out:
    free(job.u);
    return rc;
}

static int read_status(const json_t *j, const char *what, struct ledger_result *r,
                       struct err *e) {
    const json_t *v = json_object_get(j, "status"), *value = json_object_get(j, "value");
    const char *word = json_string_value(v);
    size_t i = 1;
    while (i < N_STATUSES && word && strcmp(word, status_names[i])) i++;
    if (!word || i == N_STATUSES) return wrong(what, "status", v, statuses_text, e);
    r->status = (enum trial_status)i;
    r->value = json_is_number(value) ? json_number_value(value) : NAN;
    if (r->status == TRIAL_ok && !isfinite(r->value))
        return wrong(what, "value", value, "a number, since the status is ok", e);
    if (r->status != TRIAL_ok && !json_is_null(value))
        return wrong(what, "value", value, "null, since the status is not ok", e);
    return 0;
}

static int take_result(struct ledger *l, json_t *j, const char *what, struct err *e) {
    struct ledger_result r = {.json = j};
    int rc;
    TRY(read_trial(l, j, what, "trial", &r.trial, e));
    TRY(read_count(j, what, "seed", INT64_MAX, &r.seed, e));
    TRY(read_rung(j, what, &r.rung, e));
    TRY(read_status(j, what, &r, e));
    struct ledger_trial *t = &l->trial[r.trial];
    size_t job = t->job;
    while (job && l->job[job - 1].rung != r.rung) job = l->job[job - 1].before;
    if (!job)
        return err_set(e, ERR_INPUT, "%s: trial %lld was not proposed at rung %d", what,
                       (long long)r.trial, r.rung);
    if (ledger_find(l, r.trial, r.seed, r.rung))
        return err_set(e, ERR_INPUT, "%s: trial %lld, seed %lld, rung %d has a result already",
                       what, (long long)r.trial, (long long)r.seed, r.rung);
    if (t->n_results == LEDGER_MAX_RESULTS)
        return err_set(e, ERR_INPUT, "%s: trial %lld has more than %d results", what,
                       (long long)r.trial, LEDGER_MAX_RESULTS);
    struct ledger_result *more = room(l->result, l->n_results, sizeof r, e);
    if (!more) return e->code;
    l->result = more;
    r.before = t->result;
    l->result[l->n_results++] = r;
    t->result = l->n_results;
    t->n_results++;
out:
    return rc;
}

static int take_decision(struct ledger *l, json_t *j, const char *what, struct err *e) {
    struct ledger_decision d = {.against = -1, .json = j};
    const json_t *v = json_object_get(j, "decision");
    const char *word = json_string_value(v);
    int rc;
    TRY(read_trial(l, j, what, "trial", &d.trial, e));
    if (json_object_get(j, "against")) TRY(read_trial(l, j, what, "against", &d.against, e));
    if (!word || (strcmp(word, "keep") && strcmp(word, "discard")))
        return wrong(what, "decision", v, "\"keep\" or \"discard\"", e);
    d.keep = !strcmp(word, "keep");
    struct ledger_decision *more = room(l->decision, l->n_decisions, sizeof d, e);
    if (!more) return e->code;
    l->decision = more;
    l->decision[l->n_decisions++] = d;
    l->trial[d.trial].decision = d.keep ? DECISION_keep : DECISION_discard;
out:
    return rc;
}

/* The first line of a ledger, or a word for who goes on with it, which is kept of another
 * program. */
static int take_head(struct ledger *l, json_t *j, enum ledger_event event, const char *what,
                     struct err *e) {
    if (event == LEDGER_resume) {
        const json_t *was = json_object_get(l->head, "commit"), *is = json_object_get(j, "commit");
        const bool other = json_is_string(was) && json_is_string(is) && !json_equal(was, is);
        json_decref(other ? l->other : j);
        if (other) l->other = j;
        return 0;
    }
    if (l->head)
        return err_set(e, ERR_INPUT, "%s: a second \"search\", expected one, in line 1", what);
    l->head = j;
    return 0;
}

static int find_event(const json_t *j, const char *what, enum ledger_event *event, struct err *e) {
    const json_t *v = json_object_get(j, "event");
    const char *word = json_string_value(v), *near;
    size_t i = 0;
    while (i < N_EVENTS && word && strcmp(word, event_names[i])) i++;
    *event = (enum ledger_event)i;
    if (word && i < N_EVENTS) return 0;
    near = word ? conf_suggest(word, event_names, N_EVENTS) : NULL;
    if (near)
        return err_set(e, ERR_INPUT, "%s: unknown event \"%.40s\"; is it \"%s\"?", what, word,
                       near);
    return wrong(what, "event", v, "one of: search resume proposal result decision", e);
}

int ledger_take(struct ledger *l, json_t *j, size_t line, struct err *e) {
    char what[400];
    enum ledger_event event;
    int rc;
    snprintf(what, sizeof what, "%.350s, line %zu", l->path, line);
    TRY(find_event(j, what, &event, e));
    if (!l->head && event != LEDGER_search)
        return err_set(e, ERR_INPUT, "%s is \"%s\", expected \"search\" first", what,
                       event_names[event]);
    switch (event) {
    case LEDGER_proposal: return take_proposal(l, j, what, e);
    case LEDGER_result: return take_result(l, j, what, e);
    case LEDGER_decision: return take_decision(l, j, what, e);
    default: return take_head(l, j, event, what, e);
    }
out:
    return rc;
}

/* Lines ---------------------------------------------------------------------------------------- */

static int take(void *ctx, json_t *j, size_t line, struct err *e) {
    return ledger_take(ctx, j, line, e);
}

int ledger_read_text(struct ledger *l, const char *text, size_t n, const char *path,
                     const struct space *space, struct err *e) {
    *l = (struct ledger){.space = space, .path = strdup(path)};
    if (!l->path) return err_set(e, ERR_NOMEM, "no memory for a ledger");
    const int rc = json_lines_read(text, n, path, take, l, &l->size, &l->n_lines, e);
    l->cut = n - l->size;
    if (rc) ledger_close(l);
    return rc;
}
