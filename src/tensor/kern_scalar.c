/* The reference: plain loops, double arithmetic, libm. Slow on purpose; checks compare every tier
 * with it. Differences x - shift are rounded to f32 as kern.h says. */
#include "kern.h"
#include "half.h"
#include "rng.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static void bf16_from_f32(uint16_t *dst, const float *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &src[i], sizeof u);
        if (isnan(src[i]))
            dst[i] = (uint16_t)(u >> 16 | 0x40);
        else
            dst[i] = (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
    }
}

static void f32_from_bf16(float *dst, const uint16_t *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)src[i] << 16;
        memcpy(&dst[i], &u, sizeof u);
    }
}

static void f16_from_f32(uint16_t *dst, const float *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = f16_of_f32(src[i]);
        memcpy(dst + i, &h, sizeof h);
    }
}

static void f32_from_f16(float *dst, const uint16_t *src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + i, sizeof h);
        dst[i] = f32_of_f16(h);
    }
}

/* max|x|, NaN counting as the largest: positive floats are ordered as their bits are. */
static float largest(const float *x, int n) {
    uint32_t max = 0;
    for (int i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        if ((u & 0x7FFFFFFF) > max) max = u & 0x7FFFFFFF;
    }
    float f;
    memcpy(&f, &max, sizeof f);
    return f;
}

enum { Q8 = 32, Q8_BYTES = 34 };

static void q8_from_f32(void *dst, const float *src, int64_t n) {
    unsigned char *b = dst;
    for (int64_t i = 0; i < n; i += Q8, b += Q8_BYTES) {
        const float d = largest(src + i, Q8) / 127;
        const uint16_t h = f16_of_f32(d);
        int8_t q[Q8] = {0};
        if (h > 0 && h < 0x7C00)
            for (int j = 0; j < Q8; j++) q[j] = (int8_t)roundf(src[i + j] * (1 / d));
        memcpy(b, &h, sizeof h);
        memcpy(b + 2, q, sizeof q);
    }
}

static void f32_from_q8(float *dst, const void *src, int64_t n) {
    const unsigned char *b = src;
    for (int64_t i = 0; i < n; i += Q8, b += Q8_BYTES) {
        uint16_t h;
        int8_t q[Q8];
        memcpy(&h, b, sizeof h);
        memcpy(q, b + 2, sizeof q);
        for (int j = 0; j < Q8; j++) dst[i + j] = f32_of_f16(h) * q[j];
    }
}

static void signs(uint64_t *words, uint64_t key, uint64_t first, uint64_t stride, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t h = rng_fold(key, first + (uint64_t)i * stride);
        struct rng r;
        for (int k = 0; k < 4; k++) r.s[k] = rng_splitmix(&h);
        for (int w = 0; w < 8; w++) words[8 * i + w] = rng_next(&r);
    }
}

/* x as bf16, rand added below the bits that stay. */
static uint16_t rounded_up(float x, uint16_t rand) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (isnan(x)) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((isinf(x) ? u : u + rand) >> 16);
}

/* The number that rounds element i. */
static uint16_t chance(uint64_t key, uint64_t first, int64_t i) {
    uint64_t words[8];
    signs(words, key, first + (uint64_t)(i / KERN_CHANCES), 1, 1);
    return (uint16_t)(words[i % KERN_CHANCES / 4] >> (16 * (i % 4)));
}

static void bf16_by_chance(uint16_t *dst, const float *src, uint64_t key, uint64_t first,
                           int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = rounded_up(src[i], chance(key, first, i));
}

static void add_signs(float *y, const float *x, float eps, const uint64_t *words, int64_t bit0,
                      int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = bit0 + i;
        const float from = x ? x[i] : 0;
        y[i] = words[at / 64] >> (at % 64) & 1 ? from + eps : from - eps;
    }
}

static void axpy(float *y, float a, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)y[i] + (double)a * x[i]);
}

static void add_scaled(float *y, const float *a, float s, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)a[i] + (double)s * b[i]);
}

static void scale(float *y, float a, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)a * y[i]);
}

static void softcap(float *y, float cap, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)cap * tanh((double)y[i] / cap));
}

static void softcap_grad(float *d, const float *y, float cap, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double t = (double)y[i] / cap;
        d[i] = (float)(d[i] * (1 - t * t));
    }
}

static float dot(const float *a, const float *b, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)a[i] * b[i];
    return (float)s;
}

static double sumsq(const float *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)x[i] * x[i];
    return s;
}

static float max(const float *x, int64_t n) {
    float m = x[0];
    for (int64_t i = 1; i < n; i++) m = fmaxf(m, x[i]);
    return m;
}

static float max_abs(const float *x, int64_t n) {
    float m = fabsf(x[0]);
    for (int64_t i = 1; i < n; i++) m = fmaxf(m, fabsf(x[i]));
    return m;
}

static double exp_of(float x, float shift) {
    float d = x - shift;
    return d < -87.3f ? 0 : exp(d);
}

static float exp_sum(float *y, const float *x, float shift, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)exp_of(x[i], shift);
        s += y[i];
    }
    return (float)s;
}

static void exp_scale(float *y, const float *x, float shift, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)(factor * exp_of(x[i], shift));
}

static void clear(float *x, int64_t n, int64_t end) {
    for (int64_t i = n; i < end; i++) x[i] = 0;
}

