/* A model's tokenizer in the form that a format holds. */
#include "export_impl.h"
#include "import.h"
#include "json_text.h"
#include "tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct model_file *out;
    json_t *config;
    const struct model_file *in;
    const struct format *f;
    struct tokenizer *t;
    struct export_report *report;
};

static json_t *hf_side(const struct job *j, const char *name) {
    return json_object_get(json_object_get(json_object_get(j->config, "duet"), "hf"), name);
}

/* ---- special ids ---------------------------------------------------------------------------- */

/* The token that tokenizer_config.json names: a text, or an object with it. */
static int64_t named_id(const struct job *j, const char *key) {
    const json_t *v = json_object_get(hf_side(j, "tokenizer_config"), key);
    if (json_is_object(v)) v = json_object_get(v, "content");
    return json_is_string(v) ? tokenizer_find(j->t, json_string_value(v)) : -1;
}

/* A number, or the first of a list of them. */
static int64_t config_id(const struct job *j, const char *key) {
    const json_t *v = json_object_get(j->config, key);
    if (json_is_array(v)) v = json_array_get(v, 0);
    const int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    return id >= 0 && id < (int64_t)tokenizer_vocab_size(j->t) ? id : -1;
}

/* What the tokenizer's files say goes before the model's config, as in transformers. */
static int64_t special_id(const struct job *j, const char *name, int64_t own) {
    char key[32];
    snprintf(key, sizeof key, "%s_token", name);
    int64_t id = named_id(j, key);
    if (id >= 0) return id;
    snprintf(key, sizeof key, "%s_token_id", name);
    id = config_id(j, key);
    return id >= 0 ? id : own;
}

static bool is_id(const struct job *j, const json_t *v) {
    const int64_t rows = json_integer_value(json_object_get(j->config, "vocab_size"));
    return json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < rows;
}

/* An id that is no token is none: -1 in configs of early programs, or vocab_size. Of a list those
 * that are tokens stay. */
static void drop_ids(const struct job *j) {
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id",
                                       "unk_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *v = json_object_get(j->config, keys[i]);
        const bool list = json_is_array(v);
        for (size_t k = json_array_size(v); k-- > 0;) {
            const json_t *x = json_array_get(v, k);
            if (!json_is_integer(x) || is_id(j, x)) continue;
            export_note(j->report, "%s: %lld is no token, and is not written.", keys[i],
                        (long long)json_integer_value(x));
            json_array_remove(v, k);
        }
        if (list ? json_array_size(v) : !json_is_integer(v) || is_id(j, v)) continue;
        if (!list)
            export_note(j->report, "%s: %lld is no token, and is not written.", keys[i],
                        (long long)json_integer_value(v));
        json_object_del(j->config, keys[i]);
    }
}

static void default_ids(const struct job *j) {
    const int64_t bos = tokenizer_bos(j->t), eos = tokenizer_eos(j->t);
    if (bos >= 0 && !json_object_get(j->config, "bos_token_id"))
        json_object_set_new(j->config, "bos_token_id", json_integer((json_int_t)bos));
    if (eos >= 0 && !json_object_get(j->config, "eos_token_id"))
        json_object_set_new(j->config, "eos_token_id", json_integer((json_int_t)eos));
}

/* ---- GGUF ----------------------------------------------------------------------------------- */

static bool said(const struct job *j, const char *key, bool def) {
    const json_t *v = json_object_get(hf_side(j, "tokenizer_config"), key);
    return json_is_boolean(v) ? json_is_true(v) : def;
}

static int to_vocab(const struct job *j, struct err *e) {
    struct vocab *v = calloc(1, sizeof *v);
    if (!v) return err_set(e, ERR_NOMEM, "out of memory for a vocabulary");
    const int rc = tokenizer_to_vocab(j->t, v, e);
    if (rc) {
        free(v);
        return err_prefix(e, "%s", j->in->path ? j->in->path : "model");
    }
    v->bos = special_id(j, "bos", v->bos);
    v->eos = special_id(j, "eos", v->eos);
    v->unk = special_id(j, "unk", v->unk);
    v->pad = special_id(j, "pad", v->pad);
    v->add_bos = v->bos >= 0 && said(j, "add_bos_token", v->add_bos);
    v->add_eos = v->eos >= 0 && said(j, "add_eos_token", v->add_eos);
    j->out->vocab = v;
    return 0;
}

/* ---- files beside the weights --------------------------------------------------------------- */

static int add_json(const struct job *j, const char *name, const json_t *o, struct err *e) {
    char *text = json_text_dump(o, JSON_INDENT(2));
    if (!text) return err_set(e, ERR_NOMEM, "out of memory for %s", name);
    return model_file_side(j->out, name, text, strlen(text), text, e);
}

