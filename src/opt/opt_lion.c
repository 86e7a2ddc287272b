/* Lion: Chen et al. 2023, arXiv 2302.06675. */
#include "opt.h"

static void tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n) {
    const struct kern_lion k = {
        .lr = p->lr, .b1 = p->beta1, .b2 = p->beta2, .wd = p->decay, .gscale = p->grad_scale};
    p->kern->lion(w, g, state[0], &k, n);
}

const struct opt_kind opt_lion = {.name = "lion",
                                  .help = "Lion, one float of state a parameter",
                                  .n_state = 1,
                                  .normalises = true,
                                  .state = {"m"},
                                  .lr = 2e-4,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .tile = tile};
