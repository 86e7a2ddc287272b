#include "train_model.h"

#include "adapter.h"
#include "adapter_set.h"
#include "config_refuse.h"
#include "import.h"
#include "model_shipped.h"
#include "moves.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int contradicts(const char *name, const char *path, const char *value, struct err *e) {
    return err_set(e, ERR_USAGE, "--%s contradicts --adapter %s, which has %s", name, path, value);
}

/* Is there a tokenizer in the model file? */
static int holds_tokenizer(const char *path, bool *yes, struct err *e) {
    struct model_file mf;
    struct tokenizer *t = NULL;
    int rc = model_import(&mf, path, false, e);
    if (rc) return rc;
    *yes = mf.tokenizer != NULL;
    if (mf.vocab) { /* one that cannot be used is none */
        rc = model_file_tokenizer(&mf, &t, e);
        *yes = t != NULL;
    }
    tokenizer_close(t);
    model_file_close(&mf);
    return rc == ERR_INPUT ? 0 : rc;
}

/* What the folder of a LoRA run stands for. */
static int take_run(struct train_opts *o, struct adapter_words *text, struct err *e) {
    int rc;
    bool has = false;
    struct run_files *f = &text->files;
    TRY(run_files_find(f, o->init, o->adapter, e));
    TRY(run_files_there(f, e));
    o->init = f->model;
    o->adapter = f->adapter;
    if (!f->start || o->tokenizer) goto out;
    TRY(holds_tokenizer(o->init, &has, e));
    if (has) goto out;
    TRY(holds_tokenizer(f->start, &has, e)); /* of numbers there is none */
    if (has) o->tokenizer = f->start;
out:
    return rc;
}

int train_take_adapter(struct train_opts *o, const struct conf *conf, struct adapter_words *text,
                       struct err *e) {
    int rc;
    struct adapter_info a = {0};
    char word[64];
    TRY(model_shipped_find(&o->model, &text->model, e));
    if (o->init) TRY(take_run(o, text, e));
    if (!o->adapter) return 0;
    if (!o->init)
        return err_set(e, ERR_USAGE, "--adapter needs the model it was trained on: --init FILE");
    if (!engine_find(o->engine)->backward)
        return err_set(e, ERR_USAGE,
                       "--adapter does not go with --engine %s, whose trajectory begins at one "
                       "file; duet adapter merge makes one of base and adapter",
                       o->engine);
    TRY(adapter_info_read(&a, o->adapter, e));
    snprintf(word, sizeof word, "rank %lld", (long long)a.rank);
    if (conf_given(conf, "lora") && o->lora_rank != a.rank)
        rc = contradicts("lora", o->adapter, word, e);
    snprintf(word, sizeof word, "alpha %g", a.alpha);
    if (!rc && conf_given(conf, "lora-alpha") && o->lora_alpha != a.alpha)
        rc = contradicts("lora-alpha", o->adapter, word, e);
    snprintf(word, sizeof word, "targets %s", a.targets);
    if (!rc && conf_given(conf, "lora-targets") && strcmp(o->lora_targets, a.targets))
        rc = contradicts("lora-targets", o->adapter, word, e);
    if (!rc && conf_given(conf, "rslora") && o->rslora != a.rslora)
        rc = contradicts("rslora", o->adapter, a.rslora ? "alpha/sqrt(rank)" : "alpha/rank", e);
    if (!rc && conf_given(conf, "lora-norms") && o->lora_norms != a.norms)
        rc = contradicts("lora-norms", o->adapter, a.norms ? "norms" : "no norms", e);
    if (rc) goto out;
    TRY(adapter_set_join(&text->set, &o->set, a.set, o->adapter, e));
    o->set = text->set;
    snprintf(text->targets, sizeof text->targets, "%s", a.targets);
    snprintf(text->init, sizeof text->init, "%s", *a.init ? a.init : o->lora_init);
    o->lora_rank = a.rank;
    o->lora_alpha = a.alpha;
    o->rslora = a.rslora;
    o->lora_norms = a.norms;
    o->lora_targets = text->targets;
    if (!conf_given(conf, "lora-init")) o->lora_init = text->init;
    text->file = model_file_of_run(o->adapter);
    if (text->file) o->adapter = text->file;
out:
    adapter_info_release(&a);
    return rc;
}