/* A reader adds a name that is no entry of the vocabulary as a token of its own, with a new id. So
 * a token is named here only if tokenizer.json has it by its text: not a byte, or a word of text,
 * which stands there in an alphabet of its own. */
static void set_token(const struct job *j, json_t *o, const char *key, int64_t id) {
    size_t n;
    if (id < 0) return;
    if (!tokenizer_is_mark(j->t, (uint32_t)id)) {
        export_note(j->report, "%s: token %lld is text, and is not named in tokenizer_config.json.",
                    key, (long long)id);
        return;
    }
    const char *s = tokenizer_piece(j->t, -1, (uint32_t)id, &n);
    json_object_set_new(o, key, json_stringn(s, n));
}

/* As it was read, or the little that transformers needs. */
static int tokenizer_config(const struct job *j, struct err *e) {
    json_t *o = json_deep_copy(hf_side(j, "tokenizer_config"));
    const json_t *template = json_object_get(json_object_get(j->config, "duet"), "chat_template");
    if (!o) {
        o = json_object();
        json_object_set_new(o, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
        json_object_set_new(o, "clean_up_tokenization_spaces", json_false());
        json_object_set(o, "model_max_length",
                        json_object_get(j->config, "max_position_embeddings"));
        set_token(j, o, "bos_token", special_id(j, "bos", tokenizer_bos(j->t)));
        set_token(j, o, "eos_token", special_id(j, "eos", tokenizer_eos(j->t)));
        set_token(j, o, "unk_token", special_id(j, "unk", -1));
        set_token(j, o, "pad_token", special_id(j, "pad", -1));
    }
    if (json_is_string(template) && !json_object_get(o, "chat_template"))
        json_object_set_new(o, "chat_template", json_deep_copy(template));
    const int rc = add_json(j, "tokenizer_config.json", o, e);
    json_decref(o);
    return rc;
}

static int generation_config(const struct job *j, struct err *e) {
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    json_t *o = hf_side(j, "generation_config");
    if (o) return add_json(j, "generation_config.json", o, e);
    o = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *v = json_object_get(j->config, keys[i]);
        if (v && !json_is_null(v)) json_object_set(o, keys[i], v);
    }
    const int rc = json_object_size(o) ? add_json(j, "generation_config.json", o, e) : 0;
    json_decref(o);
    return rc;
}

/* The blob as the file's own: sides and BLZT point to it. */
static int own_blob(const struct job *j, struct err *e) {
    size_t bytes;
    const void *blob = tokenizer_blob(j->t, &bytes);
    void *copy = blob ? malloc(bytes + 1) : NULL;
    if (!copy) return err_set(e, ERR_NOMEM, "out of memory for a tokenizer");
    memcpy(copy, blob, bytes);
    j->out->tokenizer = j->out->tokenizer_owned = copy;
    j->out->tokenizer_bytes = bytes;
    return 0;
}

/* Its file is one, or llama2.c's. */
static int sentencepiece_side(const struct job *j, struct err *e) {
    int rc;
    TRY(own_blob(j, e));
    if (*(const char *)j->out->tokenizer != '\n') return 0;
    TRY(model_file_side(j->out, "tokenizer.model", j->out->tokenizer, j->out->tokenizer_bytes, NULL,
                        e));
out:
    return rc;
}

static int hugging_face_sides(const struct job *j, struct err *e) {
    int rc;
    struct tok_bytes text = {0};
    rc = tokenizer_to_json(j->t, &text, e);
    if (rc) {
        free(text.data);
        return rc;
    }
    TRY(model_file_side(j->out, "tokenizer.json", text.data, text.n, text.data, e));
    if (!strcmp(tokenizer_kind(j->t), "spm")) TRY(sentencepiece_side(j, e));
    TRY(tokenizer_config(j, e));
    const json_t *map = hf_side(j, "special_tokens_map");
    if (map) TRY(add_json(j, "special_tokens_map.json", map, e));
out:
    return rc;
}

/* llama2.c's only form. */
static int bin_side(const struct job *j, struct err *e) {
    struct tok_bytes bin = {0};
    struct err why;
    if (tokenizer_to_bin(j->t, &bin, &why)) {
        export_note(j->report, "The tokenizer is not written: %s.", why.msg);
        free(bin.data);
        return 0;
    }
    return model_file_side(j->out, "tokenizer.bin", bin.data, bin.n, bin.data, e);
}

/* ---- all ------------------------------------------------------------------------------------ */

