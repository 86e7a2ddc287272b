/* Causal grouped-query attention, softmax(scale q k') v per head, without (heads, T, T) in memory:
 * blocks of query rows against the keys before them, and the scores made again for the gradient
 * (Dao et al. 2022, arXiv 2205.14135).
 * in: q (rows, heads*hd), k, v (rows, kv_heads*hd). out: y (rows, heads*hd), lse (rows, heads): the
 * log-sum-exp of each query's scaled scores. attrs: heads, kv_heads, head_dim.
 * Query head h reads key head h / (heads / kv_heads). During generation k and v hold all positions
 * up to the present ones, which start at x->batch.pos.
 *
 * How finely the work is cut depends on the number of threads; no sum does. An element of the
 * output or of dQ is a sum over keys from the first to the last, and lies in one block of queries;
 * one of dK or dV is a sum over the heads of its group and their queries, in order, and lies in one
 * block of keys. Every product has the same shape however blocks are handed out. */
#include "op.h"

#include <assert.h>
#include <math.h>

enum {
    QB = 64,  /* query rows a block: scores (QB, keys) stay in the second-level cache */
    QC = 256, /* query rows a task of the forward pass, at most */
    KB = 32,  /* keys whose gradients are one product; a part of QB */
    EACH = 2, /* tasks that there should be for each thread */
};

struct job {
    struct exec *x;
    const struct node *n;
    const float *q, *k, *v, *y, *dy;
    float *out, *lse, *dq, *dk, *dv;
    int64_t T, pos;
    int64_t units, group;        /* key heads of all sequences; query heads of a key head */
    int64_t rows, heads, chunks; /* forward: query rows and heads a task, tasks a head */
    int64_t blocks;              /* of query rows, of all heads of a unit: head by head */
    int64_t first, last;         /* of them, those of this round */
    size_t slot;                 /* bytes of one block's operands */
    int64_t cq, ck, ld;          /* columns of q and of k; from one row of scores to the next */
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

/* Row kernels run over whole vectors of any tier: behind a row's scores is room for one. */
enum { SCORE_PAD = 16 };

static int64_t whole(int64_t n) {
    return (n + SCORE_PAD - 1) / SCORE_PAD * SCORE_PAD;
}

/* Leading dimension of a block of scores: rows a whole page apart would share cache sets. */
static int64_t score_ld(int64_t keys) {
    const int64_t ld = whole(keys) + SCORE_PAD;
    return ld % 1024 ? ld : ld + SCORE_PAD;
}

/* Room for blocks of scores against up to so many keys: fewer may need the padding when all
 * do not. */
static size_t score_bytes(int64_t keys) {
    return arena_round((size_t)(QB * (whole(keys) + 2 * SCORE_PAD)) * sizeof(float));
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
    const size_t t = gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, score_ld(keys), true), KB, QB);
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

/* What one block of query rows leaves for the gradients of keys and values. */
struct block {
    struct gemm_pack qt, dyt; /* scaled queries and gradients of the output, transposed */
    float *q, *p, *ds;        /* queries, probabilities and their gradient */
};

static size_t slot_bytes(const struct gemm *g, int64_t keys, int64_t hd, int64_t cq) {
    return arena_round(sizeof(struct block)) + floats(QB * hd) + 2 * score_bytes(keys) +
           arena_round(pack_query_t(g, hd, hd)) + arena_round(pack_query_t(g, hd, cq));
}

/* Without the slot of a block. */
static size_t backward_bytes(const struct gemm *g, int64_t keys, int64_t hd, int64_t cq,
                             int64_t ck) {
    return 2 * pack_keys(g, keys, hd, ck) + pack_keys_t(g, keys, hd, ck) +
           pack_a(g, keys, hd, cq) + 8 * ARENA_ALIGN;
}

static struct job job_make(struct exec *x, const struct node *n) {
    const int64_t hd = n->head_dim, group = n->heads / n->kv_heads;
    return (struct job){.x = x,
                        .n = n,
                        .q = x->value[n->in[0]],
                        .k = x->value[n->in[1]],
                        .v = x->value[n->in[2]],
                        .lse = x->value[n->out[1]],
                        .T = x->batch.T,
                        .pos = x->batch.pos,
                        .units = x->batch.B * n->kv_heads,
                        .group = group,
                        .blocks = group * ((x->batch.T + QB - 1) / QB),
                        .cq = n->heads * hd,
                        .ck = n->kv_heads * hd,
                        .ld = score_ld(x->batch.pos + x->batch.T),
                        .scale = 1.0f / sqrtf((float)hd),
                        .peak = exec_watched(x) ? x->peaks->logit + n->block : NULL};
}

