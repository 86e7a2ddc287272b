/* What a model says after each token of a sequence. */
#ifndef DUET_LOGITS_H
#define DUET_LOGITS_H

#include "machine.h"
#include "model.h"

/* Logits (vocabulary) after each of n ids, in order, through emit. Token by token through the
 * key/value cache: those of one position are all that is held. */
int model_logits(struct model *m, const struct machine *machine, const uint32_t *ids, int64_t n,
                 void (*emit)(void *ctx, const float *logits, int64_t vocab), void *ctx,
                 struct err *e);

#endif
