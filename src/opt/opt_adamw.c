/* AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101. */
#include "opt.h"

#include <math.h>

static void tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n) {
    const struct kern_adamw k = {.lr = p->lr,
                                 .b1 = p->beta1,
                                 .b2 = p->beta2,
                                 .eps = p->eps,
                                 .wd = p->decay,
                                 .c1 = (float)(1 - pow((double)p->beta1, (double)p->t)),
                                 .c2 = (float)(1 - pow((double)p->beta2, (double)p->t)),
                                 .gscale = p->grad_scale};
    p->kern->adamw(w, g, state[0], state[1], &k, n);
}

const struct opt_kind opt_adamw = {.name = "adamw",
                                   .help = "AdamW, two floats of state a parameter",
                                   .n_state = 2,
                                   .eps = true,
                                   .normalises = true,
                                   .state = {"m", "v"},
                                   .lr = 1e-3,
                                   .beta1 = 0.9,
                                   .beta2 = 0.95,
                                   .tile = tile};
