/* Is the reference itself right? It is checked against closed forms and symmetries of the formulas,
 * never against src/. */
#include "ref_llama.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { V = 17, T = 7 };

/* Every option on, and no size equal to another. */
static const struct ref_config full = {.dim = 10,
                                       .hidden = 15,
                                       .layers = 2,
                                       .heads = 4,
                                       .kv_heads = 2,
                                       .head_dim = 6,
                                       .vocab = V,
                                       .rope_theta = 100.0,
                                       .eps = 1e-5,
                                       .tied = false,
                                       .qk_norm = true,
                                       .qkv_bias = true,
                                       .residual_scale = 0.7,
                                       .softcap = 3.0};

static const int32_t input[2 * T] = {3, 0, 16, 5, 5, 9, 1, 2, 12, 7, 7, 4, 11, 8};
static const int32_t target[2 * T] = {0, 16, 5, 5, 9, 1, 14, 12, 7, 7, 4, 11, 8, 3};

static double drawn(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)*state * 0x1p-63;
}

static void fill(double *x, int n, uint64_t seed) {
    for (int i = 0; i < n; i++) x[i] = drawn(&seed);
}

static double max_difference(const double *a, const double *b, size_t n) {
    double max = 0.0;
    for (size_t i = 0; i < n; i++) max = fmax(max, fabs(a[i] - b[i]));
    return max;
}

static void assert_close(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("found %.17g, expected %.17g +- %g", found, expected, tolerance);
}

static struct ref_model random_model(struct ref_config c, uint64_t seed) {
    struct ref_model m;
    ref_model_init(&m, &c);
    ref_model_randomize(&m, seed);
    return m;
}

/* Copies the parameters that both models have; their sizes agree. */
static void copy_shared(struct ref_model *dst, const struct ref_model *src) {
    for (int i = 0; i < src->n_params; i++) {
        const struct ref_param *from = &src->params[i];
        struct ref_param *to = ref_model_find(dst, from->name);
        if (to && to->rows == from->rows)
            memcpy(to->data, from->data, from->rows * from->cols * sizeof *to->data);
    }
}

static void scale_param(struct ref_model *m, const char *name, double by) {
    struct ref_param *p = ref_model_find(m, name);
    assert_non_null(p);
    for (size_t i = 0; i < p->rows * p->cols; i++) p->data[i] *= by;
}

/* ---- ops ---- */

static void test_linear(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, -1, 0, 4}, w[] = {1, 0, 2, -3, 5, 1}, b[] = {10, 20};
    double y[4];
    ref_linear(y, x, w, b, 2, 3, 2);
    const double with[] = {17, 30, 17, 27}, without[] = {7, 10, 7, 7};
    assert_close(max_difference(y, with, 4), 0.0, 0.0);
    ref_linear(y, x, w, NULL, 2, 3, 2);
    assert_close(max_difference(y, without, 4), 0.0, 0.0);
}

static void test_rmsnorm(void **state) {
    (void)state;
    double x[] = {3, 4, 0, 0}, y[4];
    const double w[] = {1, -2}, rms = sqrt(12.5), expected[] = {3 / rms, -8 / rms, 0, 0};
    ref_rmsnorm(y, x, w, 2, 2, 1e-12);
    assert_close(max_difference(y, expected, 4), 0.0, 1e-12);
    ref_rmsnorm(x, x, w, 1, 2, 12.5); /* in place; eps is added inside the root */
    assert_close(x[0], 0.6, 1e-15);
    assert_close(x[1], -1.6, 1e-15);
}

