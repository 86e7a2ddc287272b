/* SentencePiece models: against a plain re-implementation of their algorithm, real ones against the
 * ids of other programs, and their forms (tokenizer.bin, the vocabulary of a GGUF, tokenizer.json).
 * Bad files: test_spm_errors.c. */
#include "data.h"
#include "err.h"
#include "spm_fixture.h"
#include "tok_util.h"

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLANK "\xe2\x96\x81"
#define LINE "\n__ggml_vocab_test__\n"

static struct tokenizer *open_blob(const void *data, size_t n) {
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open_blob(&t, data, n, "model", &e)) fail_msg("%s", e.msg);
    assert_string_equal(tokenizer_kind(t), "spm");
    return t;
}

static struct tok_ids encode(const struct tokenizer *t, const char *text, size_t n) {
    struct tok_ids ids = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, n, true, false, &ids, &e)) fail_msg("%s", e.msg);
    return ids;
}

static void check(const struct tokenizer *t, const char *text, const char *want) {
    char got[1000] = "";
    struct tok_ids ids = encode(t, text, strlen(text));
    for (size_t i = 0; i < ids.n; i++) sprintf(got + strlen(got), i ? " %u" : "%u", ids.ids[i]);
    if (strcmp(got, want)) fail_msg("\"%s\": %s, expected %s", text, got, want);
    free(ids.ids);
}

/* ---- the algorithm as its source has it ----------------------------------------------------- */

#define MAX_PIECES 400
struct plain_model {
    size_t n;
    struct {
        char s[64];
        float score;
        int type;
    } p[MAX_PIECES];
    bool fallback;
};

static void add(struct plain_model *m, const char *s, float score, int type) {
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->p[i].s, s) == 0) return;
    assert_true(m->n < MAX_PIECES);
    snprintf(m->p[m->n].s, sizeof m->p->s, "%s", s);
    m->p[m->n].score = score;
    m->p[m->n++].type = type;
}

static int find(const struct plain_model *m, const char *s, size_t n) {
    for (size_t i = 0; i < m->n; i++)
        if (strlen(m->p[i].s) == n && memcmp(m->p[i].s, s, n) == 0 &&
            (m->p[i].type == VOCAB_NORMAL || m->p[i].type == VOCAB_USER ||
             m->p[i].type == VOCAB_UNUSED))
            return (int)i;
    return -1;
}

struct sym {
    const char *s;
    size_t n;
    bool frozen;
};

/* The last merge that made each unused piece. */
struct splits {
    size_t left[MAX_PIECES];
};

static void emit(const struct plain_model *m, const struct splits *sp, const char *s, size_t n,
                 uint32_t *ids, size_t *k) {
    int id = find(m, s, n);
    if (id >= 0 && m->p[id].type == VOCAB_UNUSED && sp->left[id]) {
        emit(m, sp, s, sp->left[id], ids, k);
        emit(m, sp, s + sp->left[id], n - sp->left[id], ids, k);
    } else if (id >= 0) {
        ids[(*k)++] = (uint32_t)id;
    } else if (m->fallback) {
        for (size_t i = 0; i < n; i++) ids[(*k)++] = 3 + (uint8_t)s[i];
    } else if (*k == 0 || ids[*k - 1] != 0) {
        ids[(*k)++] = 0;
    }
}

static size_t symbols(const struct plain_model *m, const char *text, struct sym *y) {
    size_t n = 0;
    for (size_t i = 0, len = strlen(text); i < len; i += y[n++].n) {
        y[n] = (struct sym){text + i, 1, false};
        while ((text[i + y[n].n] & 0xc0) == 0x80) y[n].n++;
        for (size_t id = 0, best = 0; id < m->n; id++) {
            size_t own = strlen(m->p[id].s);
            if (m->p[id].type == VOCAB_USER && own > best &&
                strncmp(text + i, m->p[id].s, own) == 0)
                y[n] = (struct sym){text + i, best = own, true};
        }
    }
    return n;
}

