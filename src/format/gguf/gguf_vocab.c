/* tokenizer.ggml.* to a vocabulary and back. Defaults are llama.cpp's. */
#include "gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_VOCAB (1u << 24)
#define PAD_SCORE -10000.0f

/* ---- reading -------------------------------------------------------------------------------- */

/* An array, whose values must be of this type; n > 0: and so many. NULL *kv: absent. */
static int get_array(const struct gguf *g, const char *key, enum gguf_type item, uint64_t n,
                     const struct gguf_kv **kv, struct err *e) {
    const int rc = gguf_get(g, key, GGUF_ARRAY, kv, e);
    if (rc || !*kv) return rc;
    if ((*kv)->item != item)
        return err_set(e, ERR_INPUT,
                       "%s: key %s at offset %" PRIu64 " is an array of %s, expected %s", g->path,
                       key, (*kv)->offset, gguf_type_names[(*kv)->item], gguf_type_names[item]);
    if (n && (*kv)->n != n)
        return err_set(e, ERR_INPUT,
                       "%s: key %s at offset %" PRIu64 " has %" PRIu64
                       " values, but there are %" PRIu64 " tokens",
                       g->path, key, (*kv)->offset, (*kv)->n, n);
    return 0;
}

static int no_memory(const struct gguf *g, struct err *e) {
    return err_set(e, ERR_NOMEM, "%s: no memory for its vocabulary", g->path);
}

static void read_texts(struct vocab_text *to, const struct gguf_kv *kv) {
    const uint8_t *p = kv->value;
    for (uint64_t i = 0; i < kv->n; i++) {
        to[i] = gguf_text(p);
        p += sizeof(uint64_t) + to[i].n;
    }
}

/* Is it one of those names, and not a text of the file? */
static bool is_named(const struct vocab *v, const char *s) {
    return v->text && s >= v->text && s < v->text + v->text_n;
}

static int check_unique(const struct gguf *g, const struct vocab *v, struct err *e) {
    struct vocab_text *sorted = malloc(v->n * sizeof *sorted);
    int rc = 0;
    if (!sorted) return no_memory(g, e);
    memcpy(sorted, v->tokens, v->n * sizeof *sorted);
    gguf_sort(sorted, v->n);
    for (uint32_t i = 1; i < v->n && !rc; i++)
        if (!gguf_text_cmp(sorted + i - 1, sorted + i))
            rc = err_set(e, ERR_INPUT,
                         "%s: key tokenizer.ggml.tokens: token \"%.*s\" at offset %zu is there "
                         "twice",
                         g->path, gguf_shown(sorted[i]), sorted[i].s,
                         (size_t)((const uint8_t *)sorted[i - is_named(v, sorted[i].s)].s -
                                  g->mf->map.data));
    free(sorted);
    return rc;
}

/* Empty tokens get the names that llama.cpp gives them. */
static int name_empty(const struct gguf *g, struct vocab *v, struct err *e) {
    enum { ROOM = 24 };
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n; i++) n += !v->tokens[i].n;
    if (!n) return 0;
    if (!(v->text = malloc((size_t)n * ROOM))) return no_memory(g, e);
    v->text_n = v->text_cap = (size_t)n * ROOM;
    char *at = v->text;
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->tokens[i].n) continue;
        const int k = snprintf(at, ROOM, "[EMPTY_%u]", (unsigned)i);
        v->tokens[i] = (struct vocab_text){at, (uint32_t)k};
        at += ROOM;
    }
    model_file_note(g->mf, "%s: %u empty token%s: called [EMPTY_id], and unused.", g->path,
                    (unsigned)n, n > 1 ? "s" : "");
    return 0;
}

