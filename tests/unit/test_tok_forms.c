/* Tokenizer files as other programs leave them: left-overs of a training, tokens that several files
 * list, kinds that duet does not have. */
#include "tok_util.h"
#include "vocab.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The small tokenizer.json with the first `old` replaced; malloc()ed. */
static char *replaced(const char *old, const char *fresh, const char *extra) {
    char *json = small_json(NULL, NULL, NULL, extra), *at = strstr(json, old);
    if (!at) fail_msg("nothing to replace: %s", old);
    char *other = malloc(strlen(json) + strlen(fresh) + 1);
    sprintf(other, "%.*s%s%s", (int)(at - json), json, fresh, at + strlen(old));
    free(json);
    return other;
}

static void check_text(const struct tokenizer *t, const char *text, bool specials,
                       const uint32_t *want, size_t n) {
    struct tok_ids ids = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, strlen(text), specials, false, &ids, &e)) fail_msg("%s", e.msg);
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.ids, want, n * sizeof *want);
    free(ids.ids);
}

/* What a training script leaves behind changes no ids; it is said. */
static void test_left_overs(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"truncation\": null",
         "\"truncation\": {\"direction\": \"Right\", \"max_length\": 2, \"strategy\": "
         "\"LongestFirst\", \"stride\": 0}"},
        {"\"padding\": null",
         "\"padding\": {\"strategy\": {\"Fixed\": 9}, \"direction\": \"Left\", "
         "\"pad_to_multiple_of\": 8, \"pad_id\": 0, \"pad_type_id\": 0, \"pad_token\": \"!\"}"},
    };
    char *plain = small_json(NULL, NULL, NULL, NULL);
    struct tokenizer *t = open_text(plain), *u;
    struct tok_ids a = {0};
    struct err e = {0};
    assert_null(tokenizer_note(t));
    assert_int_equal(tokenizer_encode(t, "the hen and", 11, false, false, &a, &e), 0);
    for (size_t i = 0; i < 2; i++) {
        char *json = replaced(cases[i][0], cases[i][1], NULL);
        u = open_text(json);
        check_text(u, "the hen and", false, a.ids, a.n);
        assert_non_null(strstr(tokenizer_note(u), "truncation"));
        tokenizer_close(u);
        free(json);
    }
    tokenizer_close(t);
    free(a.ids);
    free(plain);
}

/* Added tokens that are not normalized are cut out first, also where there is no normalizer. The
 * small vocabulary has ids to 273. */
static void test_added_order(void **state) {
    (void)state;
    static const char both[] =
        ", {\"id\": 274, \"content\": \"zz\", \"normalized\": true}, {\"id\": 275, \"content\": "
        "\"zx\", \"normalized\": false}, {\"id\": 276, \"content\": \"qq\", \"normalized\": true}";
    static const char apart[] =
        ", {\"id\": 274, \"content\": \"zz\", \"normalized\": true}, {\"id\": 275, \"content\": "
        "\"xy\", \"normalized\": false}";
    char *json = small_json(NULL, NULL, NULL, both);
    struct tokenizer *t = open_text(json);
    const uint32_t z = (uint32_t)tokenizer_find(t, "z");
    check_text(t, "zzxqq", true, (const uint32_t[]){z, 275, 276}, 3); /* not zz, x */
    check_text(t, "zzz", true, (const uint32_t[]){274, z}, 2);
    tokenizer_close(t);
    free(json);
    t = open_text(json = small_json(NULL, NULL, NULL, apart));
    check_text(t, "zzxy", true, (const uint32_t[]){274, 275}, 2);
    tokenizer_close(t);
    free(json);
}

/* a 0, b 1, c 2, tab 3, line break 4, blank 5, X 6, "Xb" 7, then added tokens. */
static char *strip_json(const char *normalizer, const char *added) {
    char *json = malloc(4000);
    snprintf(json, 4000,
             "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, "
             "\"added_tokens\": [%s], "
             "\"normalizer\": %s, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
             "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}, "
             "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\", "
             "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, \"model\": "
             "{\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
             "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": "
             "false, \"byte_fallback\": false, \"ignore_merges\": true, \"vocab\": "
             "{\"a\": 0, \"b\": 1, "
             "\"c\": 2, \"\xc4\x89\": 3, \"\xc4\x8a\": 4, \"\xc4\xa0\": 5, \"X\": 6, \"Xb\": 7}, "
             "\"merges\": []}}",
             added, normalizer);
    return json;
}

/* Which added tokens there are does not depend on the blanks that they take: the ids are those of
 * Hugging Face's tokenizers 0.23.3. */
