/* FZOO (arXiv 2506.09034): one side of each of K directions against the loss at the weights
 * themselves, and a step normalised by the standard deviation of the losses, as the paper has it
 * (its published code differs: no 1/eps, biased deviation).
 *   l_i = L(w + eps z_i);  g = 1/(eps K) sum_i (l_i - l_0) z_i;  step g / std(l_i)
 * With one direction there is no deviation; at least 2. It counts as at least a tenth of the root
 * mean square of the differences, which losses that are all alike would otherwise blow up. */
#include "zo.h"

#include <math.h>

static int64_t probes(const struct zo_shape *s) {
    return s->directions + 1;
}

static int64_t directions(const struct zo_shape *s) {
    return s->directions;
}

static void probe(const struct zo_shape *s, int64_t micro, int64_t p, int64_t *direction,
                  int *side) {
    (void)s;
    (void)micro;
    *direction = p ? p - 1 : 0;
    *side = p > 0;
}

/* Mean loss of probe p over the micro-batches. */
static double mean_loss(const struct zo_shape *s, const double *loss, int64_t p) {
    double sum = 0;
    for (int64_t m = 0; m < s->accum; m++) sum += loss[m * (s->directions + 1) + p];
    return sum / (double)s->accum;
}

static double estimate(const struct zo_shape *s, const double *loss, float *coef) {
    const int64_t K = s->directions;
    const double base = mean_loss(s, loss, 0);
    double mean = 0, var = 0, square = 0;
    for (int64_t d = 0; d < K; d++) {
        const double x = mean_loss(s, loss, d + 1);
        mean += x / (double)K;
        square += (x - base) * (x - base) / (double)K;
    }
    for (int64_t d = 0; d < K; d++) {
        const double x = mean_loss(s, loss, d + 1) - mean;
        var += x * x / (double)(K - 1);
    }
    const double sigma = fmax(sqrt(var), 0.1 * sqrt(square)), zero = sigma == 0;
    for (int64_t d = 0; d < K; d++)
        coef[d] =
            (float)((mean_loss(s, loss, d + 1) - base) / (sigma + zero) / (s->eps * (double)K));
    return base;
}

static double unit(const struct zo_shape *s) {
    return 1 / (s->eps * (double)s->directions);
}

const struct zo_kind zo_fzoo = {
    .name = "fzoo",
    .help = "one side of each direction, differences over their deviation; for f1",
    .eps = {1e-3, 1e-2},
    .old_lr = {1e-7, 3e-5},
    .normalises = true,
    .unit = unit,
    .own = 8,
    .least = 2,
    .probes = probes,
    .directions = directions,
    .probe = probe,
    .estimate = estimate};
