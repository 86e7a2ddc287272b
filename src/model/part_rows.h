/* Rows of a table of parts (part.h) that Llama's relatives share: embedding, norms, attention, the
 * matrices of an MLP, classifier. A table is
 *
 *     static const struct part parts[] = {ROW_EMBED, ROW_ATT_NORM, ROW_Q, ..., [OWN] = {...}};
 *
 * where an enum of its file has the names of the rows, in the order of the forward pass. */
#ifndef DUET_PART_ROWS_H
#define DUET_PART_ROWS_H

#define HF "model.layers.*."
#define BLK "blk.*."
#define ATT "attention matrices"
#define MLP "MLP matrices"

#define ROW_EMBED                                 \
    [EMBED] = {.hf = "model.embed_tokens.weight", \
        .gguf = "token_embd.weight",              \
        .kind = PART_EMBED,                       \
        .role = ROLE_embed,                       \
        .rows = SIDE_VOCAB,                       \
        .cols = SIDE_DIM,                         \
        .init = INIT_EMBED,                       \
        .group = "embeddings"}

#define ROW_ATT_NORM                                 \
    [ATT_NORM] = {.hf = HF "input_layernorm.weight", \
        .gguf = BLK "attn_norm.weight",              \
        .kind = PART_ATT_NORM,                       \
        .role = ROLE_norm,                           \
        .cols = SIDE_DIM,                            \
        .init = INIT_ONES,                           \
        .group = "norms"}

#define ROW_Q                                  \
    [Q] = {.hf = HF "self_attn.q_proj.weight", \
        .gguf = BLK "attn_q.weight",           \
        .kind = PART_Q,                        \
        .role = ROLE_matrix,                   \
        .rows = SIDE_Q,                        \
        .cols = SIDE_DIM,                      \
        .rotary = ROTARY_Q,                    \
        .lora = "q",                           \
        .group = ATT}

#define ROW_K                                  \
    [K] = {.hf = HF "self_attn.k_proj.weight", \
        .gguf = BLK "attn_k.weight",           \
        .kind = PART_K,                        \
        .role = ROLE_matrix,                   \
        .rows = SIDE_KV,                       \
        .cols = SIDE_DIM,                      \
        .rotary = ROTARY_K,                    \
        .lora = "k",                           \
        .group = ATT}

#define ROW_V                                  \
    [V] = {.hf = HF "self_attn.v_proj.weight", \
        .gguf = BLK "attn_v.weight",           \
        .kind = PART_V,                        \
        .role = ROLE_matrix,                   \
        .rows = SIDE_KV,                       \
        .cols = SIDE_DIM,                      \
        .lora = "v",                           \
        .group = ATT}

#define ROW_O                                  \
    [O] = {.hf = HF "self_attn.o_proj.weight", \
        .gguf = BLK "attn_output.weight",      \
        .kind = PART_O,                        \
        .role = ROLE_matrix,                   \
        .rows = SIDE_DIM,                      \
        .cols = SIDE_Q,                        \
        .init = INIT_RESIDUAL,                 \
        .lora = "o",                           \
        .group = ATT}

#define ROW_FFN_NORM                                          \
    [FFN_NORM] = {.hf = HF "post_attention_layernorm.weight", \
        .gguf = BLK "ffn_norm.weight",                        \
        .kind = PART_FFN_NORM,                                \
        .role = ROLE_norm,                                    \
        .cols = SIDE_DIM,                                     \
        .init = INIT_ONES,                                    \
        .group = "norms"}

#define ROW_UP                             \
    [UP] = {.hf = HF "mlp.up_proj.weight", \
        .gguf = BLK "ffn_up.weight",       \
        .kind = PART_UP,                   \
        .role = ROLE_matrix,               \
        .rows = SIDE_HIDDEN,               \
        .cols = SIDE_DIM,                  \
        .lora = "up",                      \
        .group = MLP}

#define ROW_DOWN                               \
    [DOWN] = {.hf = HF "mlp.down_proj.weight", \
        .gguf = BLK "ffn_down.weight",         \
        .kind = PART_DOWN,                     \
        .role = ROLE_matrix,                   \
        .rows = SIDE_DIM,                      \
        .cols = SIDE_HIDDEN,                   \
        .init = INIT_RESIDUAL,                 \
        .lora = "down",                        \
        .group = MLP}

#define ROW_NORM                         \
    [NORM] = {.hf = "model.norm.weight", \
        .gguf = "output_norm.weight",    \
        .kind = PART_NORM,               \
        .role = ROLE_norm,               \
        .cols = SIDE_DIM,                \
        .init = INIT_ONES,               \
        .group = "norms"}

#define ROW_HEAD                      \
    [HEAD] = {.hf = "lm_head.weight", \
        .gguf = "output.weight",      \
        .kind = PART_HEAD,            \
        .role = ROLE_embed,           \
        .rows = SIDE_VOCAB,           \
        .cols = SIDE_DIM,             \
        .init = INIT_EMBED,           \
        .when = IF_UNTIED,            \
        .group = "embeddings"}

#endif
