/* Keys of a config.json that change what a model computes, and that duet does not compute: read from
 * transformers' configuration_*.py and modeling_*.py (4.40 to 5.24) of decoders like Llama, and from
 * what other programs write. Each stands in one table with the values that change nothing; a key with
 * another value is refused by name. A key that is in no table is passed over.
 *
 * Not in the table, because they change no logit: dropout of every kind, initializer_*, pretraining_tp
 * (the same sums in another order), use_cache, torch_dtype, max_window_layers (read with
 * use_sliding_window), num_nextn_predict_layers and its kind (further heads, whose tensors are
 * refused), num_experts_per_tok and others that mean nothing without experts, ids of tokens,
 * architectures and auto_map (names). */
#ifndef DUET_CONFIG_REFUSE_H
#define DUET_CONFIG_REFUSE_H

#include "config.h"

/* c: read and checked. */
int config_refuse(const struct model_config *c, const char *name, struct err *e);

/* A key of the table: `--set KEY=null` passes it over. */
bool config_refuse_knows(const char *key);

#endif
