/* Llama, and what calls itself one (SmolLM2, TinyLlama, ...). */
#include "arch.h"
#include "decoder.h"

extern const struct arch arch_llama;
const struct arch arch_llama = {
    .parts = {.name = "llama",
              .hf_class = "LlamaForCausalLM",
              .gguf = "llama",
              .gguf_pairs = true,
              .gguf_bias = true,
              .computes = decoder_computes,
              .part = decoder_parts,
              .n = DECODER_PARTS},
    .build = decoder_build,
};
