/* Stochastic gradient descent, decoupled decay: w -= lr (g + wd w). */
#include "opt.h"

static void step(const struct opt_tile *p, struct kern_sgd *to) {
    to->keep = p->decay > 0 ? 1 - p->lr * p->decay : 1;
    to->by = -p->lr * p->grad_scale;
}

const struct opt_kind opt_sgd = {
    .name = "sgd", .help = "plain gradient descent, no state", .lr = 1e-2, .step = step};
