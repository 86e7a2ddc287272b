/* Every coordinate uniform: what all else must be better than (Bergstra & Bengio, Random search for
 * hyper-parameter optimization, 2012). */
#include "strategy.h"

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    (void)e;
    struct rng r = strategy_rng(ask, (uint64_t)p->trial);
    for (size_t i = 0; i < ask->space->n; i++) p->u[i] = strategy_uniform(&r);
    return 0;
}

const struct strategy strategy_random = {
    .name = "random",
    .help = "every axis at random",
    .draws = true,
    .propose = propose,
};
