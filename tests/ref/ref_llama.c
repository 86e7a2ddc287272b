#include "ref_llama.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *reserve(size_t n) {
    double *p = calloc(n ? n : 1, sizeof *p);
    if (!p) {
        fprintf(stderr, "reference: cannot reserve %zu doubles\n", n);
        exit(1);
    }
    return p;
}

/* ---- ops ---- */

void ref_linear(double *y, const double *x, const double *w, const double *b, int n, int in,
                int out) {
    for (int t = 0; t < n; t++)
        for (int o = 0; o < out; o++) {
            double sum = b ? b[o] : 0.0;
            for (int i = 0; i < in; i++) sum += x[(size_t)t * in + i] * w[(size_t)o * in + i];
            y[(size_t)t * out + o] = sum;
        }
}

void ref_rmsnorm(double *y, const double *x, const double *w, int n, int dim, double eps) {
    for (int t = 0; t < n; t++, x += dim, y += dim) {
        double sum = 0.0;
        for (int i = 0; i < dim; i++) sum += x[i] * x[i];
        double r = 1.0 / sqrt(sum / dim + eps);
        for (int i = 0; i < dim; i++) y[i] = w[i] * (x[i] * r);
    }
}

void ref_rope(double *x, int pos, int heads, int head_dim, double theta) {
    int half = head_dim / 2;
    for (int h = 0; h < heads; h++, x += head_dim)
        for (int i = 0; i < half; i++) {
            double angle = pos * pow(theta, -2.0 * i / head_dim);
            double a = x[i], b = x[i + half];
            x[i] = a * cos(angle) - b * sin(angle);
            x[i + half] = b * cos(angle) + a * sin(angle);
        }
}

void ref_attention(double *out, const double *q, const double *k, const double *v, int T, int heads,
                   int kv_heads, int head_dim) {
    size_t q_row = (size_t)heads * head_dim, kv_row = (size_t)kv_heads * head_dim;
    double *p = reserve((size_t)T);
    for (int h = 0; h < heads; h++) {
        size_t kv_at = (size_t)(h / (heads / kv_heads)) * head_dim, q_at = (size_t)h * head_dim;
        for (int t = 0; t < T; t++) {
            double max = -INFINITY, sum = 0.0;
            for (int s = 0; s <= t; s++) {
                double dot = 0.0;
                for (int i = 0; i < head_dim; i++)
                    dot += q[t * q_row + q_at + i] * k[s * kv_row + kv_at + i];
                p[s] = dot / sqrt(head_dim);
                if (p[s] > max) max = p[s];
            }
            for (int s = 0; s <= t; s++) sum += p[s] = exp(p[s] - max);
            for (int i = 0; i < head_dim; i++) {
                double mix = 0.0;
                for (int s = 0; s <= t; s++) mix += p[s] * v[s * kv_row + kv_at + i];
                out[t * q_row + q_at + i] = mix / sum;
            }
        }
    }
    free(p);
}

