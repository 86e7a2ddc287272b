/* Whoever runs `duet experiment`: a person, or a program. The search measures the base and its
 * noise floor, and waits for them. */
#include "strategy.h"

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    (void)ask, (void)e;
    p->what = PROPOSE_END;
    return 0;
}

const struct strategy strategy_hand = {
    .name = SEARCH_HAND,
    .help = "none: duet experiment does",
    .propose = propose,
};
