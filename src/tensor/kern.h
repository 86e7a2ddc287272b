/* Row kernels: the arithmetic of everything that is not a matrix product.
 *
 * One table per instruction-set tier, all compiled from kern_tmpl.c with vectors of 4, 8 or 16
 * floats; a machine (machine.h) has the one of its tier. kern_scalar is the reference: plain loops,
 * double accumulation, libm. A tier's results may differ from another tier's in the last bits, but
 * a kernel's result depends only on its arguments: never on alignment, address or threads.
 *
 * n is a number of floats, any value >= 0; pointers need no alignment; outputs may be the same
 * pointer as an input of the same shape where noted "in place", and do not overlap otherwise. */
#ifndef DUET_KERN_H
#define DUET_KERN_H

#include <stdbool.h>
#include <stdint.h>

/* One fused AdamW step (Loshchilov & Hutter 2019, arXiv 1711.05101), decoupled decay:
 *   g *= gscale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2
 *   w -= lr ((m / c1) / (sqrt(v / c2) + eps) + wd w)     c1 = 1-b1^t, c2 = 1-b2^t */
struct kern_adamw {
    float lr, b1, b2, eps, wd, c1, c2, gscale;
};

/* One fused Lion step (Chen et al. 2023, arXiv 2302.06675), decay first:
 *   g *= gscale; w -= lr wd w; w -= lr sign(b1 m + (1-b1) g) with sign(0) = 0; m = b2 m + (1-b2) g
 */
struct kern_lion {
    float lr, b1, b2, wd, gscale;
};

/* One step of gradient descent with momentum: m = b1 m + gscale g; w = keep w - lr m. b1 m and
 * keep w are rounded to f32 before the rest is added. */
struct kern_momentum {
    float lr, b1, keep, gscale;
};

/* One step of gradient descent: w = keep w + by g, where keep w is rounded to f32 before by g is
 * added. g is the sum, from left to right, of `row`, unless that is NULL, and of n_signs
 * directions: of each, eps where bit i of bits is set (lowest first), else -eps. Something there
 * is of them. */
enum { KERN_SIGNS = 8 };
struct kern_sgd {
    float keep, by;
    const float *row;
    int n_signs;
    float eps[KERN_SIGNS];
    uint64_t *bits[KERN_SIGNS];
};

/* Chances that a block of random words (`signs`: eight of them) has for rounding: numbers of 16
 * bits, lowest first. */
enum { KERN_CHANCES = 32 };

struct kern {
    const char *name;

    /* Conversions; narrowing rounds to nearest even, NaN stays NaN. */
    void (*bf16_from_f32)(uint16_t *dst, const float *src, int64_t n);
    void (*f32_from_bf16)(float *dst, const uint16_t *src, int64_t n);
    void (*f16_from_f32)(uint16_t *dst, const float *src, int64_t n);
    void (*f32_from_f16)(float *dst, const uint16_t *src, int64_t n);

    /* Blocks of q8_0 (dtype.h), 34 bytes each; n is a multiple of 32. The same on every tier. */
    void (*q8_from_f32)(void *dst, const float *src, int64_t n);
    void (*f32_from_q8)(float *dst, const void *src, int64_t n);

    /* dst = src rounded to bf16 by chance: up with a probability of the fraction that is cut off,
     * so that the mean is src. The chances are those of blocks first, first + 1, ... of `key`, as
     * `signs` makes them. NaN stays NaN, infinity infinity. */
    void (*bf16_by_chance)(uint16_t *dst, const float *src, uint64_t key, uint64_t first,
                           int64_t n);

    /* Sign words (perturb.h) of the n blocks first + i*stride: block i to words[8 i ...]. key: the
     * hash that the block is folded into. The bits are the same on every tier. */
    void (*signs)(uint64_t *words, uint64_t key, uint64_t first, uint64_t stride, int64_t n);
    /* y[i] = x[i] + (bit ? eps : -eps), bit: number bit0 + i of words, lowest first. One word
     * beyond the last is read. In place; x NULL: zeros. The same on every tier. */
    void (*add_signs)(float *y, const float *x, float eps, const uint64_t *words, int64_t bit0,
                      int64_t n);

    /* Elementwise. */
    void (*axpy)(float *y, float a, const float *x, int64_t n); /* y += a x */
    void (*add_scaled)(float *y, const float *a, float s, const float *b,
                       int64_t n);               /* y = a + s b; in place */
    void (*scale)(float *y, float a, int64_t n); /* y *= a */
    void (*softcap)(float *y, float cap, int64_t n); /* y = cap tanh(y / cap), in place */
    void (*softcap_grad)(float *d, const float *y, float cap, int64_t n); /* d *= 1 - (y/cap)^2 */

