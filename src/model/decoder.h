/* The Llama decoder (Touvron et al. 2023, arXiv 2302.13971) and what its relatives and descriptions
 * of our own vary: biases on query, key and value; RMSNorm of every query and key head before RoPE;
 * two bases of RoPE; value embeddings. Shared by the architectures that are this decoder:
 * llama, mistral, qwen2, qwen3. */
#ifndef DUET_DECODER_H
#define DUET_DECODER_H

#include "build.h"

extern const struct part_computes decoder_computes[];
extern const struct part decoder_parts[];
enum { DECODER_PARTS = 18 };

void decoder_build(struct builder *b);

#endif
