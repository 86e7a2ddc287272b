#include "export.h"

#include "arch.h"
#include "config_refuse.h"
#include "export_impl.h"
#include "json_text.h"
#include "model_name.h"
#include "run_folder.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void export_note(struct export_report *n, const char *fmt, ...) {
    va_list ap;
    const size_t room = sizeof n->text - n->n;
    va_start(ap, fmt);
    const int k = vsnprintf(n->text + n->n, room, fmt, ap);
    va_end(ap);
    if (k < 0 || (size_t)k + 1 >= room) {
        n->text[n->n] = 0;
        return;
    }
    n->n += (size_t)k;
    n->text[n->n++] = '\n';
    n->text[n->n] = 0;
}

/* What rounding to a type does to the logits of a model, relative to the largest of them: found on
 * small random models, where it is worst, and doubled. */
static double rounding(enum dtype t) {
    switch (t) {
    case DT_F32: return 1e-4;
    case DT_F16: return 5e-3;
    case DT_BF16: return 4e-2;
    case DT_Q8_0: return 8e-2;
    default: return 0.8;
    }
}

/* ---- config --------------------------------------------------------------------------------- */

static bool is_folder(const struct format *f) {
    return f->suffix && !strcmp(f->suffix, "/");
}

static bool has_usual(const struct model_config *c, const struct part_table *t) {
    return c->attention_bias == parts_default_true(t, "attention_bias") &&
           c->qk_norm == parts_default_true(t, "duet.qk_norm");
}

/* A GGUF says of each bias that it is there; a fixed layout has places for the parts of a llama,
 * whatever its name. */
const char *export_arch(const struct model_config *c, const struct format *f) {
    const struct part_table *own = &arch_find(c->arch)->parts;
    const bool gguf = f->tok == TOK_VOCAB, fixed = !gguf && !is_folder(f);
    if (f->native || (fixed && !has_usual(c, own))) return c->arch;
    if (!fixed && has_usual(c, own)) return c->arch;
    if (gguf && own->gguf_bias && !c->qk_norm) return c->arch;
    for (int i = 0; i < arch_parts.n; i++) {
        const struct part_table *t = arch_parts.all[i];
        if (t->part == own->part && has_usual(c, t)) return t->name;
    }
    return c->arch;
}

static int refuse(const struct model_file *in, const struct format *f, const char *what,
                  struct err *e) {
    return err_set(e, ERR_INPUT, "%s: cannot be written as %s: %s", in->path ? in->path : "model",
                   f->name, what);
}

/* Rotary factors as the format knows them; a GGUF has them as f32. */
static int plain_rope(json_t *j, const struct model_config *c, const struct model_file *in,
                      const struct format *f, struct export_report *report, struct err *e) {
    json_t *duet = json_object_get(j, "duet"), *list = json_object_get(duet, "rope_factors");
    const json_t *scaling = json_object_get(j, "rope_scaling");
    const char *type = json_string_value(json_object_get(scaling, "rope_type"));
    if (!type) type = json_string_value(json_object_get(scaling, "type"));
    if (!c->rope_factors) {
        json_object_del(duet, "rope_factors");
        return 0;
    }
    if (f->tok != TOK_VOCAB)
        return type ? 0 : refuse(in, f, "duet.rope_factors are no rope_scaling it knows", e);
    if (!list && !strcmp(type, "linear")) return 0;
    if (!list) {
        list = json_array();
        for (int64_t i = 0; i < c->head_dim / 2; i++) {
            json_array_append_new(list, json_real((double)(float)c->rope_factors[i]));
            if ((double)(float)c->rope_factors[i] != c->rope_factors[i]) report->exact = false;
        }
        json_object_set_new(duet, "rope_factors", list);
        if (report->bound < rounding(DT_F32)) report->bound = rounding(DT_F32);
    }
    json_object_del(j, "rope_scaling");
    return 0;
}

/* Every size and constant stands there, whatever its default. */
static void plain_sizes(json_t *j, const struct model_config *c, int64_t vocab) {
    const struct part_table *t = &arch_find(c->arch)->parts;
    json_object_set_new(j, "hidden_act", json_string(parts_act(t)));
    json_object_set_new(j, "num_key_value_heads", json_integer((json_int_t)c->kv_heads));
    json_object_set_new(j, "head_dim", json_integer((json_int_t)c->head_dim));
    json_object_set_new(j, "max_position_embeddings", json_integer((json_int_t)c->max_pos));
    json_object_set_new(j, "rms_norm_eps", json_real(c->eps));
    json_object_set_new(j, "tie_word_embeddings", json_boolean(c->tied));
    json_object_set_new(j, "vocab_size", json_integer((json_int_t)vocab));
    json_object_set_new(j, "rope_theta", json_real(c->theta));
    if (!json_object_get(j, "use_cache")) json_object_set_new(j, "use_cache", json_true());
}