static void test_rope(void **state) {
    (void)state;
    /* theta 100 and head_dim 4: the two pairs of a head turn by pos and by pos / 10. */
    double x[8] = {1, 0, 0, 0, 0, 1, 0, 2};
    ref_rope(x, 2, 2, 4, 100.0);
    const double turned[8] = {
        cos(2), 0, sin(2), 0, 0, cos(.2) - 2 * sin(.2), 0, 2 * cos(.2) + sin(.2)};
    assert_close(max_difference(x, turned, 8), 0.0, 1e-15);

    enum { HEADS = 3, HD = 8, N = HEADS * HD };
    double a[N], b[N], q[N], k[N];
    fill(a, N, 1);
    memcpy(b, a, sizeof b);
    ref_rope(b, 11, HEADS, HD, 1e4);
    assert_true(max_difference(a, b, N) > 0.1);
    ref_rope(b, -11, HEADS, HD, 1e4);
    assert_close(max_difference(a, b, N), 0.0, 1e-15);

    /* A score depends on the distance of the two positions only. */
    double first = 0.0;
    for (int at = 0; at < 50; at += 7) {
        fill(q, HD, 2);
        fill(k, HD, 3);
        ref_rope(q, at + 5, 1, HD, 1e4);
        ref_rope(k, at, 1, HD, 1e4);
        double dot = 0.0;
        for (int i = 0; i < HD; i++) dot += q[i] * k[i];
        if (at == 0) first = dot;
        assert_close(dot, first, 1e-13);
    }
}

static void test_attention(void **state) {
    (void)state;
    enum { H = 4, KV = 2, HD = 6, Q = T * H * HD, K = T * KV * HD };
    double q[Q], k[K], v[K], out[Q], again[Q], wide_k[Q], wide_v[Q];
    fill(q, Q, 4);
    fill(k, K, 5);
    fill(v, K, 6);
    ref_attention(out, q, k, v, T, H, KV, HD);
    for (int h = 0; h < H; h++) /* position 0 sees only itself */
        assert_close(max_difference(out + h * HD, v + h / 2 * HD, HD), 0.0, 1e-15);

    for (int t = 0; t < T; t++)
        for (int i = 0; i < H * HD; i++) {
            int from = t * KV * HD + i / HD / 2 * HD + i % HD;
            wide_k[t * H * HD + i] = k[from];
            wide_v[t * H * HD + i] = v[from];
        }
    ref_attention(again, q, wide_k, wide_v, T, H, H, HD);
    assert_close(max_difference(out, again, Q), 0.0, 1e-15);

    for (int i = 0; i < K; i++) v[i] += 2.5; /* weights sum to one */
    ref_attention(again, q, k, v, T, H, KV, HD);
    for (int i = 0; i < Q; i++) assert_close(again[i], out[i] + 2.5, 1e-14);

    memset(q, 0, sizeof q); /* no preference: the mean of what is seen */
    ref_attention(again, q, k, v, T, H, KV, HD);
    double mean = 0.0;
    for (int t = 0; t < T; t++) {
        mean += v[t * KV * HD + HD + 2];
        assert_close(again[t * H * HD + 3 * HD + 2], mean / (t + 1), 1e-14);
    }

    /* One head of 4: scores 8/2 and 2/2, so the weights are e^4 : e^1. */
    const double q2[8] = {0, 0, 0, 0, 1, 1, 1, 1}, k2[8] = {2, 2, 2, 2, 2, 0, 0, 0};
    const double v2[8] = {1, 0, 0, 0, 0, 1, 0, 0};
    ref_attention(out, q2, k2, v2, 2, 1, 1, 4);
    assert_close(out[4], 1.0 / (1.0 + exp(-3.0)), 1e-15);
    assert_close(out[5], 1.0 / (1.0 + exp(3.0)), 1e-15);
}

static void test_swiglu(void **state) {
    (void)state;
    const double gate[] = {0.0, 1.0, -2.0, 800.0, -800.0}, up[] = {5.0, 3.0, 7.0, 2.0, 2.0};
    const double expected[] = {0.0, 3.0 / (1 + exp(-1)), -14.0 / (1 + exp(2)), 1600.0, 0.0};
    double y[5];
    ref_swiglu(y, gate, up, 5);
    assert_close(max_difference(y, expected, 5), 0.0, 1e-14);
}

