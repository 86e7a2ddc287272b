/* Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv 2407.10671): biases on query, key and value. */
#include "arch.h"
#include "decoder.h"

static const struct part_default defaults[] = {{"attention_bias", "true"}, {NULL, NULL}};

extern const struct arch arch_qwen2;
const struct arch arch_qwen2 = {
    .parts = {.name = "qwen2",
              .hf_class = "Qwen2ForCausalLM",
              .gguf = "qwen2",
              .hf_own_bias = true,
              .defaults = defaults,
              .computes = decoder_computes,
              .part = decoder_parts,
              .n = DECODER_PARTS},
    .window = WINDOW_ASKED,
    .build = decoder_build,
};
