/* Tree-structured Parzen estimator (Bergstra et al. 2011): densities of the best tenth of the
 * results (at most 25) and of the others; of 24 draws of the first the one that is most probable
 * under it against the second. Failed trials are among the others, and so are pending ones, which
 * keeps jobs that run at once apart. Random until `startup` trials are good. */
#include "parzen.h"
#include "strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct strategy_option options[] = {
    {"startup", "random configurations before", 10, 1, 1e6, OPTION_INT},
    {"candidates", "draws to choose from", 24, 1, 1e4, OPTION_INT},
    {"gamma", "share of the results that is good, of at most 25", 0.1, 1e-3, 0.9, OPTION_REAL},
    {"multivariate", "densities of all axes together", 1, 0, 1, OPTION_BOOL},
};

/* The points in two groups, in the order of time. */
struct split {
    const double **point; /* (n): good ones, then the others */
    bool *there;          /* (n, axes) */
    size_t good, n;
};

static void release(struct split *s) {
    free(s->point);
    free(s->there);
}

static int better(const void *a, const void *b) {
    const struct trial *x = *(const struct trial *const *)a, *y = *(const struct trial *const *)b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Which of the history's jobs are good: ok in the order of value, the first of them. */
static size_t mark_good(const struct history *h, double gamma, const struct trial **ok,
                        bool *good) {
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        good[i] = false;
        if (h->trial[i].status == TRIAL_ok) ok[n++] = &h->trial[i];
    }
    qsort(ok, n, sizeof *ok, better);
    size_t most = (size_t)ceil(gamma * (double)n);
    if (most > 25) most = 25;
    for (size_t i = 0; i < most; i++) good[ok[i] - h->trial] = true;
    return most;
}

static bool fill(struct split *s, const struct strategy_ask *ask, const bool *good) {
    const struct history *h = &ask->history;
    for (int group = 0; group < 2; group++)
        for (size_t i = 0; i < h->n; i++) {
            if (good[i] != (group == 0)) continue;
            s->point[s->n] = h->trial[i].u;
            if (!space_active(ask->space, h->trial[i].u, s->there + s->n * ask->space->n))
                return false;
            s->n++;
        }
    return true;
}

static bool make_split(struct split *s, const struct strategy_ask *ask) {
    const size_t n = ask->history.n;
    const struct trial **ok = malloc((n + 1) * sizeof *ok);
    bool *good = malloc(n + 1);
    *s = (struct split){.point = malloc((n + 1) * sizeof *s->point),
                        .there = malloc((n + 1) * ask->space->n)};
    bool done = ok && good && s->point && s->there;
    if (done)
        s->good = mark_good(&ask->history, strategy_option(ask->choice, "gamma"), ok, good);
    done = done && fill(s, ask, good);
    free(ok);
    free(good);
    return done;
}

/* Axis by axis, those that others depend on first. */
static bool one_by_one(const struct strategy_ask *ask, const struct parzen *l,
                       const struct parzen *g, struct rng *r, double *u) {
    const size_t draws = (size_t)strategy_option(ask->choice, "candidates");
    bool there[SPACE_MAX_AXES];
    for (size_t i = 0; i < ask->space->n; i++) u[i] = 0.5;
    for (size_t k = 0; k < ask->space->n; k++) {
        const size_t i = ask->space->order[k];
        double best = -INFINITY, at = 0.5;
        if (!space_active(ask->space, u, there)) return false;
        for (size_t c = 0; c < draws && there[i]; c++) {
            const double x = parzen_draw(l, parzen_pick(l, i, r), i, r);
            const double gain = parzen_axis(l, i, x) - parzen_axis(g, i, x);
            if (!(gain > best)) continue;
            best = gain;
            at = x;
        }
        u[i] = at;
    }
    return true;
}

static bool together(const struct strategy_ask *ask, const struct parzen *l, const struct parzen *g,
                     struct rng *r, double *u) {
    const size_t draws = (size_t)strategy_option(ask->choice, "candidates"), n = ask->space->n;
    double best = -INFINITY, x[SPACE_MAX_AXES];
    bool there[SPACE_MAX_AXES];
    for (size_t i = 0; i < n; i++) u[i] = 0.5;
    for (size_t c = 0; c < draws; c++) {
        const size_t k = parzen_pick(l, 0, r);
        for (size_t i = 0; i < n; i++) x[i] = parzen_draw(l, k, i, r);
        if (!space_active(ask->space, x, there)) return false;
        const double gain = parzen_all(l, x, there) - parzen_all(g, x, there);
        if (!(gain > best)) continue;
        best = gain;
        memcpy(u, x, n * sizeof *u);
    }
    return true;
}

static bool draw(const struct strategy_ask *ask, struct rng *r, double *u) {
    const bool joint = strategy_option(ask->choice, "multivariate") != 0;
    struct split s;
    struct parzen l = {0}, g = {0};
    bool ok = make_split(&s, ask);
    ok = ok && parzen_make(&l, ask->space, s.point, s.there, s.good, joint) &&
         parzen_make(&g, ask->space, s.point + s.good, s.there + s.good * ask->space->n,
                     s.n - s.good, joint);
    ok = ok && (joint ? together : one_by_one)(ask, &l, &g, r, u);
    parzen_release(&l);
    parzen_release(&g);
    release(&s);
    return ok;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    struct rng r = strategy_rng(ask, (uint64_t)p->trial);
    size_t ok = 0;
    for (size_t i = 0; i < ask->history.n; i++) ok += ask->history.trial[i].status == TRIAL_ok;
    if ((double)ok < strategy_option(ask->choice, "startup")) {
        for (size_t i = 0; i < ask->space->n; i++) p->u[i] = strategy_uniform(&r);
        return 0;
    }
    return draw(ask, &r, p->u) ? 0 : err_set(e, ERR_NOMEM, "no memory for a density");
}

const struct strategy strategy_tpe = {
    .name = "tpe",
    .help = "where good results are denser than others (Parzen estimators)",
    .options = options,
    .n_options = 4,
    .draws = true,
    .propose = propose,
};