/* text: escaped, with its blank in front. */
static size_t plain_encode(const struct plain_model *m, const char *text, uint32_t *ids) {
    static struct sym y[2000];
    static struct splits sp;
    memset(&sp, 0, sizeof sp);
    size_t n = symbols(m, text, y), k = 0;
    for (;;) {
        size_t best = SIZE_MAX;
        int best_id = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            if (y[i].frozen || y[i + 1].frozen) continue;
            int id = find(m, y[i].s, y[i].n + y[i + 1].n);
            if (id >= 0 && (best == SIZE_MAX || m->p[id].score > m->p[best_id].score))
                best = i, best_id = id;
        }
        if (best == SIZE_MAX) break;
        sp.left[best_id] = y[best].n;
        y[best].n += y[best + 1].n;
        memmove(y + best + 1, y + best + 2, (n - best - 2) * sizeof *y);
        n--;
    }
    for (size_t i = 0; i < n; i++) emit(m, &sp, y[i].s, y[i].n, ids, &k);
    return k;
}

static void random_model(struct rng *r, struct plain_model *m, bool odd) {
    static const char *const chars[] = {"a", "b", "c", BLANK, "\xc3\xa9", "\n"};
    *m = (struct plain_model){.fallback = rng_below(r, 3) != 0};
    add(m, "<unk>", 0, VOCAB_UNKNOWN);
    add(m, "<s>", 0, VOCAB_CONTROL);
    add(m, "</s>", 0, VOCAB_CONTROL);
    for (unsigned b = 0; b < 256 && m->fallback; b++) {
        char s[8];
        snprintf(s, sizeof s, "<0x%02X>", b);
        add(m, s, 0, VOCAB_BYTE);
    }
    for (size_t i = 0; i < 6;
         i++) /* some are missing, but the blank, though longer pieces have them */
        if (!odd || i == 3 || rng_below(r, 5)) add(m, chars[i], -50, VOCAB_NORMAL);
    for (int i = 0; i < 60; i++) {
        char s[64] = "";
        size_t n = 2 + rng_below(r, 4);
        for (size_t c = 0; c < n; c++) strcat(s, chars[rng_below(r, 6)]);
        const uint64_t kind = odd ? rng_below(r, 12) : 2;
        add(m, s, -(float)rng_below(r, 12),
            kind == 0   ? VOCAB_USER
            : kind == 1 ? VOCAB_UNUSED
                        : VOCAB_NORMAL);
    }
}

static void write_model(const struct plain_model *m, struct proto *p, struct spec s) {
    p->n = 0;
    for (size_t i = 0; i < m->n; i++) put_piece(p, m->p[i].s, m->p[i].score, m->p[i].type);
    s.fallback = m->fallback;
    put_specs(p, s);
}

/* Blanks as the model says, then U+2581 for each. */
static void escape(const char *text, struct spec s, char *out) {
    *out = 0;
    bool squeeze = s.squeeze, started = false;
    if (s.squeeze && !text[strspn(text, " ")]) return;
    if (s.prefix && *text) strcat(out, BLANK);
    for (size_t i = 0; text[i]; i++) {
        bool last = !text[i + strspn(text + i, " ")];
        if (squeeze && text[i] == ' ' && (!started || last || text[i - 1] == ' ')) continue;
        started = true;
        strcat(out, text[i] == ' ' ? BLANK : (char[2]){text[i], 0});
    }
}

static void test_algorithm(void **state) {
    (void)state;
    static struct plain_model m;
    static struct proto p;
    struct rng r = rng_make(1, RNG_TEST, 30, 0, 0);
    for (int i = 0; i < 300; i++) {
        struct spec s = plain;
        random_model(&r, &m, i % 3 > 0);
        s.prefix = rng_below(&r, 3) != 0;
        s.squeeze = rng_below(&r, 4) == 0;
        write_model(&m, &p, s);
        struct tokenizer *t = open_blob(p.b, p.n);
        assert_int_equal(tokenizer_is_exact(t), m.fallback && !s.squeeze);
        for (int k = 0; k < 40; k++) {
            static const char *const chars[] = {"a", "b", "c", " ", "\xc3\xa9", "\n", " ", "z"};
            char text[400] = "", escaped[1300];
            uint32_t want[1300];
            size_t n = rng_below(&r, k % 8 ? 30 : 150);
            for (size_t c = 0; c < n; c++) strcat(text, chars[rng_below(&r, 8)]);
            escape(text, s, escaped);
            check_ids(t, text, strlen(text), want, plain_encode(&m, escaped, want));
            if (tokenizer_is_exact(t)) check_round_trip(t, text, strlen(text));
        }
        tokenizer_close(t);
    }
}

