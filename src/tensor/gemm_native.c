/* The native backend: register-blocked kernels for every tier.
 *
 * Blocking as in BLIS (Van Zee & van de Geijn 2015, doi 10.1145/2764454), with two differences. The
 * roles are fixed: the vector runs along B's rows, A is broadcast, and so A need not be packed
 * unless it is transposed. And the thread that uses a panel of B packs it, into scratch of its own
 * that stays in its second-level cache: a panel packed by another core would have to come out of
 * that core's cache, which costs more than packing it. */
#include "gemm_kern.h"

#include "arena.h"
#include "clock.h"
#include "gemm_cut.h"

#include <assert.h>
#include <string.h>

enum {
    MOST_MR = 14,   /* of all rows of kernels */
    SIDES = 2,      /* variants of B packed at once, each in its share of the scratch */
    SET_LINES = 6,  /* of 8, with two for B and C */
    GRAIN = 1 << 19 /* multiply-adds of a task at least */
};

/* bf16 compute on a CPU without bf16 dot products runs on rounded f32: the same products, the same
 * accumulation. */
static const struct gemm_kern *kernel(enum dtype compute, const struct cpu *cpu) {
    const struct gemm_kern *kn = compute == DT_BF16 ? gemm_kern_bf16(cpu->tier) : NULL;
    return kn ? kn : gemm_kern_f32(cpu->tier);
}

/* Values must be rounded while packing. */
static bool rounds(const struct gemm *g) {
    return g->compute == DT_BF16;
}

static int64_t words(const struct gemm_kern *kn, int64_t k) {
    return (k + kn->per_word - 1) / kn->per_word;
}

/* Scales of each row of B over so many words. */
static int64_t parts(const struct gemm_kern *kn, int64_t words) {
    return kn->scale_k ? (words * kn->per_word + kn->scale_k - 1) / kn->scale_k : 0;
}

/* Words of a sliver of B over so many words of k, with its scales. */
static int64_t sliver_words(const struct gemm_kern *kn, int64_t words) {
    return kn->nr * (words + parts(kn, words));
}

static int64_t slivers(int64_t rows, int height) {
    return (rows + height - 1) / height;
}

/* ---- operands -------------------------------------------------------------------------------- */

/* Rows that a kernel reads side by side may all be in one set: it has eight lines or more. Of a
 * transposed A tasks copy what they use (copy_a). */
static bool reads_in_place(const struct gemm_kern *kn, const struct mat *m, bool round) {
    const bool fits = m->trans ? kn->copy_a != NULL : kn->mr <= SET_LINES;
    return kn->per_word == 1 && !kn->scale_k && !round && m->dtype == DT_F32 &&
           (fits || !gemm_bad_stride(m->ld));
}

/* Words from one line of the copy of A to the next; *lines: how many. */
static int64_t copy_ld(const struct gemm_kern *kn, bool trans, int64_t rows, int64_t k,
                       int64_t *lines) {
    const int64_t w = trans ? rows : words(kn, k);
    *lines = trans ? words(kn, k) : rows;
    return gemm_bad_stride(w) ? w + ARENA_ALIGN / 4 : w;
}

static size_t pack_bytes(const struct gemm *g, enum gemm_side side, const struct mat *m,
                         int64_t rows, int64_t k) {
    int64_t lines;
    const struct gemm_kern *kn = g->kernel;
    if (side == GEMM_B)
        return arena_need((size_t)(slivers(rows, kn->nr) * sliver_words(kn, words(kn, k))), 4);
    if (reads_in_place(kn, m, rounds(g))) return 0;
    /* The padding in any case: a smaller operand may need what a larger one does not. */
    const int64_t ld = copy_ld(kn, m->trans, rows, k, &lines) + ARENA_ALIGN / 4;
    return arena_need((size_t)(ld * lines + (kn->scale_k ? rows : 0)), 4);
}

