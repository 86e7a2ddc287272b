/* The learning rate of a MeZO run, measured before its first update, and what eps and rate that
 * were given look like there. */
#include "trainer_impl.h"

#include <math.h>

enum { RATE_DIRECTIONS = 12, CHECKED_DIRECTIONS = 2, WALK_DIRECTIONS = 4 };

/* In nats, a hundred times what a measured rate may gain. */
static const double LARGE_CHANGE = 0.2;

/* A rate that was given; normalised differences make steps of lr / eps, whatever the losses say. */
static void check_rate(struct trainer *t, const struct zo_measure *m,
                       const struct zo_shape *shape) {
    const struct train_setup *s = &t->setup;
    const double change = zo_update_change(m, s->estimator, shape, s->lr);
    if (s->find_lr || s->optimizer->normalises || !(change > LARGE_CHANGE)) return;
    log_warn(&t->line,
             "warning: with eps %g, learning rate %g is a step that would change the loss by about "
             "%.2g at the first update, were it linear; duet audit finds an eps and a rate",
             s->eps, s->lr, change);
}

/* Coefficients that are rounding only look like a run: its loss walks off at random. */
static void check_eps(struct trainer *t, const struct zo_measure *m, const struct zo_shape *shape) {
    const double eps = t->setup.eps, error = zo_measure_error(m),
                 rounding = zo_measure_rounding(m, eps);
    if (!isfinite(m->coef2)) return; /* no eps is at fault: the first update names the weight */
    if (isinf(error))
        log_warn(&t->line,
                 "warning: eps %g changes no loss of the first batch: every coefficient is 0 "
                 "there, and rounding decides what is learned, if anything; duet audit finds an "
                 "eps that works",
                 eps);
    else if (trainer_counts_errors(t))
        return;
    else if (rounding > 0.1)
        log_warn(&t->line,
                 "warning: eps %g is too small: of the differences it makes in the losses about "
                 "%.0f %% is rounding, so rounding decides what is learned; duet audit finds an "
                 "eps that works",
                 eps, 100 * fmin(1, rounding));
    else if (error > 0.5)
        log_warn(&t->line,
                 "warning: eps %g is no good: the coefficients of twice that eps are off by %.0f "
                 "%%, so they are mostly rounding (eps too small) or curvature (too large); duet "
                 "audit finds one that works",
                 eps, 100 * error);
    else if (t->setup.find_lr && zo_curvature_hidden(m, eps))
        log_warn(&t->line,
                 "warning: eps %g is too small to measure a learning rate with: rounding hides the "
                 "curvature, and the rate may be practically 0; give --lr, or an eps that duet "
                 "audit finds",
                 eps);
    else
        check_rate(t, m, shape);
}

static void show_probed(void *ctx, int64_t done, int64_t of) {
    struct trainer *t = ctx;
    log_bar(&t->line, t->setup.find_lr ? "measuring the learning rate" : "checking eps",
            (uint64_t)done, (uint64_t)of, "directions");
}

static void show_walked(void *ctx, int64_t done, int64_t of) {
    struct trainer *t = ctx;
    log_bar(&t->line, "trying steps", (uint64_t)done, (uint64_t)of, "directions");
}

static int rise(void *ctx, double size, double *out, struct err *e) {
    struct trainer *t = ctx;
    struct engine_step at = {
        .step = t->p.step, .fill = trainer_fill, .ctx = t, .probed = show_walked};
    return mezo_walk(&t->engine, &at, size, WALK_DIRECTIONS, out, e);
}

int trainer_find_rate(struct trainer *t, struct err *e) {
    struct zo_measure m;
    struct train_setup *s = &t->setup;
    struct engine_step at = {
        .step = t->p.step, .fill = trainer_fill, .ctx = t, .probed = show_probed};
    if (!s->estimator || (t->resumed && !s->find_lr)) return 0;
    const int64_t n = s->find_lr ? RATE_DIRECTIONS : 0;
    int rc;
    log_begin(&t->line);
    TRY(mezo_measure(&t->engine, &at, n, CHECKED_DIRECTIONS, &m, e));
    const struct zo_shape shape = {.directions = s->directions,
                                   .batch = t->opts->batch,
                                   .accum = t->opts->accum,
                                   .eps = s->eps};
    check_eps(t, &m, &shape);
    double step = s->find_lr ? zo_best_step(&m, s->estimator, &shape) : 0;
    const struct zo_walk walk = {.rise = rise,
                                 .ctx = t,
                                 .directions = s->estimator->directions(&shape),
                                 .steps = trainer_updates(t)};
    TRY(zo_walk_limit(&walk, &step, e));
    if (step > 0)
        train_take_step(s, &m, &shape, step);
    else
        s->find_lr = false; /* nothing was measured: the estimator's own rate */
    t->opts->lr = s->lr;
    t->opts->lr_matrix = t->engine.opt.hyper.of[ROLE_matrix].lr_factor =
        s->hyper.of[ROLE_matrix].lr_factor;
out:
    return rc;
}
