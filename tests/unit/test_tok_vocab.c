/* Byte-level BPE in other forms: the vocabulary of a GGUF, vocab.json with merges.txt. */
#include "err.h"
#include "tok_util.h"
#include "vocab.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEVEL(regex)                                                                               \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": " regex "}"
#define SEQUENCE(steps) "{\"type\": \"Sequence\", \"pretokenizers\": [" steps "]}"
#define SPLIT(pattern)                                                                             \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" pattern                                    \
    "\"}, \"behavior\": \"Isolated\", \"invert\": false}"
#define LLAMA3(digits)                                                                             \
    SEQUENCE(SPLIT(                                                                                \
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" digits     \
        "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+"                     \
        "(?!\\\\S)|\\\\s+") ", " LEVEL("false"))

static const char DEFAULT[] = SEQUENCE(SPLIT("[\\\\p{P}\\\\$\\\\+<=>\\\\^~\\\\|]+") ", " SPLIT(
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+"
    "(?!\\\\S)|\\\\s+") ", " SPLIT("\\\\p{N}+") ", " SPLIT("[0-9][0-9][0-9]") ", " LEVEL("false"));

static struct tokenizer *open_json(const char *norm, const char *pre, const char *extra,
                                   bool ignore_merges) {
    char *json = small_json(norm, pre, NULL, extra);
    char *more = malloc(strlen(json) + 100), *at = strstr(json, "\"type\": \"BPE\",");
    sprintf(more, "%.*s%s%s", (int)(at - json), json,
            ignore_merges ? "\"ignore_merges\": true, " : "", at);
    struct tokenizer *t = open_text(more);
    free(json);
    free(more);
    return t;
}

static struct vocab vocab_of(const struct tokenizer *t) {
    struct vocab v;
    struct err e = {0};
    if (tokenizer_to_vocab(t, &v, &e)) fail_msg("%s", e.msg);
    return v;
}

static void same_ids(const struct tokenizer *a, const struct tokenizer *b, const char *text,
                     size_t n) {
    struct tok_ids ids = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_encode(a, text, n, false, false, &ids, &e), 0);
    check_ids(b, text, n, ids.ids, ids.n);
    free(ids.ids);
}

/* Every pipeline that has a name: there and back, with the same ids, and the name it
 * should have. */
static void test_names(void **state) {
    (void)state;
    static const char nfc[] = "{\"type\": \"NFC\"}";
    static const struct {
        const char *name, *norm, *pre;
        bool ignore;
    } cases[] = {
        {"gpt-2", NULL, LEVEL("true"), false},
        {"smollm", NULL,
         SEQUENCE("{\"type\": \"Digits\", \"individual_digits\": true}, " LEVEL("true")), false},
        {"llama-bpe", NULL, LLAMA3("{1,3}"), true},
        {"qwen2", nfc, LLAMA3(""), false},
        {"default", NULL, DEFAULT, false},
    };
    struct rng r = rng_make(1, RNG_TEST, 62, 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t = open_json(cases[i].norm, cases[i].pre, NULL, cases[i].ignore);
        struct vocab v = vocab_of(t);
        assert_string_equal(v.pre, cases[i].name);
        assert_int_equal(v.model, VOCAB_BPE);
        assert_int_equal(v.n, 257 + SMALL_MERGES);
        assert_int_equal(v.n_merges, SMALL_MERGES);
        assert_int_equal(v.eos, 256 + SMALL_MERGES);
        assert_int_equal(v.types[v.eos], VOCAB_CONTROL);
        struct tokenizer *back = open_vocab(&v);
        for (int k = 0; k < 500; k++) {
            char text[200];
            const size_t n = rng_below(&r, sizeof text + 1);
            random_text(&r, (enum text_flavour)(k % 3), text, n);
            same_ids(t, back, text, n);
        }
        tokenizer_close(back);
        vocab_release(&v);
        tokenizer_close(t);
    }
}

/* What has no name, or is not to be had in a GGUF. */
static void test_nameless(void **state) {
    (void)state;
    static const struct {
        const char *norm, *pre, *extra;
        bool ignore;
        const char *why;
    } cases[] = {
        {"{\"type\": \"NFKC\"}", NULL, NULL, false, "no name"},
        {"{\"type\": \"NFC\"}", NULL, NULL, false, "no name"},
        {NULL, NULL, NULL, true, "no name"}, /* llama.cpp would not look words up */
        {NULL, LLAMA3("{1,3}"), NULL, false, "no name"},
        {NULL, LLAMA3("{1,2}"), NULL, false, "no name"},
        {NULL, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", NULL, false, "no name"},
        {NULL, NULL, ", {\"id\": 280, \"content\": \"[x]\", \"lstrip\": true}", false, "lstrip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t =
            open_json(cases[i].norm, cases[i].pre, cases[i].extra, cases[i].ignore);
        struct vocab v;
        struct err e = {0};
        assert_int_equal(tokenizer_to_vocab(t, &v, &e), ERR_INPUT);
        if (!strstr(e.msg, cases[i].why)) fail_msg("\"%s\", not %s", e.msg, cases[i].why);
        assert_null(v.tokens);
        tokenizer_close(t);
    }
}

/* Types, holes and the ids that a GGUF names survive. */
static void test_types(void **state) {
    (void)state;
    struct tokenizer *t =
        open_json(NULL, NULL,
                  ", {\"id\": 276, \"content\": \"<|a\u00e9|>\", \"special\": true}, {\"id\": 278, "
                  "\"content\": \"two words\", \"special\": false}",
                  false);
    struct vocab v = vocab_of(t);
    static const struct {
        uint32_t id;
        uint8_t type;
        const char *text;
    } want[] = {{0, VOCAB_NORMAL, "!"},
                {262, VOCAB_NORMAL, "\u0120the"},
                {273, VOCAB_CONTROL, "<|endoftext|>"},
                {274, VOCAB_UNUSED, "[PAD274]"},
                {276, VOCAB_CONTROL, "<|a\u00e9|>"},
                {277, VOCAB_UNUSED, "[PAD277]"},
                {278, VOCAB_USER, "two words"}};
    assert_int_equal(v.n, 279);
    v.bos = v.pad = 276; /* named, not put in front */
    v.eos = 276;
    for (int lap = 0; lap < 2; lap++) {
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            const struct vocab_text *x = &v.tokens[want[i].id];
            assert_int_equal(v.types[want[i].id], want[i].type);
            assert_int_equal(x->n, strlen(want[i].text));
            assert_memory_equal(x->s, want[i].text, x->n);
        }
        struct tokenizer *back = open_vocab(&v);
        assert_int_equal(tokenizer_vocab_size(back), 279);
        assert_int_equal(tokenizer_eos(back), 276);
        assert_int_equal(tokenizer_bos(back), -1);
        struct tok_ids ids = {0};
        struct err e = {0};
        assert_int_equal(
            tokenizer_encode(back, "the<|a\u00e9|>two words", 19, true, true, &ids, &e), 0);
        assert_int_equal(ids.n, 3);
        assert_true(ids.ids[0] == 261 && ids.ids[1] == 276 && ids.ids[2] == 278);
        free(ids.ids);
        vocab_release(&v);
        v = vocab_of(back);
        assert_true(v.bos == 276 && v.eos == 276 && v.pad == 276 && v.unk == -1 && !v.add_bos);
        tokenizer_close(back);
    }
    v.add_bos = true;
    struct tokenizer *back = open_vocab(&v);
    assert_int_equal(tokenizer_bos(back), 276);
    tokenizer_close(back);
    vocab_release(&v);
    tokenizer_close(t);
}

static void refuse_vocab(struct vocab *v, const char *why) {
    struct err e = {0}, direct = {0};
    struct tokenizer *t = NULL;
    void *blob = NULL;
    size_t n;
    int rc = tokenizer_blob_from_vocab(v, "a.gguf", &blob, &n, &e);
    if (!rc) rc = tokenizer_open_blob(&t, blob, n, "a.gguf", &e);
    assert_int_equal(rc, ERR_INPUT);
    assert_int_equal(tokenizer_from_vocab(&t, v, "a.gguf", &direct), ERR_INPUT);
    assert_null(t);
    assert_string_equal(direct.msg, e.msg);
    if (!strstr(e.msg, why) || !strstr(e.msg, "a.gguf")) fail_msg("\"%s\", not %s", e.msg, why);
    free(blob);
}

static void test_bad_vocab(void **state) {
    (void)state;
    struct tokenizer *t = open_json(NULL, NULL, NULL, false);
    struct vocab v = vocab_of(t);
    const struct vocab_text old = v.tokens[5], merge = v.merges[3];
    strcpy(v.pre, "deepseek-r1-qwen");
    refuse_vocab(&v, "deepseek-r1-qwen");
    strcpy(v.pre, "llama3");
    tokenizer_close(open_vocab(&v));
    strcpy(v.pre, "gpt-2");
    v.add_eos = true;
    refuse_vocab(&v, "behind every text");
    v.add_eos = false;
    v.add_bos = true;
    v.bos = 5;
    refuse_vocab(&v, "not a control token");
    v.add_bos = false;
    v.eos = 5; /* an ordinary token ends no text */
    struct tokenizer *back = open_vocab(&v);
    assert_int_equal(tokenizer_eos(back), 256 + SMALL_MERGES);
    tokenizer_close(back);
    v.types[5] = VOCAB_BYTE;
    refuse_vocab(&v, "token 5 has type 6");
    v.types[5] = VOCAB_NORMAL;
    v.tokens[5] = v.tokens[6];
    refuse_vocab(&v, "the same text");
    v.tokens[5] = (struct vocab_text){"\xff", 1};
    refuse_vocab(&v, "not UTF-8");
    v.tokens[5] = old;
    v.merges[3] = (struct vocab_text){"e zz", 4};
    refuse_vocab(&v, "merges[3]");
    v.merges[3] = merge;
    tokenizer_close(open_vocab(&v));
    vocab_release(&v);
    tokenizer_close(t);
}

/* Without merges: bytes, and nothing else that is text. */
static void test_bytes_only(void **state) {
    (void)state;
    char *json = small_json(NULL, NULL, NULL, NULL), *at = strstr(json, "\"merges\": [");
    struct vocab v;
    struct err e = {0};
    strcpy(at, "\"merges\": []}}");
    struct tokenizer *t = open_text(json);
    assert_int_equal(tokenizer_to_vocab(t, &v, &e), ERR_INPUT); /* the words are still there */
    assert_non_null(strstr(e.msg, "without merges"));
    tokenizer_close(t);
    char *words = strstr(json, ", \"th\": 256"), *end = strstr(json, "}, \"merges\"");
    memmove(words, end, strlen(end) + 1);
    t = open_text(json);
    v = vocab_of(t);
    assert_int_equal(v.model, VOCAB_SPM);
    assert_int_equal(v.types[0], VOCAB_BYTE);
    assert_memory_equal(v.tokens[0].s, "<0x21>", 6);
    assert_false(v.add_space_prefix);
    struct tokenizer *spm = open_vocab(&v);
    assert_string_equal(tokenizer_kind(spm), "spm");
    same_ids(t, spm, "any text\xff\xc3\xa9 \n", 14);
    tokenizer_close(spm);
    vocab_release(&v);
    tokenizer_close(t);
    free(json);
}

static int open_merges(const char *vocab, const char *merges, const char *pre, struct tokenizer **t,
                       struct err *e) {
    void *blob = NULL;
    size_t n;
    *t = NULL;
    const struct tok_merges files = {.vocab = {vocab, strlen(vocab)},
                                     .merges = {merges, strlen(merges)},
                                     .pre = pre};
    int rc = tokenizer_blob_from_merges(&files, "dir", &blob, &n, e);
    if (!rc) rc = tokenizer_open_blob(t, blob, n, "dir", e);
    free(blob);
    return rc;
}

static void test_merges(void **state) {
    (void)state;
    static const char vocab[] = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"aba\": 3, \"<|endoftext|>\": 7, "
                                "\"<|begin_of_text|>\": 8, \"|>\": 4, \"<|\": 5, \"<|a\": 9, "
                                "\"<|a|>\": 6}";
    static const struct {
        const char *merges, *why;
    } bad[] = {
        {"a b\nab\n", "line 2 is not two tokens"},
        {"a b\r\nab  a\r\n", "line 2 is not two tokens"},
        {"#version: 0.2\na b c\n", "line 2 is not two tokens"},
        {"a b\n\nab a\n", "line 2 is empty"},
        {"#version: 0.2\na b\nab c", "line 3: \"ab c\": its right part"},
        {"c b\n", "line 1: \"c b\": its left part"},
        {"b a\n", "line 1: \"b a\": what it makes"},
        {" a\n", "line 1"},
    };
    struct err e = {0};
    struct tokenizer *t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_merges(vocab, bad[i].merges, "gpt-2", &t, &e), ERR_INPUT);
        if (!strstr(e.msg, bad[i].why)) fail_msg("\"%s\", not %s", e.msg, bad[i].why);
    }
    assert_int_equal(open_merges("[1]", "", "gpt-2", &t, &e), ERR_INPUT);
    assert_int_equal(open_merges("{\"a\": }", "", "gpt-2", &t, &e), ERR_INPUT);
    assert_int_equal(open_merges("{\"<|a|>\": \"1\"}", "", "gpt-2", &t, &e), ERR_INPUT);
    assert_int_equal(open_merges(vocab, "", "gpt-3", &t, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "gpt-3"));
    if (open_merges(vocab, "#version: 0.2\r\na b\r\nab a\r\n<| a\r\n<|a |>\r\n\r\n", "llama-bpe",
                    &t, &e))
        fail_msg("%s", e.msg);
    check_ids(t, "abaab", 5, (uint32_t[]){3, 2}, 2);
    assert_int_equal(tokenizer_eos(t), 7);
    assert_int_equal(tokenizer_bos(t), 8);
    assert_true(tokenizer_is_special(t, 7) && tokenizer_is_special(t, 8));
    assert_false(tokenizer_is_special(t, 6)); /* merges make it: it is text */
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_nameless),
        cmocka_unit_test(test_types),      cmocka_unit_test(test_bad_vocab),
        cmocka_unit_test(test_bytes_only), cmocka_unit_test(test_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
