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

const struct item kern_attn_items[KERN_ATTN_ITEMS] = {
    {"softmax", "boo", call_softmax, .tol = 4, .spread = 7, .flags = SPECIAL | BIG | NO_NAN},
    {"softmax_grad", "bbii", call_softmax_grad, of_softmax_grad, .tol = 4, .abs = 1e-44,
     .spread = 7, .flags = SPECIAL},
    {"scale_rows", "oii", call_scale_rows, .tol = 0.5, .spread = 100,
     .flags = SPECIAL | BIG | ONLY_BITS, .alias = "01"},
};