void ref_swiglu(double *y, const double *gate, const double *up, int n) {
    for (int i = 0; i < n; i++) y[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
}

void ref_relu2(double *y, const double *x, int n) {
    for (int i = 0; i < n; i++) y[i] = x[i] > 0.0 ? x[i] * x[i] : 0.0;
}

double ref_softcap(double z, double cap) {
    return cap > 0.0 ? cap * tanh(z / cap) : z;
}

double ref_logprob(const double *z, int V, int target, double cap) {
    assert(target >= 0 && target < V);
    double max = -INFINITY, sum = 0.0;
    for (int j = 0; j < V; j++) max = fmax(max, ref_softcap(z[j], cap));
    for (int j = 0; j < V; j++) sum += exp(ref_softcap(z[j], cap) - max);
    return ref_softcap(z[target], cap) - max - log(sum);
}

double ref_xent(const double *z, const int32_t *targets, int n, int V, double cap) {
    double sum = 0.0;
    for (int t = 0; t < n; t++) sum -= ref_logprob(z + (size_t)t * V, V, targets[t], cap);
    return sum / n;
}

/* ---- the parameter table ---- */

uint64_t ref_param_count(const struct ref_config *c) {
    uint64_t dim = (uint64_t)c->dim, hd = (uint64_t)c->head_dim;
    uint64_t q = (uint64_t)c->heads * hd, kv = (uint64_t)c->kv_heads * hd;
    uint64_t mlp = (c->relu2 ? 2 : 3) * (uint64_t)c->hidden * dim;
    uint64_t layer = 2 * dim + 2 * q * dim + 2 * kv * dim + mlp;
    if (c->qkv_bias) layer += q + 2 * kv;
    if (c->qk_norm) layer += 2 * hd;
    uint64_t vocab = (uint64_t)c->vocab * dim * (c->tied ? 1 : 2);
    if (c->value_embeds) vocab += (uint64_t)((c->layers + 1) / 2) * (uint64_t)c->vocab * kv;
    return vocab + (uint64_t)c->layers * layer + dim;
}

/* The next row of the table: storage is handed out in the order of the calls. */
static double *add(struct ref_model *m, double **next, int rows, int cols, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static double *add(struct ref_model *m, double **next, int rows, int cols, const char *fmt, ...) {
    struct ref_param *p = &m->params[m->n_params++];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->name, sizeof p->name, fmt, ap);
    va_end(ap);
    p->rows = (size_t)rows, p->cols = (size_t)cols;
    p->data = *next;
    *next += p->rows * p->cols;
    return p->data;
}

static void add_layer(struct ref_model *m, double **next, int l) {
    const struct ref_config *c = &m->config;
    struct ref_layer *L = &m->layers[l];
    int dim = c->dim, hd = c->head_dim, q = c->heads * hd, kv = c->kv_heads * hd;
    L->input_layernorm = add(m, next, 1, dim, "model.layers.%d.input_layernorm.weight", l);
    L->q = add(m, next, q, dim, "model.layers.%d.self_attn.q_proj.weight", l);
    L->k = add(m, next, kv, dim, "model.layers.%d.self_attn.k_proj.weight", l);
    L->v = add(m, next, kv, dim, "model.layers.%d.self_attn.v_proj.weight", l);
    if (c->qkv_bias) {
        L->q_bias = add(m, next, 1, q, "model.layers.%d.self_attn.q_proj.bias", l);
        L->k_bias = add(m, next, 1, kv, "model.layers.%d.self_attn.k_proj.bias", l);
        L->v_bias = add(m, next, 1, kv, "model.layers.%d.self_attn.v_proj.bias", l);
    }
    if (c->qk_norm) {
        L->q_norm = add(m, next, 1, hd, "model.layers.%d.self_attn.q_norm.weight", l);
        L->k_norm = add(m, next, 1, hd, "model.layers.%d.self_attn.k_norm.weight", l);
    }
    if (c->value_embeds && (c->layers - l) % 2 == 1)
        L->value_embed =
            add(m, next, c->vocab, kv, "model.layers.%d.self_attn.value_embed.weight", l);
    L->o = add(m, next, dim, q, "model.layers.%d.self_attn.o_proj.weight", l);
    L->post_attention_layernorm =
        add(m, next, 1, dim, "model.layers.%d.post_attention_layernorm.weight", l);
    if (!c->relu2)
        L->gate = add(m, next, c->hidden, dim, "model.layers.%d.mlp.gate_proj.weight", l);
    L->up = add(m, next, c->hidden, dim, "model.layers.%d.mlp.up_proj.weight", l);
    L->down = add(m, next, dim, c->hidden, "model.layers.%d.mlp.down_proj.weight", l);
}

static bool is_norm(const struct ref_param *p) {
    return strstr(p->name, "norm.weight") != NULL;
}

void ref_model_init(struct ref_model *m, const struct ref_config *c) {
    assert(c->heads % c->kv_heads == 0 && c->head_dim % 2 == 0);
    uint64_t count = ref_param_count(c);
    memset(m, 0, sizeof *m);
    m->config = *c;
    m->storage = reserve(count);
    m->layers = calloc((size_t)c->layers + 1, sizeof *m->layers);
    m->params = calloc((size_t)c->layers * 15 + 3, sizeof *m->params);
    if (!m->layers || !m->params) abort();

    double *next = m->storage;
    m->embed = add(m, &next, c->vocab, c->dim, "model.embed_tokens.weight");
    for (int l = 0; l < c->layers; l++) add_layer(m, &next, l);
    m->norm = add(m, &next, 1, c->dim, "model.norm.weight");
    m->lm_head = c->tied ? m->embed : add(m, &next, c->vocab, c->dim, "lm_head.weight");
    assert((uint64_t)(next - m->storage) == count);

    for (struct ref_param *p = m->params; p < m->params + m->n_params; p++)
        if (is_norm(p))
            for (size_t i = 0; i < p->cols; i++) p->data[i] = 1.0;
}

void ref_model_release(struct ref_model *m) {
    free(m->storage);
    free(m->layers);
    free(m->params);
    memset(m, 0, sizeof *m);
}

/* Uniform in (-1, 1): splitmix64, https://prng.di.unimi.it/splitmix64.c */
static double uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-52 - 1.0;
}