static void test_added_blanks(void **state) {
    (void)state;
#define ADD(id, text, left, right)                                                                 \
    "{\"id\": " #id ", \"content\": \"" text                                                       \
    "\", \"single_word\": false, \"lstrip\": " #left                                               \
    ", \"rstrip\": " #right ", \"normalized\": false, \"special\": false}"
#define PREPEND "{\"type\": \"Prepend\", \"prepend\": \"X\"}"
    static const struct {
        const char *added, *normalizer, *text;
        size_t n;
        uint32_t ids[6];
    } cases[] = {
        {ADD(8, "\\n", false, true), "null", "\n\n\n", 3, {8, 8, 8}},
        {ADD(8, "\\n", false, true), "null", "\n \n b", 3, {8, 8, 1}},
        {ADD(8, "\\n", true, true), "null", "c\n\nb", 3, {2, 8, 1}},
        {ADD(8, "aa", false, true) "," ADD(9, " ", false, false), "null", "aa  \tb", 5,
         {8, 9, 9, 3, 1}},
        {ADD(8, "aa", false, true) "," ADD(9, " b", true, false), "null", "aa   b", 2, {8, 9}},
        {ADD(8, "aa", false, true) "," ADD(9, " b", false, false), "null", "aa   bc", 3, {8, 9, 2}},
        {ADD(8, "aa", true, false) "," ADD(9, "cc", false, true), "null", "cc  aa", 2, {9, 8}},
        /* a word is a token at once if it is one of the model's, not an added one */
        {ADD(8, "Xa", false, false), PREPEND, "a", 2, {6, 0}},
        {ADD(8, "Xa", false, false), PREPEND, "b", 1, {7}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = strip_json(cases[i].normalizer, cases[i].added);
        struct tokenizer *t = open_text(json);
        check_text(t, cases[i].text, true, cases[i].ids, cases[i].n);
        tokenizer_close(t);
        free(json);
    }
}

/* A vocabulary of SentencePiece's kind: 0 <unk>, 1 <s>, 2 </s>, the bytes, then these. */
static struct tokenizer *spm_of(const char *const *texts, const uint8_t *types, uint32_t n,
                                int64_t unk) {
    struct vocab v = {.model = VOCAB_SPM, .n = 259 + n, .bos = 1, .eos = 2, .unk = unk, .pad = -1};
    static char names[259][8] = {"<unk>", "<s>", "</s>"};
    v.tokens = calloc(v.n, sizeof *v.tokens);
    v.types = calloc(v.n, 1);
    v.scores = calloc(v.n, sizeof *v.scores);
    for (uint32_t i = 0; i < v.n; i++) {
        if (i > 2 && i < 259) snprintf(names[i], 8, "<0x%02X>", i - 3);
        const char *s = i < 259 ? names[i] : texts[i - 259];
        v.tokens[i] = (struct vocab_text){s, (uint32_t)strlen(s)};
        v.types[i] = i == 0          ? VOCAB_UNKNOWN
                     : i < 3         ? VOCAB_CONTROL
                     : i < 259       ? VOCAB_BYTE
                     : types[i - 259] ? types[i - 259]
                                      : VOCAB_NORMAL;
        v.scores[i] = -(float)i;
    }
    struct tokenizer *t = open_vocab(&v);
    vocab_release(&v);
    return t;
}

/* Further unknown tokens are special ones; the one that the file names is the unknown one. */
static void test_two_unknown(void **state) {
    (void)state;
    static const char *const texts[] = {"a", "<unk2>", "<unk3>"};
    static const uint8_t types[] = {0, VOCAB_UNKNOWN, VOCAB_UNKNOWN};
    for (int64_t unk = 0; unk < 2; unk++) {
        struct vocab v;
        struct err e = {0};
        struct tokenizer *t = spm_of(texts, types, 3, unk ? 260 : 0);
        assert_int_equal(tokenizer_vocab_size(t), 262);
        check_text(t, "a<unk3>a", true, (const uint32_t[]){259, 261, 259}, 3);
        for (uint32_t id = 260; id < 262; id++) assert_true(tokenizer_is_special(t, id));
        assert_int_equal(tokenizer_to_vocab(t, &v, &e), 0);
        assert_int_equal(v.unk, unk ? 260 : 0);
        assert_int_equal(v.types[261], VOCAB_CONTROL);
        vocab_release(&v);
        tokenizer_close(t);
    }
}

static struct tok_text text_of(const char *s) {
    return (struct tok_text){s, s ? strlen(s) : 0};
}

/* A tokenizer.model of 260 pieces with the files beside it; NULL: they change nothing. */
static struct tokenizer *open_sides(const char *config, const char *added, const char *map,
                                    struct err *e) {
    static const char *const texts[] = {"a"};
    struct tokenizer *t = spm_of(texts, (const uint8_t[]){0}, 1, 0), *with = NULL;
    const struct tok_sides sides = {text_of(config), text_of(added), text_of(map)};
    size_t n, bytes;
    const void *data = tokenizer_blob(t, &bytes);
    void *blob;
    e->code = 0;
    const char *name = "m/tokenizer.model";
    if (!tokenizer_blob_from_model(data, bytes, &sides, name, &blob, &n, e) && blob &&
        tokenizer_open_blob(&with, blob, n, "dir", e))
        fail_msg("%s", e->msg);
    if (!e->code) free(blob);
    tokenizer_close(t);
    return with;
}

/* Tokens that lie beside a tokenizer.model are tokens: control or text, as the files say, with the
 * end of text that they name, through every form. */
static void test_spm_sides(void **state) {
    (void)state;
    static const char config[] =
        "{\"model_max_length\": 1000000000000000019884624838656, \"eos_token\": {\"content\": "
        "\"<|im_end|>\"}, \"added_tokens_decoder\": {\"1\": {\"content\": \"<s>\", "
        "\"special\": true}, \"261\": {\"content\": \"<|im_end|>\", "
        "\"special\": true}, \"262\": {\"content\": \"<my tool>\", \"special\": false}}}";
    static const char *const added[] = {
        "{\"<s>\": 1, \"<|im_end|>\": 261, \"<my tool>\": 262}",
        "{\"<|im_end|>\": 261, \"<my tool>\": 262}"};
    static const char map[] = "{\"eos_token\": \"<|im_end|>\", \"additional_special_tokens\": "
                              "[\"<|im_end|>\"]}";
    struct err e = {0};
    struct vocab v;
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t =
            i ? open_sides(NULL, added[1], map, &e) : open_sides(config, NULL, NULL, &e);
        if (!t) fail_msg("%s", e.msg);
        assert_int_equal(tokenizer_vocab_size(t), 263);
        assert_int_equal(tokenizer_eos(t), 261);
        assert_true(tokenizer_is_special(t, 261));
        assert_false(tokenizer_is_special(t, 262));
        check_text(t, "a<|im_end|>a<my tool>", true, (const uint32_t[]){259, 261, 259, 262}, 4);
        assert_int_equal(tokenizer_to_vocab(t, &v, &e), 0);
        assert_int_equal(v.types[260], VOCAB_UNUSED); /* of which nothing is said */
        assert_int_equal(v.types[261], VOCAB_CONTROL);
        assert_int_equal(v.types[262], VOCAB_USER);
        assert_int_equal(v.eos, 261);
        vocab_release(&v);
        tokenizer_close(t);
    }
    /* what changes nothing leaves the file as it is: its number too */
    assert_null(open_sides("{\"added_tokens_decoder\": {\"0\": {\"content\": \"<unk>\", "
                           "\"special\": true}}}", "{\"</s>\": 2}", "{}", &e));
    assert_int_equal(e.code, 0);
    static const char *const bad[][3] = {
        {NULL, "{\"x\": 2}", "is another piece"},
        {NULL, "{\"a\": 300}", "has another id"},
        {NULL, "{\"x\": 100000}", "far beyond"},
        {NULL, "{\"x\": 1.5}", "no integer"},
        {NULL, "{\"x\": -1}", "no integer"},
        {NULL, "[]", "added_tokens.json: line 1"},
        {"{\"added_tokens_decoder\": {\"a\": {\"content\": \"x\"}}}", NULL, "is no id"},
        {"{\"added_tokens_decoder\": {\"300\": {\"content\": \"x\", \"rstrip\": true}}}", NULL,
         "rstrip"},
        {"{\"added_tokens_decoder\": {\"1\": {\"content\": \"<s>\", \"special\": true, \"lstrip\": "
         "true}}}", NULL, "m: tokenizer_config.json: added token \"<s>\" with id 1 takes blanks"},
        {"{\"added_tokens_decoder\": [1]}", NULL, "added_tokens_decoder is not an object"},
        {NULL, "{\"x\": 2}", "m: added_tokens.json: added token \"x\" with id 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(open_sides(bad[i][0], bad[i][1], NULL, &e));
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.msg, bad[i][2])) fail_msg("\"%s\" does not say %s", e.msg, bad[i][2]);
    }
}

