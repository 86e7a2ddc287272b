/* One knob at a time: the base, then for each axis that the base has, in the order of the file, its
 * other values (of an axis with more, `points` of them evenly), all else as in the base. What an
 * axis brings in by conditions is in the middle. What somebody else has tried already is left
 * out. */
#include "strategy.h"

#include <string.h>

static const struct strategy_option options[] = {
    {"points", "values of an axis that has more", 5, 2, SPACE_MAX_POINTS, OPTION_INT},
};

/* Value k of an axis: how many there are, and the coordinate. */
static size_t values(const struct axis *a, size_t points) {
    const size_t n = axis_levels(a);
    return n && n < points ? n : points;
}

static double coordinate(const struct axis *a, size_t k, size_t n) {
    const size_t levels = axis_levels(a);
    if (!levels || n < 2) return n < 2 ? 0.5 : (double)k / (double)(n - 1);
    const double level = (double)k * (double)(levels - 1) / (double)(n - 1);
    return axis_middle((size_t)(level + 0.5), levels);
}

/* Values of an axis from number *k on: the first that is neither the base's nor the one before (of
 * a rounded share) nor known. Its point is in u. */
static int walk_axis(const struct strategy_ask *ask, size_t i, const json_t *base, size_t *k,
                     double *u, bool *found, struct err *e) {
    const struct axis *a = &ask->space->axis[i];
    const size_t n = values(a, (size_t)strategy_option(ask->choice, "points"));
    const double was = u[i];
    double point[SPACE_MAX_AXES];
    json_t *before = json_null();
    int rc = 0;
    *found = false;
    for (size_t at = *k > 0 ? *k - 1 : 0; at < n && !*found && !rc; at++) {
        json_t *config = NULL;
        u[i] = coordinate(a, at, n);
        memcpy(point, u, ask->space->n * sizeof *u);
        rc = strategy_settle(ask->space, point, &config, e);
        const bool other = at >= *k && config && !json_equal(config, base) &&
                           !json_equal(config, before);
        *found = other && !strategy_known(&ask->history, point, ask->space->n, config);
        if (*found) *k = at;
        json_decref(before);
        before = config;
    }
    json_decref(before);
    if (!*found) u[i] = was;
    return rc;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    const struct space *s = ask->space;
    double point[SPACE_MAX_AXES];
    bool there[SPACE_MAX_AXES];
    json_t *base = NULL;
    int rc;
    memcpy(p->u, ask->start, s->n * sizeof *p->u);
    memcpy(point, ask->start, s->n * sizeof *point);
    TRY(strategy_settle(s, point, &base, e));
    bool found = !strategy_known(&ask->history, point, s->n, base);
    if (!space_active(s, p->u, there)) rc = err_set(e, ERR_NOMEM, "no memory for a configuration");
    size_t first = 0;
    for (size_t i = 0; i < s->n && !found && !rc; i++)
        if (there[i]) rc = walk_axis(ask, i, base, &first, p->u, &found, e);
    if (!found) p->what = PROPOSE_END;
out:
    json_decref(base);
    return rc;
}

static int left(const struct strategy_ask *ask, int64_t most, int64_t *n, struct err *e) {
    const struct space *s = ask->space;
    double u[SPACE_MAX_AXES], point[SPACE_MAX_AXES];
    bool there[SPACE_MAX_AXES];
    json_t *base = NULL;
    int rc;
    memcpy(u, ask->start, s->n * sizeof *u);
    memcpy(point, ask->start, s->n * sizeof *point);
    TRY(strategy_settle(s, point, &base, e));
    *n = most > 0 && !strategy_known(&ask->history, point, s->n, base);
    if (!space_active(s, u, there)) TRY(err_set(e, ERR_NOMEM, "no memory for a configuration"));
    for (size_t i = 0; i < s->n && *n < most; i++) {
        bool found = there[i];
        for (size_t k = 0; found && *n < most; k++) {
            TRY(walk_axis(ask, i, base, &k, u, &found, e));
            *n += found;
        }
        u[i] = ask->start[i];
    }
out:
    json_decref(base);
    return rc;
}

const struct strategy strategy_sweep = {
    .name = "sweep",
    .help = "one knob at a time around the base",
    .options = options,
    .n_options = 1,
    .left = left,
    .propose = propose,
};
