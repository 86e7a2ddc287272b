#include "plot_impl.h"

#include <stdio.h>
#include <string.h>

#define POINTS_MAX 1000 /* of a training curve: what can be seen */

/* ---- x ------------------------------------------------------------------------------------- */

static double x_of(const struct build *b, int64_t step, double seconds, double tokens) {
    const char *x = b->look->x;
    const double v = *x == 't'            ? tokens
                     : strcmp(x, "steps") ? seconds
                     : step < 0           ? NAN
                                          : (double)step;
    return v / b->x_unit;
}

void plot_choose_x(struct build *b) {
    double most = 0;
    b->x_unit = 1;
    for (size_t i = 0; i < b->set->n; i++) {
        const struct record *r = &b->set->run[i].run;
        for (size_t k = 0; k < r->n_steps; k++)
            most = fmax(most, x_of(b, r->steps[k].step, r->steps[k].seconds, r->steps[k].tokens));
        for (size_t k = 0; k < r->n_vals; k++)
            most = fmax(most, x_of(b, r->vals[k].step, r->vals[k].seconds, r->vals[k].tokens));
    }
    const char *unit = NULL;
    if (!strcmp(b->look->x, "seconds")) {
        static const struct {
            double from, unit;
            const char *name;
        } times[] = {{4 * 86400, 86400, "days"}, {3 * 3600, 3600, "hours"}, {600, 60, "minutes"}};
        for (size_t i = 3; i-- > 0;)
            if (most >= times[i].from) b->x_unit = times[i].unit, unit = times[i].name;
        snprintf(b->x_title, sizeof b->x_title, "training time, %s", unit ? unit : "seconds");
    } else if (!strcmp(b->look->x, "tokens")) {
        if (most >= 1e9)
            b->x_unit = 1e9, unit = "billions";
        else if (most >= 1e6)
            b->x_unit = 1e6, unit = "millions";
        else if (most >= 1e4)
            b->x_unit = 1e3, unit = "thousands";
        snprintf(b->x_title, sizeof b->x_title, "training tokens%s%s", unit ? ", " : "",
                 unit ? unit : "");
    } else {
        snprintf(b->x_title, sizeof b->x_title, "updates");
    }
}

/* ---- curves -------------------------------------------------------------------------------- */

/* 1, 2 or 5 times a power of ten, not above v. */
static int64_t round_down(double v) {
    double d = 1;
    while (d * 10 <= v) d *= 10;
    return (int64_t)(v >= 5 * d ? 5 * d : v >= 2 * d ? 2 * d : d);
}

/* About a hundredth of the longest run. */
void plot_choose_smooth(struct build *b) {
    double most = 0, lines = 0;
    for (size_t i = 0; i < b->set->n; i++) {
        const struct record *r = &b->set->run[i].run;
        if (!r->n_steps) continue;
        const double last = (double)r->steps[r->n_steps - 1].step;
        most = fmax(most, last >= 0 ? last : (double)r->n_steps);
        lines = fmax(lines, (double)r->n_steps);
    }
    b->smooth = b->look->smooth;
    if (!b->smooth) b->smooth = lines >= 50 && most >= 200 ? round_down(most / 50) : 1;
}

static double place_of(const struct record_step *s, size_t i) {
    return s[i].step < 0 ? (double)i : (double)s[i].step;
}

/* Mean over the lines whose updates are at most half a window away from those of line i; near the
 * beginning of the curve over fewer, the same number on both sides, so that a steep beginning stays
 * where it is. Lines whose number cannot be drawn are left out. */
static double mean_around(const struct record_step *s, size_t n, size_t i, double window,
                          int offset) {
    const double at = place_of(s, i);
    const double half = fmin(window / 2, at - place_of(s, 0));
    double sum = 0;
    size_t from = i, to = i, count = 0;
    while (from > 0 && place_of(s, from - 1) >= at - half) from--;
    while (to + 1 < n && place_of(s, to + 1) <= at + half) to++;
    for (size_t k = from; k <= to; k++) {
        const double y = field(&s[k], offset);
        if (fabs(y) <= 1e30) sum += y, count++;
    }
    return count ? sum / (double)count : NAN;
}

void plot_steps(struct build *b, const struct quantity *q, const struct plot_run *r,
                struct chart_series *s) {
    const size_t n = r->run.n_steps, every = (n + POINTS_MAX - 1) / POINTS_MAX;
    double *x = arena_alloc(&b->arena, n, sizeof *x), *y = arena_alloc(&b->arena, n, sizeof *y);
    const double window = q->smooth && b->smooth > 1 ? (double)b->smooth : 0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const struct record_step *v = &r->run.steps[i];
        double own = field(v, q->step);
        const bool gap = !(fabs(own) <= 1e30);
        if (i % every && i + 1 != n && !gap) continue;
        if (window > 0 && !gap) own = mean_around(r->run.steps, n, i, window, q->step);
        x[kept] = x_of(b, v->step, v->seconds, v->tokens);
        y[kept++] = own * (q->bpb ? r->bpb : 1);
    }
    s->x = x;
    s->y = y;
    s->n = kept;
}

void plot_vals(struct build *b, const struct quantity *q, const struct plot_run *r,
               struct chart_series *s) {
    const size_t n = r->run.n_vals;
    double *x = arena_alloc(&b->arena, n, sizeof *x), *y = arena_alloc(&b->arena, n, sizeof *y);
    double *err = arena_alloc(&b->arena, n, sizeof *err);
    const double unit = q->bpb ? r->bpb : 1;
    for (size_t i = 0; i < n; i++) {
        const struct record_val *v = &r->run.vals[i];
        x[i] = x_of(b, v->step, v->seconds, v->tokens);
        y[i] = field(v, q->val) * unit;
        err[i] = field(v, q->err) * unit;
        b->err_shown |= err[i] > 0;
    }
    s->x = x;
    s->y = y;
    s->err = err;
    s->n = n;
}

bool plot_can_draw(const struct build *b, const struct chart_series *s, size_t i) {
    return fabs(s->y[i]) <= 1e30 && fabs(s->x[i]) <= 1e30 && (!b->look->log_x || s->x[i] > 0) &&
           (!b->look->log_y || s->y[i] > 0);
}

size_t plot_count_drawn(const struct build *b, const struct chart_series *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += plot_can_draw(b, s, i);
    return n;
}

bool plot_best(struct build *b, const struct quantity *q, const struct chart_series *of,
               struct chart_series *s) {
    const double *best = NULL;
    for (size_t i = 0; q->best && i < of->n; i++)
        if (plot_can_draw(b, of, i) && (!best || (of->y[i] - *best) * q->best > 0))
            best = &of->y[i];
    if (!best) return false;
    *s = (struct chart_series){
        .kind = CHART_RING, .style = of->style, .x = of->x + (best - of->y), .y = best, .n = 1};
    return true;
}
