/* The learning rate of a MeZO run, measured before its first update, and what eps and rate that
 * were given look like there. */
#include "run_impl.h"

#include <math.h>

enum { RATE_DIRECTIONS = 12, CHECKED_DIRECTIONS = 2, WALK_DIRECTIONS = 4 };

/* In nats, a hundred times what a measured rate may gain. */
static const double LARGE_CHANGE = 0.2;

/* A rate that was given; normalised differences make steps of lr / eps, whatever the losses say. */
static void check_rate(struct run *r, const struct zo_measure *m,
                       const struct zo_shape *shape) {
    const struct run_opts *o = &r->opts;
    const struct engine_opts *eo = &o->engine_opts;
    const double change = zo_update_change(m, eo->estimator, shape, o->lr);
    if (o->find_lr || eo->hyper.of[ROLE_norm].kind->normalises || !(change > LARGE_CHANGE)) return;
    run_say(r, RUN_WARNING,
            "warning: with eps %g, learning rate %g is a step that would change the loss by about "
            "%.2g at the first update, were it linear; duet audit finds an eps and a rate",
            eo->eps, o->lr, change);
}

/* Coefficients that are rounding only look like a run: its loss walks off at random. */
static void check_eps(struct run *r, const struct zo_measure *m, const struct zo_shape *shape) {
    const double eps = r->opts.engine_opts.eps, error = zo_measure_error(m),
                 rounding = zo_measure_rounding(m, eps);
    if (!isfinite(m->coef2)) return; /* no eps is at fault: the first update names the weight */
    if (isinf(error))
        run_say(r, RUN_WARNING,
                "warning: eps %g changes no loss of the first batch: every coefficient is 0 "
                "there, and rounding decides what is learned, if anything; duet audit finds an "
                "eps that works",
                eps);
    else if (run_counts_errors(&r->opts))
        return;
    else if (rounding > 0.1)
        run_say(r, RUN_WARNING,
                "warning: eps %g is too small: of the differences it makes in the losses about "
                "%.0f %% is rounding, so rounding decides what is learned; duet audit finds an "
                "eps that works",
                eps, 100 * fmin(1, rounding));
    else if (error > 0.5)
        run_say(r, RUN_WARNING,
                "warning: eps %g is no good: the coefficients of twice that eps are off by %.0f "
                "%%, so they are mostly rounding (eps too small) or curvature (too large); duet "
                "audit finds one that works",
                eps, 100 * error);
    else if (r->opts.find_lr && zo_curvature_hidden(m, eps))
        run_say(r, RUN_WARNING,
                "warning: eps %g is too small to measure a learning rate with: rounding hides the "
                "curvature, and the rate may be practically 0; give --lr, or an eps that duet "
                "audit finds",
                eps);
    else
        check_rate(r, m, shape);
}

static void tell_probed(struct run *r, const char *text, int64_t done, int64_t of) {
    const struct run_event v = {.kind = RUN_PROBING, .text = text, .done = done, .of = of};
    run_tell_amid(r, &v);
}

static void probed(void *ctx, int64_t done, int64_t of) {
    struct run *r = ctx;
    tell_probed(r, r->opts.find_lr ? "measuring the learning rate" : "checking eps", done, of);
}

static void walked(void *ctx, int64_t done, int64_t of) {
    tell_probed(ctx, "trying steps", done, of);
}

static int rise(void *ctx, double size, double *out, struct err *e) {
    struct run *r = ctx;
    struct engine_step at = {.step = r->p.step, .fill = run_fill, .ctx = r, .probed = walked};
    return mezo_walk(&r->engine, &at, size, WALK_DIRECTIONS, out, e);
}

/* The rates for a measured step: of what is no matrix, and the factor of matrices. */
static void take_step(struct run *r, const struct zo_measure *m, const struct zo_shape *shape,
                      double step) {
    struct engine_opts *eo = &r->opts.engine_opts;
    struct opt_rule *matrix = eo->hyper.of + ROLE_matrix;
    const struct opt_rule *rules[] = {eo->hyper.of + ROLE_norm, matrix};
    double rate[2];
    for (int i = 0; i < 2; i++)
        rate[i] = rules[i]->kind->normalises
                      ? step * sqrt((double)eo->estimator->directions(shape))
                      : zo_step_rate(m, eo->estimator, shape, step) * (1 - rules[i]->beta1);
    r->opts.lr = rate[0];
    if (r->opts.find_lr_matrix) matrix->lr_factor = rate[1] / rate[0];
    r->engine.opt.hyper.of[ROLE_matrix].lr_factor = matrix->lr_factor;
}

int run_find_rate(struct run *r, struct err *e) {
    struct zo_measure m;
    struct run_opts *o = &r->opts;
    const struct engine_opts *eo = &o->engine_opts;
    const struct zo_kind *k = eo->estimator;
    struct engine_step at = {.step = r->p.step, .fill = run_fill, .ctx = r, .probed = probed};
    if (o->engine->backward) return 0;
    if (eo->repeat) return run_only_repeats(e);
    const int64_t n = o->find_lr ? RATE_DIRECTIONS : 0;
    int rc = 0;
    r->pace = (struct pace){0}; /* of no update */
    tell_probed(r, NULL, 0, 0);
    if (r->pace.rc) goto out;
    TRY(mezo_measure(&r->engine, &at, n, CHECKED_DIRECTIONS, &m, e));
    if (r->pace.rc) goto out;
    const struct zo_shape shape = {
        .directions = eo->directions, .batch = eo->batch, .accum = o->accum, .eps = eo->eps};
    check_eps(r, &m, &shape);
    double step = o->find_lr ? zo_best_step(&m, k, &shape) : 0;
    const struct zo_walk walk = {.rise = rise,
                                 .ctx = r,
                                 .directions = k->directions(&shape),
                                 .steps = run_updates(o, r->batch_flops)};
    TRY(zo_walk_limit(&walk, &step, e));
    if (r->pace.rc) goto out;
    if (step > 0)
        take_step(r, &m, &shape, step);
    else
        o->find_lr = false; /* nothing was measured: the estimator's own rate */
out:
    return run_amid_end(r, rc, e); /* the fault of the data, or of an event */
}
