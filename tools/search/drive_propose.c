#include "drive_impl.h"

#include "provenance.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a proposal");
}

/* Halving -------------------------------------------------------------------------------------- */

/* Which jobs halving has left behind: at a share of the budget, and their trials were not taken on
 * when their rivals were. A rung is over when one above the next begins, a bracket when another one
 * does; all is over at the end. That follows from the jobs alone. left: (jobs). */
static void find_left(const struct ledger *l, bool end, bool *left) {
    int over = end ? INT_MAX : 0; /* rungs below are */
    bool is_new = false;          /* the strategy's next job begins a trial */
    for (size_t i = l->n_jobs; i > 0; i--) {
        const struct ledger_job *job = &l->job[i - 1];
        const bool own = ledger_is_own(job);
        if (!own && is_new && job->before) over = INT_MAX;
        left[i - 1] = !own && job->share < 1 && job->rung < over && l->trial[job->trial].job == i;
        if (own) continue;
        is_new = !job->before;
        if (job->before && job->rung - 1 > over) over = job->rung - 1;
    }
}

int drive_leave_behind(struct drive *d, bool end, struct err *e) {
    const struct ledger *l = &d->s->ledger;
    bool *left = malloc(l->n_jobs + 1);
    int rc = left ? 0 : no_memory(e);
    if (left) find_left(l, end, left);
    for (size_t i = 0; i < l->n_jobs && !rc; i++) {
        const int64_t trial = l->job[i].trial;
        if (!left[i] || l->trial[trial].decision != DECISION_none) continue;
        struct verdict v = {.what = VERDICT_DECIDED,
                            .against = -1,
                            .reason = "outrun",
                            .evidence = json_pack("{s:s, s:i}", "reason", "outrun", "seeds", 0)};
        rc = drive_decide(d, trial, &v, e);
    }
    free(left);
    return rc;
}

/* What the strategy sees ----------------------------------------------------------------------- */

/* The history. What was left behind is told by the jobs: how many of those decisions are in the
 * ledger depends on when a driver was killed. New; NULL: no memory. */
static struct trial *history(const struct search *s, size_t visible) {
    const struct ledger *l = &s->ledger;
    struct trial *t = ledger_history(l, visible, s->file.metric.higher);
    bool *left = malloc(l->n_jobs + 1);
    if (left) find_left(l, false, left);
    for (size_t i = 0; t && left && i < l->n_jobs; i++) {
        const size_t last = l->trial[t[i].trial].job - 1;
        if (t[last].status == TRIAL_ok && t[last].share < 1)
            t[i].decision = left[last] ? DECISION_discard : DECISION_none;
    }
    if (!left) {
        free(t);
        t = NULL;
    }
    free(left);
    return t;
}

/* A strategy that goes on with trials at shares of the budget has an order of its own, in which the
 * base and what was tried by hand, of all of the budget, have no place: it sees what it proposed,
 * numbered from 0. number: (trials) the search's numbers. Returns the trials that are left out. */
static int64_t hide_own(const struct ledger *l, struct history *h, struct trial *t,
                        int64_t *number) {
    int64_t hidden = 0, shown = 0;
    size_t n = 0;
    int64_t *of = number + l->n_trials; /* the other way round */
    for (size_t i = 0; i < l->n_jobs; i++) {
        const struct ledger_job *job = &l->job[i];
        if (!job->before && ledger_is_own(job)) {
            of[job->trial] = -1;
            hidden++;
        } else if (!job->before) {
            number[shown] = job->trial;
            of[job->trial] = shown++;
        }
        if (of[job->trial] < 0) continue;
        t[n] = t[i];
        t[n++].trial = of[job->trial];
    }
    *h = (struct history){t, n};
    return hidden;
}

