/* Causal grouped-query attention, softmax(scale q k') v per head, without (heads, T, T) in memory:
 * blocks of query rows against the keys before them, and the scores made again for the gradient
 * (Dao et al. 2022, arXiv 2205.14135).
 * in: q (rows, heads*hd), k, v (rows, kv_heads*hd). out: y (rows, heads*hd), lse (rows, heads): the
 * log-sum-exp of each query's scaled scores. attrs: heads, kv_heads, head_dim.
 * Query head h reads key head h / (heads / kv_heads). During generation k and v hold all positions
 * up to the present ones, which start at x->batch.pos. */
#include "op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    QB = 64,  /* query rows a block: scores (QB, keys) stay in the second-level cache */
    QC = 256, /* query rows a task of the forward pass */
};

struct job {
    struct exec *x;
    const struct node *n;
    const float *q, *k, *v, *y, *dy;
    float *out, *lse, *dq, *dk, *dv;
    int64_t T, pos, chunks; /* query rows a sequence, position of the first, tasks a key head */
    int64_t cq, ck, ld;     /* columns of q and of k; from one row of scores to the next */
    float scale;
    float *peak; /* of the scores, or NULL */
};

/* A thread's scratch, carved from one block; sizes for `keys` keys. */
struct scratch {
    char *at;
};

static void *carve(struct scratch *s, size_t bytes) {
    void *p = s->at;
    s->at += arena_round(bytes);
    return p;
}

static float *carve_floats(struct scratch *s, int64_t n) {
    return carve(s, (size_t)n * sizeof(float));
}

enum { SCORE_PAD = 16 };

/* Leading dimension of a block of scores: rows a whole page apart would share cache sets. */
static int64_t score_ld(int64_t keys) {
    return keys % 1024 ? keys : keys + SCORE_PAD;
}

/* Room for blocks of scores against up to so many keys: fewer may need the padding when all
 * do not. */
static size_t score_bytes(int64_t keys) {
    return arena_round((size_t)(QB * (keys + SCORE_PAD)) * sizeof(float));
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Packing: keys (rows) against hd, and transposed. ck, cq: columns of k and of q. */
static size_t pack_keys(const struct gemm *g, int64_t keys, int64_t hd, int64_t ck) {
    return gemm_pack_bytes(g, GEMM_B, mat_f32(NULL, ck, false), keys, hd);
}

static size_t pack_keys_t(const struct gemm *g, int64_t keys, int64_t hd, int64_t ck) {
    return gemm_pack_bytes(g, GEMM_B, mat_f32(NULL, ck, true), hd, keys);
}

/* Room for any A that a block packs: queries, gradients of outputs, scores. */
static size_t pack_a(const struct gemm *g, int64_t keys, int64_t hd, int64_t cq) {
    const size_t q = gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, hd, false), QB, hd);
    const size_t y = gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, cq, false), QB, hd);
    const size_t s = gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, score_ld(keys), false), QB, keys);
    const size_t t = gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, score_ld(keys), true), keys, QB);
    return larger(larger(q, y), larger(s, t));
}

static size_t pack_query_t(const struct gemm *g, int64_t hd, int64_t ld) {
    return gemm_pack_bytes(g, GEMM_B, mat_f32(NULL, ld, true), hd, QB);
}

static size_t floats(int64_t n) {
    return arena_round((size_t)n * sizeof(float));
}

static size_t forward_bytes(const struct gemm *g, int64_t keys, int64_t hd, int64_t cq,
                            int64_t ck) {
    return pack_keys(g, keys, hd, ck) + pack_keys_t(g, keys, hd, ck) + floats(QB * hd) +
           score_bytes(keys) + pack_a(g, keys, hd, cq) + 4 * ARENA_ALIGN;
}

static size_t backward_bytes(const struct gemm *g, int64_t keys, int64_t hd, int64_t cq,
                             int64_t ck) {
    return 2 * pack_keys(g, keys, hd, ck) + pack_keys_t(g, keys, hd, ck) + floats(QB * hd) +
           2 * score_bytes(keys) + pack_query_t(g, hd, hd) + pack_query_t(g, hd, cq) +
           pack_a(g, keys, hd, cq) + 8 * ARENA_ALIGN;
}

