/* The row kernels, compiled once per instruction set with -DISA=generic, avx2, ...: the table
 * kern_<ISA>. See kern.h for what each kernel computes. */
#include "kern.h"
#include "half.h"
#include "kern_math.h"
#include "kern_step.h"

#include <math.h>
#include <stddef.h>

/* f32 lanes are added to a double after so many floats. */
#define BLOCK 4096

#include "kern_attn.h"

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Conversions. */

static void bf16_from_f32(uint16_t *dst, const float *src, int64_t n) {
    EACH(n, {
        vf x = load(src + i, k);
        vu u = (vu)x;
        vu rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
        vu quiet = (u >> 16) | 0x40u; /* rounding could carry a NaN into infinity */
        vu nan = (vu)(x != x);
        store16(dst + i, __builtin_convertvector((quiet & nan) | (rounded & ~nan), vs), k);
    });
}

static void f32_from_bf16(float *dst, const uint16_t *src, int64_t n) {
    EACH(n, store(dst + i, (vf)(widen_u16(load16(src + i, k)) << 16), k););
}

enum { Q8 = 32, Q8_BYTES = 34 };

/* max|x| of a block, NaN counting as the largest: positive floats are ordered as their bits are. */
VEC float q8_largest(const float *x) {
    vi m = {0};
    for (int j = 0; j < Q8; j += VL) {
        const vi a = (vi)vabs(load(x + j, VL));
        const vi more = a > m;
        m = (a & more) | (m & ~more);
    }
    int32_t s[VL];
    memcpy(s, &m, sizeof m);
    for (int w = VL / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) s[l] = s[l] > s[l + w] ? s[l] : s[l + w];
    float f;
    memcpy(&f, s, sizeof f);
    return f;
}

static void q8_from_f32(void *dst, const float *src, int64_t n) {
    unsigned char *b = dst;
    for (int64_t i = 0; i < n; i += Q8, b += Q8_BYTES) {
        const float d = q8_largest(src + i) / 127;
        const uint16_t h = f16_of_f32(d);
        memcpy(b, &h, sizeof h);
        memset(b + 2, 0, Q8);
        if (h == 0 || h >= 0x7C00) continue; /* infinity and NaN times 0 are NaN */
        const float inverse = 1 / d;
        for (int j = 0; j < Q8; j += VL) {
            /* Cutting off after adding the last float below 1/2 rounds, ties away from 0. The
             * absolute value also keeps a compiler from fusing product and sum. */
            const vf x = inverse * load(src + i + j, VL), a = vabs(x) + 0x1.fffffep-2f;
            store8(b + 2 + j, __builtin_convertvector(with_sign(a, x), vi));
        }
    }
}

#if VL > 4
static void f16_from_f32(uint16_t *dst, const float *src, int64_t n) {
    EACH(n, store16(dst + i, narrow16(load(src + i, k)), k););
}

static void f32_from_f16(float *dst, const uint16_t *src, int64_t n) {
    EACH(n, store(dst + i, widen16(load16(src + i, k)), k););
}

VEC void q8_widen(float *y, const unsigned char *q, float d) {
    for (int j = 0; j < Q8; j += VL) store(y + j, d * load8(q + j), VL);
}
#else /* no instructions for it: loops of which compilers make vectors */
static void f16_from_f32(uint16_t *dst, const float *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, src + i, sizeof x);
        const uint16_t h = f16_of_f32(x);
        memcpy(dst + i, &h, sizeof h);
    }
}

static void f32_from_f16(float *dst, const uint16_t *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + i, sizeof h);
        const float x = f32_of_f16(h);
        memcpy(dst + i, &x, sizeof x);
    }
}

VEC void q8_widen(float *y, const unsigned char *bytes, float d) {
    int8_t q[Q8];
    float x[Q8];
    memcpy(q, bytes, sizeof q);
    for (int j = 0; j < Q8; j++) x[j] = d * (float)q[j];
    memcpy(y, x, sizeof x);
}
#endif

static void f32_from_q8(float *dst, const void *src, int64_t n) {
    const unsigned char *b = src;
    for (int64_t i = 0; i < n; i += Q8, b += Q8_BYTES) {
        uint16_t h;
        memcpy(&h, b, sizeof h);
        q8_widen(dst + i, b + 2, f32_of_f16(h));
    }
}

/* Elementwise. */