static int go_on_without(const char *why, struct err *e) {
    return err_set(e, ERR_INPUT, "%s; --tokenizer FILE or none goes on without it", why);
}

static int open_tokenizer(struct job *j, const struct export_opts *o, struct err *e) {
    if (o->tokenizer && !strcmp(o->tokenizer, "none")) return 0;
    if (o->tokenizer) return model_open_tokenizer(&j->t, o->tokenizer, e);
    if (j->in->tokenizer_problem) return go_on_without(j->in->tokenizer_problem, e);
    const struct tok_own own = model_file_tok_own(j->in);
    const int rc = tokenizer_open_own(&j->t, &own, j->in->path ? j->in->path : "model", e);
    if (rc != ERR_INPUT || !own.vocab) return rc;
    const struct err why = *e;
    return go_on_without(why.msg, e);
}

/* What belongs to the model's own tokenizer, when it gets another or none. */
static void forget_tokenizer(json_t *config) {
    static const char *const ids[] = {"bos_token_id", "eos_token_id", "pad_token_id",
                                      "unk_token_id"};
    json_t *duet = json_object_get(config, "duet"), *gguf = json_object_get(duet, "gguf"), *v;
    const char *key;
    void *next;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) json_object_del(config, ids[i]);
    json_object_del(duet, "hf");
    json_object_del(duet, "chat_template");
    json_object_foreach_safe(gguf, next, key, v) {
        if (!strncmp(key, "tokenizer.", 10)) json_object_del(gguf, key);
    }
}

/* What a format has no place for, and that is no part of the function. */
static void note_losses(const struct job *j) {
    const json_t *duet = json_object_get(j->config, "duet");
    const json_t *gguf = json_object_get(duet, "gguf");
    const size_t n = json_object_size(gguf) - (json_object_get(gguf, "general.name") != NULL);
    if (n && j->f->tok != TOK_VOCAB)
        export_note(j->report,
                    "Not written: metadata of the GGUF, %zu keys (duet info lists them).", n);
    if (j->f->tok == TOK_VOCAB &&
        json_is_array(json_object_get(hf_side(j, "tokenizer_config"), "chat_template")))
        export_note(j->report, "Of several chat templates only \"default\" is written.");
}

/* Another tokenizer than the model's own is written when that is taken away first. */
static int check_tokenizer(const struct job *j, struct err *e) {
    const int64_t rows = json_integer_value(json_object_get(j->config, "vocab_size"));
    const char *name = j->in->path ? j->in->path : "model";
    const struct tok_own own = model_file_tok_own(j->in);
    struct err why;
    if (!tokenizer_check(j->t, rows, &own, name, &why)) return 0;
    const bool small = (int64_t)tokenizer_vocab_size(j->t) > rows;
    return err_set(e, ERR_INPUT, "%s%s", why.msg,
                   small ? ""
                         : "; if that is meant, convert with --tokenizer none first");
}

/* A tokenizer that the format cannot hold need not keep the weights from it. */
static int advise(int rc, struct err *e) {
    const struct err why = *e;
    return rc != ERR_INPUT ? rc
                           : err_set(e, ERR_INPUT,
                                     "%s; --tokenizer none writes the model without it", why.msg);
}

int export_tokenizer(struct model_file *out, json_t *config, const struct model_file *in,
                     const struct format *f, const struct export_opts *o,
                     struct export_report *report, struct tokenizer **hold, struct err *e) {
    int rc;
    struct job j = {out, config, in, f, NULL, report};
    const bool folder = f->suffix && !strcmp(f->suffix, "/");
    if (o->tokenizer) forget_tokenizer(config);
    if (!f->native) {
        note_losses(&j);
        drop_ids(&j);
    }
    TRY(open_tokenizer(&j, o, e));
    if (!j.t) {
        if (folder) TRY(generation_config(&j, e));
        goto out;
    }
    TRY(check_tokenizer(&j, e));
    if (tokenizer_note(j.t)) export_note(report, "Note: %s.", tokenizer_note(j.t));
    if (f->tok == TOK_NONE) {
        export_note(report, "The tokenizer is not written: %s holds none.", f->name);
        goto out;
    }
    if (f->tok == TOK_BLOB) TRY(own_blob(&j, e));
    if (!f->native) default_ids(&j);
    if (f->tok == TOK_VOCAB) TRY(advise(to_vocab(&j, e), e));
    if (folder) {
        TRY(advise(hugging_face_sides(&j, e), e));
        TRY(generation_config(&j, e));
    } else if (f->tok == TOK_SIDES) {
        TRY(bin_side(&j, e));
    }
out:
    *hold = j.t;
    return rc;
}
