/* Rounding by chance and steps of gradient descent, for kern_tmpl.c. */
#ifndef DUET_KERN_STEP_H
#define DUET_KERN_STEP_H

#include "kern.h"
#include "kern_signs.h"

enum {
    GROUP = KERN_CHANCES,
    GROUP_VECS = GROUP / VL,
    SOME = 2 * WORD_LANES, /* blocks of chances that are made in one go */
    AHEAD = 512           /* elements that are fetched ahead */
};

/* Where chances are made from: blocks that follow each other. */
struct chances {
    vw key, number, hash; /* of the next WORD_LANES blocks */
};

static struct chances chances_from(uint64_t key, uint64_t first) {
    struct chances c = {.key = (vw){0} + key};
    for (int l = 0; l < WORD_LANES; l++) c.number[l] = (uint64_t)l;
    c.number += first;
    c.hash = (c.number ^ c.key) + GOLDEN;
    mix(&c.hash, 1);
    return c;
}

static __attribute__((noinline)) void more_chances(struct chances *c, uint64_t *words) {
    for (int i = 0; i < SOME; i += WORD_LANES) {
        c->number += WORD_LANES;
        c->hash = some_signs(words + i * BLOCK_WORDS, c->hash, c->number ^ c->key, WORD_LANES);
    }
}

/* 2 VL chances, in pairs that lie in the lanes. */
VEC vu load_chances(const uint64_t *words, int j) {
    vu v;
    memcpy(&v, words + j * VL / 4, sizeof v);
    return v;
}

static __attribute__((noinline)) void round_nan(uint16_t *dst, const float *src,
                                               const uint64_t *words) {
    for (int i = 0; i < GROUP; i++) {
        const uint16_t chance = (uint16_t)(words[i / 4] >> (16 * (i % 4)));
        uint32_t u;
        memcpy(&u, src + i, sizeof u);
        dst[i] = (uint16_t)((u & 0x7FFFFFFF) > 0x7F800000 ? u >> 16 | 0x40 : (u + chance) >> 16);
    }
}

VEC void round_group(uint16_t *dst, const float *src, const uint64_t *words) {
    vu up[GROUP_VECS / 2], nan = {0};
    for (int j = 0; j < GROUP_VECS; j += 2) {
        const vu chance = load_chances(words, j);
        vf even, odd;
        load_pairs(src + j * VL, &even, &odd);
        nan |= unordered(even, odd);
        /* An infinity has no bits from which this could carry. */
        up[j / 2] = upper_halves((vu)even + (chance & 0xFFFFu), (vu)odd + (chance >> 16));
    }
    if (any(nan)) {
        round_nan(dst, src, words);
        return;
    }
    for (int j = 0; j < GROUP_VECS; j += 2) memcpy(dst + j * VL, up + j / 2, sizeof *up);
}

static void bf16_by_chance(uint16_t *dst, const float *src, uint64_t key, uint64_t first,
                           int64_t n) {
    uint64_t words[SOME * BLOCK_WORDS];
    struct chances c = chances_from(key, first);
    int64_t i = 0;
    while (i + GROUP <= n) {
        const int64_t end = n - i < SOME * GROUP ? n - GROUP : i + (SOME - 1) * GROUP;
        const uint64_t *chance = words;
        more_chances(&c, words);
        for (; i <= end; i += GROUP, chance += BLOCK_WORDS) round_group(dst + i, src + i, chance);
    }
    if (i < n) {
        float rest[GROUP] = {0};
        uint16_t to[GROUP];
        memcpy(rest, src + i, (size_t)(n - i) * sizeof *rest);
        if (i / GROUP % SOME == 0) more_chances(&c, words);
        round_group(to, rest, words + i / GROUP % SOME * BLOCK_WORDS);
        memcpy(dst + i, to, (size_t)(n - i) * sizeof *to);
    }
}

/* What a step is made of, as far as it is known beforehand. */
enum form {
    OF_ROW,   /* g: a row alone */
    OF_SIGNS, /* one direction alone; no number of the step is NaN, so that only weights are */
    OF_ALL    /* anything */
};

