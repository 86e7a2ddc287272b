/* Models to and from files. */
#include "arch.h"
#include "import.h"
#include "model.h"
#include "model_lora.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define READ_STEP ((size_t)4 << 20)

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
    if (!dtype_is_float(t->dtype))
        return err_set(e, ERR_INPUT, "%s: tensor %s has type %s, which is not one of weights", path,
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

/* The classifier may be the embedding, where nothing says so. */
static int missing(const struct model_file *mf, const struct param *p, struct err *e) {
    const bool head = p->part->kind == PART_HEAD;
    if (!mf->n_tensors && file_ends_with(mf->path, "start.blzt"))
        return err_set(e, ERR_INPUT,
                       "%s holds no weights: it is what a run began from; give the run's folder",
                       mf->path);
    return err_set(e, ERR_INPUT, "%s: tensor %s is missing%s", mf->path, p->name,
                   head ? "; if the classifier is the embedding: --set tie_word_embeddings=true"
                        : "");
}

int model_check_file(const struct model *m, const struct model_file *mf, struct err *e) {
    int rc = check_known(m, mf, e);
    for (int i = 0; i < m->n_params && !rc; i++) {
        const struct param *p = m->params + i;
        const struct mf_tensor *t = model_file_find(mf, p->name);
        if (p->role == ROLE_lora) continue;
        rc = t ? check_shape(p, t, m->full_vocab, mf->path, e)
               : missing(mf, p, e);
    }
    return rc;
}

/* ---- loading -------------------------------------------------------------------------------- */

/* Rows of a matrix from the file, in the storage of the model. */
struct rows {
    const struct model *m;
    const struct param *p;
    const struct mf_tensor *t;
    int64_t first; /* row 0 of the job */
};

static void read_row(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct rows *j = ctx;
    const struct param *p = j->p;
    const int64_t r = j->first + i;
    const bool compact = p->role == ROLE_embed && j->m->full_id;
    const uint64_t from = compact ? j->m->full_id[r] : (uint64_t)r;
    char *dst = (char *)p->data + (size_t)r * dtype_bytes(p->dtype, (size_t)p->cols);
    dtype_convert(j->t->dtype, mf_tensor_row(j->t, from), p->dtype, dst, (size_t)p->cols);
}

/* The file's pages leave memory behind the rows that were read: a load needs the weights and a few
 * MB of the file, not both. */
static void read_param(const struct model *m, const struct model_file *mf, const struct param *p,
                       const struct mf_tensor *t) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
    if (t->ndim == 1) {
        mf_tensor_read(t, p->data);
        return;
    }
    const int64_t fit = (int64_t)(READ_STEP / dtype_bytes(t->dtype, (size_t)p->cols));
    const int64_t step = fit > 0 ? fit : 1;
    struct rows j = {m, p, t, 0};
    for (; j.first < p->rows; j.first += step) {
        pool_for(m->pool, p->rows - j.first < step ? p->rows - j.first : step, read_row, &j);
        model_file_drop(mf, t->data, bytes);
    }
}

/* Rows that are no whole blocks of q8_0 are f16 (model_set_storage), which has a largest number. */
static int check_f16(const struct param *p, const char *path, struct err *e) {
    const uint16_t *x = p->data;
    for (int64_t i = 0; i < param_count(p); i++)
        if ((x[i] & 0x7c00) == 0x7c00)
            return err_set(e, ERR_INPUT,
                           "%s: tensor %s: a weight is not finite, or beyond f16, in which its "
                           "rows of %lld are stored beside q8_0",
                           path, p->name, (long long)p->cols);
    return 0;
}

/* Packing makes NaN of what a type cannot hold: the file's number is at fault, and named. */
static int check_packed(const struct model_file *mf, const struct param *p,
                        const struct mf_tensor *t, struct err *e) {
    if (p->dtype == DT_F16) return check_f16(p, mf->path, e);
    if (p->dtype == DT_F32 || p->dtype == t->dtype) return 0;
    if (dtype_finite(p->dtype, p->data, (size_t)param_count(p))) return 0;
    return mf_tensor_beyond(mf, t, p->dtype, e);
}

/* What stands in the file as it is to be stored, and is not written to, need not be copied.
 * Products read f32 and pairs of bf16 as words of 4 bytes; blocks begin with an f16. */
