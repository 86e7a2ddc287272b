/* How the native backend cuts a product into tasks for threads: panels of B's slivers by parts of
 * A's rows. No result depends on it, so it may follow the number of threads.
 *
 * Times are in cycles for each word of k, of which a row of A takes one for each sliver of B:
 * registers are filled alike in every tier. */
#ifndef DUET_GEMM_CUT_H
#define DUET_GEMM_CUT_H

#include <stdbool.h>
#include <stdint.h>

struct gemm_kern;
struct gemm_product;

enum {
    GEMM_TILE = 42,     /* rows of A against a panel before the next rows */
    GEMM_LINE_PAD = 16, /* words behind a row that is copied as it is */
    GEMM_CUT_K = 64,    /* words that blocks of k are multiples of: stored blocks stay whole */
};

struct gemm_cut_of {
    int threads;    /* that the loop is shared out to */
    int64_t rows;   /* of A that a packed panel serves: of a variant, which has its own */
    int64_t qa, qb; /* slivers of A, which parts are cut from, and of B */
    int64_t panels; /* at least so many: of what a thread's scratch has room for */
    int64_t most;   /* tasks that are worth their while, 1 or more */
    double pack;    /* cycles to pack a sliver of B, which every part does again; 0: it is packed */
    double read;    /* cycles to read, or copy, a row of A, which every panel does again */
    double share;   /* of the loop's work that is this product's */
};

struct gemm_cut {
    int64_t panels, parts;
};

struct gemm_cut gemm_cut(const struct gemm_cut_of *of);

/* Blocks of k in which so many slivers of B are packed before a product: where the slivers are less
 * than two tasks a thread, more than one, as far as there are words. */
int64_t gemm_cut_pack(int64_t slivers, int64_t words, int threads);

/* The share of the threads' time that is work, if tasks of slivers / panels each, `parts` times
 * over, are taken in order by threads that are equally fast. */
double gemm_cut_even(int slivers, int panels, int parts, int threads);

/* Lines a multiple of a page apart fall into the same set of a first-level cache. */
static inline bool gemm_bad_stride(int64_t ld) {
    return ld % 1024 == 0;
}

/* So many lines of a transposed A, ld words apart, fall into few sets of a cache, where they do not
 * stay until the next sliver of rows reads them. */
bool gemm_clash(int64_t ld, int64_t words);

/* So do the rows, ld words apart, that a kernel reads side by side. */
bool gemm_rows_clash(const struct gemm_kern *kn, int64_t ld);

/* True if a task copies the rows of A that it uses: `words` of k, in slivers of `height` rows or
 * one more, for so many slivers of B. Those of a transposed A are where enough slivers use them, or
 * lines clash; those of another where they clash; those of any if that makes them faster, and a
 * sliver lacks at most a row. */
bool gemm_copies(const struct gemm_kern *kn, bool trans, int64_t height, int64_t ld, int64_t words,
                 int64_t slivers);

/* True if panels of twice the columns and half the words are better where A is copied. */
bool gemm_likes_wide(const struct gemm_kern *kn);

/* Cycles to read, or copy, a word of A for a panel: a row of clashing lines is copied; others are
 * read meanwhile, but not from memory that other threads read, too. */
double gemm_read_cost(const struct gemm_kern *kn, bool trans, int64_t ld, int64_t words);

/* Of two products in a list: the second has the B of the first, which tasks pack for both. Gradients
 * of query, key and value, say, of one input. */
bool gemm_same_b(const struct gemm_product *p, const struct gemm_product *next);

/* Rows and words of k of product i's tasks: of those that go on with it, or with its B. */
void gemm_extent(const struct gemm_product *p, int n, int i, int64_t *rows, int64_t *k);

/* Multiply-adds of all. */
double gemm_work_of(const struct gemm_product *p, int n);

/* Beginning of part i of n things cut into `parts` nearly equal parts, larger and smaller ones in
 * turns: a thread begins with its share of them, which should be no larger than another's. */
static inline int64_t gemm_part(int64_t n, int64_t parts, int64_t i) {
    return n * i / parts;
}

/* Where block i of so many words of k begins: at a multiple of GEMM_CUT_K. */
static inline int64_t gemm_cut_begin(int64_t words, int64_t blocks, int64_t i) {
    if (i == blocks) return words;
    return GEMM_CUT_K * gemm_part((words + GEMM_CUT_K - 1) / GEMM_CUT_K, blocks, i);
}

#endif
