/* Qwen3 (Yang et al. 2025, arXiv 2505.09388): RMSNorm of every query and key head. */
#include "arch.h"
#include "decoder.h"

static const struct part_default defaults[] = {{"duet.qk_norm", "true"}, {NULL, NULL}};

extern const struct arch arch_qwen3;
const struct arch arch_qwen3 = {
    .parts = {.name = "qwen3",
              .hf_class = "Qwen3ForCausalLM",
              .gguf = "qwen3",
              .defaults = defaults,
              .computes = decoder_computes,
              .part = decoder_parts,
              .n = DECODER_PARTS},
    .window = WINDOW_ASKED,
    .build = decoder_build,
};
