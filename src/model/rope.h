/* Frequencies of the rotary embedding: pair i of a head turns by theta^(-2i / head_dim) / factor_i
 * a position. Scaling for longer contexts is a list of such factors.
 *
 * Read from Hugging Face's "rope_scaling", as rope_keys.h leaves it, types
 *   default  factors 1
 *   linear   factor for every pair (Chen et al. 2023, arXiv 2306.15595)
 *   llama3   1 for wavelengths below original/high_freq_factor, `factor` above
 *            original/low_freq_factor, in between by interpolation of the frequency (Llama 3.1;
 *            transformers' modeling_rope_utils.py)
 * or from "duet.rope_factors", a list of head_dim/2 numbers, which says the same as a GGUF's tensor
 * rope_freqs.weight and goes before the others. */
#ifndef DUET_ROPE_H
#define DUET_ROPE_H

#include "err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* *factors: head_dim/2 numbers, malloc()ed, or NULL if all are 1. name is for messages. */
int rope_factors(const json_t *config, double theta, int64_t head_dim, const char *name,
                 double **factors, struct err *e);

/* The "rope_scaling" of type llama3 that gives these factors, each to within 1e-6, or NULL if no
 * usual one does. A new object. */
json_t *rope_find_llama3(const double *factors, double theta, int64_t head_dim);

#endif
