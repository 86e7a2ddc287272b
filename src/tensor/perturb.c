#include "perturb.h"

#include "kern.h"
#include "rng.h"

#include <stddef.h>
#include <string.h>

uint64_t perturb_key(uint64_t seed) {
    return rng_fold(rng_fold(rng_fold(0, seed), RNG_PERTURB), 0);
}

void perturb_words(uint64_t key, int64_t tensor, int64_t first, int64_t stride, int64_t n,
                   uint64_t *words) {
    kern()->signs(words, rng_fold(key, (uint64_t)tensor), (uint64_t)first, (uint64_t)stride, n);
}

enum { BLOCKS = 16 };

/* n bits, from number bit0 of `from` on, to number `at` on, behind which there are none yet. One
 * word beyond the last is read. */
static void append_bits(uint64_t *to, int64_t at, const uint64_t *from, int64_t bit0, int64_t n) {
    if ((at | bit0) % 64 == 0) {
        memcpy(to + at / 64, from + bit0 / 64, (size_t)((n + 63) / 64) * sizeof *to);
        return;
    }
    for (int64_t k = 0, some; k < n; k += some) {
        const uint64_t in = (uint64_t)(bit0 + k), out = (uint64_t)(at + k), shift = out % 64;
        uint64_t bits = from[in / 64] >> (in % 64), *word = to + out / 64;
        if (in % 64) bits |= from[in / 64 + 1] << (64 - in % 64);
        *word = shift ? (*word & (((uint64_t)1 << shift) - 1)) | bits << shift : bits;
        some = 64 - (int64_t)shift < n - k ? 64 - (int64_t)shift : n - k;
    }
}

/* Blocks follow each other along the rows and from row to row, so that a run of them serves a long
 * row as well as many short ones. */
void perturb_bits(uint64_t key, int64_t tensor, int64_t cols, int64_t row, int64_t begin,
                  int64_t n, uint64_t *bits) {
    uint64_t words[BLOCKS * SIGN_WORDS + 1];
    const int64_t per = perturb_blocks(cols);
    int64_t r = row + begin / cols, c = begin % cols, have = 0, first = 0;
    words[BLOCKS * SIGN_WORDS] = 0;
    for (int64_t i = 0; i < n;) {
        const int64_t block = r * per + c / SIGN_BLOCK;
        const int64_t end =
            (c / SIGN_BLOCK + 1) * SIGN_BLOCK < cols ? (c / SIGN_BLOCK + 1) * SIGN_BLOCK : cols;
        const int64_t some = end - c < n - i ? end - c : n - i;
        if (!have || block >= first + have) {
            /* No further than the elements that are left reach. */
            const int64_t last = c + n - i - 1;
            const int64_t end_block = (r + last / cols) * per + last % cols / SIGN_BLOCK + 1;
            have = end_block - block < BLOCKS ? end_block - block : BLOCKS;
            first = block;
            perturb_words(key, tensor, first, 1, have, words);
        }
        append_bits(bits, i, words + (block - first) * SIGN_WORDS, c % SIGN_BLOCK, some);
        i += some;
        c += some;
        if (c == cols) {
            c = 0;
            r++;
        }
    }
}

void perturb_row(uint64_t key, float eps, int64_t tensor, int64_t cols, int64_t row, int64_t begin,
                 int64_t n, const float *x, float *y) {
    enum { SOME = 4096 };
    uint64_t bits[SOME / 64 + 1] = {0};
    for (int64_t i = 0; i < n; i += SOME) {
        const int64_t some = n - i < SOME ? n - i : SOME;
        perturb_bits(key, tensor, cols, row, begin + i, some, bits);
        kern()->add_signs(y + i, x ? x + i : NULL, eps, bits, 0, some);
    }
}