/* The parts of the algorithm one by one, with ids worked out by hand. */
static void test_types(void **state) {
    (void)state;
    static struct proto p;
    p.n = 0;
    put_piece(&p, BLANK, -9, VOCAB_NORMAL); /* 0 */
    put_piece(&p, "<pad>", 0, VOCAB_CONTROL);
    put_piece(&p, "a", -9, VOCAB_NORMAL); /* 2 */
    put_piece(&p, "?", 0, VOCAB_UNKNOWN);
    put_piece(&p, "b", -9, VOCAB_NORMAL); /* 4 */
    put_piece(&p, "<go>", 0, VOCAB_CONTROL);
    put_piece(&p, "ab", -1, VOCAB_UNUSED);  /* 6 */
    put_piece(&p, "aba", -2, VOCAB_UNUSED); /* 7 */
    put_piece(&p, "[x]", 0, VOCAB_USER);    /* 8 */
    put_piece(&p, BLANK "a", -3, VOCAB_NORMAL);
    put_piece(&p, "[x]b", -1, VOCAB_NORMAL); /* 10: never, [x] is found first */
    put_piece(&p, "[xb", 0, VOCAB_NORMAL);   /* 11: never, there is no x and no [x */
    put_specs(&p, (struct spec){2, 0, 1, 0, 5, -1});
    struct tokenizer *t = open_blob(p.b, p.n);
    assert_int_equal(tokenizer_bos(t), 5);
    assert_int_equal(tokenizer_eos(t), -1);
    assert_false(tokenizer_is_exact(t));
    check(t, "a", "9");
    check(t, "b", "0 4");
    check(t, "bab", "0 4 2 4");      /* ab, taken apart */
    check(t, "baba", "0 4 2 4 2");   /* aba is ab and a */
    check(t, "zzbzz", "0 3 4 3");    /* a run of unknown characters is one */
    check(t, "[x]b", "0 8 4");       /* the blank stays in front */
    check(t, "b<go>b", "0 4 5 0 4"); /* and is put in front again behind a control piece */
    check(t, "?", "3"); /* the unknown piece's own text is found like a control piece's */
    struct tok_bytes out = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_decode(t, (uint32_t[]){5, 9, 9, 8}, 4, false, &out, &e), 0);
    assert_string_equal(out.data, "a a[x]");
    free(out.data);
    tokenizer_close(t);
}

/* ---- forms ---------------------------------------------------------------------------------- */

static void same_ids(const struct tokenizer *a, const struct tokenizer *b, const char *text,
                     size_t n) {
    struct tok_ids x = encode(a, text, n), y = encode(b, text, n);
    assert_int_equal(x.n, y.n);
    if (x.n) assert_memory_equal(x.ids, y.ids, x.n * sizeof *x.ids);
    free(x.ids);
    free(y.ids);
}

static struct tokenizer *through_vocab(const struct tokenizer *t) {
    struct vocab v;
    struct err e = {0};
    if (tokenizer_to_vocab(t, &v, &e)) fail_msg("%s", e.msg);
    assert_int_equal(v.n, tokenizer_vocab_size(t));
    assert_int_equal(v.add_bos, tokenizer_bos(t) >= 0);
    struct tokenizer *again = open_vocab(&v);
    vocab_release(&v);
    assert_int_equal(tokenizer_bos(again), tokenizer_bos(t));
    assert_int_equal(tokenizer_eos(again), tokenizer_eos(t));
    assert_int_equal(tokenizer_is_exact(again), tokenizer_is_exact(t));
    for (uint32_t id = 0; id < tokenizer_vocab_size(t); id++) {
        size_t na, nb;
        const char *a = tokenizer_piece(t, 0, id, &na), *b = tokenizer_piece(again, 0, id, &nb);
        assert_true(na == nb && memcmp(a, b, na) == 0);
        assert_int_equal(tokenizer_is_special(t, id), tokenizer_is_special(again, id));
    }
    return again;
}

/* A tokenizer.bin comes back bit by bit. */
static void check_bin(const void *bin, size_t n) {
    struct tokenizer *t = open_blob(bin, n), *model = through_vocab(t);
    struct tok_bytes out = {0};
    struct err e = {0};
    if (tokenizer_to_bin(model, &out, &e)) fail_msg("%s", e.msg);
    assert_int_equal(out.n, n);
    assert_memory_equal(out.data, bin, n);
    free(out.data);
    tokenizer_close(model);
    tokenizer_close(t);
}

