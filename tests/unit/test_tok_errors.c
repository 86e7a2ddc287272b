/* Bad tokenizer files: one clear sentence, never a crash. */
#include "err.h"
#include "tok_util.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Opens a copy without a byte behind it, so that a sanitizer sees reads beyond the end. */
static int open_tight(const void *data, size_t n, struct err *e) {
    char *tight = malloc(n ? n : 1);
    struct tokenizer *t;
    memcpy(tight, data, n);
    int rc = tokenizer_open_blob(&t, tight, n, "bad file", e);
    assert_true(rc ? t == NULL && e->code == rc : t != NULL);
    tokenizer_close(t);
    free(tight);
    return rc;
}

static void must_fail(const char *json, const char *names) {
    struct err e = {0};
    if (open_tight(json, strlen(json), &e) != ERR_INPUT) fail_msg("accepted; %s expected", names);
    if (!strstr(e.msg, "bad file") || !strstr(e.msg, names))
        fail_msg("\"%s\" does not name \"%s\"", e.msg, names);
}

/* The small tokenizer.json with the first `old` replaced. */
static void replaced(const char *old, const char *fresh, const char *names) {
    char *json = small_json(NULL, NULL, NULL, NULL), *at = strstr(json, old);
    if (!at) fail_msg("nothing to replace: %s", old);
    char *bad = malloc(strlen(json) + strlen(fresh) + 1);
    sprintf(bad, "%.*s%s%s", (int)(at - json), json, fresh, at + strlen(old));
    must_fail(bad, names);
    free(bad);
    free(json);
}

static const char *const replacements[][3] = {
    {"\"version\"", "\"versions\"", "unknown key \"versions\""},
    {"\"BPE\"", "\"Unigram\"", "model.type"},
    {"\"BPE\"", "7", "model.type"},
    {"\"BPE\",", "\"BPE\", \"dropout\": 0.1,", "model.dropout"},
    {"\"BPE\",", "\"BPE\", \"unk_token\": \"<unk>\",", "model.unk_token"},
    {"\"BPE\",", "\"BPE\", \"unk_token\": 3,", "model.unk_token"},
    {"\"BPE\",", "\"BPE\", \"byte_fallback\": 1,", "byte_fallback"},
    {"\"BPE\",", "\"BPE\", \"end_of_word_suffix\": \"</w>\",", "end_of_word_suffix"},
    {"\"BPE\",", "\"BPE\", \"continuing_subword_prefix\": \"##\",", "continuing_subword"},
    {"\"BPE\",", "\"BPE\", \"new_option\": 1,", "new_option"},
    {"\"vocab\": {", "\"vocab\": [{", "not JSON"},
    {"\"!\": 0", "\"!\": -1", "id -1"},
    {"\"!\": 0", "\"!\": 4000000000", "id 4000000000"},
    {"\"!\": 0", "\"!\": 99999999999999999999999", "not JSON"},
    {"\"!\": 0", "\"!\": 1", "two tokens have id 1"},
    {"\"!\": 0", "\"!\": 1.5", "not an integer"},
    {"\"!\": 0", "\"!\": \"0\"", "model.vocab[\"!\"]"},
    {"\"t h\"", "\"th\"", "model.merges[0]"},
    {"\"t h\"", "\"t h e\"", "model.merges[0]"},
    {"\"t h\"", "\"t q\"", "the whole is not in model.vocab"},
    {"\"t h\"", "\"zz h\"", "the left part is not"},
    {"\"t h\"", "[\"t\", \"h\", \"e\"]", "model.merges[0]"},
    {"\"t h\"", "[\"t\", 1]", "model.merges[0]"},
    {"\"t h\"", "3", "model.merges[0]"},
    {"\"t h\"", "[\"\", \"th\"]", "model.merges[0]"},
    {"\"id\": 273", "\"id\": 5", "added_tokens[0]"},
    {"\"id\": 273", "\"id\": \"a\"", "added_tokens[0]"},
    {"\"id\": 273", "\"id\": 273, \"lstrip\": 1", "\"lstrip\""},
    {"\"id\": 273", "\"id\": 273, \"single_word\": true", "single_word"},
    {"\"id\": 273", "\"id\": 273, \"color\": 1", "color"},
    {"<|endoftext|>", "", "\"content\" is empty"},
    {"\"id\": 273, \"content\": \"<|endoftext|>\"", "\"id\": 262, \"content\": \"\u0120the\"",
     "spells other bytes"},
    {"[{\"id\"", "7, \"normalizer\": [{\"id\"", "not JSON"}, /* a key twice */
    {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}", "normalizer"},
    {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\", \"x\": 1}", "normalizer"},
    {"\"normalizer\": null", "\"normalizer\": \"NFC\"", "normalizer"},
    {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Sequence\"}", "normalizers"},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, "
     "{\"type\": "
     "\"Strip\"}]}",
     "normalizer.normalizers[1]"},
    {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Prepend\"}", "prepend"},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Replace\", \"content\": \"\", \"pattern\": {\"String\": "
     "\"\"}}",
     "empty"},
    {"\"normalizer\": null",
     "\"normalizer\": {\"type\": \"Replace\", \"content\": \"\", \"pattern\": {\"Regex\": "
     "\"a\"}}",
     "\"String\""},
    {"\"version\"", "\"duet\": {\"eos\": 3}, \"version\"", "\"eos\""},
    {"\"version\"", "\"duet\": {\"bos\": 274}, \"version\"", "\"bos\""},
    {"\"version\"", "\"duet\": {\"bot\": 1}, \"version\"", "bot"},
    {"\"post_processor\": null", "\"post_processor\": {\"type\": \"BertProcessing\"}",
     "post_processor"},
    {"\"post_processor\": null", "\"post_processor\": []", "post_processor"},
    {"\"decoder\": {\"type\": \"ByteLevel\"", "\"decoder\": {\"type\": \"WordPiece\"",
     "decoder"},
};

