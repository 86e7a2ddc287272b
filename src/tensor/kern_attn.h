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

/* Rows go in pairs, the second with one entry more, so that twice as many exponentials are under
 * way. Exponentials of `wide` vectors of each: those of row r begin with e[r * wide]. */
enum { PAIR = 2 };

VEC void exp_at(const int rows, const int wide, const float *x, int64_t ld, const float *shift,
                vf *e) {
    const int w = rows * wide;
    vf d[WIDEST];
    SIDES d[v] = load(x + v / wide * ld + v % wide * VL, VL) - shift[v / wide];
    vexp_down(w, d, e);
}

/* The sums are those of exp_sum. */
VEC void rows_exp(const int rows, float *x, int64_t ld, const float *most, int64_t n, float *sum) {
    double total[PAIR] = {0};
    for (int64_t start = 0; start < n + rows - 1; start += BLOCK, x += BLOCK) {
        const int64_t left = n - start, full = left < BLOCK ? left : BLOCK,
                      size = left + rows - 1 < BLOCK ? left + rows - 1 : BLOCK;
        vf e[WIDEST], s[PAIR] = {{0}};
        int64_t i = 0;
        for (; i + WIDE * VL <= full; i += WIDE * VL) {
            exp_at(rows, WIDE, x + i, ld, most, e);
            for (int v = 0; v < rows * WIDE; v++) {
                store(x + v / WIDE * ld + v % WIDE * VL + i, e[v], VL);
                s[v / WIDE] += e[v];
            }
        }
        for (; i < size; i += VL) {
            exp_at(rows, 1, x + i, ld, most, e);
            for (int r = 0; r < rows; r++) {
                e[r] = keep(e[r], lanes_below(left + r - i));
                store(x + r * ld + i, e[r], VL);
                s[r] += e[r];
            }
        }
        for (int r = 0; r < rows; r++) total[r] += (double)lanes_sum(s[r]);
    }
    for (int r = 0; r < rows; r++) sum[r] = (float)total[r];
}

/* Columns behind those vectors of a row of n entries that have been written, up to column end. The
 * empty asm keeps the compiler from calling memset for a vector or four. */
VEC void row_clear(float *x, int64_t n, int64_t end) {
    for (int64_t i = (n + VL - 1) / VL * VL; i < end; i += VL) {
        store(x + i, (vf){0}, VL);
        __asm__("" : : : "memory");
    }
}

/* The maxima of the next rows are at hand when their exponentials begin. */
static void softmax(float *x, int64_t ld, int64_t m, int64_t n, int64_t end, float *most,
                    float *sum) {
    for (int64_t i = 0; i < m && i < PAIR; i++) most[i] = row_max(x + i * ld, n + i);
    for (int64_t i = 0; i < m; i += PAIR, x += PAIR * ld) {
        for (int64_t r = i + PAIR; r < m && r < i + 2 * PAIR; r++)
            most[r] = row_max(x + (r - i) * ld, n + r);
        if (i + PAIR <= m)
            rows_exp(PAIR, x, ld, most + i, n + i, sum + i);
        else
            rows_exp(1, x, ld, most + i, n + i, sum + i);
        for (int64_t r = i; r < m && r < i + PAIR; r++) row_clear(x + (r - i) * ld, n + r, end);
    }
}

VEC void rows_grad(const int rows, float *p, float *d, int64_t ld, int64_t n, const float *lse,
                   const float *shift) {
    vf e[WIDEST];
    int64_t i = 0;
    for (; i + WIDE * VL <= n; i += WIDE * VL) {
        exp_at(rows, WIDE, p + i, ld, lse, e);
        for (int v = 0; v < rows * WIDE; v++) {
            const int64_t at = v / WIDE * ld + v % WIDE * VL + i;
            store(p + at, e[v], VL);
            store(d + at, e[v] * (load(d + at, VL) - shift[v / WIDE]), VL);
        }
    }
    for (; i < n + rows - 1; i += VL) {
        exp_at(rows, 1, p + i, ld, lse, e);
        for (int r = 0; r < rows; r++) {
            const vu inside = lanes_below(n + r - i);
            const int64_t at = r * ld + i;
            store(p + at, keep(e[r], inside), VL);
            store(d + at, keep(e[r] * (load(d + at, VL) - shift[r]), inside), VL);
        }
    }
}

static void softmax_grad(float *p, float *d, int64_t ld, int64_t m, int64_t n, int64_t end,
                         const float *lse, const float *shift) {
    for (int64_t i = 0; i < m; i += PAIR, p += PAIR * ld, d += PAIR * ld) {
        if (i + PAIR <= m)
            rows_grad(PAIR, p, d, ld, n + i, lse + i, shift + i);
        else
            rows_grad(1, p, d, ld, n + i, lse + i, shift + i);
        for (int64_t r = i; r < m && r < i + PAIR; r++) {
            row_clear(p + (r - i) * ld, n + r, end);
            row_clear(d + (r - i) * ld, n + r, end);
        }
    }
}

static void scale_rows(float *y, int64_t ldy, const float *x, int64_t ldx, const float *factor,
                       int64_t m, int64_t n) {
    for (int64_t r = 0; r < m; r++, y += ldy, x += ldx)
        EACH(n, store(y + i, factor[r] * load(x + i, k), k););
}

#endif
