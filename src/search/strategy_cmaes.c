/* CMA-ES with margin (cma.h). It begins at the base; failed trials are ranked last, in their order.
 * Where it has converged (no direction is wider than what a configuration can show, or the
 * condition is 1e14) it begins anew from a random point with twice the population (A. Auger & N.
 * Hansen, A restart CMA evolution strategy with increasing population size, 2005). Generations are
 * made again from their seeds at each proposal, so that there is nothing to keep. A configuration
 * of the history that is not the one that was drawn for its number (the base, or one of `command`)
 * takes its place with its result. */
#include "cma.h"
#include "strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct strategy_option options[] = {
    {"population", "configurations a generation; 0: 4 + 3 ln(axes)", 0, 0, 1000, OPTION_INT},
    {"sigma", "first standard deviation, of the range of an axis", 0.3, 1e-6, 1, OPTION_REAL},
};

static int check(const struct space *s, const struct strategy_choice *c, const char *what,
                 struct err *e) {
    const double population = strategy_option(c, "population");
    (void)s;
    if (population == 0 || population >= 4) return 0;
    return err_set(e, ERR_USAGE, "%s: \"population\" is %.0f, expected 0 or at least 4", what,
                   population);
}

/* Replaying the search. */
struct replay {
    const struct strategy_ask *ask;
    struct cma c;
    size_t axis[SPACE_MAX_AXES], n; /* those with more than one value */
    size_t levels[SPACE_MAX_AXES];
    double *x;                    /* (lambda, n) draws of a generation */
    const double **order;         /* (lambda) of them, the best first */
    uint64_t first;               /* configuration of the generation */
    const struct trial **results; /* (lambda) */
};

static void stop(struct replay *r) {
    cma_release(&r->c);
    free(r->x);
    free(r->order);
    free(r->results);
    r->x = NULL;
    r->order = NULL;
    r->results = NULL;
}

/* A search from `mean` on. */
static bool begin(struct replay *r, size_t lambda, const double *mean) {
    stop(r);
    if (!cma_init(&r->c, r->n, lambda, mean, strategy_option(r->ask->choice, "sigma"), r->levels))
        return false;
    lambda = r->c.lambda;
    r->x = malloc(lambda * r->n * sizeof *r->x);
    r->order = malloc(lambda * sizeof *r->order);
    r->results = malloc(lambda * sizeof *r->results);
    return r->x && r->order && r->results;
}

static bool begin_at_base(struct replay *r) {
    double mean[SPACE_MAX_AXES];
    for (size_t i = 0; i < r->n; i++) mean[i] = r->ask->start[r->axis[i]];
    return begin(r, (size_t)strategy_option(r->ask->choice, "population"), mean);
}

static bool begin_anew(struct replay *r) {
    enum { MOST = 4096 };
    double mean[SPACE_MAX_AXES];
    struct rng rng = strategy_rng(r->ask, r->first);
    for (int i = 0; i < 4; i++) rng_next(&rng); /* the generation's first draw begins there too */
    for (size_t i = 0; i < r->n; i++) mean[i] = strategy_uniform(&rng);
    return begin(r, r->c.lambda < MOST ? 2 * r->c.lambda : r->c.lambda, mean);
}

/* The configurations of the generation in the history: false if one is missing or pending. */
static bool find_results(struct replay *r) {
    const struct history *h = &r->ask->history;
    size_t n = 0;
    for (size_t i = 0; i < h->n && n < r->c.lambda; i++)
        if (h->trial[i].trial == (int64_t)(r->first + n)) r->results[n++] = &h->trial[i];
    for (size_t i = 0; i < n; i++)
        if (r->results[i]->status == TRIAL_pending) return false;
    return n == r->c.lambda;
}

static bool comes_before(const struct trial *a, const struct trial *b) {
    const bool a_ok = a->status == TRIAL_ok, b_ok = b->status == TRIAL_ok;
    if (a_ok != b_ok) return a_ok;
    return a_ok && a->value < b->value;
}