struct step {
    const struct kern_sgd *p;
    vf keep, by, plus[KERN_SIGNS], minus[KERN_SIGNS]; /* eps and -eps */
};

/* g (+)= direction d from element i on. pairs: vectors are of even and of odd elements in turn,
 * else elements follow each other. */
VEC void add_direction(vf *g, const struct step *s, int d, int64_t i, const bool add,
                       const bool pairs) {
    const vf plus = s->plus[d], minus = s->minus[d];
    uint32_t bits;
    memcpy(&bits, (const char *)s->p->bits[d] + i / 8, sizeof bits);
    for (int j = 0; j < GROUP_VECS; j += 2) {
        vu even, odd;
        if (pairs) {
            odd = bits_of_lanes(bits, j * VL + 1, 2);
            even = VL == 4 ? bits_of_lanes(bits, j * VL, 2) : odd + odd;
        } else {
            even = bits_of_lanes(bits, j * VL, 1);
            odd = bits_of_lanes(bits, j * VL + VL, 1);
        }
        const vf a = plus_or_minus(plus, minus, even), b = plus_or_minus(plus, minus, odd);
        g[j] = add ? g[j] + a : a;
        g[j + 1] = add ? g[j + 1] + b : b;
    }
}

VEC void sum_up(vf *g, const struct step *s, const float *row, int64_t i, const enum form form,
                const bool pairs) {
    int d = 0;
    if (form == OF_ROW || (form == OF_ALL && row)) {
        for (int j = 0; j < GROUP_VECS; j += 2)
            if (pairs) {
                load_pairs(row + j * VL, g + j, g + j + 1);
            } else {
                g[j] = load(row + j * VL, VL);
                g[j + 1] = load(row + j * VL + VL, VL);
            }
    } else {
        add_direction(g, s, d++, i, false, pairs);
    }
    for (; form == OF_ALL && d < s->p->n_signs; d++) add_direction(g, s, d, i, true, pairs);
}

VEC vf step_of(vf w, vf g, const struct step *s, const bool decays) {
    return (decays ? rounded(s->keep * w) : w) + s->by * g;
}

/* GROUP elements from i on. row: those of the row, or NULL. */
VEC void step_f32(float *w, const float *row, const struct step *s, int64_t i,
                  const enum form form, const bool decays) {
    vf g[GROUP_VECS];
    sum_up(g, s, row, i, form, false);
    for (int j = 0; j < GROUP_VECS; j++)
        store(w + j * VL, step_of(load(w + j * VL, VL), g[j], s, decays), VL);
}

/* A NaN that arithmetic made is quiet; what lies below the bits that stay must not carry it over
 * into zero. Infinities, and NaNs of weights, have nothing there. */
VEC vu add_chance(vf x, vu chance, const enum form form) {
    return (vu)x + (form == OF_SIGNS ? chance : chance & ~(vu)(x != x));
}

VEC void step_bf16(uint16_t *w, const float *row, const struct step *s, int64_t i,
                   const uint64_t *words, const enum form form, const bool decays) {
    vf g[GROUP_VECS];
    sum_up(g, s, row, i, form, true);
    for (int j = 0; j < GROUP_VECS; j += 2) {
        vu both;
        memcpy(&both, w + j * VL, sizeof both);
        const vu chance = load_chances(words, j);
        const vf even = step_of((vf)(both << 16), g[j], s, decays),
                 odd = step_of((vf)(both & 0xFFFF0000u), g[j + 1], s, decays);
        both = upper_halves(add_chance(even, chance & 0xFFFFu, form),
                            add_chance(odd, chance >> 16, form));
        memcpy(w + j * VL, &both, sizeof both);
    }
}

