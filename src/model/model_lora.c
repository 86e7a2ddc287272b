#include "model_lora.h"

#include "arch.h"
#include "op.h"
#include "rng.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const inits[] = {
#define X(name) #name,
    LORA_INITS(X)
#undef X
};
enum { N_INITS = sizeof inits / sizeof *inits };

/* ---- options -------------------------------------------------------------------------------- */

static int find_word(const char *const *words, int n, const char *word, size_t bytes) {
    for (int i = 0; i < n; i++)
        if (strlen(words[i]) == bytes && !memcmp(words[i], word, bytes)) return i;
    return -1;
}

/* Is it one of the words in a list with commas? */
static bool in_list(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = list; *p;) {
        const size_t len = strcspn(p, ",");
        if (len == n && !memcmp(p, word, n)) return true;
        p += len + (p[len] == ',');
    }
    return false;
}

static bool is_all(const char *list) {
    return !strcmp(list, "all");
}

/* Every word of the list is one of the architecture's. */
static int check_targets(const struct part_table *t, const char *list, struct err *e) {
    char words[200];
    if (is_all(list)) return 0;
    if (!*list)
        return err_set(e, ERR_USAGE, "LoRA has no targets: some of %s",
                       part_words(t, words, sizeof words));
    for (const char *p = list; *p;) {
        const size_t n = strcspn(p, ",");
        bool known = false;
        for (int i = 0; i < t->n && !known; i++)
            known = t->part[i].lora && strlen(t->part[i].lora) == n &&
                    !memcmp(t->part[i].lora, p, n);
        if (!known)
            return err_set(e, ERR_USAGE, "LoRA targets \"%.60s\": \"%.*s\" is not one of %s", list,
                           (int)(n < 60 ? n : 60), p, part_words(t, words, sizeof words));
        p += n + (p[n] == ',');
    }
    return 0;
}

/* The words in the order of the parts, each once. */
static int copy_targets(struct lora *l, const struct part_table *t, const char *list,
                        struct err *e) {
    size_t n = 0;
    for (int i = 0; i < t->n && n < sizeof l->targets; i++)
        if (t->part[i].lora && (is_all(list) || in_list(list, t->part[i].lora)) &&
            !in_list(l->targets, t->part[i].lora))
            n += (size_t)snprintf(l->targets + n, sizeof l->targets - n, "%s%s", n ? "," : "",
                                  t->part[i].lora);
    return n < sizeof l->targets
               ? 0
               : err_set(e, ERR_USAGE, "LoRA targets \"%.60s\": too many words", list);
}

static int copy_opts(struct lora *l, const struct part_table *t, const struct lora_opts *o,
                     struct err *e) {
    int rc;
    TRY(check_targets(t, o->targets, e));
    TRY(copy_targets(l, t, o->targets, e));
    const int init = find_word(inits, N_INITS, o->init, strlen(o->init));
    if (init < 0) {
        rc = err_set(e, ERR_USAGE, "LoRA init \"%.40s\" is not one of peft, uniform", o->init);
        goto out;
    }
    if (!(o->alpha > 0 && isfinite(o->alpha))) {
        rc = err_set(e, ERR_USAGE, "LoRA alpha is %g, expected a number above 0", o->alpha);
        goto out;
    }
    l->opts = *o;
    l->factor = 1;
    strcpy(l->init, inits[init]);
    l->opts.targets = l->targets;
    l->opts.init = l->init;
out:
    return rc;
}

/* ---- the table ------------------------------------------------------------------------------ */

static bool is_target(const struct model *m, const struct param *p) {
    return p->part->lora && in_list(m->lora->targets, p->part->lora);
}

/* Calls fn for every targeted weight: output i of node n. Stops at the first failure. */
static int each_target(const struct model *m, int (*fn)(void *ctx, struct node *n, int i),
                       void *ctx) {
    for (int k = 0; k < m->graph.n_nodes; k++) {
        struct node *n = m->graph.nodes + k;
        for (int i = 0; n->op == &op_linear && i < n->n_out; i++) {
            const int rc = is_target(m, m->params + n->param[i]) ? fn(ctx, n, i) : 0;
            if (rc) return rc;
        }
    }
    return 0;
}

