/* -log p of the tokens of sequences, one after another.
 *
 *   struct scorer s;
 *   TRY(scorer_open(&s, &m, &gemm, most, e));
 *   TRY(scorer_run(&s, ids, n, nll, e));       any number of times
 *   scorer_close(&s);
 *
 * A sequence is read in pieces through the key/value cache, so memory is that of one piece and of
 * the keys and values of `most` tokens. A result depends on the sequence alone: not on most, on
 * other sequences or on threads. */
#ifndef DUET_SCORE_H
#define DUET_SCORE_H

#include "exec.h"
#include "machine.h"
#include "model.h"

struct scorer {
    struct model *m;
    struct exec x;
    int64_t most;
};

/* most: so many ids are read at most (n - 1 of a sequence of n), 1 or more. */
int scorer_open(struct scorer *s, struct model *m, const struct machine *machine, int64_t most,
                struct err *e);

/* nll[i], i < n-1: -log p(ids[i+1] given ids[0..i]) in nats. n is 2 to most + 1, ids are below the
 * vocabulary. ERR_NUMERIC: a loss is not finite. */
int scorer_run(struct scorer *s, const uint32_t *ids, int64_t n, float *nll, struct err *e);

void scorer_close(struct scorer *s); /* accepts all zeros */

#endif
