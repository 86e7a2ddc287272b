#include "cma.h"

#include "fun.h"
#include "jacobi.h"
#include "strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Constants ------------------------------------------------------------------------------------ */

/* ln((lambda + 1) / 2) - ln i, the first mu of which add up to 1; those below 0 to the least of the
 * tutorial's three bounds (its equations 49 to 53). */
static void make_weights(struct cma *c) {
    double sum = 0, squares = 0, below = 0, below_squares = 0;
    for (size_t i = 0; i < c->lambda; i++) {
        const double w = fun_log(((double)c->lambda + 1) / 2) - fun_log((double)i + 1);
        c->weight[i] = w;
        if (i < c->mu) {
            sum += w;
            squares += w * w;
        } else {
            below += w; /* a middle one is 0 */
            below_squares += w * w;
        }
    }
    const double n = (double)c->n;
    c->mu_eff = sum * sum / squares;
    const double mu_eff_below = below * below / below_squares; /* there are two at least */
    c->c_1 = 2 / ((n + 1.3) * (n + 1.3) + c->mu_eff);
    c->c_mu = 2 * (c->mu_eff - 2 + 1 / c->mu_eff) / ((n + 2) * (n + 2) + c->mu_eff);
    if (c->c_mu > 1 - c->c_1) c->c_mu = 1 - c->c_1;
    double least = 1 + c->c_1 / c->c_mu;
    const double by_mu = 1 + 2 * mu_eff_below / (c->mu_eff + 2);
    const double by_n = (1 - c->c_1 - c->c_mu) / (n * c->c_mu);
    if (by_mu < least) least = by_mu;
    if (by_n < least) least = by_n;
    for (size_t i = 0; i < c->lambda; i++) c->weight[i] *= i < c->mu ? 1 / sum : -least / below;
}

static void make_constants(struct cma *c) {
    const double n = (double)c->n, mu_eff = c->mu_eff;
    const double more = sqrt((mu_eff - 1) / (n + 1)) - 1;
    c->c_sigma = (mu_eff + 2) / (n + mu_eff + 5);
    c->d_sigma = 1 + 2 * (more > 0 ? more : 0) + c->c_sigma;
    c->c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n);
    c->chi_n = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
}

bool cma_init(struct cma *c, size_t n, size_t lambda, const double *mean, double sigma,
              const size_t *levels) {
    if (!lambda) lambda = 4 + (size_t)floor(3 * fun_log((double)n));
    *c = (struct cma){.n = n, .lambda = lambda, .mu = lambda / 2, .sigma = sigma};
    c->weight = malloc(lambda * sizeof *c->weight);
    c->c = calloc(n * n, sizeof *c->c);
    c->b = calloc(n * n, sizeof *c->b);
    c->d = malloc(n * sizeof *c->d);
    c->work = malloc(n * n * sizeof *c->work);
    if (!c->weight || !c->c || !c->b || !c->d || !c->work) {
        cma_release(c);
        return false;
    }
    make_weights(c);
    make_constants(c);
    for (size_t i = 0; i < n; i++) {
        c->levels[i] = levels[i];
        c->mean[i] = mean[i];
        c->scale[i] = 1;
        c->c[i * n + i] = c->b[i * n + i] = c->d[i] = 1;
    }
    return true;
}

void cma_release(struct cma *c) {
    free(c->weight);
    free(c->c);
    free(c->b);
    free(c->d);
    free(c->work);
    *c = (struct cma){0};
}

/* Draws ---------------------------------------------------------------------------------------- */

static bool draw(const struct cma *c, struct rng *r, double *x) {
    double z[CMA_MAX_AXES];
    bool inside = true;
    for (size_t i = 0; i < c->n; i++) z[i] = c->d[i] * strategy_normal(r);
    for (size_t i = 0; i < c->n; i++) {
        double y = 0;
        for (size_t k = 0; k < c->n; k++) y += c->b[i * c->n + k] * z[k];
        x[i] = c->mean[i] + c->sigma * y;
        if (!c->levels[i]) inside = inside && x[i] >= 0 && x[i] <= 1;
    }
    return inside;
}

void cma_ask(const struct cma *c, struct rng *r, double *x) {
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++)
        if (draw(c, r, x)) return;
    for (size_t i = 0; i < c->n; i++)
        if (!c->levels[i]) x[i] = x[i] < 0 ? 0 : x[i] > 1 ? 1 : x[i];
}

