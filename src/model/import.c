#include "import.h"

#include "file.h"
#include "json_text.h"
#include "rope.h"
#include "rope_keys.h"
#include "run_folder.h"
#include "tokenizer.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(const struct model_file *mf, struct err *e) {
    return err_set(e, ERR_NOMEM, "%s: out of memory", mf->path);
}

/* A tokenizer that duet cannot use is no reason to refuse the weights: who asks for it
 * hears why. */
static int or_problem(struct model_file *mf, int rc, const struct err *e) {
    if (rc != ERR_INPUT) return rc;
    free(mf->tokenizer_problem);
    mf->tokenizer_problem = strdup(e->msg);
    return mf->tokenizer_problem ? 0 : ERR_NOMEM;
}

/* ---- tokenizer ------------------------------------------------------------------------------ */

static void take_blob(struct model_file *mf, void *blob, size_t bytes) {
    mf->tokenizer = mf->tokenizer_owned = blob;
    mf->tokenizer_bytes = bytes;
}

static struct tok_text side_text(const struct model_file *mf, const char *name) {
    const struct mf_side *s = model_file_find_side(mf, name);
    return s ? (struct tok_text){s->data, s->bytes} : (struct tok_text){0};
}

static int side_tokenizer(struct model_file *mf, struct err *e) {
    static const char *const whole[] = {"tokenizer.json", "tokenizer.model", "tokenizer.bin"};
    const struct mf_side *s = NULL;
    for (size_t i = 0; i < sizeof whole / sizeof *whole && !s; i++)
        s = model_file_find_side(mf, whole[i]);
    const struct tok_sides sides = {.config = side_text(mf, "tokenizer_config.json"),
                                    .added = side_text(mf, "added_tokens.json"),
                                    .map = side_text(mf, "special_tokens_map.json")};
    void *blob = NULL;
    size_t bytes;
    int rc = 0;
    if (s) {
        if (!strcmp(s->name, "tokenizer.model"))
            rc = tokenizer_blob_from_model(s->data, s->bytes, &sides, mf->path, &blob, &bytes, e);
        if (rc) return rc;
        mf->tokenizer = s->data;
        mf->tokenizer_bytes = s->bytes;
        if (blob) take_blob(mf, blob, bytes);
        return 0;
    }
    const struct tok_merges m = {.vocab = side_text(mf, "vocab.json"),
                                 .merges = side_text(mf, "merges.txt"),
                                 .sides = sides};
    if (!m.vocab.s || !m.merges.s) return 0;
    rc = tokenizer_blob_from_merges(&m, mf->path, &blob, &bytes, e);
    if (!rc) take_blob(mf, blob, bytes);
    return rc;
}

/* ---- files beside config.json --------------------------------------------------------------- */

static json_t *child(json_t *o, const char *key) {
    json_t *v = json_object_get(o, key);
    if (json_is_object(v)) return v;
    v = json_object();
    json_object_set_new(o, key, v);
    return v;
}

/* *o: the object that a file beside the weights holds, or NULL if there is no such file. */
static int side_json(const struct model_file *mf, const char *name, json_t **o, struct err *e) {
    const struct mf_side *s = model_file_find_side(mf, name);
    json_error_t je;
    *o = NULL;
    if (!s) return 0;
    *o = json_text_load(s->data, s->bytes, &je);
    if (json_is_object(*o)) return 0;
    const int rc = err_set(e, ERR_INPUT, "%s/%s: line %d: %s", mf->path, name, *o ? 1 : je.line,
                           *o ? "not a JSON object" : json_text_why(&je));
    json_decref(*o);
    *o = NULL;
    return rc;
}

/* Of templates with names the one called "default", or NULL. */
static json_t *default_template(const json_t *list) {
    const json_t *t;
    size_t i;
    json_array_foreach(list, i, t) {
        const char *name = json_string_value(json_object_get(t, "name"));
        if (name && !strcmp(name, "default")) return json_object_get(t, "template");
    }
    return NULL;
}

/* The chat template stands in tokenizer_config.json or in a file of its own, which goes first. */
static void move_template(const struct model_file *mf, json_t *duet, json_t *tokenizer_config) {
    const struct mf_side *s = model_file_find_side(mf, "chat_template.jinja");
    json_t *t = s ? json_stringn(s->data, s->bytes) : NULL, *in = NULL;
    if (tokenizer_config) in = json_object_get(tokenizer_config, "chat_template");
    if (t)
        json_object_set_new(duet, "chat_template", t);
    else if (json_is_string(in))
        json_object_set(duet, "chat_template", in);
    else if (json_is_array(in)) /* [{"name", "template"}, ...]: the list stays where it is */
        json_object_set(duet, "chat_template", default_template(in));
    if (json_is_string(in)) json_object_del(tokenizer_config, "chat_template");
}

