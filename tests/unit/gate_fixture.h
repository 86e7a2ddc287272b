/* Made-up results: y(c, s) = mean + sqrt(rho) b_s + sqrt(1 - rho) noise, at shared seeds. */
#ifndef DUET_GATE_FIXTURE_H
#define DUET_GATE_FIXTURE_H

#include "gate.h"
#include "rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define SEEDS 8

/* Variance 1: normal where df is 0, else Student's t of df > 2, by a normal over the root of a mean
 * of df squares. */
static inline double draw(struct rng *r, unsigned df) {
    double squares = 0;
    if (!df) return rng_normal(r);
    for (unsigned i = 0; i < df; i++) {
        const double z = rng_normal(r);
        squares += z * z;
    }
    return rng_normal(r) / sqrt(squares / df) * sqrt((df - 2.0) / df);
}

struct world {
    double rho;        /* correlation at a seed */
    double sd;         /* the candidate's noise, in units of the others' */
    double close;      /* correlation of the candidate's own noise with the incumbent's */
    unsigned tails;    /* df of the noise's t; 0: normal */
    unsigned best_of;  /* the candidate's first result is the lowest of so many; 0, 1: as drawn */
    bool left_out;     /* that result is no evidence */
    size_t incumbent;  /* its seeds when the test begins */
    size_t others;     /* configurations of SEEDS seeds that the pool has besides the incumbent */
};

/* One test's results. */
struct pair {
    double incumbent[SEEDS], candidate[SEEDS];
    struct gate_noise noise;
};

/* gain in units of the standard deviation of the difference of two of the others at a seed. */
static inline void pair_draw(struct pair *p, const struct world *w, double gain, struct rng *r) {
    double other[16][SEEDS];
    struct gate_runs runs[17];
    const double own = sqrt(1 - w->rho), apart = sqrt(1 - w->close * w->close);
    for (size_t s = 0; s < SEEDS; s++) {
        const double seed = sqrt(w->rho) * draw(r, w->tails), a = draw(r, w->tails);
        double b = w->close * a + apart * draw(r, w->tails);
        for (unsigned k = 1; !s && k < w->best_of; k++)
            b = fmin(b, w->close * a + apart * draw(r, w->tails));
        p->incumbent[s] = 3 + seed + own * a;
        p->candidate[s] = 3 - gain * sqrt(2) * own + seed + w->sd * own * b;
        if (!s && w->left_out) p->candidate[0] = NAN;
        for (size_t c = 0; c < w->others; c++) other[c][s] = seed + own * draw(r, w->tails);
    }
    for (size_t c = 0; c < w->others; c++) runs[c] = (struct gate_runs){other[c], SEEDS, 0};
    runs[w->others] = (struct gate_runs){p->incumbent, w->incumbent, 0};
    gate_noise(runs, w->others + 1, w->others, &p->noise);
}

/* Looks until a verdict. */
static inline struct gate_evidence pair_decide(const struct pair *p, const struct gate_plan *plan,
    double threshold, size_t incumbent) {
    struct gate_evidence v;
    for (size_t n = 1;; n++) {
        const struct gate_runs a = {p->incumbent, n > incumbent ? n : incumbent, 0};
        const struct gate_runs b = {p->candidate, n, 0};
        v = gate_look(plan, threshold, &a, &b, &p->noise);
        if (v.verdict != GATE_MORE) return v;
    }
}

#endif
