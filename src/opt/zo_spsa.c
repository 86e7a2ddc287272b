/* SPSA (Spall 1992), as MeZO uses it (Malladi et al. 2023, arXiv 2305.17333): two sides of each
 * direction, K directions averaged.
 *   g = 1/K sum_d (L(w + eps z_d) - L(w - eps z_d)) / (2 eps) z_d */
#include "zo.h"

static int64_t probes(const struct zo_shape *s) {
    return 2 * s->directions;
}

static int64_t directions(const struct zo_shape *s) {
    return s->directions;
}

static void probe(const struct zo_shape *s, int64_t micro, int64_t p, int64_t *direction,
                  int *side) {
    (void)s;
    (void)micro;
    *direction = p / 2;
    *side = p % 2 ? -1 : 1;
}

static double estimate(const struct zo_shape *s, const double *loss, float *coef) {
    const int64_t K = s->directions, P = 2 * K;
    double total = 0;
    for (int64_t d = 0; d < K; d++) {
        double diff = 0;
        for (int64_t m = 0; m < s->accum; m++) {
            const double *l = loss + m * P + 2 * d;
            diff += l[0] - l[1];
            total += l[0] + l[1];
        }
        coef[d] = (float)(diff / (double)s->accum / (2 * s->eps * (double)K));
    }
    return total / (double)(P * s->accum);
}

static double unit(const struct zo_shape *s) {
    return 1 / (double)s->directions;
}

const struct zo_kind zo_spsa = {
    .name = "spsa",
    .help = "two sides of each direction, all of the batch (MeZO as published)",
    .eps = {1e-3, 1e-2},
    .old_lr = {1e-6, 1e-4},
    .own = 1,
    .unit = unit,
    .probes = probes,
    .directions = directions,
    .probe = probe,
    .estimate = estimate};
