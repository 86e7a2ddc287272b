/* Axes and costs against the metric. */
#include "search_chart_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Knobs ---------------------------------------------------------------------------------------- */

enum { GRID_COLUMNS = 3 };

/* Points over the same word stand a little apart, by the golden ratio, so that they can be seen. */
static double beside(size_t trial) {
    const double x = 0.6180339887498949 * (double)trial;
    return 0.5 * (x - floor(x)) - 0.25;
}

static size_t choice_of(const struct axis *a, const json_t *value) {
    size_t i = 0;
    while (i < json_array_size(a->choices)) {
        const json_t *c = json_array_get(a->choices, i);
        if (json_is_number(c) && json_is_number(value)
                ? json_number_value(c) == json_number_value(value)
                : json_equal(c, value))
            break;
        i++;
    }
    return i;
}

/* Where a trial stands on an axis; NaN: it does not have it, or, by hand, a value that is none of
 * its. */
static double place_of(const struct drawing *d, const struct axis *a, size_t trial) {
    const json_t *value = json_object_get(search_config(d->v->s, (int64_t)trial), a->key);
    if (a->kind == AXIS_choice) {
        const size_t choice = value ? choice_of(a, value) : json_array_size(a->choices);
        return choice < json_array_size(a->choices) ? (double)choice + beside(trial) : NAN;
    }
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int add_words(struct drawing *d, struct chart_panel *p, const struct axis *a,
                     struct err *e) {
    const size_t n = json_array_size(a->choices);
    const char **words = draw_own(d->c, n, sizeof *words);
    for (size_t i = 0; words && i < n; i++) {
        const json_t *v = json_array_get(a->choices, i);
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        words[i] =
            text ? draw_text(d->c, "%s", json_is_string(v) ? json_string_value(v) : text) : NULL;
        free(text);
        if (!words[i]) words = NULL;
    }
    if (!words) return err_set(e, ERR_NOMEM, "no memory to draw");
    p->words = words;
    p->n_words = n;
    return 0;
}

/* Discarded, kept, and a ring around the incumbent. */
static int fill_knob(struct drawing *d, struct chart_panel *p, const struct axis *a,
                     struct err *e) {
    const struct search_view *v = d->v;
    struct chart_series *s = draw_own(d->c, 3, sizeof *s);
    int rc;
    if (!s) return err_set(e, ERR_NOMEM, "no memory to draw");
    TRY(draw_series(d->c, &s[0], CHART_SCATTER, CHART_GREY, v->n, e));
    TRY(draw_series(d->c, &s[1], CHART_SCATTER, STYLE_KEPT, v->n, e));
    TRY(draw_series(d->c, &s[2], CHART_RING, CHART_GREY, 1, e));
    for (size_t i = 0; i < v->n; i++) {
        const struct view_trial *t = &v->trial[i];
        const double x = place_of(d, a, i), y = draw_value(d, t->value);
        if (!draw_shows(t) || isnan(x)) continue;
        draw_point(&s[t->outcome == VIEW_keep || t->outcome == VIEW_base], x, y);
        if ((int64_t)i == v->incumbent) draw_point(&s[2], x, y);
    }
    p->series = s;
    p->n_series = 3;
    if (a->kind == AXIS_choice) TRY(add_words(d, p, a, e));
out:
    return rc;
}

static const char *short_key(const char *key) {
    return strncmp(key, "set.", 4) ? key : key + 4;
}

int draw_knobs(struct drawing *d, struct err *e) {
    static const struct chart_key keys[] = {{"kept", CHART_SCATTER, STYLE_KEPT},
                                            {"discarded", CHART_SCATTER, CHART_GREY},
                                            {"incumbent", CHART_RING, CHART_GREY}};
    const struct search_view *v = d->v;
    const struct space *space = &v->s->file.space;
    const size_t n = space->n < CHART_MAX_PANELS ? space->n : CHART_MAX_PANELS;
    struct chart *c = &d->c->chart;
    struct chart_panel *panel = draw_own(d->c, n, sizeof *panel);
    double best = d->edge;
    int rc = 0;
    if (!panel) return err_set(e, ERR_NOMEM, "no memory to draw");
    if (!n)
        return err_set(e, ERR_INPUT, "%s: the search has no axes, so there are none to draw",
                       v->s->dir);
    for (size_t i = 0; i < v->n; i++) {
        if (!draw_shows(&v->trial[i])) continue;
        d->outside += draw_value(d, v->trial[i].value) != v->trial[i].value;
        if (search_better(v->s, v->trial[i].value, best)) best = v->trial[i].value;
    }
    for (size_t k = 0; k < n; k++) {
        const struct axis *a = &space->axis[k];
        panel[k] = (struct chart_panel){.title = draw_text(d->c, "%s", short_key(a->key)),
                                        .weight = 1,
                                        .min = fmin(best, d->edge),
                                        .max = fmax(best, d->edge),
                                        .log_x = a->kind == AXIS_log,
                                        .whole_x = a->kind == AXIS_int};
        if (!panel[k].title) TRY(err_set(e, ERR_NOMEM, "no memory to draw"));
        TRY(fill_knob(d, &panel[k], a, e));
    }
    c->title = n < space->n ? draw_text(d->c, "%s against the first %zu of %zu axes",
                                        draw_metric(v), n, space->n)
                            : draw_text(d->c, "%s against each axis", draw_metric(v));
    if (!c->title) TRY(err_set(e, ERR_NOMEM, "no memory to draw"));
    c->panels = panel;
    c->n_panels = n;
    c->columns = n < GRID_COLUMNS ? (int)n : GRID_COLUMNS;
    c->row = keys;
    c->n_row = 3;
out:
    return rc;
}

/* Pareto --------------------------------------------------------------------------------------- */

static const struct cost {
    const char *name, *key, *title;
} costs[] = {{"seconds", "training_seconds", "seconds of training"},
             {"params", "num_params_M", "million parameters"},
             {"memory", "peak_rss_mb", "MB of memory at most"}};

struct spot {
    double x, m; /* cost, and the value, lower is better */
    size_t trial;
};

static int by_cost(const void *a, const void *b) {
    const struct spot *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->m > q->m) - (p->m < q->m);
}

