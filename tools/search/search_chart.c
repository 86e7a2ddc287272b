#include "search_chart_impl.h"

#include "term.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Memory --------------------------------------------------------------------------------------- */

static void *keep(struct search_chart *c, void *p) {
    void **more = p ? realloc(c->owned, (c->n_owned + 1) * sizeof *more) : NULL;
    if (!more) {
        free(p);
        return NULL;
    }
    c->owned = more;
    return c->owned[c->n_owned++] = p;
}

void *draw_own(struct search_chart *c, size_t n, size_t size) {
    return keep(c, calloc(n + 1, size));
}

char *draw_text(struct search_chart *c, const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) text = NULL;
    va_end(ap);
    return keep(c, text);
}

void search_chart_release(struct search_chart *c) {
    for (size_t i = 0; i < c->n_owned; i++) free(c->owned[i]);
    free(c->owned);
    *c = (struct search_chart){0};
}

/* Points --------------------------------------------------------------------------------------- */

bool draw_shows(const struct view_trial *t) {
    return t->seeds > 0 && t->share >= 1;
}

double draw_value(const struct drawing *d, double value) {
    const double sign = d->v->s->sign;
    return sign * value > sign * d->edge ? d->edge : value;
}

const char *draw_metric(const struct search_view *v) {
    return v->s->file.metric.key ? v->s->file.metric.key : "the command's number";
}

int draw_series(struct search_chart *c, struct chart_series *s, enum chart_kind kind, int style,
                size_t n, struct err *e) {
    double *x = draw_own(c, n, sizeof *x), *y = draw_own(c, n, sizeof *y);
    if (!x || !y) return err_set(e, ERR_NOMEM, "no memory to draw");
    *s = (struct chart_series){.kind = kind, .style = style, .x = x, .y = y};
    return 0;
}

void draw_point(struct chart_series *s, double x, double y) {
    ((double *)(uintptr_t)s->x)[s->n] = x;
    ((double *)(uintptr_t)s->y)[s->n++] = y;
}

/* Progress ------------------------------------------------------------------------------------- */

/* "12  lr 0.003 -> 0.0047, batch 4 -> 8" */
static char *label_of(struct drawing *d, int64_t trial) {
    char what[400];
    view_describe(d->v, trial, what, sizeof what);
    const size_t most = term_cut(what, LABEL_COLUMNS);
    if (what[most]) strcpy(what + term_cut(what, LABEL_COLUMNS - 3), "...");
    return draw_text(d->c, "%lld  %s", (long long)trial, what);
}

static int add_labels(struct drawing *d, struct err *e) {
    const struct search_view *v = d->v;
    struct chart_label *label = draw_own(d->c, v->count[VIEW_keep] + 1, sizeof *label);
    size_t n = 0;
    if (!label) return err_set(e, ERR_NOMEM, "no memory to draw");
    for (size_t i = 0; i < v->n; i++) {
        const struct view_trial *t = &v->trial[i];
        if ((t->outcome != VIEW_keep && t->outcome != VIEW_base) || !draw_shows(t)) continue;
        label[n] =
            (struct chart_label){(double)i, draw_value(d, t->value), label_of(d, (int64_t)i)};
        if (!label[n++].text) return err_set(e, ERR_NOMEM, "no memory to draw");
    }
    d->c->chart.labels = label;
    d->c->chart.n_labels = n;
    return 0;
}

/* The incumbent's value from trial to trial; what failed, at the edge; what was discarded; what was
 * kept. */
static int fill_progress(struct drawing *d, struct chart_series s[4], struct err *e) {
    const struct search_view *v = d->v;
    double best = NAN, last = 0;
    int rc;
    TRY(draw_series(d->c, &s[0], CHART_STEPS, STYLE_KEPT, v->n + 1, e));
    TRY(draw_series(d->c, &s[1], CHART_CROSSES, STYLE_FAILED, v->n, e));
    TRY(draw_series(d->c, &s[2], CHART_SCATTER, CHART_GREY, v->n, e));
    TRY(draw_series(d->c, &s[3], CHART_SCATTER, STYLE_KEPT, v->n, e));
    for (size_t i = 0; i < v->n; i++) {
        const struct view_trial *t = &v->trial[i];
        const bool kept = t->outcome == VIEW_keep || t->outcome == VIEW_base;
        if (t->decided) last = (double)i;
        if (draw_shows(t)) {
            const double y = draw_value(d, t->value);
            d->outside += y != t->value;
            draw_point(&s[kept ? 3 : 2], (double)i, y);
            if (kept) draw_point(&s[0], (double)i, best = y);
        } else if (view_failed(t->outcome)) {
            draw_point(&s[1], (double)i, d->fence);
        }
    }
    if (s[0].n && s[0].x[s[0].n - 1] < last) draw_point(&s[0], last, best);
out:
    return rc;
}

