/* Scrambled quasi-random points: as random, but evener. */
#include "sobol.h"
#include "strategy.h"

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    (void)e;
    for (size_t i = 0; i < ask->space->n; i++)
        p->u[i] = sobol_scrambled((uint32_t)p->trial, i, ask->seed);
    return 0;
}

const struct strategy strategy_sobol = {
    .name = "sobol",
    .help = "a scrambled Sobol sequence: evener than random",
    .propose = propose,
};

_Static_assert((int)SOBOL_MAX >= (int)SPACE_MAX_AXES, "a dimension for each axis");