struct attach {
    struct model *m;
    int count;
    struct err *e;
};

static int check_target(void *ctx, struct node *n, int i) {
    struct attach *a = ctx;
    const struct param *w = a->m->params + n->param[i];
    const int64_t most = w->rows < w->cols ? w->rows : w->cols, rank = a->m->lora->opts.rank;
    a->count++;
    if (rank >= 1 && rank <= most) return 0;
    return err_set(a->e, ERR_USAGE,
                   "LoRA rank is %lld, expected 1 to %lld, the smaller side of %s (%lld x %lld)",
                   (long long)rank, (long long)most, w->name, (long long)w->rows,
                   (long long)w->cols);
}

static void add_param(struct model *m, const struct param *w, bool b, int64_t rows, int64_t cols) {
    struct param *p = m->params + m->n_params++;
    *p = (struct param){.part = w->part,
                        .layer = w->layer,
                        .role = ROLE_lora,
                        .ndim = 2,
                        .rows = rows,
                        .cols = cols,
                        .move = 1,
                        .trainable = true,
                        .dtype = DT_F32};
    part_lora_name(p->name, w->part, (uint32_t)(w->layer < 0 ? 0 : w->layer), b);
}

static int add_target(void *ctx, struct node *n, int i) {
    struct attach *a = ctx;
    const struct param *w = a->m->params + n->param[i];
    const int64_t rank = a->m->lora->opts.rank;
    n->lora[i] = a->m->n_params;
    add_param(a->m, w, false, rank, w->cols);
    add_param(a->m, w, true, w->rows, rank);
    return 0;
}

static int reserve_table(struct model *m, int count, struct err *e) {
    struct lora *l = m->lora;
    struct param *more = realloc(m->params, (size_t)(m->n_params + 2 * count) * sizeof *m->params);
    if (more) m->graph.params = m->params = more;
    l->trainable = malloc((size_t)m->n_params * sizeof *l->trainable);
    if (!more || !l->trainable) return err_set(e, ERR_NOMEM, "out of memory for LoRA");
    l->base_params = m->n_params;
    for (int i = 0; i < m->n_params; i++) {
        struct param *p = m->params + i;
        l->trainable[i] = p->trainable;
        p->trainable = l->opts.norms && p->role == ROLE_norm;
    }
    return 0;
}

int lora_attach(struct model *m, const struct lora_opts *o, struct err *e) {
    int rc;
    struct attach a = {m, 0, e};
    assert(!m->lora && !m->weights.base && m->storage == DT_F32);
    m->lora = calloc(1, sizeof *m->lora);
    if (!m->lora) return err_set(e, ERR_NOMEM, "out of memory for LoRA");
    TRY(copy_opts(m->lora, &arch_find(m->config.arch)->parts, o, e));
    TRY(each_target(m, check_target, &a));
    if (!a.count) {
        rc = err_set(e, ERR_USAGE, "LoRA targets %s: the %s model has none of them",
                     m->lora->targets, m->config.arch);
        goto out;
    }
    TRY(reserve_table(m, a.count, e));
    TRY(each_target(m, add_target, &a));
    m->graph.n_params = m->n_params;
    lora_set_scale(m, 1);
out:
    if (rc) lora_release(m);
    return rc;
}

void lora_set_scale(struct model *m, double factor) {
    const struct lora_opts *o = &m->lora->opts;
    const double r = (double)o->rank, scale = o->alpha / (o->rslora ? sqrt(r) : r);
    m->lora->factor = factor;
    for (int k = 0; k < m->graph.n_nodes; k++) {
        struct node *n = m->graph.nodes + k;
        for (int i = 0; i < NODE_MAX_OUT; i++)
            if (n->lora[i]) {
                n->lora_scale[i] = (float)(factor * scale);
                n->lora_merge = o->merge;
            }
    }
}

/* ---- values --------------------------------------------------------------------------------- */

struct init_job {
    struct param *p;
    int index;
    uint64_t seed;
    double bound;
};

