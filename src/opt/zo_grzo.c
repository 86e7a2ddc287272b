/* One direction an example, after GRZO (arXiv 2606.02857): B directions for the same two forward
 * passes of the batch, and differences normalised over the batch.
 *   delta_i = L(w + eps z_i; x_i) - L(w - eps z_i; x_i);  a_i = delta_i / (std(delta) + e)
 *   g = 1/(2 eps B) sum_i a_i z_i
 * e keeps differences that are all alike, as those of accuracy often are, from being blown up: the
 * deviation counts as at least a tenth of the differences' root mean square.
 * The paper's directions are Flipout products of a shared matrix and two sign vectors; here every
 * example has signs of its own, which costs packing a panel for each example. Directions an update:
 * the batch times the micro-batches; at least 2. */
#include "zo.h"

#include <math.h>

static int64_t probes(const struct zo_shape *s) {
    return 2 * s->batch;
}

static int64_t directions(const struct zo_shape *s) {
    return s->batch * s->accum;
}

static void probe(const struct zo_shape *s, int64_t micro, int64_t p, int64_t *direction,
                  int *side) {
    *direction = micro * s->batch + p / 2;
    *side = p % 2 ? -1 : 1;
}

static double estimate(const struct zo_shape *s, const double *loss, float *coef) {
    const int64_t n = s->batch * s->accum;
    double mean = 0, var = 0, square = 0, total = 0;
    for (int64_t d = 0; d < n; d++) {
        const double x = loss[2 * d] - loss[2 * d + 1];
        mean += x / (double)n;
        square += x * x / (double)n;
        total += loss[2 * d] + loss[2 * d + 1];
    }
    for (int64_t d = 0; d < n; d++) {
        const double x = loss[2 * d] - loss[2 * d + 1] - mean;
        var += x * x / (double)(n - 1);
    }
    const double unit = fmax(sqrt(var), 0.1 * sqrt(square)), zero = unit == 0;
    for (int64_t d = 0; d < n; d++)
        coef[d] =
            (float)((loss[2 * d] - loss[2 * d + 1]) / (unit + zero) / (2 * s->eps * (double)n));
    return total / (double)(2 * n);
}

static double unit(const struct zo_shape *s) {
    return 1 / (2 * s->eps * (double)(s->batch * s->accum));
}

const struct zo_kind zo_grzo = {
    .name = "grzo",
    .help = "one direction a sequence, differences over their deviation; learns most",
    .eps = {1e-3, 1e-2},
    .old_lr = {5e-7, 1e-4},
    .normalises = true,
    .unit = unit,
    .least = 2,
    .per_example = true,
    .probes = probes,
    .directions = directions,
    .probe = probe,
    .estimate = estimate};
