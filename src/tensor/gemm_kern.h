/* The native GEMM's rows: how a type is packed and multiplied. Those of each tier are compiled from
 * gemm_tmpl.c.
 *
 * Everything is in 32-bit words, each of one or more neighbouring k: a f32, two bf16, four bytes;
 * the last is filled up with zeros. B is packed in slivers of nr rows (the last filled up with
 * zeros), each [words of k][nr]. A is read where it stands or copied, in slivers of at most mr rows
 * whose heights differ by at most one, so that no row is wasted.
 *
 * Packed forms may carry scales. A has one a row; B has, for each of its rows, one for every
 * scale_k elements of k: behind the words of a sliver stand its scales, [parts of k][nr]. A row
 * without scales has scale_k 0, and no room is left for any.
 *
 * A new form of computing is one more row, and a way to choose it for a class of products
 * (machine.h): what is exact does not see it. */
#ifndef DUET_GEMM_KERN_H
#define DUET_GEMM_KERN_H

#include "gemm.h"

/* How a kernel finds word (i, p) of its rows of A: at a[i*ld + p], at a[p*ld + i], or where copy_a
 * has put it (ld is copy_ld then). */
enum gemm_form { GEMM_ROWS, GEMM_COLS, GEMM_COPY };

/* Where the scales of a kernel call's operands begin. */
struct gemm_scales {
    const float *a; /* of the h rows */
    const float *b; /* of the block of k: [parts][nr] */
};

/* What will be read soon. A kernel that `fetches` goes through k in GEMM_NEXT_PARTS parts of k /
 * GEMM_NEXT_PARTS words, and in each asks every GEMM_NEXT_WORDS words for the line at `at`, into the
 * second-level cache, and goes `step` bytes on. */
enum { GEMM_NEXT_WORDS = 4, GEMM_NEXT_PARTS = 3 };

struct gemm_next {
    const char *at[GEMM_NEXT_PARTS];
    int64_t step[GEMM_NEXT_PARTS];
};

/* Nothing: a line that is read in any case. */
static inline struct gemm_next gemm_next_none(const void *line) {
    return (struct gemm_next){{line, line, line}, {0}};
}

/* c (m, n) = [c +] a b', as much of it as tri says (gemm.h); m, n >= 1. */
struct gemm_whole {
    const float *a; /* word (i, p) is a[i*lda + p], or with cols a[p*lda + i] */
    int64_t lda;
    bool cols;
    const float *b; /* packed, slivers `each` words apart */
    int64_t each;
    int64_t m, n, k;
    float *c;
    int64_t ldc;
    bool add;
    enum gemm_tri tri;
    int64_t diag;
};

struct gemm_kern {
    const char *name;
    int mr, nr;
    int per_word; /* elements of k in a word */
    int scale_k;  /* 0, or a divisor of 64 per_word: elements of k to a scale of B */
    /* Scales of rows [row0, row0 + n) of A, k elements each. NULL without scales. */
    void (*scale_a)(const struct mat *src, int64_t row0, int64_t n, int64_t k, float *scale);
    /* Line `line` of the copy of A (rows, k), where it cannot be read as it is: the words of row
     * `line`, or for a transposed source word `line` of every row. round: round values to bf16 on
     * the way. scale: of all rows, or NULL. */
    void (*pack_a)(const struct mat *src, int64_t line, int64_t rows, int64_t k, bool round,
                   const float *scale, void *dst);
    /* h rows of src starting at row0, columns [p0, p0 + k), into one sliver of `wide` rows (>= h,
     * filled with zeros), of variants [v, v + nv): one sliver each, `next` words apart. The stored
     * elements are read once for all. p0 is a multiple of per_word and scale_k. */
    void (*pack_b)(const struct mat *src, int v, int nv, int64_t row0, int h, int wide, int64_t p0,
                   int64_t k, bool round, void *dst, int64_t next);
    /* Columns [row0, row0 + h) of lines [p0, p0 + k) of a transposed src, h <= MAT_LINE, of variant
     * v: slivers of nr rows, `each` words apart, the last filled with zeros. NULL: pack_b does it,
     * sliver by sliver. */
    void (*pack_lines)(const struct mat *src, int v, int64_t row0, int h, int64_t p0, int64_t k,
                       bool round, void *dst, int64_t each);
    /* k words of rows of A (from: GEMM_ROWS or GEMM_COLS), as the kernel likes to read them: rows
     * [at[s], at[s + 1]), at most mr of them, become sliver s of n, `each` words apart, in lines of
     * copy_ld words, the last of which can hold anything. NULL: A is read where it is. */
    void (*copy_a)(enum gemm_form from, const uint32_t *a, int64_t ld, const int *at, int n,
                   int64_t k, uint32_t *dst, int64_t each);
    int copy_ld;
    /* copy_a's slivers are faster than what they are made from. Else they are lines of a transposed
     * A in another place, and of other rows there are none. */
    bool winds;
    bool fetches; /* mul reads `next` */
    /* c (h, nr) = [c +] h rows of A times sliver b over k words. h in 1..mr. s: NULL without
     * scales. */
    void (*mul)(int h, enum gemm_form form, int64_t k, const void *a, int64_t ld, const void *b,
                float *c, int64_t ldc, bool add, const struct gemm_scales *s,
                const struct gemm_next *next);
    /* The same of columns [0, nr / 2) alone, for outputs that end there. NULL: mul does it. */
    void (*mul_half)(int h, enum gemm_form form, int64_t k, const void *a, int64_t ld,
                     const void *b, float *c, int64_t ldc, bool add, const struct gemm_scales *s,
                     const struct gemm_next *next);
    /* A product with a packed B that one thread makes, without further ado. NULL: as any other. */
    void (*whole)(const struct gemm_whole *w);
    /* c (m, n) = [c +] m <= 4 rows of f32 a times rows [row0, row0 + n) of b, of k columns, read
     * where they stand: the bits of pack_b and mul. b: bf16 or q8_0, not transposed, one variant.
     * NULL: there is no such way. */
    void (*few)(const struct mat *b, int64_t row0, int64_t n, int64_t k, const float *a,
                int64_t lda, int64_t m, float *c, int64_t ldc, bool add);
};

/* How products with these rows are cut on this CPU. */
struct gemm_block gemm_block_of(const struct cpu *cpu);

/* The pairs kernel is NULL in tiers without a bf16 dot product. */
const struct gemm_kern *gemm_kern_f32(enum cpu_tier tier);
const struct gemm_kern *gemm_kern_bf16(enum cpu_tier tier);

/* y[j] = [y[j] +] dot(x, row j of w), j < n, rows of k floats at stride ld: fixed order within a
 * tier. */
typedef void gemv_fn(const float *w, int64_t ld, const float *x, float *y, int64_t n, int64_t k,
                     bool add);
gemv_fn *gemm_kern_gemv(enum cpu_tier tier);

/* y[j] = [y[j] +] the sum of x[p] w[p*ld + j] over p < k, j < n: every sum from left to right,
 * fused where the tier can. */
gemv_fn *gemm_kern_sum_rows(enum cpu_tier tier);

#endif
