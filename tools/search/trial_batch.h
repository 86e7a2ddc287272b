/* Trials that are run beside a search: all of a list, some at a time, in its order. */
#ifndef DUET_TRIAL_BATCH_H
#define DUET_TRIAL_BATCH_H

#include "trial.h"

#include <stdbool.h>
#include <stddef.h>

struct trial_batch {
    const struct trial_spec *spec; /* (n); part and parts are set here */
    size_t n;
    unsigned jobs;     /* at a time, at least 1 */
    const char *doing; /* of progress on stderr: "confirming" */
    bool quiet;
    /* Called when number i has ended, in this thread; an error ends the batch. */
    int (*ended)(void *ctx, size_t i, const struct trial_outcome *out, struct err *e);
    void *ctx;
};

/* ERR_STOP: a signal has asked for the end. What was running then, or at an error, has saved and
 * can be gone on with. */
int trial_batch_run(const struct trial_batch *b, struct err *e);

#endif
