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

/* x in [EXP_LO, 89] or NaN: *q = expm1(r) (NaN for NaN), returns 2^n, infinity for n = 128. */
VEC vf exp_reduce(vf x, vf *q) {
    /* Adding 1.5 * 2^23 rounds to an integer held in the low bits; 127 more makes them the biased
     * exponent of 2^n. Nearest to t - 1/2 is floor(t); the float below 1/2 breaks the tie at t = 0
     * so that n = 0 and small x keep their relative accuracy. Where rounding takes t to the other
     * side of an integer, r is a little outside [0, ln2], which the polynomial covers. */
    const float magic = 12582912.0f + 127.0f;
    vf k = (x * 0x1.715476p+0f - 0x1.fffffep-2f) + magic;
    vf n = k - magic;
    vf r = x - n * 0x1.63p-1f;
    r = r - n * -0x1.bd0106p-13f;
    vf g = 0x1.18e53ap-12f * r + 0x1.5a572ap-10f;
    g = g * r + 0x1.121974p-7f;
    g = g * r + 0x1.5545fep-5f;
    g = g * r + 0x1.5555bcp-3f;
    g = g * r + 0x1.fffffep-2f;
    *q = (r * r) * g + r;
    return (vf)((vu)k << 23);
}

/* At most 2 ulp in [-87.3, 88.72]; 0 below, infinity above, NaN for NaN. */
VEC vf vexp(vf x) {
    vf q, s = exp_reduce(vmin(splat(89.0f), x), &q);
    return where_lt(x, splat(EXP_LO), splat(0.0f), s * (1.0f + q));
}

/* At most 4 ulp, for small x too. tanh |x| = expm1(2|x|) / (expm1(2|x|) + 2). */
VEC vf vtanh(vf x) {
    vf q, s = exp_reduce(vmin(splat(20.0f), 2.0f * vabs(x)), &q);
    vf e = s * q + (s - 1.0f);
    return with_sign(e / (e + 2.0f), x);
}

/* 1 / (1 + exp(-x)) and, without cancellation, *rest = 1 - that. Neither overflows for any x. */
VEC vf vsigmoid(vf x, vf *rest) {
    vf e = vexp(-vabs(x));
    vf big = 1.0f / (1.0f + e), small = e * big;
    *rest = where_lt(x, splat(0.0f), big, small);
    return where_lt(x, splat(0.0f), small, big);
}

#endif
