/* What the tests of the audit share: a batch as the rows of a run, its audit with no change of any
 * weight, and that all groups agree. */
#ifndef DUET_AUDIT_FIXTURE_H
#define DUET_AUDIT_FIXTURE_H

#include "audit.h"
#include "llama_fixture.h"

enum { B = 3, T = 12, SEEDS = 48 };

static struct machine f32;

/* Sequences [first, first + n) of what is there are the rows from 0 on. */
struct rows {
    struct tokens *t;
    int64_t first, n;
};

static inline void fill(void *ctx, uint64_t row, struct engine_batch *out) {
    const struct rows *r = ctx;
    const int64_t at = (r->first + (int64_t)row) * out->T, n = r->n * out->T;
    memcpy(out->input, r->t->input + at, (size_t)n * sizeof *out->input);
    memcpy(out->target, r->t->target + at, (size_t)n * sizeof *out->target);
}

static inline struct audit_opts opts_of(struct rows *r) {
    return (struct audit_opts){.batch = r->n,
                               .seq = T,
                               .data = {.fill = fill, .ctx = r},
                               .machine = &f32,
                               .machine_grad = &f32,
                               .seeds = SEEDS,
                               .seed = 1,
                               .eps = 1e-3};
}

static inline struct audit_group *find_group(const struct audit *a, const char *name) {
    for (int k = 0; k < a->n_groups; k++)
        if (!strcmp(a->group[k].name, name)) return a->group + k;
    fail_msg("no group %s", name);
    return NULL;
}

static inline struct param *find_param(const struct model *m, const char *part) {
    for (int i = 0; i < m->n_params; i++)
        if (strstr(m->params[i].name, part)) return m->params + i;
    fail_msg("no parameter %s", part);
    return NULL;
}

static inline void must_agree(const char *name, const struct audit *a) {
    for (int k = 0; k < a->n_groups; k++) {
        const struct audit_group *g = a->group + k;
        const struct audit_check *d = &g->derivative, *s = &g->square, *v = &g->variance;
        if (g->verdict != AUDIT_OK)
            fail_msg("%s, %s: %s: derivative %g (%g), square %g (%g), variance %g, theory %g (%g)",
                     name, g->name, audit_verdict_name(g->verdict), d->found, d->allowed, s->found,
                     s->allowed, v->found, v->theory, v->allowed);
        /* The tolerances are such that an error of some percent does not fit into them. */
        assert_true(d->allowed < 0.02);
        assert_true(g->norm == 0 || s->allowed < 1.3);
    }
}

/* A copy of all stored weights, malloc()ed. */
static inline char *weights_of(const struct model *m, size_t *size) {
    char *all = NULL;
    *size = 0;
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        const size_t bytes = dtype_bytes(p->dtype, (size_t)param_count(p));
        all = realloc(all, *size + bytes);
        memcpy(all + *size, p->data, bytes);
        *size += bytes;
    }
    return all;
}

/* Opens, computes and compares. Weights and trainable flags stay as they were. */
static inline void audit_model(struct audit *a, struct model *m, const struct audit_opts *o) {
    size_t size, again;
    char *before = weights_of(m, &size);
    bool *trainable = calloc((size_t)m->n_params + 1, sizeof *trainable);
    for (int i = 0; i < m->n_params; i++) trainable[i] = m->params[i].trainable;
    ok(audit_open(a, m, o, &e));
    ok(audit_gradient(a, &e));
    ok(audit_run(a, &e));
    char *after = weights_of(m, &again);
    assert_int_equal(size, again);
    assert_memory_equal(before, after, size);
    for (int i = 0; i < m->n_params; i++) assert_int_equal(trainable[i], m->params[i].trainable);
    free(before);
    free(after);
    free(trainable);
}

#endif