static int64_t cuts(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}

/* First key row of sequence b. Past positions exist only when there is one sequence. */
static int64_t key_row(const struct job *j, int64_t b) {
    return b * j->T;
}

/* (m, hd) rows of one head, scaled: from one place to another, or where they stand. */
static void scaled(const struct job *j, float *y, int64_t ldy, const float *x, int64_t ldx,
                   int64_t m) {
    float factor[QB];
    for (int i = 0; i < QB; i++) factor[i] = j->scale;
    j->x->machine->kern->scale_rows(y, ldy, x, ldx, factor, m, j->n->head_dim);
}

/* The keys and values of a task, packed, or (few) read where they stand. */
struct keys {
    struct mat k, v;
    struct gemm_pack pk, pv;
    bool few;
};

/* out = A B' for a causal block: rows of A end, or those of the result. */
static void causal(const struct gemm *g, const struct gemm_pack *a, enum gemm_tri tri,
                   int64_t diag, const struct gemm_pack *b, float *out, int64_t ld) {
    const struct gemm_pack part = gemm_pack_tri(a, tri, diag),
                           head = gemm_pack_head(b, tri == GEMM_TRI_C ? diag + a->rows : b->rows,
                                                 a->k);
    gemm_mul(g, &part, &head, out, ld, false, NULL);
}

/* Rows of scores to exponentials: row i sees keys up to pos + i0 + i. What comes of dividing by
 * their sums: inv; lse: the log-sum-exp, `heads` floats apart. Returns the largest score. */
static float softmax(const struct job *j, float *s, int64_t i0, int64_t m, float *inv,
                     float *lse) {
    float most[QB], sum[QB], all = -INFINITY;
    const int64_t n = j->pos + i0;
    j->x->machine->kern->softmax(s, j->ld, m, n + 1, n + m, most, sum);
    for (int64_t i = 0; i < m; i++) {
        inv[i] = 1.0f / sum[i];
        lse[i * j->n->heads] = most[i] + logf(sum[i]);
        all = most[i] > all ? most[i] : all;
    }
    return all;
}

/* Query rows [i0, i0 + m) of head h of sequence b. Returns the largest score. */
static float forward_block(const struct job *j, const struct keys *w, int64_t b, int64_t h,
                           int64_t i0, int64_t m, struct scratch s) {
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    const int64_t hd = j->n->head_dim, nk = j->pos + i0 + m, row = b * j->T + i0;
    float *q = carve_floats(&s, QB * hd), *p = carve_floats(&s, QB * j->ld), inv[QB];
    float *out = j->out + row * j->cq + h * hd;
    const struct mat mq = mat_f32(q, hd, false), mp = mat_f32(p, j->ld, false);
    scaled(j, q, hd, j->q + row * j->cq + h * hd, j->cq, m);
    if (w->few) {
        gemm_local(g, m, nk, hd, mq, w->k, p, j->ld, false, NULL);
    } else {
        const struct gemm_pack a = gemm_pack(g, GEMM_A, mq, m, hd, s.at);
        causal(g, &a, GEMM_TRI_C, nk - m, &w->pk, p, j->ld);
    }
    const float most = softmax(j, p, i0, m, inv, j->lse + row * j->n->heads + h);
    if (w->few) {
        gemm_local(g, m, hd, nk, mp, w->v, out, j->cq, false, NULL);
    } else {
        const struct gemm_pack a = gemm_pack(g, GEMM_A, mp, m, nk, s.at);
        causal(g, &a, GEMM_TRI_LOWER, nk - m, &w->pv, out, j->cq);
    }
    j->x->machine->kern->scale_rows(out, j->cq, out, j->cq, inv, m, hd);
    return most;
}