static void test_replaced(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof replacements / sizeof *replacements; i++)
        replaced(replacements[i][0], replacements[i][1], replacements[i][2]);
}

#define SPLIT(pattern)                                                                             \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": "            \
    "\"Isolated\", "                                                                               \
    "\"pattern\": " pattern "}, {\"type\": \"ByteLevel\"}]}"

static void test_pre_tokenizers(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"null", "no ByteLevel"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Metaspace\", \"replacement\": "
         "\"_\"}, {\"type\": \"ByteLevel\"}]}",
         "\"Metaspace\" is not supported"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Whitespace\"}, {\"type\": "
         "\"ByteLevel\"}]}",
         "pretokenizers[0]"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": 3}", "pretokenizers"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": "
         "\"Digits\"}]}",
         "pretokenizers[1]"},
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": \"no\"}", "add_prefix_space"},
        {"{\"type\": \"ByteLevel\", \"new\": 1}", "unknown key \"new\""},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": "
         "\"Merged\", "
         "\"pattern\": {\"String\": \"a\"}}, {\"type\": \"ByteLevel\"}]}",
         "\"Merged\" is not one"},
        {SPLIT("{\"Regex\": \"(\"}"), "no closing parenthesis"},
        {SPLIT("{\"String\": \"\"}"), "empty"},
        {SPLIT("{}"), "pattern"},
        {SPLIT("{\"Regex\": \"a\", \"String\": \"a\"}"), "pattern"},
        {"{\"type\": 1}", "no ByteLevel"},
        {"[]", "pre_tokenizer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = small_json(NULL, cases[i][0], NULL, NULL);
        must_fail(json, cases[i][1]);
        free(json);
    }
    static const char *const posts[] = {
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}, "
        "{\"Sequence\": {}}], \"special_tokens\": {\"x\": {\"ids\": [5]}}}", /* not special */
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"x\"}}, "
        "{\"Sequence\": {}}], \"special_tokens\": {}}",
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {}}, {\"SpecialToken\": "
        "{\"id\": \"x\"}}], \"special_tokens\": {\"x\": {\"ids\": [273]}}}", /* behind the text */
        "{\"type\": \"TemplateProcessing\", \"single\": []}",
        "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"Roberta\"}]}",
    };
    for (size_t i = 0; i < sizeof posts / sizeof *posts; i++) {
        char *json = small_json(NULL, NULL, posts[i], NULL);
        must_fail(json, "post_processor");
        free(json);
    }
}

static void test_truncated(void **state) {
    (void)state;
    struct err e = {0};
    char *json = small_json(NULL, NULL, NULL, NULL);
    for (size_t n = 0; n < strlen(json); n++) assert_int_equal(open_tight(json, n, &e), ERR_INPUT);
    assert_int_equal(open_tight(json, strlen(json), &e), 0);
    size_t bytes;
    char *bin = small_bin(&bytes);
    for (size_t n = 0; n < bytes; n++) {
        assert_int_equal(open_tight(bin, n, &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, "bad file"));
    }
    assert_int_equal(open_tight(bin, bytes, &e), 0);
    free(json);
    free(bin);
}

static void test_damaged(void **state) {
    (void)state;
    struct rng r = rng_make(1, RNG_TEST, 20, 0, 0);
    struct err e = {0};
    size_t bytes;
    char *bin = small_bin(&bytes), *json = small_json(NULL, NULL, NULL, NULL);
    size_t json_n = strlen(json), refused = 0;
    for (int i = 0; i < 3000; i++) {
        size_t at = rng_below(&r, bytes), j = rng_below(&r, json_n);
        char was = bin[at], was_j = json[j];
        bin[at] = (char)rng_next(&r);
        json[j] = (char)rng_next(&r);
        refused += open_tight(bin, bytes, &e) != 0;
        refused += open_tight(json, json_n, &e) != 0;
        bin[at] = was;
        json[j] = was_j;
    }
    assert_true(refused > 1000);
    memcpy(bin, &(uint32_t){8}, 4);
    assert_int_equal(open_tight(bin, bytes, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "max_token_length"));
    memcpy(bin, &(uint32_t){7}, 4);
    memcpy(bin + 4, &(uint32_t){0x7fc00000}, 4);
    assert_int_equal(open_tight(bin, bytes, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "score"));
    memcpy(bin + 4, &(uint32_t){0}, 4);
    memcpy(bin + 8, &(uint32_t){0xffffffff}, 4);
    assert_int_equal(open_tight(bin, bytes, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "token 0 at offset 4 has length -1"));
    free(bin);
    free(json);
}

static void test_files(void **state) {
    (void)state;
    struct err e = {0};
    struct tokenizer *t;
    assert_int_not_equal(tokenizer_open(&t, "/nonexistent/tokenizer.json", &e), 0);
    assert_non_null(strstr(e.msg, "/nonexistent/tokenizer.json"));
    assert_null(t);
    char path[] = "/tmp/duet_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(tokenizer_open(&t, path, &e), ERR_INPUT); /* an empty file */
    assert_non_null(strstr(e.msg, "not a tokenizer"));
    assert_int_equal(write(fd, "\x89PNG\r\n", 6), 6);
    assert_int_equal(tokenizer_open(&t, path, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, path));
    close(fd);
    unlink(path);
    assert_int_equal(tokenizer_open_blob(&t, "{}", 2, "two braces", &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "two braces: model"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaced),  cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