static void test_xent(void **state) {
    (void)state;
    double z[2 * V];
    fill(z, 2 * V, 7);
    for (int i = 0; i < 2 * V; i++) z[i] *= 8.0;
    for (int cap = 0; cap <= 6; cap += 3) {
        double sum = 0.0;
        for (int j = 0; j < V; j++) sum += exp(ref_logprob(z, V, j, cap));
        assert_close(sum, 1.0, 1e-14);
    }
    double two = ref_logprob(z, V, target[0], 3.0) + ref_logprob(z + V, V, target[1], 3.0);
    assert_close(ref_xent(z, target, 2, V, 3.0), -two / 2, 1e-15);

    for (double s = -40.0; s <= 40.0; s += 2.5) {
        assert_true(fabs(ref_softcap(s, 15.0)) <= 15.0);
        assert_close(ref_softcap(s, 15.0), -ref_softcap(-s, 15.0), 0.0);
        assert_close(ref_softcap(s, 0.0), s, 0.0);
        /* cap tanh(z / cap) = z - z^3 / 3 cap^2 + ... */
        assert_close(ref_softcap(s, 1e6), s - s * s * s / 3e12, 1e-14);
    }
    const double huge[] = {1e4, -1e4, 9999.0};
    assert_close(ref_logprob(huge, 3, 2, 0.0), -1.0 - log1p(exp(-1.0)), 1e-12);
}

/* ---- the model ---- */

static void test_table(void **state) {
    (void)state;
    for (int options = 0; options < 8; options++) {
        struct ref_config c = full;
        c.tied = options & 1, c.qk_norm = options & 2, c.qkv_bias = options & 4;
        struct ref_model m = random_model(c, 1);
        int per_layer = 9 + (c.qk_norm ? 2 : 0) + (c.qkv_bias ? 3 : 0);
        assert_int_equal(m.n_params, 2 + c.layers * per_layer + (c.tied ? 0 : 1));
        uint64_t total = 0;
        for (int i = 0; i < m.n_params; i++) {
            const struct ref_param *p = &m.params[i];
            assert_ptr_equal(ref_model_find(&m, p->name), p); /* so no name comes twice */
            assert_ptr_equal(p->data, m.storage + total);     /* and no two overlap */
            total += p->rows * p->cols;
        }
        assert_int_equal(total, ref_param_count(&c));
        assert_int_equal(ref_model_find(&m, "lm_head.weight") == NULL, c.tied);
        assert_ptr_equal(ref_model_find(&m, "model.layers.1.mlp.down_proj.weight")->data,
                         m.layers[1].down);
        assert_int_equal(ref_model_find(&m, "model.layers.1.mlp.down_proj.weight")->cols, c.hidden);
        ref_model_release(&m);
    }
}

static void test_zero_weights(void **state) {
    (void)state;
    struct ref_model m;
    ref_model_init(&m, &full);
    assert_close(ref_loss(&m, input, target, 2, T), log(V), 1e-15);
    ref_model_release(&m);
}

static void test_causality(void **state) {
    (void)state;
    struct ref_model m = random_model(full, 2);
    int32_t changed[T];
    memcpy(changed, input, sizeof changed);
    changed[4] = 13;
    double a[T * V], b[T * V];
    ref_logits(&m, input, T, a);
    ref_logits(&m, changed, T, b);
    assert_memory_equal(a, b, 4 * V * sizeof *a);
    for (int t = 4; t < T; t++) assert_true(max_difference(a + t * V, b + t * V, V) > 1e-4);
    ref_logits(&m, input, 3, b); /* a prefix alone gives the same */
    assert_memory_equal(a, b, 3 * V * sizeof *a);
    ref_model_release(&m);
}

