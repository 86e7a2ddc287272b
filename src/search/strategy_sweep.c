/* One knob at a time: the base, then for each axis that the base has, in the order of the file, its
 * other values (of an axis with more, `points` of them evenly), all else as in the base. What an
 * axis brings in by conditions is in the middle. */
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

/* The values of an axis that are neither the base's nor the one before (of a rounded share):
 * *index goes down by their number, or the point of number *index is in u and *config is its
 * configuration. */
static int walk_axis(const struct strategy_ask *ask, size_t i, const json_t *base, int64_t *index,
                     double *u, bool *found, struct err *e) {
    const struct axis *a = &ask->space->axis[i];
    const size_t n = values(a, (size_t)strategy_option(ask->choice, "points"));
    const double was = u[i];
    json_t *before = json_null();
    int rc = 0;
    for (size_t k = 0; k < n && !*found && !rc; k++) {
        u[i] = coordinate(a, k, n);
        json_t *config = space_config(ask->space, u);
        if (!config) rc = err_set(e, ERR_NOMEM, "no memory for a configuration");
        const bool other = config && !json_equal(config, base) && !json_equal(config, before);
        if (other) *found = (*index)-- == 0;
        json_decref(before);
        before = config;
    }
    json_decref(before);
    if (!*found) u[i] = was;
    return rc;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    const struct space *s = ask->space;
    int64_t index = p->trial - 1;
    bool there[SPACE_MAX_AXES], found = index < 0;
    int rc = 0;
    memcpy(p->u, ask->start, s->n * sizeof *p->u);
    json_t *base = space_config(s, p->u);
    if (!base || !space_active(s, p->u, there))
        rc = err_set(e, ERR_NOMEM, "no memory for a configuration");
    for (size_t i = 0; i < s->n && !found && !rc; i++)
        if (there[i]) rc = walk_axis(ask, i, base, &index, p->u, &found, e);
    json_decref(base);
    if (!found) p->what = PROPOSE_END;
    return rc;
}

const struct strategy strategy_sweep = {
    .name = "sweep",
    .help = "one knob at a time around the base",
    .options = options,
    .n_options = 1,
    .propose = propose,
};