void ref_model_randomize(struct ref_model *m, uint64_t seed) {
    for (struct ref_param *p = m->params; p < m->params + m->n_params; p++) {
        double mean = is_norm(p) ? 1.0 : 0.0;
        double width = p->rows == 1 ? 0.2 : sqrt(3.0 / (double)p->cols);
        for (size_t i = 0; i < p->rows * p->cols; i++) p->data[i] = mean + width * uniform(&seed);
    }
}

struct ref_param *ref_model_find(const struct ref_model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name)) return &m->params[i];
    return NULL;
}

/* ---- forward ---- */

/* Everything a forward of n tokens writes besides the logits. */
struct work {
    double *x, *h;             /* (n, dim) */
    double *q, *k, *v, *mixed; /* (n, heads * hd), (n, kv_heads * hd) twice, (n, heads * hd) */
    double *gate, *up;         /* (n, hidden) */
};

static void add_scaled(double *x, const double *branch, double scale, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += scale * branch[i];
}

static void attention_block(const struct ref_config *c, const struct ref_layer *L, double theta,
                            struct work *w, const int32_t *tokens, int n) {
    int hd = c->head_dim, q = c->heads * hd, kv = c->kv_heads * hd;
    ref_rmsnorm(w->h, w->x, L->input_layernorm, n, c->dim, c->eps);
    ref_linear(w->q, w->h, L->q, L->q_bias, n, c->dim, q);
    ref_linear(w->k, w->h, L->k, L->k_bias, n, c->dim, kv);
    ref_linear(w->v, w->h, L->v, L->v_bias, n, c->dim, kv);
    if (c->qk_norm) {
        ref_rmsnorm(w->q, w->q, L->q_norm, n * c->heads, hd, c->eps);
        ref_rmsnorm(w->k, w->k, L->k_norm, n * c->kv_heads, hd, c->eps);
    }
    for (int t = 0; t < n; t++) {
        if (L->value_embed)
            add_scaled(w->v + (size_t)t * kv, L->value_embed + (size_t)tokens[t] * kv, 1.0,
                       (size_t)kv);
        ref_rope(w->q + (size_t)t * q, t, c->heads, hd, theta);
        ref_rope(w->k + (size_t)t * kv, t, c->kv_heads, hd, theta);
    }
    ref_attention(w->mixed, w->q, w->k, w->v, n, c->heads, c->kv_heads, hd);
    ref_linear(w->h, w->mixed, L->o, NULL, n, q, c->dim);
    add_scaled(w->x, w->h, c->residual_scale, (size_t)n * c->dim);
}

static void mlp_block(const struct ref_config *c, const struct ref_layer *L, struct work *w,
                      int n) {
    ref_rmsnorm(w->h, w->x, L->post_attention_layernorm, n, c->dim, c->eps);
    ref_linear(w->up, w->h, L->up, NULL, n, c->dim, c->hidden);
    if (c->relu2) {
        ref_relu2(w->gate, w->up, n * c->hidden);
    } else {
        ref_linear(w->gate, w->h, L->gate, NULL, n, c->dim, c->hidden);
        ref_swiglu(w->gate, w->gate, w->up, n * c->hidden);
    }
    ref_linear(w->h, w->gate, L->down, NULL, n, c->hidden, c->dim);
    add_scaled(w->x, w->h, c->residual_scale, (size_t)n * c->dim);
}