static size_t panel_bytes(const struct gemm *g, int64_t rows, int64_t k) {
    const struct gemm_kern *kn = g->kernel;
    const int64_t w = words(kn, k) < g->block.words ? words(kn, k) : g->block.words;
    const int64_t most = slivers(g->block.panel, kn->nr), sides = SIDES * slivers(rows, kn->nr);
    return arena_need((size_t)((sides < most ? sides : most) * sliver_words(kn, w) +
                               g->block.tile_m * w),
                      4);
}

struct pack_job {
    const struct gemm_kern *kn;
    const struct gemm_pack *p;
    bool round;
    int64_t lines, ld;
    int64_t blocks; /* of k, in which slivers of B are packed */
    uint32_t *dst;
    float *scale; /* of A */
};

static void pack_sliver(void *ctx, int64_t t, int tid) {
    (void)tid;
    const struct pack_job *j = ctx;
    const int nr = j->kn->nr, each = j->kn->per_word;
    const int64_t s = t / j->blocks, block = t % j->blocks, all = words(j->kn, j->p->k);
    const int64_t row = s * nr, left = j->p->rows - row;
    const int h = left < nr ? (int)left : nr;
    const int64_t w0 = gemm_cut_begin(all, j->blocks, block), p0 = w0 * each;
    const int64_t end = each * gemm_cut_begin(all, j->blocks, block + 1);
    const int64_t k = (end < j->p->k ? end : j->p->k) - p0;
    uint32_t *dst = j->dst + s * sliver_words(j->kn, all) + w0 * nr;
    if (j->p->src.trans && j->kn->pack_lines)
        j->kn->pack_lines(&j->p->src, 0, row, h, p0, k, j->round, dst, 0);
    else
        j->kn->pack_b(&j->p->src, 0, 1, row, h, nr, p0, k, j->round, dst, 0);
}

enum { COPY_LINES = 16 };

static void copy_lines(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct pack_job *j = ctx;
    const int64_t end = (c + 1) * COPY_LINES < j->lines ? (c + 1) * COPY_LINES : j->lines;
    for (int64_t l = c * COPY_LINES; l < end; l++)
        j->kn->pack_a(&j->p->src, l, j->p->rows, j->p->k, j->round, j->scale, j->dst + l * j->ld);
}

static void scale_rows(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct pack_job *j = ctx;
    const int64_t row = c * COPY_LINES, left = j->p->rows - row;
    j->kn->scale_a(&j->p->src, row, left < COPY_LINES ? left : COPY_LINES, j->p->k,
                   j->scale + row);
}

static int64_t chunks(int64_t lines) {
    return (lines + COPY_LINES - 1) / COPY_LINES;
}

static void native_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst) {
    struct pack_job j = {.kn = g->kernel, .p = p, .round = rounds(g), .dst = dst};
    if (side == GEMM_B) {
        const int64_t n = slivers(p->rows, j.kn->nr);
        /* Scales stand behind all words. */
        j.blocks = j.kn->scale_k ? 1 : gemm_cut_pack(n, words(j.kn, p->k), pool_reach(g->pool));
        pool_for(g->pool, n * j.blocks, pack_sliver, &j);
        p->data = dst;
    } else if (!reads_in_place(j.kn, &p->src, j.round)) {
        j.ld = p->ld = copy_ld(j.kn, p->src.trans, p->rows, p->k, &j.lines);
        if (j.kn->scale_k) {
            p->scale = j.scale = (float *)(void *)(j.dst + j.ld * j.lines);
            pool_for(g->pool, chunks(p->rows), scale_rows, &j);
        }
        pool_for(g->pool, chunks(j.lines), copy_lines, &j);
        p->data = dst;
    }
}

/* ---- products -------------------------------------------------------------------------------- */

struct mul_job {
    const struct gemm *g;
    const struct gemm_kern *kn;
    const struct gemm_pack *a, *b;
    const uint32_t *pa; /* words of A */
    int64_t lda;
    float *c;
    int64_t ldc;
    int64_t rows, group_rows; /* of A, in one group; from one group to the next */
    int variants, sides;   /* of B; packed at once */
    int64_t words, qa, qb; /* words of k; slivers of a group of A, and of B */
    int64_t height, higher; /* rows of a sliver of A; so many, the first ones, have one more */
    int64_t panels, parts; /* tasks: panels of B by parts of A */
    int64_t blocks;        /* of k */
    char *scratch;         /* panels that tasks pack, one a thread; NULL: B is packed */
    size_t scratch_bytes;
    bool add, round;
    enum gemm_tri tri;
    bool copies; /* tasks copy the rows of A that they use */
    enum gemm_form form; /* of A where it is */
    bool on; /* goes on with the sums of the job before it */
    bool same_b; /* as the job before it */
};