/* The last rows, which see the most keys, come first. */
static void forward_chunk(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    const int64_t hd = j->n->head_dim, heads = j->n->heads / j->heads; /* tasks side by side */
    const int64_t h0 = t % heads * j->heads, kvh = h0 / j->group, b = t / heads % j->x->batch.B;
    const int64_t c0 = (j->chunks - 1 - t / heads / j->x->batch.B) * j->rows;
    const int64_t c1 = c0 + j->rows < j->T ? c0 + j->rows : j->T, keys = j->pos + c1;
    struct scratch s = {exec_thread(j->x, tid)};
    struct keys w = {.k = mat_f32(j->k + key_row(j, b) * j->ck + kvh * hd, j->ck, false),
                     .v = mat_f32(j->v + key_row(j, b) * j->ck + kvh * hd, j->ck, true),
                     .few = gemm_few(g, j->T)};
    float most = -INFINITY;
    if (!w.few) {
        void *room = carve(&s, gemm_pack_bytes(g, GEMM_B, w.k, keys, hd));
        w.pk = gemm_pack(g, GEMM_B, w.k, keys, hd, room);
        room = carve(&s, gemm_pack_bytes(g, GEMM_B, w.v, hd, keys));
        w.pv = gemm_pack(g, GEMM_B, w.v, hd, keys, room);
    }
    for (int64_t h = h0; h < h0 + j->heads; h++)
        for (int64_t i0 = c0; i0 < c1; i0 += QB)
            most = fmaxf(most, forward_block(j, &w, b, h, i0, c1 - i0 < QB ? c1 - i0 : QB, s));
    if (j->peak) exec_raise(j->peak, most);
}

static int64_t tasks_wanted(const struct exec *x) {
    return EACH * machine_threads(x->machine);
}

/* A task packs its keys and values: the fewer the better, as long as every thread has some. */
static void forward(struct exec *x, const struct node *n) {
    struct job j = job_make(x, n);
    j.out = x->value[n->out[0]];
    j.rows = QC;
    j.heads = j.group;
    while (j.rows > QB && j.units * cuts(j.T, j.rows) < tasks_wanted(x)) j.rows /= 2;
    if (j.units * cuts(j.T, j.rows) < tasks_wanted(x)) j.heads = 1;
    j.chunks = cuts(j.T, j.rows);
    pool_for(x->machine->pool, x->batch.B * n->heads / j.heads * j.chunks, forward_chunk, &j);
}

/* Probabilities again from the scores and the saved log-sum-exp, and dS = P (dP - D), D = dy . y */
static void score_grads(const struct job *j, const struct block *w, int64_t row, int64_t h,
                        int64_t i0, int64_t m) {
    const struct kern *k = j->x->machine->kern;
    const int64_t hd = j->n->head_dim;
    float lse[QB], d[QB];
    for (int64_t i = 0; i < m; i++) {
        const int64_t at = (row + i) * j->cq + h * hd;
        d[i] = k->dot(j->dy + at, j->y + at, hd);
        lse[i] = j->lse[(row + i) * j->n->heads + h];
    }
    k->softmax_grad(w->p, w->ds, j->ld, m, i0 + 1, i0 + m, lse, d);
}

/* Keys and values of a unit as the backward pass packs them. */
struct packed {
    struct gemm_pack pk, pv, pkt; /* keys and values against hd, keys against keys */
    void *a;                      /* room for what is on the left */
};

/* The first nk keys. */
static struct packed pack_unit(const struct job *j, int64_t unit, int64_t nk, void *room) {
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    const int64_t hd = j->n->head_dim, kvh = unit % j->n->kv_heads, b = unit / j->n->kv_heads,
                  first = b * j->T * j->ck + kvh * hd;
    const struct mat k = mat_f32(j->k + first, j->ck, false),
                     kt = mat_f32(j->k + first, j->ck, true),
                     v = mat_f32(j->v + first, j->ck, false);
    struct scratch s = {room};
    struct packed w;
    w.pk = gemm_pack(g, GEMM_B, k, nk, hd, carve(&s, pack_keys(g, nk, hd, j->ck)));
    w.pv = gemm_pack(g, GEMM_B, v, nk, hd, carve(&s, pack_keys(g, nk, hd, j->ck)));
    w.pkt = gemm_pack(g, GEMM_B, kt, hd, nk, carve(&s, pack_keys_t(g, nk, hd, j->ck)));
    w.a = s.at;
    return w;
}

