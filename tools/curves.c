#include "curves.h"

#include <math.h>
#include <stdlib.h>

const char *curve_axis_name(enum curve_axis a) {
    static const char *const names[] = {"step", "tokens", "seconds"};
    return names[a];
}

static size_t length(const struct record *r, bool val) {
    return val ? r->n_vals : r->n_steps;
}

static double place(const struct record *r, bool val, enum curve_axis axis, size_t i) {
    if (val) {
        const struct record_val *v = r->vals + i;
        if (axis == CURVE_STEPS) return (double)v->step;
        return axis == CURVE_TOKENS ? v->tokens : v->seconds;
    }
    const struct record_step *s = r->steps + i;
    if (axis == CURVE_STEPS) return (double)s->step;
    return axis == CURVE_TOKENS ? s->tokens : s->seconds;
}

static double loss_at(const struct record *r, bool val, size_t i) {
    return val ? r->vals[i].loss : r->steps[i].loss;
}

/* The line at x, or those around it: i and the share of i + 1. False: x is outside. */
static bool find(const struct record *r, bool val, enum curve_axis axis, double x, size_t *i,
                 double *share) {
    const size_t n = length(r, val);
    *share = 0;
    for (*i = 0; *i < n; ++*i) {
        const double a = place(r, val, axis, *i);
        if (a == x) return true;
        if (a > x || *i + 1 == n) return false;
        const double b = place(r, val, axis, *i + 1);
        if (x < b) {
            *share = (x - a) / (b - a);
            return true;
        }
    }
    return false;
}

/* Places of the first run that all have. */
static size_t common_steps(const struct run_list *l, bool val, double *at, size_t most) {
    size_t n = 0, i;
    double share;
    for (size_t k = 0; k < length(l->run, val) && n < most; k++) {
        const double x = place(l->run, val, CURVE_STEPS, k);
        bool all = true;
        for (size_t j = 1; j < l->n && all; j++)
            all = find(l->run + j, val, CURVE_STEPS, x, &i, &share) && share == 0;
        if (all) at[n++] = x;
    }
    return n;
}

/* Some of them, evenly, and the last. */
static int choose_steps(struct curve *c, const struct run_list *l, struct err *e) {
    const size_t most = length(l->run, c->val);
    double *at = malloc((most + 1) * sizeof *at);
    if (!at) return err_set(e, ERR_NOMEM, "out of memory for losses");
    const size_t n = common_steps(l, c->val, at, most);
    c->n = n < CURVE_POINTS ? n : CURVE_POINTS;
    for (size_t i = 0; i < c->n; i++)
        c->at[i] = n <= CURVE_POINTS ? at[i] : at[(i + 1) * n / CURVE_POINTS - 1];
    free(at);
    return 0;
}

static void choose_shares(struct curve *c, const struct run_list *l) {
    double from = -INFINITY, to = INFINITY;
    for (size_t i = 0; i < l->n; i++) {
        const size_t n = length(l->run + i, c->val);
        if (n < 2) return;
        from = fmax(from, place(l->run + i, c->val, c->axis, 0));
        to = fmin(to, place(l->run + i, c->val, c->axis, n - 1));
    }
    if (!(from < to) || !isfinite(from) || !isfinite(to)) return;
    for (int i = 1; i <= 4; i++) {
        const double x = c->axis == CURVE_TOKENS ? floor(to * i / 4) : to * i / 4;
        if (x >= from) c->at[c->n++] = i == 4 ? to : x;
    }
}

static void fill(struct curve *c, const struct run_list *l) {
    for (size_t p = 0; p < c->n; p++)
        for (size_t k = 0; k < l->n; k++) {
            const struct record *r = l->run + k;
            double share, *loss = c->loss + p * l->n + k, *se = c->stderr_ + p * l->n + k;
            size_t i;
            *loss = *se = NAN;
            if (!find(r, c->val, c->axis, c->at[p], &i, &share)) continue;
            *loss = loss_at(r, c->val, i);
            if (share > 0) *loss += share * (loss_at(r, c->val, i + 1) - *loss);
            if (c->val) *se = share > 0 ? fmax(r->vals[i].stderr_, r->vals[i + 1].stderr_)
                                        : r->vals[i].stderr_;
        }
}

int curve_make(struct curve *c, const struct run_list *l, enum curve_axis axis, bool val,
               struct err *e) {
    int rc = 0;
    *c = (struct curve){.axis = axis, .val = val};
    if (axis == CURVE_STEPS)
        TRY(choose_steps(c, l, e));
    else
        choose_shares(c, l);
    c->loss = malloc((c->n * l->n + 1) * sizeof *c->loss);
    c->stderr_ = malloc((c->n * l->n + 1) * sizeof *c->stderr_);
    if (c->loss && c->stderr_)
        fill(c, l);
    else
        rc = err_set(e, ERR_NOMEM, "out of memory for losses");
out:
    if (rc) curve_release(c);
    return rc;
}

void curve_release(struct curve *c) {
    free(c->loss);
    free(c->stderr_);
    *c = (struct curve){0};
}
