/* BPE to and from the vocabulary of a GGUF. */
#include "tok_bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- from a GGUF ---------------------------------------------------------------------------- */

/* Written as special tokens are: <s>, [PAD]. */
static bool looks_special(const struct vocab_text *t) {
    return t->n > 2 &&
           ((t->s[0] == '<' && t->s[t->n - 1] == '>') || (t->s[0] == '[' && t->s[t->n - 1] == ']'));
}

/* Stands for no text. The end of a text does not, whatever the file calls it, unless it looks like
 * an ordinary word: files without a real one name any token. */
static bool is_special(const struct vocab *v, uint32_t id) {
    if (v->types[id] == VOCAB_CONTROL || v->types[id] == VOCAB_UNKNOWN) return true;
    const bool ends = v->eos == id || (v->add_bos && v->bos == id);
    return ends && v->types[id] == VOCAB_NORMAL && looks_special(&v->tokens[id]);
}

/* What a GGUF calls an id without a token. */
static void hole_name(uint32_t id, char out[16]) {
    snprintf(out, 16, "[PAD%u]", id);
}

static bool is_hole(const struct vocab *v, uint32_t id) {
    char name[16];
    hole_name(id, name);
    return v->types[id] == VOCAB_UNUSED && v->tokens[id].n == strlen(name) &&
           !memcmp(v->tokens[id].s, name, v->tokens[id].n);
}

/* Tokens by text, merges and added tokens of v; the lists exist. All tokens join the vocabulary:
 * Hugging Face's reader counts ids for added tokens that are not in it. */
static int fill_lists(const struct vocab *v, json_t *vocab, json_t *merges, json_t *added,
                      const char *name, struct err *e) {
    size_t n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct vocab_text *t = v->tokens + i;
        if (is_hole(v, i)) continue;
        n++;
        if (v->types[i] < VOCAB_NORMAL || v->types[i] >= VOCAB_BYTE)
            return err_set(e, ERR_INPUT,
                           "%s: token %u has type %u, which a BPE vocabulary does not have", name,
                           i, v->types[i]);
        if (memchr(t->s, 0, t->n))
            return err_set(e, ERR_INPUT, "%s: token %u has a NUL byte", name, i);
        if (json_object_setn_new(vocab, t->s, t->n, json_integer(i)))
            return err_set(e, ERR_INPUT, "%s: token %u is not UTF-8", name, i);
        if (is_special(v, i) || v->types[i] == VOCAB_USER)
            json_array_append_new(added, bpe_added_token(t->s, t->n, i, is_special(v, i)));
    }
    if (json_object_size(vocab) != n)
        return err_set(e, ERR_INPUT, "%s: two of its %u tokens have the same text", name, v->n);
    for (size_t i = 0; i < v->n_merges; i++)
        if (memchr(v->merges[i].s, 0, v->merges[i].n) ||
            json_array_append_new(merges, json_stringn(v->merges[i].s, v->merges[i].n)))
            return err_set(e, ERR_INPUT, "%s: merge %zu is not UTF-8 without NUL bytes", name, i);
    return 0;
}

int bpe_tree_of_vocab(const struct vocab *v, const char *name, json_t **root, struct err *e) {
    const struct bpe_pre *p = bpe_pre_find(v->pre, name, e);
    if (!p) return ERR_INPUT;
    if (v->add_eos)
        return err_set(e, ERR_INPUT,
                       "%s: its tokenizer puts an end token behind every text: not supported",
                       name);
    const int64_t bos = v->add_bos ? v->bos : -1;
    if (bos >= 0 && !is_special(v, (uint32_t)bos))
        return err_set(e, ERR_INPUT,
                       "%s: token %lld, which it puts in front of a text, is not a control token",
                       name, (long long)bos);
    int64_t named[4] = {v->bos, v->eos, v->unk, v->pad};
    if (v->eos >= 0 && !is_special(v, (uint32_t)v->eos)) named[1] = -1;
    json_t *vocab = json_object(), *merges = json_array(), *added = json_array();
    const int rc = fill_lists(v, vocab, merges, added, name, e);
    if (rc) {
        json_decref(vocab);
        json_decref(merges);
        json_decref(added);
        return rc;
    }
    *root = bpe_tree(p, vocab, merges, added, bos >= 0 ? v->tokens + bos : NULL, bos, named);
    return *root ? 0 : err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
}

