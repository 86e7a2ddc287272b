/* BPE over characters (Llama 2's sort of tokenizer.json): against a plain implementation of the
 * algorithm, blanks in front, unknown characters, and as a SentencePiece vocabulary. */
#include "err.h"
#include "tok_util.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLANK "\xe2\x96\x81"
#define FIRST 259 /* behind <unk>, <s>, </s> and the bytes */

static const char *const chars[] = {BLANK, "a", "b", "c", "d", "e", "<", "s", ">", "\xc3\xa9", "."};
/* Every way to make a token of two is here, in the order of scores that the tokens could have:
 * BLANK "ab" and "ced" have equal scores. */
static const char *const merges[][2] = {
    {BLANK, "a"},        {"a", "b"},    {BLANK, BLANK}, {"c", "d"},
    {"c", "e"},          {"e", "d"},    {"cd", "e"},    {BLANK "a", "b"},
    {"ce", "d"},         {BLANK, "ab"}, {"c", "ed"},    {BLANK BLANK, BLANK BLANK},
    {"a", "\xc3\xa9"},   {"ab", "a"},   {"b", "ab"},    {"\xc3\xa9", "\xc3\xa9"},
    {BLANK "ab", "cde"},
};
enum { CHARS = sizeof chars / sizeof *chars, MERGES = sizeof merges / sizeof *merges };

static void join(char *out, int m) {
    sprintf(out, "%s%s", merges[m][0], merges[m][1]);
}

/* The id of a token by its key. */
static int find(const char *key, size_t n) {
    char whole[64];
    for (int i = 0; i < CHARS; i++)
        if (strlen(chars[i]) == n && !memcmp(chars[i], key, n)) return FIRST + i;
    int id = FIRST + CHARS;
    for (int m = 0; m < MERGES; m++) {
        join(whole, m);
        bool first = true; /* a token of several merges has the id of the first */
        for (int k = 0; k < m; k++) {
            char other[64];
            join(other, k);
            first &= strcmp(other, whole) != 0;
        }
        if (!first) continue;
        if (strlen(whole) == n && !memcmp(whole, key, n)) return id;
        id++;
    }
    return -1;
}

static const char prepend[] =
    "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"" BLANK
    "\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" BLANK "\"}]}";
static const char decoder[] =
    "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": "
    "\"" BLANK "\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, "
    "{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}";

#define METASPACE(scheme, split)                                                                   \
    "{\"type\": \"Metaspace\", \"replacement\": \"" BLANK "\", \"prepend_scheme\": \"" scheme      \
    "\", \"split\": " split "}"

/* options: of the model; NULL: byte_fallback. extra: more added tokens, each after a comma. */
static char *make_json(const char *norm, const char *pre, const char *dec, const char *options,
                       const char *extra) {
    char *s = malloc(20000), *at = s;
    at += sprintf(at,
                  "{\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true}, "
                  "{\"id\": 1, \"content\": \"<s>\", \"special\": true}, {\"id\": 2, \"content\": "
                  "\"</s>\", \"special\": true}%s], \"normalizer\": %s, \"pre_tokenizer\": %s, "
                  "\"decoder\": %s, \"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\", %s, "
                  "\"vocab\": {\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2",
                  extra ? extra : "", norm ? norm : "null", pre ? pre : "null", dec ? dec : decoder,
                  options ? options : "\"fuse_unk\": true, \"byte_fallback\": true");
    for (int b = 0; b < 256; b++) at += sprintf(at, ", \"<0x%02X>\": %d", (unsigned)b, 3 + b);
    for (int i = 0; i < CHARS; i++) at += sprintf(at, ", \"%s\": %d", chars[i], FIRST + i);
    for (int m = 0, id = FIRST + CHARS; m < MERGES; m++) {
        char whole[64];
        join(whole, m);
        if (find(whole, strlen(whole)) == id) at += sprintf(at, ", \"%s\": %d", whole, id++);
    }
    at += sprintf(at, "}, \"merges\": [");
    for (int m = 0; m < MERGES; m++)
        at += sprintf(at, m ? ", \"%s %s\"" : "\"%s %s\"", merges[m][0], merges[m][1]);
    sprintf(at, "]}}");
    return s;
}