int draw_progress(struct drawing *d, struct err *e) {
    static const struct chart_key keys[] = {{"incumbent", CHART_STEPS, STYLE_KEPT},
                                            {"kept", CHART_SCATTER, STYLE_KEPT},
                                            {"discarded", CHART_SCATTER, CHART_GREY},
                                            {"failed", CHART_CROSSES, STYLE_FAILED}};
    const struct search_view *v = d->v;
    struct chart *c = &d->c->chart;
    struct chart_panel *panel = draw_own(d->c, 1, sizeof *panel);
    struct chart_series *s = draw_own(d->c, 4, sizeof *s);
    size_t decided = 0;
    int rc;
    if (!panel || !s) return err_set(e, ERR_NOMEM, "no memory to draw");
    TRY(fill_progress(d, s, e));
    TRY(add_labels(d, e));
    for (size_t i = 0; i < v->n; i++) decided += v->trial[i].decided;
    *panel = (struct chart_panel){
        .title = draw_metric(v), .weight = 1, .min = NAN, .max = NAN, .series = s, .n_series = 4};
    c->title =
        draw_text(d->c, "%zu Experiments, %zu Kept Improvements", decided, v->count[VIEW_keep]);
    c->x_title = "trial";
    c->whole_x = true;
    c->panels = panel;
    c->n_panels = 1;
    c->row = keys;
    c->n_row = s[1].n ? 4 : 3;
    if (!c->title) rc = err_set(e, ERR_NOMEM, "no memory to draw");
out:
    return rc;
}

/* The whole ------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Values far from the others would flatten the picture: the edge is the worst of three quarters of
 * the trials, or as far beyond the base as the best is before it, and a little more. */
static int find_edge(struct drawing *d, struct err *e) {
    const struct search_view *v = d->v;
    const double sign = v->s->sign;
    double *m = calloc(v->n + 1, sizeof *m), base = NAN;
    size_t n = 0;
    if (!m) return err_set(e, ERR_NOMEM, "no memory to draw");
    for (size_t i = 0; i < v->n; i++) {
        if (!draw_shows(&v->trial[i])) continue;
        m[n++] = sign * v->trial[i].value;
        if (i == 0) base = m[0];
    }
    if (n) {
        qsort(m, n, sizeof *m, compare);
        const double quarter = m[(3 * n - 1) / 4], mirror = 2 * base - m[0]; /* NaN: no base */
        double edge = fmax(quarter, mirror);
        if (m[n - 1] <= edge + 0.25 * (edge - m[0])) edge = m[n - 1];
        d->edge = sign * (edge + 0.04 * (edge - m[0]));
        d->fence = sign * (edge + 0.09 * (edge - m[0]));
    }
    free(m);
    if (n) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: no trial has a result of the whole budget yet, so there is "
                   "nothing to draw",
                   v->s->dir);
}

/* What the picture does not show as it is. */
static int add_note(struct drawing *d, struct err *e) {
    struct search_chart *c = d->c;
    size_t partial = 0;
    char outside[120] = "", shares[120] = "";
    for (size_t i = 0; i < d->v->n; i++)
        partial += d->v->trial[i].seeds && !draw_shows(&d->v->trial[i]);
    if (d->outside)
        snprintf(outside, sizeof outside, "%zu worse than %.4g: at the edge", d->outside, d->edge);
    if (partial)
        snprintf(shares, sizeof shares, "%zu stopped at a share of the budget: not shown", partial);
    if (!*outside && !*shares) return 0;
    c->chart.note = draw_text(c, "%s%s%s", outside, *outside && *shares ? "; " : "", shares);
    return c->chart.note ? 0 : err_set(e, ERR_NOMEM, "no memory to draw");
}

int search_chart(struct search_chart *c, const struct search_view *v,
                 const struct search_look *look, struct err *e) {
    struct drawing d = {.c = c, .v = v};
    int rc;
    *c = (struct search_chart){.chart = {.x_min = NAN,
                                         .x_max = NAN,
                                         .width = look->width,
                                         .height = look->height,
                                         .dark = look->dark,
                                         .adaptive = look->adaptive}};
    TRY(find_edge(&d, e));
    TRY(!strcmp(look->chart, "knobs")    ? draw_knobs(&d, e)
        : !strcmp(look->chart, "pareto") ? draw_pareto(&d, look->x, e)
                                         : draw_progress(&d, e));
    TRY(add_note(&d, e));
out:
    if (rc) search_chart_release(c);
    return rc;
}