void cma_point(const struct cma *c, const double *x, double *u) {
    for (size_t i = 0; i < c->n; i++) {
        const size_t levels = c->levels[i];
        u[i] = x[i];
        if (!levels) continue;
        double at = floor((c->mean[i] + c->scale[i] * (x[i] - c->mean[i])) * (double)levels);
        if (!(at > 0)) at = 0;
        if (at > (double)(levels - 1)) at = (double)(levels - 1);
        u[i] = (at + 0.5) / (double)levels;
    }
}

/* Generations ---------------------------------------------------------------------------------- */

/* C^(-1/2) v. */
static void whiten(const struct cma *c, const double *v, double *out) {
    double z[CMA_MAX_AXES];
    for (size_t k = 0; k < c->n; k++) {
        z[k] = 0;
        for (size_t i = 0; i < c->n; i++) z[k] += c->b[i * c->n + k] * v[i];
        z[k] /= c->d[k];
    }
    for (size_t i = 0; i < c->n; i++) {
        out[i] = 0;
        for (size_t k = 0; k < c->n; k++) out[i] += c->b[i * c->n + k] * z[k];
    }
}

static double norm_of(const double *v, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

void cma_inject(const struct cma *c, const double *u, const bool *given, double *x) {
    double y[CMA_MAX_AXES] = {0}, white[CMA_MAX_AXES];
    const double n = (double)c->n, most = sqrt(n) + 2 * n / (n + 2);
    for (size_t i = 0; i < c->n; i++) {
        const double by = c->levels[i] ? c->scale[i] : 1; /* as cma_point goes the other way */
        if (given[i]) x[i] = c->mean[i] + (u[i] - c->mean[i]) / by;
        y[i] = (x[i] - c->mean[i]) / c->sigma;
    }
    whiten(c, y, white);
    const double length = norm_of(white, c->n);
    if (length <= most) return;
    for (size_t i = 0; i < c->n; i++) x[i] = c->mean[i] + c->sigma * y[i] * (most / length);
}

static double power(double x, int n) {
    return fun_exp(n * fun_log(x));
}

/* Paths of step size and covariance. step (n): the mean's move over sigma. Returns h_sigma. */
static bool move_paths(struct cma *c, const double *step) {
    double white[CMA_MAX_AXES];
    const double n = (double)c->n;
    whiten(c, step, white);
    const double by = sqrt(c->c_sigma * (2 - c->c_sigma) * c->mu_eff);
    for (size_t i = 0; i < c->n; i++)
        c->path_sigma[i] = (1 - c->c_sigma) * c->path_sigma[i] + by * white[i];
    const double length = norm_of(c->path_sigma, c->n);
    const double settled = sqrt(1 - power(1 - c->c_sigma, 2 * c->generation));
    const bool h = length / settled < (1.4 + 2 / (n + 1)) * c->chi_n;
    const double by_c = h ? sqrt(c->c_c * (2 - c->c_c) * c->mu_eff) : 0;
    for (size_t i = 0; i < c->n; i++) c->path_c[i] = (1 - c->c_c) * c->path_c[i] + by_c * step[i];
    c->sigma *= fun_exp(c->c_sigma / c->d_sigma * (length / c->chi_n - 1));
    return h;
}

/* y (n): a draw's distance from the old mean over the old sigma, of that rank; white: of it. */
static void add_rank(struct cma *c, size_t rank, const double *y) {
    double white[CMA_MAX_AXES], weight = c->weight[rank];
    if (weight < 0) {
        whiten(c, y, white);
        const double length = norm_of(white, c->n);
        weight *= (double)c->n / (length * length + 1e-8);
    }
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->n; k++)
            c->work[i * c->n + k] += c->c_mu * weight * y[i] * y[k];
}

static void decompose(struct cma *c) {
    double value[CMA_MAX_AXES];
    memcpy(c->work, c->c, c->n * c->n * sizeof *c->work);
    jacobi(c->work, c->n, value, c->b);
    double top = 0;
    for (size_t i = 0; i < c->n; i++) top = value[i] > top ? value[i] : top;
    const double least = 1e-20 * top;
    for (size_t i = 0; i < c->n; i++) c->d[i] = sqrt(value[i] > least ? value[i] : least);
}

