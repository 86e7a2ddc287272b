#include "format.h"
#include "model.h"
#include "par.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const struct model *m;
    const struct param *p;
    int index;
    double std;
    float *data;
    const uint32_t *ids; /* row r is drawn for id ids[r], so that compaction does not change what a
                          * token gets; NULL: for r */
};

static void random_row(void *ctx, int64_t r, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const uint64_t id = j->ids ? j->ids[r] : (uint64_t)r;
    struct rng g = rng_make(j->m->init_seed, RNG_INIT, (uint64_t)j->index, id, 0);
    float *row = j->data + r * j->p->cols;
    for (int64_t i = 0; i < j->p->cols; i++) row[i] = (float)(j->std * rng_normal(&g));
}

static void random_param(const struct model *m, int index) {
    const struct param *p = m->params + index;
    float *data = p->data;
    if (p->role == ROLE_norm || p->role == ROLE_bias) {
        for (int64_t i = 0; i < p->cols; i++) data[i] = p->role == ROLE_norm;
        return;
    }
    struct job j = {.m = m, .p = p, .index = index, .std = m->config.init_std, .data = data,
                    .ids = p->role == ROLE_embed ? m->full_id : NULL};
    if (p->role == ROLE_matrix) {
        if (!strcmp(m->config.init, "fan_in")) j.std = 1 / sqrt((double)p->cols);
        j.std *= p->init_scale;
    }
    par_for(p->rows, random_row, &j);
}

/* ---- the predecessors' initialisation ------------------------------------------------------ */

/* Fan-out for the feed-forward matrices was theirs; it is kept for exact comparison. */
static double compat_scale(const struct model *m, const struct param *p) {
    const struct model_config *c = &m->config;
    const double depth = 1 / sqrt(2.0 * (double)c->layers);
    if (strstr(p->name, "q_proj") || strstr(p->name, "k_proj") || strstr(p->name, "v_proj"))
        return 1 / sqrt((double)c->dim);
    if (strstr(p->name, "o_proj")) return depth / sqrt((double)(c->heads * c->head_dim));
    if (strstr(p->name, "down_proj")) return depth / sqrt((double)c->dim);
    return 1 / sqrt((double)c->hidden);
}

static void uniform(struct rng48 *g, float *x, int64_t n, double s) {
    const float scale = (float)s;
    for (int64_t i = 0; i < n; i++) x[i] = scale * (float)(2 * rng48_double(g) - 1);
}

static struct param *find(const struct model *m, int64_t layer, const char *suffix) {
    char name[96];
    snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer, suffix);
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name)) return m->params + i;
    return NULL;
}

/* One stream over all matrices in their order; rotary rows were interleaved pairs. */
static int compat_matrices(const struct model *m, struct rng48 *g, struct err *e) {
    static const char *const order[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"};
    const struct model_config *c = &m->config;
    float *temp = malloc((size_t)(c->heads * c->head_dim * c->dim) * sizeof *temp);
    if (!temp) return err_set(e, ERR_NOMEM, "out of memory for initialisation");
    for (int64_t l = 0; l < c->layers; l++)
        for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
            const struct param *p = find(m, l, order[k]);
            if (k < 2) {
                uniform(g, temp, param_count(p), compat_scale(m, p));
                rope_to_halves(p->data, temp, (uint64_t)p->rows, (uint64_t)p->cols,
                               (int)(k ? c->kv_heads : c->heads));
            } else {
                uniform(g, p->data, param_count(p), compat_scale(m, p));
            }
        }
    free(temp);
    return 0;
}

/* The stream goes on over the full table; rows that compaction left out are drawn and dropped. */
static void compat_table(const struct model *m, struct rng48 *g, const struct param *p) {
    for (int64_t id = 0; id < m->full_vocab; id++) {
        const uint32_t row = m->compact_id ? m->compact_id[id] : (uint32_t)id;
        if (row != UINT32_MAX) uniform(g, (float *)p->data + (int64_t)row * p->cols, p->cols, 0.02);
        for (int64_t i = 0; row == UINT32_MAX && i < p->cols; i++) rng48_double(g);
    }
}

static int compat_init(const struct model *m, struct err *e) {
    struct rng48 g = rng48_make((uint32_t)m->init_seed);
    const int rc = compat_matrices(m, &g, e);
    for (int i = 0; i < m->n_params && !rc; i++) {
        if (m->params[i].role == ROLE_embed) compat_table(m, &g, m->params + i);
        else if (m->params[i].role != ROLE_matrix) random_param(m, i);
    }
    return rc;
}

static void compat_full(const struct model *m, const struct param *p, float *table) {
    struct rng48 g = rng48_make((uint32_t)m->init_seed);
    for (int i = 0; i < m->n_params; i++)
        for (int64_t k = 0; m->params[i].role == ROLE_matrix && k < param_count(m->params + i); k++) rng48_double(&g);
    for (int i = 0; i < m->n_params; i++) {
        if (m->params[i].role != ROLE_embed) continue;
        uniform(&g, table, m->full_vocab * p->cols, 0.02);
        if (m->params + i == p) return;
    }
}

int model_init(struct model *m, uint64_t seed, struct err *e) {
    m->init_seed = seed;
    if (!strcmp(m->config.init, "compat")) return compat_init(m, e);
    for (int i = 0; i < m->n_params; i++) random_param(m, i);
    return 0;
}

void model_init_full(const struct model *m, const struct param *p, float *table) {
    if (!strcmp(m->config.init, "compat")) {
        compat_full(m, p, table);
        return;
    }
    struct job j = {.m = m, .p = p, .index = (int)(p - m->params), .std = m->config.init_std, .data = table};
    par_for(m->full_vocab, random_row, &j);
}