static void axpy(float *y, float a, const float *x, int64_t n) {
    EACH(n, store(y + i, load(y + i, k) + a * load(x + i, k), k););
}

static void add_scaled(float *y, const float *a, float s, const float *b, int64_t n) {
    EACH(n, store(y + i, load(a + i, k) + s * load(b + i, k), k););
}

static void scale(float *y, float a, int64_t n) {
    EACH(n, store(y + i, a * load(y + i, k), k););
}

static void softcap(float *y, float cap, int64_t n) {
    const float inv = 1.0f / cap;
    EACH(n, store(y + i, cap * vtanh(load(y + i, k) * inv), k););
}

static void softcap_grad(float *d, const float *y, float cap, int64_t n) {
    const float inv2 = 1.0f / (cap * cap);
    EACH(n, {
        /* 1 - (y/cap)^2 factored: cap - |y| is exact where it is small */
        vf a = vabs(load(y + i, k));
        store(d + i, load(d + i, k) * ((cap - a) * (cap + a) * inv2), k);
    });
}

/* Reductions: four accumulators hide the latency of the addition. */

static float dot(const float *a, const float *b, int64_t n) {
    double total = 0;
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t end = min_i64(n, start + BLOCK);
        vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        int64_t j = start;
        for (; j + 4 * VL <= end; j += 4 * VL) {
            s0 += load(a + j, VL) * load(b + j, VL);
            s1 += load(a + j + VL, VL) * load(b + j + VL, VL);
            s2 += load(a + j + 2 * VL, VL) * load(b + j + 2 * VL, VL);
            s3 += load(a + j + 3 * VL, VL) * load(b + j + 3 * VL, VL);
        }
        EACH(end - j, s0 += load(a + j + i, k) * load(b + j + i, k););
        total += (double)lanes_sum((s0 + s1) + (s2 + s3));
    }
    return (float)total;
}

/* Doubles throughout: squares neither overflow nor vanish, and a sum over a whole gradient is
 * exact to more digits than its f32 terms. */
static double sumsq(const float *x, int64_t n) {
    vd s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int64_t j = 0;
    for (; j + 2 * VL <= n; j += 2 * VL) {
        vf a = load(x + j, VL), b = load(x + j + VL, VL);
        s0 += low(a) * low(a);
        s1 += high(a) * high(a);
        s2 += low(b) * low(b);
        s3 += high(b) * high(b);
    }
    EACH(n - j, {
        vf a = load(x + j + i, k);
        s0 += low(a) * low(a);
        s1 += high(a) * high(a);
    });
    return lanes_sum_d((s0 + s1) + (s2 + s3));
}

static float max(const float *x, int64_t n) {
    if (n < VL) {
        float m = x[0];
        for (int64_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
        return m;
    }
    vf m0 = load(x + n - VL, VL), m1 = m0, m2 = m0, m3 = m0; /* the tail, overlapping the rest */
    int64_t j = 0;
    for (; j + 4 * VL <= n; j += 4 * VL) {
        m0 = vmax(load(x + j, VL), m0);
        m1 = vmax(load(x + j + VL, VL), m1);
        m2 = vmax(load(x + j + 2 * VL, VL), m2);
        m3 = vmax(load(x + j + 3 * VL, VL), m3);
    }
    for (; j + VL <= n; j += VL) m0 = vmax(load(x + j, VL), m0);
    return lanes_max(vmax(vmax(m0, m1), vmax(m2, m3)));
}

static float max_abs(const float *x, int64_t n) {
    if (n < VL) {
        float m = fabsf(x[0]);
        for (int64_t i = 1; i < n; i++) m = fabsf(x[i]) > m ? fabsf(x[i]) : m;
        return m;
    }
    vf m0 = vabs(load(x + n - VL, VL)), m1 = m0, m2 = m0, m3 = m0; /* the tail, overlapping */
    int64_t j = 0;
    for (; j + 4 * VL <= n; j += 4 * VL) {
        m0 = vmax(vabs(load(x + j, VL)), m0);
        m1 = vmax(vabs(load(x + j + VL, VL)), m1);
        m2 = vmax(vabs(load(x + j + 2 * VL, VL)), m2);
        m3 = vmax(vabs(load(x + j + 3 * VL, VL)), m3);
    }
    for (; j + VL <= n; j += VL) m0 = vmax(vabs(load(x + j, VL)), m0);
    return lanes_max(vmax(vmax(m0, m1), vmax(m2, m3)));
}

static float exp_sum(float *y, const float *x, float shift, int64_t n) {
    double total = 0;
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t size = min_i64(n - start, BLOCK);
        vf s = {0};
        EACH(size, {
            vf e = vexp(load(x + start + i, k) - shift);
            store(y + start + i, e, k);
            s += first(e, k);
        });
        total += (double)lanes_sum(s);
    }
    return (float)total;
}

