/* What a config.json says of the rotary embedding, in whichever place, brought to the one form that
 * everything else reads: "rope_theta", and beside it "rope_scaling" without a base in it.
 *
 * transformers 4 writes that form. transformers 5 writes an object "rope_parameters" with the base
 * in it, and reads "rope_scaling" as another name of it (modeling_rope_utils.py,
 * convert_rope_params_to_dict); other programs write a base into rope_scaling. Where a base stands
 * inside and another outside, the inner counts, as in transformers 5 and llama.cpp. Two objects
 * that say different things are refused, since these two readers choose differently.
 *
 * Scaling that is none, of whichever type (a factor of 1), is taken away: the config then says what
 * is computed.
 *
 * A rope_parameters without a type is of type default. One object for every kind of layer
 * ("full_attention", ...) is refused: no architecture of duet has that in transformers. */
#ifndef DUET_ROPE_KEYS_H
#define DUET_ROPE_KEYS_H

#include "err.h"
#include <jansson.h>

/* Changes config, an object; on failure it is as it was. name is for messages. */
int rope_keys_flatten(json_t *config, const char *name, struct err *e);

#endif