static struct tokenizer *open_chars(const char *norm, const char *pre, const char *dec,
                                    const char *options, const char *extra) {
    char *json = make_json(norm, pre, dec, options, extra);
    struct tokenizer *t = open_text(json);
    free(json);
    return t;
}

static void check(const struct tokenizer *t, const char *text, const char *want) {
    char got[1000] = "";
    struct tok_ids ids = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, strlen(text), true, false, &ids, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < ids.n; i++) sprintf(got + strlen(got), i ? " %u" : "%u", ids.ids[i]);
    assert_string_equal(got, want);
    free(ids.ids);
}

static void check_decode(const struct tokenizer *t, const char *text, const char *want) {
    struct tok_ids ids = {0};
    struct tok_bytes out = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, strlen(text), true, false, &ids, &e)) fail_msg("%s", e.msg);
    if (tokenizer_decode(t, ids.ids, ids.n, true, &out, &e)) fail_msg("%s", e.msg);
    assert_string_equal(out.data, want);
    free(ids.ids);
    free(out.data);
}

/* The definition: of all neighbours the pair that comes first in the list, the leftmost of it. */
static size_t plain_bpe(const char *text, size_t n, uint32_t *ids) {
    char(*key)[64] = calloc(3 * n + 3, sizeof *key);
    size_t k = 0;
    strcpy(key[k++], BLANK);
    for (size_t i = 0; i < n;) {
        size_t len = text[i] == ' ' ? 1 : (uint8_t)text[i] == 0xc3 && i + 1 < n ? 2 : 1;
        if (text[i] == ' ')
            strcpy(key[k++], BLANK);
        else if (find(text + i, len) >= 0)
            memcpy(key[k++], text + i, len);
        else
            for (size_t b = 0; b < len; b++) sprintf(key[k++], "<0x%02X>", (uint8_t)text[i + b]);
        i += len;
    }
    for (int m = 0; m < MERGES;) {
        size_t at = 0;
        while (at + 1 < k && (strcmp(key[at], merges[m][0]) || strcmp(key[at + 1], merges[m][1])))
            at++;
        if (at + 1 >= k) {
            m++;
            continue;
        }
        join(key[at], m);
        memmove(key + at + 1, key + at + 2, (k - at - 2) * sizeof *key);
        k--;
        m = 0;
    }
    for (size_t i = 0; i < k; i++) {
        unsigned byte;
        const int id = find(key[i], strlen(key[i]));
        ids[i] = id >= 0 ? (uint32_t)id : sscanf(key[i], "<0x%2X>", &byte) == 1 ? 3 + byte : 0;
    }
    free(key);
    return k;
}

static size_t random_chars(struct rng *r, char *text, size_t n) {
    static const char *const parts[] = {" ", "  ", "a",        "b",    "ab", "cde", " ab", "    ",
                                        "<", "s>", "\xc3\xa9", "\xff", "\n", "x",   "ced", "bab"};
    size_t k = 0;
    while (k < n)
        for (const char *p = parts[rng_below(r, 16)]; *p && k < n;) text[k++] = *p++;
    if (k && text[k - 1] == '\xc3') text[k - 1] = 'b';
    return k;
}

static void test_merges(void **state) {
    (void)state;
    struct tokenizer *t = open_chars(prepend, NULL, NULL, NULL, NULL);
    struct rng r = rng_make(1, RNG_TEST, 60, 0, 0);
    assert_false(tokenizer_is_exact(t)); /* U+2581 in a text is a blank behind */
    assert_int_equal(tokenizer_eos(t), 2);
    for (int i = 0; i < 3000; i++) {
        char text[200];
        uint32_t want[600];
        const size_t n = random_chars(&r, text, 1 + rng_below(&r, i % 10 ? 20 : sizeof text));
        check_ids(t, text, n, want, plain_bpe(text, n, want));
        check_round_trip(t, text, n);
    }
    check_decode(t, "a" BLANK "b", "a b");
    tokenizer_close(t);
}

