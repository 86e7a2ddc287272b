#include "format.h"
#include "model.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const struct model *m;
    const struct param *p;
    double std;
    const uint32_t *ids; /* row r is drawn for id ids[r], so that compaction does not change what a
                          * token gets; NULL: for r */
    float *rows;         /* one for each thread, where the storage is not f32 */
};

static void draw_row(const struct model *m, const struct param *p, double std, uint64_t id,
                     float *row) {
    struct rng g = rng_make(m->init_seed, RNG_INIT, (uint64_t)(p - m->params), id, 0);
    for (int64_t i = 0; i < p->cols; i++) row[i] = (float)(std * rng_normal(&g));
}

static void *row_of(const struct param *p, int64_t r) {
    return (char *)p->data + (size_t)r * dtype_bytes(p->dtype, (size_t)p->cols);
}

static void random_row(void *ctx, int64_t r, int tid) {
    const struct job *j = ctx;
    const struct param *p = j->p;
    const uint64_t id = j->ids ? j->ids[r] : (uint64_t)r;
    float *row = p->dtype == DT_F32 ? row_of(p, r) : j->rows + tid * p->cols;
    draw_row(j->m, p, j->std, id, row);
    if (p->dtype != DT_F32) dtype_from_f32(p->dtype, row, row_of(p, r), (size_t)p->cols);
}

static void constant_param(const struct param *p) {
    float *data = p->data;
    for (int64_t i = 0; i < p->cols; i++) data[i] = p->part->init == INIT_ONES;
}

static bool is_constant(const struct param *p) {
    return p->part->init == INIT_ONES || p->part->init == INIT_ZEROS;
}

static double std_of(const struct model *m, const struct param *p) {
    const struct model_config *c = &m->config;
    double std = c->init_std;
    if (p->part->init == INIT_EMBED) return std;
    if (!strcmp(c->init, "fan_in")) std = 1 / sqrt((double)p->cols);
    return p->part->init == INIT_RESIDUAL ? std * (1 / sqrt(2.0 * (double)c->layers)) : std;
}

static int random_param(const struct model *m, const struct param *p, struct err *e) {
    struct job j = {.m = m,
                    .p = p,
                    .std = std_of(m, p),
                    .ids = p->role == ROLE_embed ? m->full_id : NULL};
    if (p->dtype != DT_F32) {
        j.rows = malloc((size_t)pool_threads(m->pool) * (size_t)p->cols * sizeof *j.rows);
        if (!j.rows) return err_set(e, ERR_NOMEM, "out of memory for initialisation");
    }
    pool_for(m->pool, p->rows, random_row, &j);
    free(j.rows);
    return 0;
}

/* ---- the predecessors' initialisation ------------------------------------------------------ */

/* The kinds of their matrices, in the order of their stream. */
static const enum part_kind compat_order[] = {PART_Q,    PART_K,    PART_V, PART_O,
                                              PART_GATE, PART_DOWN, PART_UP};
enum { COMPAT_PARTS = sizeof compat_order / sizeof *compat_order };

/* Fan-out for the feed-forward matrices was theirs; it is kept for exact comparison. */
static double compat_scale(const struct model *m, enum part_kind kind) {
    const struct model_config *c = &m->config;
    const double depth = 1 / sqrt(2.0 * (double)c->layers);
    if (kind == PART_Q || kind == PART_K || kind == PART_V) return 1 / sqrt((double)c->dim);
    if (kind == PART_O) return depth / sqrt((double)(c->heads * c->head_dim));
    if (kind == PART_DOWN) return depth / sqrt((double)c->dim);
    return 1 / sqrt((double)c->hidden);
}

static void uniform(struct rng48 *g, float *x, int64_t n, double s) {
    const float scale = (float)s;
    for (int64_t i = 0; i < n; i++) x[i] = scale * (float)(2 * rng48_double(g) - 1);
}

static struct param *find(const struct model *m, int layer, enum part_kind kind) {
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].layer == layer && m->params[i].role == ROLE_matrix &&
            m->params[i].part->kind == kind)
            return m->params + i;
    return NULL;
}

