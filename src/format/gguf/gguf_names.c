/* Types of tensors: one table for reading and writing. Their names are the architecture's. */
#include "gguf.h"

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

int gguf_heads(const struct part_table *t, const struct part *p, int q, int k) {
    return t->gguf_pairs ? part_heads(p, q, k) : 0;
}

struct part_sizes gguf_sizes(const struct gguf_dims *d) {
    struct part_sizes s = {.side = {[SIDE_VOCAB] = d->vocab,
                                    [SIDE_DIM] = d->embd,
                                    [SIDE_Q] = (uint64_t)d->heads * d->head_dim,
                                    [SIDE_KV] = (uint64_t)d->kv_heads * d->head_dim,
                                    [SIDE_HIDDEN] = d->ffn,
                                    [SIDE_HEAD] = d->head_dim},
                           .heads = (int)d->heads,
                           .kv_heads = (int)d->kv_heads};
    memcpy(s.has, d->has, sizeof s.has);
    return s;
}
