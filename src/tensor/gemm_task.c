/* From a task to the calls of its kernel. */
#include "gemm_task.h"

#include "arena.h"
#include "clock.h"
#include "gemm_cut.h"
#include "gemm_soon.h"

#include <string.h>

enum { MOST_MR = 14 /* of all rows of kernels */ };

/* Rows of A as a kernel reads them. */
struct rows {
    const uint32_t *a;
    int64_t ld;
    enum gemm_form form;
};

/* One kernel call at the right edge, where C has fewer than nr columns. */
static void mul_edge(const struct gemm_job *j, int h, int64_t k, const struct rows *a,
                     const uint32_t *b, float *c, int n, bool add, const struct gemm_scales *scales,
                     const struct gemm_next *next) {
    float tile[MOST_MR * 32];
    const int nr = j->kn->nr;
    const bool half = j->kn->mul_half && n <= nr / 2;
    if (half && n == nr / 2) {
        j->kn->mul_half(h, a->form, k, a->a, a->ld, b, c, j->ldc, add, scales, next);
        return;
    }
    if (add)
        for (int i = 0; i < h; i++) {
            memcpy(tile + i * nr, c + i * j->ldc, sizeof *tile * (size_t)n);
            memset(tile + i * nr + n, 0, sizeof *tile * (size_t)(nr - n));
        }
    (half ? j->kn->mul_half : j->kn->mul)(h, a->form, k, a->a, a->ld, b, tile, nr, add, scales,
                                          next);
    for (int i = 0; i < h; i++) memcpy(c + i * j->ldc, tile + i * nr, sizeof *tile * (size_t)n);
}

/* A piece of work: words [k0, k0 + k) of slivers [sa0, sa1) of group v of A, against slivers
 * [sb0, sb1) of B. copy: where the words of A have been copied to, or NULL. */
struct piece {
    int64_t k0, k, sa0, sa1, sb0, sb1;
    int v;
    uint32_t *copy;
    struct soon *soon; /* what comes next, or NULL */
};

/* Words [begin, end) of k that rows [at, at + h) of a triangular A need, against columns from col
 * on: of w's. False: none, and C stays as it is (a first block of k writes it: 0). */
struct range {
    int64_t begin, end;
};