void train_release_adapter(struct adapter_words *text) {
    adapter_set_release(&text->set);
    run_files_release(&text->files);
    free(text->file);
    free(text->model);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void file_close(struct train_file *x) {
    free(x->path);
    model_file_close(&x->mf);
    *x = (struct train_file){0};
}

void train_files_close(struct train_files *f) {
    file_close(f->file);
    file_close(f->file + 1);
}

/* *x: the file, imported now or before. */
static int file_get(struct train_files *f, const char *path, struct train_file **x, struct err *e) {
    for (int i = 0; i < 2; i++) {
        *x = f->file + i;
        if ((*x)->path && !strcmp((*x)->path, path)) return 0;
    }
    *x = f->file + f->next;
    f->next = !f->next;
    file_close(*x);
    const int rc = model_import(&(*x)->mf, path, f->verify, e);
    if (rc) return rc;
    (*x)->path = strdup(path);
    if ((*x)->path) return 0;
    file_close(*x);
    return err_set(e, ERR_NOMEM, "out of memory for the name of %s", path);
}

int train_files_hash(struct train_files *f, const char *path, uint64_t *hash, struct err *e) {
    struct train_file *x;
    const int rc = file_get(f, path, &x, e);
    if (!rc) *hash = model_file_digest(&x->mf);
    return rc;
}

/* Weights, after which the file is not asked for again. */
static int file_load(struct train_files *f, struct model *m, const char *path, struct err *e) {
    struct train_file *x;
    int rc = file_get(f, path, &x, e);
    if (rc) return rc;
    rc = model_load_file(m, &x->mf, e);
    file_close(x);
    return rc;
}

static int copy_text(char **to, const char *text, struct err *e) {
    free(*to);
    *to = text ? strdup(text) : NULL;
    return text && !*to ? err_set(e, ERR_NOMEM, "out of memory for notes") : 0;
}

/* ---- description ----------------------------------------------------------------------------- */

/* Into tok the file's tokenizer, into *notes what was read otherwise than it says; either may be
 * NULL. */
static int read_config(struct model_config *c, const struct train_opts *o, struct train_files *f,
                       struct model *tok, char **notes, struct err *e) {
    int rc;
    struct train_file *x;
    if (!o->model && !o->init)
        return err_set(e, ERR_USAGE, "give the model with --model FILE or --init FILE");
    if (o->model) return model_config_read(c, o->model, &o->set, e);
    TRY(file_get(f, o->init, &x, e));
    TRY(model_config_parse(c, x->mf.config, strlen(x->mf.config), o->init, &o->set, e));
    if (tok) TRY(model_copy_tokenizer(tok, &x->mf, e));
    if (notes) TRY(copy_text(notes, x->mf.notes, e));
out:
    return rc;
}

int train_model_config(struct model_config *c, const struct train_opts *o, struct train_files *f,
                       struct model *tok, struct err *e) {
    return read_config(c, o, f, tok, NULL, e);
}

static bool vocab_was_set(const struct train_opts *o) {
    for (size_t i = 0; i < o->set.n; i++)
        if (!strcmp(o->set.key[i], "vocab_size")) return true;
    return false;
}

/* A line more of what there is to say. */
__attribute__((format(printf, 3, 4))) static int add_note(char **notes, struct err *e,
                                                          const char *fmt, ...) {
    char *line, *all = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&line, fmt, ap) < 0) line = NULL;
    va_end(ap);
    if (line && asprintf(&all, "%s%s\n", *notes ? *notes : "", line) < 0) all = NULL;
    free(line);
    if (!all) return err_set(e, ERR_NOMEM, "out of memory for notes");
    free(*notes);
    *notes = all;
    return 0;
}

