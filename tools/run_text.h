/* The text that a run validates on, from what its folder holds. */
#ifndef DUET_RUN_TEXT_H
#define DUET_RUN_TEXT_H

#include "docs.h"
#include "record.h"
#include "tokenizer.h"

/* Its tokens, decoded: of val.shard, else the part of tokens.shard (or of the shard that the run
 * was given) that is kept for validation; t is the run's tokenizer. seq: tokens of its windows, as
 * training split by. ERR_INPUT says why there is none: a task, headerless tokens, a shard that is
 * not where it was. */
int run_text(const struct record *r, const struct tokenizer *t, struct pool *pool, int64_t seq,
             struct docs *d, struct err *e);

/* The shard that these tokens are in (malloc()ed), and the share of it that is kept for validation;
 * 1: all of it. ERR_INPUT as above. */
int run_val_shard(const struct record *r, char **path, double *share, struct err *e);

#endif