static void test_prefixes(void **state) {
    (void)state;
    struct tokenizer *t = open_chars(prepend, NULL, NULL, NULL, NULL);
    check(t, "a", "270");
    check(t, " a", "259 270");
    check(t, "</s>a", "2 270"); /* what follows a special token starts again */
    check_decode(t, " a</s>a</s> a", " a</s>a</s> a");
    tokenizer_close(t);
    t = open_chars(NULL, METASPACE("first", "false"), NULL, NULL, NULL);
    check(t, "a", "270");
    check(t, " a", "270"); /* there is one already */
    check(t, "</s>a</s> a", "2 260 2 270");
    check_decode(t, "a</s>a</s> a", "a</s>a</s> a");
    struct tok_bytes out = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_decode(t, (uint32_t[]){2, 270}, 2, false, &out, &e), 0);
    assert_string_equal(out.data, " a");
    free(out.data);
    tokenizer_close(t);
    t = open_chars(NULL, METASPACE("always", "true"), METASPACE("always", "true"),
                   "\"fuse_unk\": true", NULL);
    check(t, "</s>a", "2 270");
    check(t, "a  a", "270 259 270"); /* each blank starts a piece */
    check_decode(t, "a  a", "a  a");
    tokenizer_close(t);
    t = open_chars(NULL, METASPACE("never", "false"), METASPACE("never", "true"),
                   "\"fuse_unk\": true", NULL);
    check(t, "a a", "260 270");
    check(t, " a", "270");
    check_decode(t, " a a", " a a");
    tokenizer_close(t);
}

static void test_unknown(void **state) {
    (void)state;
    static const char replace[] = "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, "
                                  "\"content\": \"" BLANK "\"}";
    struct tokenizer *t = open_chars(replace, NULL, NULL, "\"fuse_unk\": true", NULL);
    check(t, "axy\xffzbx", "260 0 261 0");
    tokenizer_close(t);
    t = open_chars(replace, NULL, NULL, "\"fuse_unk\": false", NULL);
    check(t, "axy\xffzbx", "260 0 0 0 0 261 0");
    tokenizer_close(t);
    struct err e = {0};
    struct tok_ids ids = {0};
    char *json = make_json(replace, NULL, NULL, "\"fuse_unk\": false", NULL);
    memcpy(strstr(json, "\"unk_token\": \"<unk>\""), "\"unk_token\":    null", 20);
    t = open_text(json);
    assert_int_equal(tokenizer_encode(t, "axb", 3, true, false, &ids, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "0x78"));
    tokenizer_close(t);
    free(ids.ids);
    free(json);
}

/* lstrip and rstrip take blanks away, of any sort; normalized ones are found as the normalizer
 * writes them. */
static void test_added(void **state) {
    (void)state;
    struct tokenizer *t =
        open_chars(prepend, NULL, NULL, NULL,
                   ", {\"id\": 300, \"content\": \"[L]\", \"special\": true, \"lstrip\": true}, "
                   "{\"id\": 301, \"content\": \"[R]\", \"special\": true, \"rstrip\": true}, "
                   "{\"id\": 302, \"content\": \"[n a]\", \"normalized\": true}");
    check(t, "a \xe3\x80\x80\n[L] a", "270 300 259 270");
    check(t, "a [R] \xc2\xa0\ta", "270 259 301 270");
    check(t, "[R]  [L]", "301 300");
    check(t, "[L][L]", "300 300");
    check(t, "[n a]", "302"); /* as the start of a text, for its form has a blank in front */
    tokenizer_close(t);
    t = open_chars("{\"type\": \"NFC\"}", METASPACE("first", "false"), NULL, NULL,
                   ", {\"id\": 302, \"content\": \"[n]\", \"normalized\": true}");
    check(t, "a[n]a", "270 302 260");
    check(t, "</s>a[n]a", "2 260 302 260");
    tokenizer_close(t);
    /* what the normalizer makes of one is written as another */
    t = open_chars(prepend, NULL, NULL, NULL,
                   ", {\"id\": 303, \"content\": \"[q]\", \"normalized\": true}, {\"id\": 304, "
                   "\"content\": \"" BLANK "[q]\", \"normalized\": false}");
    assert_int_equal(tokenizer_find(t, BLANK "[q]"), 304);
    check(t, "[q]", "303");
    check(t, BLANK "[q]", "304");
    tokenizer_close(t);
}