static struct tokenizer *open_data(const char *name) {
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open(&t, data_file(name), &e)) fail_msg("%s", e.msg);
    return t;
}

static void test_bin(void **state) {
    (void)state;
    size_t n;
    char *bin = small_bin(&n);
    check_bin(bin, n);
    free(bin);
}

static void test_real_bin(void **state) {
    (void)state;
    static const char *const files[] = {"tokenizers/llama2/tokenizer.bin",
                                        "weights/stories260K/tok512.bin"};
    for (size_t i = 0; i < 2; i++) {
        size_t n;
        char *bin = read_all(data_file(files[i]), &n);
        check_bin(bin, n);
        char model[100];
        snprintf(model, sizeof model, "%.*smodel", (int)strlen(files[i]) - 3, files[i]);
        struct tokenizer *t = open_data(model);
        struct tok_bytes out = {0};
        struct err e = {0};
        assert_int_equal(tokenizer_to_bin(t, &out, &e), 0);
        assert_int_equal(out.n, n);
        assert_memory_equal(out.data, bin, n);
        free(out.data);
        free(bin);
        tokenizer_close(t);
    }
}

static void cannot_bin(struct proto *p, const char *why) {
    struct tokenizer *t = open_blob(p->b, p->n);
    struct tok_bytes out = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_to_bin(t, &out, &e), ERR_INPUT);
    if (!strstr(e.msg, why)) fail_msg("\"%s\" does not say \"%s\"", e.msg, why);
    free(out.data);
    tokenizer_close(t);
}

static void test_cannot_bin(void **state) {
    (void)state;
    static struct proto p;
    start(&p);
    put_bytes(&p);
    put_piece(&p, "x", 0, VOCAB_USER);
    put_specs(&p, plain);
    cannot_bin(&p, "piece 259 is \"x\" of type 4");
    start(&p);
    put_piece(&p, "x", 0, VOCAB_NORMAL);
    put_bytes(&p);
    put_specs(&p, plain);
    cannot_bin(&p, "piece 3 is \"x\"");
    start(&p);
    put_bytes(&p);
    put_specs(&p, (struct spec){2, 1, 0, 0, 1, 2});
    cannot_bin(&p, "no blank in front");
    start(&p);
    put_bytes(&p);
    put_specs(&p, (struct spec){2, 1, 1, 0, 2, 2});
    cannot_bin(&p, "bos is not id 1");
    start(&p);
    put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
    cannot_bin(&p, "it has 3 pieces");
}

/* Lines of texts and of the ids that llama.cpp gives. */
static void check_vectors(const struct tokenizer *t) {
    char path[1024];
    size_t bytes;
    snprintf(path, sizeof path, "%s",
             data_file("tokenizers/vectors/ggml-vocab-llama-spm.gguf.inp"));
    char *inp = read_all(path, &bytes), *text = inp;
    char *out = read_all(data_file("tokenizers/vectors/ggml-vocab-llama-spm.gguf.out"), &bytes);
    char *line = out;
    int n_texts = 0;
    for (char *end; (end = strstr(text, LINE)); text = end + strlen(LINE), n_texts++) {
        uint32_t ids[1024];
        size_t n = 0;
        for (char *after; *line && *line != '\n'; line = after) {
            ids[n] = (uint32_t)strtoul(line, &after, 10);
            if (after == line) break;
            n++;
        }
        line = strchr(line, '\n') + 1;
        check_ids(t, text, (size_t)(end - text), ids, n);
    }
    assert_true(n_texts > 40);
    free(inp);
    free(out);
}

/* Texts of all kinds that the tokenizers given must agree on. */
static void check_agree(const struct tokenizer *a, const struct tokenizer *b, bool bytes) {
    struct rng r = rng_make(1, RNG_TEST, 32, 0, 0);
    for (int i = 0; i < 1500; i++) {
        char text[300];
        size_t n = rng_below(&r, sizeof text + 1);
        random_text(&r, bytes ? (enum text_flavour)(i % 3) : TEXT_WORDS, text, n);
        same_ids(a, b, text, n);
    }
    const char *path = data_find("text/tinyshakespeare.txt");
    if (!path) return; /* then the random ones are all */
    size_t n;
    char *text = read_all(path, &n);
    same_ids(a, b, text, n);
    free(text);
}

