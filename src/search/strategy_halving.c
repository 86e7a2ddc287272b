/* Successive halving (K. Jamieson & A. Talwalkar 2016), or with several brackets Hyperband (L. Li
 * et al. 2018), over any strategy. A bracket trains a number of new configurations up to the share
 * eta^-s of the budget, and of each rung the best 1 / eta go on to eta times the share, up to all
 * of it. Rungs are compared at equal shares. Continuing a run costs nothing but its rest, so a
 * configuration goes through all rungs as one trial.
 *
 * The strategy below sees, of the brackets of the same s, one result a trial, for the order: who
 * came further is better, then who is better there. One that replays earlier results sees those of
 * the first rung alone. */
#include "strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct strategy_option options[] = {
    {"eta", "of so many one goes on, to so many times the share", 3, 2, 16, OPTION_INT},
    {"rungs", "shares at which trials are compared, all of it included", 3, 2, 8, OPTION_INT},
    {"cohort", "new configurations of a bracket; 0: eta^(rungs - 1); Hyperband has its own", 0, 0,
     100000, OPTION_INT},
    {"hyperband", "brackets that begin at each of the shares, in turn", 0, 0, 1, OPTION_BOOL},
};

static int check(const struct space *s, const struct strategy_choice *c, const char *what,
                 struct err *e) {
    (void)s;
    if (!strategy_option(c, "hyperband") || !strategy_option(c, "cohort")) return 0;
    return err_set(e, ERR_USAGE, "%s: \"cohort\" with \"hyperband\", which has its own", what);
}

static double power(double x, int n) {
    double y = 1;
    for (; n > 0; n--) y *= x;
    return y;
}

/* A walk through the brackets. */
struct walk {
    const struct strategy_ask *ask;
    int eta, top; /* top: rungs - 1 */
    int s;        /* of the bracket: it begins at rung top - s */
    size_t job;   /* the next one that is looked at */
    int64_t trial;
    size_t *at;   /* (history.n + 1) jobs of the present rung */
    size_t n;
};

static double share_of(const struct walk *w, int rung) {
    return 1 / power(w->eta, w->top - rung);
}

size_t halving_bracket(const struct strategy_choice *c, int s) {
    const double cohort = strategy_option(c, "cohort"), eta = strategy_option(c, "eta");
    const double rungs = strategy_option(c, "rungs");
    if (strategy_option(c, "hyperband")) return (size_t)ceil(rungs * power(eta, s) / (s + 1));
    return cohort > 0 ? (size_t)cohort : (size_t)power(eta, (int)rungs - 1);
}

static bool better(const struct trial *a, const struct trial *b) {
    return a->value != b->value ? a->value < b->value : a < b;
}

/* The jobs of a rung that are ok, in order, the best `most` of them: false if one is pending. */
static bool rank_rung(struct walk *w, size_t most) {
    const struct trial *t = w->ask->history.trial;
    size_t ok = 0;
    for (size_t i = 0; i < w->n; i++)
        if (t[w->at[i]].status == TRIAL_pending) return false;
    for (size_t i = 0; i < w->n; i++) {
        const size_t job = w->at[i];
        if (t[job].status != TRIAL_ok) continue;
        size_t k = ok++;
        for (; k > 0 && better(&t[job], &t[w->at[k - 1]]); k--) w->at[k] = w->at[k - 1];
        w->at[k] = job;
    }
    w->n = ok < most ? ok : most;
    return true;
}

/* What the strategy below sees: the configurations of brackets of one s. */
struct below {
    struct trial *trial; /* (n) numbered from 0 */
    size_t *last;        /* (n) its last job with a result, or its first */
    int64_t *number;     /* (n) its number in the search */
    size_t n;
};

static void note_job(struct below *b, const struct walk *w, size_t job, bool is_new) {
    const struct trial *t = &w->ask->history.trial[job];
    if (is_new) {
        b->number[b->n] = t->trial;
        b->last[b->n] = job;
        b->trial[b->n] = *t;
        b->trial[b->n].trial = (int64_t)b->n;
        b->trial[b->n].rung = 0;
        b->trial[b->n].share = 1;
        b->n++;
        return;
    }
    size_t i = 0;
    while (i < b->n && b->number[i] != t->trial) i++;
    if (i == b->n || t->status == TRIAL_pending || w->ask->choice->over->kind->replays) return;
    b->last[i] = job;
    b->trial[i].status = t->status;
    b->trial[i].decision = t->decision;
}

static bool further(const struct trial *a, const struct trial *b) {
    if (a->rung != b->rung) return a->rung > b->rung;
    return better(a, b);
}

/* Places in the order for values. */
static void rank_below(struct below *b, const struct history *h) {
    for (size_t i = 0; i < b->n; i++) {
        double place = 0;
        for (size_t k = 0; k < b->n; k++)
            if (b->trial[k].status == TRIAL_ok && b->trial[i].status == TRIAL_ok)
                place += further(&h->trial[b->last[k]], &h->trial[b->last[i]]);
        b->trial[i].value = place;
    }
}

