/* Stochastic gradient descent, decoupled decay: w -= lr (g + wd w). */
#include "opt.h"

static void tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n) {
    (void)state;
    if (p->decay > 0) p->kern->scale(w, 1 - p->lr * p->decay, n);
    p->kern->axpy(w, -p->lr * p->grad_scale, g, n);
}

const struct opt_kind opt_sgd = {
    .name = "sgd", .help = "plain gradient descent, no state", .lr = 1e-2, .tile = tile};