static void test_llama2(void **state) {
    (void)state;
    struct tokenizer *bin = open_data("tokenizers/llama2/tokenizer.bin");
    struct tokenizer *model = open_data("tokenizers/llama2/tokenizer.model");
    struct tokenizer *vocab = through_vocab(model);
    assert_true(tokenizer_is_exact(model));
    assert_int_equal(tokenizer_bos(model), 1);
    assert_int_equal(tokenizer_eos(model), 2);
    assert_int_equal(tokenizer_find(model, " the"), 278);
    check_vectors(bin);
    check_vectors(model);
    check_vectors(vocab);
    check_agree(bin, model, true);
    check_agree(model, vocab, true);
    tokenizer_close(bin);
    tokenizer_close(model);
    tokenizer_close(vocab);
}

/* Its tokenizer.model removes extra blanks, which llama2.c's form does not say: the same ids once
 * they are gone. */
static void test_stories(void **state) {
    (void)state;
    struct tokenizer *bin = open_data("weights/stories260K/tok512.bin");
    struct tokenizer *model = open_data("weights/stories260K/tok512.model");
    struct rng r = rng_make(1, RNG_TEST, 33, 0, 0);
    assert_false(tokenizer_is_exact(model));
    for (int i = 0; i < 1000; i++) {
        char text[200], less[200];
        size_t n = rng_below(&r, sizeof text), k = 0;
        random_text(&r, (enum text_flavour)(i % 3), text, n);
        for (size_t c = 0; c < n; c++)
            if (text[c] != ' ' || (k && less[k - 1] != ' ')) less[k++] = text[c];
        while (k && less[k - 1] == ' ') k--;
        struct tok_ids ids = encode(bin, less, k);
        check_ids(model, text, n, ids.ids, ids.n);
        free(ids.ids);
    }
    struct tokenizer *vocab = through_vocab(model);
    check(vocab, "  a   b ", "261 268");
    check(bin, "a b", "261 268");
    tokenizer_close(vocab);
    tokenizer_close(bin);
    tokenizer_close(model);
}

