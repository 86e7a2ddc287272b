/* What a task reads next, for kernels that fetch it meanwhile: the rows of A that it copies,
 * then the stored panel of B of the next block of k. Both are read once, in pieces too short for
 * the processor to foresee, and what does not come from memory meanwhile is waited for. */
#ifndef DUET_GEMM_SOON_H
#define DUET_GEMM_SOON_H

#include "gemm_kern.h"

enum { SOON_LINE = 64 };

/* Lines at + row*step + col*SOON_LINE that are left: in columns, from (row, col) on. */
struct soon_part {
    const char *at;
    int64_t step, rows, row;
    int64_t wide, col;
};

struct soon {
    struct soon_part a, b;
};

/* `rows` pieces of so many bytes, step bytes apart. */
static inline struct soon_part soon_part(const void *at, int64_t step, int64_t bytes,
                                         int64_t rows) {
    const int64_t into = (int64_t)((uintptr_t)at % SOON_LINE);
    return (struct soon_part){.at = (const char *)at - into,
                              .step = step,
                              .rows = rows,
                              .wide = (into + bytes + SOON_LINE - 1) / SOON_LINE};
}

/* Goes `lines` lines on. */
static inline void soon_go(struct soon_part *p, int64_t lines) {
    p->row += lines;
    if (p->row < p->rows) return;
    p->row = 0;
    p->col++;
}

/* For a kernel call of k words that reads b. */
static inline struct gemm_next soon_next(struct soon *s, int64_t k, const void *b) {
    struct gemm_next next = gemm_next_none(b);
    if (!s) return next;
    for (int i = 0; i < GEMM_NEXT_PARTS; i++) {
        struct soon_part *p = s->a.col < s->a.wide ? &s->a : &s->b;
        if (p->col >= p->wide) break;
        next.at[i] = p->at + p->row * p->step + p->col * SOON_LINE;
        next.step[i] = p->step;
        soon_go(p, k / GEMM_NEXT_PARTS / GEMM_NEXT_WORDS);
    }
    return next;
}

#endif
