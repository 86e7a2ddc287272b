#include "gate.h"

#include "err.h"
#include "student.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define SHARE_FIRST 0.8 /* of alpha, for the tests that were planned */

struct gate_plan gate_plan(void) {
    return (struct gate_plan){.confidence = 0.95, .trials = 100, .min_seeds = 2, .max_seeds = 8,
        .give_up = 0.1, .pool_df = 4};
}

int gate_plan_check(const struct gate_plan *p, struct err *e) {
    if (!(p->confidence > 0 && p->confidence < 1))
        return err_set(e, ERR_USAGE, "confidence %g: must lie between 0 and 1", p->confidence);
    if (!p->trials) return err_set(e, ERR_USAGE, "trials 0: must be at least 1");
    if (!p->min_seeds || p->min_seeds > p->max_seeds)
        return err_set(e, ERR_USAGE, "seeds %u to %u: must be at least 1, and rising", p->min_seeds,
            p->max_seeds);
    if (!(p->give_up >= 0 && p->give_up < 1))
        return err_set(e, ERR_USAGE, "give_up %g: must be at least 0 and below 1", p->give_up);
    if (!(p->pool_df >= 0))
        return err_set(e, ERR_USAGE, "pool_df %g: must be at least 0", p->pool_df);
    return 0;
}

/* -- results of a pair -- */

static double result(const struct gate_runs *r, size_t seed) {
    return seed < r->n && isfinite(r->value[seed]) ? r->value[seed] : NAN;
}

/* Number, mean and sum of squared distances from it (Welford, Technometrics 4 (1962) 419). */
struct sums {
    double n, mean, squares;
};

static void sums_add(struct sums *s, double y) {
    if (isnan(y)) return;
    const double off = y - s->mean;
    s->n++;
    s->mean += off / s->n;
    s->squares += off * (y - s->mean);
}

static struct sums sums_of(const struct gate_runs *r) {
    struct sums s = {0};
    for (size_t i = 0; i < r->n; i++) sums_add(&s, result(r, i));
    return s;
}

static struct sums sums_of_pairs(const struct gate_runs *a, const struct gate_runs *b) {
    struct sums s = {0};
    for (size_t i = 0; i < a->n; i++) sums_add(&s, result(b, i) - result(a, i));
    return s;
}

void gate_noise(const struct gate_runs *configs, size_t n, size_t incumbent,
    struct gate_noise *out) {
    double squares = 0, pair_squares = 0;
    *out = (struct gate_noise){.sd = NAN, .low = NAN, .high = NAN, .pair_sd = NAN};
    for (size_t i = 0; i < n; i++) {
        const struct sums own = sums_of(&configs[i]);
        if (own.n < 2) continue;
        squares += own.squares;
        out->df += own.n - 1;
        if (i == incumbent) continue;
        const struct sums pair = sums_of_pairs(&configs[incumbent], &configs[i]);
        if (pair.n < 2) continue;
        pair_squares += pair.squares;
        out->pair_df += pair.n - 1;
    }
    if (out->df > 0) {
        out->sd = sqrt(squares / out->df);
        out->low = sqrt(squares / student_chi2_quantile(0.975, out->df));
        out->high = sqrt(squares / student_chi2_quantile(0.025, out->df));
    }
    if (out->pair_df > 0) out->pair_sd = sqrt(pair_squares / out->pair_df);
}

/* The pool's variance of one paired difference, and its degrees of freedom. */
static double pool(const struct gate_noise *noise, double pool_df, bool paired, double *df) {
    const double floor = noise->df > 0 ? 2 * noise->sd * noise->sd : 0;
    if (!(noise->df > 0) || !(pool_df > 0)) return *df = 0;
    *df = fmin(noise->df, pool_df);
    if (!paired || !(noise->pair_df > 0)) return floor;
    /* As much of the pool as there are pairs to fill it. */
    const double share = fmin(1, noise->pair_df / *df);
    return share * noise->pair_sd * noise->pair_sd + (1 - share) * floor;
}