/* Special tokens where a template has them, text where it was filled in. */
static void test_ranges(void **state) {
    (void)state;
    static const char text[] = "<|endoftext|>a<|endoftext|>zz";
    char *json = small_json(NULL, NULL, NULL,
                            ", {\"id\": 274, \"content\": \"zz\", \"normalized\": false}");
    struct tokenizer *t = open_text(json);
    const struct tok_range ranges[] = {{0, 13}, {14, 14}, {27, 29}};
    struct tok_ids ids = {0}, plain = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_encode_ranges(t, text, strlen(text), ranges, 3, false, &ids, &e), 0);
    assert_int_equal(tokenizer_encode(t, text + 13, 14, false, false, &plain, &e), 0);
    assert_int_equal(ids.n, plain.n + 2);
    assert_int_equal(ids.ids[0], 273);
    assert_memory_equal(ids.ids + 1, plain.ids, plain.n * sizeof *plain.ids);
    assert_int_equal(ids.ids[ids.n - 1], 274);
    assert_int_equal(tokenizer_first_special(t, text, strlen(text)), 273);
    assert_int_equal(tokenizer_first_special(t, "zz", 2), -1);
    tokenizer_close(t);
    free(ids.ids);
    free(plain.ids);
    free(json);
}

/* Tokenizers of kinds that duet does not have are named. */
static void test_other_kinds(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"\"}, \"model\": "
         "{\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\", 0]]}}",
         "not \"Unigram\""},
        {"{\"decoder\": {\"type\": \"WordPiece\"}, \"model\": {\"type\": \"WordPiece\", \"vocab\": "
         "{}}}",
         "not \"WordPiece\""},
        {"{\"model\": {\"type\": \"WordLevel\", \"vocab\": {}, \"unk_token\": \"a\"}}",
         "not \"WordLevel\""},
        {"{\"model\": {\"unk_id\": 0, \"vocab\": []}}", "not \"Unigram\""}, /* without a type */
        {"{\"model\": {\"max_input_chars_per_word\": 9, \"vocab\": {}}}", "not \"WordPiece\""},
        {"{\"model\": {\"vocab\": {}}}", "not \"WordLevel\""},
        {"IQ== 0\nIg== 1\nIw== 2\n", "a tiktoken file"},
        {"IQ== 0", "a tiktoken file"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
         "a pointer of Git LFS"},
        {"IQ==", "a model file with a tokenizer in it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t;
        struct err e = {0};
        const int rc = tokenizer_open_blob(&t, cases[i][0], strlen(cases[i][0]), "other", &e);
        assert_int_equal(rc, ERR_INPUT);
        if (!strstr(e.msg, cases[i][1])) fail_msg("\"%s\" does not say %s", e.msg, cases[i][1]);
    }
}

