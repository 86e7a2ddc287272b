/* Every combination, in the order of space_grid, but for those that somebody else has tried (the
 * base, a hand, or a strategy that has some of the turns). */
#include "strategy.h"

#include <math.h>
#include <string.h>

static const struct strategy_option options[] = {
    {"points", "values of an axis of real numbers", 5, 1, SPACE_MAX_POINTS, OPTION_INT},
};

static int check(const struct space *s, const struct strategy_choice *c, const char *what,
                 struct err *e) {
    const double count = space_count(s, (size_t)strategy_option(c, "points"));
    if (isnan(count)) return err_set(e, ERR_NOMEM, "no memory for a grid");
    if (isfinite(count)) return 0;
    return err_set(e, ERR_USAGE, "%s: the grid has more combinations than can be counted", what);
}

/* The first from number *index on that nobody has tried, or none. */
static int walk(const struct strategy_ask *ask, uint64_t *index, double *at, bool *found,
                struct err *e) {
    const size_t points = (size_t)strategy_option(ask->choice, "points");
    double u[SPACE_MAX_AXES];
    json_t *config;
    int rc = 0;
    for (;; ++*index) {
        TRY(space_grid(ask->space, points, *index, at, found, e));
        if (!*found) break;
        memcpy(u, at, ask->space->n * sizeof *u);
        TRY(strategy_settle(ask->space, u, &config, e));
        const bool known = strategy_known(&ask->history, u, ask->space->n, config);
        json_decref(config);
        if (!known) break;
    }
out:
    return rc;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    uint64_t index = 0;
    bool found = true;
    const int rc = walk(ask, &index, p->u, &found, e);
    if (!rc && !found) p->what = PROPOSE_END;
    return rc;
}

static int left(const struct strategy_ask *ask, int64_t most, int64_t *n, struct err *e) {
    double u[SPACE_MAX_AXES];
    bool found = true;
    int rc = 0;
    *n = 0;
    for (uint64_t index = 0; *n < most; index++) {
        TRY(walk(ask, &index, u, &found, e));
        if (!found) break;
        ++*n;
    }
out:
    return rc;
}

const struct strategy strategy_grid = {
    .name = "grid",
    .help = "every combination of values",
    .options = options,
    .n_options = 1,
    .check = check,
    .left = left,
    .propose = propose,
};
