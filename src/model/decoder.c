#include "decoder.h"
#include "part_rows.h"

enum {
    EMBED,
    ATT_NORM,
    Q,
    Q_BIAS,
    K,
    K_BIAS,
    V,
    V_BIAS,
    VALUE_EMBED,
    Q_NORM,
    K_NORM,
    O,
    FFN_NORM,
    GATE,
    UP,
    DOWN,
    NORM,
    HEAD,
    N_PARTS
};
_Static_assert((int)N_PARTS == DECODER_PARTS, "decoder.h");

const struct part_computes decoder_computes[] = {{"hidden_act", {"silu", "swish"}}, {NULL, {NULL}}};

const struct part decoder_parts[] = {
    ROW_EMBED,
    ROW_ATT_NORM,
    ROW_Q,
    [Q_BIAS] = {.hf = HF "self_attn.q_proj.bias",
                .gguf = BLK "attn_q.bias",
                .kind = PART_Q_BIAS,
                .role = ROLE_bias,
                .cols = SIDE_Q,
                .init = INIT_ZEROS,
                .rotary = ROTARY_Q,
                .when = IF_BIAS,
                .group = "biases"},
    ROW_K,
    [K_BIAS] = {.hf = HF "self_attn.k_proj.bias",
                .gguf = BLK "attn_k.bias",
                .role = ROLE_bias,
                .cols = SIDE_KV,
                .init = INIT_ZEROS,
                .rotary = ROTARY_K,
                .when = IF_BIAS,
                .group = "biases"},
    ROW_V,
    [V_BIAS] = {.hf = HF "self_attn.v_proj.bias",
                .gguf = BLK "attn_v.bias",
                .role = ROLE_bias,
                .cols = SIDE_KV,
                .init = INIT_ZEROS,
                .when = IF_BIAS,
                .group = "biases"},
    [VALUE_EMBED] = {.hf = HF "self_attn.value_embed.weight",
                     .role = ROLE_embed,
                     .rows = SIDE_VOCAB,
                     .cols = SIDE_KV,
                     .init = INIT_EMBED,
                     .when = IF_VALUE_EMBED,
                     .group = "embeddings"},
    [Q_NORM] = {.hf = HF "self_attn.q_norm.weight",
                .gguf = BLK "attn_q_norm.weight",
                .role = ROLE_norm,
                .cols = SIDE_HEAD,
                .init = INIT_ONES,
                .when = IF_QK_NORM,
                .group = "norms"},
    [K_NORM] = {.hf = HF "self_attn.k_norm.weight",
                .gguf = BLK "attn_k_norm.weight",
                .role = ROLE_norm,
                .cols = SIDE_HEAD,
                .init = INIT_ONES,
                .when = IF_QK_NORM,
                .group = "norms"},
    ROW_O,
    ROW_FFN_NORM,
    [GATE] = {.hf = HF "mlp.gate_proj.weight",
              .gguf = BLK "ffn_gate.weight",
              .kind = PART_GATE,
              .role = ROLE_matrix,
              .rows = SIDE_HIDDEN,
              .cols = SIDE_DIM,
              .lora = "gate",
              .group = MLP},
    ROW_UP,
    ROW_DOWN,
    ROW_NORM,
    ROW_HEAD,
};

/* The last of so many layers turns by rope_theta, the others by the local base, as in Gemma 3; its
 * scaled frequencies are those of rope_theta. */
static bool is_local(const struct builder *b) {
    const struct model_config *c = b->config;
    return c->local_theta > 0 && (b->layer + 1) % c->global_every != 0;
}

static int turn(struct builder *b, int x, int64_t heads, const char *name, bool cached) {
    const struct model_config *c = b->config;
    const bool local = is_local(b);
    return build_rope(b, x, (int)heads, local ? c->local_theta : c->theta,
                      local ? NULL : c->rope_factors, name, cached);
}

/* Every second layer, the last included, as in nanochat. */
static bool has_value_embed(const struct builder *b) {
    return build_has(b, VALUE_EMBED) && (b->config->layers - 1 - b->layer) % 2 == 0;
}

/* Query, key and value, from the parameters on. Keys end up in the cache after rotation: they start
 * there if everything on the way is in place. */
static void project(struct builder *b, int h, int qkv[3]) {
    static const int weight[] = {Q, K, V}, bias[] = {Q_BIAS, K_BIAS, V_BIAS};
    static const char *const names[] = {"q", "k", "v"};
    const bool cached[] = {false, !build_has(b, K_NORM), !has_value_embed(b)};
    int w[3], with[3] = {0};
    for (int i = 0; i < 3; i++) {
        w[i] = build_param(b, weight[i]);
        if (build_has(b, bias[i])) with[i] = build_param(b, bias[i]);
    }
    for (int i = 0; i < 3; i++) qkv[i] = build_value(b, build_rows(b, w[i]), names[i], cached[i]);
    build_linears(b, h, w, build_has(b, Q_BIAS) ? with : NULL, qkv, 3);
}

static int attention(struct builder *b, int x) {
    const struct model_config *c = b->config;
    const int h = build_norm(b, x, build_param(b, ATT_NORM), "normed", false);
    int qkv[3];
    project(b, h, qkv);
    int q = qkv[0], k = qkv[1], v = qkv[2];
    const int o = build_param(b, O);
    if (build_has(b, Q_NORM)) {
        q = build_norm(b, q, build_param(b, Q_NORM), "q normed", false);
        k = build_norm(b, k, build_param(b, K_NORM), "k normed", true);
    }
    if (has_value_embed(b)) {
        const int more = build_embed(b, build_param(b, VALUE_EMBED), "value embedding", false);
        v = build_sum(b, v, more, 1, "v with embedding", true);
    }
    q = turn(b, q, c->heads, "q rotated", false);
    k = turn(b, k, c->kv_heads, "k rotated", true);
    return build_residual(b, x, build_linear(b, build_attention(b, q, k, v), o, "attention out"));
}

static int mlp(struct builder *b, int x) {
    const int h = build_norm(b, x, build_param(b, FFN_NORM), "normed", false);
    const int w[] = {build_param(b, GATE), build_param(b, UP)};
    const int y[] = {build_value(b, build_rows(b, w[0]), "gate", false),
                     build_value(b, build_rows(b, w[1]), "up", false)};
    build_linears(b, h, w, NULL, y, 2);
    const int z = build_swiglu(b, y[0], y[1]);
    return build_residual(b, x, build_linear(b, z, build_param(b, DOWN), "mlp out"));
}

static int layer(struct builder *b, int x) {
    return mlp(b, attention(b, x));
}

void decoder_build(struct builder *b) {
    build_stack(b, &(struct build_ends){EMBED, NORM, HEAD}, layer);
}