static struct tokenizer *through_vocab(const struct tokenizer *t, struct vocab *v) {
    struct err e = {0};
    if (tokenizer_to_vocab(t, v, &e)) fail_msg("%s", e.msg);
    assert_int_equal(v->model, VOCAB_SPM);
    struct tokenizer *spm = open_vocab(v);
    assert_string_equal(tokenizer_kind(spm), "spm");
    return spm;
}

static void test_scores(void **state) {
    (void)state;
    struct tokenizer *t = open_chars(prepend, NULL, NULL, NULL, NULL);
    struct vocab v;
    struct tokenizer *spm = through_vocab(t, &v);
    assert_int_equal(v.n, tokenizer_vocab_size(t));
    assert_int_equal(v.types[0], VOCAB_UNKNOWN);
    assert_int_equal(v.types[1], VOCAB_CONTROL);
    assert_int_equal(v.types[3 + 255], VOCAB_BYTE);
    assert_int_equal(v.types[FIRST], VOCAB_NORMAL);
    assert_true(v.add_space_prefix && !v.add_bos);
    const uint32_t aba = (uint32_t)find("aba", 3), bab = (uint32_t)find("bab", 3);
    assert_true(v.scores[aba] < v.scores[find("ab", 2)]);
    assert_true(v.scores[bab] < v.scores[aba]);
    assert_true(v.scores[find("ced", 3)] == v.scores[find(BLANK "ab", 5)]);
    assert_true(v.scores[FIRST] < v.scores[v.n - 1]); /* made by no merge */
    struct rng r = rng_make(1, RNG_TEST, 61, 0, 0);
    for (int i = 0; i < 3000; i++) {
        char text[100];
        const size_t n = random_chars(&r, text, 1 + rng_below(&r, sizeof text));
        struct tok_ids ids = {0};
        struct err e = {0};
        assert_int_equal(tokenizer_encode(t, text, n, false, false, &ids, &e), 0);
        check_ids(spm, text, n, ids.ids, ids.n);
        free(ids.ids);
    }
    tokenizer_close(spm);
    vocab_release(&v);
    tokenizer_close(t);
}

static void refused(const char *norm, const char *pre, const char *options, const char *old,
                    const char *fresh, const char *why) {
    char *json = make_json(norm, pre, NULL, options, NULL);
    if (old) {
        char *at = strstr(json, old);
        assert_true(at && strlen(old) == strlen(fresh));
        memcpy(at, fresh, strlen(fresh));
    }
    struct tokenizer *t = open_text(json);
    struct vocab v;
    struct err e = {0};
    assert_int_equal(tokenizer_to_vocab(t, &v, &e), ERR_INPUT);
    if (!strstr(e.msg, why)) fail_msg("\"%s\" does not say \"%s\"", e.msg, why);
    tokenizer_close(t);
    free(json);
}

static void test_no_scores(void **state) {
    (void)state;
    refused("{\"type\": \"NFC\"}", METASPACE("first", "false"), NULL, NULL, NULL, "normalizer");
    refused(prepend, "{\"type\": \"Digits\"}", NULL, NULL, NULL, "pre_tokenizer");
    refused(prepend, NULL, "\"fuse_unk\": true", NULL, NULL, "byte_fallback");
    refused(NULL, METASPACE("first", "true"), NULL, NULL, NULL, "crosses one");
    /* without the second of its merges a token would be made where the list does not */
    refused(prepend, NULL, NULL, "\"" BLANK " ab\"", "\"a b\"   ", "do not merge");
    /* of two tokens with merges in turn those of the longer left part must come first */
    refused(prepend, NULL, NULL, "\"" BLANK "a b\", \"ce d\", \"" BLANK " ab\", \"c ed\"",
            "\"c ed\", \"" BLANK "a b\", \"ce d\", \"" BLANK " ab\"", "not those of scores");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),  cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_added),
        cmocka_unit_test(test_scores),  cmocka_unit_test(test_no_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
