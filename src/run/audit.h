/* Audit: the two engines check each other, on one model and one batch.
 *
 * It stands on two runs, one after the other: of the backprop engine, for the gradient that an
 * update would have, and of MeZO with the SPSA estimator, for its coefficients; the gradients stay
 * when the first one closes. For each group of trainable parameters, of n weights and gradient g
 * (in f32), and for N directions z of signs only the group is perturbed, with the direction seeds
 * of a run of that seed:
 *   c = (L(w + eps z) - L(w - eps z)) / (2 eps)
 * Three figures are held against what they must be:
 *
 *   derivative  rms over z of (c - g.z), as a share of |g|: 0. The tolerance is measured: with
 *               c(2 eps) beside c(eps), an error a eps^2 makes a difference of 3 a eps^2, and
 *               rounding noise of variance s^2 one of 5/4 s^2, so that
 *                 tolerance = (1 + 4/sqrt(N)) rms(c(2 eps) - c(eps)) / |g| + floor
 *               floor is what the gradient's own rounding may be: 1e-4, for probes in bf16 0.05.
 *   square      mean over z of c^2 / |g|^2: 1, as E (g.z)^2 = |g|^2. With kurtosis
 *               k = sum g_i^4 / |g|^4 its variance is 2 (1-k) / N, and with r the tolerance above
 *                 tolerance = 4 sqrt(2 (1-k) / N) + 16 (1-k) / N + 2 r + r^2
 *               (4 standard errors, the skewness of few draws, the error of c).
 *   variance    |mean of c z - g|^2 / |g|^2: (n-1)/N = v, as E |c z - g|^2 = (n-1) |g|^2.
 *                 tolerance = v (4 sqrt(2/N + 2/n) + 16/N + 16/n + 2 r + r^2) + 2 r sqrt(v) + r^2
 *
 * Directions are of signs (rademacher) alone: what must hold of c^2 and of the mean of c z is
 * theory of independent signs, so other kinds of direction are not audited.
 *
 * Where weights move by scales of their own (--perturb), g and z are those of weights counted in
 * units of their scales: then all of this holds as it stands.
 *
 * The cosine of the estimate with g, about sqrt(N / (N + n - 1)), follows from these and is shown.
 * Sources: Spall 1992; Malladi et al. 2023, arXiv 2305.17333. docs/numerics.md, "Audit".
 *
 *   TRY(audit_plan(&model, &opts, &mem, e));   checks B and T; before or after loading
 *   TRY(audit_open(&a, &model, &opts, e));     groups, memory
 *   TRY(audit_gradient(&a, e));                fills the parameters' gradients
 *   TRY(audit_run(&a, e));                     fills a.group[]
 *   audit_close(&a); */
#ifndef DUET_AUDIT_H
#define DUET_AUDIT_H

#include "model.h"
#include "run.h"

enum { AUDIT_LEAST_SEEDS = 8 };

struct audit_opts {
    int64_t batch, seq;            /* B and T */
    struct run_data data; /* the batch is its rows [0, B); next-token loss only: text or fill */
    const struct machine *machine;      /* of the probes */
    const struct machine *machine_grad; /* of the gradient: compute type f32 */
    bool recompute;                /* for the gradient */
    bool by_layer;                 /* groups are layers; else kinds of weights */
    int64_t seeds;                 /* N, at least AUDIT_LEAST_SEEDS */
    uint64_t seed;                 /* of the run whose directions are taken */
    double eps;
    void (*progress)(void *ctx, int64_t done, int64_t total); /* directions; or NULL */
    void *ctx;
    _Atomic int *cancel; /* see run_opts; or NULL */
};

enum audit_verdict {
    AUDIT_OK,
    AUDIT_DERIVATIVE, /* c is not g.z */
    AUDIT_SQUARE,     /* the mean of c^2 is not |g|^2 */
    AUDIT_VARIANCE,   /* the estimate is not as far from g as it should be */
    AUDIT_COARSE      /* nothing differs, but c's tolerance is above a tenth; or it is above 1 and
                       * says nothing: eps is no good */
};

struct audit_check {
    double found, theory, allowed; /* allowed: for |found - theory| */
};

struct audit_group {
    char name[32];
    int64_t n;   /* weights */
    double norm; /* |g|; 0: derivative holds plain numbers instead of shares, the rest is NaN */
    /* Per direction: c at eps and at 2 eps, and g.z. */
    double *coef, *coef2, *slope;
    struct audit_check derivative, square, variance;
    double cosine, cosine_theory;
    enum audit_verdict verdict;
};

/* What eps and rate a run on this batch should take. */
enum { AUDIT_EPS = 7 };
enum { ADVICE_BATCH = 8 };
struct audit_advice {
    int n; /* eps tried; 0: the caller's was kept */
    double eps[AUDIT_EPS], error[AUDIT_EPS]; /* error: rms of c - g.z over that of g.z */
    struct zo_measure measure; /* at the eps that is taken, all groups together */
    double lr; /* for the default estimator with ADVICE_BATCH sequences; 0: nothing can be said */
};

struct audit {
    struct audit_opts opts;
    struct model *model; /* borrowed */
    struct audit_group *group;
    int n_groups;
    double loss; /* of the batch, nats */
    int *group_of;   /* per parameter; -1: not trainable */
    struct direction_space space; /* of all groups */
    struct direction_tensor *tensor;
    struct run *run; /* of the probes, from the first on; or NULL */
    float *scale;    /* per parameter: of the group that is probed */
    double *losses;  /* (2,B) of the last direction: of each sequence at either side */
    struct arena grads, mem;
    struct audit_span *span; /* the tiles of a group */
    double *sums;            /* over them, per chunk */
    float *tiles;            /* two a thread */
};

/* What an audit will reserve, plus the weights. The model needs its tables only. The two runs are
 * not open at the same time. */
int audit_plan(struct model *m, const struct audit_opts *o, struct engine_memory *mem,
               struct err *e);

/* ERR_USAGE if nothing is trainable. */
int audit_open(struct audit *a, struct model *m, const struct audit_opts *o, struct err *e);

/* The model has the gradient buffers until audit_close. This and what follows: ERR_STOP if it was
 * cancelled, and what run_open and the passes of a run refuse. ERR_NUMERIC if the loss is not
 * finite. */
int audit_gradient(struct audit *a, struct err *e);

/* Between audit_gradient (else ERR_USAGE) and audit_run: tries eps from 1e-4 to 1e-1 on all groups
 * together and takes (into a->opts.eps) the largest one with an error of at most a hundredth, or
 * else that with the least, unless one was given; and measures what a rate follows from
 * (zo_rate.h), per sequence of the batch. */
int audit_advise(struct audit *a, bool find_eps, struct audit_advice *out, struct err *e);

/* Compares the probes with whatever is in the gradient buffers (ERR_USAGE if there are none). No
 * stored weight is written. */
int audit_run(struct audit *a, struct err *e);

void audit_close(struct audit *a); /* accepts all zeros */

/* "ok", "differs: derivative", ... */
const char *audit_verdict_name(enum audit_verdict v);
static inline bool audit_differs(enum audit_verdict v) {
    return v != AUDIT_OK && v != AUDIT_COARSE;
}

#endif