static struct job job_make(struct exec *x, const struct node *n) {
    const int64_t hd = n->head_dim;
    return (struct job){.x = x,
                        .n = n,
                        .q = x->value[n->in[0]],
                        .k = x->value[n->in[1]],
                        .v = x->value[n->in[2]],
                        .lse = x->value[n->out[1]],
                        .T = x->batch.T,
                        .pos = x->batch.pos,
                        .chunks = (x->batch.T + QC - 1) / QC,
                        .cq = n->heads * hd,
                        .ck = n->kv_heads * hd,
                        .ld = score_ld(x->batch.pos + x->batch.T),
                        .scale = 1.0f / sqrtf((float)hd),
                        .peak = exec_watched(x) ? x->peaks->logit + n->block : NULL};
}

/* First key row of sequence b. Past positions exist only when there is one sequence. */
static int64_t key_row(const struct job *j, int64_t b) {
    return b * j->T;
}

/* Scores of rows [i0, i0+m) to exponentials: row i sees keys up to pos+i. s is (m, nk); entries
 * after the causal end become 0. inv[i]: 1/sum of the row; lse[i]: its log-sum-exp. Returns the
 * largest score. */
static float softmax_rows(const struct job *j, float *s, int64_t i0, int64_t m, int64_t nk,
                         float *inv, float *lse) {
    const struct kern *k = j->x->machine->kern;
    float most = -INFINITY;
    for (int64_t i = 0; i < m; i++) {
        float *row = s + i * j->ld;
        const int64_t n = j->pos + i0 + i + 1;
        const float max = k->max(row, n), sum = k->exp_sum(row, row, max, n);
        memset(row + n, 0, (size_t)(nk - n) * sizeof *row);
        inv[i] = 1.0f / sum;
        lse[i] = max + logf(sum);
        most = max > most ? max : most;
    }
    return most;
}

/* (m, hd) rows of one head, scaled, side by side. */
static void gather(const struct kern *k, float *dst, const float *src, int64_t ld, int64_t m,
                   int64_t hd, float scale) {
    for (int64_t i = 0; i < m; i++) {
        memcpy(dst + i * hd, src + i * ld, (size_t)hd * sizeof *dst);
        if (scale != 1) k->scale(dst + i * hd, scale, hd);
    }
}

static void forward_chunk(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    const int64_t hd = j->n->head_dim, group = j->n->heads / j->n->kv_heads;
    const int64_t kvh = t / j->chunks % j->n->kv_heads, b = t / j->chunks / j->n->kv_heads;
    const int64_t c0 = t % j->chunks * QC, c1 = c0 + QC < j->T ? c0 + QC : j->T, keys = j->pos + c1;
    const struct mat k = mat_f32(j->k + key_row(j, b) * j->ck + kvh * hd, j->ck, false);
    const struct mat v = mat_f32(j->v + key_row(j, b) * j->ck + kvh * hd, j->ck, true);
    const bool few = gemm_few(g, j->T); /* reads keys and values where they stand */
    struct scratch s = {exec_thread(j->x, tid)};
    void *room_k = carve(&s, gemm_pack_bytes(g, GEMM_B, k, keys, hd));
    void *room_v = carve(&s, gemm_pack_bytes(g, GEMM_B, v, hd, keys));
    float *q = carve_floats(&s, QB * hd), *p = carve_floats(&s, QB * j->ld);
    struct gemm_pack pk = {0}, pv = {0};
    float most = -INFINITY;
    if (!few) {
        pk = gemm_pack(g, GEMM_B, k, keys, hd, room_k);
        pv = gemm_pack(g, GEMM_B, v, hd, keys, room_v);
    }
    for (int64_t h = kvh * group; h < (kvh + 1) * group; h++)
        for (int64_t i0 = c0; i0 < c1; i0 += QB) {
            const int64_t m = c1 - i0 < QB ? c1 - i0 : QB, nk = j->pos + i0 + m,
                          row = b * j->T + i0;
            float inv[QB], lse[QB], *out = j->out + row * j->cq + h * hd;
            const struct mat mq = mat_f32(q, hd, false), mp = mat_f32(p, j->ld, false);
            gather(j->x->machine->kern, q, j->q + row * j->cq + h * hd, j->cq, m, hd, j->scale);
            if (few) {
                gemm_local(g, m, nk, hd, mq, k, p, j->ld, false, NULL);
            } else {
                const struct gemm_pack a = gemm_pack(g, GEMM_A, mq, m, hd, s.at),
                                       head = gemm_pack_head(&pk, nk, hd);
                gemm_mul(g, &a, &head, p, j->ld, false, NULL);
            }
            most = fmaxf(most, softmax_rows(j, p, i0, m, nk, inv, lse));
            if (few) {
                gemm_local(g, m, hd, nk, mp, v, out, j->cq, false, NULL);
            } else {
                const struct gemm_pack a = gemm_pack(g, GEMM_A, mp, m, nk, s.at),
                                       head = gemm_pack_head(&pv, hd, nk);
                gemm_mul(g, &a, &head, out, j->cq, false, NULL);
            }
            for (int64_t i = 0; i < m; i++) {
                j->x->machine->kern->scale(out + i * j->cq, inv[i], hd);
                j->lse[(row + i) * j->n->heads + h] = lse[i];
            }
        }
    if (j->peak) exec_raise(j->peak, most);
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = job_make(x, n);
    j.out = x->value[n->out[0]];
    pool_for(x->machine->pool, x->batch.B * n->kv_heads * j.chunks, forward_chunk, &j);
}