/* What is trained on sequences that are longer than the description says knows that many positions
 * afterwards: every format must hold the number, not only those that hold duet.seq_len. LoRA leaves
 * its base as it is. */
static int fit_length(struct model_config *c, const struct train_opts *o, char **notes,
                      struct err *e) {
    int rc;
    const int64_t seq = o->seq ? o->seq : c->seq_len;
    const long long context = (long long)model_config_context(c), max = (long long)c->max_pos;
    TRY(config_check_length(c, o->seq, o->init ? o->init : o->model, e));
    if (o->init && o->seq > context)
        TRY(add_note(notes, e,
                     "%s: sequences of %lld tokens, the model is made for %lld; it begins without "
                     "having learned the positions beyond",
                     o->init, (long long)seq, context));
    if (seq > c->max_pos && !o->lora_rank) {
        json_object_set_new(c->json, "max_position_embeddings", json_integer(seq));
        c->max_pos = seq;
        if (!o->init)
            TRY(add_note(notes, e,
                         "the model gets a context of %lld tokens, the length of its sequences, "
                         "not the %lld (max_position_embeddings) of %s",
                         (long long)seq, max, o->model));
    }
    if (seq == c->seq_len) goto out;
    /* The length it was trained at belongs to the model: eval and generate go by it. */
    json_t *duet = json_object_get(c->json, "duet");
    if (!duet) json_object_set_new(c->json, "duet", duet = json_object());
    json_object_set_new(duet, "seq_len", json_integer(seq));
    c->seq_len = seq;
out:
    return rc;
}

int train_model_create(struct model *m, const struct train_opts *o, struct train_files *f,
                       int64_t vocab, struct err *e) {
    struct model_config c = {0};
    char *notes = NULL;
    int rc = read_config(&c, o, f, NULL, &notes, e);
    if (rc) {
        model_config_release(&c);
        free(notes);
        return rc;
    }
    const bool free_size = !o->init && !vocab_was_set(o);
    const char *name = o->init ? o->init : "--set vocab_size";
    rc = free_size ? 0 : tokenizer_check_size((uint32_t)vocab, c.vocab, name, e);
    if (rc) {
        model_config_release(&c);
        free(notes);
        return rc;
    }
    if (vocab && vocab != c.vocab && free_size) {
        /* From scratch the tokenizer decides: rows that no token uses would only cost time. */
        json_object_set_new(c.json, "vocab_size", json_integer(vocab));
        c.vocab = vocab;
    }
    rc = fit_length(&c, o, &notes, e);
    if (rc) {
        model_config_release(&c);
        free(notes);
        return rc;
    }
    rc = model_create(m, &c, e);
    if (rc)
        free(notes);
    else
        m->notes = notes;
    return rc;
}

int train_model_shape(struct model *m, const struct train_setup *s, const uint32_t *ids,
                      int64_t n_ids, struct err *e) {
    int rc;
    if (n_ids) TRY(model_compact(m, ids, n_ids, e));
    if (s->lora.rank) TRY(lora_attach(m, &s->lora, e));
    if (s->perturb) TRY(moves_apply(s->perturb, m->params, m->n_params, e));
    TRY(model_set_storage(m, s->weights, e));
out:
    return rc;
}

int train_model_load(struct model *m, const struct train_setup *s, const struct train_opts *o,
                     struct train_files *f, const char *base, struct err *e) {
    const int rc = model_reserve(m, e);
    return rc ? rc : train_model_begin(m, s, o, f, base, e);
}

int train_model_begin(struct model *m, const struct train_setup *s, const struct train_opts *o,
                      struct train_files *f, const char *base, struct err *e) {
    int rc;
    if (base)
        TRY(file_load(f, m, base, e));
    else
        TRY(model_init(m, (uint64_t)o->seed, e));
    if (s->lora.rank) lora_init(m, (uint64_t)o->seed);
    if (s->lora.rank && o->adapter) TRY(adapter_load_values(m, o->adapter, e));
out:
    return rc;
}