/* One layer spelled out: what is normed, biased, rotated and gated, and in which order. */
static void test_layer_order(void **state) {
    (void)state;
    struct ref_config c = full;
    c.layers = 1;
    struct ref_model m = random_model(c, 11);
    const struct ref_layer *L = m.layers;
    double x[T * 10], h[T * 10], q[T * 24], k[T * 12], v[T * 12], mixed[T * 24], gate[T * 15];
    double up[T * 15], z[T * V], logits[T * V];
    for (int t = 0; t < T; t++) memcpy(x + t * 10, m.embed + input[t] * 10, 10 * sizeof *x);
    ref_rmsnorm(h, x, L->input_layernorm, T, 10, c.eps);
    ref_linear(q, h, L->q, L->q_bias, T, 10, 24);
    ref_linear(k, h, L->k, L->k_bias, T, 10, 12);
    ref_linear(v, h, L->v, L->v_bias, T, 10, 12);
    ref_rmsnorm(q, q, L->q_norm, T * 4, 6, c.eps);
    ref_rmsnorm(k, k, L->k_norm, T * 2, 6, c.eps);
    for (int t = 0; t < T; t++) {
        ref_rope(q + t * 24, t, 4, 6, c.rope_theta);
        ref_rope(k + t * 12, t, 2, 6, c.rope_theta);
    }
    ref_attention(mixed, q, k, v, T, 4, 2, 6);
    ref_linear(h, mixed, L->o, NULL, T, 24, 10);
    for (int i = 0; i < T * 10; i++) x[i] += 0.7 * h[i];
    ref_rmsnorm(h, x, L->post_attention_layernorm, T, 10, c.eps);
    ref_linear(gate, h, L->gate, NULL, T, 10, 15);
    ref_linear(up, h, L->up, NULL, T, 10, 15);
    for (int i = 0; i < T * 15; i++) up[i] *= gate[i] / (1.0 + exp(-gate[i]));
    ref_linear(h, up, L->down, NULL, T, 15, 10);
    for (int i = 0; i < T * 10; i++) x[i] += 0.7 * h[i];
    ref_rmsnorm(x, x, m.norm, T, 10, c.eps);
    ref_linear(z, x, m.lm_head, NULL, T, 10, V);
    for (int i = 0; i < T * V; i++) z[i] = 3.0 * tanh(z[i] / 3.0);
    ref_logits(&m, input, T, logits);
    assert_close(max_difference(z, logits, T * V), 0.0, 1e-14);
    ref_model_release(&m);
}

/* Loss of a batch = mean of the rows = cross-entropy of the logits, softcap included once. */
static void test_loss(void **state) {
    (void)state;
    struct ref_model m = random_model(full, 3);
    double z[T * V], logprobs[T], sum = 0.0;
    ref_logits(&m, input, T, z);
    double first = ref_xent(z, target, T, V, 0.0);
    assert_close(ref_score(&m, input, target, T, logprobs), first, 1e-14);
    for (int t = 0; t < T; t++) sum -= logprobs[t];
    assert_close(sum / T, first, 1e-14);
    double second = ref_loss(&m, input + T, target + T, 1, T);
    assert_close(ref_loss(&m, input, target, 2, T), (first + second) / 2, 1e-14);
    assert_true(first > 0.1 && second > 0.1 && fabs(first - second) > 1e-3);
    ref_model_release(&m);
}

static void test_repeated_kv_heads(void **state) {
    (void)state;
    struct ref_model gqa = random_model(full, 4), mha;
    struct ref_config c = full;
    c.kv_heads = c.heads;
    ref_model_init(&mha, &c);
    copy_shared(&mha, &gqa);
    for (int l = 0; l < c.layers; l++)
        for (int row = 0; row < c.heads * c.head_dim; row++) {
            int from = row / c.head_dim / 2 * c.head_dim + row % c.head_dim;
            struct ref_layer *to = &mha.layers[l], *of = &gqa.layers[l];
            size_t bytes = (size_t)c.dim * sizeof(double);
            memcpy(to->k + row * c.dim, of->k + from * c.dim, bytes);
            memcpy(to->v + row * c.dim, of->v + from * c.dim, bytes);
            to->k_bias[row] = of->k_bias[from];
            to->v_bias[row] = of->v_bias[from];
        }
    memcpy(mha.layers[0].q_bias, gqa.layers[0].q_bias, 24 * sizeof(double));
    memcpy(mha.layers[1].q_bias, gqa.layers[1].q_bias, 24 * sizeof(double));
    double a[T * V], b[T * V];
    ref_logits(&gqa, input, T, a);
    ref_logits(&mha, input, T, b);
    assert_close(max_difference(a, b, T * V), 0.0, 1e-13);
    ref_model_release(&gqa);
    ref_model_release(&mha);
}