/* The point (space->n) of a draw, not settled. */
static void point_of(const struct replay *r, const double *x, double *point) {
    double u[SPACE_MAX_AXES];
    cma_point(&r->c, x, u);
    for (size_t i = 0; i < r->ask->space->n; i++) point[i] = 0.5;
    for (size_t i = 0; i < r->n; i++) point[r->axis[i]] = u[i];
}

/* No further apart than a configuration shows: so no configuration need be made of a draw, if it
 * has neither conditions nor shares. */
static bool is_near(const double *a, const double *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= 1e-5)) return false;
    return true;
}

/* Makes of the draw x what was tried in its place, if that is something else. */
static int adopt(const struct replay *r, const struct trial *t, double *x, struct err *e) {
    const struct space *s = r->ask->space;
    double drawn[SPACE_MAX_AXES], u[SPACE_MAX_AXES];
    bool there[SPACE_MAX_AXES], given[SPACE_MAX_AXES];
    int rc;
    point_of(r, x, drawn);
    if (is_near(drawn, t->u, s->n)) return 0;
    TRY(strategy_settle(s, drawn, NULL, e));
    if (!memcmp(drawn, t->u, s->n * sizeof *drawn)) return 0;
    if (!space_active(s, t->u, there)) return err_set(e, ERR_NOMEM, "no memory for a generation");
    for (size_t i = 0; i < r->n; i++) {
        u[i] = t->u[r->axis[i]];
        given[i] = there[r->axis[i]] && u[i] != drawn[r->axis[i]];
    }
    cma_inject(&r->c, u, given, x);
out:
    return rc;
}

/* Draws and results of the generation to the next one. */
static int next_generation(struct replay *r, struct err *e) {
    for (size_t k = 0; k < r->c.lambda; k++) {
        struct rng rng = strategy_rng(r->ask, r->first + k);
        cma_ask(&r->c, &rng, r->x + k * r->n);
        const int rc = adopt(r, r->results[k], r->x + k * r->n, e);
        if (rc) return rc;
    }
    for (size_t k = 0; k < r->c.lambda; k++) { /* insertion keeps the order of equals */
        const struct trial *t = r->results[k];
        size_t at = k;
        for (; at > 0 && comes_before(t, r->results[at - 1]); at--) {
            r->results[at] = r->results[at - 1];
            r->order[at] = r->order[at - 1];
        }
        r->results[at] = t;
        r->order[at] = r->x + k * r->n;
    }
    cma_tell(&r->c, r->order);
    r->first += r->c.lambda;
    return 0;
}

static bool converged(const struct cma *c) {
    return cma_width(c) < 1e-7 || cma_condition(c) > 1e14;
}

static int replay(struct replay *r, struct proposal *p, struct err *e) {
    const uint64_t index = (uint64_t)p->trial;
    double x[SPACE_MAX_AXES];
    int rc = 0;
    if (!begin_at_base(r)) return err_set(e, ERR_NOMEM, "no memory for a generation");
    while (index >= r->first + r->c.lambda) {
        if (!find_results(r)) {
            p->what = PROPOSE_WAIT;
            return 0;
        }
        TRY(next_generation(r, e));
        if (converged(&r->c) && !begin_anew(r))
            return err_set(e, ERR_NOMEM, "no memory for a generation");
    }
    struct rng rng = strategy_rng(r->ask, index);
    cma_ask(&r->c, &rng, x);
    point_of(r, x, p->u);
out:
    return rc;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    struct replay r = {.ask = ask};
    for (size_t i = 0; i < ask->space->n; i++) {
        if (axis_levels(&ask->space->axis[i]) == 1) continue;
        r.levels[r.n] = axis_levels(&ask->space->axis[i]);
        r.axis[r.n++] = i;
    }
    for (size_t i = 0; i < ask->space->n; i++) p->u[i] = 0.5; /* where nothing is free */
    const int rc = r.n ? replay(&r, p, e) : 0;
    stop(&r);
    return rc;
}

const struct strategy strategy_cmaes = {
    .name = "cmaes",
    .help = "covariance matrix adaptation, with a margin for axes with a number of values",
    .options = options,
    .n_options = 2,
    .replays = true,
    .check = check,
    .propose = propose,
};

_Static_assert((int)CMA_MAX_AXES >= (int)SPACE_MAX_AXES, "an axis for each");