int bpe_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e) {
    json_t *root;
    const int rc = bpe_tree_of_vocab(v, name, &root, e);
    return rc ? rc : bpe_write(root, name, blob, bytes, e);
}

/* ---- to a GGUF ------------------------------------------------------------------------------ */

/* Texts of ids without a token, and of bytes. */
struct names {
    char (*holes)[16], bytes[256][8];
};

static int added_type(const json_t *token, struct vocab *v, struct err *e) {
    const uint32_t id = (uint32_t)json_integer_value(json_object_get(token, "id"));
    v->types[id] = json_is_true(json_object_get(token, "special")) ? VOCAB_CONTROL : VOCAB_USER;
    for (int i = 0; i < 2; i++)
        if (json_is_true(json_object_get(token, i ? "rstrip" : "lstrip")))
            return err_set(e, ERR_INPUT,
                           "a GGUF cannot hold token %u \"%.60s\", which takes the blanks beside "
                           "it (%s)",
                           id, json_string_value(json_object_get(token, "content")),
                           i ? "rstrip" : "lstrip");
    return 0;
}

/* Tokens as the file writes them, and their types. */
static int put_tokens(const struct tokenizer *t, const json_t *root, struct vocab *v,
                      struct names *names, struct err *e) {
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab"), *a;
    const char *key;
    json_t *id;
    size_t i;
    v->n = t->vocab;
    v->tokens = calloc(v->n ? v->n : 1, sizeof *v->tokens);
    v->types = malloc(v->n ? v->n : 1);
    names->holes = calloc(v->n ? v->n : 1, sizeof *names->holes);
    if (!v->tokens || !v->types || !names->holes)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %u tokens", v->n);
    memset(v->types, VOCAB_NORMAL, v->n);
    json_object_foreach((json_t *)(uintptr_t)vocab, key, id) {
        const uint32_t n = (uint32_t)json_integer_value(id);
        char hole[16];
        hole_name(n, hole);
        if (strcmp(key, hole) == 0) v->types[n] = VOCAB_UNUSED;
        v->tokens[n] = (struct vocab_text){key, (uint32_t)strlen(key)};
    }
    json_array_foreach(json_object_get(root, "added_tokens"), i, a) {
        const char *content = json_string_value(json_object_get(a, "content"));
        v->tokens[json_integer_value(json_object_get(a, "id"))] =
            (struct vocab_text){content, (uint32_t)strlen(content)};
        int rc = added_type(a, v, e);
        if (rc) return rc;
    }
    for (uint32_t n = 0; n < v->n; n++) {
        if (v->tokens[n].n) continue;
        if (t->pieces[n].flags & TOK_DEFINED)
            return err_set(e, ERR_INPUT, "a GGUF cannot hold token %u, which is empty", n);
        hole_name(n, names->holes[n]);
        v->tokens[n] = (struct vocab_text){names->holes[n], (uint32_t)strlen(names->holes[n])};
        v->types[n] = VOCAB_UNUSED;
    }
    return 0;
}

/* Merges as "a b"; pairs in the file become that there. */
static int put_merges(struct vocab *v, json_t *root, struct err *e) {
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges"), *m;
    size_t i;
    v->merges = calloc(json_array_size(merges), sizeof *v->merges);
    if (!v->merges) return err_set(e, ERR_NOMEM, "no memory for merges");
    json_array_foreach(merges, i, m) {
        const char *key[2];
        size_t n[2];
        if (!bpe_merge_keys(m, key, n) || memchr(key[0], ' ', n[0]) || memchr(key[1], ' ', n[1]))
            return err_set(e, ERR_INPUT, "a GGUF cannot hold merge %zu: a part of it has a blank",
                           i);
        if (json_is_array(m) &&
            json_array_set_new(merges, i, json_pack("s++", key[0], " ", key[1])))
            return err_set(e, ERR_NOMEM, "no memory for merges");
        m = json_array_get(merges, i);
        v->merges[i] = (struct vocab_text){json_string_value(m), (uint32_t)json_string_length(m)};
    }
    v->n_merges = json_array_size(merges);
    return 0;
}

/* Without merges llama.cpp does not take a BPE vocabulary. If every byte is a token and there are
 * no others, a SentencePiece vocabulary of bytes computes the same. */