static int sides(struct model_file *mf, json_t *config, struct err *e) {
    static const char *const names[] = {"tokenizer_config", "special_tokens_map",
                                        "generation_config"};
    int rc = 0;
    json_t *tokenizer_config = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[40];
        json_t *o;
        snprintf(file, sizeof file, "%s.json", names[i]);
        TRY(side_json(mf, file, &o, e));
        if (!o) continue;
        if (i == 0) {
            move_template(mf, child(config, "duet"), o);
            tokenizer_config = o;
        }
        if (json_object_set_new(child(child(config, "duet"), "hf"), names[i], o)) {
            rc = no_memory(mf, e);
            goto out;
        }
    }
    if (!tokenizer_config && model_file_find_side(mf, "chat_template.jinja"))
        move_template(mf, child(config, "duet"), NULL);
    TRY(or_problem(mf, side_tokenizer(mf, e), e));
out:
    return rc;
}

/* ---- rotary factors ------------------------------------------------------------------------- */

/* The list stays: it is exact, and what is found from it is for Hugging Face. */
static void find_scaling(json_t *config) {
    const json_t *list = json_object_get(json_object_get(config, "duet"), "rope_factors");
    const json_t *scaling = json_object_get(config, "rope_scaling");
    const size_t n = json_array_size(list);
    if (!n || (scaling && !json_is_null(scaling))) return;
    double *f = malloc(n * sizeof *f);
    if (!f) return;
    for (size_t i = 0; i < n; i++) f[i] = json_number_value(json_array_get(list, i));
    json_t *found = rope_find_llama3(f, json_number_value(json_object_get(config, "rope_theta")),
                                     2 * (int64_t)n);
    if (found) json_object_set_new(config, "rope_scaling", found);
    free(f);
}

/* ---- all ------------------------------------------------------------------------------------ */

int model_import_file(struct model_file *mf, struct err *e) {
    int rc = 0;
    json_error_t je;
    json_t *config = NULL;
    config = json_loads(mf->config, JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(config)) {
        rc = err_set(e, config ? ERR_INPUT : json_text_code(&je), "%s: config: line %d: %s",
                     mf->path, config ? 1 : je.line,
                     config ? "not a JSON object" : json_text_why(&je));
        goto out;
    }
    json_t *before = json_deep_copy(config);
    if (mf->n_sides) rc = sides(mf, config, e);
    struct err later; /* what is wrong there, reading the config says */
    if (!rc) rope_keys_flatten(config, mf->path, &later);
    if (!rc) find_scaling(config);
    if (!rc && !json_equal(before, config)) {
        char *text = json_text(config);
        if (text) {
            free(mf->config);
            mf->config = text;
        } else {
            rc = no_memory(mf, e);
        }
    }
    json_decref(before);
out:
    json_decref(config);
    return rc;
}

/* A model file by its first bytes. llama2.c's has none of its own, and no tokenizer either. */
static bool is_model(const char *path) {
    struct file_map m;
    struct err ignored;
    if (!strcmp(path, "byte") || file_is_dir(path) || file_map_open(&m, path, &ignored))
        return false;
    const struct format *f = m.size ? format_probe(m.data, m.size) : NULL;
    file_map_close(&m);
    return f && strcmp(f->name, "llama2c");
}

/* In the folder of a run, what it was begun with; of earlier versions, its model. Of one of the
 * checkpoints that it keeps, that of the run. malloc()ed. */
static char *file_of_run(const char *dir) {
    static const char *const names[] = {"start.blzt", "model.blzt"};
    char *run = run_folder_of_kept(dir), *path = NULL;
    const char *in = run ? run : dir;
    for (size_t i = 0; i < sizeof names / sizeof *names && !path && run_folder_is(in); i++) {
        path = file_join(in, names[i]);
        if (!path || file_exists(path)) break;
        free(path);
        path = NULL;
    }
    free(run);
    return path;
}

struct tok_own model_file_tok_own(const struct model_file *mf) {
    return (struct tok_own){mf->tokenizer, mf->tokenizer_bytes, mf->vocab, mf->tokenizer_problem};
}

int model_file_tokenizer(const struct model_file *mf, struct tokenizer **t, struct err *e) {
    const struct tok_own own = model_file_tok_own(mf);
    const int rc = tokenizer_open_own(t, &own, mf->path, e);
    if (rc || *t) return rc;
    return mf->tokenizer_problem
               ? err_set(e, ERR_INPUT, "%s", mf->tokenizer_problem)
               : err_set(e, ERR_INPUT, "%s: a model file without a tokenizer", mf->path);
}

static int open_inside(struct tokenizer **t, const char *spec, struct err *e) {
    struct model_file mf;
    int rc = model_import(&mf, spec, false, e);
    if (rc) return rc;
    rc = model_file_tokenizer(&mf, t, e);
    model_file_close(&mf);
    return rc;
}

int model_open_tokenizer(struct tokenizer **t, const char *spec, struct err *e) {
    *t = NULL;
    char *own = file_of_run(spec);
    const char *path = own ? own : spec;
    const int rc = is_model(path) ? open_inside(t, path, e) : tokenizer_open(t, path, e);
    free(own);
    return rc;
}

int model_import(struct model_file *mf, const char *path, bool verify, struct err *e) {
    int rc = model_file_open(mf, path, verify, e);
    if (!rc) rc = model_import_file(mf, e);
    if (rc) model_file_close(mf);
    return rc;
}