static int read_tokens(const struct gguf *g, struct vocab *v, uint32_t rows, struct err *e) {
    const struct gguf_kv *kv;
    int rc = get_array(g, "tokenizer.ggml.tokens", GGUF_STRING, 0, &kv, e);
    if (rc) return rc;
    if (!kv || kv->n < 1 || kv->n > MAX_VOCAB)
        return err_set(e, ERR_INPUT, "%s: key tokenizer.ggml.tokens is %s, expected 1 to %u tokens",
                       g->path,
                       !kv     ? "missing"
                       : kv->n ? "too long"
                               : "empty",
                       MAX_VOCAB);
    if (rows && kv->n != rows)
        return err_set(e, ERR_INPUT,
                       "%s: key tokenizer.ggml.tokens at offset %" PRIu64 " has %" PRIu64
                       " tokens, but the model has a vocabulary of %u",
                       g->path, kv->offset, kv->n, (unsigned)rows);
    v->n = (uint32_t)kv->n;
    if (!(v->tokens = calloc(v->n, sizeof *v->tokens))) return no_memory(g, e);
    read_texts(v->tokens, kv);
    TRY(name_empty(g, v, e));
    TRY(check_unique(g, v, e));
out:
    return rc;
}

static int read_types(const struct gguf *g, struct vocab *v, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = get_array(g, "tokenizer.ggml.token_type", GGUF_I32, v->n, &kv, e);
    if (rc) return rc;
    if (!(v->types = malloc(v->n))) return no_memory(g, e);
    memset(v->types, VOCAB_NORMAL, v->n);
    uint32_t undefined = 0;
    for (uint32_t i = 0; kv && i < v->n; i++) {
        const uint32_t type = gguf_u32(kv->value + 4 * (size_t)i);
        if (type > VOCAB_BYTE)
            return err_set(e, ERR_INPUT,
                           "%s: key tokenizer.ggml.token_type: type of token %u at offset %zu is "
                           "%d, expected 0 to 6",
                           g->path, (unsigned)i,
                           (size_t)(kv->value - g->mf->map.data) + 4 * (size_t)i, (int)type);
        if (type) v->types[i] = (uint8_t)type;
        undefined += !type;
    }
    for (uint32_t i = 0; i < v->n; i++)
        if (is_named(v, v->tokens[i].s)) v->types[i] = VOCAB_UNUSED;
    if (undefined) /* llama.cpp finds them in a text as it finds normal ones */
        model_file_note(g->mf, "%s: %u token%s of type 0, undefined: read as normal.", g->path,
                        (unsigned)undefined, undefined > 1 ? "s" : "");
    return 0;
}

/* Only SentencePiece's model merges by them. */
static int read_scores(const struct gguf *g, struct vocab *v, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = get_array(g, "tokenizer.ggml.scores", GGUF_F32, v->n, &kv, e);
    if (rc || v->model != VOCAB_SPM) return rc;
    if (!(v->scores = calloc(v->n, sizeof *v->scores))) return no_memory(g, e);
    for (uint32_t i = 0; kv && i < v->n; i++) {
        v->scores[i] = gguf_f32(kv->value + 4 * (size_t)i);
        if (!isfinite(v->scores[i]))
            return err_set(e, ERR_INPUT,
                           "%s: key tokenizer.ggml.scores: score of token %u at offset %zu is not "
                           "finite",
                           g->path, (unsigned)i,
                           (size_t)(kv->value - g->mf->map.data) + 4 * (size_t)i);
    }
    return 0;
}

/* A blank that neither begins nor ends it. */
static bool is_merge(struct vocab_text t) {
    const char *blank = t.n > 2 ? memchr(t.s + 1, ' ', t.n - 2) : NULL;
    return blank && t.s[0] != ' ' && t.s[t.n - 1] != ' ' &&
           !memchr(blank + 1, ' ', (size_t)(t.s + t.n - blank) - 1);
}

