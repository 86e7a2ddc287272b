#include "model.h"

#include "arch.h"
#include "import.h"
#include "model_lora.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Graph and parameter table; how many parameters there are is known when it is done. */
static int build(struct model *m, struct err *e) {
    const struct arch *arch = arch_find(m->config.arch);
    graph_release(&m->graph);
    struct builder b = {.config = &m->config,
                        .parts = arch->parts.part,
                        .sizes = arch_sizes(&m->config),
                        .graph = &m->graph};
    arch->build(&b);
    free(m->params);
    m->graph.params = m->params = b.params;
    m->graph.n_params = m->n_params = b.n;
    return m->graph.failed ? err_set(e, ERR_NOMEM, "out of memory for the graph") : 0;
}

int model_create(struct model *m, struct model_config *config, struct err *e) {
    *m = (struct model){.config = *config, .full_vocab = config->vocab};
    *config = (struct model_config){0};
    const int rc = build(m, e);
    if (rc) model_close(m);
    return rc;
}

static size_t param_bytes(const struct param *p) {
    return dtype_bytes(p->dtype, (size_t)param_count(p));
}

size_t model_weight_bytes(const struct model *m) {
    size_t sum = 0;
    for (int i = 0; i < m->n_params; i++) sum += arena_round(param_bytes(m->params + i));
    return sum;
}

static bool is_stored(const struct param *p) {
    return p->role == ROLE_matrix || p->role == ROLE_embed;
}

/* Rows that are not whole blocks become f16, as in a file that is converted. */
static enum dtype storage_of(const struct param *p, enum dtype t) {
    return p->cols % dtype_row(t)->block ? DT_F16 : t;
}

int model_set_storage(struct model *m, enum dtype t, struct err *e) {
    assert(!m->weights.base && (t == DT_F32 || t == DT_BF16 || t == DT_Q8_0));
    for (int i = 0; i < m->n_params; i++)
        if (is_stored(m->params + i) && t == DT_Q8_0 && m->params[i].trainable)
            return err_set(e, ERR_USAGE,
                           "q8_0 weights cannot be trained: train --lora beside them");
    for (int i = 0; i < m->n_params; i++)
        if (is_stored(m->params + i)) m->params[i].dtype = storage_of(m->params + i, t);
    m->storage = t;
    return 0;
}

void model_keep_storage(struct model *m, const struct model_file *mf) {
    m->storage = DT_F32;
    for (int i = 0; i < m->n_params; i++) {
        struct param *p = m->params + i;
        const struct mf_tensor *t = is_stored(p) ? model_file_find(mf, p->name) : NULL;
        if (!t) continue; /* loading says so */
        const bool keep = t->dtype == DT_BF16 ||
                          (t->dtype == DT_Q8_0 && !p->trainable &&
                           p->cols % dtype_row(DT_Q8_0)->block == 0);
        p->dtype = keep ? t->dtype : DT_F32;
        if (p->dtype == DT_Q8_0) m->storage = DT_Q8_0;
    }
}

void model_freeze(struct model *m) {
    for (int i = 0; i < m->n_params; i++) m->params[i].trainable = false;
}

void *model_slot(const struct model *m, int i) {
    size_t at = 0;
    assert(m->weights.base);
    for (int k = 0; k < i; k++) at += arena_round(param_bytes(m->params + k));
    return m->weights.base + at;
}

void model_own(struct model *m, int i) {
    struct param *p = m->params + i;
    void *slot = model_slot(m, i);
    if (p->data != slot) memcpy(slot, p->data, param_bytes(p));
    p->data = slot;
}

int model_reserve(struct model *m, struct err *e) {
    int rc = arena_init(&m->weights, model_weight_bytes(m), "weights", e);
    if (rc) return rc;
    for (int i = 0; i < m->n_params; i++) {
        struct param *p = m->params + i;
        p->data = arena_alloc(&m->weights, param_bytes(p), 1);
    }
    return 0;
}

int64_t model_param_count(const struct model *m) {
    int64_t sum = 0;
    for (int i = 0; i < m->n_params; i++) sum += param_count(m->params + i);
    return sum;
}

int64_t model_trained_count(const struct model *m) {
    int64_t sum = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable) sum += param_count(m->params + i);
    return sum;
}

int model_compact(struct model *m, const uint32_t *ids, int64_t n, struct err *e) {
    assert(!m->weights.base && !m->full_id && !m->lora && m->storage == DT_F32);
    m->full_id = malloc((size_t)n * sizeof *m->full_id);
    m->compact_id = malloc((size_t)m->full_vocab * sizeof *m->compact_id);
    if (!m->full_id || !m->compact_id)
        return err_set(e, ERR_NOMEM, "out of memory for the vocabulary map");
    memset(m->compact_id, 0xff, (size_t)m->full_vocab * sizeof *m->compact_id);
    for (int64_t i = 0; i < n; i++) {
        m->full_id[i] = ids[i];
        m->compact_id[ids[i]] = (uint32_t)i;
    }
    m->config.vocab = n;
    return build(m, e);
}