static bool can_map(const struct model *m, const struct param *p, const struct mf_tensor *t) {
    const size_t align = dtype_row(t->dtype)->block > 1 ? sizeof(uint16_t) : sizeof(uint32_t);
    return !p->trainable && t->dtype == p->dtype && !t->rope_heads && mf_tensor_factor(t) == 1 &&
           !(p->role == ROLE_embed && m->full_id) && (uintptr_t)t->data % align == 0;
}

/* A parameter's data is not const, since most are trained. */
static void *map_data(const struct mf_tensor *t) {
    const union {
        const void *in;
        void *out;
    } data = {t->data};
    return data.out;
}

static int load_params(struct model *m, const struct model_file *mf, bool *mapped, struct err *e) {
    int rc = model_check_file(m, mf, e);
    for (int i = 0; i < m->n_params && !rc; i++) {
        struct param *p = m->params + i;
        if (p->role == ROLE_lora) continue;
        const struct mf_tensor *t = model_file_find(mf, p->name);
        if (can_map(m, p, t)) {
            p->data = map_data(t);
            *mapped = true;
        } else {
            p->data = model_slot(m, i);
            read_param(m, mf, p, t);
            rc = check_packed(mf, p, t, e);
        }
    }
    return rc;
}

static int remember_path(struct model *m, const char *path, struct err *e) {
    free(m->init_path);
    m->init_path = strdup(path);
    return m->init_path ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

/* The maps of a file become the model's. */
static int take_maps(struct model *m, struct model_file *mf, struct err *e) {
    struct file_map *maps = realloc(mf->maps, (mf->n_maps + 1) * sizeof *maps);
    if (!maps) return err_set(e, ERR_NOMEM, "out of memory");
    maps[mf->n_maps] = mf->map;
    m->maps = maps;
    m->n_maps = mf->n_maps + 1;
    mf->maps = NULL;
    mf->n_maps = 0;
    mf->map = (struct file_map){0};
    return 0;
}

int model_load_file(struct model *m, struct model_file *mf, struct err *e) {
    bool mapped = false;
    int rc = load_params(m, mf, &mapped, e);
    if (!rc) rc = remember_path(m, mf->path, e);
    if (!rc && m->lora && !m->lora->base_hash) m->lora->base_hash = model_file_digest(mf);
    if (!rc && m->lora && !m->lora->set)
        rc = model_config_changes(&m->config, mf->config, mf->path, &m->lora->set, e);
    for (int i = 0; i < m->n_params && rc; i++) m->params[i].data = model_slot(m, i);
    model_drop_maps(m);
    return mapped && !rc ? take_maps(m, mf, e) : rc;
}

int model_load(struct model *m, const char *path, struct err *e) {
    int rc;
    struct model_file mf = {0};
    TRY(model_file_open(&mf, path, true, e));
    TRY(model_load_file(m, &mf, e));
out:
    model_file_close(&mf);
    return rc;
}

static int open_as(struct model *m, const char *path, const struct conf_pairs *sets, bool frozen,
                   enum dtype t, struct pool *pool, struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct model_config c = {0};
    *m = (struct model){0};
    TRY(model_import(&mf, path, true, e));
    TRY(model_config_parse(&c, mf.config, strlen(mf.config), path, sets, e));
    TRY(model_create(m, &c, e));
    m->pool = pool;
    if (frozen) model_freeze(m);
    if (t == MODEL_AS_STORED)
        model_keep_storage(m, &mf);
    else
        TRY(model_set_storage(m, t, e));
    TRY(model_reserve(m, e));
    TRY(model_take_tokenizer(m, &mf, e));
    TRY(model_load_file(m, &mf, e));
out:
    model_file_close(&mf);
    if (rc) model_close(m);
    return rc;
}

int model_open(struct model *m, const char *path, const struct conf_pairs *sets, struct err *e) {
    return open_as(m, path, sets, false, DT_F32, NULL, e);
}

int model_open_frozen(struct model *m, const char *path, const struct conf_pairs *sets,
                      enum dtype t, struct pool *pool, struct err *e) {
    return open_as(m, path, sets, true, t, pool, e);
}

/* ---- saving --------------------------------------------------------------------------------- */

/* Rows of a full table for a compacted one: trained where the id occurs, else initial, from the
 * file that the model came from or drawn again. The table never exists as a whole. */
struct expansion {
    const struct model *m;
    const struct param *p;
    const struct mf_tensor *init; /* in the file the model came from, or NULL */
    float *drawn;                 /* a row */
};

static const void *expanded_row(void *ctx, uint64_t id, void *buf) {
    const struct expansion *x = ctx;
    const size_t cols = (size_t)x->p->cols, bytes = dtype_bytes(x->p->dtype, cols);
    const uint32_t row = x->m->compact_id[id];
    if (row != UINT32_MAX) return (const char *)x->p->data + row * bytes;
    if (!x->init) {
        model_init_row(x->m, x->p, id, x->drawn);
        dtype_from_f32(x->p->dtype, x->drawn, buf, cols);
    } else {
        dtype_convert(x->init->dtype, mf_tensor_row(x->init, id), x->p->dtype, buf, cols);
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
        *x = (struct expansion){m, p, init->n_tensors ? model_file_find(init, p->name) : NULL,
                                malloc((size_t)p->cols * sizeof(float))};
        if (!x->drawn) return err_set(e, ERR_NOMEM, "out of memory for a row of %s", p->name);
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

/* What stays open while a model is described as a file. */
struct model_as_file {
    struct model_file init;
    int n_tables;
    struct expansion *tables; /* one per embedding parameter: embedding, classifier, ... */
};

void model_as_file_close(struct model_as_file *x) {
    if (!x) return;
    for (int i = 0; x->tables && i < x->n_tables; i++) free(x->tables[i].drawn);
    free(x->tables);
    model_file_close(&x->init);
    free(x);
}

/* The vocabulary of a GGUF becomes the text of a file here, where one is written. One that cannot
 * be used is no reason to keep the weights from it. */
static int put_tokenizer(const struct model *m, struct model_file *mf, struct err *e) {
    void *blob;
    mf->tokenizer = m->tok_blob;
    mf->tokenizer_bytes = m->tok_bytes;
    if (!m->tok_vocab) return 0;
    const int rc = tokenizer_blob_from_vocab(m->tok_vocab, "the model's tokenizer", &blob,
                                             &mf->tokenizer_bytes, e);
    if (rc) return rc == ERR_INPUT ? 0 : rc;
    mf->tokenizer = mf->tokenizer_owned = blob;
    return 0;
}

int model_as_file(const struct model *m, struct model_file *mf, struct model_as_file **hold,
                  const char *meta, struct err *e) {
    int rc = 0, table = 0;
    struct model_as_file *x = *hold = calloc(1, sizeof *x);
    assert(!m->lora);
    *mf = (struct model_file){.archs = &arch_parts, .pool = m->pool};
    mf->config = model_config_dump(&m->config);
    mf->meta = meta ? strdup(meta) : NULL;
    for (int i = 0; i < m->n_params && x; i++) x->n_tables += m->params[i].role == ROLE_embed;
    if (x) x->tables = calloc((size_t)x->n_tables + 1, sizeof *x->tables);
    if (!x || !x->tables || !mf->config || (meta && !mf->meta)) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a model file");
        goto out;
    }
    TRY(put_tokenizer(m, mf, e));
    if (m->full_id && m->init_path) TRY(model_file_open(&x->init, m->init_path, false, e));
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        TRY(add_param(m, mf, &x->init, p, x->tables + table, e));
        table += p->role == ROLE_embed;
    }
    if (m->full_id) {
        char name[] = "duet.vocab_map";
        const struct mf_tensor t = {.name = name,
                                    .dtype = DT_U32,
                                    .ndim = 1,
                                    .shape = {(uint64_t)m->config.vocab, 0},
                                    .data = m->full_id};
        TRY(model_file_add(mf, &t, e));
    }
out:
    return rc;
}

int model_save(const struct model *m, const char *path, const char *format, const char *meta,
               struct err *e) {
    return model_save_hashed(m, path, format, meta, NULL, e);
}

int model_save_hashed(const struct model *m, const char *path, const char *format,
                      const char *meta, uint64_t *hash, struct err *e) {
    int rc;
    struct model_file mf;
    struct model_as_file *hold;
    TRY(model_as_file(m, &mf, &hold, meta, e));
    mf.hash = hash;
    TRY(model_file_write(&mf, format, path, e));
out:
    model_file_close(&mf);
    model_as_file_close(hold);
    return rc;
}