static int read_merges(const struct gguf *g, struct vocab *v, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = get_array(g, "tokenizer.ggml.merges", GGUF_STRING, 0, &kv, e);
    if (rc || v->model != VOCAB_BPE) return rc;
    if (!kv || !kv->n)
        return err_set(e, ERR_INPUT,
                       "%s: key tokenizer.ggml.merges is %s, which a gpt2 tokenizer cannot be",
                       g->path, kv ? "empty" : "missing");
    if (!(v->merges = calloc((size_t)kv->n, sizeof *v->merges))) return no_memory(g, e);
    v->n_merges = (size_t)kv->n;
    read_texts(v->merges, kv);
    for (size_t i = 0; i < v->n_merges; i++)
        if (!is_merge(v->merges[i]))
            return err_set(e, ERR_INPUT,
                           "%s: key tokenizer.ggml.merges: merge %zu at offset %zu is \"%.*s\", "
                           "expected two texts with a blank between them",
                           g->path, i, (size_t)((const uint8_t *)v->merges[i].s - g->mf->map.data),
                           gguf_shown(v->merges[i]), v->merges[i].s);
    return 0;
}

static bool is_control(uint8_t type) {
    return type == VOCAB_CONTROL || type == VOCAB_UNKNOWN;
}

/* Where llama.cpp looks for an id that the file does not give, text may stand: a byte, or a word of
 * a vocabulary whose control tokens are others. In one without types any token may be it. */
static bool may_be(const struct vocab *v, int64_t id) {
    bool typed = false;
    if (id < 0 || id >= v->n) return false;
    for (uint32_t i = 0; i < v->n && !typed; i++)
        typed = is_control(v->types[i]) || v->types[i] == VOCAB_BYTE;
    return !typed || is_control(v->types[id]);
}

/* def: where the file gives none. */
static int read_id(const struct gguf *g, const struct vocab *v, const char *key, int64_t def,
                   int64_t *id, struct err *e) {
    const int rc = gguf_token_id(g, key, v->n, id, e);
    if (!rc && *id < 0 && may_be(v, def)) *id = def;
    return rc;
}

static int read_bool(const struct gguf *g, const char *key, bool def, bool *v, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get(g, key, GGUF_BOOL, &kv, e);
    if (!rc) *v = kv ? *kv->value : def;
    return rc;
}