int model_map_ids(const struct model *m, uint32_t *ids, int64_t n, struct err *e) {
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= m->full_vocab)
            return err_set(e, ERR_INPUT, "token id %u is outside the model's vocabulary of %lld",
                           ids[i], (long long)m->full_vocab);
        if (!m->compact_id) continue;
        if (m->compact_id[ids[i]] == UINT32_MAX)
            return err_set(e, ERR_INPUT, "token id %u is not in the compacted vocabulary", ids[i]);
        ids[i] = m->compact_id[ids[i]];
    }
    return 0;
}

static void drop_own(struct model *m) {
    free(m->tok_blob);
    if (m->tok_vocab) vocab_release(m->tok_vocab);
    free(m->tok_vocab);
    m->tok_blob = NULL;
    m->tok_bytes = 0;
    m->tok_vocab = NULL;
}

int model_set_tokenizer(struct model *m, const void *blob, size_t bytes, struct err *e) {
    char *copy = malloc(bytes + 1);
    if (!copy) return err_set(e, ERR_NOMEM, "out of memory for the tokenizer");
    memcpy(copy, blob, bytes);
    copy[bytes] = 0;
    drop_own(m);
    m->tok_blob = copy;
    m->tok_bytes = bytes;
    return 0;
}

int model_keep_tokenizer(struct model *m, const struct tokenizer *t, struct err *e) {
    size_t bytes;
    const void *blob = tokenizer_blob(t, &bytes);
    return blob ? model_set_tokenizer(m, blob, bytes, e)
                : err_set(e, ERR_NOMEM, "out of memory for the tokenizer");
}

static int set_vocab(struct model *m, const struct vocab *v, struct err *e) {
    struct vocab *copy = malloc(sizeof *copy);
    const int rc = copy ? vocab_copy(copy, v, e)
                        : err_set(e, ERR_NOMEM, "out of memory for the tokenizer");
    if (rc) {
        free(copy);
        return rc;
    }
    drop_own(m);
    m->tok_vocab = copy;
    return 0;
}

static int set_own(struct model *m, const struct model_file *mf, struct err *e) {
    if (mf->tokenizer) return model_set_tokenizer(m, mf->tokenizer, mf->tokenizer_bytes, e);
    return mf->vocab ? set_vocab(m, mf->vocab, e) : 0;
}

int model_take_tokenizer(struct model *m, struct model_file *mf, struct err *e) {
    free(m->tok_problem);
    m->tok_problem = mf->tokenizer_problem;
    mf->tokenizer_problem = NULL;
    free(m->notes);
    m->notes = mf->notes;
    mf->notes = NULL;
    return set_own(m, mf, e);
}

int model_copy_tokenizer(struct model *m, const struct model_file *mf, struct err *e) {
    free(m->tok_problem);
    m->tok_problem = mf->tokenizer_problem ? strdup(mf->tokenizer_problem) : NULL;
    if (mf->tokenizer_problem && !m->tok_problem)
        return err_set(e, ERR_NOMEM, "out of memory for the tokenizer");
    return set_own(m, mf, e);
}

void model_forget_tokenizer(struct model *m) {
    drop_own(m);
    free(m->tok_problem);
    free(m->notes);
    m->tok_problem = m->notes = NULL;
}

struct tok_own model_tok_own(const struct model *m) {
    return (struct tok_own){m->tok_blob, m->tok_bytes, m->tok_vocab, m->tok_problem};
}

/* For messages: what is wrong with a vocabulary is wrong with the file of the weights. */
static const char *own_name(const struct model *m) {
    return m->tok_vocab && m->init_path ? m->init_path : "the model's tokenizer";
}

int model_tokenizer(const struct model *m, struct tokenizer **t, struct err *e) {
    const struct tok_own own = model_tok_own(m);
    const int rc = tokenizer_open_own(t, &own, own_name(m), e);
    if (rc || *t) return rc;
    return err_set(e, ERR_INPUT, "%s",
                   m->tok_problem ? m->tok_problem
                                  : "the model file holds no tokenizer, and no other was given");
}

int model_try_tokenizer(struct model *m, struct tokenizer **t, struct err *e) {
    const struct tok_own own = model_tok_own(m);
    const int rc = tokenizer_open_own(t, &own, own_name(m), e);
    if (rc != ERR_INPUT || !m->tok_vocab) return rc;
    free(m->tok_problem);
    m->tok_problem = strdup(e->msg);
    return m->tok_problem ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

int model_check_tokenizer(const struct model *m, const struct tokenizer *t, const char *path,
                          struct err *e) {
    const struct tok_own own = model_tok_own(m);
    return tokenizer_check(t, m->config.vocab, &own, path, e);
}

int model_pick_tokenizer(const struct model *m, const char *spec, const char *path,
                         struct tokenizer **t, struct err *e) {
    const int rc = spec ? model_open_tokenizer(t, spec, e) : model_tokenizer(m, t, e);
    return rc ? rc : model_check_tokenizer(m, *t, path, e);
}

void model_drop_maps(struct model *m) {
    for (size_t i = 0; i < m->n_maps; i++) file_map_close(m->maps + i);
    free(m->maps);
    m->maps = NULL;
    m->n_maps = 0;
}

void model_close(struct model *m) {
    model_config_release(&m->config);
    graph_release(&m->graph);
    arena_release(&m->weights);
    model_drop_maps(m);
    lora_release(m);
    free(m->params);
    model_forget_tokenizer(m);
    free(m->full_id);
    free(m->compact_id);
    free(m->init_path);
    *m = (struct model){0};
}
