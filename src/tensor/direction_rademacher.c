/* A sign for every weight (perturb.h): the least that a direction can be, and the quickest. */
#include "direction.h"

static void keys(struct direction *d, uint64_t seed, int64_t step) {
    (void)step;
    d->key = perturb_key(seed);
}

static void add(const struct direction *d, float *y, const float *x, float scale, int64_t tensor,
                int64_t row, int64_t col, int64_t n) {
    perturb_row(d->key, scale, tensor, d->space->tensor[tensor].cols, row, col, n, x, y);
}

static void words(const struct direction *d, int64_t tensor, int64_t first, int64_t stride,
                  int64_t n, uint64_t *words) {
    perturb_words(d->key, tensor, first, stride, n, words);
}

static void bits(const struct direction *d, int64_t tensor, int64_t begin, int64_t n,
                 uint64_t *bits) {
    perturb_bits(d->key, tensor, d->space->tensor[tensor].cols, 0, begin, n, bits);
}

const struct direction_kind direction_rademacher = {
    .name = "rademacher",
    .help = "a sign for every weight",
    .keys = keys,
    .add = add,
    .words = words,
    .bits = bits};
