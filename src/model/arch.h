/* Architectures: model_type names and how their blocks differ.
 *
 * Adding one: a row here if it is a variation of the Llama decoder, else x.c with a build function.
 *                      attention_bias  qk_norm */
#ifndef DUET_ARCH_H
#define DUET_ARCH_H

#include "config.h"
#include "graph.h"

#define ARCHS(X)                                                                                   \
    X(llama, false, false)                                                                         \
    X(mistral, false, false)                                                                       \
    X(qwen2, true, false)                                                                          \
    X(qwen3, false, true)
#define ARCH_WORDS "llama, mistral, qwen2, qwen3"

struct arch {
    const char *name;
    bool attention_bias; /* default: biases on q, k, v */
    bool qk_norm;        /* default: RMSNorm of every query and key head before RoPE */
    /* Fills g->values and g->nodes, and the parameter table: params holds arch_params() entries.
     * Without memory g->failed. */
    void (*build)(const struct model_config *c, struct graph *g, struct param *params);
};

const struct arch *arch_find(const char *name); /* or NULL */

/* Number of parameters (tensors) of the decoder. */
int arch_params(const struct model_config *c);

/* The Llama decoder family (Touvron et al. 2023, arXiv 2302.13971). */
void arch_build_decoder(const struct model_config *c, struct graph *g, struct param *params);

#endif
