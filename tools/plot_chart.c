#include "plot_chart.h"
#include "chart_text.h"
#include "plot_impl.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VAL(m) (int)offsetof(struct record_val, m)
#define STEP(m) (int)offsetof(struct record_step, m)
static const struct quantity quantities[] = {
    {"loss", "loss, nats per token", "losses", VAL(loss), STEP(loss), VAL(stderr_), -1, true,
     false},
    {"bpb", "bits per byte", "bits per byte (its summary has them)", VAL(loss), STEP(loss),
     VAL(stderr_), -1, true, true},
    {"accuracy", "accuracy", "accuracies", VAL(accuracy), -1, -1, 1, false, false},
    {"f1", "F1", "F1 scores", VAL(f1), -1, -1, 1, false, false},
    {"lr", "learning rate", "learning rates", -1, STEP(lr), -1, 0, false, false},
    {"throughput", "tokens per second", "throughput", -1, STEP(tokens_per_second), -1, 0, true,
     false},
    {"grad-norm", "gradient norm", "gradient norms", -1, STEP(grad_norm), -1, 0, true, false},
};

#define TRAIN_RUNS 6     /* more training curves than these hide the validations */
#define BAND_RUNS 3      /* more bands than these hide each other */
#define BAND_POINTS 50   /* validations of a run */
#define RINGS_MAX 8      /* runs */
#define SMALL_PANEL 0.32 /* height of the further panels, of the first one's */

/* ---- panels -------------------------------------------------------------------------------- */

static bool train_wanted(const struct build *b, size_t n_vals) {
    const char *t = b->look->train;
    if (!strcmp(t, "auto")) return b->set->n <= TRAIN_RUNS || n_vals == 0;
    return !strcmp(t, "yes");
}

/* The best validation of each run, of many runs the best of all. */
static size_t add_rings(struct build *b, const struct quantity *q, const struct chart_series *vals,
                        size_t n, struct chart_series *ring) {
    size_t k = 0, best = 0;
    for (size_t i = 0; i < n; i++) {
        if (plot_count_drawn(b, &vals[i]) < 2 || !plot_best(b, q, &vals[i], &ring[k])) continue;
        if ((ring[k].y[0] - ring[best].y[0]) * q->best > 0) best = k;
        k++;
    }
    b->best_shown |= k > 0;
    if (n <= RINGS_MAX || !k) return k;
    ring[0] = ring[best];
    return 1;
}

/* The curves of all runs' validations. A single point has nothing to be joined with. */
static struct chart_series *val_curves(struct build *b, const struct quantity *q) {
    const size_t n = b->set->n;
    struct chart_series *vals = arena_alloc(&b->arena, n, sizeof *vals);
    for (size_t i = 0; i < n; i++) {
        vals[i] = (struct chart_series){.kind = CHART_POINTS, .style = (int)i};
        if (q->val >= 0) plot_vals(b, q, &b->set->run[i], &vals[i]);
        if (plot_count_drawn(b, &vals[i]) == 1) vals[i].kind = CHART_DOTS;
    }
    return vals;
}

/* Error bars that stand close together become bands. */
static size_t add_bands(const struct build *b, struct chart_series *vals, struct chart_series *s) {
    size_t k = 0;
    for (size_t i = 0; i < b->set->n && b->set->n <= BAND_RUNS; i++) {
        if (!vals[i].err || plot_count_drawn(b, &vals[i]) < BAND_POINTS) continue;
        s[k] = vals[i];
        s[k++].kind = CHART_BAND;
        vals[i].err = NULL;
    }
    return k;
}

