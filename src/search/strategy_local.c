/* The predecessors' search: change one or two knobs of the best that is kept, keep what is better,
 * else go back. Their step sizes: a second change with probability 1/4; real numbers move by a
 * normal of 15 % of the range (of its logarithm, on a log axis), whole numbers by up to 20 % of
 * themselves and at least one step, choices to another one. Their repairs (a number of heads that
 * divides the width, a hidden size that goes with it) are axes of share_of here, which keep their
 * share when the other axis moves. The first configuration is the base. */
#include "strategy.h"

#include <math.h>
#include <string.h>

static const struct strategy_option options[] = {
    {"sigma", "of a real axis' range", 0.15, 1e-6, 10, OPTION_REAL},
    {"change", "of a whole number, at most", 0.2, 1e-6, 10, OPTION_REAL},
    {"second", "chance of a second change", 0.25, 0, 1, OPTION_REAL},
};

static double clip(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* A level that is not this one. */
static size_t other_level(size_t level, size_t levels, struct rng *r) {
    if (levels < 2) return level;
    const size_t to = (size_t)rng_below(r, levels - 1);
    return to + (to >= level);
}

static double moved(const struct strategy_choice *c, const struct axis *a, double u,
                    struct rng *r) {
    const size_t levels = axis_levels(a);
    if (!levels) return clip(u + strategy_option(c, "sigma") * strategy_normal(r), 0, 1);
    const size_t level = axis_level(u, levels);
    if (a->choices) return axis_middle(other_level(level, levels, r), levels);
    const double was = a->low + (double)level; /* in steps */
    const double by = (2 * strategy_uniform(r) - 1) * strategy_option(c, "change") * fabs(was);
    double to = floor(was + by + 0.5);
    if (to == was) to += by < 0 ? -1 : 1;
    return axis_middle((size_t)(clip(to, a->low, a->high) - a->low), levels);
}

static int change(const struct strategy_ask *ask, const double *from, struct rng *r, double *u,
                  struct err *e) {
    bool there[SPACE_MAX_AXES];
    size_t at[SPACE_MAX_AXES], n = 0;
    if (!space_active(ask->space, from, there))
        return err_set(e, ERR_NOMEM, "no memory for a configuration");
    for (size_t i = 0; i < ask->space->n; i++)
        if (there[i]) at[n++] = i;
    const bool two = strategy_uniform(r) < strategy_option(ask->choice, "second") && n > 1;
    for (int k = 0; k < 1 + two; k++) {
        const size_t pick = (size_t)rng_below(r, n), i = at[pick];
        u[i] = moved(ask->choice, &ask->space->axis[i], from[i], r);
        at[pick] = at[--n]; /* another one the next time */
    }
    return 0;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    const struct trial *best = strategy_incumbent(&ask->history);
    const double *from = best ? best->u : ask->start;
    struct rng r = strategy_rng(ask, (uint64_t)p->trial);
    memcpy(p->u, from, ask->space->n * sizeof *p->u);
    return p->trial == 0 && ask->draw == 0 ? 0 : change(ask, from, &r, p->u, e);
}

const struct strategy strategy_local = {
    .name = "local",
    .help = "one or two changes of the best so far",
    .options = options,
    .n_options = 3,
    .draws = true,
    .propose = propose,
};
