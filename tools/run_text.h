/* The texts that a run validates on, and that it keeps for the test, from what its folder holds. */
#ifndef DUET_RUN_TEXT_H
#define DUET_RUN_TEXT_H

#include "docs.h"
#include "record.h"
#include "tokenizer.h"

/* Which of them, as `duet eval` calls it. */
enum run_part { RUN_VAL, RUN_TEST };

/* The part's tokens, decoded: of val.shard, else of tokens.shard (or of the shard that the run was
 * given); t is the run's tokenizer. seq: tokens of its windows, as training split by. ERR_INPUT
 * says why there is none: a task, headerless tokens, a shard that is not where it was, a run that
 * keeps nothing for the test. */
int run_text(const struct record *r, enum run_part part, const struct tokenizer *t,
             struct pool *pool, int64_t seq, struct docs *d, struct err *e);

/* The shard that these tokens are in (malloc()ed), and how it is cut (splits_make). *whole: it is
 * not, as all of it is the part. ERR_INPUT as above. */
struct run_shard {
    char *path;
    bool whole;
    double val_fraction, test_fraction;
};
int run_shard_find(const struct record *r, enum run_part part, struct run_shard *s, struct err *e);

#endif