/* Series of one panel: bands, pale training curves, then validations, then rings. */
static size_t fill_panel(struct build *b, struct panel *p) {
    const struct quantity *q = p->q;
    const size_t n = b->set->n;
    p->series = arena_alloc(&b->arena, 4 * n, sizeof *p->series);
    struct chart_series *vals = val_curves(b, q);
    size_t k = add_bands(b, vals, p->series);
    for (size_t i = 0; i < n; i++) {
        if (q->step < 0 || (q->val >= 0 && !train_wanted(b, plot_count_drawn(b, &vals[i]))))
            continue;
        struct chart_series *s = &p->series[k];
        *s = (struct chart_series){.kind = q->val >= 0 ? CHART_THIN : CHART_LINE, .style = (int)i};
        plot_steps(b, q, &b->set->run[i], s);
        if (!plot_count_drawn(b, s)) continue;
        b->train_shown |= q->val >= 0;
        k++;
    }
    for (size_t i = 0; i < n; i++)
        if (plot_count_drawn(b, &vals[i])) p->series[k++] = vals[i], b->val_shown = true;
    return p == b->panel ? k + add_rings(b, q, vals, n, &p->series[k]) : k;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool is_vals(const struct chart_series *s) {
    return s->kind == CHART_POINTS || s->kind == CHART_DOTS;
}

/* Where usual curves of a loss begin, and so what is still of interest: the highest of the first
 * values that is not out of proportion to the others. first: room for a value each. */
static double usual_top(const struct build *b, const struct chart_panel *c, double *first) {
    size_t n = 0;
    for (size_t k = 0; k < c->n_series; k++)
        for (size_t i = 0; i < c->series[k].n && c->series[k].kind != CHART_RING; i++)
            if (plot_can_draw(b, &c->series[k], i)) {
                first[n++] = c->series[k].y[i];
                break;
            }
    qsort(first, n, sizeof *first, ascending);
    while (n > 1 && first[n - 1] > 4 * first[n / 2]) n--;
    return n ? first[n - 1] : NAN;
}

/* A loss that blew up is cut off where it would hide the others, and counted. The steep beginning
 * of a training curve does not decide. room: for a number of each series. */
static void choose_range(struct build *b, struct panel *p, struct chart_panel *c, double *room) {
    double lo = HUGE_VAL, hi = -HUGE_VAL;
    c->min = NAN;
    c->max = NAN;
    if (b->look->log_y || p->q->val < 0 || p->q->best > 0) return;
    for (size_t k = 0; k < c->n_series; k++) {
        const struct chart_series *s = &c->series[k];
        for (size_t i = s->kind == CHART_THIN && s->n > 20 ? s->n / 20 : 0; i < s->n; i++)
            if (plot_can_draw(b, s, i)) {
                lo = fmin(lo, s->y[i]);
                hi = fmax(hi, s->y[i] + (s->err && s->err[i] > 0 ? s->err[i] : 0));
            }
    }
    const double top = usual_top(b, c, room);
    if (!(hi > lo)) return;
    if (top > lo && hi > lo + 3 * (top - lo)) hi = lo + 1.1 * (top - lo);
    for (size_t k = 0; k < c->n_series; k++)
        for (size_t i = 0; is_vals(&c->series[k]) && i < c->series[k].n; i++)
            p->n_cut += plot_can_draw(b, &c->series[k], i) && c->series[k].y[i] > hi;
    p->cut = c->max = hi;
}

/* What no model can go below, in the panel's unit, once for each value. */
static void floors(struct build *b, struct panel *p, struct chart_panel *c) {
    double lo = HUGE_VAL, hi = -HUGE_VAL, y;
    size_t n = 0;
    if (p->q->best >= 0) return;
    for (size_t k = 0; k < c->n_series; k++)
        for (size_t i = 0; i < c->series[k].n; i++)
            if (plot_can_draw(b, &c->series[k], i))
                lo = fmin(lo, c->series[k].y[i]), hi = fmax(hi, c->series[k].y[i]);
    if (isfinite(c->max)) hi = c->max;
    for (size_t i = 0; i < b->set->n && n < 8; i++) {
        const struct plot_run *r = &b->set->run[i];
        y = p->q->bpb ? r->floor : r->floor / r->bpb;
        bool known = !(y > 0 && y < 1e30);
        for (size_t k = 0; k < n; k++) known |= fabs(p->level[k].y - y) < 1e-3 * y;
        if (known) continue;
        p->level[n++] = (struct chart_level){y, CHART_GREY};
        const bool near =
            c->log_y ? y > lo * lo / fmax(hi, 1.3 * lo) : y > lo - fmax(hi - lo, 0.1 * lo);
        if (!near)
            p->n_below++;
        else if (y < lo)
            c->min = isnan(c->min) ? y : fmin(c->min, y);
    }
    c->levels = p->level;
    c->n_levels = n;
}

/* The losses of runs on tasks are not those of tokens. */
static const char *panel_title(const struct build *b, const struct quantity *q) {
    size_t tasks = 0, wrong = 0;
    for (size_t i = 0; i < b->set->n; i++) {
        const json_t *o = b->set->run[i].run.options;
        const char *objective = json_string_value(json_object_get(o, "objective"));
        const bool task = json_is_string(json_object_get(o, "task"));
        tasks += task;
        wrong += task && objective && strcmp(objective, "ce");
    }
    if (strcmp(q->name, "loss") || !tasks) return q->title;
    if (wrong) return wrong == b->set->n ? "1 - accuracy or F1, as --objective says" : "loss";
    return tasks == b->set->n ? "loss, nats per example" : "loss, nats";
}

static int build_panels(struct build *b, struct err *e) {
    double *room = malloc(3 * b->set->n * sizeof *room);
    if (!room) return err_set(e, ERR_NOMEM, "no memory to draw");
    size_t n = 0;
    for (size_t k = 0; k < b->n_panels; k++) {
        struct panel *p = &b->panel[n];
        struct chart_panel *c = &b->chart_panel[n];
        *p = (struct panel){.q = b->panel[k].q};
        *c = (struct chart_panel){.title = panel_title(b, p->q),
                                  .weight = n ? SMALL_PANEL : 1,
                                  .log_y = b->look->log_y && p->q->val >= 0};
        c->n_series = fill_panel(b, p);
        c->series = p->series;
        choose_range(b, p, c, room);
        floors(b, p, c);
        if (p->q->val < 0 && !b->look->log_y) c->min = 0;
        /* A further panel that nobody asked for and that has nothing is left out. */
        if (c->n_series || k == 0 || b->look->panels) n++;
    }
    b->n_panels = n;
    free(room);
    return 0;
}

/* ---- legends ------------------------------------------------------------------------------- */

static const char *digits(double v, char buf[32]) {
    const double size = fabs(v);
    if (size > 0 && (size < 1e-3 || size >= 1e4)) {
        snprintf(buf, 32, "%.3g", v);
        chart_text_number(buf, strtod(buf, NULL), 0);
    } else {
        snprintf(buf, 32, size < 1 ? "%.4f" : "%.3f", v);
    }
    return buf;
}

/* The series of run i in the first panel of that kind (POINTS: or DOTS), or NULL. */
static const struct chart_series *series_of(const struct build *b, size_t i, enum chart_kind kind) {
    const struct chart_panel *c = &b->chart_panel[0];
    for (size_t k = 0; k < c->n_series; k++)
        if (c->series[k].style == (int)i &&
            (kind == CHART_POINTS ? is_vals(&c->series[k]) : c->series[k].kind == kind))
            return &c->series[k];
    return NULL;
}

static void train_key(struct build *b) {
    const bool bpb = b->panel[0].q->bpb;
    char mean[60] = "", updates[24];
    chart_text_number(updates, (double)b->smooth, 0);
    if (b->smooth > 1) snprintf(mean, sizeof mean, ", mean over %s updates", updates);
    snprintf(b->train_key, sizeof b->train_key, "training%s%s", mean,
             bpb ? ", by the same bytes a token" : "");
}

static void floor_key(struct build *b) {
    const struct panel *p = &b->panel[0];
    const size_t n = b->chart_panel[0].n_levels;
    char v[32];
    if (n == 1)
        snprintf(b->floor_key, sizeof b->floor_key, "floor of the corpus, %s%s",
                 digits(p->level[0].y, v), p->n_below ? " (below the picture)" : "");
    else
        snprintf(b->floor_key, sizeof b->floor_key, "floors of the corpora%s",
                 p->n_below ? " (some below the picture)" : "");
}

static void best_key(struct build *b) {
    const struct chart_series *ring = series_of(b, 0, CHART_RING);
    char y[32], x[24];
    snprintf(b->best_key, sizeof b->best_key,
             b->set->n > RINGS_MAX ? "best validation of all" : "best validation");
    if (b->set->n > 1 || !ring) return;
    chart_text_number(x, ring->x[0], strcmp(b->look->x, "steps") ? 2 : 0);
    snprintf(b->best_key, sizeof b->best_key, "best, %s at %s", digits(ring->y[0], y), x);
}

static void row_keys(struct build *b) {
    const int style = b->set->n == 1 ? 0 : CHART_GREY;
    size_t n = 0;
    if (b->val_shown)
        b->row[n++] = (struct chart_key){
            b->err_shown ? "validation ± standard error" : "validation", CHART_POINTS, style};
    if (b->train_shown) {
        train_key(b);
        b->row[n++] = (struct chart_key){b->train_key, CHART_THIN, style};
    }
    if (b->best_shown) {
        best_key(b);
        b->row[n++] = (struct chart_key){b->best_key, CHART_RING, style};
    }
    if (b->chart_panel[0].n_levels == 1 || b->chart_panel[0].n_levels > b->panel[0].n_below) {
        floor_key(b);
        b->row[n++] = (struct chart_key){b->floor_key, CHART_DASHED, CHART_GREY};
    }
    b->chart.row = b->row;
    b->chart.n_row = n;
}

struct entry {
    size_t run;
    double last; /* y at the right end of its curve */
};

static int from_the_top(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (isnan(x->last) || isnan(y->last))
        return isnan(x->last) - isnan(y->last) ? isnan(x->last) - isnan(y->last)
                                               : (x->run > y->run) - (x->run < y->run);
    if (x->last != y->last) return x->last < y->last ? 1 : -1;
    return (x->run > y->run) - (x->run < y->run);
}

static struct entry entry_of(const struct build *b, size_t i) {
    static const enum chart_kind kinds[] = {CHART_POINTS, CHART_LINE, CHART_THIN};
    struct entry en = {i, NAN};
    for (size_t k = 0; k < 3 && isnan(en.last); k++) {
        const struct chart_series *s = series_of(b, i, kinds[k]);
        for (size_t p = 0; s && p < s->n; p++)
            if (plot_can_draw(b, s, p)) en.last = s->y[p];
    }
    return en;
}

/* "lr 0.003  1.512": the name and its best. */
static int column_key(struct build *b, size_t at, size_t i, struct err *e) {
    const struct chart_series *vals = series_of(b, i, CHART_POINTS);
    const bool line = series_of(b, i, CHART_LINE), thin = series_of(b, i, CHART_THIN);
    struct chart_series best;
    char v[32], *text = NULL;
    const char *name = b->set->run[i].name;
    int n;
    if (vals && plot_best(b, b->panel[0].q, vals, &best))
        n = asprintf(&text, "%s  %s", name, digits(best.y[0], v));
    else if (vals || line)
        n = asprintf(&text, "%s", name);
    else
        n = asprintf(&text, "%s%s", name, thin ? "" : " (empty)");
    if (n < 0) return err_set(e, ERR_NOMEM, "no memory for a legend");
    b->column_text[at] = text;
    b->column[at] = (struct chart_key){text,
                                       vals   ? vals->kind
                                       : thin ? CHART_THIN
                                              : CHART_LINE,
                                       (int)i};
    return 0;
}

/* From top to bottom in the order in which the curves end. */
static int column_keys(struct build *b, struct err *e) {
    const size_t n = b->set->n;
    int rc = 0;
    if (n < 2) return 0;
    struct entry *order = calloc(n, sizeof *order);
    b->column = calloc(n, sizeof *b->column);
    b->column_text = calloc(n, sizeof *b->column_text);
    if (!order || !b->column || !b->column_text)
        TRY(err_set(e, ERR_NOMEM, "no memory for a legend"));
    for (size_t i = 0; i < n; i++) order[i] = entry_of(b, i);
    qsort(order, n, sizeof *order, from_the_top);
    for (size_t i = 0; i < n; i++) TRY(column_key(b, i, order[i].run, e));
    b->chart.column = b->column;
    b->chart.n_column = n;
out:
    free(order);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static const struct quantity *find_quantity(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof quantities / sizeof *quantities; i++)
        if (strlen(quantities[i].name) == n && !strncmp(quantities[i].name, name, n))
            return &quantities[i];
    return NULL;
}

static int choose_panels(struct build *b, struct err *e) {
    const char *p = b->look->panels ? b->look->panels : b->set->n > 1 ? b->look->y : NULL;
    char own[80];
    snprintf(own, sizeof own, "%s,lr,throughput", b->look->y);
    for (p = p ? p : own; *p;) {
        const size_t n = strcspn(p, ",");
        const struct quantity *q = find_quantity(p, n);
        if (!q)
            return err_set(e, ERR_USAGE, "--panels: \"%.*s\" is not known; panels are: %s",
                           n < 80 ? (int)n : 80, p, PLOT_QUANTITIES);
        for (size_t k = 0; k < b->n_panels; k++)
            if (b->panel[k].q == q) {
                if (b->look->panels)
                    return err_set(e, ERR_USAGE, "--panels: %s is there twice", q->name);
                q = NULL; /* --y lr has its panel */
                break;
            }
        if (q) b->panel[b->n_panels++].q = q;
        p += n + (p[n] == ',' && p[n + 1]);
        if (p[0] == ',') p++;
    }
    return b->n_panels ? 0 : err_set(e, ERR_USAGE, "--panels: none is named");
}

/* The sentence for a picture, or a panel, without anything in it. */
static int nothing(const struct build *b, const struct quantity *q, struct err *e) {
    const char *whose = b->set->run[0].run.dir, *x = b->look->x;
    const bool one = b->set->n == 1;
    bool any = false;
    for (size_t i = 0; i < b->set->n; i++) {
        const struct record *r = &b->set->run[i].run;
        for (size_t k = 0; k < r->n_vals; k++) any |= !isnan(field(&r->vals[k], q->val));
        for (size_t k = 0; k < r->n_steps; k++) any |= !isnan(field(&r->steps[k], q->step));
    }
    if (any && !(q->bpb && isnan(b->set->run[0].bpb)))
        return err_set(e, ERR_INPUT, "%s: nothing can be drawn of its %s against %s%s",
                       one ? whose : "these runs", q->name, x,
                       b->look->log_x || b->look->log_y ? " on logarithmic axes" : "");
    return err_set(e, ERR_INPUT,
                   one ? "%s has no %s to draw" : "none of these runs (%s, ...) has %s to draw",
                   whose, q->what);
}

static size_t arena_bytes(const struct build *b) {
    size_t bytes = 0;
    for (size_t i = 0; i < b->set->n; i++) {
        const struct record *r = &b->set->run[i].run;
        bytes +=
            2 * arena_need(r->n_steps, sizeof(double)) + 3 * arena_need(r->n_vals, sizeof(double));
    }
    return b->n_panels * (bytes + 5 * arena_need(b->set->n, sizeof(struct chart_series)));
}

static void fill_chart(struct build *b) {
    const struct plot_look *look = b->look;
    const struct panel *p = &b->panel[0];
    if (p->n_cut)
        snprintf(b->note, sizeof b->note, "%zu validation%s above %.3g: outside the picture",
                 p->n_cut, p->n_cut == 1 ? "" : "s", p->cut);
    const char *title = look->title ? look->title : b->set->n == 1 ? b->set->run[0].name : "";
    b->chart = (struct chart){.title = *title ? title : NULL,
                              .note = p->n_cut ? b->note : NULL,
                              .x_title = b->x_title,
                              .log_x = look->log_x,
                              .whole_x = !strcmp(look->x, "steps"),
                              .x_min = NAN,
                              .x_max = NAN,
                              .width = (int)look->width,
                              .height = (int)look->height,
                              .dark = look->dark,
                              .adaptive = look->adaptive,
                              .panels = b->chart_panel,
                              .n_panels = b->n_panels};
}

int plot_draw(const struct plot_set *s, const struct plot_look *look, const char *path,
              struct err *e) {
    struct build b = {.set = s, .look = look};
    int rc;
    assert(s->n > 0);
    TRY(choose_panels(&b, e));
    TRY(arena_init(&b.arena, arena_bytes(&b), "the curves", e));
    plot_choose_x(&b);
    plot_choose_smooth(&b);
    TRY(build_panels(&b, e));
    for (size_t k = 0; k < b.n_panels; k++)
        if (!b.chart_panel[k].n_series) TRY(nothing(&b, b.panel[k].q, e));
    fill_chart(&b);
    row_keys(&b);
    TRY(column_keys(&b, e));
    TRY(chart_draw(&b.chart, path, e));
out:
    for (size_t i = 0; b.column_text && i < s->n; i++) free(b.column_text[i]);
    free(b.column_text);
    free(b.column);
    arena_release(&b.arena);
    return rc;
}
