/* exp, tanh and the logistic function on vectors of floats, for kern_tmpl.c.
 *
 * All three rest on one reduction: x = n ln2 + r with n = floor(x / ln2), so that
 *   exp(x) = 2^n (1 + q),   expm1(x) = 2^n q + (2^n - 1)   with q = expm1(r) >= 0,
 * where no subtraction cancels. ln2 is split in two (Cody & Waite 1980) so that n ln2 is exact in
 * the high part. expm1(r) = r + r^2 g(r), g of degree 5 by Remez exchange on [0, 0.6935] for least
 * relative error of expm1: 3e-10 before the coefficients were rounded to f32, 5e-9 after. */
#ifndef DUET_KERN_MATH_H
#define DUET_KERN_MATH_H

#include "kern_vec.h"

#define EXP_LO -87.3f /* below it exp is 0: the results would leave the normal range */

/* Some functions take up to WIDEST vectors, w: an operation of all of them before the next. A chain
 * of dependent operations leaves a processor waiting that looks two or three turns of a loop ahead.
 * What each vector comes to is the same. */
enum { WIDE = 2, WIDEST = 4 };
#define SIDES for (int v = 0; v < w; v++)

/* x in [EXP_LO, 89] or NaN: q = expm1(r) (NaN for NaN), s = 2^n, infinity for n = 128. */
VEC void exp_reduce_all(const int w, const vf *x, vf *s, vf *q) {
    /* Adding 1.5 * 2^23 rounds to an integer held in the low bits; 127 more makes them the biased
     * exponent of 2^n. Nearest to t - 1/2 is floor(t); the float below 1/2 breaks the tie at t = 0
     * so that n = 0 and small x keep their relative accuracy. Where rounding takes t to the other
     * side of an integer, r is a little outside [0, ln2], which the polynomial covers. */
    const float magic = 12582912.0f + 127.0f;
    vf k[WIDEST], n[WIDEST], r[WIDEST], g[WIDEST];
    SIDES k[v] = (x[v] * 0x1.715476p+0f - 0x1.fffffep-2f) + magic;
    SIDES n[v] = k[v] - magic;
    SIDES r[v] = x[v] - n[v] * 0x1.63p-1f;
    SIDES r[v] = r[v] - n[v] * -0x1.bd0106p-13f;
    SIDES g[v] = 0x1.18e53ap-12f * r[v] + 0x1.5a572ap-10f;
    SIDES g[v] = g[v] * r[v] + 0x1.121974p-7f;
    SIDES g[v] = g[v] * r[v] + 0x1.5545fep-5f;
    SIDES g[v] = g[v] * r[v] + 0x1.5555bcp-3f;
    SIDES g[v] = g[v] * r[v] + 0x1.fffffep-2f;
    SIDES q[v] = (r[v] * r[v]) * g[v] + r[v];
    SIDES s[v] = (vf)((vu)k[v] << 23);
}

VEC vf exp_reduce(vf x, vf *q) {
    vf s;
    exp_reduce_all(1, &x, &s, q);
    return s;
}

/* At most 2 ulp in [-87.3, 88.72]; 0 below, infinity above, NaN for NaN. */
VEC vf vexp(vf x) {
    vf q, s = exp_reduce(vmin(splat(89.0f), x), &q);
    return zero_lt(x, splat(EXP_LO), s * (1.0f + q));
}

/* The same of x <= 0 or NaN. */
VEC void vexp_down(const int w, const vf *x, vf *y) {
    vf q[WIDEST], s[WIDEST];
    exp_reduce_all(w, x, s, q);
    SIDES y[v] = zero_lt(x[v], splat(EXP_LO), s[v] * (1.0f + q[v]));
}

/* At most 4 ulp, for small x too. tanh |x| = expm1(2|x|) / (expm1(2|x|) + 2). */
VEC vf vtanh(vf x) {
    vf q, s = exp_reduce(vmin(splat(20.0f), 2.0f * vabs(x)), &q);
    vf e = s * q + (s - 1.0f);
    return with_sign(e / (e + 2.0f), x);
}

/* y = 1 / (1 + exp(-x)) and, without cancellation, rest = 1 - that. Neither overflows for any x. */
VEC void vsigmoid(const int w, const vf *x, vf *y, vf *rest) {
    vf e[WIDE], q[WIDE], s[WIDE], big[WIDE];
    SIDES e[v] = -vabs(x[v]);
    exp_reduce_all(w, e, s, q);
    SIDES e[v] = zero_lt(e[v], splat(EXP_LO), s[v] * (1.0f + q[v]));
    SIDES big[v] = 1.0f / (1.0f + e[v]);
    SIDES e[v] = e[v] * big[v];
    SIDES rest[v] = where_minus(x[v], big[v], e[v]); /* of -0 both are 1/2 */
    SIDES y[v] = where_minus(x[v], e[v], big[v]);
}

/* As EACH, WIDE vectors at a time as long as there are so many: w of them. */
#define EACH_WIDE(count, ...)                                                                      \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + WIDE * VL <= (count); i += WIDE * VL) {                                         \
            enum { k = VL, w = WIDE };                                                             \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        for (; i + VL <= (count); i += VL) {                                                       \
            enum { k = VL, w = 1 };                                                                \
            __VA_ARGS__                                                                            \
        }                                                                                          \
        if (i < (count)) {                                                                         \
            enum { w = 1 };                                                                        \
            const int k = (int)((count)-i);                                                        \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
