/* GGUF: one number of a valid file by another one. Those that are odd are such that the product or
 * sum that the broken loader computed wraps around to something small. */
#include "gguf.h"

#include <stddef.h>

enum kind { VERSION, N_PAIRS, N_TENSORS, PAIR, TYPE };

static const struct {
    enum kind kind;
    const char *name, *label, *key;
    uint64_t value;
} numbers[] = {
    {VERSION, "version-0", "version 0", NULL, 0},
    {VERSION, "version-1", "version 1", NULL, 1},
    {VERSION, "version-4", "version 4", NULL, 4},
    {VERSION, "big-endian", "a big-endian file", NULL, 0x03000000},
    {N_PAIRS, "cve-2024-23605-48", "CVE-2024-23605: n_kv x 48 wraps", NULL, UINT64_MAX / 48 + 2},
    {N_PAIRS, "cve-2024-23605-64", "CVE-2024-23605: n_kv x 64 wraps", NULL, UINT64_MAX / 64 + 2},
    {N_PAIRS, "llama-27188-kv", "llama.cpp PR 27188: 2^63 keys", NULL, (uint64_t)1 << 63},
    {N_PAIRS, "kv-negative", "-1 keys", NULL, UINT64_MAX},
    {N_PAIRS, "kv-1e9", "1e9 keys", NULL, 1000000000},
    {N_TENSORS, "cve-2024-21836", "CVE-2024-21836: n_tensors x sizeof wraps", NULL,
     UINT64_MAX / 88 + 2},
    {N_TENSORS, "llama-15711", "llama.cpp issue 15711: n_tensors x overhead wraps", NULL,
     UINT64_MAX / 368 + 2},
    {N_TENSORS, "llama-27188-tensors", "llama.cpp PR 27188: 2^63 tensors", NULL, (uint64_t)1 << 63},
    {N_TENSORS, "tensors-negative", "-1 tensors", NULL, UINT64_MAX},
    {N_TENSORS, "tensors-1e9", "1e9 tensors", NULL, 1000000000},
    {N_TENSORS, "tensors-none", "no tensors, but their infos and data", NULL, 0},
    {PAIR, "arch-number", "an architecture that is a number", "general.architecture", 7},
    {PAIR, "gguf-tools-28-align", "gguf-tools PR 28: alignment 0", "general.alignment", 0},
    {PAIR, "align-24", "alignment 24", "general.alignment", 24},
    {PAIR, "ggml-1516-align", "ggml PR 1516: alignment 2^30", "general.alignment", 1u << 30},
    {PAIR, "v-01", "oss-security 2026 V-01: alignment 2^31", "general.alignment", 1u << 31},
    {PAIR, "align-max", "alignment 2^32 - 1", "general.alignment", UINT32_MAX},
    {PAIR, "blocks-max", "2^32 - 1 blocks", "llama.block_count", UINT32_MAX},
    {PAIR, "blocks-0", "no blocks", "llama.block_count", 0},
    {PAIR, "heads-0", "no heads", "llama.attention.head_count", 0},
    {PAIR, "heads-3", "3 heads in a width of 8", "llama.attention.head_count", 3},
    {PAIR, "kv-heads-0", "no key heads", "llama.attention.head_count_kv", 0},
    {PAIR, "kv-heads-huge", "2^31 key heads", "llama.attention.head_count_kv", 1u << 31},
    {PAIR, "rope-3", "rotary dimensions other than the head's", "llama.rope.dimension_count", 3},
    {PAIR, "width-0", "width 0", "llama.embedding_length", 0},
    {PAIR, "width-huge", "width 2^32 - 8", "llama.embedding_length", UINT32_MAX - 7},
    {PAIR, "hidden-huge", "hidden size 2^31", "llama.feed_forward_length", 1u << 31},
    {PAIR, "context-0", "context 0", "llama.context_length", 0},
    {PAIR, "experts", "experts, which duet does not compute", "llama.expert_count", 8},
    {PAIR, "vocab-rows", "a vocabulary of one row less", "llama.vocab_size", VOCAB - 1},
    {TYPE, "llama-19856-tensor", "llama.cpp PR 19856: tensor type -1", NULL, UINT32_MAX},
    {TYPE, "tensor-type", "tensor type 9999", NULL, 9999},
    {TYPE, "tensor-type-removed", "a tensor type of size 0", NULL, 4},
    {TYPE, "tensor-type-i32", "a weight of type I32", NULL, 26},
    {TYPE, "half-block", "rows of a quarter block of Q8_0", NULL, 8},
    {TYPE, "half-superblock", "rows of a part of a block of Q4_K", NULL, 12},
};

void make_gguf_numbers(void) {
    static struct gguf g;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const uint64_t v = numbers[i].value;
        gguf_valid(&g, false);
        switch (numbers[i].kind) {
        case VERSION: g.version = (uint32_t)v; break;
        case N_PAIRS: g.extra_kv = v - (uint64_t)g.n_kv; break;
        case N_TENSORS: g.extra_tensors = v - (uint64_t)g.n_t; break;
        case PAIR: kv_u32(&g, numbers[i].key, (uint32_t)v); break;
        case TYPE: tensor(&g, "blk.0.attn_q.weight")->type = (uint32_t)v; break;
        }
        gguf_emit(NO_MODEL, numbers[i].name, &g, numbers[i].label);
    }
}