static bool needed(const struct gemm_job *j, const struct piece *w, int64_t at, int h, int64_t col,
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
static int64_t sliver_begin(const struct gemm_job *j, int64_t sa) {
    return sa * j->height + (sa < j->higher ? sa : j->higher);
}

/* The first row of the piece's group. */
static int64_t group_begin(const struct gemm_job *j, const struct piece *w) {
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
static void fetch_sums(const struct gemm_job *j, const struct piece *w, int64_t sa, int64_t sb) {
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
static const uint32_t *word_at(const struct gemm_job *j, int64_t row, int64_t p) {
    return j->pa + (j->form == GEMM_COLS ? p * j->lda + row : row * j->lda + p);
}

/* From word p of sliver sa on, whose first row is `row`. */
static struct rows rows_at(const struct gemm_job *j, const struct piece *w, int64_t sa, int64_t row,
                           int64_t p) {
    if (!w->copy) return (struct rows){word_at(j, row, p), j->lda, j->form};
    if (j->form == GEMM_ROWS && !j->kn->winds) {
        const int64_t ld = w->k + GEMM_LINE_PAD,
                      first = group_begin(j, w) + sliver_begin(j, w->sa0);
        return (struct rows){w->copy + (row - first) * ld + p - w->k0, ld, GEMM_ROWS};
    }
    const int ld = j->kn->copy_ld;
    return (struct rows){w->copy + ((sa - w->sa0) * w->k + p - w->k0) * ld, ld, GEMM_COPY};
}

/* All of the piece's rows against sliver sb of B, whose words stand at b and scales (if there are
 * any) at scale_b. */
static void mul_slivers(const struct gemm_job *j, const struct piece *w, int64_t sb,
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
        const struct gemm_next next = soon_next(w->soon, k.end - k.begin, from);
        const struct gemm_scales both = {kn->scale_k ? j->a->scale + row : NULL, scale_b},
                                 *scales = kn->scale_k ? &both : NULL;
        if (left < kn->nr)
            mul_edge(j, h, k.end - k.begin, &a, from, c, (int)left, add, scales, &next);
        else
            kn->mul(h, a.form, k.end - k.begin, a.a, a.ld, from, c, j->ldc, add, scales, &next);
    }
}

/* The piece's slivers of B, variants v and on, into this thread's scratch. */
static void pack_panel(const struct gemm_job *j, const struct piece *w, int nv, uint32_t *dst) {
    const struct gemm_kern *kn = j->kn;
    const int64_t p0 = kn->per_word * w->k0, left_k = j->b->k - p0, all_k = kn->per_word * w->k;
    const int64_t each = gemm_sliver_words(kn, w->k), k = all_k < left_k ? all_k : left_k;
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
 * line, and page, for every word of k; of another, so that its lines no longer clash. */
static void copy_rows(const struct gemm_job *j, const struct piece *w) {
    int at[GEMM_TILE + 1];
    const int n = (int)(w->sa1 - w->sa0);
    const int64_t first = sliver_begin(j, w->sa0), all = sliver_begin(j, w->sa1) - first;
    if (j->form == GEMM_ROWS && !j->kn->winds) {
        for (int64_t i = 0; i < all; i++) {
            const uint32_t *line = word_at(j, group_begin(j, w) + first + i, w->k0);
            for (int64_t p = 0; p < w->k; p += 16) __builtin_prefetch(line + 2 * j->lda + p);
            memcpy(w->copy + i * (w->k + GEMM_LINE_PAD), line, 4 * (size_t)w->k);
        }
        return;
    }
    for (int s = 0; s <= n; s++) at[s] = (int)(sliver_begin(j, w->sa0 + s) - first);
    j->kn->copy_a(j->form, word_at(j, group_begin(j, w) + first, w->k0), j->lda, at, n, w->k,
                  w->copy, j->kn->copy_ld * w->k);
}

/* The copied rows of A behind the piece's: those of the next tile, of `step` slivers, or of the
 * first one of the next block. */
static void soon_rows(const struct gemm_job *j, const struct piece *w, int64_t first, int64_t end,
                      int64_t step) {
    const bool same = w->sa1 < end;
    const int64_t from = same ? w->sa1 : first, k0 = same ? w->k0 : w->k0 + w->k;
    const int64_t last = from + step < end ? from + step : end, at = sliver_begin(j, from);
    const int64_t rows = sliver_begin(j, last) - at, left = j->words - k0;
    const int64_t k = w->k < left ? w->k : left;
    const uint32_t *line = word_at(j, group_begin(j, w) + at, k0);
    w->soon->a = j->form == GEMM_COLS ? soon_part(line, 4 * j->lda, 4 * rows, k)
                                      : soon_part(line, 4 * j->lda, 4 * k, rows);
    if (k <= 0) w->soon->a.wide = 0;
}

/* The panel of the next block, where its pieces are short. */
static void soon_panel(const struct gemm_job *j, const struct piece *w) {
    const struct mat *b = &j->b->src;
    const int64_t p0 = j->kn->per_word * (w->k0 + w->k), left = j->b->k - p0;
    const int64_t k = j->kn->per_word * w->k, row0 = w->sb0 * j->kn->nr;
    const int64_t end = w->sb1 * j->kn->nr < j->b->rows ? w->sb1 * j->kn->nr : j->b->rows;
    if (b->dtype != DT_F32 || !b->trans || left <= 0) return;
    w->soon->b = soon_part((const float *)b->data + p0 * b->ld + row0, 4 * b->ld, 4 * (end - row0),
                           k < left ? k : left);
}

/* panel: the piece's slivers of B, or NULL: B is packed. */
static void mul_block(const struct gemm_job *j, struct piece w, const uint32_t *panel) {
    const struct gemm_kern *kn = j->kn;
    const int64_t step = j->g->block.tile_m / (w.copy ? kn->copy_ld : kn->mr), end = w.sa1;
    const int64_t begin = w.sa0;
    const int64_t all = panel ? w.k : gemm_words(kn, j->b->full_k);
    const int64_t each = gemm_sliver_words(kn, all), k0 = panel ? 0 : w.k0;
    const uint32_t *first = panel ? panel : (const uint32_t *)j->b->data + w.sb0 * each;
    for (; w.sa0 < end; w.sa0 += step) {
        w.sa1 = w.sa0 + step < end ? w.sa0 + step : end;
        if (w.copy) copy_rows(j, &w);
        if (w.soon && w.copy) soon_rows(j, &w, begin, end, step);
        for (int64_t sb = w.sb0; sb < w.sb1; sb++) {
            const uint32_t *b = first + (sb - w.sb0) * each;
            const float *scale =
                (const float *)(const void *)(b + kn->nr * (all + gemm_scales_of(kn, k0)));
            mul_slivers(j, &w, sb, b + k0 * kn->nr, scale);
        }
    }
}

/* Of a packed B there is no scratch: a copy of A goes to the stack. A frame of its own, since most
 * products need none. */
static __attribute__((noinline)) void mul_copied(const struct gemm_job *j, struct piece w,
                                                 const uint32_t *panel) {
    _Alignas(ARENA_ALIGN) uint32_t tile[GEMM_TILE * (GEMM_WORDS + GEMM_LINE_PAD)];
    w.copy = tile;
    mul_block(j, w, panel);
}

/* A part of the rows of variants v and on, nv of them, packed at `own`; NULL: B is packed. */
static void mul_part(const struct gemm_job *j, struct piece w, int64_t part, int nv,
                     uint32_t *own) {
    const int64_t side = (w.sb1 - w.sb0) * gemm_sliver_words(j->kn, w.k);
    w.sa0 = gemm_part(j->qa, j->parts, part);
    w.sa1 = gemm_part(j->qa, j->parts, part + 1);
    if (j->copies && own) w.copy = own + nv * side;
    for (int i = 0; i < nv; i++, w.v++)
        (j->copies && !own ? mul_copied : mul_block)(j, w, own ? own + i * side : NULL);
}

/* Task t of n jobs with the same B. */
static void mul_task(const struct gemm_job *j, int n, int64_t t, int tid) {
    const int64_t panel = t / j->parts;
    uint32_t *own =
        j->scratch ? (uint32_t *)(void *)(j->scratch + (size_t)tid * j->scratch_bytes) : NULL;
    struct soon soon;
    double spent = 0;
    for (int64_t block = 0; block < j->blocks; block++) {
        struct piece w = {.k0 = gemm_cut_begin(j->words, j->blocks, block),
                          .sb0 = gemm_part(j->qb, j->panels, panel),
                          .sb1 = gemm_part(j->qb, j->panels, panel + 1)};
        w.k = gemm_cut_begin(j->words, j->blocks, block + 1) - w.k0;
        if (j->kn->fetches && own) {
            memset(&soon, 0, sizeof soon);
            w.soon = &soon;
            soon_panel(j, &w);
            if (!j->copies && !soon.b.wide) w.soon = NULL;
        }
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

/* The tasks of a chain of jobs are cut alike: one thread goes through all of it. So are those of
 * jobs with the same B. */
void gemm_task(void *ctx, int64_t t, int tid) {
    const struct gemm_jobs *l = ctx;
    const struct gemm_job *j = l->job, *end = j + l->n;
    for (; j->on || j->same_b || t >= gemm_job_tasks(j); j++)
        if (!j->on && !j->same_b) t -= gemm_job_tasks(j);
    do {
        int n = 1;
        while (j + n < end && j[n].same_b) n++;
        mul_task(j, n, t, tid);
        j += n;
    } while (j < end && j->on);
}