/* ---- the number that a tokenizer is known by ------------------------------------------------ */

static struct tokenizer *open_blob(const void *blob, size_t n) {
    struct tokenizer *t;
    struct err e = {0};
    if (tokenizer_open_blob(&t, blob, n, "form", &e)) fail_msg("%s", e.msg);
    return t;
}

static uint64_t hash_of(const char *json) {
    struct tokenizer *t = open_text(json);
    const uint64_t hash = tokenizer_hash(t);
    tokenizer_close(t);
    return hash;
}

/* Through a tokenizer.json and the vocabulary of a GGUF, and through both. */
static void check_forms(const struct tokenizer *t) {
    const uint64_t hash = tokenizer_hash(t);
    struct tok_bytes json = {0};
    struct vocab v;
    struct err e = {0};
    assert_int_equal(tokenizer_to_json(t, &json, &e), 0);
    struct tokenizer *a = open_blob(json.data, json.n);
    assert_true(tokenizer_hash(a) == hash);
    for (int from_json = 0; from_json < 2; from_json++) {
        if (tokenizer_to_vocab(from_json ? a : t, &v, &e)) fail_msg("%s", e.msg);
        struct tokenizer *b = open_vocab(&v);
        assert_true(tokenizer_hash(b) == hash);
        assert_true(tokenizer_is(b, hash));
        tokenizer_close(b);
        vocab_release(&v);
    }
    tokenizer_close(a);
    free(json.data);
}

