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
        return err_set(e, ERR_INPUT, "%s: tensor %s has shape %llu x %llu, expected %lld x %lld",
                       path, p->name, t->ndim == 2 ? (unsigned long long)t->shape[0] : 1ull,
                       (unsigned long long)t->shape[t->ndim - 1], (long long)rows,
                       (long long)p->cols);
    if (t->dtype != DT_F32 && t->dtype != DT_F16 && t->dtype != DT_BF16)
        return err_set(e, ERR_INPUT, "%s: tensor %s has type %s, expected f32, f16 or bf16", path,
                       p->name, dtype_row(t->dtype)->name);
    return 0;
}

/* Every tensor of the file must be one of the model's: nothing is dropped in silence. */
static int check_known(const struct model *m, const struct model_file *mf, struct err *e) {
    for (size_t i = 0; i < mf->n_tensors; i++) {
        const char *name = mf->tensors[i].name;
        bool known = !strcmp(name, VOCAB_MAP);
        for (int k = 0; k < m->n_params && !known; k++) known = !strcmp(m->params[k].name, name);
        if (!known)
            return err_set(e, ERR_INPUT, "%s: tensor %s is not part of the %s model it describes",
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

/* Rows of a full table for a compacted one: trained where the id occurs, else initial, from the
 * file that the model came from or drawn again. The table never exists as a whole. */
struct expansion {
    const struct model *m;
    const struct param *p;
    const struct mf_tensor *init; /* in the file the model came from, or NULL */
};

static const void *expanded_row(void *ctx, uint64_t id, void *buf) {
    const struct expansion *x = ctx;
    const uint64_t cols = (uint64_t)x->p->cols;
    const uint32_t row = x->m->compact_id[id];
    if (row != UINT32_MAX) return (const float *)x->p->data + row * cols;
    if (!x->init) {
        model_init_row(x->m, x->p, id, buf);
    } else {
        const size_t bytes = cols * (size_t)dtype_row(x->init->dtype)->bytes;
        dtype_to_f32(x->init->dtype, (const char *)x->init->data + id * bytes, buf, cols);
    }
    return buf;
}

static int add_param(const struct model *m, struct model_file *mf, const struct model_file *init,
                     const struct param *p, struct expansion *x, struct err *e) {
    char name[sizeof p->name];
    memcpy(name, p->name, sizeof name);
    struct mf_tensor t = {.name = name, .dtype = p->dtype, .ndim = p->ndim, .data = p->data};
    t.shape[0] = (uint64_t)(p->ndim == 2 ? p->rows : p->cols);
    t.shape[1] = (uint64_t)p->cols;
    if (m->full_id && p->role == ROLE_embed) {
        *x = (struct expansion){m, p, init->n_tensors ? model_file_find(init, p->name) : NULL};
        if (init->n_tensors && !x->init)
            return err_set(e, ERR_INPUT, "%s: tensor %s is missing", init->path, p->name);
        int rc = x->init ? check_shape(p, x->init, m->full_vocab, init->path, e) : 0;
        if (rc) return rc;
        t.shape[0] = (uint64_t)m->full_vocab;
        t.data = NULL;
        t.row = expanded_row;
        t.row_ctx = x;
    }
    return model_file_add(mf, &t, e);
}

int model_save(const struct model *m, const char *path, const char *format, const char *meta,
               struct err *e) {
    int rc;
    struct model_file mf = {.tokenizer = m->tok_blob, .tokenizer_bytes = m->tok_bytes}, init = {0};
    struct expansion tables[2] = {0}; /* at most two: embedding and classifier */
    int n_tables = 0;
    mf.config = model_config_dump(&m->config);
    mf.meta = meta ? strdup(meta) : NULL;
    if (!mf.config || (meta && !mf.meta)) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
        goto out;
    }
    if (m->full_id && m->init_path) TRY(model_file_open(&init, m->init_path, false, e));
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        TRY(add_param(m, &mf, &init, p, tables + (p->role == ROLE_embed ? n_tables++ : 0), e));
    }
    if (m->full_id) {
        char name[] = "duet.vocab_map";
        const struct mf_tensor t = {.name = name,
                                    .dtype = DT_U32,
                                    .ndim = 1,
                                    .shape = {(uint64_t)m->config.vocab, 0},
                                    .data = m->full_id};
        TRY(model_file_add(&mf, &t, e));
    }
    TRY(model_file_write(&mf, format, path, e));
out:
    model_file_close(&mf);
    model_file_close(&init);
    return rc;
}
