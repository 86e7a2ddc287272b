/* Row kernels of plain descent, for check_kern. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

/* A step from a row, if there is one, and n_signs directions of the bits in u. With a power of two
 * for `by` nothing is rounded but what kern.h says, whatever is fused. */
static struct kern_sgd step_from(const struct row *r, const float *row, const void *u,
                                 int n_signs) {
    static uint64_t bits[KERN_SIGNS][MAX_N / 64 + 1];
    struct kern_sgd p = {.keep = 1, .by = -0.5f, .row = row, .n_signs = n_signs};
    if (r->n % 2) p.keep = r->factor;
    for (int d = 0; d < n_signs; d++) {
        for (int64_t i = 0; i < (r->n + 63) / 64; i++) {
            const int64_t left = 2 * r->n - 8 * i, bytes = left < 8 ? left : 8;
            bits[d][i] = 0;
            memcpy(bits[d] + i, (const char *)u + 8 * i, (size_t)bytes);
            bits[d][i] *= 2 * (uint64_t)d + 0x9E3779B97F4A7C15;
        }
        p.eps[d] = r->a / (float)(d + 1);
        p.bits[d] = bits[d];
    }
    return p;
}

#define STEP(kernel, ...) const struct kern_sgd p = step_from(r, __VA_ARGS__); kernel;
CALL(sgd, STEP(k->sgd(F(0), &p, r->n), F(1), NULL, 0))
CALL(sgd_signs, STEP(k->sgd(F(0), &p, r->n), NULL, U(1), 1))
CALL(sgd_more, STEP(k->sgd(F(0), &p, r->n), NULL, U(1), 4))
CALL(sgd_all, STEP(k->sgd(F(0), &p, r->n), F(1), U(2), KERN_SIGNS))
CALL(sgd_bf16, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), F(1), NULL, 0))
CALL(sgd_bf16_signs, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), NULL, U(1), 1))
CALL(sgd_bf16_more, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), NULL, U(1), 4))
CALL(sgd_bf16_all, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), F(1), U(2), KERN_SIGNS))

/* ---- NaN and infinities ---- */

enum { SPECIALS = 300 };

static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Signalling ones, and such whose payload lies where bf16 has nothing, among them. */
static float special_of(struct check *c) {
    static const uint32_t some[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001,
                                    0xFF80FFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC0FFFF, 0x7FBFFFFF};
    return float_of(some[rng_below(&c->rng, sizeof some / sizeof *some)]);
}

struct special {
    float w[SPECIALS], row[SPECIALS], want[SPECIALS];
    uint64_t bits[KERN_SIGNS][SPECIALS / 64 + 1];
    struct kern_sgd p;
};

/* what: a bit each for weights, the row, eps, keep and by: they have such numbers. */
static void special_make(struct check *c, struct special *s, int n_signs, bool row, int what) {
    s->p = (struct kern_sgd){.keep = what & 1 ? 0.5f : 1, .by = -0.5f, .n_signs = n_signs};
    check_normal(c, s->w, SPECIALS, 1);
    check_normal(c, s->row, SPECIALS, 1);
    for (int i = 0; i < SPECIALS; i++) {
        if (what & 1 && rng_below(&c->rng, 3) == 0) s->w[i] = special_of(c);
        if (what & 2 && rng_below(&c->rng, 3) == 0) s->row[i] = special_of(c);
        uint16_t h;
        kern_scalar.bf16_from_f32(&h, s->w + i, 1); /* both types have it */
        kern_scalar.f32_from_bf16(s->w + i, &h, 1);
    }
    for (int d = 0; d < n_signs; d++) {
        for (int i = 0; i <= SPECIALS / 64; i++) s->bits[d][i] = rng_next(&c->rng);
        s->p.eps[d] = (float)rng_normal(&c->rng);
        s->p.bits[d] = s->bits[d];
    }
    if (row) s->p.row = s->row;
    if (what & 4 && n_signs) s->p.eps[rng_below(&c->rng, (uint64_t)n_signs)] = special_of(c);
    if (what & 8) s->p.keep = special_of(c);
    if (what & 16) s->p.by = special_of(c);
    for (int i = 0; i < SPECIALS; i++) {
        float g = row ? s->row[i] : 0;
        for (int d = 0; d < n_signs; d++)
            g += s->bits[d][i / 64] >> (i % 64) & 1 ? s->p.eps[d] : -s->p.eps[d];
        const volatile float kept = s->p.keep * s->w[i], by = s->p.by * g;
        s->want[i] = kept + by;
    }
}

static void special_step(struct check *c, const struct kern *k, const struct special *s) {
    float w[SPECIALS];
    uint16_t h[SPECIALS];
    memcpy(w, s->w, sizeof w);
    kern_scalar.bf16_from_f32(h, s->w, SPECIALS);
    k->sgd(w, &s->p, SPECIALS);
    k->sgd_bf16(h, &s->p, rng_next(&c->rng), 5, SPECIALS);
    for (int i = 0; i < SPECIALS; i++) {
        const float x = float_of((uint32_t)h[i] << 16), want = s->want[i];
        check_that(c, !isnan(want) == !isnan(w[i]), "NaN, and nothing else, becomes NaN");
        check_that(c, !isnan(want) == !isnan(x), "NaN, and nothing else, becomes NaN of bf16");
        if (isnan(want)) continue;
        check_that(c, w[i] == want, "what is no NaN is exact");
        uint32_t u;
        memcpy(&u, &want, sizeof u);
        if (isinf(want))
            check_that(c, x == want, "infinity stays infinite");
        else
            check_that(c, h[i] == u >> 16 || h[i] == (u >> 16) + 1, "one of its two neighbours");
    }
}

/* Each part of a step and all of them together; whole groups and what is left behind them. */
static void more_step(struct check *c, const struct kern *k) {
    static const struct {
        int n_signs;
        bool row;
    } steps[] = {{0, true}, {1, false}, {4, false}, {1, true}, {KERN_SIGNS, true}};
    static struct special s;
    c->n = SPECIALS;
    c->note = "NaN and infinities";
    for (int i = 0; i < 5 * 32 * 8; i++) {
        special_make(c, &s, steps[i % 5].n_signs, steps[i % 5].row, i / 5 % 32);
        special_step(c, k, &s);
    }
}

const struct item kern_step_items[KERN_STEP_ITEMS] = {
    {"sgd", "bi", call_sgd, .spread = 40, .flags = ONLY_BITS},
    {"sgd_signs", "bI", call_sgd_signs, .spread = 40, .flags = ONLY_BITS},
    {"sgd_more", "bI", call_sgd_more, .spread = 40, .flags = ONLY_BITS},
    {"sgd_all", "biI", call_sgd_all, .spread = 40, .flags = ONLY_BITS},
    {"sgd_bf16", "Bi", call_sgd_bf16, .spread = 40},
    {"sgd_bf16_signs", "BI", call_sgd_bf16_signs, .flags = 0},
    {"sgd_bf16_more", "BI", call_sgd_bf16_more, .flags = 0},
    {"sgd_bf16_all", "BiI", call_sgd_bf16_all, .spread = 40, .more = more_step},
};
