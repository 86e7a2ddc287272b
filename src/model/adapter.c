#include "adapter.h"

#include "adapter_set.h"
#include "arch.h"
#include "export_impl.h"
#include "import.h"
#include "json_text.h"
#include "model_name.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };
#define KEY_NAME "duet_adapter"
static const char KEY[] = KEY_NAME;

/* Sizes of the base that are repeated for people. */
static const struct {
    const char *key;
    size_t offset;
} sizes[] = {
    {"hidden_size", offsetof(struct adapter_info, dim)},
    {"intermediate_size", offsetof(struct adapter_info, hidden)},
    {"num_hidden_layers", offsetof(struct adapter_info, layers)},
    {"vocab_size", offsetof(struct adapter_info, vocab)},
};

/* ---- reading -------------------------------------------------------------------------------- */

enum kind { K_HASH, K_INT, K_REAL, K_BOOL, K_WORD };

/* Every key but version and set; each is required, and there are no others. */
static const struct key {
    const char *name;
    enum kind kind;
    size_t offset, size;
} keys[] = {
#define AT(f) offsetof(struct adapter_info, f), sizeof(((struct adapter_info *)0)->f)
    {"base_hash", K_HASH, AT(base_hash)}, {"rank", K_INT, AT(rank)},
    {"alpha", K_REAL, AT(alpha)},         {"rslora", K_BOOL, AT(rslora)},
    {"targets", K_WORD, AT(targets)},     {"init", K_WORD, AT(init)},
    {"norms", K_BOOL, AT(norms)},
#undef AT
};
enum { N_KEYS = sizeof keys / sizeof *keys };

static bool get_word(const json_t *v, char *to, size_t size) {
    if (!json_is_string(v) || json_string_length(v) >= size) return false;
    memcpy(to, json_string_value(v), json_string_length(v) + 1);
    return true;
}

static int read_key(struct adapter_info *a, const struct key *k, const json_t *o, const char *path,
                    struct err *e) {
    static const char *const want[] = {"16 lower-case hex digits", "a whole number above 0",
                                       "a number above 0", "true or false", "a short string"};
    const json_t *v = json_object_get(o, k->name);
    char *at = (char *)a + k->offset;
    bool ok = false;
    if (k->kind == K_HASH && a->foreign && !v) return 0;
    if (k->kind == K_HASH) {
        const char *s = json_string_value(v);
        ok = s && strlen(s) == 16 && strspn(s, "0123456789abcdef") == 16;
        if (ok) *(uint64_t *)(void *)at = strtoull(s, NULL, 16);
    } else if (k->kind == K_INT) {
        ok = json_is_integer(v) && json_integer_value(v) > 0;
        if (ok) *(int64_t *)(void *)at = json_integer_value(v);
    } else if (k->kind == K_REAL) {
        ok = json_is_number(v) && json_number_value(v) > 0;
        if (ok) *(double *)(void *)at = json_number_value(v);
    } else if (k->kind == K_BOOL) {
        ok = json_is_boolean(v);
        *(bool *)at = json_is_true(v);
    } else {
        ok = get_word(v, at, k->size);
    }
    return ok ? 0
              : err_set(e, ERR_INPUT, "%s: %s: \"%s\" is missing or not %s", path, KEY, k->name,
                        want[k->kind]);
}

/* Unknown keys might change what the adapter means. */
static int check_keys(json_t *o, const char *path, struct err *e) {
    const char *name;
    json_t *v;
    json_object_foreach(o, name, v) {
        bool known = !strcmp(name, "version") || !strcmp(name, "set");
        for (int i = 0; i < N_KEYS && !known; i++) known = !strcmp(name, keys[i].name);
        if (!known) return err_set(e, ERR_INPUT, "%s: %s: unknown key \"%.60s\"", path, KEY, name);
    }
    return 0;
}