static void init_row(void *ctx, int64_t r, int tid) {
    (void)tid;
    const struct init_job *j = ctx;
    struct rng g = rng_make(j->seed, RNG_ADAPTER, (uint64_t)j->index, (uint64_t)r, 0);
    float *row = (float *)j->p->data + r * j->p->cols;
    for (int64_t i = 0; i < j->p->cols; i++) row[i] = (float)(j->bound * (2 * rng_double(&g) - 1));
}

void lora_init(struct model *m, uint64_t seed) {
    const struct lora *l = m->lora;
    for (int i = l->base_params; i < m->n_params; i += 2) {
        struct param *a = m->params + i, *b = a + 1;
        const int64_t fan = strcmp(l->init, "peft") ? l->opts.rank : a->cols;
        struct init_job j = {a, i, seed, 1 / sqrt((double)fan)};
        pool_for(m->pool, a->rows, init_row, &j);
        memset(b->data, 0, (size_t)param_count(b) * sizeof(float));
    }
}

struct merge_job {
    struct param *w;
    struct mat mat;
};

/* Through the view that the merged forward pass reads, so that both have the same bits. */
static void merge_row(void *ctx, int64_t r, int tid) {
    (void)tid;
    const struct merge_job *j = ctx;
    const size_t item = (size_t)dtype_row(j->w->dtype)->bytes;
    float buf[MAT_LINE];
    for (int64_t c = 0, n; c < j->w->cols; c += n) {
        n = j->w->cols - c < MAT_LINE ? j->w->cols - c : MAT_LINE;
        const float *x = mat_stored(&j->mat, 0, r, c, n, buf);
        dtype_from_f32(j->w->dtype, x, (char *)j->w->data + (size_t)(r * j->w->cols + c) * item,
                       (size_t)n);
    }
}

static void merge_weight(struct model *m, const struct kern *kern, const struct node *n, int i) {
    const struct param *a = m->params + n->lora[i], *b = a + 1;
    model_own(m, n->param[i]);
    struct param *w = m->params + n->param[i];
    const struct variants v = {.n = 1,
                               .cols = w->cols,
                               .rank = (int)a->rows,
                               .kern = kern,
                               .scale = n->lora_scale[i],
                               .lora_a = a->data,
                               .lora_b = b->data,
                               .row_count = w->rows};
    struct merge_job j = {w, param_mat(w, false)};
    j.mat.var = &v;
    pool_for(m->pool, w->rows, merge_row, &j);
}

int lora_merge(struct model *m, const struct kern *kern, struct err *e) {
    assert(m->lora && m->weights.base);
    if (m->storage == DT_Q8_0)
        return err_set(e, ERR_USAGE,
                       "LoRA cannot be merged into q8_0 weights; store them as f32 or bf16");
    for (int k = 0; k < m->graph.n_nodes; k++)
        for (int i = 0; i < NODE_MAX_OUT; i++)
            if (m->graph.nodes[k].lora[i]) merge_weight(m, kern, m->graph.nodes + k, i);
    lora_unload(m);
    return 0;
}

void lora_unload(struct model *m) {
    const struct lora *l = m->lora;
    m->graph.n_params = m->n_params = l->base_params;
    for (int i = 0; i < m->n_params; i++) {
        struct param *p = m->params + i;
        const bool mapped = m->weights.base && p->data != model_slot(m, i);
        const bool rounded = p->dtype == DT_Q8_0 || p->dtype == DT_F16;
        p->trainable = l->trainable[i] && !rounded && !mapped;
    }
    for (int k = 0; k < m->graph.n_nodes; k++) {
        struct node *n = m->graph.nodes + k;
        memset(n->lora, 0, sizeof n->lora);
        memset(n->lora_scale, 0, sizeof n->lora_scale);
        n->lora_merge = false;
    }
    lora_release(m);
}

void lora_release(struct model *m) {
    if (m->lora) free(m->lora->trainable);
    if (m->lora) free(m->lora->origin);
    if (m->lora) json_decref(m->lora->set);
    free(m->lora);
    m->lora = NULL;
}