/* Trials by cost; the front is what is better than all that cost no more. */
static int fill_pareto(struct drawing *d, const struct cost *cost, struct chart_series s[4],
                       size_t *on_front, struct err *e) {
    const struct search_view *v = d->v;
    const double sign = v->s->sign;
    struct spot *spot = draw_own(d->c, v->n, sizeof *spot);
    struct chart_label *label = draw_own(d->c, v->n, sizeof *label);
    double best = HUGE_VAL;
    size_t n = 0;
    int rc = spot && label ? 0 : err_set(e, ERR_NOMEM, "no memory to draw");
    if (rc) return rc;
    for (size_t i = 0; i < v->n; i++) {
        const double x = view_number(v, (int64_t)i, cost->key);
        if (draw_shows(&v->trial[i]) && isfinite(x))
            spot[n++] = (struct spot){x, sign * v->trial[i].value, i};
    }
    qsort(spot, n, sizeof *spot, by_cost);
    TRY(draw_series(d->c, &s[0], CHART_STEPS, STYLE_KEPT, n + 1, e));
    TRY(draw_series(d->c, &s[1], CHART_SCATTER, CHART_GREY, n, e));
    TRY(draw_series(d->c, &s[2], CHART_SCATTER, STYLE_KEPT, n, e));
    TRY(draw_series(d->c, &s[3], CHART_RING, CHART_GREY, 1, e));
    for (size_t i = 0; i < n; i++) {
        const bool front = spot[i].m < best;
        const double y = draw_value(d, sign * spot[i].m);
        d->outside += y != sign * spot[i].m;
        draw_point(&s[front ? 2 : 1], spot[i].x, y);
        if ((int64_t)spot[i].trial == v->incumbent) draw_point(&s[3], spot[i].x, y);
        if (!front) continue;
        best = spot[i].m;
        draw_point(&s[0], spot[i].x, y);
        label[*on_front] = (struct chart_label){
            spot[i].x, y, draw_text(d->c, "trial %zu  %.4f", spot[i].trial, sign * spot[i].m)};
        if (!label[(*on_front)++].text) TRY(err_set(e, ERR_NOMEM, "no memory to draw"));
    }
    if (s[0].n && s[0].x[s[0].n - 1] < spot[n - 1].x)
        draw_point(&s[0], spot[n - 1].x, s[0].y[s[0].n - 1]);
    d->c->chart.labels = label;
    d->c->chart.n_labels = *on_front;
    d->c->chart.log_x = n && spot[0].x > 0 && spot[n - 1].x > 10 * spot[0].x;
    if (!n)
        rc = err_set(e, ERR_INPUT, "%s: no trial of the whole budget has \"%s\" in its summary",
                     v->s->dir, cost->key);
out:
    return rc;
}

int draw_pareto(struct drawing *d, const char *word, struct err *e) {
    static const struct chart_key keys[] = {
        {"better than all that cost no more", CHART_SCATTER, STYLE_KEPT},
        {"others", CHART_SCATTER, CHART_GREY},
        {"incumbent", CHART_RING, CHART_GREY}};
    struct chart *c = &d->c->chart;
    const struct cost *cost = &costs[0];
    struct chart_panel *panel = draw_own(d->c, 1, sizeof *panel);
    struct chart_series *s = draw_own(d->c, 4, sizeof *s);
    size_t front = 0;
    int rc;
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        if (!strcmp(word, costs[i].name)) cost = &costs[i];
    if (!panel || !s) return err_set(e, ERR_NOMEM, "no memory to draw");
    TRY(fill_pareto(d, cost, s, &front, e));
    *panel = (struct chart_panel){.title = draw_metric(d->v),
                                  .weight = 1,
                                  .min = NAN,
                                  .max = NAN,
                                  .series = s,
                                  .n_series = 4};
    c->title =
        draw_text(d->c, "%s against %s: %zu on the front", draw_metric(d->v), cost->title, front);
    if (!c->title) rc = err_set(e, ERR_NOMEM, "no memory to draw");
    c->x_title = cost->title;
    c->panels = panel;
    c->n_panels = 1;
    c->row = keys;
    c->n_row = 3;
out:
    return rc;
}