/* Rows of A as a kernel reads them. */
struct rows {
    const uint32_t *a;
    int64_t ld;
    enum gemm_form form;
};

/* One kernel call at the right edge, where C has fewer than nr columns. */
static void mul_edge(const struct mul_job *j, int h, int64_t k, const struct rows *a,
                     const uint32_t *b, float *c, int n, bool add,
                     const struct gemm_scales *scales) {
    float tile[MOST_MR * 32];
    const int nr = j->kn->nr;
    const bool half = j->kn->mul_half && n <= nr / 2;
    if (half && n == nr / 2) {
        j->kn->mul_half(h, a->form, k, a->a, a->ld, b, c, j->ldc, add, scales);
        return;
    }
    if (add)
        for (int i = 0; i < h; i++) {
            memcpy(tile + i * nr, c + i * j->ldc, sizeof *tile * (size_t)n);
            memset(tile + i * nr + n, 0, sizeof *tile * (size_t)(nr - n));
        }
    (half ? j->kn->mul_half : j->kn->mul)(h, a->form, k, a->a, a->ld, b, tile, nr, add, scales);
    for (int i = 0; i < h; i++) memcpy(c + i * j->ldc, tile + i * nr, sizeof *tile * (size_t)n);
}

/* A piece of work: words [k0, k0 + k) of slivers [sa0, sa1) of group v of A, against slivers
 * [sb0, sb1) of B. copy: where the words of A have been copied to, or NULL. */
struct piece {
    int64_t k0, k, sa0, sa1, sb0, sb1;
    int v;
    uint32_t *copy;
};

/* Words [begin, end) of k that rows [at, at + h) of a triangular A need, against columns from col
 * on: of w's. False: none, and C stays as it is (a first block of k writes it: 0). */
struct range {
    int64_t begin, end;
};

static bool needed(const struct mul_job *j, const struct piece *w, int64_t at, int h, int64_t col,
                   struct range *r) {
    const int64_t each = j->kn->per_word, diag = j->a->diag;
    int64_t begin = w->k0, end = w->k0 + w->k;
    if (j->tri == GEMM_TRI_C && col >= diag + at + h) return false;
    if (j->tri == GEMM_TRI_LOWER && (diag + at + h + each - 1) / each < end)
        end = (diag + at + h + each - 1) / each;
    if (j->tri == GEMM_TRI_UPPER && (at - diag) / each > begin) begin = (at - diag) / each;
    if (end < begin) begin = end = w->k0;
    *r = (struct range){begin, end};
    return end > begin || !(j->add || w->k0 > 0);
}

/* The first row of sliver sa in its group. For every call of a kernel: not by a division. */
static int64_t sliver_begin(const struct mul_job *j, int64_t sa) {
    return sa * j->height + (sa < j->higher ? sa : j->higher);
}

/* The first row of the piece's group. */
static int64_t group_begin(const struct mul_job *j, const struct piece *w) {
    return j->a->first + w->v * j->group_rows;
}

/* A line that is written next. What the compiler makes of __builtin_prefetch for any x86-64 leaves
 * it shared with the thread that had it before, and the store waits for it once more. */
static inline void fetch_own(const float *c) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*c));
#else
    __builtin_prefetch(c, 1);
#endif
}