/* The built-in tokenizer as a vocabulary and back, and as a tokenizer.json. */
static void test_byte(void **state) {
    (void)state;
    struct err e = {0};
    struct tokenizer *t, *json;
    struct vocab v;
    struct tok_bytes text = {0};
    void *blob;
    size_t n;
    assert_int_equal(tokenizer_open(&t, "byte", &e), 0);
    assert_int_equal(tokenizer_to_vocab(t, &v, &e), 0);
    assert_int_equal(v.n, 257);
    assert_memory_equal(v.tokens[10].s, "<0x0A>", 6);
    assert_memory_equal(v.tokens[' '].s, BLANK, 3); /* all others would spell its three bytes */
    assert_true(v.types[10] == VOCAB_BYTE && v.types[256] == VOCAB_CONTROL && v.scores[7] == 0);
    assert_true(v.eos == 256 && v.bos == -1 && !v.add_bos && !v.add_space_prefix);
    assert_int_equal(tokenizer_blob_from_vocab(&v, "vocab", &blob, &n, &e), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(blob, "byte", 4);
    free(blob);
    v.tokens[' '] = (struct vocab_text){"<0x20>", 6}; /* as somebody else might write it */
    v.types[' '] = VOCAB_BYTE;
    assert_int_equal(tokenizer_blob_from_vocab(&v, "vocab", &blob, &n, &e), 0);
    assert_int_equal(n, 4);
    free(blob);
    v.add_space_prefix = true; /* no longer that tokenizer, but one of SentencePiece's */
    assert_int_equal(tokenizer_blob_from_vocab(&v, "vocab", &blob, &n, &e), 0);
    struct tokenizer *spm = open_blob(blob, n);
    check(spm, "A<|endoftext|>A", "32 65 256 32 65");
    free(blob);
    tokenizer_close(spm);
    vocab_release(&v);
    assert_int_equal(tokenizer_to_json(t, &text, &e), 0);
    if (tokenizer_open_blob(&json, text.data, text.n, "json", &e)) fail_msg("%s", e.msg);
    assert_string_equal(tokenizer_kind(json), "bpe");
    assert_int_equal(tokenizer_eos(json), 256);
    check_agree(t, json, true);
    same_ids(t, json, "x<|endoftext|>\xff", 15);
    assert_int_equal(tokenizer_to_bin(t, &text, &e), ERR_INPUT);
    free(text.data);
    tokenizer_close(json);
    tokenizer_close(t);
}

/* A tokenizer.json that Hugging Face would make of a model worked out by hand. */
static void test_json(void **state) {
    (void)state;
    static struct proto p;
    static const char *const pieces[] = {BLANK,     "a",   "b",   "aa",  "ab",
                                         BLANK "a", "aab", "aaa", "aaaa"};
    static const float scores[] = {-9, -9, -9, -2, -1, -3, -4, -4, -4};
    static const char *const want[] = {"a b",  "a a",  BLANK " a", "aaa a", "aa aa",
                                       "aa b", "aa a", "a aaa",    "a ab",  "a aa"};
    start(&p);
    for (size_t i = 0; i < 9; i++) put_piece(&p, pieces[i], scores[i], VOCAB_NORMAL);
    put_piece(&p, "[x]", 0, VOCAB_USER);
    put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
    struct tokenizer *t = open_blob(p.b, p.n);
    struct tok_bytes text = {0};
    struct err e = {0};
    if (tokenizer_to_json(t, &text, &e)) fail_msg("%s", e.msg);
    json_t *root = json_loadb(text.data, text.n, 0, NULL);
    const json_t *model = json_object_get(root, "model"),
                 *merges = json_object_get(model, "merges");
    assert_int_equal(json_array_size(merges), 10);
    for (size_t i = 0; i < 10; i++)
        assert_string_equal(json_string_value(json_array_get(merges, i)), want[i]);
    assert_int_equal(json_object_size(json_object_get(model, "vocab")), 13);
    assert_true(json_is_false(json_object_get(model, "byte_fallback")));
    assert_string_equal(json_string_value(json_object_get(model, "unk_token")), "<unk>");
    assert_int_equal(json_array_size(json_object_get(root, "added_tokens")), 4);
    json_decref(root);
    text.n = 0;
    tokenizer_close(t);
    start(&p); /* an unused piece that others would have to merge to */
    put_piece(&p, "a", 0, VOCAB_NORMAL);
    put_piece(&p, "aa", 0, VOCAB_UNUSED);
    put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
    t = open_blob(p.b, p.n);
    assert_int_equal(tokenizer_to_json(t, &text, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "piece 4 \"aa\" is unused"));
    free(text.data);
    tokenizer_close(t);
}

/* Read back by the bpe kind it gives the same ids, on texts of UTF-8 without U+2581. */
static void test_json_ids(void **state) {
    (void)state;
    static const char *const files[] = {"tokenizers/llama2/tokenizer.model",
                                        "weights/stories260K/tok512.bin"};
    struct rng r = rng_make(1, RNG_TEST, 34, 0, 0);
    for (size_t i = 0; i < 2; i++) {
        struct tokenizer *t = open_data(files[i]), *json;
        struct tok_bytes text = {0};
        struct err e = {0};
        assert_int_equal(tokenizer_to_json(t, &text, &e), 0);
        int rc = tokenizer_open_blob(&json, text.data, text.n, "json", &e);
        free(text.data);
        if (rc) fail_msg("%s", e.msg);
        assert_int_equal(tokenizer_bos(json), 1);
        assert_int_equal(tokenizer_eos(json), 2);
        for (int k = 0; k < 1000; k++) {
            char words[300];
            random_text(&r, TEXT_WORDS, words, sizeof words);
            same_ids(t, json, words, sizeof words);
        }
        check_agree(t, json, false);
        if (i == 0) check_vectors(json);
        tokenizer_close(json);
        tokenizer_close(t);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithm), cmocka_unit_test(test_types),
        cmocka_unit_test(test_bin),       cmocka_unit_test(test_cannot_bin),
        data_test(test_real_bin),         data_test(test_llama2),
        data_test(test_stories),          data_test(test_json_ids),
        cmocka_unit_test(test_byte),      cmocka_unit_test(test_json),
    };
    return data_run(argc, argv, tests, NULL, NULL);
}
