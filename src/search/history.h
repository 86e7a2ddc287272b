/* What a strategy sees of a search: its jobs in the order in which they were proposed. A job trains
 * a new configuration, or goes on with one (halving). Which results are shown is the caller's
 * choice; those of later jobs, or of jobs that have not ended, are pending, so that what a strategy
 * proposes does not depend on which process ends first. */
#ifndef DUET_HISTORY_H
#define DUET_HISTORY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* How a trial can end; the words of the ledger. refused: by the memory plan or a limit, never
 * started; nan: diverged, or a value that is no number; time: over its limit; killed: by somebody
 * else. */
#define SEARCH_STATUSES(X) X(ok) X(refused) X(crash) X(memory) X(nan) X(time) X(killed)
enum trial_status {
    TRIAL_pending,
#define X(name) TRIAL_##name,
    SEARCH_STATUSES(X)
#undef X
};

enum trial_decision { DECISION_none, DECISION_keep, DECISION_discard };

struct trial {
    int64_t trial;   /* number of its configuration: 0, 1, ... in order of first proposal */
    int rung;        /* 0, or how far halving has taken it */
    double share;    /* of the budget at which value was measured, in (0, 1] */
    const double *u; /* the configuration's point, as space_point gives it; borrowed */
    const json_t *config; /* as it was proposed, which of one by hand may be more than its point
                           * says; borrowed. NULL: that of u */
    enum trial_status status;
    double value; /* lower is better; only with TRIAL_ok. Of several seeds: that of the first, since
                   * strategies replay it and it must not change */
    enum trial_decision decision; /* of the gate, about the trial */
};

struct history {
    const struct trial *trial; /* one a job */
    size_t n;
};

#endif
