#include "compare.h"
#include "adapter.h"
#include "import.h"
#include "logits.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 48 };

/* Two ids in a row are seldom equal, and every run takes the same. */
static void pick_ids(uint32_t *ids, int64_t n, int64_t vocab) {
    struct rng r = rng_make(1, RNG_SAMPLE, 0, 0, 0);
    for (int64_t i = 0; i < n; i++) ids[i] = (uint32_t)(rng_next(&r) % (uint64_t)vocab);
}

/* Appends a row of logits. */
static void keep(void *ctx, const float *logits, int64_t vocab) {
    float **at = ctx;
    memcpy(*at, logits, (size_t)vocab * sizeof *logits);
    *at += vocab;
}

/* The storage that holds every matrix of a file as it is: they need not be widened in memory to be
 * computed with in f32. */
static int exact_storage(const char *path, enum dtype *t, struct err *e) {
    struct model_file mf;
    const int rc = model_file_open(&mf, path, false, e);
    if (rc) return rc;
    bool all[DT_COUNT] = {[DT_BF16] = true, [DT_Q8_0] = true};
    for (size_t i = 0; i < mf.n_tensors; i++)
        for (int k = 0; k < DT_COUNT && mf.tensors[i].ndim == 2; k++)
            all[k] &= mf.tensors[i].dtype == (enum dtype)k;
    *t = all[DT_BF16] ? DT_BF16 : all[DT_Q8_0] ? DT_Q8_0 : DT_F32;
    model_file_close(&mf);
    return 0;
}

int compare_open(struct model *m, const struct compare_side *s, enum dtype t, struct pool *pool,
                 struct err *e) {
    const struct adapter_use use = {.weights = t, .scale = 1, .sets = s->sets, .pool = pool};
    return s->adapter ? adapter_open(m, s->path, s->adapter, &use, e)
                      : model_open_frozen(m, s->path, s->sets, t, pool, e);
}

/* *logits: malloc()ed (*n, *vocab). */
static int logits_of(const struct machine *machine, const struct compare_side *s, enum dtype t,
                     int64_t *n, int64_t *vocab, float **logits, struct err *e) {
    struct model m;
    uint32_t ids[TOKENS];
    int rc = compare_open(&m, s, t, machine->pool, e);
    *logits = NULL;
    if (rc) return rc;
    *vocab = m.config.vocab;
    *n = m.config.max_pos < TOKENS ? m.config.max_pos : TOKENS;
    pick_ids(ids, *n, *vocab);
    float *at = *logits = malloc((size_t)(*n * *vocab) * sizeof **logits);
    if (!at) {
        rc = err_set(e, ERR_NOMEM, "out of memory for logits");
        goto out;
    }
    TRY(model_logits(&m, machine, ids, *n, keep, &at, e));
out:
    model_close(&m);
    return rc;
}

/* log of the sum of exp, the largest first taken out. */
static double log_sum_exp(const float *x, int64_t n) {
    double max = (double)x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) max = fmax(max, (double)x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

static void compare_logits(const float *a, const float *b, int64_t n, int64_t vocab,
                           struct compare *c) {
    *c = (struct compare){.exact = true, .finite = true, .tokens = n};
    for (int64_t i = 0; i < n; i++) {
        const float *x = a + i * vocab, *y = b + i * vocab;
        const double lx = log_sum_exp(x, vocab), ly = log_sum_exp(y, vocab);
        for (int64_t k = 0; k < vocab; k++) {
            const double dx = (double)x[k], dy = (double)y[k];
            c->exact &= x[k] == y[k];
            c->max_logit = fmax(c->max_logit, fabs(dx));
            c->max_prob = fmax(c->max_prob, fabs(exp(dx - lx) - exp(dy - ly)));
            c->finite &= isfinite(dx) && isfinite(dy);
            c->max_diff = fmax(c->max_diff, fabs(dx - dy));
        }
    }
}

int model_compare(const struct machine *machine, const struct compare_side *a,
                  const struct compare_side *b, struct compare *c, struct err *e) {
    float *x = NULL, *y = NULL;
    enum dtype t, t_b;
    int64_t n, vocab, n_b, vocab_b;
    int rc;
    TRY(exact_storage(a->path, &t, e));
    TRY(exact_storage(b->path, &t_b, e));
    if (t != t_b) t = DT_F32; /* another storage may sum in another order */
    TRY(logits_of(machine, a, t, &n, &vocab, &x, e));
    TRY(logits_of(machine, b, t, &n_b, &vocab_b, &y, e));
    if (vocab != vocab_b) {
        rc = err_set(e, ERR_INPUT, "%s has a vocabulary of %lld, %s of %lld", a->path,
                     (long long)vocab, b->path, (long long)vocab_b);
        goto out;
    }
    compare_logits(x, y, n < n_b ? n : n_b, vocab, c);
out:
    free(x);
    free(y);
    return rc;
}
