/* How long a run goes on. Several budgets may be given: it ends when the first of them is spent,
 * and its schedules follow the largest share.
 *
 *   steps   updates
 *   time    seconds of training
 *   tokens  training tokens, those of short prompts with their filling
 *   epochs  passes over the training split: over its windows at stride T (batch_epoch_rows), or
 *           over the examples of a task. Limit and use are counted in the tokens of those windows,
 *           or in examples, so that shares are quotients of whole numbers
 *   flops   floating point operations of the engine (engine_kind.flops, which `duet plan` prints)
 *
 * An update is begun if no budget is spent yet, and then finished; so all but --time are passed by
 * less than an update. A share of whole numbers is the same double whatever they count: a run of
 * N updates of K tokens follows the same schedule, bit for bit, with --steps N and --tokens N*K. */
#ifndef DUET_BUDGET_H
#define DUET_BUDGET_H

#include "schedule.h"

#include <stdbool.h>

#define BUDGETS(X) X(steps) X(time) X(tokens) X(epochs) X(flops)

enum budget {
#define X(name) BUDGET_##name,
    BUDGETS(X)
#undef X
        N_BUDGETS
};

const char *budget_name(enum budget b); /* of its option */

/* What may be used (0: no limit), or has been, of each. */
struct budget_use {
    double of[N_BUDGETS];
};

/* What a micro-batch uses, of a run whose micro-batches are all alike. */
struct budget_unit {
    double tokens;
    double epoch; /* of what an epoch counts, see above: tokens or examples */
    double flops;
};

/* What was asked for, epochs as such, as limits. epoch: tokens or examples of an epoch, 0 if not
 * known yet (epochs then are no limit). */
struct budget_use budget_limits(const struct budget_use *asked, double epoch);

/* The largest share of a limit that is used: 0 to 1, and 1 only if a limit is reached. */
double budget_share(const struct budget_use *limit, const struct budget_use *used);

/* Is this one reached? */
bool budget_spent(const struct budget_use *limit, const struct budget_use *used, enum budget b);

/* Updates that the limits but --time allow, from the start: *flops what they compute (may be NULL).
 * 0: none of them limits the run, or it would take more than 10^7 updates of a growing number of
 * micro-batches to find out (*flops is not known then). */
int64_t budget_updates(const struct budget_use *limit, const struct budget_unit *u, int64_t accum,
                       int64_t accum_end, double *flops);

#endif