static void test_residual_scale(void **state) {
    (void)state;
    struct ref_model scaled = random_model(full, 5), plain;
    struct ref_config c = full;
    c.residual_scale = 1.0;
    plain = random_model(c, 5);
    double a[T * V], b[T * V], h[T * 10];
    ref_logits(&scaled, input, T, a);
    ref_logits(&plain, input, T, b);
    assert_true(max_difference(a, b, T * V) > 1e-2);
    scale_param(&plain, "model.layers.0.self_attn.o_proj.weight", full.residual_scale);
    scale_param(&plain, "model.layers.1.self_attn.o_proj.weight", full.residual_scale);
    scale_param(&plain, "model.layers.0.mlp.down_proj.weight", full.residual_scale);
    scale_param(&plain, "model.layers.1.mlp.down_proj.weight", full.residual_scale);
    ref_logits(&plain, input, T, b);
    assert_close(max_difference(a, b, T * V), 0.0, 1e-13);

    scaled.config.residual_scale = 0.0; /* only embedding, norm, classifier and softcap are left */
    ref_logits(&scaled, input, T, a);
    for (int t = 0; t < T; t++)
        ref_rmsnorm(h + t * 10, scaled.embed + input[t] * 10, scaled.norm, 1, 10, full.eps);
    ref_linear(b, h, scaled.lm_head, NULL, T, 10, V);
    for (int i = 0; i < T * V; i++) b[i] = 3.0 * tanh(b[i] / 3.0);
    assert_close(max_difference(a, b, T * V), 0.0, 1e-14);
    ref_model_release(&scaled);
    ref_model_release(&plain);
}

/* QK-norm forgets the length of q (when eps is 0), and the network without it does not. */
static void test_qk_norm(void **state) {
    (void)state;
    double a[T * V], b[T * V];
    for (int on = 0; on < 2; on++) {
        struct ref_config c = full;
        c.qk_norm = on, c.eps = 0.0;
        struct ref_model m = random_model(c, 6);
        ref_logits(&m, input, T, a);
        scale_param(&m, "model.layers.0.self_attn.q_proj.weight", 5.0);
        scale_param(&m, "model.layers.0.self_attn.q_proj.bias", 5.0);
        ref_logits(&m, input, T, b);
        double moved = max_difference(a, b, T * V);
        assert_true(on ? moved < 1e-13 : moved > 1e-2);
        ref_model_release(&m);
    }
}

/* ---- finite differences ---- */

static double wave(void *ctx) {
    const double *x = ctx;
    return sin(3.0 * *x) + exp(-*x);
}

static void test_fd(void **state) {
    (void)state;
    double worst = 0.0;
    for (double at = -2.0; at <= 2.0; at += 0.1) {
        double x = at, found = ref_fd(wave, &x, &x);
        assert_true(x == at);
        worst = fmax(worst, fabs(found - (3.0 * cos(3.0 * at) - exp(-at))));
    }
    printf("five-point difference of sin 3x + exp -x: largest error %.1e\n", worst);
    assert_close(worst, 0.0, 2e-9);
}

/* With the residual branches off, h = RMSNorm(embed) and dL/dW = mean of
 * (softmax(y) - onehot) (1 - (y/cap)^2) h^T with y the capped logits. */
