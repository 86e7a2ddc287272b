/* The native backend: packed slivers and register-blocked kernels for every tier.
 *
 * Blocking as in BLIS (Van Zee & van de Geijn 2015, doi 10.1145/2764454), with the roles fixed: the
 * vector runs along B's rows, A is broadcast. A task is a tile of C of about TILE_M x TILE_N; inside
 * it k advances in blocks so that the slivers in use stay in the first two cache levels. */
#include "gemm_kern.h"

#include "arena.h"
#include "cpu.h"
#include "par.h"

#include <assert.h>
#include <string.h>

enum { TILE_M = 280, TILE_N = 128, BLOCK_K = 512 };

#if defined(__x86_64__)
#define TIERS(X) X(generic) X(avx2) X(avx512) X(avx512bf16)
#else
#define TIERS(X) X(generic)
#endif

#define X(t)                                                                                       \
    extern const struct gemm_kern gemm_kern_f32_##t;                                               \
    extern gemv_fn *const gemm_gemv_##t;
TIERS(X)
#undef X

const struct gemm_kern *gemm_kern_f32(void) {
    switch (cpu_tier()) {
#define X(t)                                                                                       \
    case CPU_##t: return &gemm_kern_f32_##t;
        TIERS(X)
#undef X
    default: return &gemm_kern_f32_generic;
    }
}

gemv_fn *gemm_kern_gemv(void) {
    switch (cpu_tier()) {
#define X(t)                                                                                       \
    case CPU_##t: return gemm_gemv_##t;
        TIERS(X)
#undef X
    default: return gemm_gemv_generic;
    }
}

const struct gemm_kern *gemm_kern_bf16(void) {
#if defined(__x86_64__)
    extern const struct gemm_kern gemm_kern_bf16_avx512bf16;
    if (cpu_tier() == CPU_avx512bf16) return &gemm_kern_bf16_avx512bf16;
#endif
    return NULL;
}

/* The kernel for a compute type, and whether values must be rounded while packing (bf16 compute on
 * a CPU without bf16 dot products runs on rounded f32: the same products, the same accumulation). */
static const struct gemm_kern *choose(const struct gemm *g, bool *round) {
    const struct gemm_kern *kn = g->compute == DT_BF16 ? gemm_kern_bf16() : NULL;
    *round = g->compute == DT_BF16;
    return kn ? kn : gemm_kern_f32();
}

static int64_t words(const struct gemm_kern *kn, int64_t k) {
    return kn->pairs ? (k + 1) / 2 : k;
}

/* First row of sliver s of `rows` rows cut into q slivers of nearly equal height. */
static int64_t sliver_row(int64_t rows, int64_t q, int64_t s) {
    const int64_t base = rows / q, more = rows % q;
    return s * base + (s < more ? s : more);
}

static int64_t slivers_a(const struct gemm_kern *kn, int64_t rows) {
    return (rows + kn->mr - 1) / kn->mr;
}

static int64_t slivers_b(const struct gemm_kern *kn, int64_t rows) {
    return (rows + kn->nr - 1) / kn->nr;
}

static size_t pack_bytes(const struct gemm *g, enum gemm_side side, int64_t rows, int64_t k) {
    bool round;
    const struct gemm_kern *kn = choose(g, &round);
    const int64_t r = side == GEMM_A ? rows : slivers_b(kn, rows) * kn->nr;
    return arena_need((size_t)(r * words(kn, k)) + ARENA_ALIGN / 4, 4);
}

struct pack_job {
    const struct gemm_kern *kn;
    const struct mat *src;
    int64_t rows, k;
    bool round;
    enum gemm_side side;
    uint32_t *dst;
};

static void pack_chunk(void *ctx, int64_t s, int tid) {
    (void)tid;
    const struct pack_job *j = ctx;
    const struct gemm_kern *kn = j->kn;
    const int64_t w = words(kn, j->k);
    if (j->side == GEMM_A) {
        const int64_t q = slivers_a(kn, j->rows), r0 = sliver_row(j->rows, q, s);
        const int h = (int)(sliver_row(j->rows, q, s + 1) - r0);
        kn->pack(j->src, r0, h, h, j->k, j->round, j->dst + r0 * w);
    } else {
        const int64_t r0 = s * kn->nr, left = j->rows - r0;
        const int h = (int)(left < kn->nr ? left : kn->nr);
        kn->pack(j->src, r0, h, kn->nr, j->k, j->round, j->dst + r0 * w);
    }
}

