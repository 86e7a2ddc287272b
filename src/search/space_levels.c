#include "space_impl.h"

#include <math.h>
#include <string.h>

enum { MOST = 1000000 };

/* A walk over the configurations, the axes in the order of dependence. */
struct walk {
    const struct space *s;
    size_t points;                 /* values of a real axis; 0: it cannot be counted */
    json_t *value[SPACE_MAX_AXES]; /* of axes that others read; owned */
    double *u;
    size_t visits; /* and values that were made */
    bool failed;   /* too many, or */
    bool no_memory;
};

/* How many values an axis has here. Equal ones of a share_of count once: see level_coordinate. */
static size_t levels_of(const struct walk *w, const struct axis *a) {
    const size_t n = axis_levels(a);
    return n ? n : w->points;
}

/* Values of a real axis are even in the cube, ends included. */
static double level_coordinate(const struct walk *w, const struct axis *a, size_t level) {
    const size_t n = axis_levels(a);
    if (n) return axis_middle(level, n);
    return w->points > 1 ? (double)level / (double)(w->points - 1) : 0.5;
}

/* The value at a level; NULL with a share_of whose value is that of the level before. */
static json_t *level_value(struct walk *w, size_t i, size_t level) {
    const struct axis *a = &w->s->axis[i];
    const double of = a->kind == AXIS_share_of ? json_number_value(w->value[a->of]) : 0;
    json_t *v = axis_value(a, level_coordinate(w, a, level), of);
    w->visits += a->kind == AXIS_share_of ? level + 1 : 1;
    if (w->visits > MOST) w->failed = true;
    if (!v) w->failed = w->no_memory = true;
    for (size_t k = 0; v && a->kind == AXIS_share_of && k < level; k++) {
        json_t *was = axis_value(a, level_coordinate(w, a, k), of);
        const bool same = was && space_same(was, v);
        if (!was) w->failed = w->no_memory = true;
        json_decref(was);
        if (!same) continue;
        json_decref(v);
        return NULL;
    }
    return v;
}

/* Distinct values of an axis that no other depends on. */
static double count_values(struct walk *w, size_t i) {
    const struct axis *a = &w->s->axis[i];
    const size_t n = levels_of(w, a);
    if (a->kind != AXIS_share_of) return (double)n;
    double distinct = 0;
    for (size_t k = 0; k < n && !w->failed; k++) {
        json_t *v = level_value(w, i, k);
        distinct += v != NULL;
        json_decref(v);
    }
    return distinct;
}

/* Configurations of the axes from place k of the order on, given those before. */
static double count_from(struct walk *w, size_t k) {
    if (k == w->s->n) return 1;
    if (++w->visits > MOST) w->failed = true;
    if (w->failed) return INFINITY;
    const size_t i = w->s->order[k];
    const struct axis *a = &w->s->axis[i];
    if (!axis_is_active(a, w->value)) return count_from(w, k + 1);
    if (!levels_of(w, a)) return INFINITY;
    if (!a->read) {
        const double values = count_values(w, i);
        return values * count_from(w, k + 1);
    }
    double sum = 0;
    for (size_t level = 0; level < levels_of(w, a) && !w->failed; level++) {
        if (!(w->value[i] = level_value(w, i, level))) continue;
        sum += count_from(w, k + 1);
        json_decref(w->value[i]);
        w->value[i] = NULL;
    }
    return w->failed ? INFINITY : sum;
}

double space_count(const struct space *s, size_t points) {
    struct walk w = {.s = s, .points = points};
    const double count = count_from(&w, 0);
    return w.no_memory ? NAN : count;
}

/* Of an axis that no other depends on, and no share: each level has as many. */
static bool pick_level(struct walk *w, size_t k, double *index) {
    const size_t i = w->s->order[k];
    const struct axis *a = &w->s->axis[i];
    const double each = count_from(w, k + 1), level = floor(*index / each);
    w->u[i] = level_coordinate(w, a, (size_t)level);
    *index -= level * each;
    return !w->failed && level < (double)levels_of(w, a);
}

/* Takes the level of the axis at place k that holds number *index of the configurations from there
 * on; *index becomes what is left of it. */
static bool descend(struct walk *w, size_t k, double *index) {
    const size_t i = w->s->order[k];
    const struct axis *a = &w->s->axis[i];
    w->u[i] = 0.5;
    if (!axis_is_active(a, w->value)) return true;
    if (!a->read && a->kind != AXIS_share_of) return pick_level(w, k, index);
    for (size_t level = 0; level < levels_of(w, a) && !w->failed; level++) {
        if (!(w->value[i] = level_value(w, i, level))) continue;
        const double below = count_from(w, k + 1);
        if (*index < below) {
            w->u[i] = level_coordinate(w, a, level);
            return !w->failed;
        }
        *index -= below;
        json_decref(w->value[i]);
        w->value[i] = NULL;
    }
    return false;
}

int space_grid(const struct space *s, size_t points, uint64_t index, double *u, bool *found,
               struct err *e) {
    struct walk w = {.s = s, .points = points, .u = u};
    double left = (double)index;
    const double count = space_count(s, points);
    bool ok = isfinite(count) && index < (uint64_t)1 << 53 && left < count;
    w.no_memory = isnan(count);
    for (size_t k = 0; k < s->n && ok; k++) {
        w.visits = 0;
        ok = descend(&w, k, &left);
    }
    for (size_t i = 0; i < s->n; i++) json_decref(w.value[i]);
    *found = ok;
    return w.no_memory ? err_set(e, ERR_NOMEM, "no memory for a grid") : 0;
}
