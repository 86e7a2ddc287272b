#include "audit_impl.h"

#include <math.h>
#include <stdlib.h>

static const double tried[AUDIT_EPS] = {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1};
enum { LEAST_MEASURED = 12, WALK_DIRECTIONS = 4 };
static const double GOOD_ENOUGH = 0.01;

static double error_of(struct audit *a, const double *slope, double eps) {
    double apart = 0, size = 0;
    for (int64_t s = 0; s < a->opts.seeds; s++) {
        const double c = audit_coefficient(a, audit_seed(a, s), eps);
        apart += (c - slope[s]) * (c - slope[s]);
        size += slope[s] * slope[s];
    }
    return size > 0 ? sqrt(apart / size) : INFINITY;
}

static void find_eps(struct audit *a, struct audit_advice *out) {
    double sums[N_SUMS];
    const struct audit_group *all = a->group + a->n_groups - 1;
    int best = 0;
    audit_sum_group(a, a->n_groups - 1, sums);
    for (out->n = 0; out->n < AUDIT_EPS; out->n++) {
        out->eps[out->n] = tried[out->n];
        out->error[out->n] = error_of(a, all->slope, tried[out->n]);
        if (out->error[out->n] < out->error[best]) best = out->n;
    }
    /* The larger, the further from the rounding of single sequences' losses. */
    for (int i = AUDIT_EPS - 1; i > best && out->error[best] <= GOOD_ENOUGH; i--)
        if (out->error[i] <= GOOD_ENOUGH) best = i;
    if (isfinite(out->error[best])) a->opts.eps = tried[best];
}

/* Mean loss of each sequence of both sides of the last coefficient. */
static void read_losses(const struct audit *a, double *plus, double *minus) {
    const int64_t B = a->opts.batch, T = a->opts.seq;
    for (int64_t r = 0; r < SIDES * B; r++) {
        double sum = 0;
        for (int64_t i = 0; i < T; i++) sum += (double)a->nll[r * T + i];
        *(r < B ? plus + r : minus + r - B) = sum / (double)T;
    }
}

/* ctx of rise: losses of a batch at the weights and at both sides. */
struct walker {
    struct audit *a;
    const double *base;
    double *plus, *minus;
};

static int rise(void *ctx, double size, double *out, struct err *e) {
    const struct walker *w = ctx;
    const int64_t B = w->a->opts.batch;
    (void)e;
    *out = 0;
    for (int64_t s = 0; s < WALK_DIRECTIONS; s++) {
        audit_coefficient(w->a, audit_seed(w->a, s), size);
        read_losses(w->a, w->plus, w->minus);
        for (int64_t b = 0; b < B; b++)
            *out += ((w->plus[b] + w->minus[b]) / 2 - w->base[b]) / (double)(B * WALK_DIRECTIONS);
    }
    return 0;
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
    int rc;
    const int64_t B = a->opts.batch;
    const int64_t n = a->opts.seeds > LEAST_MEASURED ? a->opts.seeds : LEAST_MEASURED;
    const struct exec_opts xo = audit_probe_exec(&a->opts);
    double *room = malloc((size_t)B * 3 * sizeof *room);
    *out = (struct audit_advice){0};
    if (!room) return err_set(e, ERR_NOMEM, "out of memory for the losses of a batch");
    TRY(exec_open(&a->exec, &a->model->graph, a->opts.machine, &xo, e));
    if (find) find_eps(a, out);
    audit_coefficient(a, audit_seed(a, 0), 0);
    read_losses(a, room, room + B);
    for (int64_t s = 0; s < n; s++) {
        audit_coefficient(a, audit_seed(a, s), a->opts.eps);
        read_losses(a, room + B, room + 2 * B);
        zo_measure_add(&out->measure, a->opts.eps, B, room, room + B, room + 2 * B);
        if (a->opts.progress) a->opts.progress(a->opts.ctx, s + 1, n);
    }
    zo_measure_finish(&out->measure);
    TRY(find_rate(&(struct walker){a, room, room + B, room + 2 * B}, out, e));
out:
    exec_close(&a->exec);
    free(room);
    return rc;
}
