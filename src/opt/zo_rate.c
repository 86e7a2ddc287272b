#include "zo_rate.h"

#include <math.h>

void zo_measure_add(struct zo_measure *m, double eps, int64_t B, const double *base,
                    const double *plus, const double *minus) {
    double sum = 0, square = 0, bend = 0;
    for (int64_t b = 0; b < B; b++) {
        const double c = (plus[b] - minus[b]) / (2 * eps);
        sum += c;
        square += c * c;
        bend += (plus[b] - base[b]) + (minus[b] - base[b]);
    }
    const double n = (double)B;
    m->example2 += square / n;
    m->grad2 += B > 1 ? (sum * sum - square) / (n * (n - 1)) : square;
    m->curvature += bend / (n * eps * eps);
    m->examples = n;
    m->directions++;
}

void zo_measure_check(struct zo_measure *m, int64_t n, const double *c, const double *c2) {
    for (int64_t i = 0; i < n; i++) {
        m->change2 += (c2[i] - c[i]) * (c2[i] - c[i]);
        m->coef2 += c[i] * c[i];
    }
    m->checked += n;
}

void zo_measure_finish(struct zo_measure *m) {
    const double n = m->directions ? (double)m->directions : 1;
    m->example2 /= n;
    m->grad2 /= n;
    m->curvature /= n;
}

double zo_measure_error(const struct zo_measure *m) {
    return m->coef2 > 0 ? sqrt(m->change2 / m->coef2) : INFINITY;
}

/* Mean square of the rounding of one loss. The two coefficients have independent errors of two
 * losses each: (1 + 1/4) 2 r^2 / (2 eps)^2. Curvature makes them differ as well, so that it is at
 * most what f32 leaves of a loss. */
static double rounding2(const struct zo_measure *m, double eps) {
    const double found = m->checked ? m->change2 / (double)m->checked * 4 * eps * eps / 2.5 : 0,
                 most = m->loss * 0x1p-24;
    return fmin(found, most * most);
}

double zo_measure_rounding(const struct zo_measure *m, double eps) {
    const double coef2 = m->coef2 / (double)(m->checked ? m->checked : 1);
    return coef2 > 0 ? sqrt(2 * rounding2(m, eps) / coef2) / (2 * eps) : INFINITY;
}

bool zo_curvature_hidden(const struct zo_measure *m, double eps) {
    if (!m->directions) return false;
    const double B = m->examples, n = B * (double)m->directions; /* the base is the same for all */
    const double noise = sqrt(rounding2(m, eps) * (4 / B + 2 / n)) / (eps * eps);
    return noise > m->example2 && fabs(m->curvature) < 3 * noise;
}

/* Of few directions both figures can come out near 0 or below it. Of |g|^2 at least a twentieth of
 * an example's counts; and for cross-entropy tr H is, near the model's own distribution, the mean
 * square of the gradient of one token, which is more than that of a sequence's mean. */
static double grad2(const struct zo_measure *m) {
    return m->example2 * fmin(1, fmax(0.05, m->grad2 / m->example2));
}

static double curvature(const struct zo_measure *m) {
    return fmax(m->curvature, m->example2);
}

/* Mean of c^2 of a probe, which sees the mean over its examples. */
static double coef2(const struct zo_measure *m, const struct zo_kind *k, const struct zo_shape *s) {
    const double seen = k->per_example ? 1 : (double)(s->batch * s->accum);
    return grad2(m) + (m->example2 - grad2(m)) / seen;
}

/* Both by measurement, results/mezo-defaults.md. */
static const double SAFETY = 0.25, MOST_GAIN = 0.002;

double zo_best_step(const struct zo_measure *m, const struct zo_kind *k, const struct zo_shape *s) {
    if (!(m->example2 > 0)) return 0;
    const double rms = sqrt(coef2(m, k, s)), n = (double)k->directions(s);
    const double best = grad2(m) / (rms * curvature(m)), most = MOST_GAIN * rms / (n * grad2(m));
    return fmin(SAFETY * best, most);
}

double zo_step_rate(const struct zo_measure *m, const struct zo_kind *k, const struct zo_shape *s,
                    double step) {
    return step / k->unit(s) / (k->normalises ? 1 : sqrt(coef2(m, k, s)));
}

/* Nats an update, about a twentieth of MOST_GAIN; updates that are looked ahead at least, and when
 * only the time of the run is known. */
static const double MOST_RISE = 1.2e-4, LEAST_AHEAD = 256, UNKNOWN_AHEAD = 1024;

enum { MOST_TRIES = 12 };

/* A rise goes with the square of the step, or with its fourth power where two factors walk, or with
 * more of it. */
int zo_walk_limit(const struct zo_walk *w, double *step, struct err *e) {
    const double updates = w->steps ? fmax((double)w->steps, LEAST_AHEAD) : UNKNOWN_AHEAD,
                 most = MOST_RISE * updates;
    for (int i = 0; *step > 0 && i < MOST_TRIES; i++) {
        double rise;
        const int rc = w->rise(w->ctx, *step * sqrt((double)w->directions * updates), &rise, e);
        if (rc || rise <= most) return rc;
        *step *= isfinite(rise) ? fmax(0.5, fmin(0.9, cbrt(most / rise))) : 0.5;
    }
    return 0;
}

double zo_update_change(const struct zo_measure *m, const struct zo_kind *k,
                        const struct zo_shape *s, double lr) {
    const double rms = m->checked ? sqrt(m->coef2 / (double)m->checked) : 0;
    return (double)k->directions(s) * lr * k->unit(s) * (k->normalises ? 1 : rms) * rms;
}