static void test_fd_classifier(void **state) {
    (void)state;
    struct ref_config c = full;
    c.residual_scale = 0.0;
    struct ref_model m = random_model(c, 7);
    double y[2 * T * V], h[10], exact[V * 10] = {0}, worst = 0.0;
    ref_logits(&m, input, 2 * T, y); /* without branches nothing depends on the position */
    for (int t = 0; t < 2 * T; t++) {
        ref_rmsnorm(h, m.embed + input[t] * 10, m.norm, 1, 10, c.eps);
        for (int j = 0; j < V; j++) {
            double d = exp(ref_logprob(y + t * V, V, j, 0.0)) - (j == target[t]);
            d *= 1.0 - y[t * V + j] * y[t * V + j] / 9.0;
            for (int i = 0; i < 10; i++) exact[j * 10 + i] += d * h[i] / (2 * T);
        }
    }
    const struct ref_param *p = ref_model_find(&m, "lm_head.weight");
    for (size_t i = 0; i < V * 10; i++) {
        double found = ref_fd_grad(&m, p, i, input, target, 2, T);
        worst = fmax(worst, fabs(found - exact[i]));
    }
    printf("finite differences of the classifier: largest error %.1e\n", worst);
    assert_close(worst, 0.0, 1e-11);
    ref_model_release(&m);
}

/* A tied embedding gets the gradient of both its uses. */
static void test_fd_tied(void **state) {
    (void)state;
    struct ref_config c = full;
    struct ref_model two = random_model(c, 8), one;
    memcpy(two.lm_head, two.embed, V * 10 * sizeof(double));
    c.tied = true;
    ref_model_init(&one, &c);
    copy_shared(&one, &two);
    const char *embed = "model.embed_tokens.weight";
    double largest = 0.0;
    for (size_t i = 0; i < V * 10; i += 7) {
        double g = ref_fd_grad(&one, ref_model_find(&one, embed), i, input, target, 2, T);
        double a = ref_fd_grad(&two, ref_model_find(&two, embed), i, input, target, 2, T);
        double b =
            ref_fd_grad(&two, ref_model_find(&two, "lm_head.weight"), i, input, target, 2, T);
        assert_close(g, a + b, 1e-10);
        largest = fmax(largest, fabs(g));
    }
    assert_true(largest > 1e-3);
    ref_model_release(&one);
    ref_model_release(&two);
}

/* With QK-norm, eps 0 and no bias the loss does not change along q_proj itself, so gradient and
 * weight are orthogonal (Euler); every group has a gradient. */
static void test_fd_groups(void **state) {
    (void)state;
    struct ref_config c = full;
    c.eps = 0.0, c.qkv_bias = false;
    struct ref_model m = random_model(c, 9);
    const struct ref_param *q = ref_model_find(&m, "model.layers.0.self_attn.q_proj.weight");
    double along = 0.0, size = 0.0;
    for (size_t i = 0; i < q->rows * q->cols; i++) {
        double g = ref_fd_grad(&m, q, i, input, target, 1, 4);
        along += g * q->data[i];
        size += fabs(g * q->data[i]);
    }
    assert_true(size > 1e-3);
    assert_close(along, 0.0, 1e-10);
    ref_model_release(&m);

    m = random_model(full, 9);
    for (int i = 0; i < m.n_params; i++) {
        struct ref_param *p = &m.params[i];
        double largest = 0.0;
        size_t n = p->rows * p->cols, step = n / 12 + 1;
        for (size_t j = 0; j < n; j += step)
            largest = fmax(largest, fabs(ref_fd_grad(&m, p, j, input, target, 1, T)));
        if (largest < 1e-5) fail_msg("%s: gradient %g", p->name, largest);
    }
    ref_model_release(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_xent),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_zero_weights),
        cmocka_unit_test(test_causality),
        cmocka_unit_test(test_layer_order),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_repeated_kv_heads),
        cmocka_unit_test(test_residual_scale),
        cmocka_unit_test(test_qk_norm),
        cmocka_unit_test(test_fd),
        cmocka_unit_test(test_fd_classifier),
        cmocka_unit_test(test_fd_tied),
        cmocka_unit_test(test_fd_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