/* A kernel begins with the sums so far: those of the next are fetched meanwhile. */
static void fetch_sums(const struct mul_job *j, const struct piece *w, int64_t sa, int64_t sb) {
    if (sa == w->sa1) sa = w->sa0, sb++;
    if (sb == w->sb1) return;
    const int64_t at = sliver_begin(j, sa), end = sliver_begin(j, sa + 1), col = sb * j->kn->nr;
    const int64_t left = j->b->rows - col, n = left < j->kn->nr ? left : j->kn->nr;
    const float *c = j->c + (w->v * j->rows + at) * j->ldc + col;
    for (int64_t i = at; i < end; i++, c += j->ldc) {
        fetch_own(c);
        fetch_own(c + n - 1);
    }
}

/* Word p of a row of A where it is. */
static const uint32_t *word_at(const struct mul_job *j, int64_t row, int64_t p) {
    return j->pa + (j->form == GEMM_COLS ? p * j->lda + row : row * j->lda + p);
}

/* From word p of sliver sa on, whose first row is `row`. */
static struct rows rows_at(const struct mul_job *j, const struct piece *w, int64_t sa, int64_t row,
                           int64_t p) {
    if (!w->copy) return (struct rows){word_at(j, row, p), j->lda, j->form};
    const int ld = j->kn->copy_ld;
    return (struct rows){w->copy + ((sa - w->sa0) * w->k + p - w->k0) * ld, ld, GEMM_COPY};
}

/* All of the piece's rows against sliver sb of B, whose words stand at b and scales (if there are
 * any) at scale_b. */
static void mul_slivers(const struct mul_job *j, const struct piece *w, int64_t sb,
                        const uint32_t *b, const float *scale_b) {
    const struct gemm_kern *kn = j->kn;
    const bool add = j->add || w->k0 > 0;
    const int64_t col = sb * kn->nr, left = j->b->rows - col;
    for (int64_t sa = w->sa0; sa < w->sa1; sa++) {
        const int64_t at = sliver_begin(j, sa), row = group_begin(j, w) + at;
        const int h = (int)(sliver_begin(j, sa + 1) - at);
        struct range k = {w->k0, w->k0 + w->k};
        fetch_sums(j, w, sa + 1, sb);
        if (j->tri && !needed(j, w, at, h, col, &k)) continue;
        const struct rows a = rows_at(j, w, sa, row, k.begin);
        const uint32_t *from = b + (k.begin - w->k0) * kn->nr;
        float *c = j->c + (w->v * j->rows + at) * j->ldc + col;
        const struct gemm_scales both = {kn->scale_k ? j->a->scale + row : NULL, scale_b},
                                 *scales = kn->scale_k ? &both : NULL;
        if (left < kn->nr)
            mul_edge(j, h, k.end - k.begin, &a, from, c, (int)left, add, scales);
        else
            kn->mul(h, a.form, k.end - k.begin, a.a, a.ld, from, c, j->ldc, add, scales);
    }
}

/* The piece's slivers of B, variants v and on, into this thread's scratch. */
static void pack_panel(const struct mul_job *j, const struct piece *w, int nv, uint32_t *dst) {
    const struct gemm_kern *kn = j->kn;
    const int64_t p0 = kn->per_word * w->k0, left_k = j->b->k - p0, all_k = kn->per_word * w->k;
    const int64_t each = sliver_words(kn, w->k), k = all_k < left_k ? all_k : left_k;
    const int64_t next = (w->sb1 - w->sb0) * each, row0 = w->sb0 * kn->nr;
    const int64_t end = w->sb1 * kn->nr < j->b->rows ? w->sb1 * kn->nr : j->b->rows;
    if (j->b->src.trans && kn->pack_lines) {
        for (int i = 0; i < nv; i++)
            kn->pack_lines(&j->b->src, w->v + i, row0, (int)(end - row0), p0, k, j->round,
                           dst + i * next, each);
        return;
    }
    for (int64_t row = row0; row < end; row += kn->nr, dst += each)
        kn->pack_b(&j->b->src, w->v, nv, row, end - row < kn->nr ? (int)(end - row) : kn->nr,
                   kn->nr, p0, k, j->round, dst, next);
}

/* The piece's rows of A: of a transposed one, so that a kernel reads one stream instead of a new
 * line, and page, for every word of k. */
