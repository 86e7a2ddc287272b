/* The native backend: register-blocked kernels for every tier.
 *
 * Blocking as in BLIS (Van Zee & van de Geijn 2015, doi 10.1145/2764454), with two differences. The
 * roles are fixed: the vector runs along B's rows, A is broadcast, and so A need not be packed
 * unless it is transposed. And the thread that uses a panel of B packs it, into scratch of its own
 * that stays in its second-level cache: a panel packed by another core would have to come out of
 * that core's cache, which costs more than packing it. */
#include "gemm_task.h"

#include "arena.h"
#include "gemm_cut.h"

#include <assert.h>
#include <string.h>

enum {
    SIDES = 2,      /* variants of B packed at once, each in its share of the scratch */
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

/* ---- operands -------------------------------------------------------------------------------- */

/* Where lines clash, tasks copy what they use; all of it first where that is a block at most, so
 * that the products of attention, of which each is one, need not look. */
static bool reads_in_place(const struct gemm *g, const struct mat *m, int64_t k) {
    const struct gemm_kern *kn = g->kernel;
    const bool fits = m->trans ? kn->copy_a != NULL : k > g->block.words;
    return kn->per_word == 1 && !kn->scale_k && !rounds(g) && m->dtype == DT_F32 &&
           (fits || !gemm_rows_clash(kn, m->ld));
}

/* Words from one line of the copy of A to the next; *lines: how many. */
static int64_t copy_ld(const struct gemm_kern *kn, bool trans, int64_t rows, int64_t k,
                       int64_t *lines) {
    const int64_t w = trans ? rows : gemm_words(kn, k);
    *lines = trans ? gemm_words(kn, k) : rows;
    return gemm_bad_stride(w) ? w + ARENA_ALIGN / 4 : w;
}

static size_t pack_bytes(const struct gemm *g, enum gemm_side side, const struct mat *m,
                         int64_t rows, int64_t k) {
    int64_t lines;
    const struct gemm_kern *kn = g->kernel;
    if (side == GEMM_B)
        return arena_need(
            (size_t)(gemm_slivers(rows, kn->nr) * gemm_sliver_words(kn, gemm_words(kn, k))), 4);
    if (reads_in_place(g, m, k)) return 0;
    /* The padding in any case: a smaller operand may need what a larger one does not. */
    const int64_t ld = copy_ld(kn, m->trans, rows, k, &lines) + ARENA_ALIGN / 4;
    return arena_need((size_t)(ld * lines + (kn->scale_k ? rows : 0)), 4);
}

static size_t panel_bytes(const struct gemm *g, int64_t rows, int64_t k) {
    const struct gemm_kern *kn = g->kernel;
    const int64_t w = gemm_words(kn, k) < g->block.words ? gemm_words(kn, k) : g->block.words;
    const int64_t most = gemm_slivers(g->block.panel, kn->nr),
                  sides = SIDES * gemm_slivers(rows, kn->nr);
    /* A wide panel of half the words takes no more: tasks have it only where there are as many. */
    return arena_need((size_t)((sides < most ? sides : most) * gemm_sliver_words(kn, w) +
                               g->block.tile_m * (w + GEMM_LINE_PAD)),
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
    const int64_t s = t / j->blocks, block = t % j->blocks, all = gemm_words(j->kn, j->p->k);
    const int64_t row = s * nr, left = j->p->rows - row;
    const int h = left < nr ? (int)left : nr;
    const int64_t w0 = gemm_cut_begin(all, j->blocks, block), p0 = w0 * each;
    const int64_t end = each * gemm_cut_begin(all, j->blocks, block + 1);
    const int64_t k = (end < j->p->k ? end : j->p->k) - p0;
    uint32_t *dst = j->dst + s * gemm_sliver_words(j->kn, all) + w0 * nr;
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
    j->kn->scale_a(&j->p->src, row, left < COPY_LINES ? left : COPY_LINES, j->p->k, j->scale + row);
}

static int64_t chunks(int64_t lines) {
    return (lines + COPY_LINES - 1) / COPY_LINES;
}

static void native_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst) {
    struct pack_job j = {.kn = g->kernel, .p = p, .round = rounds(g), .dst = dst};
    if (side == GEMM_B) {
        const int64_t n = gemm_slivers(p->rows, j.kn->nr), w = gemm_words(j.kn, p->k);
        /* Scales stand behind all words. */
        j.blocks = j.kn->scale_k ? 1 : gemm_cut_pack(n, w, pool_reach(g->pool));
        pool_for(g->pool, n * j.blocks, pack_sliver, &j);
        p->data = dst;
    } else if (!reads_in_place(g, &p->src, p->k)) {
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

static int64_t narrow_slivers(const struct gemm_job *j) {
    return gemm_slivers(j->g->block.panel, j->kn->nr);
}

/* Cuts so many rows of A and multiply-adds, of all those of the loop, into tasks. Every element is
 * one chain of sums whatever the cut, so it may follow the number of threads. Measured on a Zen 3:
 * a variant's sliver is packed in 10 cycles a word. */
static void cut_tasks(struct gemm_job *j, int64_t rows, double work, double all) {
    const int lines = (j->kn->nr + 15) / 16; /* of the cache, a word of a sliver */
    const struct gemm_cut_of of = {
        .threads = pool_reach(j->g->pool),
        .rows = rows / j->variants,
        .qa = j->qa,
        .qb = j->qb,
        .panels = gemm_slivers(j->qb * j->kn->nr, (1 + j->wide) * j->g->block.panel / j->sides),
        .most = (int64_t)(work / GRAIN) + 1,
        .pack = j->scratch ? 10 * lines * j->kn->per_word : 0, /* a narrow type: less work only */
        .read = gemm_read_cost(j->kn, j->a->src.trans, j->lda, j->words),
        .share = work / all};
    const struct gemm_cut cut = gemm_cut(&of);
    j->panels = cut.panels;
    j->parts = cut.parts;
    j->wide = j->wide && j->qb / j->panels > narrow_slivers(j);
}

static struct gemm_job job_of(const struct gemm *g, const struct gemm_product *p) {
    struct gemm_job j = {.g = g,
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
    j.words = gemm_words(j.kn, p->a.k);
    j.qa = gemm_slivers(j.rows, j.kn->mr);
    j.height = j.qa ? j.rows / j.qa : 0;
    j.higher = j.qa ? j.rows % j.qa : 0;
    j.qb = gemm_slivers(p->b.rows, j.kn->nr);
    return j;
}

static bool copies(const struct gemm_job *j, int64_t slivers) {
    return gemm_copies(j->kn, j->a->src.trans, j->height, j->lda, j->words, slivers);
}

/* The first of jobs that are cut alike: what copies its A does so for fewer panels. */
static bool is_wide(const struct gemm_job *j) {
    const int64_t narrow = narrow_slivers(j);
    return !j->b->data && gemm_likes_wide(j->kn) && j->words > j->g->block.words &&
           j->qb > narrow && copies(j, narrow);
}

/* How its head is cut. */
static void cut_alike(struct gemm_job *j, const struct gemm_job *head) {
    const int64_t words = j->g->block.words / (1 + head->wide);
    j->wide = head->wide;
    j->panels = head->panels;
    j->parts = head->parts;
    j->blocks = (j->words + words - 1) / words;
    j->copies = copies(j, j->qb / j->panels);
}

/* work: each thread's share. */
static void mul_all(const struct gemm *g, const struct gemm_product *p, int n, void *work,
                    size_t share) {
    struct gemm_jobs l;
    const struct gemm_job *head = l.job;
    int64_t all = 0, rows, k;
    l.n = 0;
    for (int i = 0; i < n; i++) {
        struct gemm_job *j = l.job + l.n;
        *j = job_of(g, p + i);
        if (j->qa == 0 || j->qb == 0) continue;
        if (!p[i].b.data) {
            j->scratch = work;
            j->scratch_bytes = share;
        }
        j->same_b = i && l.n && j[-1].b == &p[i - 1].b && gemm_same_b(p + i - 1, p + i);
        if (!j->on && !j->same_b) {
            head = j;
            j->wide = is_wide(j);
            gemm_extent(p, n, i, &rows, &k);
            cut_tasks(j, rows, (double)rows * (double)k * (double)p[i].b.rows, gemm_work_of(p, n));
            all += gemm_job_tasks(j);
        }
        cut_alike(j, head);
        l.n++;
    }
    pool_for(g->pool, all, gemm_task, &l);
}

static void native_mul_list(const struct gemm *g, const struct gemm_product *p, int n, void *work) {
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
    return !a->src.trans || !gemm_copies(kn, true, 0, a->data ? a->ld : a->src.ld, a->k,
                                         gemm_slivers(b->rows, kn->nr));
}

static void mul_whole(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                      float *c, int64_t ldc, bool add) {
    const struct gemm_whole w = {.a = a->data ? a->data : a->src.data,
                                 .lda = a->data ? a->ld : a->src.ld,
                                 .cols = a->src.trans,
                                 .b = b->data,
                                 .each =
                                     gemm_sliver_words(g->kernel, gemm_words(g->kernel, b->full_k)),
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
