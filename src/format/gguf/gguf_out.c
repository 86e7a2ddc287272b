/* A GGUF file in the making: header, pairs and infos in memory, then the tensors as a stream. */
#include "gguf.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct gguf_out_tensor {
    char name[GGUF_NAME];
    struct mf_tensor t, from; /* t.from is set when it is written */
    bool has_from;
    int heads;
};

int gguf_out_init(struct gguf_out *o, size_t tensors, struct err *e) {
    *o = (struct gguf_out){.keys = json_object(),
                           .tensors = calloc(tensors + 1, sizeof *o->tensors)};
    if (!o->keys || !o->tensors) return err_set(e, ERR_NOMEM, "no memory for a GGUF file");
    const struct {
        char magic[4];
        uint32_t version;
        uint64_t tensors, pairs; /* known last */
    } h = {{'G', 'G', 'U', 'F'}, 3, 0, 0};
    gguf_put_bytes(o, &h, sizeof h);
    return 0;
}

void gguf_out_release(struct gguf_out *o) {
    free(o->p);
    free(o->tensors);
    json_decref(o->keys);
    *o = (struct gguf_out){0};
}

void gguf_put_bytes(struct gguf_out *o, const void *p, size_t n) {
    if (o->cap - o->n < n) {
        size_t cap = o->cap ? o->cap : 4096;
        while (cap - o->n < n && cap <= SIZE_MAX / 2) cap *= 2;
        uint8_t *grown = o->nomem || cap - o->n < n ? NULL : realloc(o->p, cap);
        if (!grown) {
            o->nomem = true;
            return;
        }
        o->p = grown;
        o->cap = cap;
    }
    if (n) memcpy(o->p + o->n, p, n);
    o->n += n;
}

void gguf_put_text(struct gguf_out *o, const char *s, size_t n) {
    const uint64_t length = n;
    gguf_put_bytes(o, &length, sizeof length);
    gguf_put_bytes(o, s, n);
}

void gguf_put_key(struct gguf_out *o, const char *key, enum gguf_type t) {
    const uint32_t id = t;
    o->twice |= json_object_get(o->keys, key) != NULL;
    if (json_object_set_new(o->keys, key, json_true())) o->nomem = true;
    gguf_put_text(o, key, strlen(key));
    gguf_put_bytes(o, &id, sizeof id);
    o->n_kv++;
}

void gguf_put_array(struct gguf_out *o, const char *key, enum gguf_type item, uint64_t n) {
    const uint32_t id = item;
    gguf_put_key(o, key, GGUF_ARRAY);
    gguf_put_bytes(o, &id, sizeof id);
    gguf_put_bytes(o, &n, sizeof n);
}

void gguf_put_u32(struct gguf_out *o, const char *key, uint32_t v) {
    gguf_put_key(o, key, GGUF_U32);
    gguf_put_bytes(o, &v, sizeof v);
}

void gguf_put_f32(struct gguf_out *o, const char *key, float v) {
    gguf_put_key(o, key, GGUF_F32);
    gguf_put_bytes(o, &v, sizeof v);
}

void gguf_put_bool(struct gguf_out *o, const char *key, bool v) {
    const uint8_t truth = v;
    gguf_put_key(o, key, GGUF_BOOL);
    gguf_put_bytes(o, &truth, 1);
}

void gguf_put_string(struct gguf_out *o, const char *key, const char *s) {
    gguf_put_key(o, key, GGUF_STRING);
    gguf_put_text(o, s, strlen(s));
}

