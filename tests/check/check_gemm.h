/* What the files of check_gemm share. */
#ifndef DUET_CHECK_GEMM_H
#define DUET_CHECK_GEMM_H

#include "check.h"
#include "gemm.h"

#include <stdlib.h>

/* Results that are plain chains over k. */
enum chain {
    CHAIN_NONE,
    CHAIN_FUSED, /* of fused multiply-adds */
    CHAIN_APART  /* of products and sums, each rounded */
};

struct backend {
    struct gemm g;
    char name[48];
    enum chain chain;
};

/* 64-byte aligned; the program ends without memory. */
static inline void *reserve(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!p) abort();
    return p;
}

void check_gemm_nothing(struct check *c, const struct backend *b);

/* Prints GFLOP/s. */
void check_gemm_bench(struct check *c, const struct backend *b);

#endif
