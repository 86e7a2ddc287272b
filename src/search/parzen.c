#include "parzen.h"

#include "fun.h"
#include "strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double log_root_2pi = 0.91893853320467274178;

/* Does a value have no order? */
static bool is_choice(const struct parzen *p, size_t i) {
    return p->s->axis[i].kind == AXIS_choice;
}

static size_t levels_of(const struct parzen *p, size_t i) {
    return axis_levels(&p->s->axis[i]);
}

/* Weights, of the n points that an axis is there in, by their place in time. */
static double weight_of(size_t place, size_t n) {
    enum { FULL = 25 };
    if (n <= FULL || place + FULL >= n) return 1;
    const size_t ramp = n - FULL; /* evenly from 1/n to 1 */
    return ramp < 2 ? 1.0 / (double)n
                    : 1.0 / (double)n + (1 - 1.0 / (double)n) * (double)place / (double)(ramp - 1);
}

static int rising(const void *a, const void *b) {
    const double x = **(const double *const *)a, y = **(const double *const *)b;
    if (x != y) return x < y ? -1 : 1;
    const double *const p = *(const double *const *)a, *const q = *(const double *const *)b;
    return p < q ? -1 : p > q;
}

/* Widths of the kernels of an axis: to the farther neighbour, the prior's middle being one, and the
 * ends only where there is no neighbour. at: (p->n) scratch. */
static void reach(struct parzen *p, size_t i, const double **at) {
    const size_t axes = p->s->n;
    size_t n = 0;
    for (size_t k = 0; k < p->n; k++)
        if (p->there[k * axes + i]) at[n++] = &p->mu[k * axes + i];
    qsort(at, n, sizeof *at, rising);
    for (size_t k = 0; k < n; k++) {
        const double mu = *at[k];
        const double left = k ? mu - *at[k - 1] : n > 1 ? 0 : mu;
        const double right = k + 1 < n ? *at[k + 1] - mu : n > 1 ? 0 : 1 - mu;
        p->sigma[at[k] - p->mu] = left > right ? left : right;
    }
}

static void widths(struct parzen *p, size_t i, size_t points, const double **at) {
    const size_t axes = p->s->n, prior = p->n - 1;
    const double kernels = (double)points + 1, least = 1 / (kernels + 1 < 100 ? kernels + 1 : 100);
    const double scott =
        0.2 * fun_exp(-fun_log(points > 1 ? (double)points : 1) / ((double)axes + 4));
    if (!p->joint) reach(p, i, at);
    for (size_t k = 0; k < prior; k++) {
        double *sigma = &p->sigma[k * axes + i];
        if (p->joint) *sigma = scott;
        if (!p->there[k * axes + i]) *sigma = 1;
        *sigma = *sigma < least ? least : *sigma > 1 ? 1 : *sigma;
    }
    p->sigma[prior * axes + i] = 1;
}

static void fill_axis(struct parzen *p, size_t i, const double *const *point, const bool *there,
                      const double **at) {
    const size_t axes = p->s->n, points = p->n - 1;
    size_t n = 0, place = 0;
    double sum = 1;
    for (size_t k = 0; k < points; k++) n += p->joint || there[k * axes + i];
    for (size_t k = 0; k < points; k++) {
        const size_t x = k * axes + i;
        p->there[x] = there[k * axes + i];
        p->mu[x] = p->there[x] ? point[k][i] : 0.5;
        p->weight[x] = p->joint || p->there[x] ? weight_of(place++, n) : 0;
        sum += p->weight[x];
    }
    const size_t x = points * axes + i;
    p->there[x] = true;
    p->mu[x] = 0.5;
    p->weight[x] = 1;
    p->kernels[i] = (double)n + 1;
    for (size_t k = 0; k < p->n; k++) p->weight[k * axes + i] /= sum;
    widths(p, i, n, at);
    for (size_t k = 0; k < p->n; k++) {
        const double mu = p->mu[k * axes + i], sigma = p->sigma[k * axes + i];
        p->norm[k * axes + i] = fun_log_mass((0 - mu) / sigma, (1 - mu) / sigma);
        if (!levels_of(p, i)) p->norm[k * axes + i] += fun_log(sigma) + log_root_2pi;
    }
}