static void exp_scale(float *y, const float *x, float shift, float factor, int64_t n) {
    EACH(n, store(y + i, factor * vexp(load(x + i, k) - shift), k););
}

/* RMSNorm. */

static float rmsnorm(float *y, const float *x, const float *w, float eps, int64_t n) {
    if (n <= 0) return 0;
    const float rstd = (float)(1.0 / sqrt(sumsq(x, n) / (double)n + (double)eps));
    EACH(n, store(y + i, load(x + i, k) * rstd * load(w + i, k), k););
    return rstd;
}

/* Sum of dy w x. */
static double dot3(const float *dy, const float *w, const float *x, int64_t n) {
    double total = 0;
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t end = min_i64(n, start + BLOCK);
        vf s0 = {0}, s1 = {0};
        int64_t j = start;
        for (; j + 2 * VL <= end; j += 2 * VL) {
            s0 += load(dy + j, VL) * load(w + j, VL) * load(x + j, VL);
            s1 += load(dy + j + VL, VL) * load(w + j + VL, VL) * load(x + j + VL, VL);
        }
        EACH(end - j, s0 += load(dy + j + i, k) * load(w + j + i, k) * load(x + j + i, k););
        total += (double)lanes_sum(s0 + s1);
    }
    return total;
}

static void rmsnorm_grad(float *dx, float *dw, const float *dy, const float *x, const float *w,
                         float rstd, bool add, int64_t n) {
    if (n <= 0) return;
    /* mean(d h) h = mean(d x) rstd^2 x */
    const float c = (float)(dot3(dy, w, x, n) / (double)n * (double)rstd * (double)rstd);
    if (dw) EACH(n, store(dw + i, load(dw + i, k) + load(dy + i, k) * (load(x + i, k) * rstd), k););
    if (add)
        EACH(n, {
            vf d = load(dy + i, k) * load(w + i, k) - load(x + i, k) * c;
            store(dx + i, load(dx + i, k) + rstd * d, k);
        });
    else
        EACH(n, {
            vf d = load(dy + i, k) * load(w + i, k) - load(x + i, k) * c;
            store(dx + i, rstd * d, k);
        });
}

/* RoPE. */

static void rope(float *y, const float *x, const float *cos, const float *sin, bool inverse,
                 int64_t n) {
    const int64_t h = n / 2;
    const float sign = inverse ? -1.0f : 1.0f;
    EACH(h, {
        vf a = load(x + i, k), b = load(x + h + i, k);
        vf c = load(cos + i, k), s = sign * load(sin + i, k);
        store(y + i, a * c - b * s, k);
        store(y + h + i, b * c + a * s, k);
    });
}

/* SwiGLU. */

static void swiglu(float *y, const float *g, const float *u, int64_t n) {
    EACH_WIDE(n, {
        vf x[WIDE], s[WIDE], rest[WIDE];
        SIDES x[v] = load(g + i + v * VL, k);
        vsigmoid(w, x, s, rest);
        SIDES store(y + i + v * VL, x[v] * s[v] * load(u + i + v * VL, k), k);
    });
}

static void swiglu_grad(float *dg, float *du, const float *dy, const float *g, const float *u,
                        int64_t n) {
    EACH_WIDE(n, {
        vf x[WIDE], s[WIDE], rest[WIDE];
        SIDES x[v] = load(g + i + v * VL, k);
        vsigmoid(w, x, s, rest);
        SIDES {
            vf d = load(dy + i + v * VL, k), up = load(u + i + v * VL, k);
            store(dg + i + v * VL, d * up * (s[v] * (1.0f + x[v] * rest[v])), k);
            store(du + i + v * VL, d * (x[v] * s[v]), k);
        }
    });
}

/* ReLU squared. */