static void softmax(float *x, int64_t ld, int64_t m, int64_t n, int64_t end, float *most,
                    float *sum) {
    for (int64_t i = 0; i < m; i++, x += ld, n++) {
        most[i] = max(x, n);
        sum[i] = exp_sum(x, x, most[i], n);
        clear(x, n, end);
    }
}

static void softmax_grad(float *p, float *d, int64_t ld, int64_t m, int64_t n, int64_t end,
                         const float *lse, const float *shift) {
    for (int64_t r = 0; r < m; r++, p += ld, d += ld, n++) {
        for (int64_t i = 0; i < n; i++) {
            const double e = exp_of(p[i], lse[r]);
            p[i] = (float)e;
            d[i] = (float)(e * ((double)d[i] - shift[r]));
        }
        clear(p, n, end);
        clear(d, n, end);
    }
}

static void scale_rows(float *y, int64_t ldy, const float *x, int64_t ldx, const float *factor,
                       int64_t m, int64_t n) {
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < n; i++)
            y[r * ldy + i] = (float)((double)factor[r] * x[r * ldx + i]);
}

static float rmsnorm(float *y, const float *x, const float *w, float eps, int64_t n) {
    if (n <= 0) return 0;
    double rstd = 1 / sqrt(sumsq(x, n) / (double)n + eps);
    for (int64_t i = 0; i < n; i++) y[i] = (float)(x[i] * rstd * w[i]);
    return (float)rstd;
}

static void rmsnorm_grad(float *dx, float *dw, const float *dy, const float *x, const float *w,
                         float rstd, bool add, int64_t n) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)dy[i] * w[i] * ((double)x[i] * rstd);
    mean /= n > 0 ? (double)n : 1;
    for (int64_t i = 0; i < n; i++) {
        double h = (double)x[i] * rstd, d = (double)dy[i] * w[i];
        if (dw) dw[i] = (float)(dw[i] + dy[i] * h);
        dx[i] = (float)((add ? dx[i] : 0) + rstd * (d - h * mean));
    }
}

static void rope(float *y, const float *x, const float *cos, const float *sin, bool inverse,
                 int64_t n) {
    const int64_t h = n / 2;
    for (int64_t i = 0; i < h; i++) {
        double a = x[i], b = x[i + h], c = cos[i], s = inverse ? -sin[i] : sin[i];
        y[i] = (float)(a * c - b * s);
        y[i + h] = (float)(b * c + a * s);
    }
}

static void swiglu(float *y, const float *g, const float *u, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)(g[i] / (1 + exp(-(double)g[i])) * u[i]);
}

static void swiglu_grad(float *dg, float *du, const float *dy, const float *g, const float *u,
                        int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double x = g[i], d = dy[i], s = 1 / (1 + exp(-x)), rest = 1 / (1 + exp(x)), up = u[i];
        dg[i] = (float)(d * up * (s * (1 + x * rest)));
        du[i] = (float)(d * (x * s));
    }
}

static void relu2(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] < 0 ? 0 : (float)((double)x[i] * x[i]);
}

static void relu2_grad(float *dx, const float *dy, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double d = dy[i], a = x[i] < 0 ? 0 : x[i];
        dx[i] = (float)(2 * a * d);
    }
}

static void adamw(float *w, const float *g, float *m, float *v, const struct kern_adamw *p,
                  int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double grad = (double)p->gscale * g[i];
        double mi = (double)p->b1 * m[i] + (1 - (double)p->b1) * grad;
        double vi = (double)p->b2 * v[i] + (1 - (double)p->b2) * grad * grad;
        double step = mi / p->c1 / (sqrt(vi / p->c2) + p->eps) + (double)p->wd * w[i];
        m[i] = (float)mi;
        v[i] = (float)vi;
        w[i] = (float)(w[i] - p->lr * step);
    }
}

static void lion(float *w, const float *g, float *m, const struct kern_lion *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double grad = (double)p->gscale * g[i];
        double u = (double)p->b1 * m[i] + (1 - (double)p->b1) * grad;
        double sign = (u > 0) - (u < 0);
        w[i] = (float)(w[i] - (double)p->lr * p->wd * w[i] - p->lr * sign);
        m[i] = (float)((double)p->b2 * m[i] + (1 - (double)p->b2) * grad);
    }
}

static void momentum(float *w, const float *g, float *m, const struct kern_momentum *p,
                     int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        m[i] = (float)((double)(float)((double)p->b1 * m[i]) + (double)p->gscale * g[i]);
        w[i] = (float)((double)(float)((double)p->keep * w[i]) - (double)p->lr * m[i]);
    }
}

static float step_of(const struct kern_sgd *p, float w, int64_t i) {
    float g = p->row ? p->row[i] : 0;
    for (int d = 0; d < p->n_signs; d++)
        g += p->bits[d][i / 64] >> (i % 64) & 1 ? p->eps[d] : -p->eps[d];
    const float kept = (float)((double)p->keep * (double)w);
    return (float)((double)kept + (double)p->by * (double)g);
}

static void sgd(float *w, const struct kern_sgd *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) w[i] = step_of(p, w[i], i);
}

static void sgd_bf16(uint16_t *w, const struct kern_sgd *p, uint64_t key, uint64_t first,
                     int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float x;
        f32_from_bf16(&x, w + i, 1);
        w[i] = rounded_up(step_of(p, x, i), chance(key, first, i));
    }
}

const struct kern kern_scalar = {
    .name = "scalar",
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
