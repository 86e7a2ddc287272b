#include "zo.h"

#include "rng.h"

#include <math.h>
#include <string.h>

#define X(name) extern const struct zo_kind zo_##name;
ESTIMATORS(X)
#undef X

static const struct zo_kind *const kinds[] = {
#define X(name) &zo_##name,
    ESTIMATORS(X)
#undef X
};

const struct zo_kind *zo_find(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->name, name)) return kinds[i];
    return NULL;
}

uint64_t zo_seed(uint64_t run_seed, int64_t step, int64_t d) {
    struct rng r = rng_make(run_seed, RNG_DIRECTION, (uint64_t)step, (uint64_t)d, 0);
    return rng_next(&r);
}

struct direction_space zo_space(const struct direction_kind *kind, struct direction_tensor *tensor,
                                const struct param *params, int n) {
    for (int i = 0; i < n; i++)
        tensor[i] = (struct direction_tensor){.rows = params[i].rows,
                                              .cols = params[i].cols,
                                              .scale = params[i].trainable ? params[i].move : 0};
    return (struct direction_space){.kind = kind, .tensor = tensor};
}

double zo_norm(const struct direction_space *s, int n_tensors, int64_t n, const float *coef) {
    double sum = 0, size = 0;
    for (int64_t d = 0; d < n; d++) sum += (double)coef[d] * (double)coef[d];
    for (int i = 0; i < n_tensors; i++) {
        const struct direction_tensor *t = s->tensor + i;
        size += (double)t->scale * (double)t->scale * (double)(t->rows * t->cols);
    }
    return sqrt(size * sum);
}

struct source {
    const struct zo_update *update;
    const struct direction_space *space;
};

/* The estimate's tile, made anew from the seeds: there is no buffer of the gradient. Where they can
 * be, the last directions are left as the signs that they are. */
static const float *estimate_tile(const struct grad_source *s, int param, int64_t begin, int64_t n,
                                  float *buf, struct kern_sgd *signs) {
    const struct source *c = s->ctx;
    const struct zo_update *u = c->update;
    const int64_t left = signs && c->space->kind->bits ? KERN_SIGNS : 0,
                  floats = u->n > left ? u->n - left : 0;
    int any = 0;
    for (int64_t d = 0; d < u->n; d++) {
        const struct direction z = direction_make(c->space, u->seed[d], u->step);
        const float eps = u->coef[d] * direction_scale(&z, param);
        if (d < floats) {
            direction_add(&z, buf, d ? buf : NULL, u->coef[d], param, 0, begin, n);
        } else if (eps != 0) {
            c->space->kind->bits(&z, param, begin, n, signs->bits[any]);
            signs->eps[any++] = eps;
        }
    }
    if (signs) signs->n_signs = any;
    if (any && !floats) return NULL;
    if (!floats) memset(buf, 0, (size_t)n * sizeof *buf);
    return buf;
}

void zo_apply(struct opt *opt, const struct direction_space *s, const struct zo_update *u) {
    const struct source c = {u, s};
    const struct grad_source grad = {
        .tile = estimate_tile, .norm = zo_norm(s, opt->n_params, u->n, u->coef), .ctx = &c};
    opt_step(opt, u->lr, &grad);
}
