#include "gemm_kern.h"

#if defined(__x86_64__)
#define TIERS(X) X(generic) X(avx2) X(avx512) X(avx512bf16)
#else
#define TIERS(X) X(generic)
#endif

#define X(t)                                                                                       \
    extern const struct gemm_kern gemm_kern_f32_##t;                                               \
    extern gemv_fn *const gemm_gemv_##t, *const gemm_sum_rows_##t;
TIERS(X)
#undef X

struct of_tier {
    const struct gemm_kern *f32;
    gemv_fn *gemv, *sum_rows;
};

static struct of_tier of_tier(enum cpu_tier tier) {
    switch (tier) {
    default: /* a tier of another processor: as the first, generic */
#define X(t)                                                                                       \
    case CPU_##t: return (struct of_tier){&gemm_kern_f32_##t, gemm_gemv_##t, gemm_sum_rows_##t};
        TIERS(X)
#undef X
    }
}

const struct gemm_kern *gemm_kern_f32(enum cpu_tier tier) {
    return of_tier(tier).f32;
}

gemv_fn *gemm_kern_gemv(enum cpu_tier tier) {
    return of_tier(tier).gemv;
}

gemv_fn *gemm_kern_sum_rows(enum cpu_tier tier) {
    return of_tier(tier).sum_rows;
}

const struct gemm_kern *gemm_kern_bf16(enum cpu_tier tier) {
#if defined(__x86_64__)
    extern const struct gemm_kern gemm_kern_bf16_avx512bf16;
    if (tier == CPU_avx512bf16) return &gemm_kern_bf16_avx512bf16;
#else
    (void)tier;
#endif
    return NULL;
}
