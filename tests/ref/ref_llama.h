/* An independent reference of the Llama-family decoder: one readable scalar loop per formula, all
 * in double, sharing no code and no header with src/. Slow on purpose; use it on small models.
 *
 * Sources: Llama (arXiv 2302.13971), RMSNorm (1910.07467), RoPE (2104.09864), GQA (2305.13245),
 * SwiGLU (2002.05202), QK-norm as in Qwen3 (2505.09388), logit softcap as in Gemma 2 (2408.00118).
 *
 * The network, for tokens t_0 .. t_{n-1}:
 *   x = embed[t]
 *   for each layer:  h = RMSNorm(x, input_layernorm)
 *                    q, k, v = W_q h + b_q, W_k h + b_k, W_v h + b_v      (biases if qkv_bias)
 *                    q, k = RMSNorm over head_dim of every head           (if qk_norm)
 *                    v += value_embed[t]              (if value_embeds: layers L-1, L-3, ...)
 *                    q, k = RoPE(q), RoPE(k)          (split halves; base rope_local_theta, if it
 *                                                      is not 0, but in each rope_global_every-th)
 *                    x += residual_scale * W_o attention(q, k, v)
 *                    h = RMSNorm(x, post_attention_layernorm)
 *                    x += residual_scale * W_down (silu(W_gate h) * W_up h)
 *                    or, if relu2,     W_down max(W_up h, 0)^2
 *   logits = softcap(W_lm_head RMSNorm(x, norm))             (W_lm_head = embed if tied)
 *
 * Memory that cannot be had ends the program (this is test code): no function returns an error. */
#ifndef REF_LLAMA_H
#define REF_LLAMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- ops; every matrix is row-major, every vector contiguous ---- */

/* y (n,out) = x (n,in) w^T + b; w (out,in), b (out) or NULL. */
void ref_linear(double *y, const double *x, const double *w, const double *b, int n, int in,
                int out);

/* y (n,dim) = w * x / sqrt(mean(x^2) + eps), row by row; w (dim). y may be x. */
void ref_rmsnorm(double *y, const double *x, const double *w, int n, int dim, double eps);

/* Rotates one row x (heads * head_dim) in place, in split halves: element i of a head pairs with
 * element i + head_dim/2 and turns by pos * theta^(-2i/head_dim). A negative pos undoes pos. */
void ref_rope(double *x, int pos, int heads, int head_dim, double theta);

/* Causal grouped-query attention of one sequence: query head h reads key and value head
 * h / (heads / kv_heads), scores q.k / sqrt(head_dim), softmax over positions 0 .. t.
 * q, out (T, heads * head_dim); k, v (T, kv_heads * head_dim). */
void ref_attention(double *out, const double *q, const double *k, const double *v, int T, int heads,
                   int kv_heads, int head_dim);

/* y = silu(gate) * up, n elements; silu(a) = a / (1 + exp(-a)). */
void ref_swiglu(double *y, const double *gate, const double *up, int n);

/* y = max(x, 0)^2, n elements. */
void ref_relu2(double *y, const double *x, int n);

/* cap * tanh(z / cap), or z if cap <= 0. */
double ref_softcap(double z, double cap);

/* log softmax(softcap(z))[target] in nats; z (V) are logits before the softcap. */
double ref_logprob(const double *z, int V, int target, double cap);

/* Mean of -ref_logprob over n rows: z (n,V), targets (n). */
double ref_xent(const double *z, const int32_t *targets, int n, int V, double cap);

/* ---- the model ---- */

struct ref_config {
    int dim, hidden, layers, heads, kv_heads, head_dim, vocab;
    double rope_theta, eps;
    bool tied, qk_norm, qkv_bias;
    double residual_scale; /* 1 is the plain Llama */
    double softcap;        /* 0 is none */
    double rope_local_theta; /* 0 is none */
    int rope_global_every;
    bool value_embeds;
    bool relu2; /* an MLP without a gate */
};

struct ref_layer {
    double *input_layernorm; /* (dim) */
    double *q, *k, *v;       /* (heads * head_dim, dim), (kv_heads * head_dim, dim) twice */
    double *q_bias, *k_bias, *v_bias; /* NULL unless qkv_bias */
    double *q_norm, *k_norm;          /* (head_dim); NULL unless qk_norm */
    double *value_embed; /* (vocab, kv_heads * head_dim); NULL unless the layer has one */
    double *o;                        /* (dim, heads * head_dim) */
    double *post_attention_layernorm; /* (dim) */
    double *gate, *up;                /* (hidden, dim); gate is NULL if relu2 */
    double *down;                     /* (dim, hidden) */
};

/* One row of the parameter table: rows is 1 for vectors. */
struct ref_param {
    char name[80]; /* Hugging Face's, such as "model.layers.0.self_attn.q_proj.weight" */
    double *data;
    size_t rows, cols;
};

struct ref_model {
    struct ref_config config;
    double *embed;   /* (vocab, dim) */
    double *norm;    /* (dim) */
    double *lm_head; /* (vocab, dim); is embed if tied */
    struct ref_layer *layers;
    struct ref_param *params; /* every parameter once, in the order of the file above; a tied */
    int n_params;             /* lm_head has no row of its own */
    double *storage;
};

/* Parameters of such a model, counted by formula and without reserving them. */
uint64_t ref_param_count(const struct ref_config *c);

/* Reserves all parameters: matrices and biases zero, norm weights one. */
void ref_model_init(struct ref_model *m, const struct ref_config *c);
void ref_model_release(struct ref_model *m);

/* Fills every parameter from a splitmix64 stream of seed: matrices uniform with variance 1/cols,
 * biases and norm weights (around one) uniform in +-0.2, so that no gradient vanishes. */
void ref_model_randomize(struct ref_model *m, uint64_t seed);

/* The row of that name, or NULL. */
struct ref_param *ref_model_find(const struct ref_model *m, const char *name);

/* logits (n,V), softcap applied, of one sequence of n tokens at positions 0 .. n-1. */
void ref_logits(const struct ref_model *m, const int32_t *tokens, int n, double *logits);

/* Mean cross-entropy in nats over all B*T positions; inputs and targets (B,T). */
double ref_loss(const struct ref_model *m, const int32_t *inputs, const int32_t *targets, int B,
                int T);

/* Mean cross-entropy and, if logprobs is not NULL, the log-probability of every target (n). */
double ref_score(const struct ref_model *m, const int32_t *inputs, const int32_t *targets, int n,
                 double *logprobs);

/* ---- finite differences ---- */

/* df/d(*x) by the central five-point rule with step 1e-3 * max(1, |*x|); relative error about 1e-10
 * for functions of size one. *x is restored to the bit. f may not keep anything between calls. */
double ref_fd(double (*f)(void *ctx), void *ctx, double *x);

/* d ref_loss / d p->data[i]; p must be a row of m's table. */
double ref_fd_grad(struct ref_model *m, const struct ref_param *p, size_t i, const int32_t *inputs,
                   const int32_t *targets, int B, int T);

#endif
