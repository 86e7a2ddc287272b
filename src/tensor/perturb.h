/* Random signs of tensors: one bit an element, any tile of them at any time by any thread.
 *
 * A tensor of (rows, cols) is cut into blocks of 512 elements along each row; block b of row r is
 * number r * ceil(cols/512) + b. Its signs are the eight words that the generator
 * rng_make(seed, RNG_PERTURB, 0, tensor, block) gives: bit i of word w is the sign of element
 * 64 w + i of the block, set for +1. A row's last block may be longer than the row. The signs of
 * one-dimensional tensors are those of one row. tests/golden/signs.txt holds test vectors. */
#ifndef DUET_PERTURB_H
#define DUET_PERTURB_H

#include <stdint.h>

enum { SIGN_BLOCK = 512, SIGN_WORDS = SIGN_BLOCK / 64 };

/* The hash of (seed, RNG_PERTURB, 0), which the tensor and the block are folded into. */
uint64_t perturb_key(uint64_t seed);

/* Blocks a row of cols elements. */
static inline int64_t perturb_blocks(int64_t cols) {
    return (cols + SIGN_BLOCK - 1) / SIGN_BLOCK;
}

/* Signs of blocks first, first + stride, ... (n of them) of a tensor: 8 n words. */
void perturb_words(uint64_t key, int64_t tensor, int64_t first, int64_t stride, int64_t n,
                   uint64_t *words);

/* Signs of n elements of a tensor of cols columns from (row, begin) on, which may run on into the
 * rows after it: that of element i in bit i, lowest first. bits: ceil(n/64) words. */
void perturb_bits(uint64_t key, int64_t tensor, int64_t cols, int64_t row, int64_t begin,
                  int64_t n, uint64_t *bits);

/* y[i] = x[i] + eps z[i], z the sign, i < n: elements of a tensor of cols columns from (row, begin)
 * on, which may run on into the rows after it. In place; x NULL: zeros. */
void perturb_row(uint64_t key, float eps, int64_t tensor, int64_t cols, int64_t row, int64_t begin,
                 int64_t n, const float *x, float *y);

#endif