/* What one block of the gradient needs. */
struct block {
    struct gemm_pack pk, pv, pkt; /* keys and values against hd, keys against keys */
    float *q, *p, *ds;
    void *qt, *dyt, *a;
};

/* Probabilities again from the scores and the saved log-sum-exp, and dS = P (dP - D), D = dy . y */
static void score_grads(const struct job *j, const struct block *w, int64_t row, int64_t h,
                        int64_t i0, int64_t m, int64_t nk) {
    const struct kern *k = j->x->machine->kern;
    const int64_t hd = j->n->head_dim;
    for (int64_t i = 0; i < m; i++) {
        const int64_t n = j->pos + i0 + i + 1, at = (row + i) * j->cq + h * hd;
        float *p = w->p + i * j->ld, *ds = w->ds + i * j->ld;
        const float d = k->dot(j->dy + at, j->y + at, hd);
        k->exp_scale(p, p, j->lse[(row + i) * j->n->heads + h], 1, n);
        k->mul_shifted(ds, p, ds, d, n);
        memset(p + n, 0, (size_t)(nk - n) * sizeof *p);
        memset(ds + n, 0, (size_t)(nk - n) * sizeof *ds);
    }
}

static void backward_block(const struct job *j, const struct block *w, int64_t b, int64_t kvh,
                           int64_t h, int64_t i0) {
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    const int64_t hd = j->n->head_dim, m = j->T - i0 < QB ? j->T - i0 : QB, nk = i0 + m;
    const int64_t row = b * j->T + i0, at = row * j->cq + h * hd;
    float *dk = j->dk + b * j->T * j->ck + kvh * hd, *dv = j->dv + b * j->T * j->ck + kvh * hd;
    struct gemm_pack head = gemm_pack_head(&w->pk, nk, hd), a, rhs;

    const struct mat q = mat_f32(w->q, hd, false), qt = mat_f32(w->q, hd, true);
    const struct mat dy = mat_f32(j->dy + at, j->cq, false), dyt = mat_f32(j->dy + at, j->cq, true);

    gather(j->x->machine->kern, w->q, j->q + at, j->cq, m, hd, j->scale);
    a = gemm_pack(g, GEMM_A, q, m, hd, w->a);
    gemm_mul(g, &a, &head, w->p, j->ld, false, NULL); /* S = scale Q K' */
    a = gemm_pack(g, GEMM_A, dy, m, hd, w->a);
    head = gemm_pack_head(&w->pv, nk, hd);
    gemm_mul(g, &a, &head, w->ds, j->ld, false, NULL); /* dP = dY V' */
    score_grads(j, w, row, h, i0, m, nk);

    a = gemm_pack(g, GEMM_A, mat_f32(w->p, j->ld, true), nk, m, w->a);
    rhs = gemm_pack(g, GEMM_B, dyt, hd, m, w->dyt);
    gemm_mul(g, &a, &rhs, dv, j->ck, true, NULL); /* dV += P' dY */
    a = gemm_pack(g, GEMM_A, mat_f32(w->ds, j->ld, true), nk, m, w->a);
    rhs = gemm_pack(g, GEMM_B, qt, hd, m, w->qt);
    gemm_mul(g, &a, &rhs, dk, j->ck, true, NULL); /* dK += scale dS' Q */
    a = gemm_pack(g, GEMM_A, mat_f32(w->ds, j->ld, false), m, nk, w->a);
    head = gemm_pack_head(&w->pkt, hd, nk);
    gemm_mul(g, &a, &head, j->dq + at, j->cq, false, NULL); /* dQ = scale dS K */
    for (int64_t i = 0; i < m; i++)
        j->x->machine->kern->scale(j->dq + at + i * j->cq, j->scale, hd);
}