static void copy_rows(const struct mul_job *j, const struct piece *w) {
    int at[GEMM_TILE + 1];
    const int n = (int)(w->sa1 - w->sa0);
    const int64_t first = sliver_begin(j, w->sa0);
    for (int s = 0; s <= n; s++) at[s] = (int)(sliver_begin(j, w->sa0 + s) - first);
    j->kn->copy_a(j->form, word_at(j, group_begin(j, w) + first, w->k0), j->lda, at, n, w->k,
                  w->copy, j->kn->copy_ld * w->k);
}

/* panel: the piece's slivers of B, or NULL: B is packed. */
static void mul_block(const struct mul_job *j, struct piece w, const uint32_t *panel) {
    const struct gemm_kern *kn = j->kn;
    const int64_t step = j->g->block.tile_m / (w.copy ? kn->copy_ld : kn->mr), end = w.sa1;
    const int64_t all = panel ? w.k : words(kn, j->b->full_k);
    const int64_t each = sliver_words(kn, all), k0 = panel ? 0 : w.k0;
    const uint32_t *first = panel ? panel : (const uint32_t *)j->b->data + w.sb0 * each;
    for (; w.sa0 < end; w.sa0 += step) {
        w.sa1 = w.sa0 + step < end ? w.sa0 + step : end;
        if (w.copy) copy_rows(j, &w);
        for (int64_t sb = w.sb0; sb < w.sb1; sb++) {
            const uint32_t *b = first + (sb - w.sb0) * each;
            const float *scale = (const float *)(const void *)(b + kn->nr * (all + parts(kn, k0)));
            mul_slivers(j, &w, sb, b + k0 * kn->nr, scale);
        }
    }
}

/* Of a packed B there is no scratch: a copy of A goes to the stack. A frame of its own, since most
 * products need none. */
static __attribute__((noinline)) void mul_copied(const struct mul_job *j, struct piece w,
                                                 const uint32_t *panel) {
    _Alignas(ARENA_ALIGN) uint32_t tile[GEMM_TILE * GEMM_WORDS];
    w.copy = tile;
    mul_block(j, w, panel);
}

/* A part of the rows of variants v and on, nv of them, packed at `own`; NULL: B is packed. */
static void mul_part(const struct mul_job *j, struct piece w, int64_t part, int nv, uint32_t *own) {
    const int64_t side = (w.sb1 - w.sb0) * sliver_words(j->kn, w.k);
    w.sa0 = gemm_part(j->qa, j->parts, part);
    w.sa1 = gemm_part(j->qa, j->parts, part + 1);
    if (j->copies && own) w.copy = own + nv * side;
    for (int i = 0; i < nv; i++, w.v++)
        (j->copies && !own ? mul_copied : mul_block)(j, w, own ? own + i * side : NULL);
}

/* Task t of n jobs with the same B. */
static void mul_task(const struct mul_job *j, int n, int64_t t, int tid) {
    const int64_t panel = t / j->parts;
    uint32_t *own =
        j->scratch ? (uint32_t *)(void *)(j->scratch + (size_t)tid * j->scratch_bytes) : NULL;
    double spent = 0;
    for (int64_t block = 0; block < j->blocks; block++) {
        struct piece w = {.k0 = gemm_cut_begin(j->words, j->blocks, block),
                          .sb0 = gemm_part(j->qb, j->panels, panel),
                          .sb1 = gemm_part(j->qb, j->panels, panel + 1)};
        w.k = gemm_cut_begin(j->words, j->blocks, block + 1) - w.k0;
        do {
            const int left = j->variants - w.v, nv = left < j->sides ? left : j->sides;
            const double begin = own ? clock_seconds() : 0;
            if (own) pack_panel(j, &w, nv, own);
            if (own) spent += clock_seconds() - begin;
            for (int i = 0; i < n; i++) mul_part(j + i, w, t % j->parts, nv, own);
            w.v += nv;
        } while (w.v < j->variants);
    }
    if (own) gemm_count_packing(j->g, spent);
}

struct mul_list {
    struct mul_job job[GEMM_LIST];
    int n;
};

static int64_t tasks(const struct mul_job *j) {
    return j->panels * j->parts;
}