static void relu2(float *y, const float *x, int64_t n) {
    const vf zero = {0};
    EACH(n, {
        vf a = load(x + i, k);
        a = where_lt(a, zero, zero, a);
        store(y + i, a * a, k);
    });
}

static void relu2_grad(float *dx, const float *dy, const float *x, int64_t n) {
    const vf zero = {0};
    EACH(n, {
        vf a = load(x + i, k);
        a = where_lt(a, zero, zero, a);
        store(dx + i, (a + a) * load(dy + i, k), k);
    });
}

/* Optimizers. */

static void adamw(float *w, const float *g, float *m, float *v, const struct kern_adamw *p,
                  int64_t n) {
    const float b1 = p->b1, b2 = p->b2, a1 = 1.0f - b1, a2 = 1.0f - b2, gscale = p->gscale;
    const float lr = p->lr, eps = p->eps, wd = p->wd, i1 = 1.0f / p->c1, i2 = 1.0f / p->c2;
    EACH(n, {
        vf grad = gscale * load(g + i, k), weight = load(w + i, k);
        vf first_m = b1 * load(m + i, k) + a1 * grad;
        vf second = b2 * load(v + i, k) + a2 * grad * grad;
        vf step = (first_m * i1) / (vsqrt(second * i2) + eps) + wd * weight;
        store(m + i, first_m, k);
        store(v + i, second, k);
        store(w + i, weight - lr * step, k);
    });
}

static void lion(float *w, const float *g, float *m, const struct kern_lion *p, int64_t n) {
    const float b1 = p->b1, b2 = p->b2, a1 = 1.0f - b1, a2 = 1.0f - b2, gscale = p->gscale;
    const float lr = p->lr, decay = p->lr * p->wd;
    const vf zero = {0}, up = splat(lr), down = splat(-lr);
    EACH(n, {
        vf grad = gscale * load(g + i, k), weight = load(w + i, k), old = load(m + i, k);
        vf u = b1 * old + a1 * grad;
        vf step = where_lt(zero, u, up, where_lt(u, zero, down, zero));
        store(m + i, b2 * old + a2 * grad, k);
        store(w + i, (weight - decay * weight) - step, k);
    });
}

static void momentum(float *w, const float *g, float *m, const struct kern_momentum *p,
                     int64_t n) {
    const float b1 = p->b1, keep = p->keep, gscale = p->gscale, down = -p->lr;
    if (keep == 1)
        EACH(n, {
            const vf speed = rounded(b1 * load(m + i, k)) + gscale * load(g + i, k);
            store(m + i, speed, k);
            store(w + i, load(w + i, k) + down * speed, k);
        });
    else
        EACH(n, {
            const vf speed = rounded(b1 * load(m + i, k)) + gscale * load(g + i, k);
            store(m + i, speed, k);
            store(w + i, rounded(keep * load(w + i, k)) + down * speed, k);
        });
}

#define GLUE(a, b) a##b
#define TABLE(isa) GLUE(kern_, isa)
#define TEXT(a) #a
#define NAME(isa) TEXT(isa)

extern const struct kern TABLE(ISA);

const struct kern TABLE(ISA) = {
    .name = NAME(ISA),
    .bf16_from_f32 = bf16_from_f32,
    .f32_from_bf16 = f32_from_bf16,
    .f16_from_f32 = f16_from_f32,
    .f32_from_f16 = f32_from_f16,
    .q8_from_f32 = q8_from_f32,
    .f32_from_q8 = f32_from_q8,
    .bf16_by_chance = bf16_by_chance,
    .signs = signs,
    .add_signs = add_signs,
    .axpy = axpy,
    .add_scaled = add_scaled,
    .scale = scale,
    .softcap = softcap,
    .softcap_grad = softcap_grad,
    .dot = dot,
    .sumsq = sumsq,
    .max = max,
    .max_abs = max_abs,
    .exp_sum = exp_sum,
    .exp_scale = exp_scale,
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .scale_rows = scale_rows,
    .rmsnorm = rmsnorm,
    .rmsnorm_grad = rmsnorm_grad,
    .rope = rope,
    .swiglu = swiglu,
    .swiglu_grad = swiglu_grad,
    .relu2 = relu2,
    .relu2_grad = relu2_grad,
    .adamw = adamw,
    .lion = lion,
    .momentum = momentum,
    .sgd = sgd,
    .sgd_bf16 = sgd_bf16,
};