/* The config of a plain model, under Hugging Face's names; "duet" is still there. */
static int plain_config(json_t *j, const struct model_config *c, const struct model_file *in,
                        const struct format *f, struct export_report *report, struct err *e) {
    if (c->softcap != 0) return refuse(in, f, "it has no place for duet.logit_softcap", e);
    if (c->value_embeds) return refuse(in, f, "it has no place for duet.value_embeds", e);
    if (c->local_theta != 0) return refuse(in, f, "it has no place for duet.rope_local_theta", e);
    if (c->qk_norm && c->attention_bias)
        return refuse(in, f, "no architecture it knows has both QK-norm and attention_bias", e);
    const struct part_table *t = parts_find(&arch_parts, export_arch(c, f));
    json_object_set_new(j, "model_type", json_string(t->name));
    json_object_set_new(j, "architectures", json_pack("[s]", t->hf_class));
    if (parts_default_true(t, "attention_bias"))
        json_object_del(j, "attention_bias");
    else
        json_object_set_new(j, "attention_bias", json_boolean(c->attention_bias));
    if (t->hf_window && !json_object_get(j, "sliding_window"))
        json_object_set_new(j, "sliding_window", json_null()); /* else transformers takes its own */
    plain_sizes(j, c, c->vocab);
    json_object_del(json_object_get(j, "duet"), "residual_scale");
    json_object_del(json_object_get(j, "duet"), "qk_norm");
    return plain_rope(j, c, in, f, report, e);
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* Weights that write into the residual stream. */
static bool writes_residual(const struct part *p) {
    return p && p->init == INIT_RESIDUAL;
}

static bool fits(enum dtype t, uint64_t cols) {
    return cols % (uint64_t)dtype_row(t)->block == 0;
}

/* The type that tensor t of part p is written as; *cut: another than asked for, for its rows. */
static enum dtype choose(const struct mf_tensor *t, const struct part *p, const struct format *f,
                         int dtype, bool folded, bool *cut) {
    const uint32_t types = t->ndim == 2 ? f->types : f->vector_types;
    const bool all = !f->native && f->vector_types & MF_TYPE(DT_BF16); /* vectors follow too */
    if (dtype < 0 || (t->ndim == 1 && !all))
        return types & MF_TYPE(t->dtype) && (!folded || t->dtype == DT_F32) ? t->dtype : DT_F32;
    enum dtype want = (enum dtype)dtype;
    if (want == DT_Q4_0 && p && p->rows == SIDE_VOCAB) want = DT_Q8_0;
    *cut = !fits(want, t->shape[t->ndim - 1]);
    return *cut ? DT_F16 : want;
}

static void widen_bound(struct export_report *r, enum dtype from, enum dtype to, bool folded) {
    if (!folded && (from == to || to == DT_F32)) return;
    r->exact = false;
    if (rounding(to) > r->bound) r->bound = rounding(to);
}

static int add_tensors(struct model_file *out, const struct model_file *in,
                       const struct model_config *c, const struct format *f,
                       const struct export_opts *o, struct export_report *report, struct err *e) {
    int rc = 0;
    size_t n_cut = 0;
    const double scale = f->native ? 1 : c->residual_scale;
    const struct part_table *parts = &arch_find(c->arch)->parts;
    for (size_t i = 0; i < in->n_tensors; i++) {
        const struct mf_tensor *src = in->tensors + i;
        struct mf_tensor t = *src;
        bool cut = false;
        uint32_t layer;
        const struct part *p = part_find(parts, NAMES_HF, src->name, &layer);
        if (!dtype_is_float(src->dtype)) { /* duet.vocab_map */
            if (f->native) TRY(model_file_add(out, &t, e));
            continue;
        }
        const bool folded = scale != 1 && writes_residual(p);
        t.dtype = choose(src, p, f, o->dtype, folded, &cut);
        n_cut += cut;
        widen_bound(report, src->dtype, t.dtype, folded);
        t.from = src;
        mf_tensor_set_factor(&t, folded ? scale : 1);
        t.data = NULL;
        t.rope_heads = 0;
        if (src->row) t = *src; /* made row by row as it is stored */
        TRY(model_file_add(out, &t, e));
    }
    if (n_cut)
        export_note(report, "%zu tensors are written as f16: their rows are not whole blocks of %s",
                    n_cut, dtype_row((enum dtype)o->dtype)->name);
out:
    return rc;
}

static int check_dtype(const struct format *f, const struct export_opts *o, struct err *e) {
    if (o->dtype < 0) return 0;
    if (!dtype_can_write((enum dtype)o->dtype))
        return err_set(e, ERR_USAGE,
                       "weights of type %s are only read; duet writes f32, f16, bf16, q8_0 and "
                       "q4_0",
                       dtype_row((enum dtype)o->dtype)->name);
    if (f->types & MF_TYPE((enum dtype)o->dtype)) return 0;
    return err_set(e, ERR_USAGE, "format %s cannot hold %s", f->name,
                   dtype_row((enum dtype)o->dtype)->name);
}

/* ---- all ------------------------------------------------------------------------------------ */

/* The tables of the model that the file describes, without weights; every tensor is checked. */
static int check_model(const struct model_file *in, const struct conf_pairs *sets, struct model *m,
                       struct err *e) {
    struct model_config c;
    const char *name = in->path ? in->path : "model";
    int rc = model_config_parse(&c, in->config, strlen(in->config), name, sets, e);
    if (!rc) rc = model_create(m, &c, e);
    if (!rc) rc = model_check_file(m, in, e);
    return rc;
}

/* The type of the matrices, for config.json. */
static const char *torch_dtype(const struct model_file *out, const struct part_table *parts) {
    const struct mf_tensor *t = model_file_find(out, part_of(parts, PART_EMBED)->hf);
    return t->dtype == DT_BF16 ? "bfloat16" : t->dtype == DT_F16 ? "float16" : "float32";
}

static int set_config(struct model_file *out, json_t *j, const struct part_table *parts,
                      const struct format *f, struct err *e) {
    if (is_folder(f)) {
        json_object_set_new(j, "torch_dtype", json_string(torch_dtype(out, parts)));
        json_object_del(j, "dtype"); /* transformers 5 */
        json_object_del(j, "duet");
    }
    out->config = json_text(j);
    return out->config ? 0 : err_set(e, ERR_NOMEM, "out of memory for a config");
}

/* Is the tokenizer that was asked for read from what is to be written? */
static bool holds_tokenizer(const struct format *f, const char *path, const char *tokenizer) {
    if (!tokenizer) return false;
    return file_same(tokenizer, path) || (is_folder(f) && file_lies_in(tokenizer, path));
}

int export_spares(const struct model_file *in, const struct format *f, const char *path,
                  const char *tokenizer, struct err *e) {
    if (!model_file_uses(in, path) && !holds_tokenizer(f, path, tokenizer)) return 0;
    return err_set(e, ERR_INPUT, "%s: is the file being read; write to another name", path);
}

/* The name that was asked for, in the place of those that are there. */
static void set_name(json_t *j, const char *name) {
    json_object_set_new(j, "_name_or_path", json_string(name));
    json_object_del(json_object_get(json_object_get(j, "duet"), "gguf"), "general.name");
}

/* What the model is called, malloc()ed. */
static char *find_name(const json_t *j, const struct model_file *in) {
    const json_t *gguf = json_object_get(json_object_get(j, "duet"), "gguf");
    const char *name = json_string_value(json_array_get(json_object_get(gguf, "general.name"), 1));
    if (!name || !*name) name = json_string_value(json_object_get(j, "_name_or_path"));
    return name && *name ? strdup(name) : in->path ? model_name(in->path) : strdup("duet");
}

static int add_card(struct model_file *out, const struct model_file *in, const struct format *f,
                    const char *dir, const struct model_config *c, struct err *e) {
    if (!is_folder(f)) return 0;
    char *path = file_join(dir, EXPORT_CARD);
    if (!path) return err_set(e, ERR_NOMEM, "out of memory for %s", dir);
    const int rc = file_exists(path) ? 0 : export_card(out, in, c, export_arch(c, f), out->name, e);
    free(path);
    return rc;
}

int model_export(const struct model_file *in, const struct format *f, const char *path,
                 const struct export_opts *o, struct export_report *report, struct err *e) {
    int rc;
    struct model m = {0};
    struct model_file out = {
        .archs = &arch_parts, .source = in, .check = o->check, .pool = in->pool};
    struct tokenizer *tok = NULL;
    json_t *j = NULL;
    *report = (struct export_report){.exact = true};
    if (in->path && !(out.path = strdup(in->path))) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
        goto out;
    }
    TRY(check_dtype(f, o, e));
    TRY(check_model(in, o->sets, &m, e));
    if (m.config.assumed) export_note(report, "%s", m.config.assumed);
    char unknown[600];
    if (config_unknown_note(m.config.json, unknown, sizeof unknown))
        export_note(report, "%s", unknown);
    j = json_deep_copy(m.config.json);
    if (j && o->name) set_name(j, o->name);
    if (!j || !(out.name = find_name(j, in)) || (in->meta && !(out.meta = strdup(in->meta)))) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a config");
        goto out;
    }
    if (!f->native) {
        if (!json_object_get(j, "duet")) json_object_set_new(j, "duet", json_object());
        TRY(plain_config(j, &m.config, in, f, report, e));
    }
    TRY(add_tensors(&out, in, &m.config, f, o, report, e));
    TRY(export_tokenizer(&out, j, in, f, o, report, &tok, e));
    TRY(add_card(&out, in, f, path, &m.config, e));
    TRY(set_config(&out, j, &arch_find(m.config.arch)->parts, f, e));
    TRY(export_spares(in, f, path, o->tokenizer, e));
    TRY(run_folder_spare(path, e));
    TRY(model_file_write(&out, f->name, path, e));
out:
    json_decref(j);
    model_file_close(&out);
    tokenizer_close(tok);
    model_close(&m);
    return rc;
}