static void test_same_number(void **state) {
    (void)state;
    static const char *const texts[] = {"a", "b", "ab", "\xe2\x96\x81", "\xe2\x96\x81\141b", "<x>"};
    static const uint8_t types[] = {0, 0, 0, 0, 0, VOCAB_USER};
    char *json = small_json(NULL, NULL, NULL, NULL);
    struct tokenizer *t = open_text(json), *spm = spm_of(texts, types, 6, 0);
    check_forms(t);
    check_forms(spm);
    /* blanks between the parts of a file, a left-over, the order of a normalized token */
    char *other = malloc(strlen(json) + 64), *end = other;
    for (const char *s = json; *s; s++) {
        *end++ = *s;
        if (s == json) end = stpcpy(end, "\n  ");
    }
    *end = 0;
    assert_true(hash_of(other) == tokenizer_hash(t));
    free(other);
    other = replaced("\"padding\": null", "\"padding\": {}", NULL);
    assert_true(hash_of(other) == tokenizer_hash(t));
    free(other);
    tokenizer_close(t);
    tokenizer_close(spm);
    free(json);
}

/* Of the same size, but not the same: another order of ids or merges, other words, other marks. */
static void test_other_number(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"th\": 256, \"he\": 257", "\"he\": 256, \"th\": 257"},
        {"\"t h\", [\"h\", \"e\"]", "\"h e\", [\"t\", \"h\"]"},
        {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}"},
        {"\"special\": true", "\"special\": false"},
        {"<|endoftext|>", "<|end_of_text|>"},
    };
    char *json = small_json(NULL, NULL, NULL, NULL);
    const uint64_t hash = hash_of(json);
    struct tokenizer *t = open_text(json), *u;
    struct err e = {0};
    size_t n;
    const void *blob = tokenizer_blob(t, &n);
    const struct tok_own own = {.blob = blob, .bytes = n};
    assert_int_equal(tokenizer_check(t, 274, &own, "model", &e), 0);
    assert_int_equal(tokenizer_check(t, 274, &(struct tok_own){0}, "model", &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *other = replaced(cases[i][0], cases[i][1], NULL);
        char want[2][17];
        u = open_text(other);
        if (tokenizer_hash(u) == hash) fail_msg("the same with %s", cases[i][1]);
        assert_false(tokenizer_is(u, hash));
        assert_int_equal(tokenizer_check(u, 400, &own, "model", &e), ERR_INPUT);
        snprintf(want[0], 17, "%016llx", (unsigned long long)hash);
        snprintf(want[1], 17, "%016llx", (unsigned long long)tokenizer_hash(u));
        assert_non_null(strstr(e.msg, want[0]));
        assert_non_null(strstr(e.msg, want[1]));
        tokenizer_close(u);
        free(other);
    }
    assert_int_equal(tokenizer_check(t, 273, &(struct tok_own){0}, "model", &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "model: the tokenizer has 274 tokens, but the model's"));
    tokenizer_close(t);
    free(json);
}

/* Which added token is looked for first: a number of its own where ids depend on it. */
static void test_pass_number(void **state) {
    (void)state;
    static const char pair[] = ", {\"id\": 274, \"content\": \"zz\", \"normalized\": %s}, "
                               "{\"id\": 275, \"content\": \"%s\", \"normalized\": %s}";
    static const struct {
        const char *other, *normalizer;
        bool matters;
    } cases[] = {{"zx", "null", true},
                 {"xy", "null", false},
                 {"xy", "{\"type\": \"NFC\"}", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t hash[4];
        for (int k = 0; k < 4; k++) {
            char extra[256], old[64], fresh[64];
            snprintf(extra, sizeof extra, pair, k & 1 ? "true" : "false", cases[i].other,
                     k & 2 ? "true" : "false");
            snprintf(old, sizeof old, "\"normalizer\": null");
            snprintf(fresh, sizeof fresh, "\"normalizer\": %s", cases[i].normalizer);
            char *json = replaced(old, fresh, extra);
            hash[k] = hash_of(json);
            free(json);
        }
        assert_true((hash[1] != hash[2]) == cases[i].matters);
        /* the same flag for both: found in one pass where there is no normalizer */
        assert_true((hash[0] != hash[3]) == (i == 2));
    }
}

/* Shards that duet made before hold the xxh3 of kind and blob; these are of commit 7279bbc. */
static void test_old_number(void **state) {
    (void)state;
    struct tokenizer *t;
    struct err e = {0};
    assert_int_equal(tokenizer_open(&t, "byte", &e), 0);
    assert_true(tokenizer_is(t, 0x8589965d73354f2dull));
    assert_true(tokenizer_is(t, tokenizer_hash(t)));
    assert_false(tokenizer_is(t, 0x8589965d73354f2eull));
    check_forms(t);
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_overs),
        cmocka_unit_test(test_added_order),
        cmocka_unit_test(test_added_blanks),
        cmocka_unit_test(test_two_unknown),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_spm_sides),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_same_number),
        cmocka_unit_test(test_other_number),
        cmocka_unit_test(test_pass_number),
        cmocka_unit_test(test_old_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
