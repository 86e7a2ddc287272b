#include "audit_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double tried[AUDIT_EPS] = {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1};
enum { LEAST_MEASURED = 12, WALK_DIRECTIONS = 4 };
static const double GOOD_ENOUGH = 0.01;

static int error_of(struct audit *a, const double *slope, double eps, double *error,
                    struct err *e) {
    int rc = 0;
    double apart = 0, size = 0, c;
    for (int64_t s = 0; s < a->opts.seeds; s++) {
        TRY(audit_coefficient(a, s, eps, NULL, &c, e));
        apart += (c - slope[s]) * (c - slope[s]);
        size += slope[s] * slope[s];
    }
    *error = size > 0 ? sqrt(apart / size) : INFINITY;
out:
    return rc;
}

static int find_eps(struct audit *a, struct audit_advice *out, struct err *e) {
    int rc = 0;
    double sums[N_SUMS];
    const struct audit_group *all = a->group + a->n_groups - 1;
    int best = 0;
    audit_sum_group(a, a->n_groups - 1, sums);
    for (int i = 0; i < AUDIT_EPS; i++) {
        out->eps[i] = tried[i];
        TRY(error_of(a, all->slope, tried[i], out->error + i, e));
        if (out->error[i] < out->error[best]) best = i;
    }
    out->n = AUDIT_EPS;
    /* The larger, the further from the rounding of single sequences' losses. */
    for (int i = AUDIT_EPS - 1; i > best && out->error[best] <= GOOD_ENOUGH; i--)
        if (out->error[i] <= GOOD_ENOUGH) best = i;
    if (isfinite(out->error[best])) a->opts.eps = tried[best];
out:
    return rc;
}

/* ctx of rise. */
struct walker {
    struct audit *a;
    const double *base; /* (B) losses at the weights */
};

static int rise(void *ctx, double size, double *out, struct err *e) {
    int rc = 0;
    const struct walker *w = ctx;
    const int64_t B = w->a->opts.batch;
    const double *plus = w->a->losses, *minus = plus + B;
    double c;
    *out = 0;
    for (int64_t s = 0; s < WALK_DIRECTIONS; s++) {
        TRY(audit_coefficient(w->a, s, size, NULL, &c, e));
        for (int64_t b = 0; b < B; b++)
            *out += ((plus[b] + minus[b]) / 2 - w->base[b]) / (double)(B * WALK_DIRECTIONS);
    }
out:
    return rc;
}

/* What a run of training that says nothing else would take. */
static int find_rate(struct walker *w, struct audit_advice *out, struct err *e) {
    const struct zo_kind *k = zo_find("grzo");
    const struct zo_shape shape = {
        .directions = 1, .batch = ADVICE_BATCH, .accum = 1, .eps = w->a->opts.eps};
    const struct zo_walk walk = {.rise = rise, .ctx = w, .directions = k->directions(&shape)};
    double step = zo_best_step(&out->measure, k, &shape);
    const int rc = zo_walk_limit(&walk, &step, e);
    out->lr = step > 0 ? zo_step_rate(&out->measure, k, &shape, step) : 0;
    return rc;
}

int audit_advise(struct audit *a, bool find, struct audit_advice *out, struct err *e) {
    int rc = audit_has_gradient(a, e);
    const int64_t B = a->opts.batch;
    const int64_t n = a->opts.seeds > LEAST_MEASURED ? a->opts.seeds : LEAST_MEASURED;
    *out = (struct audit_advice){0};
    if (rc) return rc;
    double *base = malloc((size_t)B * sizeof *base), c;
    if (!base) return err_set(e, ERR_NOMEM, "out of memory for the losses of a batch");
    if (find) TRY(find_eps(a, out, e));
    TRY(audit_coefficient(a, 0, 0, NULL, &c, e));
    memcpy(base, a->losses, (size_t)B * sizeof *base);
    for (int64_t s = 0; s < n; s++) {
        TRY(audit_coefficient(a, s, a->opts.eps, NULL, &c, e));
        zo_measure_add(&out->measure, a->opts.eps, B, base, a->losses, a->losses + B);
        if (a->opts.progress) a->opts.progress(a->opts.ctx, s + 1, n);
    }
    zo_measure_finish(&out->measure);
    TRY(find_rate(&(struct walker){a, base}, out, e));
out:
    free(base);
    return rc;
}