/* Each layer has one matrix of each of their kinds, and there are no others. */
static int check_compat(const struct model *m, struct err *e) {
    int64_t matrices = 0, known = 0;
    for (int i = 0; i < m->n_params; i++) matrices += m->params[i].role == ROLE_matrix;
    for (int l = 0; l < m->config.layers; l++)
        for (int k = 0; k < COMPAT_PARTS; k++) known += find(m, l, compat_order[k]) != NULL;
    if (known == matrices && known == COMPAT_PARTS * m->config.layers) return 0;
    return err_set(e, ERR_INPUT, "duet.init compat: the %s model has other matrices than theirs",
                   m->config.arch);
}

/* One stream over all matrices in their order; rotary rows were interleaved pairs. draw and halves:
 * room for the largest matrix each. */
static void compat_matrices(const struct model *m, struct rng48 *g, float *draw, float *halves) {
    const struct model_config *c = &m->config;
    for (int l = 0; l < c->layers; l++)
        for (int k = 0; k < COMPAT_PARTS; k++) {
            const struct param *p = find(m, l, compat_order[k]);
            const int turning = part_heads(p->part, (int)c->heads, (int)c->kv_heads);
            uniform(g, draw, param_count(p), compat_scale(m, compat_order[k]));
            if (turning)
                rope_to_halves(halves, draw, (uint64_t)p->rows, (uint64_t)p->cols, turning);
            dtype_from_f32(p->dtype, turning ? halves : draw, p->data, (size_t)param_count(p));
        }
}

/* The stream goes on over the full tables: row `id` of embedding p stands after the matrices, the
 * rows before it and the tables before it. */
static void compat_row(const struct model *m, const struct param *p, uint64_t id, float *row) {
    struct rng48 g = rng48_make((uint32_t)m->init_seed);
    uint64_t before = id * (uint64_t)p->cols;
    for (int i = 0; i < m->n_params; i++) {
        const struct param *q = m->params + i;
        if (q->role == ROLE_matrix)
            before += (uint64_t)param_count(q);
        else if (q->role == ROLE_embed && q < p)
            before += (uint64_t)(m->full_vocab * q->cols);
    }
    rng48_skip(&g, before);
    uniform(&g, row, p->cols, 0.02);
}

static int compat_init(const struct model *m, struct err *e) {
    struct rng48 g = rng48_make((uint32_t)m->init_seed);
    int64_t most = 0;
    const int rc = check_compat(m, e);
    if (rc) return rc;
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        const int64_t n = p->role == ROLE_matrix ? param_count(p) : p->cols;
        most = n > most ? n : most;
    }
    float *draw = malloc(2 * (size_t)most * sizeof *draw);
    if (!draw) return err_set(e, ERR_NOMEM, "out of memory for initialisation");
    compat_matrices(m, &g, draw, draw + most);
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        if (is_constant(p)) constant_param(p);
        for (int64_t r = 0; p->role == ROLE_embed && r < p->rows; r++) {
            compat_row(m, p, m->full_id ? m->full_id[r] : (uint64_t)r, draw);
            dtype_from_f32(p->dtype, draw, row_of(p, r), (size_t)p->cols);
        }
    }
    free(draw);
    return 0;
}

int model_init(struct model *m, uint64_t seed, struct err *e) {
    int rc = 0;
    m->init_seed = seed;
    if (!strcmp(m->config.init, "compat")) return compat_init(m, e);
    for (int i = 0; i < m->n_params && !rc; i++) {
        const struct param *p = m->params + i;
        if (p->role == ROLE_lora) continue;
        if (is_constant(p))
            constant_param(p);
        else
            rc = random_param(m, p, e);
    }
    return rc;
}

void model_init_row(const struct model *m, const struct param *p, uint64_t id, float *row) {
    if (!strcmp(m->config.init, "compat"))
        compat_row(m, p, id, row);
    else
        draw_row(m, p, m->config.init_std, id, row);
}