static int info_from(struct adapter_info *a, const struct model_file *mf, struct err *e) {
    int rc;
    json_error_t je;
    json_t *root = json_loads(mf->config, 0, &je), *o = json_object_get(root, KEY);
    *a = (struct adapter_info){.foreign = !mf->format->native};
    if (!json_is_object(o)) {
        rc = err_set(e, ERR_INPUT, "%s is not an adapter: its config has no object \"%s\"",
                     mf->path, KEY);
        goto out;
    }
    const json_t *version = json_object_get(o, "version");
    if (!json_is_integer(version) || json_integer_value(version) != VERSION) {
        rc = err_set(e, ERR_INPUT, "%s: %s: \"version\" is not %d", mf->path, KEY, VERSION);
        goto out;
    }
    TRY(check_keys(o, mf->path, e));
    for (int i = 0; i < N_KEYS; i++) TRY(read_key(a, keys + i, o, mf->path, e));
    TRY(adapter_set_read(&a->set, json_object_get(o, "set"), mf->path, e));
    get_word(json_object_get(root, "model_type"), a->model_type, sizeof a->model_type);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        *(int64_t *)(void *)((char *)a + sizes[i].offset) =
            json_integer_value(json_object_get(root, sizes[i].key));
    for (size_t i = 0; i < mf->n_tensors; i++)
        a->params += (int64_t)mf_tensor_count(mf->tensors + i);
    if (mf->meta && !(a->meta = strdup(mf->meta))) rc = err_set(e, ERR_NOMEM, "out of memory");
out:
    json_decref(root);
    return rc;
}

int adapter_probe(const struct model_file *mf, bool *adapter, struct err *e) {
    json_error_t je;
    json_t *root = json_loads(mf->config, JSON_REJECT_DUPLICATES, &je);
    *adapter = json_object_get(root, KEY) != NULL;
    const int rc = root ? 0
                        : err_set(e, json_text_code(&je), "%s: config: line %d: %s", mf->path,
                                  je.line, json_text_why(&je));
    json_decref(root);
    return rc;
}

/* An adapter is small: that its numbers are some is known before anything is made of them. */
static int check_finite(const struct model_file *mf, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < mf->n_tensors && !rc; i++) rc = mf_tensor_check(mf, mf->tensors + i, e);
    return rc;
}

int adapter_info_read(struct adapter_info *a, const char *path, struct err *e) {
    struct model_file mf = {0};
    *a = (struct adapter_info){0};
    int rc = model_file_open(&mf, path, false, e);
    if (!rc) rc = info_from(a, &mf, e);
    if (!rc) rc = check_finite(&mf, e);
    if (rc) adapter_info_release(a);
    model_file_close(&mf);
    return rc;
}

void adapter_info_release(struct adapter_info *a) {
    free(a->meta);
    json_decref(a->set);
    *a = (struct adapter_info){0};
}

/* ---- values --------------------------------------------------------------------------------- */

static bool in_adapter(const struct model *m, const struct param *p) {
    return p->role == ROLE_lora || (p->role == ROLE_norm && m->lora->opts.norms);
}

static int check_type(const struct param *p, const struct mf_tensor *t, bool foreign,
                      const char *path, struct err *e) {
    const bool ok =
        foreign ? dtype_is_float(t->dtype) && dtype_row(t->dtype)->block == 1 : t->dtype == DT_F32;
    return ok ? 0
              : err_set(e, ERR_INPUT, "%s: tensor %s has type %s, expected %s", path, p->name,
                        dtype_row(t->dtype)->name, foreign ? "f32, f16 or bf16" : "f32");
}

/* lora_A (rank, I): its rows, lora_B (O, rank): its columns may be fewer than the parameter's. */
static bool is_a(const struct param *p) {
    return strstr(p->name, ".lora_A.") != NULL;
}

static int check_tensor(const struct param *p, const struct mf_tensor *t, bool foreign,
                        const char *path, struct err *e) {
    if (!t) return err_set(e, ERR_INPUT, "%s: tensor %s is missing", path, p->name);
    const int64_t cols = (int64_t)t->shape[t->ndim - 1];
    const int64_t rows = t->ndim == 2 ? (int64_t)t->shape[0] : 1;
    const bool lora = foreign && p->role == ROLE_lora;
    const bool less =
        lora && (is_a(p) ? rows < p->rows && cols == p->cols : cols < p->cols && rows == p->rows);
    if (!less && (t->ndim != p->ndim || cols != p->cols || (t->ndim == 2 && rows != p->rows)))
        return err_set(e, ERR_INPUT, "%s: tensor %s has shape %lld x %lld, expected %lld x %lld",
                       path, p->name, (long long)rows, (long long)cols, (long long)p->rows,
                       (long long)p->cols);
    return check_type(p, t, foreign, path, e);
}

static int wrong_base(const char *path, uint64_t want, const char *base, uint64_t have,
                      struct err *e) {
    return err_set(e, ERR_INPUT,
                   "%s belongs to a base with hash %016" PRIx64 ", but %s has hash %016" PRIx64,
                   path, want, base, have);
}