/* Block s of a unit: of which head, from which row on. */
static void block_place(const struct job *j, int64_t unit, int64_t s, int64_t *h, int64_t *i0) {
    const int64_t per_head = cuts(j->T, QB);
    *h = unit % j->n->kv_heads * j->group + s / per_head;
    *i0 = s % per_head * QB;
}

static struct block *block_at(const struct job *j, void *slot) {
    struct scratch s = {slot};
    struct block *w = carve(&s, sizeof *w);
    w->q = carve_floats(&s, QB * j->n->head_dim);
    w->p = carve_floats(&s, QB * j->ld);
    w->ds = carve_floats(&s, QB * j->ld);
    return w;
}

/* Gradients of the scores of a block, and of its queries. */
static void query_grads(const struct job *j, const struct packed *keys, int64_t unit, int64_t s,
                        void *slot) {
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    int64_t h, i0;
    block_place(j, unit, s, &h, &i0);
    const int64_t hd = j->n->head_dim, m = j->T - i0 < QB ? j->T - i0 : QB,
                  row = unit / j->n->kv_heads * j->T + i0, at = row * j->cq + h * hd;
    const struct mat dyt = mat_f32(j->dy + at, j->cq, true);
    struct block *w = block_at(j, slot);
    struct scratch room = {(char *)(w->ds + QB * j->ld)};
    struct gemm_pack a;

    scaled(j, w->q, hd, j->q + at, j->cq, m);
    a = gemm_pack(g, GEMM_A, mat_f32(w->q, hd, false), m, hd, keys->a);
    causal(g, &a, GEMM_TRI_C, i0, &keys->pk, w->p, j->ld); /* S = scale Q K' */
    a = gemm_pack(g, GEMM_A, mat_f32(j->dy + at, j->cq, false), m, hd, keys->a);
    causal(g, &a, GEMM_TRI_C, i0, &keys->pv, w->ds, j->ld); /* dP = dY V' */
    score_grads(j, w, row, h, i0, m);

    a = gemm_pack(g, GEMM_A, mat_f32(w->ds, j->ld, false), m, i0 + m, keys->a);
    causal(g, &a, GEMM_TRI_LOWER, i0, &keys->pkt, j->dq + at, j->cq); /* dQ = scale dS K */
    scaled(j, j->dq + at, j->cq, j->dq + at, j->cq, m);
    w->dyt = gemm_pack(g, GEMM_B, dyt, hd, m, carve(&room, pack_query_t(g, hd, j->cq)));
    w->qt = gemm_pack(g, GEMM_B, mat_f32(w->q, hd, true), hd, m, room.at);
}

/* What block s adds to the gradients of keys and values [k0, k0 + KB): the first whose queries see
 * these keys begins. */
static void key_grads(const struct job *j, const struct block *w, int64_t unit, int64_t s,
                      int64_t k0, void *room) {
    const struct gemm *g = exec_gemm(j->x, GEMM_EXACT);
    int64_t h, i0;
    block_place(j, unit, s, &h, &i0);
    const bool add = s > k0 / QB;
    const int64_t hd = j->n->head_dim, m = w->qt.k, left = i0 + m - k0, n = left < KB ? left : KB;
    const int64_t at =
        (unit / j->n->kv_heads * j->T + k0) * j->ck + unit % j->n->kv_heads * hd;
    struct gemm_pack a = gemm_pack(g, GEMM_A, mat_f32(w->p + k0, j->ld, true), n, m, room);
    a = gemm_pack_tri(&a, GEMM_TRI_UPPER, i0 - k0);
    gemm_mul(g, &a, &w->dyt, j->dv + at, j->ck, add, NULL); /* dV += P' dY */
    a = gemm_pack(g, GEMM_A, mat_f32(w->ds + k0, j->ld, true), n, m, room);
    a = gemm_pack_tri(&a, GEMM_TRI_UPPER, i0 - k0);
    gemm_mul(g, &a, &w->qt, j->dk + at, j->ck, add, NULL); /* dK += scale dS' Q */
}

