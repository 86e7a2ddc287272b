/* Arcee (AFM-4.5B; Arcee AI 2025): Llama with an MLP of two matrices and ReLU squared in the place
 * of SwiGLU. */
#include "arch.h"
#include "part_rows.h"

enum { EMBED, ATT_NORM, Q, K, V, O, FFN_NORM, UP, DOWN, NORM, HEAD, N_PARTS };

static const struct part parts[] = {
    ROW_EMBED,
    ROW_ATT_NORM,
    ROW_Q,
    ROW_K,
    ROW_V,
    ROW_O,
    ROW_FFN_NORM,
    ROW_UP,
    ROW_DOWN,
    ROW_NORM,
    ROW_HEAD,
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

static int layer(struct builder *b, int x) {
    return mlp(b, attention(b, x));
}

static void build(struct builder *b) {
    build_stack(b, &(struct build_ends){EMBED, NORM, HEAD}, layer);
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
