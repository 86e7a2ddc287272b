/* Mistral 7B (Jiang et al. 2023, arXiv 2310.06825): Llama within its window. */
#include "arch.h"
#include "decoder.h"

extern const struct arch arch_mistral;
const struct arch arch_mistral = {
    .parts = {.name = "mistral",
              .hf_class = "MistralForCausalLM",
              .gguf = "llama",
              .gguf_pairs = true,
              .gguf_bias = true,
              .hf_own_bias = true,
              .hf_window = 4096,
              .computes = decoder_computes,
              .part = decoder_parts,
              .n = DECODER_PARTS},
    .window = WINDOW_ALWAYS,
    .build = decoder_build,
};