/* All of a unit by one thread: what a block leaves is used while it is at hand. */
static void unit_grads(void *ctx, int64_t unit, int tid) {
    const struct job *j = ctx;
    char *slot = exec_thread(j->x, tid);
    const struct packed w = pack_unit(j, unit, j->T, slot + j->slot);
    for (int64_t s = 0; s < j->blocks; s++) {
        int64_t h, i0;
        block_place(j, unit, s, &h, &i0);
        query_grads(j, &w, unit, s, slot);
        for (int64_t k0 = 0; k0 < j->T && k0 < i0 + QB; k0 += KB)
            key_grads(j, (struct block *)(void *)slot, unit, s, k0, w.a);
    }
}

static void *round_slot(const struct job *j, int64_t unit, int64_t s) {
    return (char *)j->x->work + (size_t)(unit * (j->last - j->first) + s - j->first) * j->slot;
}

/* Task t of a round's first loop: a block of queries. */
static void round_queries(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const int64_t unit = t % j->units, s = j->last - 1 - t / j->units;
    int64_t h, i0;
    block_place(j, unit, s, &h, &i0);
    const int64_t nk = j->T - i0 < QB ? j->T : i0 + QB;
    const struct packed w = pack_unit(j, unit, nk, exec_thread(j->x, tid));
    query_grads(j, &w, unit, s, round_slot(j, unit, s));
}

/* Task t of its second: KB keys. The first ones are seen by the most queries. */
static void round_keys(void *ctx, int64_t t, int tid) {
    const struct job *j = ctx;
    const int64_t unit = t % j->units, k0 = t / j->units * KB;
    for (int64_t s = j->first; s < j->last; s++) {
        int64_t h, i0;
        block_place(j, unit, s, &h, &i0);
        if (k0 < i0 + QB)
            key_grads(j, round_slot(j, unit, s), unit, s, k0, exec_thread(j->x, tid));
    }
}

/* Blocks of each unit that are taken at a time, so that there are enough tasks; 0: the units are
 * tasks enough. */
static int64_t round_blocks(const struct exec *x, const struct node *n, int64_t B, int64_t T) {
    const int64_t units = B * n->kv_heads, want = cuts(tasks_wanted(x), units);
    const int64_t blocks = n->heads / n->kv_heads * cuts(T, QB);
    if (units >= tasks_wanted(x)) return 0;
    return blocks < 2 * want ? blocks : cuts(blocks, blocks / want);
}

static void backward(struct exec *x, const struct node *n) {
    assert(!x->event->adds); /* last_reader */
    struct job j = job_make(x, n);
    const struct gemm *g = exec_gemm(x, GEMM_EXACT);
    const int64_t some = round_blocks(x, n, x->opts.B, x->opts.T); /* what there is room for */
    j.slot = slot_bytes(g, x->opts.T, n->head_dim, j.cq);
    j.y = x->value[n->out[0]];
    j.dy = x->grad[n->out[0]];
    j.dq = x->grad[n->in[0]];
    j.dk = x->grad[n->in[1]];
    j.dv = x->grad[n->in[2]];
    if (!some) pool_for(x->machine->pool, j.units, unit_grads, &j);
    for (j.first = 0; some && j.first < j.blocks; j.first = j.last) {
        j.last = j.first + some < j.blocks ? j.first + some : j.blocks;
        pool_for(x->machine->pool, j.units * (j.last - j.first), round_queries, &j);
        pool_for(x->machine->pool, j.units * cuts(j.T, KB), round_keys, &j);
    }
}

static size_t work(const struct exec *x, const struct node *n, bool back) {
    const size_t each = slot_bytes(exec_gemm(x, GEMM_EXACT), x->opts.T, n->head_dim,
                                   n->heads * n->head_dim);
    if (!back) return 0;
    return (size_t)(x->opts.B * n->kv_heads * round_blocks(x, n, x->opts.B, x->opts.T)) * each;
}

static size_t thread_work(const struct exec *x, const struct node *n, bool back) {
    const struct gemm *g = exec_gemm(x, GEMM_EXACT);
    const int64_t keys = x->opts.cache ? x->opts.cache : x->opts.T, hd = n->head_dim;
    const int64_t cq = n->heads * hd, ck = n->kv_heads * hd;
    if (!back) return forward_bytes(g, keys, hd, cq, ck);
    return backward_bytes(g, keys, hd, cq, ck) +
           (round_blocks(x, n, x->opts.B, x->opts.T) ? 0 : slot_bytes(g, keys, hd, cq));
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
                           .work = work,
                           .thread_work = thread_work,
                           .flops = flops};