/* llama.cpp knows more about a few pre-tokenizers than the file says. */
static bool adds_bos(const struct vocab *v) {
    static const char *const names[] = {"llama-bpe", "llama3", "llama-v3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(v->pre, names[i])) return true;
    return v->model == VOCAB_SPM;
}

static int read_settings(const struct gguf *g, struct vocab *v, struct err *e) {
    const bool spm = v->model == VOCAB_SPM;
    int rc;
    TRY(read_id(g, v, "tokenizer.ggml.bos_token_id", spm ? 1 : -1, &v->bos, e));
    TRY(read_id(g, v, "tokenizer.ggml.eos_token_id", spm ? 2 : -1, &v->eos, e));
    TRY(read_id(g, v, "tokenizer.ggml.unknown_token_id", spm ? 0 : -1, &v->unk, e));
    TRY(read_id(g, v, "tokenizer.ggml.padding_token_id", -1, &v->pad, e));
    TRY(read_bool(g, "tokenizer.ggml.add_bos_token", adds_bos(v), &v->add_bos, e));
    TRY(read_bool(g, "tokenizer.ggml.add_eos_token", false, &v->add_eos, e));
    if (!spm) goto out;
    TRY(read_bool(g, "tokenizer.ggml.add_space_prefix", true, &v->add_space_prefix, e));
    TRY(read_bool(g, "tokenizer.ggml.remove_extra_whitespaces", false, &v->remove_extra_spaces, e));
out:
    return rc;
}

/* A tokenizer of a kind that duet has not, or one with a fault, is no reason to refuse the weights:
 * e says why. */
static int leave_out(const struct gguf *g, const struct err *e) {
    static const char start[] = "tokenizer.ggml.";
    for (size_t i = 0; i < g->n_kv; i++) {
        struct gguf_kv *kv = g->kv + i;
        kv->used |= kv->key.n >= sizeof start - 1 && !memcmp(kv->key.s, start, sizeof start - 1);
    }
    free(g->mf->tokenizer_problem);
    g->mf->tokenizer_problem = strdup(e->msg);
    return g->mf->tokenizer_problem ? 0 : ERR_NOMEM;
}

/* *some: there is a vocabulary. */
static int read_kind(const struct gguf *g, struct vocab *v, bool *some, struct err *e) {
    const struct gguf_kv *kv, *pre;
    int rc;
    *some = false;
    TRY(gguf_get(g, "tokenizer.ggml.model", GGUF_STRING, &kv, e));
    if (!kv) goto out;
    const struct vocab_text t = gguf_text(kv->value);
    if (gguf_text_is(t, "none")) goto out;
    if (!gguf_text_is(t, "gpt2") && !gguf_text_is(t, "llama")) {
        rc = err_set(e, ERR_INPUT,
                     "%s: key tokenizer.ggml.model at offset %" PRIu64
                     " is \"%.*s\"; duet knows gpt2, llama and none",
                     g->path, kv->offset, gguf_shown(t), t.s);
        goto out;
    }
    *some = true;
    v->model = gguf_text_is(t, "gpt2") ? VOCAB_BPE : VOCAB_SPM;
    TRY(gguf_get(g, "tokenizer.ggml.pre", GGUF_STRING, &pre, e));
    const struct vocab_text name = pre ? gguf_text(pre->value) : (struct vocab_text){"", 0};
    if (name.n >= sizeof v->pre || memchr(name.s, 0, name.n)) {
        rc = err_set(e, ERR_INPUT,
                     "%s: key tokenizer.ggml.pre at offset %" PRIu64 " is no short name", g->path,
                     pre->offset);
        goto out;
    }
    if (v->model == VOCAB_BPE) memcpy(v->pre, name.s, name.n);
out:
    return rc;
}

int gguf_read_vocab(const struct gguf *g, uint32_t vocab, struct err *e) {
    struct vocab v = {0};
    bool some;
    int rc;
    TRY(read_kind(g, &v, &some, e));
    if (!some) goto out;
    TRY(read_tokens(g, &v, vocab, e));
    TRY(read_types(g, &v, e));
    TRY(read_scores(g, &v, e));
    TRY(read_merges(g, &v, e));
    TRY(read_settings(g, &v, e));
    if ((g->mf->vocab = malloc(sizeof v))) {
        *g->mf->vocab = v;
        return 0;
    }
    rc = no_memory(g, e);
out:
    vocab_release(&v);
    return rc == ERR_INPUT && g->n_tensors ? leave_out(g, e) : rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Rows beyond the vocabulary are called "[PADi]", as llama.cpp's converter does. */
static int check_pads(const struct vocab *v, uint32_t rows, struct err *e) {
    const int rc = vocab_check_size(v->n, rows, "the GGUF", e);
    if (rc) return rc;
    for (uint32_t i = 0; i < v->n && v->n < rows; i++) {
        char text[16], *end;
        const struct vocab_text t = v->tokens[i];
        if (t.n < 6 || t.n >= sizeof text || memcmp(t.s, "[PAD", 4)) continue;
        memcpy(text, t.s, t.n);
        text[t.n] = 0;
        const unsigned long id = strtoul(text + 4, &end, 10);
        if (text[4] >= '1' && text[4] <= '9' && !strcmp(end, "]") && id >= v->n && id < rows)
            return err_set(e, ERR_INPUT,
                           "the tokenizer has a token %s, the name of a row beyond its tokens",
                           text);
    }
    return 0;
}

static void put_tokens(struct gguf_out *o, const struct vocab *v, uint32_t rows) {
    gguf_put_array(o, "tokenizer.ggml.tokens", GGUF_STRING, rows);
    for (uint32_t i = 0; i < v->n; i++) gguf_put_text(o, v->tokens[i].s, v->tokens[i].n);
    for (uint32_t i = v->n; i < rows; i++) {
        char text[32];
        const int n = snprintf(text, sizeof text, "[PAD%u]", (unsigned)i);
        gguf_put_text(o, text, (size_t)n);
    }
    if (v->model == VOCAB_SPM) {
        const float pad = PAD_SCORE;
        gguf_put_array(o, "tokenizer.ggml.scores", GGUF_F32, rows);
        gguf_put_bytes(o, v->scores, v->n * sizeof *v->scores);
        for (uint32_t i = v->n; i < rows; i++) gguf_put_bytes(o, &pad, sizeof pad);
    }
    gguf_put_array(o, "tokenizer.ggml.token_type", GGUF_I32, rows);
    for (uint32_t i = 0; i < rows; i++) {
        const int32_t type = i < v->n ? v->types[i] : VOCAB_UNUSED;
        gguf_put_bytes(o, &type, sizeof type);
    }
    if (v->model == VOCAB_SPM) return;
    gguf_put_array(o, "tokenizer.ggml.merges", GGUF_STRING, v->n_merges);
    for (size_t i = 0; i < v->n_merges; i++) gguf_put_text(o, v->merges[i].s, v->merges[i].n);
}

/* The vocabulary's id, else the config's; a list of ids stands for its first. */
static int put_id(struct gguf_out *o, const char *key, int64_t id, const json_t *config,
                  const char *hf, uint32_t rows, struct err *e) {
    const json_t *j = json_object_get(config, hf);
    if (json_is_array(j)) j = json_array_get(j, 0);
    if (id < 0 && j && !json_is_null(j)) {
        if (!json_is_integer(j) || json_integer_value(j) < 0 || json_integer_value(j) >= rows)
            return err_set(e, ERR_INPUT, "config: %s is not the id of one of %u tokens", hf,
                           (unsigned)rows);
        id = json_integer_value(j);
    }
    if (id >= 0) gguf_put_u32(o, key, (uint32_t)id);
    return 0;
}

static int put_ids(struct gguf_out *o, const struct vocab *v, const json_t *config, uint32_t rows,
                   struct err *e) {
    const struct {
        const char *gguf, *hf;
        int64_t id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", "bos_token_id", v ? v->bos : -1},
               {"tokenizer.ggml.eos_token_id", "eos_token_id", v ? v->eos : -1},
               {"tokenizer.ggml.unknown_token_id", "unk_token_id", v ? v->unk : -1},
               {"tokenizer.ggml.padding_token_id", "pad_token_id", v ? v->pad : -1}};
    int rc = 0;
    for (size_t i = 0; i < sizeof ids / sizeof *ids && !rc; i++)
        rc = put_id(o, ids[i].gguf, ids[i].id, config, ids[i].hf, rows, e);
    return rc;
}

static int put_template(struct gguf_out *o, const json_t *config, struct err *e) {
    const json_t *t = json_object_get(json_object_get(config, "duet"), "chat_template");
    if (!t || json_is_null(t)) return 0;
    if (!json_is_string(t))
        return err_set(e, ERR_INPUT, "config: duet.chat_template is not a text");
    gguf_put_string(o, "tokenizer.chat_template", json_string_value(t));
    return 0;
}

int gguf_put_vocab(struct gguf_out *o, const struct vocab *v, const json_t *config, uint32_t rows,
                   struct err *e) {
    int rc;
    if (!v) {
        gguf_put_string(o, "tokenizer.ggml.model", "none");
    } else {
        const bool spm = v->model == VOCAB_SPM;
        TRY(check_pads(v, rows, e));
        if (!spm && !v->n_merges) {
            rc = err_set(e, ERR_INPUT,
                         "the tokenizer has no merges, without which a reader of "
                         "GGUF refuses a gpt2 vocabulary");
            goto out;
        }
        gguf_put_string(o, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
        gguf_put_string(o, "tokenizer.ggml.pre", !spm && v->pre[0] ? v->pre : "default");
        put_tokens(o, v, rows);
        gguf_put_bool(o, "tokenizer.ggml.add_bos_token", v->add_bos);
        gguf_put_bool(o, "tokenizer.ggml.add_eos_token", v->add_eos);
        if (spm) {
            gguf_put_bool(o, "tokenizer.ggml.add_space_prefix", v->add_space_prefix);
            gguf_put_bool(o, "tokenizer.ggml.remove_extra_whitespaces", v->remove_extra_spaces);
        }
    }
    TRY(put_ids(o, v, config, rows, e));
    TRY(put_template(o, config, e));
out:
    return rc;
}