void gguf_put_general(struct gguf_out *o, const struct model_file *mf, const json_t *config,
                      const char *arch, const char *type) {
    const json_t *kept = json_object_get(json_object_get(config, "duet"), "gguf");
    const char *name = json_string_value(json_array_get(json_object_get(kept, "general.name"), 1));
    if (!name || !*name) name = json_string_value(json_object_get(config, "_name_or_path"));
    if (!name || !*name) name = mf->name;
    gguf_put_string(o, "general.architecture", arch);
    gguf_put_string(o, "general.type", type);
    gguf_put_string(o, "general.name", name && *name ? name : "duet");
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* A product of factors that should be 1 is 1. */
static double clean_factor(double f) {
    return fabs(f - 1) < 1e-12 ? 1 : f;
}

/* Rows of an adapter whose heads its file did not know stand as they will be written. */
static void set_heads(struct mf_tensor *t, int heads) {
    if (t->rope_heads < 0) t->rope_heads = heads;
}

int gguf_out_tensor(struct gguf_out *o, const char *name, const struct mf_tensor *t, int heads,
                    double factor, struct err *e) {
    struct gguf_out_tensor *x = o->tensors + o->n_tensors;
    const struct mf_tensor *src = t->from ? t->from : t;
    assert(strlen(name) < sizeof x->name);
    if (gguf_ggml_type(t->dtype) < 0)
        return err_set(e, ERR_INPUT, "tensor %s is %s, a type that GGUF does not have", t->name,
                       dtype_row(t->dtype)->name);
    if (t->ndim == 1 && t->dtype != DT_F32)
        return err_set(e, ERR_INPUT,
                       "tensor %s has one dimension and is %s; readers of GGUF "
                       "expect f32",
                       t->name, dtype_row(t->dtype)->name);
    if ((t->row && (heads || factor != 1)) ||
        (src->rope_heads > 0 && src->rope_heads != heads && heads != 0))
        return err_set(e, ERR_INPUT, "tensor %s has rows that cannot be cut into %d heads", t->name,
                       heads);
    if (heads > 0 && t->shape[0] % (2 * (uint64_t)heads))
        return err_set(e, ERR_INPUT,
                       "tensor %s: %llu rows cannot be cut into %d heads of even "
                       "size",
                       t->name, (unsigned long long)t->shape[0], heads);
    *x = (struct gguf_out_tensor){.t = *t, .has_from = t->from, .heads = heads};
    snprintf(x->name, sizeof x->name, "%s", name);
    if (t->from) x->from = *t->from;
    if (!t->row)
        mf_tensor_set_factor(&x->t, clean_factor(factor * mf_tensor_factor(t) *
                                                 (t->from ? mf_tensor_factor(t->from) : 1)));
    mf_tensor_set_factor(&x->from, 1);
    set_heads(t->from ? &x->from : &x->t, heads);
    o->n_tensors++;
    return 0;
}

static uint64_t padded(uint64_t n) {
    return (n + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN;
}

static void put_infos(struct gguf_out *o) {
    uint64_t offset = 0;
    for (size_t i = 0; i < o->n_tensors; i++) {
        const struct gguf_out_tensor *x = o->tensors + i;
        const uint32_t n_dims = (uint32_t)x->t.ndim, type = (uint32_t)gguf_ggml_type(x->t.dtype);
        gguf_put_text(o, x->name, strlen(x->name));
        gguf_put_bytes(o, &n_dims, sizeof n_dims);
        for (int k = x->t.ndim; k-- > 0;) gguf_put_bytes(o, &x->t.shape[k], sizeof x->t.shape[k]);
        gguf_put_bytes(o, &type, sizeof type);
        gguf_put_bytes(o, &offset, sizeof offset);
        offset += padded(dtype_bytes(x->t.dtype, (size_t)mf_tensor_count(&x->t)));
    }
}

int gguf_out_refuse(const struct gguf_out *o, const struct model_file *mf, int rc, struct err *e) {
    if (rc != ERR_INPUT || o->described) return rc;
    return err_prefix(e, "%s: cannot be written as GGUF", mf->path ? mf->path : "model");
}

int gguf_out_write(struct gguf_out *o, const struct model_file *mf, const char *path,
                   struct err *e) {
    struct file_out f = {0};
    const uint64_t n_tensors = o->n_tensors;
    int rc;
    assert(!o->twice);
    o->described = true;
    put_infos(o);
    if (o->nomem) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory for its header", path);
        goto out;
    }
    memcpy(o->p + 8, &n_tensors, sizeof n_tensors);
    memcpy(o->p + 16, &o->n_kv, sizeof o->n_kv);
    TRY(file_out_open(&f, path, e));
    file_out_write(&f, o->p, o->n);
    file_out_pad(&f, GGUF_ALIGN);
    for (size_t i = 0; i < o->n_tensors; i++) {
        struct gguf_out_tensor *x = o->tensors + i;
        if (x->has_from) x->t.from = &x->from;
        TRY(mf_tensor_write(&f, mf, &x->t, x->heads, e));
        file_out_pad(&f, GGUF_ALIGN);
    }
    TRY(model_file_commit(mf, &f, e));
out:
    file_out_discard(&f);
    return rc;
}