/* Of two files that hold the same settings the values can be exchanged. */
static int check_same(const struct lora *l, const struct adapter_info *a, const char *path,
                      const char *base, struct err *e) {
    const struct lora_opts *o = &l->opts;
    if (a->base_hash && a->base_hash != l->base_hash)
        return wrong_base(path, a->base_hash, base, l->base_hash, e);
    if (a->rank != o->rank || a->alpha != o->alpha || a->rslora != o->rslora ||
        a->norms != o->norms || strcmp(a->targets, o->targets) != 0)
        return err_set(e, ERR_INPUT,
                       "%s has rank %lld, alpha %g, targets %s%s%s, expected rank %lld, alpha %g, "
                       "targets %s%s%s",
                       path, (long long)a->rank, a->alpha, a->targets, a->rslora ? ", rsLoRA" : "",
                       a->norms ? ", norms" : "", (long long)o->rank, o->alpha, o->targets,
                       o->rslora ? ", rsLoRA" : "", o->norms ? ", norms" : "");
    return 0;
}

/* Every tensor of the file belongs to a parameter. */
static int check_all_known(const struct model *m, const struct model_file *mf, struct err *e) {
    for (size_t i = 0; i < mf->n_tensors; i++) {
        bool known = false;
        for (int k = 0; k < m->n_params && !known; k++)
            known = in_adapter(m, m->params + k) && !strcmp(m->params[k].name, mf->tensors[i].name);
        if (!known)
            return err_set(e, ERR_INPUT, "%s: tensor %s is not part of this adapter", mf->path,
                           mf->tensors[i].name);
    }
    return 0;
}

/* Adapters of others may leave modules out, and give each a rank and a scale of its own: what is
 * not there is 0, on both sides, so that it stays 0 in training too. */
static int check_values(const struct model *m, const struct model_file *mf, struct err *e) {
    const bool foreign = !mf->format->native;
    const struct mf_tensor *a = NULL;
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        if (!in_adapter(m, p)) continue;
        const struct mf_tensor *t = model_file_find(mf, p->name);
        const bool second = p->role == ROLE_lora && !is_a(p);
        /* a norm that is not there is the base's */
        const bool absent = foreign && !t && (p->role != ROLE_lora || !second || !a);
        const int rc = absent ? 0 : check_tensor(p, t, foreign, mf->path, e);
        if (rc) return rc;
        if (p->role != ROLE_lora) continue;
        if (second && t && !a)
            return err_set(e, ERR_INPUT, "%s: tensor %s has no lora_A", mf->path, p->name);
        if (second && t && a->shape[0] != t->shape[1])
            return err_set(e, ERR_INPUT, "%s: tensor %s has rank %llu, its lora_A has %llu",
                           mf->path, p->name, (unsigned long long)t->shape[1],
                           (unsigned long long)a->shape[0]);
        a = second ? NULL : t;
    }
    return check_all_known(m, mf, e);
}

/* Formats that are not duet's own hold plain models: the residual scale is folded into the weights
 * that write into the residual stream (export.h), and so into the lora_B of their adapters. */
static double folded_scale(const struct model *m, const struct param *p, const struct format *f) {
    const bool folded = p->role == ROLE_lora && !is_a(p) && p->part->init == INIT_RESIDUAL;
    return folded && !f->native ? m->config.residual_scale : 1;
}

static int check_foldable(const struct model *m, const struct format *f, const char *path,
                          struct err *e) {
    if (f->native || m->config.residual_scale != 0) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: the base has duet.residual_scale 0, and an adapter of format %s knows no "
                   "such thing",
                   path, f->name);
}

static void load_param(const struct model *m, const struct param *p, const struct mf_tensor *from,
                       double folded) {
    float *dst = p->data;
    if (p->role != ROLE_lora) {
        if (from) mf_tensor_read(from, dst);
        return;
    }
    memset(dst, 0, (size_t)param_count(p) * sizeof *dst);
    if (!from) return;
    struct mf_tensor t = *from;
    const double factor = mf_tensor_factor(&t) / folded;
    if (t.rope_heads < 0)
        t.rope_heads = (int)(t.rope_heads == MF_ROPE_Q ? m->config.heads : m->config.kv_heads);
    for (uint64_t r = 0; r < t.shape[0]; r++) {
        float *row = dst + (int64_t)r * p->cols;
        dtype_to_f32(t.dtype, mf_tensor_row(&t, r), row, (size_t)t.shape[1]);
        for (uint64_t i = 0; i < t.shape[1] && factor != 1; i++)
            row[i] = (float)((double)row[i] * factor);
    }
}