/* logits (n,V) before the softcap. */
static void forward(const struct ref_model *m, const int32_t *tokens, int n, double *logits) {
    const struct ref_config *c = &m->config;
    size_t N = (size_t)n, q = (size_t)c->heads * c->head_dim,
           kv = (size_t)c->kv_heads * c->head_dim;
    size_t dim = (size_t)c->dim, hidden = (size_t)c->hidden;
    double *all = reserve(N * (2 * dim + 2 * q + 2 * kv + 2 * hidden));
    struct work w = {.x = all};
    w.h = w.x + N * dim;
    w.q = w.h + N * dim;
    w.k = w.q + N * q;
    w.v = w.k + N * kv;
    w.mixed = w.v + N * kv;
    w.gate = w.mixed + N * q;
    w.up = w.gate + N * hidden;

    for (int t = 0; t < n; t++) {
        assert(tokens[t] >= 0 && tokens[t] < c->vocab);
        memcpy(w.x + t * dim, m->embed + (size_t)tokens[t] * dim, dim * sizeof *all);
    }
    for (int l = 0; l < c->layers; l++) {
        bool local = c->rope_local_theta != 0.0 && (l + 1) % c->rope_global_every != 0;
        attention_block(c, &m->layers[l], local ? c->rope_local_theta : c->rope_theta, &w, tokens,
                        n);
        mlp_block(c, &m->layers[l], &w, n);
    }
    ref_rmsnorm(w.x, w.x, m->norm, n, c->dim, c->eps);
    ref_linear(logits, w.x, m->lm_head, NULL, n, c->dim, c->vocab);
    free(all);
}

void ref_logits(const struct ref_model *m, const int32_t *tokens, int n, double *logits) {
    forward(m, tokens, n, logits);
    for (size_t i = 0; i < (size_t)n * m->config.vocab; i++)
        logits[i] = ref_softcap(logits[i], m->config.softcap);
}

double ref_score(const struct ref_model *m, const int32_t *inputs, const int32_t *targets, int n,
                 double *logprobs) {
    int V = m->config.vocab;
    double *z = reserve((size_t)n * V), sum = 0.0;
    forward(m, inputs, n, z);
    for (int t = 0; t < n; t++) {
        double lp = ref_logprob(z + (size_t)t * V, V, targets[t], m->config.softcap);
        if (logprobs) logprobs[t] = lp;
        sum -= lp;
    }
    free(z);
    return sum / n;
}

double ref_loss(const struct ref_model *m, const int32_t *inputs, const int32_t *targets, int B,
                int T) {
    double sum = 0.0;
    for (int b = 0; b < B; b++)
        sum += ref_score(m, inputs + (size_t)b * T, targets + (size_t)b * T, T, NULL);
    return sum / B;
}

/* ---- finite differences ---- */

double ref_fd(double (*f)(void *ctx), void *ctx, double *x) {
    const double x0 = *x, h = 1e-3 * fmax(1.0, fabs(x0));
    double at[4];
    static const double offset[4] = {-2.0, -1.0, 1.0, 2.0};
    for (int i = 0; i < 4; i++) {
        *x = x0 + offset[i] * h;
        at[i] = f(ctx);
    }
    *x = x0;
    return (8.0 * (at[2] - at[1]) - (at[3] - at[0])) / (12.0 * h);
}

struct loss_ctx {
    const struct ref_model *m;
    const int32_t *inputs, *targets;
    int B, T;
};

static double loss_of(void *ctx) {
    const struct loss_ctx *c = ctx;
    return ref_loss(c->m, c->inputs, c->targets, c->B, c->T);
}

double ref_fd_grad(struct ref_model *m, const struct ref_param *p, size_t i, const int32_t *inputs,
                   const int32_t *targets, int B, int T) {
    assert(i < p->rows * p->cols);
    struct loss_ctx ctx = {m, inputs, targets, B, T};
    return ref_fd(loss_of, &ctx, &p->data[i]);
}