bool parzen_make(struct parzen *p, const struct space *s, const double *const *point,
                 const bool *there, size_t n, bool joint) {
    const size_t all = (n + 1) * s->n;
    *p = (struct parzen){.s = s, .joint = joint, .n = n + 1};
    const double **at = malloc((n + 1) * sizeof *at);
    p->mu = malloc(all * sizeof *p->mu);
    p->sigma = malloc(all * sizeof *p->sigma);
    p->weight = malloc(all * sizeof *p->weight);
    p->norm = malloc(all * sizeof *p->norm);
    p->there = malloc(all * sizeof *p->there);
    const bool ok = at && p->mu && p->sigma && p->weight && p->norm && p->there;
    for (size_t i = 0; i < s->n && ok; i++) fill_axis(p, i, point, there, at);
    free(at);
    if (!ok) parzen_release(p);
    return ok;
}

void parzen_release(struct parzen *p) {
    free(p->mu);
    free(p->sigma);
    free(p->weight);
    free(p->norm);
    free(p->there);
    *p = (struct parzen){0};
}

/* Is kernel k of axis i that of the prior? */
static bool of_prior(const struct parzen *p, size_t k, size_t i) {
    return k + 1 == p->n || !p->there[k * p->s->n + i];
}

/* Probability of a level under kernel k. */
static double choice_mass(const struct parzen *p, size_t k, size_t i, size_t level) {
    const double levels = (double)levels_of(p, i), kernels = p->kernels[i];
    if (of_prior(p, k, i)) return 1 / levels;
    const bool is = level == axis_level(p->mu[k * p->s->n + i], levels_of(p, i));
    return (1 / kernels + is) / (levels / kernels + 1);
}

size_t parzen_pick(const struct parzen *p, size_t i, struct rng *r) {
    const double u = strategy_uniform(r);
    double sum = 0;
    for (size_t k = 0; k + 1 < p->n; k++) {
        sum += p->weight[k * p->s->n + i];
        if (u < sum) return k;
    }
    return p->n - 1;
}

double parzen_draw(const struct parzen *p, size_t k, size_t i, struct rng *r) {
    const double u = strategy_uniform(r);
    const size_t x = k * p->s->n + i, levels = levels_of(p, i);
    if (!is_choice(p, i)) return fun_truncated(u, p->mu[x], p->sigma[x], 0, 1);
    double sum = 0;
    for (size_t level = 0; level + 1 < levels; level++) {
        sum += choice_mass(p, k, i, level);
        if (u < sum) return axis_middle(level, levels);
    }
    return axis_middle(levels - 1, levels);
}

/* Logarithm of the density (of numbers: of the value's part) of axis i at u under kernel k. */
static double log_kernel(const struct parzen *p, size_t k, size_t i, double u) {
    const size_t x = k * p->s->n + i, levels = levels_of(p, i);
    const double mu = p->mu[x], sigma = p->sigma[x];
    if (is_choice(p, i)) return fun_log(choice_mass(p, k, i, axis_level(u, levels)));
    if (levels) {
        const double low = (double)axis_level(u, levels) / (double)levels;
        const double high = low + 1 / (double)levels;
        return fun_log_mass((low - mu) / sigma, (high - mu) / sigma) - p->norm[x];
    }
    const double z = (u - mu) / sigma;
    return -0.5 * z * z - p->norm[x];
}

/* log sum of exp, a term at a time: the largest so far and the sum over it. */
struct log_sum {
    double top, sum;
};

static void log_add(struct log_sum *s, double x) {
    if (x > s->top) {
        s->sum = s->sum * fun_exp(s->top - x) + 1;
        s->top = x;
    } else {
        s->sum += fun_exp(x - s->top);
    }
}

double parzen_axis(const struct parzen *p, size_t i, double u) {
    struct log_sum s = {-1e300, 0};
    for (size_t k = 0; k < p->n; k++) {
        const double weight = p->weight[k * p->s->n + i];
        if (weight > 0) log_add(&s, fun_log(weight) + log_kernel(p, k, i, u));
    }
    return s.top + fun_log(s.sum);
}

double parzen_all(const struct parzen *p, const double *u, const bool *there) {
    struct log_sum s = {-1e300, 0};
    for (size_t k = 0; k < p->n; k++) {
        double x = fun_log(p->weight[k * p->s->n]);
        for (size_t i = 0; i < p->s->n; i++)
            if (there[i]) x += log_kernel(p, k, i, u[i]);
        log_add(&s, x);
    }
    return s.top + fun_log(s.sum);
}
