/* Keys of a config.json that change what a model computes, and that duet does not compute: from
 * transformers' configuration_*.py and modeling_*.py (4.40 to 5.24) of decoders like Llama, and
 * what other programs write. Each stands in one table with the values that change nothing; a key
 * with another value is refused by name.
 *
 * A second list has keys that change no logit: dropout of every kind, initializer_*, pretraining_tp
 * (the same sums in another order), max_window_layers (read with use_sliding_window),
 * num_nextn_predict_layers (further heads, whose tensors are refused), what means nothing without
 * experts, ids of tokens, how to generate, names. A key that is in neither is passed over, and
 * every command that computes or converts says so. */
#ifndef DUET_CONFIG_REFUSE_H
#define DUET_CONFIG_REFUSE_H

#include "config.h"

/* c: read and checked. */
int config_refuse(const struct model_config *c, const char *name, struct err *e);

/* A key of the table: `--set KEY=null` passes it over. */
bool config_refuse_knows(const char *key);

/* The sliding window of the model: sequences of up to so many tokens are computed as it means them,
 * longer ones are not. 0: it has none. A description with a context beyond it is refused. */
int64_t config_window(const struct model_config *c);

/* ERR_INPUT for sequences of so many tokens that are longer than that. Asked wherever a length is
 * chosen. */
int config_check_length(const struct model_config *c, int64_t tokens, const char *name,
                        struct err *e);

/* Names of the keys that nothing of duet knows, in quotes, as many as fit; how many there are. */
size_t config_unknown(json_t *config, char *text, size_t size);
/* The sentence that tells them; false: there are none. 600 bytes are enough. */
bool config_unknown_note(json_t *config, char *text, size_t size);

#endif
