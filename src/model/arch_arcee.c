/* Arcee (AFM-4.5B; Arcee AI 2025): Llama with an MLP of two matrices and ReLU squared in the place
 * of SwiGLU. */
#include "arch.h"

enum { EMBED, ATT_NORM, Q, K, V, O, FFN_NORM, UP, DOWN, NORM, HEAD, N_PARTS };

#define HF "model.layers.*."
#define BLK "blk.*."
#define ATT "attention matrices"
#define MLP "MLP matrices"

static const struct part parts[] = {
    [EMBED] = {.hf = "model.embed_tokens.weight",
               .gguf = "token_embd.weight",
               .kind = PART_EMBED,
               .role = ROLE_embed,
               .rows = SIDE_VOCAB,
               .cols = SIDE_DIM,
               .init = INIT_EMBED,
               .group = "embeddings"},
    [ATT_NORM] = {.hf = HF "input_layernorm.weight",
                  .gguf = BLK "attn_norm.weight",
                  .kind = PART_ATT_NORM,
                  .role = ROLE_norm,
                  .cols = SIDE_DIM,
                  .init = INIT_ONES,
                  .group = "norms"},
    [Q] = {.hf = HF "self_attn.q_proj.weight",
           .gguf = BLK "attn_q.weight",
           .kind = PART_Q,
           .role = ROLE_matrix,
           .rows = SIDE_Q,
           .cols = SIDE_DIM,
           .rotary = ROTARY_Q,
           .lora = "q",
           .group = ATT},
    [K] = {.hf = HF "self_attn.k_proj.weight",
           .gguf = BLK "attn_k.weight",
           .kind = PART_K,
           .role = ROLE_matrix,
           .rows = SIDE_KV,
           .cols = SIDE_DIM,
           .rotary = ROTARY_K,
           .lora = "k",
           .group = ATT},
    [V] = {.hf = HF "self_attn.v_proj.weight",
           .gguf = BLK "attn_v.weight",
           .kind = PART_V,
           .role = ROLE_matrix,
           .rows = SIDE_KV,
           .cols = SIDE_DIM,
           .lora = "v",
           .group = ATT},
    [O] = {.hf = HF "self_attn.o_proj.weight",
           .gguf = BLK "attn_output.weight",
           .kind = PART_O,
           .role = ROLE_matrix,
           .rows = SIDE_DIM,
           .cols = SIDE_Q,
           .init = INIT_RESIDUAL,
           .lora = "o",
           .group = ATT},
    [FFN_NORM] = {.hf = HF "post_attention_layernorm.weight",
                  .gguf = BLK "ffn_norm.weight",
                  .kind = PART_FFN_NORM,
                  .role = ROLE_norm,
                  .cols = SIDE_DIM,
                  .init = INIT_ONES,
                  .group = "norms"},
    [UP] = {.hf = HF "mlp.up_proj.weight",
            .gguf = BLK "ffn_up.weight",
            .kind = PART_UP,
            .role = ROLE_matrix,
            .rows = SIDE_HIDDEN,
            .cols = SIDE_DIM,
            .lora = "up",
            .group = MLP},
    [DOWN] = {.hf = HF "mlp.down_proj.weight",
              .gguf = BLK "ffn_down.weight",
              .kind = PART_DOWN,
              .role = ROLE_matrix,
              .rows = SIDE_DIM,
              .cols = SIDE_HIDDEN,
              .init = INIT_RESIDUAL,
              .lora = "down",
              .group = MLP},
    [NORM] = {.hf = "model.norm.weight",
              .gguf = "output_norm.weight",
              .kind = PART_NORM,
              .role = ROLE_norm,
              .cols = SIDE_DIM,
              .init = INIT_ONES,
              .group = "norms"},
    [HEAD] = {.hf = "lm_head.weight",
              .gguf = "output.weight",
              .kind = PART_HEAD,
              .role = ROLE_embed,
              .rows = SIDE_VOCAB,
              .cols = SIDE_DIM,
              .init = INIT_EMBED,
              .when = IF_UNTIED,
              .group = "embeddings"},
};

static int attention(struct builder *b, int x) {
    const struct model_config *c = b->config;
    const int h = build_norm(b, x, build_param(b, ATT_NORM), "normed", false);
    const int w[] = {build_param(b, Q), build_param(b, K), build_param(b, V)};
    const int qkv[] = {build_value(b, build_rows(b, w[0]), "q", false),
                       build_value(b, build_rows(b, w[1]), "k", true),
                       build_value(b, build_rows(b, w[2]), "v", true)};
    build_linears(b, h, w, NULL, qkv, 3);
    const int q =
        build_rope(b, qkv[0], (int)c->heads, c->theta, c->rope_factors, "q rotated", false);
    const int k =
        build_rope(b, qkv[1], (int)c->kv_heads, c->theta, c->rope_factors, "k rotated", true);
    const int mixed = build_attention(b, q, k, qkv[2]);
    return build_residual(b, x, build_linear(b, mixed, build_param(b, O), "attention out"));
}

static int mlp(struct builder *b, int x) {
    const int h = build_norm(b, x, build_param(b, FFN_NORM), "normed", false);
    const int z = build_relu2(b, build_linear(b, h, build_param(b, UP), "up"));
    return build_residual(b, x, build_linear(b, z, build_param(b, DOWN), "mlp out"));
}

static void build(struct builder *b) {
    const int table = build_param(b, EMBED);
    int x = build_embed(b, table, "embedding", false);
    for (b->layer = 0; b->layer < b->config->layers; b->layer++) {
        build_block(b);
        x = mlp(b, attention(b, x));
    }
    build_block(b);
    x = build_norm(b, x, build_param(b, NORM), "final normed", false);
    build_classifier(b, x, build_has(b, HEAD) ? build_param(b, HEAD) : table);
}

static const struct part_default defaults[] = {
    {"rms_norm_eps", "1e-5"}, {"max_position_embeddings", "4096"}, {NULL, NULL}};
static const struct part_computes computes[] = {{"hidden_act", {"relu2"}}, {NULL, {NULL}}};
static const char *const lacks[] = {"attention_bias", "duet.qk_norm", "duet.value_embeds",
                                    "duet.rope_local_theta", NULL};

extern const struct arch arch_arcee;
const struct arch arch_arcee = {
    .parts = {.name = "arcee",
              .hf_class = "ArceeForCausalLM",
              .gguf = "arcee",
              .gguf_pairs = true,
              .defaults = defaults,
              .computes = computes,
              .part = parts,
              .n = N_PARTS},
    .lacks = lacks,
    .build = build,
};
