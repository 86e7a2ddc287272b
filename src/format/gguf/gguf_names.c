/* Names, shapes and types of tensors: one table for reading and writing. */
#include "gguf.h"

#include <stdio.h>

const struct gguf_part gguf_parts[] = {
    {"token_embd.weight", "model.embed_tokens.weight", false, GD_VOCAB, GD_EMBD, GU_ALWAYS, NULL},
#define LAYER(gguf, hf, rows, cols, use, target)                                                   \
    { gguf, hf, true, rows, cols, use, target }
    LAYER("attn_norm.weight", "input_layernorm.weight", GD_EMBD, GD_NONE, GU_ALWAYS, NULL),
    LAYER("attn_q.weight", "self_attn.q_proj.weight", GD_Q, GD_EMBD, GU_ALWAYS, "q"),
    LAYER("attn_q.bias", "self_attn.q_proj.bias", GD_Q, GD_NONE, GU_BIAS, NULL),
    LAYER("attn_k.weight", "self_attn.k_proj.weight", GD_KV, GD_EMBD, GU_ALWAYS, "k"),
    LAYER("attn_k.bias", "self_attn.k_proj.bias", GD_KV, GD_NONE, GU_BIAS, NULL),
    LAYER("attn_v.weight", "self_attn.v_proj.weight", GD_KV, GD_EMBD, GU_ALWAYS, "v"),
    LAYER("attn_v.bias", "self_attn.v_proj.bias", GD_KV, GD_NONE, GU_BIAS, NULL),
    LAYER("attn_q_norm.weight", "self_attn.q_norm.weight", GD_HEAD, GD_NONE, GU_QK_NORM, NULL),
    LAYER("attn_k_norm.weight", "self_attn.k_norm.weight", GD_HEAD, GD_NONE, GU_QK_NORM, NULL),
    LAYER("attn_output.weight", "self_attn.o_proj.weight", GD_EMBD, GD_Q, GU_ALWAYS, "o"),
    LAYER("ffn_norm.weight", "post_attention_layernorm.weight", GD_EMBD, GD_NONE, GU_ALWAYS, NULL),
    LAYER("ffn_gate.weight", "mlp.gate_proj.weight", GD_FFN, GD_EMBD, GU_ALWAYS, "gate"),
    LAYER("ffn_up.weight", "mlp.up_proj.weight", GD_FFN, GD_EMBD, GU_ALWAYS, "up"),
    LAYER("ffn_down.weight", "mlp.down_proj.weight", GD_EMBD, GD_FFN, GU_ALWAYS, "down"),
#undef LAYER
    {"output_norm.weight", "model.norm.weight", false, GD_EMBD, GD_NONE, GU_ALWAYS, NULL},
    {"output.weight", "lm_head.weight", false, GD_VOCAB, GD_EMBD, GU_UNTIED, NULL},
};
const size_t gguf_n_parts = sizeof gguf_parts / sizeof *gguf_parts;

/* A number of at most 5 digits as it is printed, and the dot behind it. */
static const char *read_layer(const char *s, uint32_t *layer) {
    const size_t n = strspn(s, "0123456789");
    if (n < 1 || n > 5 || (n > 1 && *s == '0') || s[n] != '.') return NULL;
    *layer = 0;
    for (size_t i = 0; i < n; i++) *layer = *layer * 10 + (uint32_t)(s[i] - '0');
    return s + n + 1;
}

const struct gguf_part *gguf_part_find(const char *name, bool hf, uint32_t *layer) {
    const char *prefix = hf ? "model.layers." : "blk.";
    const bool in_layer = !strncmp(name, prefix, strlen(prefix));
    *layer = 0;
    const char *rest = in_layer ? read_layer(name + strlen(prefix), layer) : name;
    for (size_t i = 0; rest && i < gguf_n_parts; i++)
        if (gguf_parts[i].layer == in_layer &&
            !strcmp(hf ? gguf_parts[i].hf : gguf_parts[i].gguf, rest))
            return gguf_parts + i;
    return NULL;
}

const char *gguf_part_name(char buf[GGUF_HF_NAME], const struct gguf_part *p, bool hf,
                           uint32_t layer) {
    const char *name = hf ? p->hf : p->gguf;
    if (p->layer)
        snprintf(buf, GGUF_HF_NAME, "%s%u.%s", hf ? "model.layers." : "blk.", (unsigned)layer,
                 name);
    else
        snprintf(buf, GGUF_HF_NAME, "%s", name);
    return buf;
}

bool gguf_arch_pairs(const char *arch) {
    return !strcmp(arch, "llama");
}

bool gguf_arch_known(const char *arch) {
    return !strcmp(arch, "llama") || !strcmp(arch, "qwen2") || !strcmp(arch, "qwen3");
}

/* dtype -1: known by name only */
static const struct {
    uint32_t ggml;
    const char *name;
    int dtype;
} types[] = {
    {0, "F32", DT_F32},    {1, "F16", DT_F16},    {30, "BF16", DT_BF16}, {2, "Q4_0", DT_Q4_0},
    {3, "Q4_1", DT_Q4_1},  {6, "Q5_0", DT_Q5_0},  {7, "Q5_1", DT_Q5_1},  {8, "Q8_0", DT_Q8_0},
    {12, "Q4_K", DT_Q4_K}, {13, "Q5_K", DT_Q5_K}, {14, "Q6_K", DT_Q6_K}, {9, "Q8_1", -1},
    {10, "Q2_K", -1},      {11, "Q3_K", -1},      {15, "Q8_K", -1},      {16, "IQ2_XXS", -1},
    {17, "IQ2_XS", -1},    {18, "IQ3_XXS", -1},   {19, "IQ1_S", -1},     {20, "IQ4_NL", -1},
    {21, "IQ3_S", -1},     {22, "IQ2_S", -1},     {23, "IQ4_XS", -1},    {24, "I8", -1},
    {25, "I16", -1},       {26, "I32", -1},       {27, "I64", -1},       {28, "F64", -1},
    {29, "IQ1_M", -1},     {34, "TQ1_0", -1},     {35, "TQ2_0", -1},     {39, "MXFP4", -1},
};
enum { N_TYPES = sizeof types / sizeof *types };

int gguf_ggml_type(enum dtype t) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].dtype == (int)t) return (int)types[i].ggml;
    return -1;
}

int gguf_dtype(uint32_t ggml) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].ggml == ggml) return types[i].dtype;
    return -1;
}

const char *gguf_ggml_name(uint32_t ggml) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].ggml == ggml) return types[i].name;
    return NULL;
}

int gguf_pair_heads(const struct gguf_part *p, const char *arch, int heads, int kv_heads) {
    if (!gguf_arch_pairs(arch)) return 0;
    return !strncmp(p->gguf, "attn_q.", 7) ? heads : !strncmp(p->gguf, "attn_k.", 7) ? kv_heads : 0;
}
