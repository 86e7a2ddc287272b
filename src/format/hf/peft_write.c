/* Writing an adapter as PEFT keeps it. */
#include "hf.h"

#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    const struct model_file *mf;
    const struct part_table *parts;
    const char *dir;
    struct hf_out d;
    json_t *config;     /* of mf */
    const json_t *ours; /* duet_adapter of it */
    json_t *out;        /* adapter_config.json */
    json_t *saved;      /* words of modules_to_save */
    struct safetensors_item *items;
    int64_t rank;
    double alpha;
    bool rslora;
};

static int refuse(const struct writer *w, const char *what, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: cannot be written as a PEFT adapter: %s", w->dir, what);
}

static int read_settings(struct writer *w, struct err *e) {
    const char *text = w->mf->config ? w->mf->config : "";
    const int rc = hf_object(text, strlen(text), w->dir, 0, &w->config, e);
    if (rc) return rc;
    w->ours = json_object_get(w->config, "duet_adapter");
    w->rank = json_integer_value(json_object_get(w->ours, "rank"));
    w->alpha = json_number_value(json_object_get(w->ours, "alpha"));
    w->rslora = json_is_true(json_object_get(w->ours, "rslora"));
    if (w->rank < 1 || !(w->alpha > 0) || !isfinite(w->alpha))
        return refuse(w, "its config has no duet_adapter with rank and alpha", e);
    return 0;
}

/* ---- tensors -------------------------------------------------------------------------------- */

static bool has_module(const json_t *list, const struct part *p) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (peft_is_module(p, json_string_value(json_array_get(list, i)))) return true;
    return false;
}

static json_t *number(double x) {
    return x == floor(x) && fabs(x) < 1e15 ? json_integer((json_int_t)x) : json_real(x);
}

/* A module of another rank has the common scale: the one for which its lora_B was made. */
static int note_rank(struct writer *w, const char *module, int64_t rank) {
    const double share = (double)rank / (double)w->rank;
    const double alpha = w->alpha * (w->rslora ? sqrt(share) : share);
    return json_object_set_new(json_object_get(w->out, "rank_pattern"), module,
                               json_integer((json_int_t)rank)) |
           json_object_set_new(json_object_get(w->out, "alpha_pattern"), module, number(alpha));
}

static int add_tensor(struct writer *w, size_t i, struct err *e) {
    const struct mf_tensor *t = w->mf->tensors + i;
    size_t n;
    bool b;
    const struct part *p = peft_part_find(w->parts, t->name, &n, &b);
    int rc = safetensors_check(t, w->dir, e), bad = 0;
    if (rc) return rc;
    if (!p || t->ndim != (p->lora ? 2 : 1))
        return err_set(e, ERR_INPUT,
                       "%s: cannot be written as a PEFT adapter: it has no place for tensor %s",
                       w->dir, t->name);
    w->items[i].t = t;
    if (asprintf(&w->items[i].name, "%s%s", PEFT_PREFIX, t->name) < 0) {
        w->items[i].name = NULL; /* asprintf leaves it undefined */
        bad = 1;
    } else if (!p->lora) {
        size_t len;
        const char *word = part_module(p, &len);
        if (!has_module(w->saved, p))
            bad = json_array_append_new(w->saved, json_stringn(word, len));
    } else if (!b && (int64_t)t->shape[0] != w->rank) {
        char *module = strndup(t->name, n);
        bad = !module || note_rank(w, module, (int64_t)t->shape[0]);
        free(module);
    }
    return bad ? err_set(e, ERR_NOMEM, "%s: no memory to write it", w->dir) : 0;
}

/* ---- adapter_config.json -------------------------------------------------------------------- */

static json_t *target_modules(const struct writer *w) {
    json_t *list = json_array();
    for (int i = 0; i < w->parts->n; i++) {
        const struct part *p = w->parts->part + i;
        bool there = false, b;
        size_t n;
        for (size_t k = 0; k < w->mf->n_tensors && p->lora && !there; k++)
            there = peft_part_find(w->parts, w->mf->tensors[k].name, &n, &b) == p;
        const char *module = part_module(p, &n);
        if (there) json_array_append_new(list, json_stringn(module, n));
    }
    return list;
}