/* The tasks of a chain of jobs are cut alike: one thread goes through all of it. So are those of
 * jobs with the same B. */
static void mul_tasks(void *ctx, int64_t t, int tid) {
    const struct mul_list *l = ctx;
    const struct mul_job *j = l->job, *end = j + l->n;
    for (; j->on || j->same_b || t >= tasks(j); j++)
        if (!j->on && !j->same_b) t -= tasks(j);
    do {
        int n = 1;
        while (j + n < end && j[n].same_b) n++;
        mul_task(j, n, t, tid);
        j += n;
    } while (j < end && j->on);
}

/* Cuts so many rows of A and multiply-adds, of all those of the loop, into tasks. Every element is
 * one chain of sums whatever the cut, so it may follow the number of threads. Measured on a Zen 3:
 * a variant's sliver is packed in 10 cycles a word. A row of clashing lines is copied in 0.75;
 * others are read meanwhile, but not from memory that other threads read, too. */
static void cut_tasks(struct mul_job *j, int64_t rows, double work, double all) {
    const struct gemm_cut_of of = {
        .threads = pool_reach(j->g->pool),
        .rows = rows / j->variants,
        .qa = j->qa,
        .qb = j->qb,
        .panels = slivers(j->qb * j->kn->nr, j->g->block.panel / j->sides),
        .most = (int64_t)(work / GRAIN) + 1,
        .pack = j->scratch ? 10 * j->kn->per_word : 0, /* a narrow type makes only the work less */
        .read = j->kn->winds || (j->a->src.trans && gemm_clash(j->lda, j->words)) ? 0.75 : 0.25,
        .share = work / all};
    const struct gemm_cut cut = gemm_cut(&of);
    j->panels = cut.panels;
    j->parts = cut.parts;
}

static struct mul_job job_of(const struct gemm *g, const struct gemm_product *p) {
    struct mul_job j = {.g = g,
                        .kn = g->kernel,
                        .a = &p->a,
                        .b = &p->b,
                        .c = p->c,
                        .ldc = p->ldc,
                        .add = p->add || p->on,
                        .on = p->on,
                        .tri = g->kernel->scale_k ? GEMM_FULL : p->a.tri, /* scales: whole k */
                        .round = rounds(g)};
    j.pa = p->a.data ? p->a.data : p->a.src.data;
    j.lda = p->a.data ? p->a.ld : p->a.src.ld;
    j.form = p->a.src.trans ? GEMM_COLS : GEMM_ROWS;
    j.variants = mat_variants(&p->b.src);
    j.rows = p->a.rows / j.variants;
    j.group_rows = p->a.group_rows ? p->a.group_rows : j.rows;
    j.sides = j.variants > 1 ? SIDES : 1;
    j.words = words(j.kn, p->a.k);
    j.qa = slivers(j.rows, j.kn->mr);
    j.height = j.qa ? j.rows / j.qa : 0;
    j.higher = j.qa ? j.rows % j.qa : 0;
    j.qb = slivers(p->b.rows, j.kn->nr);
    j.blocks = (j.words + g->block.words - 1) / g->block.words;
    return j;
}

/* Gradients of query, key and value, say, of one input: they share its packing. */
static bool same_b(const struct gemm_product *p, const struct gemm_product *next) {
    const struct gemm_pack *a = &p->b, *b = &next->b;
    return !p->on && !next->on && !a->data && !b->data && a->rows == b->rows && a->k == b->k &&
           a->src.data == b->src.data && a->src.dtype == b->src.dtype && a->src.ld == b->src.ld &&
           a->src.trans == b->src.trans && !a->src.var && !b->src.var;
}

/* Rows and words of k of product i's tasks: of those that go on with it, or with its B. */
static void extent(const struct gemm_product *p, int n, int i, int64_t *rows, int64_t *k) {
    *rows = p[i].a.rows;
    *k = p[i].a.k;
    for (int next = i + 1; next < n && p[next].on; next++) *k += p[next].a.k;
    for (int next = i + 1; next < n && same_b(p + next - 1, p + next); next++)
        *rows += p[next].a.rows;
}

