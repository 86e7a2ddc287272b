/* The built-in tokenizer: every byte is a token. */
#include "spm_model.h"
#include "tok.h"
#include "tok_bpe.h"
#include "unicode.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_EOS 256
#define EOS_TEXT "<|endoftext|>"

static bool byte_probe(const uint8_t *data, size_t bytes) {
    return bytes == 4 && memcmp(data, "byte", 4) == 0;
}

static int byte_load(struct tokenizer *t, const char *name, struct err *e) {
    (void)name;
    int rc;
    TRY(tok_table_init(t, BYTE_EOS + 1, e));
    for (uint32_t b = 0; b < 256; b++) {
        char c = (char)b;
        TRY(tok_table_set(t, b, &c, 1, 0, e));
    }
    TRY(tok_table_set(t, BYTE_EOS, EOS_TEXT, strlen(EOS_TEXT), TOK_SPECIAL, e));
    TRY(tok_table_mark(t, BYTE_EOS, 0, e));
    t->eos = BYTE_EOS;
    t->exact = true;
out:
    return rc;
}

static void byte_release(void *impl) {
    (void)impl;
}

static int byte_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                       struct tok_ids *out, struct err *e) {
    (void)t;
    (void)s;
    int rc = tok_ids_reserve(out, n, e);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) out->ids[out->n + i] = (uint8_t)text[i];
    out->n += n;
    return 0;
}

/* An SPM vocabulary of byte tokens: nothing merges, every character falls back to its bytes. A
 * blank is no byte there, since it is U+2581 before anything else happens. */
static int byte_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e) {
    const size_t step = sizeof "<0x00>";
    v->model = VOCAB_SPM;
    v->n = t->vocab;
    v->tokens = calloc(v->n, sizeof *v->tokens);
    v->types = calloc(v->n, 1);
    v->scores = calloc(v->n, sizeof *v->scores);
    v->text = malloc(256 * step);
    if (!v->tokens || !v->types || !v->scores || !v->text)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %u tokens", v->n);
    v->text_n = v->text_cap = 256 * step;
    for (uint32_t b = 0; b < 256; b++) {
        snprintf(v->text + b * step, step, "<0x%02X>", b);
        v->tokens[b] = (struct vocab_text){v->text + b * step, (uint32_t)step - 1};
        v->types[b] = VOCAB_BYTE;
    }
    v->tokens[' '] = (struct vocab_text){SPM_BLANK, (uint32_t)strlen(SPM_BLANK)};
    v->types[' '] = VOCAB_NORMAL;
    v->tokens[BYTE_EOS] = (struct vocab_text){EOS_TEXT, (uint32_t)strlen(EOS_TEXT)};
    v->types[BYTE_EOS] = VOCAB_CONTROL;
    v->bos = v->unk = v->pad = -1;
    v->eos = BYTE_EOS;
    return 0;
}

/* Byte-level BPE without merges. */
static int byte_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    (void)t;
    json_t *vocab = json_object();
    for (uint32_t b = 0; b < 256; b++) {
        char key[5] = {0};
        utf8_write(bpe_byte_char((uint8_t)b), key);
        json_object_set_new(vocab, key, json_integer(b));
    }
    json_object_set_new(vocab, EOS_TEXT, json_integer(BYTE_EOS));
    json_t *level = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                              "trim_offsets", 0, "use_regex", 0);
    json_t *root = json_pack(
        "{s:s, s:n, s:n, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:O, s:n, s:O, "
        "s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:O, s:[]}}",
        "version", "1.0", "truncation", "padding", "added_tokens", "id", BYTE_EOS, "content",
        EOS_TEXT, "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1,
        "normalizer", "pre_tokenizer", level, "post_processor", "decoder", level, "model", "type",
        "BPE", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
        "fuse_unk", 0, "byte_fallback", 0, "vocab", vocab, "merges");
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    int rc = text ? spm_append(out, text, strlen(text), e)
                  : err_set(e, ERR_NOMEM, "no memory for a tokenizer.json");
    if (rc == 0) rc = spm_append(out, "\n", 1, e);
    free(text);
    json_decref(root);
    json_decref(level);
    json_decref(vocab);
    return rc;
}

const struct tok_kind tok_byte = {.name = "byte",
                                  .probe = byte_probe,
                                  .load = byte_load,
                                  .release = byte_release,
                                  .encode = byte_encode,
                                  .to_vocab = byte_to_vocab,
                                  .to_json = byte_to_json};
