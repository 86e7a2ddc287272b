/* A model's description: Hugging Face config.json keys, and under "duet" what those lack.
 *
 * The JSON object is the truth and is kept whole (keys that duet does not use survive a round
 * trip; those of the rotary embedding are brought to one form, rope_keys.h); struct model_config is
 * its checked reading. `--set key=value` changes the object first. */
#ifndef DUET_CONFIG_H
#define DUET_CONFIG_H

#include "conf.h"
#include "err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define INITS(X) X(fan_in) X(normal) X(compat)

struct model_config {
    json_t *json;  /* owned */
    char arch[32]; /* model_type: a row of arch.h */
    int64_t dim, hidden, layers, heads, kv_heads, head_dim, vocab, max_pos;
    int64_t window; /* "sliding_window", refused where it acts (config_refuse.h); <= 0: none */
    double eps, theta;
    bool tied, attention_bias, qk_norm;
    double local_theta;   /* base of the rotary embedding of local layers; 0: there are none */
    int64_t global_every; /* of so many layers the last is not local */
    bool value_embeds;    /* tables of token embeddings that are added to values (decoder.h) */
    double *rope_factors; /* head_dim/2 divisors of rotary frequencies (rope.h), or NULL; owned */
    /* "duet" */
    int64_t seq_len;       /* sequence length for training, default min(max_pos, 256) */
    double residual_scale; /* x += residual_scale * branch; default 1 */
    double softcap;        /* logits become cap tanh(logit/cap); 0: off */
    double init_std;       /* "initializer_range": std of `normal` and of embeddings */
    char init[16];         /* one of INITS */
    char *assumed; /* what the file does not say and is taken to be, a sentence for people, or NULL;
                    * owned. From duet.assumed, a list of keys, without those of --set, and
                    * duet.left_out; json has neither. */
};

/* From a JSON text. name is for messages. sets may be NULL. */
int model_config_parse(struct model_config *c, const char *text, size_t bytes, const char *name,
                       const struct conf_pairs *sets, struct err *e);
int model_config_read(struct model_config *c, const char *path, const struct conf_pairs *sets,
                      struct err *e);
/* Positions that the model is made for: max_position_embeddings, or the length it was trained at if
 * that is more. */
int64_t model_config_context(const struct model_config *c);
/* Is it a key that model_config reads? */
bool model_config_reads(const char *key);
/* Is it one that `--set` takes? */
bool model_config_settable(const char *key);
/* *set: what `--set` on the description `base` (JSON text, of the file name) makes c of it, as
 * {"key": value, ...}, null for "as if it were not said"; NULL: nothing. For the caller to decref.
 * Only what changes logits: not seq_len and how weights begin. A rope_scaling that differs, which
 * cannot be said so, is refused. */
int model_config_changes(const struct model_config *c, const char *base, const char *name,
                         json_t **set, struct err *e);
/* Are two values the same, as 10000 and 10000.0 are? */
bool model_config_same_value(const json_t *a, const json_t *b);
/* Compact JSON text of c->json, malloc()ed. */
char *model_config_dump(const struct model_config *c);
void model_config_release(struct model_config *c);

#endif