struct gate_contrast gate_contrast(const struct gate_runs *incumbent,
    const struct gate_runs *candidate, const struct gate_noise *noise, double pool_df) {
    const struct sums a = sums_of(incumbent), b = sums_of(candidate);
    const struct sums d = sums_of_pairs(incumbent, candidate);
    const bool paired = d.n > 0;
    struct gate_contrast c = {.diff = NAN, .variance = NAN, .squares = NAN, .own_squares = NAN,
        .candidate = (unsigned)b.n, .incumbent = (unsigned)a.n, .paired = (unsigned)d.n};
    double df;
    if (!(a.n > 0) || !(b.n > 0)) return c;

    const double variance = pool(noise, pool_df, paired, &df);
    c.diff = paired ? d.mean : b.mean - a.mean;
    c.variance = paired ? 1 / d.n : (1 / a.n + 1 / b.n) / 2;
    /* Unpaired: twice the squares, as a difference has twice the variance. The incumbent's are in
     * the pool already. */
    c.squares = df * variance + (paired ? d.squares : 2 * b.squares);
    c.df = df + (paired ? d.n : b.n) - 1;
    c.own_squares = paired ? d.squares : 2 * (a.squares + b.squares);
    c.own_df = paired ? d.n - 1 : a.n + b.n - 2;
    const double z = c.diff / sqrt(c.variance), all = sqrt(c.squares + z * z);
    if (!isfinite(all)) c.diff = NAN; /* beyond what squares can hold: no evidence */
    else if (all > 0) c.x = fmin(1, fmax(-1, z / all));
    return c;
}

/* -- evidence -- */

/* What x would be without the pool. */
static double own_x(double x, const struct gate_contrast *c) {
    if (x == 0) return 0;
    if (fabs(x) >= 1 || !(c->own_squares > 0)) return x > 0 ? 1 : -1;
    const double own = x / sqrt(x * x + (1 - x) * (1 + x) * (c->own_squares / c->squares));
    return fmin(1, fmax(-1, own));
}

/* What the e-value bets on: a gain in units of sigma, with or without the pool, and how much. With
 * n seeds and a known sigma, the bet sqrt(2 log(1/level) / n) needs the least mean to reach a
 * level: 1.5 is that of five seeds at 300, for gains about as large as the noise. The bet on 4.5
 * halves the seeds that large gains take. Without the pool, bets are won by pairs that are much
 * more alike than the pool's. A bet on smaller gains would be won after more seeds than a search
 * can afford. */
static const struct {
    double gain;
    bool pool;
    double weight;
} GATE_BETS[] = {{1.5, true, 0.6}, {4.5, true, 0.15}, {1.5, false, 0.1}, {4.5, false, 0.15}};

#define N_BETS (sizeof GATE_BETS / sizeof *GATE_BETS)

/* log of the mixture for "better" where the whole x is this; x > 0 speaks for it. */
static double log_mixture(double x, const struct gate_contrast *c) {
    const double own = own_x(x, c);
    double part[N_BETS], top = -HUGE_VAL, sum = 0;
    for (size_t i = 0; i < N_BETS; i++) {
        const double shift = GATE_BETS[i].gain / sqrt(c->variance);
        part[i] = log(GATE_BETS[i].weight)
            + (GATE_BETS[i].pool ? student_log_ratio(x, c->df, shift)
                                 : student_log_ratio(own, c->own_df, shift));
        top = fmax(top, part[i]);
    }
    for (size_t i = 0; i < N_BETS; i++) sum += exp(part[i] - top);
    return top + log(sum);
}

static double log_two_sided(double x, const struct gate_contrast *c) {
    const double a = log_mixture(x, c), b = log_mixture(-x, c);
    return fmax(a, b) + log1p(exp(-fabs(a - b))) - log(2);
}

double gate_log_e(const struct gate_contrast *c) {
    return isnan(c->diff) ? 0 : log_mixture(-c->x, c);
}

/* The least x from `low` on at which f, rising there, reaches `level`; 2 where it does not. By
 * halving and the secant in turns ("Illinois"): each f takes some microseconds. */
static double reach(double (*f)(double, const struct gate_contrast *),
    const struct gate_contrast *c, double low, double level) {
    double high = 1, at_low = f(low, c) - level, at_high = f(high, c) - level;
    if (at_high < 0) return 2;
    if (at_low >= 0) return low;
    for (int i = 0, side = 0; i < 100 && high - low > 1e-13; i++) {
        const double x = i % 3 == 2 ? (low + high) / 2
                                    : (low * at_high - high * at_low) / (at_high - at_low);
        const double at = f(x, c) - level;
        if (x <= low || x >= high || fabs(at) < 1e-12) return x < low ? low : fmin(x, high);
        if (at < 0) {
            low = x;
            at_low = at;
            if (side < 0) at_high /= 2;
            side = -1;
        } else {
            high = x;
            at_high = at;
            if (side > 0) at_low /= 2;
            side = 1;
        }
    }
    return high;
}

