/* Row kernels of attention, for check_kern. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

/* An array as rows of attention: three if it is long, each with room behind its last column. */
enum { ROOM = 16 };

struct causal {
    int64_t m, ld, first, end; /* entries of row 0 */
};

static struct causal causal_of(int64_t n) {
    struct causal s = {.m = n < 128 ? 1 : 3};
    s.ld = n / s.m;
    s.end = s.ld - ROOM;
    s.first = s.end - s.m + 1;
    return s;
}

static void causal_fill(const struct causal *s, float *x, bool before) {
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t t = before ? s->first + i : s->end; t < s->ld; t++)
            x[i * s->ld + t] = before ? NAN : 0;
}

static void call_softmax(const struct kern *k, struct row *r) {
    const struct causal s = causal_of(r->n);
    memset(F(1), 0, (size_t)r->n * sizeof(float));
    memset(F(2), 0, (size_t)r->n * sizeof(float));
    if (s.first < 1) return;
    causal_fill(&s, F(0), true);
    k->softmax(F(0), s.ld, s.m, s.first, s.end, F(1), F(2));
    causal_fill(&s, F(0), false);
}

/* The log-sum-exp of row i of array 0, which is at least its largest entry, from array 3. */
static float causal_lse(const struct causal *s, const struct row *r, int64_t i) {
    return kern_scalar.max(F(0) + i * s->ld, s->first + i) + fabsf(F(3)[i]);
}

static void call_softmax_grad(const struct kern *k, struct row *r) {
    const struct causal s = causal_of(r->n);
    float lse[3];
    if (s.first < 1) return;
    for (int64_t i = 0; i < s.m; i++) lse[i] = causal_lse(&s, r, i);
    for (int j = 0; j < 2; j++) causal_fill(&s, F(j), true);
    k->softmax_grad(F(0), F(1), s.ld, s.m, s.first, s.end, lse, F(2));
    for (int j = 0; j < 2; j++) causal_fill(&s, F(j), false);
}

static void call_scale_rows(const struct kern *k, struct row *r) {
    const int64_t m = r->n < 3 ? 1 : 3, n = r->n / m;
    if (r->n > 0) k->scale_rows(F(0), n, F(1), n, F(2), m, n);
    for (int64_t i = m * n; i < r->n; i++) F(0)[i] = 0;
}

MAGNITUDE(softmax_grad, const struct causal s = causal_of(r->n);
          const int64_t row = s.first < 1 ? s.m : i / s.ld;
          if (array == 0 || row >= s.m || i % s.ld >= s.first + row) return 0;
          const float x = F(0)[i] - causal_lse(&s, r, row);
          return exp((double)x) * (A(1, i) + A(2, row)))

enum { LONG = 4097, LONG_M = 4, LONG_LD = LONG + LONG_M + ROOM };

struct rows {
    float x[LONG_M][LONG_LD], most[LONG_M], sum[LONG_M];
};

static void softmax_of(const struct kern *k, struct rows *r, int64_t m, int64_t n) {
    k->softmax(r->x[0], LONG_LD, m, n, n + m - 1, r->most, r->sum);
}

/* Rows around a block of sums: what they come to, and that it is exp_sum's, bit for bit. */
static void check_long(struct check *c, const struct kern *k) {
    static struct rows in, want, got;
    static float y[LONG_LD];
    c->note = "rows of 4,095 to 4,100";
    for (int i = 0; i < 3 * LONG_M; i++) {
        const int64_t m = i % LONG_M + 1, n = LONG - i / LONG_M;
        c->n = n;
        check_normal(c, in.x[0], LONG_M * LONG_LD, 2);
        want = got = in;
        softmax_of(&kern_scalar, &want, m, n);
        softmax_of(k, &got, m, n);
        for (int64_t r = 0; r < m; r++) {
            const float sum = k->exp_sum(y, in.x[r], got.most[r], n + r);
            check_that(c, got.most[r] == want.most[r], "the largest entry");
            check_that(c, !memcmp(&sum, got.sum + r, sizeof sum), "the sum of exp_sum");
            check_that(c, !memcmp(y, got.x[r], (size_t)(n + r) * sizeof *y), "as exp_sum has it");
            /* A lane of the narrowest vectors adds up a thousand. */
            check_near(c, r, (double)got.sum[r], (double)want.sum[r], 0, 16, 0);
            for (int64_t t = 0; t < n + m - 1; t++)
                check_near(c, t, (double)got.x[r][t], (double)want.x[r][t], 0, 4, 0);
        }
    }
}

/* Wherever a NaN stands in a row, it stays, its sum is NaN, and no other row knows of it. */
static void check_nan(struct check *c, const struct kern *k) {
    static struct rows in, clean, got;
    enum { MOST_N = 70 };
    c->note = "NaN";
    for (int64_t n = 1; n < MOST_N; n += 3)
        for (int64_t m = 1; m <= LONG_M; m++) {
            c->n = n;
            check_normal(c, in.x[0], LONG_M * LONG_LD, 2);
            clean = in;
            softmax_of(k, &clean, m, n);
            for (int64_t r = 0; r < m; r++)
                for (int64_t t = 0; t < n + r; t++) {
                    for (int64_t q = 0; q < m; q++)
                        memcpy(got.x[q], in.x[q], 2 * MOST_N * sizeof(float));
                    got.x[r][t] = t % 2 ? NAN : -NAN;
                    softmax_of(k, &got, m, n);
                    check_that(c, isnan(got.x[r][t]) && isnan(got.sum[r]), "NaN stays, and sums");
                    for (int64_t q = 0; q < m; q++)
                        check_that(c,
                                   q == r || (got.sum[q] == clean.sum[q] &&
                                              !memcmp(got.x[q], clean.x[q],
                                                      (size_t)(n + m - 1) * sizeof(float))),
                                   "other rows are as without it");
                    for (int64_t q = n + r; q < n + m - 1; q++)
                        check_that(c, got.x[r][q] == 0, "zeros behind the row");
                }
        }
}

static void more_softmax(struct check *c, const struct kern *k) {
    check_long(c, k);
    check_nan(c, k);
}

const struct item kern_attn_items[KERN_ATTN_ITEMS] = {
    {"softmax", "boo", call_softmax, .tol = 4, .spread = 7, .flags = SPECIAL | BIG | NO_NAN,
     .more = more_softmax},
    {"softmax_grad", "bbii", call_softmax_grad, of_softmax_grad, .tol = 4, .abs = 1e-44,
     .spread = 7, .flags = SPECIAL},
    {"scale_rows", "oii", call_scale_rows, .tol = 0.5, .spread = 100,
     .flags = SPECIAL | BIG | ONLY_BITS, .alias = "01"},
};
