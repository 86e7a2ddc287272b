/* Models to and from files. */
#include "model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char VOCAB_MAP[] = "duet.vocab_map";

static int check_shape(const struct param *p, const struct mf_tensor *t, int64_t full_vocab,
                       const char *path, struct err *e) {
    const int64_t rows = p->role == ROLE_embed ? full_vocab : p->rows;
    if (t->ndim != p->ndim || (int64_t)t->shape[t->ndim - 1] != p->cols ||
        (t->ndim == 2 && (int64_t)t->shape[0] != rows))
        return err_set(e, ERR_INPUT, "%s: tensor %s has shape %llu x %llu, expected %lld x %lld", path, p->name,
                       t->ndim == 2 ? (unsigned long long)t->shape[0] : 1ull,
                       (unsigned long long)t->shape[t->ndim - 1], (long long)rows, (long long)p->cols);
    if (t->dtype != DT_F32 && t->dtype != DT_F16 && t->dtype != DT_BF16)
        return err_set(e, ERR_INPUT, "%s: tensor %s has type %s, expected f32, f16 or bf16", path, p->name,
                       dtype_row(t->dtype)->name);
    return 0;
}

/* Every tensor of the file must be one of the model's: nothing is dropped in silence. */
static int check_known(const struct model *m, const struct model_file *mf, struct err *e) {
    for (size_t i = 0; i < mf->n_tensors; i++) {
        const char *name = mf->tensors[i].name;
        bool known = !strcmp(name, VOCAB_MAP);
        for (int k = 0; k < m->n_params && !known; k++) known = !strcmp(m->params[k].name, name);
        if (!known) return err_set(e, ERR_INPUT, "%s: tensor %s is not part of the %s model it describes",
                                   mf->path, name, m->config.arch);
    }
    return 0;
}

static void read_param(const struct model *m, const struct param *p, const struct mf_tensor *t) {
    if (p->role != ROLE_embed || !m->full_id) {
        mf_tensor_read(t, p->data);
        return;
    }
    const size_t row_bytes = (size_t)p->cols * (size_t)dtype_row(t->dtype)->bytes;
    assert(!t->rope_heads);
    for (int64_t i = 0; i < p->rows; i++)
        dtype_to_f32(t->dtype, (const char *)t->data + m->full_id[i] * row_bytes,
                     (float *)p->data + i * p->cols, (size_t)p->cols);
}

static int load(struct model *m, const struct model_file *mf, struct err *e) {
    int rc = check_known(m, mf, e);
    for (int i = 0; i < m->n_params && !rc; i++) {
        struct param *p = m->params + i;
        const struct mf_tensor *t = model_file_find(mf, p->name);
        if (!t) return err_set(e, ERR_INPUT, "%s: tensor %s is missing", mf->path, p->name);
        rc = check_shape(p, t, m->full_vocab, mf->path, e);
        if (!rc) read_param(m, p, t);
    }
    return rc;
}

static int remember_path(struct model *m, const char *path, struct err *e) {
    free(m->init_path);
    m->init_path = strdup(path);
    return m->init_path ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

int model_load(struct model *m, const char *path, struct err *e) {
    int rc;
    struct model_file mf = {0};
    TRY(model_file_open(&mf, path, true, e));
    TRY(load(m, &mf, e));
    TRY(remember_path(m, path, e));
out:
    model_file_close(&mf);
    return rc;
}

int model_open(struct model *m, const char *path, const struct conf_pairs *sets, struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct model_config c = {0};
    *m = (struct model){0};
    TRY(model_file_open(&mf, path, true, e));
    TRY(model_config_parse(&c, mf.config, strlen(mf.config), path, sets, e));
    TRY(model_create(m, &c, e));
    TRY(model_reserve(m, e));
    TRY(load(m, &mf, e));
    if (mf.tokenizer) TRY(model_set_tokenizer(m, mf.tokenizer, mf.tokenizer_bytes, e));
    TRY(remember_path(m, path, e));
out:
    model_file_close(&mf);
    if (rc) model_close(m);
    return rc;
}

/* ---- saving --------------------------------------------------------------------------------- */

/* The initial rows of the whole vocabulary. */
static int initial_table(const struct model *m, const struct param *p, float *table, struct err *e) {
    struct model_file mf = {0};
    if (!m->init_path) {
        model_init_full(m, p, table);
        return 0;
    }
    int rc = model_file_open(&mf, m->init_path, false, e);
    if (rc) return rc;
    const struct mf_tensor *t = model_file_find(&mf, p->name);
    if (!t) rc = err_set(e, ERR_INPUT, "%s: tensor %s is missing", m->init_path, p->name);
    if (!rc) rc = check_shape(p, t, m->full_vocab, m->init_path, e);
    if (!rc) mf_tensor_read(t, table);
    model_file_close(&mf);
    return rc;
}

/* The full table of a compacted one: initial rows, then the trained ones over them. */
static int expand(const struct model *m, const struct param *p, float **table, struct err *e) {
    *table = malloc((size_t)(m->full_vocab * p->cols) * sizeof **table);
    if (!*table) return err_set(e, ERR_NOMEM, "out of memory for the full vocabulary");
    const int rc = initial_table(m, p, *table, e);
    for (int64_t i = 0; i < p->rows && !rc; i++)
        memcpy(*table + (int64_t)m->full_id[i] * p->cols, (const float *)p->data + i * p->cols,
               (size_t)p->cols * sizeof **table);
    return rc;
}

static int add_param(const struct model *m, struct model_file *mf, const struct param *p, float **owned,
                     struct err *e) {
    int rc = 0;
    char name[sizeof p->name];
    memcpy(name, p->name, sizeof name);
    struct mf_tensor t = {.name = name, .dtype = p->dtype, .ndim = p->ndim, .data = p->data};
    t.shape[0] = (uint64_t)(p->ndim == 2 ? p->rows : p->cols);
    t.shape[1] = (uint64_t)p->cols;
    if (m->full_id && p->role == ROLE_embed) {
        rc = expand(m, p, owned, e);
        t.shape[0] = (uint64_t)m->full_vocab;
        t.data = *owned;
    }
    return rc ? rc : model_file_add(mf, &t, e);
}

int model_save(const struct model *m, const char *path, const char *format, const char *meta,
               struct err *e) {
    int rc;
    struct model_file mf = {.tokenizer = m->tok_blob, .tokenizer_bytes = m->tok_bytes};
    float *owned[2] = {NULL, NULL}; /* at most two tables: embedding and classifier */
    int n_owned = 0;
    mf.config = model_config_dump(&m->config);
    mf.meta = meta ? strdup(meta) : NULL;
    if (!mf.config || (meta && !mf.meta)) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
        goto out;
    }
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        TRY(add_param(m, &mf, p, owned + (p->role == ROLE_embed ? n_owned++ : 0), e));
    }
    if (m->full_id) {
        char name[] = "duet.vocab_map";
        const struct mf_tensor t = {.name = name, .dtype = DT_U32, .ndim = 1,
                                    .shape = {(uint64_t)m->config.vocab, 0}, .data = m->full_id};
        TRY(model_file_add(&mf, &t, e));
    }
    TRY(model_file_write(&mf, format, path, e));
out:
    model_file_close(&mf);
    free(owned[0]);
    free(owned[1]);
    return rc;
}