static int load_values(struct model *m, const struct model_file *mf, struct err *e) {
    int rc = check_foldable(m, mf->format, mf->path, e);
    if (!rc) rc = check_values(m, mf, e);
    for (int i = 0; i < m->n_params && !rc; i++) {
        struct param *p = m->params + i;
        if (!in_adapter(m, p)) continue;
        /* A norm that is not trained may have stood in the base's map. */
        p->data = model_slot(m, i);
        load_param(m, p, model_file_find(mf, p->name), folded_scale(m, p, mf->format));
    }
    return rc;
}

int adapter_load_values(struct model *m, const char *path, struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct adapter_info a = {0};
    assert(m->lora && m->weights.base);
    TRY(model_file_open(&mf, path, true, e));
    TRY(info_from(&a, &mf, e));
    TRY(check_same(m->lora, &a, path, m->init_path ? m->init_path : "the base", e));
    TRY(adapter_set_check(a.set, m->lora->set, path, e));
    TRY(load_values(m, &mf, e));
out:
    adapter_info_release(&a);
    model_file_close(&mf);
    return rc;
}

/* What is wrong with the settings is wrong with the file here. */
static int attach(struct model *m, const struct adapter_info *a, bool merge, const char *path,
                  struct err *e) {
    const struct lora_opts o = {.rank = a->rank,
                                .alpha = a->alpha,
                                .rslora = a->rslora,
                                .norms = a->norms,
                                .merge = merge,
                                .targets = a->targets,
                                .init = a->init};
    if (!lora_attach(m, &o, e)) return 0;
    if (e->code == ERR_USAGE) e->code = ERR_INPUT;
    return err_prefix(e, "%s", path);
}

/* What the adapter's file says beside LoRA, so that it is there when it is written again. */
static int keep_origin(struct model *m, const char *path, struct err *e) {
    static const char *const ours[] = {KEY_NAME,
                                       "model_type",
                                       "hidden_size",
                                       "intermediate_size",
                                       "num_hidden_layers",
                                       "vocab_size",
                                       "num_attention_heads",
                                       "num_key_value_heads",
                                       "head_dim"};
    struct model_file mf;
    json_error_t je;
    int rc = model_file_open(&mf, path, false, e);
    if (rc) return rc;
    json_t *root = json_loads(mf.config, 0, &je);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) json_object_del(root, ours[i]);
    if (json_object_size(root)) m->lora->origin = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    model_file_close(&mf);
    return 0;
}