/* Multiply-adds of all. */
static double work_of(const struct gemm_product *p, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)p[i].a.k * (double)p[i].a.rows * (double)p[i].b.rows;
    return sum;
}

/* work: each thread's share. */
static void mul_all(const struct gemm *g, const struct gemm_product *p, int n, void *work,
                    size_t share) {
    struct mul_list l;
    const struct mul_job *head = l.job;
    int64_t all = 0, rows, k;
    l.n = 0;
    for (int i = 0; i < n; i++) {
        struct mul_job *j = l.job + l.n;
        *j = job_of(g, p + i);
        if (j->qa == 0 || j->qb == 0) continue;
        if (!p[i].b.data) {
            j->scratch = work;
            j->scratch_bytes = share;
        }
        j->same_b = i && l.n && j[-1].b == &p[i - 1].b && same_b(p + i - 1, p + i);
        if (j->on || j->same_b) {
            j->panels = head->panels;
            j->parts = head->parts;
        } else {
            head = j;
            extent(p, n, i, &rows, &k);
            cut_tasks(j, rows, (double)rows * (double)k * (double)p[i].b.rows, work_of(p, n));
            all += tasks(j);
        }
        j->copies = gemm_copies(j->kn, p[i].a.src.trans, j->height, j->lda, j->words,
                                j->qb / j->panels);
        l.n++;
    }
    pool_for(g->pool, all, mul_tasks, &l);
}

static void native_mul_list(const struct gemm *g, const struct gemm_product *p, int n,
                            void *work) {
    size_t share = 0;
    for (int i = 0; i < n; i++) {
        const size_t each = p[i].b.data ? 0 : panel_bytes(g, p[i].b.rows, p[i].b.k);
        if (share < each) share = each;
    }
    mul_all(g, p, n, work, share);
}

/* Products of attention: one thread, B packed, all of k in a block, and A read where it is. */
static bool is_whole(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b) {
    const struct gemm_kern *kn = g->kernel;
    if (!kn->whole || !b->data || a->groups || a->rows == 0 || b->rows == 0) return false;
    if (a->k > g->block.words || pool_reach(g->pool) > 1) return false;
    return !a->src.trans ||
           !gemm_copies(kn, true, 0, a->data ? a->ld : a->src.ld, a->k, slivers(b->rows, kn->nr));
}

static void mul_whole(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                      float *c, int64_t ldc, bool add) {
    const struct gemm_whole w = {.a = a->data ? a->data : a->src.data,
                                 .lda = a->data ? a->ld : a->src.ld,
                                 .cols = a->src.trans,
                                 .b = b->data,
                                 .each = sliver_words(g->kernel, words(g->kernel, b->full_k)),
                                 .m = a->rows,
                                 .n = b->rows,
                                 .k = a->k,
                                 .c = c,
                                 .ldc = ldc,
                                 .add = add,
                                 .tri = a->tri,
                                 .diag = a->diag};
    g->kernel->whole(&w);
}

static void native_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                       float *c, int64_t ldc, bool add, void *work) {
    if (is_whole(g, a, b)) {
        mul_whole(g, a, b, c, ldc, add);
        return;
    }
    const struct gemm_product p = {.a = *a, .b = *b, .c = c, .ldc = ldc, .add = add};
    mul_all(g, &p, 1, work, b->panel ? b->panel : b->data ? 0 : panel_bytes(g, b->rows, b->k));
}

static enum gemm_rate rate(enum dtype compute, const struct cpu *cpu) {
    if (compute == DT_F32) return GEMM_VECTORS;
    return cpu->tier >= CPU_avx512bf16 ? GEMM_VECTORS : GEMM_ROUNDED;
}

const struct gemm_backend gemm_native = {
    .name = "native",
    .help = "our own kernels for every tier; exact",
    .exact = true,
    .rate = rate,
    .kernel = kernel,
    .pack_bytes = pack_bytes,
    .panel_bytes = panel_bytes,
    .pack = native_pack,
    .mul = native_mul,
    .mul_list = native_mul_list,
};