    /* Reductions. */
    float (*dot)(const float *a, const float *b, int64_t n);
    double (*sumsq)(const float *x, int64_t n);
    float (*max)(const float *x, int64_t n);     /* n >= 1; NaN may be lost: check sums instead */
    float (*max_abs)(const float *x, int64_t n); /* of |x|; the same */

    /* y = exp(x - shift), returns the sum of y (accumulated in f32 lanes, then double); in place.
     * x - shift is rounded to f32, and below -87.3 gives 0. Relative error of exp at most 2 ulp. */
    float (*exp_sum)(float *y, const float *x, float shift, int64_t n);
    /* y = scale * exp(x - shift); in place. */
    void (*exp_scale)(float *y, const float *x, float shift, float scale, int64_t n);

    /* Causal attention: m >= 1 rows at stride ld, row i of n + i entries, n >= 1. Those behind
     * them become 0, up to column `end`, which is at least n + m - 1; up to 15 more floats are read
     * and written.
     * x = exp(x - most[i]), most[i] the largest entry, as max has it; sum[i]: as of exp_sum. A NaN
     * entry stays NaN, and so is sum[i]: nothing else of such a row means anything. */
    void (*softmax)(float *x, int64_t ld, int64_t m, int64_t n, int64_t end, float *most,
                    float *sum);
    /* p = exp(p - lse[i]), d = p (d - shift[i]). p <= lse[i]. */
    void (*softmax_grad)(float *p, float *d, int64_t ld, int64_t m, int64_t n, int64_t end,
                         const float *lse, const float *shift);
    /* y = factor[i] x of m rows of n floats, at strides ldy and ldx; in place. */
    void (*scale_rows)(float *y, int64_t ldy, const float *x, int64_t ldx, const float *factor,
                       int64_t m, int64_t n);

    /* RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467): y = x rstd w, rstd =
     * 1/sqrt(mean(x^2)+eps); returns rstd. */
    float (*rmsnorm)(float *y, const float *x, const float *w, float eps, int64_t n);
    /* With h = x rstd and d = dy w:  dx (+)= rstd (d - h mean(d h)); dw += dy h. add: accumulate
     * into dx, else overwrite. dw may be NULL (weight not trained). dx may be dy's pointer when
     * !add. */
    void (*rmsnorm_grad)(float *dx, float *dw, const float *dy, const float *x, const float *w,
                         float rstd, bool add, int64_t n);

    /* RoPE in the split-halves layout of Hugging Face (Su et al. 2021, arXiv 2104.09864), one head
     * of n = head_dim floats: with h = n/2, for i < h
     *   y[i]   = x[i] cos[i] - x[i+h] sin[i]
     *   y[i+h] = x[i+h] cos[i] + x[i] sin[i]
     * inverse: the transposed rotation (gradient). In place. */
    void (*rope)(float *y, const float *x, const float *cos, const float *sin, bool inverse,
                 int64_t n);

    /* SwiGLU (Shazeer 2020, arXiv 2002.05202): y = silu(g) u. */
    void (*swiglu)(float *y, const float *g, const float *u, int64_t n);
    /* dg = dy u silu'(g), du = dy silu(g). dg may be g's pointer, du may be u's, dy's pointer must
     * differ from both. */
    void (*swiglu_grad)(float *dg, float *du, const float *dy, const float *g, const float *u,
                        int64_t n);

    /* ReLU squared (So et al. 2021, arXiv 2109.08668): y = max(x, 0)^2; NaN stays NaN. */
    void (*relu2)(float *y, const float *x, int64_t n);
    /* dx = 2 max(x, 0) dy. dx may be x's pointer. */
    void (*relu2_grad)(float *dx, const float *dy, const float *x, int64_t n);

    /* Optimizers. */
    void (*adamw)(float *w, const float *g, float *m, float *v, const struct kern_adamw *p,
                  int64_t n);
    void (*lion)(float *w, const float *g, float *m, const struct kern_lion *p, int64_t n);
    void (*momentum)(float *w, const float *g, float *m, const struct kern_momentum *p, int64_t n);
    void (*sgd)(float *w, const struct kern_sgd *p, int64_t n);
    /* Of stored bf16, widened, and then rounded as bf16_by_chance does. */
    void (*sgd_bf16)(uint16_t *w, const struct kern_sgd *p, uint64_t key, uint64_t first,
                     int64_t n);
};

/* The best table that this CPU has: for kernels whose results are the same on every tier, and
 * nothing else (conversions between types, signs). */
const struct kern *kern(void);
extern const struct kern kern_scalar;

/* Table of one tier, or NULL if this CPU (or this build) does not have it. */
struct kern const *kern_tier(int tier);

#endif