VEC void steps_f32(float *w, const struct step *s, int64_t n, const enum form form,
                   const bool decays) {
    const float *row = s->p->row;
    int64_t i = 0;
    for (; i + GROUP <= n; i += GROUP) {
        for (int j = 0; j < GROUP; j += 16) __builtin_prefetch(w + i + AHEAD + j, 1);
        step_f32(w + i, row ? row + i : NULL, s, i, form, decays);
    }
    if (i < n) {
        const size_t bytes = (size_t)(n - i) * sizeof *w;
        float rest[GROUP] = {0}, part[GROUP] = {0};
        memcpy(rest, w + i, bytes);
        if (row) memcpy(part, row + i, bytes);
        step_f32(rest, row ? part : NULL, s, i, form, decays);
        memcpy(w + i, rest, bytes);
    }
}

/* The last elements, fewer than a group, from i on. */
VEC void last_bf16(uint16_t *w, const struct step *s, int64_t i, int64_t n, const uint64_t *words,
                   const enum form form, const bool decays) {
    const float *row = s->p->row;
    uint16_t rest[GROUP] = {0};
    float part[GROUP] = {0};
    memcpy(rest, w + i, (size_t)(n - i) * sizeof *rest);
    if (row) memcpy(part, row + i, (size_t)(n - i) * sizeof *row);
    step_bf16(rest, row ? part : NULL, s, i, words, form, decays);
    memcpy(w + i, rest, (size_t)(n - i) * sizeof *rest);
}

VEC void steps_bf16(uint16_t *w, const struct step *s, struct chances *c, int64_t n,
                    const enum form form, const bool decays) {
    const float *row = s->p->row;
    uint64_t words[SOME * BLOCK_WORDS];
    for (int64_t i = 0; i < n;) {
        const uint64_t *chance = words;
        const int64_t end = n - i < SOME * GROUP ? n : i + SOME * GROUP;
        more_chances(c, words);
        for (; i + GROUP <= end; i += GROUP, chance += BLOCK_WORDS) {
            __builtin_prefetch(w + i + AHEAD, 1);
            step_bf16(w + i, row ? row + i : NULL, s, i, chance, form, decays);
        }
        if (i < end) {
            last_bf16(w, s, i, n, chance, form, decays);
            i = end;
        }
    }
}

static enum form step_make(struct step *s, const struct kern_sgd *p) {
    *s = (struct step){.p = p, .keep = splat(p->keep), .by = splat(p->by)};
    for (int d = 0; d < p->n_signs; d++) {
        s->plus[d] = splat(p->eps[d]);
        s->minus[d] = splat(-p->eps[d]);
    }
    if (!p->n_signs) return OF_ROW;
    const float numbers = p->keep * 0 + p->by * 0 + p->eps[0] * 0;
    return p->n_signs == 1 && !p->row && numbers == 0 ? OF_SIGNS : OF_ALL;
}

/* f with form and decays as constants. */
#define BY_FORM(f, s, form, ...)                                                                   \
    do {                                                                                           \
        const bool decays = (s)->p->keep != 1;                                                     \
        if (form == OF_ROW && decays)                                                              \
            f(__VA_ARGS__, OF_ROW, true);                                                          \
        else if (form == OF_ROW)                                                                   \
            f(__VA_ARGS__, OF_ROW, false);                                                         \
        else if (form == OF_SIGNS && !decays)                                                      \
            f(__VA_ARGS__, OF_SIGNS, false);                                                       \
        else if (decays)                                                                           \
            f(__VA_ARGS__, OF_ALL, true);                                                          \
        else                                                                                       \
            f(__VA_ARGS__, OF_ALL, false);                                                         \
    } while (0)

static void sgd(float *w, const struct kern_sgd *p, int64_t n) {
    struct step s;
    const enum form form = step_make(&s, p);
    BY_FORM(steps_f32, &s, form, w, &s, n);
}

static void sgd_bf16(uint16_t *w, const struct kern_sgd *p, uint64_t key, uint64_t first,
                     int64_t n) {
    struct step s;
    struct chances c = chances_from(key, first);
    const enum form form = step_make(&s, p);
    BY_FORM(steps_bf16, &s, form, w, &s, &c, n);
}

#endif
