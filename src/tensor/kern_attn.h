/* Rows of causal attention, for kern_tmpl.c. A row has room for a whole vector behind its entries:
 * the last of them are read as one, of which the rest is masked. */
#ifndef DUET_KERN_ATTN_H
#define DUET_KERN_ATTN_H

#include "kern_math.h"

/* Lanes [0, k), all bits set. */
VEC vu lanes_below(int64_t k) {
    vi lane;
    for (int l = 0; l < VL; l++) lane[l] = l;
    return (vu)(lane < (int32_t)k);
}

VEC vf keep(vf x, vu mask) {
    return (vf)((vu)x & mask);
}

VEC float row_max(const float *x, int64_t n) {
    const int64_t whole = n / VL * VL;
    const vu inside = lanes_below(n - whole), nothing = (vu)splat(-INFINITY);
    vf m0 = (vf)(((vu)load(x + whole, VL) & inside) | (nothing & ~inside)), m1 = m0;
    int64_t i = 0;
    for (; i + 2 * VL <= whole; i += 2 * VL) {
        m0 = vmax(load(x + i, VL), m0);
        m1 = vmax(load(x + i + VL, VL), m1);
    }
    if (i < whole) m0 = vmax(load(x + i, VL), m0);
    return lanes_max(vmax(m0, m1));
}

/* w vectors of exponentials. */
VEC void exp_at(const int w, float *x, float shift, vf *e) {
    vf d[WIDE];
    SIDES d[v] = load(x + v * VL, VL) - shift;
    vexp_down(w, d, e);
}

/* The sum is that of exp_sum. */
VEC float row_exp(float *x, float most, int64_t n) {
    double total = 0;
    vf e[WIDE];
    for (int64_t start = 0; start < n; start += BLOCK) {
        const int64_t size = n - start < BLOCK ? n - start : BLOCK;
        float *at = x + start;
        vf s = {0};
        int64_t i = 0;
        for (; i + WIDE * VL <= size; i += WIDE * VL) {
            exp_at(WIDE, at + i, most, e);
            for (int v = 0; v < WIDE; v++) {
                store(at + i + v * VL, e[v], VL);
                s += e[v];
            }
        }
        for (; i < size; i += VL) {
            exp_at(1, at + i, most, e);
            e[0] = keep(e[0], lanes_below(size - i));
            store(at + i, e[0], VL);
            s += e[0];
        }
        total += (double)lanes_sum(s);
    }
    return (float)total;
}

/* What stands behind the vectors of n entries, up to column end. */
VEC void row_clear(float *x, int64_t n, int64_t end) {
    for (int64_t i = (n + VL - 1) / VL * VL; i < end; i += VL) store(x + i, (vf){0}, VL);
}

/* The maximum of the next row is at hand when its exponentials begin. */
static void softmax(float *x, int64_t ld, int64_t m, int64_t n, int64_t end, float *most,
                    float *sum) {
    most[0] = row_max(x, n);
    for (int64_t i = 0; i < m; i++, x += ld, n++) {
        if (i + 1 < m) most[i + 1] = row_max(x + ld, n + 1);
        sum[i] = row_exp(x, most[i], n);
        row_clear(x, n, end);
    }
}

static void softmax_grad(float *p, float *d, int64_t ld, int64_t m, int64_t n, int64_t end,
                         const float *lse, const float *shift) {
    vf e[WIDE];
    for (int64_t r = 0; r < m; r++, p += ld, d += ld, n++) {
        int64_t i = 0;
        for (; i + WIDE * VL <= n; i += WIDE * VL) {
            exp_at(WIDE, p + i, lse[r], e);
            for (int v = 0; v < WIDE; v++) {
                store(p + i + v * VL, e[v], VL);
                store(d + i + v * VL, e[v] * (load(d + i + v * VL, VL) - shift[r]), VL);
            }
        }
        for (; i < n; i += VL) {
            const vu inside = lanes_below(n - i);
            exp_at(1, p + i, lse[r], e);
            store(p + i, keep(e[0], inside), VL);
            store(d + i, keep(e[0] * (load(d + i, VL) - shift[r]), inside), VL);
        }
        row_clear(p, n, end);
        row_clear(d, n, end);
    }
}

static void scale_rows(float *y, int64_t ldy, const float *x, int64_t ldx, const float *factor,
                       int64_t m, int64_t n) {
    for (int64_t r = 0; r < m; r++, y += ldy, x += ldx)
        EACH(n, store(y + i, factor[r] * load(x + i, k), k););
}

#endif
