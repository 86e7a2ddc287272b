/* Gradient descent with heavy-ball momentum (Polyak 1964), decoupled decay:
 *   m = beta1 m + g;  w -= lr (m + wd w) */
#include "opt.h"

static void tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n) {
    p->kern->scale(state[0], p->beta1, n);
    p->kern->axpy(state[0], p->grad_scale, g, n);
    if (p->decay > 0) p->kern->scale(w, 1 - p->lr * p->decay, n);
    p->kern->axpy(w, -p->lr, state[0], n);
}

const struct opt_kind opt_momentum = {.name = "momentum",
                                      .help =
                                          "gradient descent with momentum, one float of state a "
                                          "parameter",
                                      .n_state = 1,
                                      .state = {"m"},
                                      .lr = 1e-3,
                                      .beta1 = 0.9,
                                      .tile = tile};