static void native_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst) {
    struct pack_job j = {.src = &p->src, .rows = p->rows, .k = p->k, .side = side, .dst = dst};
    j.kn = choose(g, &j.round);
    /* A transposed f32 A already has its rows side by side: the kernel can walk it as it stands. */
    if (side == GEMM_A && p->src.trans && p->src.dtype == DT_F32 && !j.kn->pairs && !j.round) {
        p->data = NULL;
        return;
    }
    par_for(side == GEMM_A ? slivers_a(j.kn, p->rows) : slivers_b(j.kn, p->rows), pack_chunk, &j);
    p->data = dst;
}

struct mul_job {
    const struct gemm_kern *kn;
    const struct gemm_pack *a, *b;
    float *c;
    int64_t ldc, words, words_b, qa, qb, block_k; /* words_b: k of a sliver of B as packed */
    int64_t step_a, step_b, tiles_a; /* slivers a tile, tiles along A */
    bool add;
};

/* One kernel call at the right edge, where C has fewer than nr columns. */
static void mul_edge(const struct mul_job *j, int h, int64_t k, const uint32_t *a, int64_t astride,
                     const uint32_t *b, float *c, int n, bool add) {
    float tile[14 * 32];
    const int nr = j->kn->nr;
    if (add)
        for (int i = 0; i < h; i++) {
            memcpy(tile + i * nr, c + i * j->ldc, sizeof *tile * (size_t)n);
            memset(tile + i * nr + n, 0, sizeof *tile * (size_t)(nr - n));
        }
    j->kn->mul(h, k, a, astride, b, tile, nr, add);
    for (int i = 0; i < h; i++) memcpy(c + i * j->ldc, tile + i * nr, sizeof *tile * (size_t)n);
}

static void mul_chunk(void *ctx, int64_t t, int tid) {
    (void)tid;
    const struct mul_job *j = ctx;
    const struct gemm_kern *kn = j->kn;
    const int64_t a0 = t % j->tiles_a * j->step_a, b0 = t / j->tiles_a * j->step_b;
    const int64_t a1 = a0 + j->step_a < j->qa ? a0 + j->step_a : j->qa;
    const int64_t b1 = b0 + j->step_b < j->qb ? b0 + j->step_b : j->qb;
    for (int64_t k0 = 0; k0 < j->words; k0 += j->block_k) {
        const int64_t k = j->words - k0 < j->block_k ? j->words - k0 : j->block_k;
        const bool add = j->add || k0 > 0;
        for (int64_t sb = b0; sb < b1; sb++) {
            const int64_t col = sb * kn->nr, left = j->b->rows - col;
            const uint32_t *b = (const uint32_t *)j->b->data + (col * j->words_b + k0 * kn->nr);
            for (int64_t sa = a0; sa < a1; sa++) {
                const int64_t row = sliver_row(j->a->rows, j->qa, sa);
                const int h = (int)(sliver_row(j->a->rows, j->qa, sa + 1) - row);
                const int64_t stride = j->a->data ? h : j->a->src.ld;
                const uint32_t *a = j->a->data
                                        ? (const uint32_t *)j->a->data + row * j->words + k0 * h
                                        : (const uint32_t *)j->a->src.data + k0 * stride + row;
                float *c = j->c + row * j->ldc + col;
                if (left < kn->nr) mul_edge(j, h, k, a, stride, b, c, (int)left, add);
                else kn->mul(h, k, a, stride, b, c, j->ldc, add);
            }
        }
    }
}

static void native_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                       float *c, int64_t ldc, bool add) {
    bool round;
    struct mul_job j = {.a = a, .b = b, .c = c, .ldc = ldc, .add = add};
    j.kn = choose(g, &round);
    assert(a->k == b->k && b->data);
    j.words = words(j.kn, a->k);
    j.words_b = words(j.kn, b->full_k);
    j.qa = slivers_a(j.kn, a->rows);
    j.qb = slivers_b(j.kn, b->rows);
    if (j.words == 0 || j.qa == 0 || j.qb == 0) return;
    const int64_t blocks = (j.words + BLOCK_K - 1) / BLOCK_K;
    j.block_k = (j.words + blocks - 1) / blocks;
    j.step_a = TILE_M / j.kn->mr;
    j.step_b = TILE_N / j.kn->nr;
    j.tiles_a = (j.qa + j.step_a - 1) / j.step_a;
    par_for(j.tiles_a * ((j.qb + j.step_b - 1) / j.step_b), mul_chunk, &j);
}

static bool accepts(enum dtype compute) {
    /* Matrix tiles beat vectors by far; only the library backends know them. */
    return compute == DT_F32 || !cpu_has_amx_bf16();
}

const struct gemm_backend gemm_native = {
    "native", "packed slivers, kernels for every tier; exact", true,
    accepts, pack_bytes, native_pack, native_mul,
};