static void move_covariance(struct cma *c, const double *const *x, const double *mean,
                            double sigma, bool h) {
    double sum = 0, y[CMA_MAX_AXES];
    memset(c->work, 0, c->n * c->n * sizeof *c->work);
    for (size_t rank = 0; rank < c->lambda; rank++) {
        sum += c->weight[rank];
        for (size_t i = 0; i < c->n; i++) y[i] = (x[rank][i] - mean[i]) / sigma;
        add_rank(c, rank, y);
    }
    const double lost = h ? 0 : c->c_c * (2 - c->c_c);
    const double keep = 1 + c->c_1 * lost - c->c_1 - c->c_mu * sum;
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->n; k++)
            c->c[i * c->n + k] = keep * c->c[i * c->n + k] +
                                 c->c_1 * c->path_c[i] * c->path_c[k] + c->work[i * c->n + k];
}

/* The limits of the values beside the mean, in an axis of at least two. */
static void limits(size_t levels, double mean, double *low, double *high) {
    double below = floor(mean * (double)levels); /* of the limits 1/levels, 2/levels, ... */
    if (below == mean * (double)levels) below--;
    const double last = (double)levels - 1;
    *low = (below < 1 ? 1 : below > last ? last : below) / (double)levels;
    *high = (below + 1 < 1 ? 1 : below + 1 > last ? last : below + 1) / (double)levels;
}

/* Keeps the probability of each side at alpha / 2 at least, or where the mean is in the first or
 * last value, of the other side at alpha: Hamano et al., section 4. */
static void keep_margin(struct cma *c, size_t i) {
    const double alpha = 1 / (double)(c->n * c->lambda);
    const double spread = c->sigma * sqrt(c->c[i * c->n + i]), sd = spread * c->scale[i];
    double low, high;
    limits(c->levels[i], c->mean[i], &low, &high);
    const double p_low = fun_cdf((low - c->mean[i]) / sd);
    const double p_high = fun_cdf((c->mean[i] - high) / sd);
    if (p_low > 0.5 || p_high > 0.5) {
        const double far = -fun_quantile(alpha) * sd;
        const double limit = p_low > 0.5 ? low : high;
        if ((p_low < p_high ? p_low : p_high) < alpha && fabs(c->mean[i] - limit) > far)
            c->mean[i] = limit + (c->mean[i] < limit ? -far : far);
        return;
    }
    const double middle = 1 - p_low - p_high, half = alpha / 2;
    const double at_low = p_low > half ? p_low : half, at_high = p_high > half ? p_high : half;
    const double share = (1 - at_low - at_high - middle) / (at_low + at_high + middle - 3 * half);
    double l = at_low + share * (at_low - half), h = at_high + share * (at_high - half);
    l = l < 1e-10 ? 1e-10 : l > 0.5 - 1e-10 ? 0.5 - 1e-10 : l;
    h = h < 1e-10 ? 1e-10 : h > 0.5 - 1e-10 ? 0.5 - 1e-10 : h;
    const double q_low = -fun_quantile(l), q_high = -fun_quantile(h);
    if (high > low) c->scale[i] = (high - low) / ((q_low + q_high) * spread);
    c->mean[i] = (low * q_high + high * q_low) / (q_low + q_high);
}

void cma_tell(struct cma *c, const double *const *x) {
    double was[CMA_MAX_AXES], step[CMA_MAX_AXES] = {0};
    const double sigma = c->sigma;
    c->generation++;
    for (size_t i = 0; i < c->n; i++) {
        was[i] = c->mean[i];
        for (size_t k = 0; k < c->mu; k++) step[i] += c->weight[k] * (x[k][i] - was[i]) / sigma;
        c->mean[i] += sigma * step[i];
    }
    const bool h = move_paths(c, step);
    move_covariance(c, x, was, sigma, h);
    decompose(c);
    if (cma_width(c) > 1) c->sigma /= cma_width(c);
    for (size_t i = 0; i < c->n; i++)
        if (c->levels[i] > 1) keep_margin(c, i);
}

double cma_width(const struct cma *c) {
    double top = 0;
    for (size_t i = 0; i < c->n; i++) top = c->d[i] > top ? c->d[i] : top;
    return c->sigma * top;
}

double cma_condition(const struct cma *c) {
    double top = 0, least = INFINITY;
    for (size_t i = 0; i < c->n; i++) {
        top = c->d[i] > top ? c->d[i] : top;
        least = c->d[i] < least ? c->d[i] : least;
    }
    return top * top / (least * least);
}