/* diff +- this: where x would be +- `x`. */
static double half_width(const struct gate_contrast *c, double x) {
    if (!(x < 1)) return HUGE_VAL;
    return x * sqrt(c->variance * c->squares / ((1 - x) * (1 + x)));
}

void gate_interval(const struct gate_contrast *c, double confidence, double *low, double *high) {
    double half = HUGE_VAL;
    assert(confidence > 0 && confidence < 1);
    if (!isnan(c->diff)) half = half_width(c, reach(log_two_sided, c, 0, -log(1 - confidence)));
    *low = isinf(half) ? -HUGE_VAL : c->diff - half;
    *high = isinf(half) ? HUGE_VAL : c->diff + half;
}

void gate_interval_fixed(const struct gate_contrast *c, double confidence, double *low,
    double *high) {
    double half = HUGE_VAL;
    assert(confidence > 0 && confidence < 1);
    if (!isnan(c->diff) && c->df > 0)
        half = student_quantile((1 + confidence) / 2, c->df)
            * sqrt(c->variance * c->squares / c->df);
    *low = isinf(half) ? -HUGE_VAL : c->diff - half;
    *high = isinf(half) ? HUGE_VAL : c->diff + half;
}

/* -- verdicts -- */

double gate_threshold(const struct gate_plan *p, unsigned test, unsigned kept) {
    assert(test >= 1 && p->trials >= 1);
    const double share = log(SHARE_FIRST / p->trials)
        + (test - 1) / p->trials * log(1 - SHARE_FIRST);
    return -log(1 - p->confidence) - share - log(kept + 1.0);
}

/* Were sigma^2 `square`, known with df degrees of freedom. */
static double chance_at(const struct gate_plan *p, double threshold, const struct gate_contrast *c,
    double square, double df) {
    const unsigned left = p->max_seeds - c->candidate;
    struct gate_contrast last = *c;
    last.variance = c->paired ? 1.0 / (c->paired + left) : 1 / (1 / c->variance + left);
    last.squares += left * square;
    last.own_squares += left * square;
    last.df += left;
    last.own_df += left;
    const double x = reach(log_mixture, &last, -1, threshold);
    if (x > 1) return 0;
    if (!(df > 0)) return 1;
    if (!(square > 0)) return c->diff < 0; /* a metric without noise */
    const double needed = x < 0 ? half_width(&last, -x) : -half_width(&last, x);
    const double moves = sqrt(square * (c->variance - last.variance));
    return student_below((needed - c->diff) / moves, df);
}

static double chance(const struct gate_plan *p, double threshold, const struct gate_contrast *c) {
    if (isnan(c->diff)) return 1;
    const double all = chance_at(p, threshold, c, c->df > 0 ? c->squares / c->df : 0, c->df);
    if (!(c->own_df > 0) || !(c->own_squares > 0)) return all;
    return fmax(all, chance_at(p, threshold, c, c->own_squares / c->own_df, c->own_df));
}

struct gate_evidence gate_look(const struct gate_plan *p, double threshold,
    const struct gate_runs *incumbent, const struct gate_runs *candidate,
    const struct gate_noise *noise) {
    struct gate_evidence e = {.verdict = GATE_DISCARD, .threshold = threshold,
        .contrast = gate_contrast(incumbent, candidate, noise, p->pool_df)};
    const unsigned used = e.contrast.paired ? e.contrast.paired : e.contrast.candidate;
    const bool enough = used >= p->min_seeds;
    e.log_e = gate_log_e(&e.contrast);
    e.chance = e.contrast.candidate < p->max_seeds ? chance(p, threshold, &e.contrast)
                                                   : e.log_e >= threshold;
    if (candidate->failed) {
        e.reason = GATE_FAILED;
    } else if (e.log_e >= threshold) {
        e.verdict = enough ? GATE_KEEP : GATE_MORE;
        e.reason = enough ? GATE_PROVEN : GATE_TOO_FEW;
    } else if (e.contrast.candidate >= p->max_seeds) {
        e.reason = GATE_SPENT;
    } else if (e.chance <= 0 || e.chance < p->give_up) {
        e.reason = GATE_HOPELESS;
    } else {
        e.verdict = GATE_MORE;
        e.reason = GATE_UNDECIDED;
    }
    return e;
}

const char *gate_verdict_word(enum gate_verdict v) {
    static const char *const words[] = {"keep", "discard", "more"};
    return words[v];
}

const char *gate_reason_word(enum gate_reason r) {
    static const char *const words[] = {"proven", "hopeless", "spent", "failed", "undecided",
        "too few seeds"};
    return words[r];
}