static void backward_chunk(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    const int64_t hd = j->n->head_dim, T = j->T, group = j->n->heads / j->n->kv_heads;
    const int64_t kvh = t % j->n->kv_heads, b = t / j->n->kv_heads,
                  first = b * T * j->ck + kvh * hd;
    struct scratch s = {exec_thread(j->x, tid)};
    struct block w;
    const struct mat k = mat_f32(j->k + first, j->ck, false),
                     kt = mat_f32(j->k + first, j->ck, true);
    const struct mat v = mat_f32(j->v + first, j->ck, false);
    w.pk = gemm_pack(g, GEMM_B, k, T, hd, carve(&s, pack_keys(g, T, hd, j->ck)));
    w.pv = gemm_pack(g, GEMM_B, v, T, hd, carve(&s, pack_keys(g, T, hd, j->ck)));
    w.pkt = gemm_pack(g, GEMM_B, kt, hd, T, carve(&s, pack_keys_t(g, T, hd, j->ck)));
    w.q = carve_floats(&s, QB * hd);
    w.p = carve_floats(&s, QB * j->ld);
    w.ds = carve_floats(&s, QB * j->ld);
    w.qt = carve(&s, pack_query_t(g, hd, hd));
    w.dyt = carve(&s, pack_query_t(g, hd, j->cq));
    w.a = s.at;
    for (int64_t i = 0; i < T; i++) {
        memset(j->dk + first + i * j->ck, 0, (size_t)hd * sizeof *j->dk);
        memset(j->dv + first + i * j->ck, 0, (size_t)hd * sizeof *j->dv);
    }
    for (int64_t h = kvh * group; h < (kvh + 1) * group; h++)
        for (int64_t i0 = 0; i0 < T; i0 += QB) backward_block(j, &w, b, kvh, h, i0);
}

static void backward(struct exec *x, const struct node *n) {
    assert(!x->event->adds); /* last_reader */
    struct job j = job_make(x, n);
    j.y = x->value[n->out[0]];
    j.dy = x->grad[n->out[0]];
    j.dq = x->grad[n->in[0]];
    j.dk = x->grad[n->in[1]];
    j.dv = x->grad[n->in[2]];
    pool_for(x->machine->pool, x->batch.B * n->kv_heads, backward_chunk, &j);
}

static size_t thread_work(const struct exec *x, const struct node *n, bool back) {
    const int64_t keys = x->opts.cache ? x->opts.cache : x->opts.T, hd = n->head_dim;
    return (back ? backward_bytes : forward_bytes)(exec_gemm(x, GEMM_EXACT), keys, hd,
                                                   n->heads * hd, n->kv_heads * hd);
}

static double flops(const struct graph *g, const struct node *n, bool backward, int64_t B,
                    int64_t T) {
    (void)g;
    return (backward ? 2 : 1) * 2.0 * 2.0 * (double)B * n->heads * n->head_dim *
           ((double)T * (double)(T + 1) / 2);
}

const struct op op_attn = {.name = "attn",
                           .forward = forward,
                           .backward = backward,
                           .reads_in = 7,
                           .reads_out = 3,
                           .no_grad_out = 2,
                           .last_reader = 7,
                           .inplace = -1,
                           .grad_pass = -1,
                           .thread_work = thread_work,
                           .flops = flops};