/* A new configuration from the strategy below. PROPOSE_END: it has no more. */
static int propose_new(struct walk *w, struct below *b, struct proposal *p, struct err *e) {
    struct strategy_ask ask = *w->ask;
    rank_below(b, &w->ask->history);
    ask.choice = w->ask->choice->over;
    ask.seed = rng_fold(w->ask->seed, (uint64_t)w->s + 1);
    ask.history = (struct history){b->trial, b->n};
    ask.trials = 0;
    const int rc = strategy_propose(&ask, p, e);
    p->trial = w->trial;
    p->rung = w->top - w->s;
    p->share = share_of(w, p->rung);
    return rc;
}

/* The first rung of a bracket. *done: p is the proposal. Trials that there are, or that it may
 * have, can be fewer than planned. */
static int first_rung(struct walk *w, size_t planned, struct below *b, struct proposal *p,
                      bool *done, struct err *e) {
    const struct history *h = &w->ask->history;
    const int64_t most = w->ask->trials;
    int rc = 0;
    w->n = 0;
    while (w->n < planned && w->job < h->n && h->trial[w->job].trial == w->trial) {
        w->at[w->n++] = w->job;
        note_job(b, w, w->job++, true);
        w->trial++;
    }
    if (w->n == planned || w->job < h->n || (most && w->trial >= most)) return 0;
    TRY(propose_new(w, b, p, e));
    *done = p->what != PROPOSE_END;
out:
    return rc;
}

/* The later ones. */
static void later_rungs(struct walk *w, size_t planned, struct below *b, struct proposal *p,
                        bool *done) {
    const struct history *h = &w->ask->history;
    for (int rung = w->top - w->s + 1; rung <= w->top && !*done && w->n; rung++) {
        planned /= (size_t)w->eta;
        if (!rank_rung(w, planned ? planned : 1)) {
            p->what = PROPOSE_WAIT;
            *done = true;
            return;
        }
        for (size_t i = 0; i < w->n && !*done; i++) {
            if (w->job < h->n) {
                w->at[i] = w->job;
                note_job(b, w, w->job++, false);
                continue;
            }
            const struct trial *t = &h->trial[w->at[i]];
            *p = (struct proposal){.what = PROPOSE_CONTINUE, .trial = t->trial, .rung = rung,
                                   .share = share_of(w, rung),
                                   .from = w->ask->choice->kind->name};
            memcpy(p->u, t->u, w->ask->space->n * sizeof *p->u);
            *done = true;
        }
    }
}

static int walk(struct walk *w, struct below *all, struct proposal *p, struct err *e) {
    const bool hyperband = strategy_option(w->ask->choice, "hyperband") != 0;
    bool done = false;
    int rc = 0;
    for (int turn = 0; !done && !rc; turn++) {
        w->s = hyperband ? w->top - turn % (w->top + 1) : w->top;
        const size_t planned = halving_bracket(w->ask->choice, w->s), job = w->job;
        struct below *b = &all[w->s];
        rc = first_rung(w, planned, b, p, &done, e);
        if (rc || done) break;
        if (w->job == job) { /* nothing new: the end */
            p->what = PROPOSE_END;
            break;
        }
        later_rungs(w, w->n < planned ? w->n : planned, b, p, &done);
    }
    return rc;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    const size_t n = ask->history.n + 1;
    struct walk w = {.ask = ask,
                     .eta = (int)strategy_option(ask->choice, "eta"),
                     .top = (int)strategy_option(ask->choice, "rungs") - 1};
    struct below all[8] = {0};
    bool ok = (w.at = malloc(n * sizeof *w.at)) != NULL;
    for (int s = 0; s <= w.top; s++) {
        all[s].trial = malloc(n * sizeof *all[s].trial);
        all[s].last = malloc(n * sizeof *all[s].last);
        all[s].number = malloc(n * sizeof *all[s].number);
        ok = ok && all[s].trial && all[s].last && all[s].number;
    }
    const int rc = ok ? walk(&w, all, p, e) : err_set(e, ERR_NOMEM, "no memory for brackets");
    for (int s = 0; s <= w.top; s++) {
        free(all[s].trial);
        free(all[s].last);
        free(all[s].number);
    }
    free(w.at);
    return rc;
}

/* Brackets of the same s share a strategy below; where they are all the same it sees all. */
static int left(const struct strategy_ask *ask, int64_t most, int64_t *n, struct err *e) {
    struct strategy_ask below = *ask;
    if (strategy_option(ask->choice, "hyperband")) return 0;
    below.choice = ask->choice->over;
    return strategy_left(&below, most, n, e);
}

const struct strategy strategy_halving = {
    .name = "halving",
    .help = "many for a share of the budget, the best for more of it",
    .options = options,
    .n_options = 4,
    .over = true,
    .rungs = true,
    .check = check,
    .left = left,
    .propose = propose,
};
