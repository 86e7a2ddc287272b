/* Gradient descent with heavy-ball momentum (Polyak 1964), decoupled decay:
 *   m = beta1 m + g;  w -= lr (m + wd w) */
#include "opt.h"

static void tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n) {
    const struct kern_momentum k = {.lr = p->lr,
                                    .b1 = p->beta1,
                                    .keep = p->decay > 0 ? 1 - p->lr * p->decay : 1,
                                    .gscale = p->grad_scale};
    p->kern->momentum(w, g, state[0], &k, n);
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