int adapter_open(struct model *m, const char *base_path, const char *adapter_path,
                 const struct adapter_use *u, struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct model_config c = {0};
    struct adapter_info a = {0};
    struct conf_pairs sets = {0};
    *m = (struct model){0};
    TRY(adapter_info_read(&a, adapter_path, e));
    TRY(adapter_set_join(&sets, u->sets, a.set, adapter_path, e));
    TRY(model_import(&mf, base_path, true, e));
    TRY(model_config_parse(&c, mf.config, strlen(mf.config), base_path, &sets, e));
    const uint64_t hash = model_file_digest(&mf);
    if (a.norms && u->scale != 1) {
        rc = err_set(e, ERR_USAGE,
                     "%s holds tuned norms, which have no scale: it can only be used as it was "
                     "trained",
                     adapter_path);
        goto out;
    }
    if (a.base_hash && hash != a.base_hash) {
        rc = wrong_base(adapter_path, a.base_hash, base_path, hash, e);
        goto out;
    }
    TRY(model_create(m, &c, e));
    m->pool = u->pool;
    TRY(attach(m, &a, u->merge, adapter_path, e));
    m->lora->base_hash = hash;
    m->lora->set_by_file = sets.n > (u->sets ? u->sets->n : 0);
    TRY(keep_origin(m, adapter_path, e));
    if (u->weights == MODEL_AS_STORED)
        model_keep_storage(m, &mf);
    else
        TRY(model_set_storage(m, u->weights, e));
    TRY(model_reserve(m, e));
    TRY(model_take_tokenizer(m, &mf, e));
    TRY(model_load_file(m, &mf, e));
    TRY(adapter_load_values(m, adapter_path, e));
    lora_set_scale(m, u->scale);
out:
    adapter_set_release(&sets);
    model_config_release(&c);
    adapter_info_release(&a);
    model_file_close(&mf);
    if (rc) model_close(m);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* *text: the config of an adapter of m, malloc()ed. */
static int make_config(const struct model *m, const struct format *f, char **text, struct err *e) {
    const struct lora *l = m->lora;
    char hash[17];
    json_error_t je;
    snprintf(hash, sizeof hash, "%016" PRIx64, l->base_hash);
    const struct model_config *c = &m->config;
    json_t *root = json_pack(
        "{s:{s:i,s:s,s:I,s:f,s:b,s:s,s:s,s:b},s:s,s:I,s:I,s:I,s:I}", KEY, "version", VERSION,
        "base_hash", hash, "rank", (json_int_t)l->opts.rank, "alpha", l->opts.alpha, "rslora",
        (int)l->opts.rslora, "targets", l->targets, "init", l->init, "norms", (int)l->opts.norms,
        "model_type", export_arch(c, f), "hidden_size", (json_int_t)c->dim, "intermediate_size",
        (json_int_t)c->hidden, "num_hidden_layers", (json_int_t)c->layers, "vocab_size",
        (json_int_t)m->full_vocab);
    if (root && l->set && json_object_set(json_object_get(root, KEY), "set", l->set)) {
        json_decref(root);
        root = NULL;
    }
    if (root) {
        json_object_set_new(root, "num_attention_heads", json_integer((json_int_t)c->heads));
        json_object_set_new(root, "num_key_value_heads", json_integer((json_int_t)c->kv_heads));
        json_object_set_new(root, "head_dim", json_integer((json_int_t)c->head_dim));
        json_t *origin = l->origin ? json_loads(l->origin, 0, &je) : NULL;
        if (origin) json_object_update_missing(root, origin);
        json_decref(origin);
    }
    *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return *text ? 0 : err_set(e, ERR_NOMEM, "out of memory for an adapter");
}

/* The name, for formats that want one, is its base's; a folder gets a card unless it has one. */
static int name_adapter(const struct model *m, const struct format *f, const char *path,
                        struct model_file *mf, struct err *e) {
    int rc = 0;
    char *base = model_name(m->init_path), *card = file_join(path, EXPORT_CARD);
    if (!base || !card || asprintf(&mf->name, "%s-lora", base) < 0) {
        mf->name = NULL;
        rc = err_set(e, ERR_NOMEM, "out of memory for an adapter");
        goto out;
    }
    if (!f->probe && !file_exists(card)) TRY(export_adapter_card(mf, m, base, e));
out:
    free(base);
    free(card);
    return rc;
}

int adapter_save(const struct model *m, const char *path, const char *format, const char *meta,
                 struct err *e) {
    return adapter_save_checked(m, path, format, meta, NULL, NULL, e);
}

int adapter_save_checked(const struct model *m, const char *path, const char *format,
                         const char *meta, const struct mf_check *check, uint64_t *hash,
                         struct err *e) {
    int rc;
    struct model_file mf = {
        .archs = &arch_parts, .check = check, .hash = hash, .pool = m->pool};
    const struct format *f = format_find(format);
    assert(f && m->lora && m->lora->base_hash && m->init_path);
    if (file_same(path, m->init_path))
        return err_set(e, ERR_USAGE, "%s is the base of the adapter; write to another name", path);
    TRY(check_foldable(m, f, path, e));
    if (!f->native && m->lora->set_by_file) {
        rc = adapter_set_refuse(m->lora->set, path, f->name, e);
        goto out;
    }
    if (meta && !(mf.meta = strdup(meta))) {
        rc = err_set(e, ERR_NOMEM, "out of memory for an adapter");
        goto out;
    }
    TRY(make_config(m, f, &mf.config, e));
    TRY(name_adapter(m, f, path, &mf, e));
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        if (!in_adapter(m, p)) continue;
        char name[sizeof p->name];
        memcpy(name, p->name, sizeof name);
        const struct mf_tensor t = {
            .name = name,
            .dtype = p->dtype,
            .ndim = p->ndim,
            .shape = {(uint64_t)(p->ndim == 2 ? p->rows : p->cols), (uint64_t)p->cols},
            .data = p->data,
            .factor = folded_scale(m, p, f)};
        TRY(model_file_add(&mf, &t, e));
    }
    TRY(model_file_write(&mf, format, path, e));
out:
    model_file_close(&mf);
    return rc;
}
