#include "bench_rounds.h"

#include "rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void shuffle(int *order, int n, uint64_t seed, int64_t round) {
    struct rng r = rng_make(seed, RNG_TEST, (uint64_t)round, 0, 0);
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        const int k = (int)rng_below(&r, (uint64_t)i + 1), was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
}

int rounds_take(struct rounds *r, const struct rival *rival, int rivals, int64_t n, uint64_t seed,
                rounds_seen *seen, void *ctx, struct err *e) {
    int rc = 0, order[MAX_RIVALS];
    assert(rivals >= 1 && rivals <= MAX_RIVALS && n >= 1);
    *r = (struct rounds){.rivals = rivals};
    r->t = calloc((size_t)n * (size_t)rivals, sizeof *r->t);
    r->room = calloc((size_t)n, sizeof *r->room);
    if (!r->t || !r->room) TRY(err_set(e, ERR_NOMEM, "no memory for %lld rounds", (long long)n));
    for (int64_t k = 0; k < n; k++) {
        shuffle(order, rivals, seed, k);
        for (int i = 0; i < rivals; i++) {
            const struct rival *who = rival + order[i];
            TRY(who->turn(who->ctx, r->t + k * rivals + order[i], e));
        }
        r->n = k + 1;
        if (seen) seen(ctx, r->n, n);
    }
out:
    if (rc) rounds_release(r);
    return rc;
}

static double seconds(const struct rounds *r, int64_t round, int i, bool cpu) {
    const struct turn *t = r->t + round * r->rivals + i;
    return cpu ? t->cpu : t->wall;
}

struct stat_spread rounds_seconds(const struct rounds *r, int i, bool cpu) {
    for (int64_t k = 0; k < r->n; k++) r->room[k] = seconds(r, k, i, cpu);
    return stat_spread(r->room, (size_t)r->n);
}

struct stat_spread rounds_ratio(const struct rounds *r, int i, int of, bool cpu) {
    for (int64_t k = 0; k < r->n; k++) {
        const double a = seconds(r, k, i, cpu), b = seconds(r, k, of, cpu);
        r->room[k] = a == b ? 1 : b / a;
    }
    return stat_spread(r->room, (size_t)r->n);
}

int rounds_best(const struct rounds *r, unsigned mask) {
    int best = -1;
    double least = 0;
    for (int i = 0; i < r->rivals; i++) {
        if (!(mask >> i & 1)) continue;
        const double s = rounds_seconds(r, i, false).median;
        if (best >= 0 && s >= least) continue;
        best = i;
        least = s;
    }
    return best;
}

void rounds_release(struct rounds *r) {
    free(r->t);
    free(r->room);
    *r = (struct rounds){0};
}

int drift_add(struct drift *d, double x, struct err *e) {
    if (d->n == d->cap) {
        const size_t cap = d->cap ? 2 * d->cap : 64;
        double *more = realloc(d->x, cap * sizeof *more);
        if (!more) return err_set(e, ERR_NOMEM, "no memory for %zu values", cap);
        d->x = more;
        d->cap = cap;
    }
    d->x[d->n++] = x;
    return 0;
}

struct drift_range drift_range(const struct drift *d) {
    enum { ROW = 3 };
    struct drift_range r = {0};
    const size_t row = d->n < ROW ? d->n : ROW;
    for (size_t i = 0; row && i + row <= d->n; i++) {
        double x[ROW];
        memcpy(x, d->x + i, row * sizeof *x);
        const double m = stat_median(x, row);
        if (i == 0 || m < r.low) r.low = m;
        if (i == 0 || m > r.high) r.high = m;
    }
    r.moved = r.low > 0 ? r.high / r.low - 1 : 0;
    return r;
}

struct stat_spread drift_spread(const struct drift *d) {
    double *copy = malloc((d->n + 1) * sizeof *copy);
    struct stat_spread s = {0};
    if (!copy) return s;
    memcpy(copy, d->x, d->n * sizeof *copy);
    s = stat_spread(copy, d->n);
    free(copy);
    return s;
}

void drift_release(struct drift *d) {
    free(d->x);
    *d = (struct drift){0};
}