/* Asks the strategy, with the results of the first `visible` jobs. p->trial: the search's. */
static int ask(const struct drive *d, size_t visible, struct proposal *p, struct err *e) {
    const struct search *s = d->s;
    const struct ledger *l = &s->ledger;
    double start[SPACE_MAX_AXES];
    int rc;
    int64_t *number = calloc(2 * l->n_trials + 1, sizeof *number);
    struct trial *t = history(s, visible);
    struct trial *all = history(s, visible);
    const struct history whole = {all, l->n_jobs};
    if (!number || !t || !all) TRY(no_memory(e));
    memcpy(start, l->job[0].u, s->file.space.n * sizeof *start);
    struct strategy_ask a = {.space = &s->file.space,
                             .choice = &s->file.strategy,
                             .seed = (uint64_t)s->file.seed,
                             .start = start,
                             .history = {t, l->n_jobs},
                             .trials = s->file.trials + search_by_hand(s),
                             .runner = &d->command.runner,
                             .whole = &whole};
    const bool rungs = s->file.strategy.kind->rungs;
    if (rungs) {
        const int64_t hidden = hide_own(l, &a.history, t, number);
        a.trials -= hidden;
        if (a.trials < 1) { /* 0 would be without end */
            p->what = PROPOSE_END;
            goto out;
        }
    }
    TRY(strategy_propose(&a, p, e));
    if (p->what == PROPOSE_TRIAL) p->trial = (int64_t)l->n_trials;
    if (p->what == PROPOSE_CONTINUE && rungs) p->trial = number[p->trial];
out:
    free(number);
    free(all);
    free(t);
    return rc;
}

/* Into the ledger ------------------------------------------------------------------------------ */

bool drive_put_date(json_t *event) {
    struct provenance now;
    provenance_begin(&now);
    return event && !json_object_set_new(event, "date", json_string(now.date));
}

int drive_append_proposal(struct drive *d, const struct proposal *p, json_t *config,
                          const char *note, struct err *e) {
    struct ledger *l = &d->s->ledger;
    char hash[17];
    int rc;
    json_t *event = search_file_hash(&d->s->file, config, hash)
                        ? ledger_proposal(l, p->trial, p->rung, p->share, config, hash, p->from)
                        : NULL;
    if (!drive_put_date(event) ||
        (note && json_object_set_new(event, "note", json_string(note))) ||
        (p->refused && json_object_set(event, "refused", p->refused)))
        TRY(no_memory(e));
    rc = ledger_append(l, event, e);
out:
    json_decref(event);
    return rc;
}

static int propose_base(struct drive *d, struct err *e) {
    const struct proposal base = {.share = 1, .from = SEARCH_BASE};
    json_t *config;
    int rc;
    TRY(search_base(&d->s->file, &config, e));
    rc = drive_append_proposal(d, &base, config, NULL, e);
out:
    json_decref(config);
    return rc;
}

static int append(struct drive *d, const struct proposal *p, struct err *e) {
    json_t *config = p->what == PROPOSE_TRIAL ? p->config : search_config(d->s, p->trial);
    int rc;
    TRY(drive_append_proposal(d, p, config, NULL, e));
    drive_show_refused(d, p);
    rc = drive_leave_behind(d, false, e);
out:
    return rc;
}

int drive_propose(struct drive *d, bool *made, struct err *e) {
    const size_t n = d->s->ledger.n_jobs, jobs = (size_t)d->n_slots;
    struct proposal p = {0};
    int rc = 0;
    *made = false;
    if (!n) {
        *made = true;
        return propose_base(d, e);
    }
    if (!d->propose || d->no_more) return 0;
    if (d->asked && d->asked_jobs == n && d->asked_ended == d->ended) return 0;
    const size_t least = n >= jobs ? n - jobs + 1 : 0;
    for (size_t visible = least; visible <= d->ended; visible++) {
        rc = ask(d, visible, &p, e);
        if (rc == ERR_STOP && d->failed.code) {
            *e = d->failed;
            rc = e->code;
        }
        if (rc) goto out;
        if (p.what == PROPOSE_WAIT) continue; /* has neither configuration nor words */
        d->no_more = p.what == PROPOSE_END;
        *made = !d->no_more;
        rc = d->no_more ? drive_leave_behind(d, true, e) : append(d, &p, e);
        goto out;
    }
    d->asked = true;
    d->asked_jobs = n;
    d->asked_ended = d->ended;
out:
    json_decref(p.config);
    json_decref(p.refused);
    return rc;
}
