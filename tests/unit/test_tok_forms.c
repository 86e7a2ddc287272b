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

/* A vocabulary of SentencePiece's kind: 0 <unk>, 1 <s>, 2 </s>, the bytes, then these. */
static struct tokenizer *open_vocab(const char *const *texts, const uint8_t *types, uint32_t n,
                                    int64_t unk) {
    struct vocab v = {.model = VOCAB_SPM, .n = 259 + n, .bos = 1, .eos = 2, .unk = unk, .pad = -1};
    static char names[259][8] = {"<unk>", "<s>", "</s>"};
    struct err e = {0};
    struct tokenizer *t;
    void *blob;
    size_t bytes;
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
    if (tokenizer_blob_from_vocab(&v, "vocab", &blob, &bytes, &e)) fail_msg("%s", e.msg);
    if (tokenizer_open_blob(&t, blob, bytes, "vocab", &e)) fail_msg("%s", e.msg);
    vocab_release(&v);
    free(blob);
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
        struct tokenizer *t = open_vocab(texts, types, 3, unk ? 260 : 0);
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
        {"{\"model\": {\"unk_id\": 0, \"vocab\": []}}", "not \"Unigram\""}, /* old: without a type */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_overs),
        cmocka_unit_test(test_added_order),
        cmocka_unit_test(test_two_unknown),
        cmocka_unit_test(test_other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