/* What the adapter came with, or defaults; what is known of it goes before. */
static int begin_config(struct writer *w) {
    const json_t *old = json_object_get(json_object_get(w->config, "duet"), "peft");
    json_t *base = json_object_get(w->config, "base_model_name_or_path");
    json_t *defaults = json_pack(
        "{s:n, s:n, s:s, s:b, s:b, s:b, s:n, s:n, s:f, s:n, s:s, s:s, s:b}", "auto_mapping",
        "base_model_name_or_path", "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1,
        "init_lora_weights", 1, "layers_pattern", "layers_to_transform", "lora_dropout", 0.0,
        "revision", "peft_type", "LORA", "task_type", "CAUSAL_LM", "use_dora", 0);
    json_t *set =
        json_pack("{s:s, s:I, s:o, s:{}, s:{}, s:b, s:o, s:n, s:n}", "peft_type", "LORA", "r",
                  (json_int_t)w->rank, "lora_alpha", number(w->alpha), "rank_pattern",
                  "alpha_pattern", "use_rslora", (int)w->rslora, "target_modules",
                  target_modules(w), "layers_to_transform", "layers_pattern");
    w->out = json_is_object(old) ? json_deep_copy(old) : json_object();
    int bad = !w->out || !defaults || !set || json_object_update(w->out, set) ||
              json_object_update_missing(w->out, defaults);
    if (!bad && json_is_string(base))
        bad = json_object_set(w->out, "base_model_name_or_path", base);
    json_object_del(w->out, "exclude_modules"); /* every module of target_modules is there */
    json_decref(defaults);
    json_decref(set);
    return bad;
}

/* The order of modules_to_save does not matter to PEFT; here those that every model has are
 * first. */
static int end_config(struct writer *w) {
    json_t *list = json_array();
    int bad = !list;
    for (int rare = 0; rare < 2; rare++)
        for (int i = 0; i < w->parts->n; i++) {
            const struct part *p = w->parts->part + i;
            size_t n;
            const char *word = part_module(p, &n);
            if (p->role == ROLE_norm && (p->when != IF_ALWAYS) == rare && has_module(w->saved, p))
                bad |= json_array_append_new(list, json_stringn(word, n));
        }
    bad |= json_object_set_new(w->out, "modules_to_save",
                               json_array_size(list) ? json_incref(list) : json_null());
    json_decref(list);
    return bad;
}

static int check_norms(const struct writer *w, struct err *e) {
    const bool want = json_is_true(json_object_get(w->ours, "norms"));
    if (want == (json_array_size(w->saved) > 0)) return 0;
    return refuse(w, "duet_adapter.norms does not say whether it has norms", e);
}

static int write_files(struct writer *w, struct err *e) {
    struct file_out *o;
    json_t *meta = hf_meta(w->mf);
    int rc;
    TRY(hf_out_open(&w->d, w->mf, w->dir, e));
    TRY(hf_out_file(&w->d, "adapter_model.safetensors", &o, e));
    TRY(safetensors_write(o, w->mf, w->items, w->mf->n_tensors, meta, e));
    for (size_t i = 0; i < w->mf->n_sides; i++)
        TRY(hf_out_data(&w->d, w->mf->sides[i].name, w->mf->sides[i].data, w->mf->sides[i].bytes,
                        e));
    TRY(hf_out_json(&w->d, "adapter_config.json", w->out, e));
    TRY(hf_out_commit(&w->d, NULL, e));
out:
    hf_out_release(&w->d);
    json_decref(meta);
    return rc;
}

int peft_write(const struct model_file *mf, const char *dir, struct err *e) {
    struct writer w = {.mf = mf, .dir = dir, .saved = json_array()};
    w.parts = peft_parts(mf, 0, mf->archs);
    int rc;
    w.items = calloc(mf->n_tensors + 1, sizeof *w.items);
    TRY(read_settings(&w, e));
    if (!w.items || !w.saved || begin_config(&w)) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory to write it", dir);
        goto out;
    }
    for (size_t i = 0; i < mf->n_tensors; i++) TRY(add_tensor(&w, i, e));
    TRY(check_norms(&w, e));
    if (end_config(&w)) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory to write it", dir);
        goto out;
    }
    TRY(write_files(&w, e));
out:
    for (size_t i = 0; i < mf->n_tensors && w.items; i++) free(w.items[i].name);
    free(w.items);
    json_decref(w.config);
    json_decref(w.out);
    json_decref(w.saved);
    return rc;
}