static int bytes_to_spm(const struct tokenizer *t, struct vocab *v, struct names *names,
                        struct err *e) {
    const struct bpe *b = t->impl;
    v->model = VOCAB_SPM;
    if (!(v->scores = calloc(v->n ? v->n : 1, sizeof *v->scores)))
        return err_set(e, ERR_NOMEM, "no memory for scores");
    bool all = t->exact;
    for (int k = 0; k < 256; k++) {
        const uint32_t id = b->byte_id[k];
        if (id == MAP_NONE || v->types[id] != VOCAB_NORMAL) {
            all = false;
            continue;
        }
        snprintf(names->bytes[k], sizeof names->bytes[k], "<0x%02X>", (unsigned)k);
        v->tokens[id] = (struct vocab_text){names->bytes[k], 6};
        v->types[id] = VOCAB_BYTE;
    }
    for (uint32_t i = 0; i < v->n; i++) all &= v->types[i] != VOCAB_NORMAL;
    return all ? 0
               : err_set(e, ERR_INPUT,
                         "a GGUF cannot hold a BPE tokenizer without merges, but for the 256 bytes "
                         "and added tokens");
}

static int bytes_to_vocab(const struct tokenizer *t, json_t *root, struct vocab *v,
                          struct names *names, struct err *e) {
    if (!json_array_size(json_object_get(json_object_get(root, "model"), "merges")))
        return bytes_to_spm(t, v, names, e);
    const struct bpe_pre *p = bpe_pre_of(t->impl);
    if (!p)
        return err_set(e, ERR_INPUT,
                       "GGUF has no name for the tokenizer's pre-tokenizer: its pre_tokenizer, "
                       "normalizer and ignore_merges are none of gpt-2, smollm, llama-bpe, qwen2 "
                       "and default");
    snprintf(v->pre, sizeof v->pre, "%s", bpe_pre_name(p));
    return put_merges(v, root, e);
}

/* Copies the texts, which point into the file. */
static int own_texts(struct vocab *v, struct err *e) {
    size_t total = 0;
    for (uint32_t i = 0; i < v->n; i++) total += v->tokens[i].n;
    for (size_t i = 0; i < v->n_merges; i++) total += v->merges[i].n;
    if (!(v->text = malloc(total + 1)))
        return err_set(e, ERR_NOMEM, "no memory for the texts of a vocabulary");
    v->text_cap = total + 1;
    for (size_t i = 0; i < v->n + v->n_merges; i++) {
        struct vocab_text *x = i < v->n ? &v->tokens[i] : &v->merges[i - v->n];
        memcpy(v->text + v->text_n, x->s, x->n);
        x->s = v->text + v->text_n;
        v->text_n += x->n;
    }
    return 0;
}

/* What it was made from, or NULL: no memory. */
static json_t *tree_of(const struct tokenizer *t) {
    struct err ignored;
    json_t *root;
    if (!t->made_of) return json_loadb(t->blob, t->blob_bytes, 0, NULL);
    return bpe_tree_of_vocab(t->made_of, "itself", &root, &ignored) ? NULL : root;
}

int bpe_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e) {
    int rc;
    const struct bpe *b = t->impl;
    struct names names = {0};
    json_t *root = tree_of(t);
    if (!root) return err_set(e, ERR_NOMEM, "no memory for a vocabulary");
    TRY(put_tokens(t, root, v, &names, e));
    v->bos = t->bos >= 0 ? t->bos : b->named[0];
    v->eos = t->eos;
    v->unk = b->unk != MAP_NONE ? (int64_t)b->unk : b->named[2];
    v->pad = b->named[3];
    v->add_bos = t->bos >= 0;
    if (b->bytes)
        TRY(bytes_to_vocab(t, root, v, &names, e));
    else
        TRY(bpe_chars_to_vocab(t, root, v, e));
    TRY(own_texts(v, e));
out:
    free(names.holes);
    json_decref(root);
    return rc;
}

/* The file itself, without the key that only duet knows: other readers may refuse it. */
int bpe_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    json_t *root = tree_of(t);
    const bool ours = t->made_of || json_object_get(root, "duet") != NULL;
    if (ours) json_object_del(root, "duet");
    char *text = ours ? json_dumps(root, JSON_COMPACT) : NULL;
    const size_t n = text ? strlen(text) : t->blob_bytes;
    int rc = 0;
    json_decref(root);
    if ((ours && !text) || grow(&out->data, &out->cap, out->n + n + 1, 1)) {
        rc = err_set(e, ERR_NOMEM, "no memory for a tokenizer.json");
    } else {
        memcpy(out->data + out->n, text ? text : t->blob, n + 1);
        out->n += n;
    }
    free(text);
    return rc;
}
