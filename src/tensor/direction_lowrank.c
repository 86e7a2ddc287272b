/* Matrices as products of two thin factors, after LOZO (Chen et al. 2024, arXiv 2410.07698):
 *   z = U V' / sqrt(R)          U (rows, R), V (cols, R)
 * U is the direction's own; V is shared by all directions of `every` updates in a row, so that
 * their estimates gather in one subspace. Here the factors' elements are signs, not normal numbers:
 * an element of z still has variance 1, and with R = 1 it is a sign. Tensors of one dimension have
 * a sign for every weight. Outside of a run's updates every direction has a V of its own. */
#include "direction.h"

#include "kern.h"
#include "rng.h"

#include <math.h>
#include <string.h>

static void keys(struct direction *d, uint64_t seed, int64_t step) {
    const struct direction_space *s = d->space;
    const uint64_t own = rng_fold(rng_fold(0, seed), RNG_LOWRANK),
                   run = rng_fold(rng_fold(0, s->seed), RNG_LOWRANK);
    d->key = rng_fold(own, 0);
    d->shared = step < 0 ? rng_fold(own, 1) : rng_fold(run, 1 + (uint64_t)(step / s->every));
}

/* Block `block` of the R columns of a factor of so many rows; one word more may be read. */
struct block {
    uint64_t words[DIRECTION_MAX_RANK * SIGN_WORDS + 1];
    int64_t number; /* -1: none yet */
};

static void read_block(struct block *b, uint64_t key, int64_t tensor, int64_t length,
                       int64_t number, int64_t rank) {
    if (b->number == number) return;
    perturb_words(key, tensor, number, perturb_blocks(length), rank, b->words);
    b->words[rank * SIGN_WORDS] = 0;
    b->number = number;
}

/* Element i of column k. */
static bool is_plus(const struct block *b, int64_t k, int64_t i) {
    return b->words[k * SIGN_WORDS + i % SIGN_BLOCK / 64] >> (i % 64) & 1;
}

static void add(const struct direction *d, float *y, const float *x, float scale, int64_t tensor,
                int64_t row, int64_t col, int64_t n) {
    const struct direction_tensor *t = d->space->tensor + tensor;
    const int64_t R = d->space->rank, cols = t->cols, end = col + n;
    struct block u = {.number = -1}, v = {.number = -1};
    if (t->rows == 1) {
        perturb_row(d->key, scale, tensor, cols, row, col, n, x, y);
        return;
    }
    scale /= sqrtf((float)R);
    for (int64_t b = 0; b < perturb_blocks(cols); b++) {
        const int64_t c0 = b * SIGN_BLOCK, c1 = c0 + SIGN_BLOCK < cols ? c0 + SIGN_BLOCK : cols;
        /* Row `row` + r has elements [r cols, r cols + cols), counted from that row's first. */
        for (int64_t r = 0; r * cols < end; r++) {
            const int64_t from = r * cols + c0 > col ? r * cols + c0 : col,
                          to = r * cols + c1 < end ? r * cols + c1 : end;
            if (from >= to) continue;
            const float *in = x ? x + (from - col) : NULL;
            float *out = y + (from - col);
            read_block(&v, d->shared, tensor, cols, b, R);
            read_block(&u, d->key, tensor, t->rows, (row + r) / SIGN_BLOCK, R);
            for (int64_t k = 0; k < R; k++, in = out)
                kern()->add_signs(out, in, is_plus(&u, k, row + r) ? scale : -scale,
                                  v.words + k * SIGN_WORDS, from - r * cols - c0, to - from);
        }
    }
}

static void factors(const struct direction *d, float scale, int64_t tensor, float *u, float *v) {
    const struct direction_tensor *t = d->space->tensor + tensor;
    const int64_t R = d->space->rank;
    struct block b = {.number = -1};
    scale *= t->scale;
    scale /= sqrtf((float)R);
    for (int64_t r = 0; r < t->rows; r++) {
        read_block(&b, d->key, tensor, t->rows, r / SIGN_BLOCK, R);
        for (int64_t k = 0; k < R; k++) u[r * R + k] = is_plus(&b, k, r) ? scale : -scale;
    }
    b.number = -1;
    for (int64_t c = 0; c < t->cols; c++) {
        read_block(&b, d->shared, tensor, t->cols, c / SIGN_BLOCK, R);
        for (int64_t k = 0; k < R; k++) v[k * t->cols + c] = is_plus(&b, k, c) ? 1 : -1;
    }
}

const struct direction_kind direction_lowrank = {
    .name = "lowrank",
    .help = "matrices as products of thin factors, one of which stays for some updates",
    .keys = keys,
    .add = add,
    .factors = factors};
