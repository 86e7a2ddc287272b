/* Tokenizers made in memory: against plain re-implementations of the algorithms, round trips,
 * special tokens, documents and threads. Real vocabularies: test_tok_data.c; bad files:
 * test_tok_errors.c. */
#include "tokenizer.h"

#include "err.h"
#include "tok_util.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EOS (256 + SMALL_MERGES)

static struct tokenizer *open_bin(void) {
    size_t n;
    char *bin = small_bin(&n);
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open_blob(&t, bin, n, "small.bin", &e)) fail_msg("%s", e.msg);
    free(bin);
    return t;
}

static struct tokenizer *open_json(const char *norm, const char *pre, const char *post,
                                   const char *extra) {
    char *json = small_json(norm, pre, post, extra);
    struct tokenizer *t = open_text(json);
    free(json);
    return t;
}

static struct tok_ids encode(const struct tokenizer *t, const char *text, bool specials, bool bos) {
    struct tok_ids ids = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, strlen(text), specials, bos, &ids, &e)) fail_msg("%s", e.msg);
    return ids;
}

static void check(const struct tokenizer *t, const char *text, bool specials, bool bos,
                  const char *want) {
    char got[1000] = "";
    struct tok_ids ids = encode(t, text, specials, bos);
    for (size_t i = 0; i < ids.n; i++) sprintf(got + strlen(got), i ? " %u" : "%u", ids.ids[i]);
    assert_string_equal(got, want);
    free(ids.ids);
}

/* BPE on keys, as its definition says: the adjacent pair that comes first in the list of merges,
 * the leftmost of it, until there is none. */
static size_t plain_bpe(const char *word, size_t n, uint32_t *ids) {
    char(*key)[64] = calloc(n, sizeof *key);
    for (size_t i = 0; i < n; i++) byte_key((uint8_t)word[i], key[i]);
    for (int rank = 0; rank < SMALL_MERGES;) {
        size_t at = 0;
        while (at + 1 < n && (strcmp(key[at], small_merges[rank][0]) ||
                              strcmp(key[at + 1], small_merges[rank][1])))
            at++;
        if (at + 1 >= n) {
            rank++;
            continue;
        }
        size_t len = strlen(key[at]);
        memcpy(key[at] + len, key[at + 1], strlen(key[at + 1]) + 1);
        memmove(key + at + 1, key + at + 2, (n - at - 2) * sizeof *key);
        n--;
        rank = 0;
    }
    for (size_t i = 0; i < n; i++) {
        char one[3], both[64];
        ids[i] = UINT32_MAX;
        for (int b = 0; b < 256; b++) {
            byte_key(byte_order(b), one);
            if (strcmp(one, key[i]) == 0) ids[i] = (uint32_t)b;
        }
        for (uint32_t m = 0; m < SMALL_MERGES; m++) {
            snprintf(both, sizeof both, "%s%s", small_merges[m][0], small_merges[m][1]);
            if (strcmp(both, key[i]) == 0) ids[i] = 256 + m;
        }
    }
    free(key);
    return n;
}

static void test_bpe_merges(void **state) {
    (void)state;
    static const char *const parts[] = {"in", "the", "t", "h", "e",  "an",
                                        "d",  "aaa", "a", "r", "hen"};
    struct tokenizer *t = open_json(NULL, NULL, NULL, NULL);
    struct rng r = rng_make(1, RNG_TEST, 10, 0, 0);
    for (int i = 0; i < 2000; i++) {
        char word[160]; /* letters, perhaps behind a blank; often too long to merge in place */
        size_t n = 1 + rng_below(&r, i % 20 ? 12 : sizeof word), k = i & 1;
        word[0] = ' ';
        while (k < n)
            for (const char *p = parts[rng_below(&r, 11)]; *p && k < n;) word[k++] = *p++;
        if (n == 1 && word[0] == ' ') continue;
        uint32_t ids[160];
        k = plain_bpe(word, n, ids);
        check_ids(t, word, n, ids, k);
    }
    tokenizer_close(t);
}

/* A text long enough for the cache of words gives the ids of its parts. */
static void test_word_cache(void **state) {
    (void)state;
    struct tokenizer *tokenizers[] = {open_json(NULL, NULL, NULL, NULL), open_bin()};
    struct rng r = rng_make(1, RNG_TEST, 11, 0, 0);
    for (int k = 0; k < 2; k++) {
        const struct tokenizer *t = tokenizers[k];
        size_t n = 100000, parts_n = 0;
        char *text = malloc(n + 1);
        random_text(&r, TEXT_WORDS, text, n);
        memset(text + 5000, 'x', 31); /* words around the longest that is kept */
        memset(text + 6000, 'y', 33);
        text[n] = '\0';
        struct tok_ids whole = encode(t, text, false, false), part = {0};
        struct tok_bytes back = {0};
        struct err e = {0};
        /* parts that start with a blank (which the spm kind puts in front itself) and hold no line
         * break: only there may the two kinds both be cut */
        for (size_t a = 0, b; a < n; a = b) {
            b = a + 1;
            while (b < n && !(text[b] == ' ' && b - a > 50 && strchr("nr", text[b - 1]))) b++;
            const char *s = k && a ? text + a + 1 : text + a;
            assert_int_equal(
                tokenizer_encode(t, s, (size_t)(text + b - s), false, false, &part, &e), 0);
        }
        parts_n = part.n;
        assert_int_equal(parts_n, whole.n);
        assert_memory_equal(part.ids, whole.ids, whole.n * sizeof *whole.ids);
        assert_int_equal(tokenizer_decode(t, whole.ids, whole.n, false, &back, &e), 0);
        assert_int_equal(back.n, n);
        assert_memory_equal(back.data, text, n);
        free(text);
        free(whole.ids);
        free(part.ids);
        free(back.data);
        tokenizer_close(tokenizers[k]);
    }
}

/* llama2.c's loop: of all adjacent pairs that are a token together, the one of the
 * highest score. */
static void test_spm_merges(void **state) {
    (void)state;
    size_t bytes, vocab = 0;
    char *bin = small_bin(&bytes);
    struct {
        float score;
        uint32_t n;
        const char *s;
    } v[600];
    for (size_t at = 4; at < bytes; at += 8 + v[vocab++].n) {
        memcpy(&v[vocab].score, bin + at, 4);
        memcpy(&v[vocab].n, bin + at + 4, 4);
        v[vocab].s = bin + at + 8;
    }
    struct tokenizer *t = open_bin();
    assert_int_equal(tokenizer_vocab_size(t), vocab);
    struct rng r = rng_make(1, RNG_TEST, 12, 0, 0);
    for (int i = 0; i < 250; i++) {
        char text[121] = " ";
        size_t n = 1 + rng_below(&r, 120), k = 0;
        for (size_t c = 1; c <= n; c++) text[c] = "theringab \n~u"[rng_below(&r, 13)];
        uint32_t ids[121];
        for (size_t c = 0; c <= n; c++) { /* characters; ~ and u are not in the vocabulary */
            ids[k] = 3 + (uint8_t)text[c];
            for (size_t id = 259; id < vocab; id++)
                if (v[id].n == 1 && *v[id].s == text[c]) ids[k] = (uint32_t)id;
            k++;
        }
        for (;;) {
            size_t best = SIZE_MAX;
            uint32_t best_id = 0;
            for (size_t c = 0; c + 1 < k; c++)
                for (uint32_t id = 259; id < vocab; id++) {
                    if (ids[c] < 259 || ids[c + 1] < 259) continue;
                    uint32_t a = v[ids[c]].n, b = v[ids[c + 1]].n;
                    if (v[id].n != a + b || memcmp(v[id].s, v[ids[c]].s, a) ||
                        memcmp(v[id].s + a, v[ids[c + 1]].s, b))
                        continue;
                    if (best == SIZE_MAX || v[id].score > v[best_id].score) best = c, best_id = id;
                }
            if (best == SIZE_MAX) break;
            ids[best] = best_id;
            memmove(ids + best + 1, ids + best + 2, (k - best - 2) * sizeof *ids);
            k--;
        }
        check_ids(t, text + 1, n, ids, k);
    }
    tokenizer_close(t);
    free(bin);
}

static void test_round_trips(void **state) {
    (void)state;
    struct err e = {0};
    static const char *const pre =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\"}, {\"type\": "
        "\"Split\", "
        "\"pattern\": {\"Regex\": \"\\\\s+|\\\\w+\"}, \"behavior\": \"Isolated\"}, {\"type\": "
        "\"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}";
    struct tokenizer *t[4] = {open_json(NULL, NULL, NULL, NULL), open_bin(),
                              open_json(NULL, pre, NULL, NULL)};
    assert_int_equal(tokenizer_open(&t[3], "byte", &e), 0);
    struct rng r = rng_make(1, RNG_TEST, 13, 0, 0);
    for (int k = 0; k < 4; k++) {
        assert_true(tokenizer_is_exact(t[k]));
        check_round_trip(t[k], "", 0);
        check_round_trip(t[k], " a", 2);
        check_round_trip(t[k], "<|endoftext|> b<s> c</s>\n", 25);
        for (int i = 0; i < 2000; i++) {
            char text[300];
            size_t n = rng_below(&r, sizeof text + 1);
            random_text(&r, (enum text_flavour)(i % 3), text, n);
            check_round_trip(t[k], text, n);
        }
        for (uint32_t id = 0; id < tokenizer_vocab_size(t[k]); id++) { /* any ids can be decoded */
            struct tok_bytes out = {0};
            size_t len;
            const char *s = tokenizer_piece(t[k], 0x41, id, &len);
            assert_int_equal(tokenizer_decode(t[k], (uint32_t[]){0x41, id}, 2, true, &out, &e), 0);
            assert_true(out.n >= len && memcmp(out.data + out.n - len, s, len) == 0);
            if (!tokenizer_is_special(t[k], id))
                assert_int_equal(tokenizer_token_bytes(t[k], id), len);
            else
                assert_int_equal(tokenizer_token_bytes(t[k], id), 0);
            free(out.data);
        }
        struct tok_bytes out = {0};
        uint32_t beyond = tokenizer_vocab_size(t[k]);
        assert_int_equal(tokenizer_decode(t[k], &beyond, 1, true, &out, &e), ERR_INPUT);
        assert_int_equal(tokenizer_piece(t[k], -1, beyond, &(size_t){1})[0], 0);
        free(out.data);
        tokenizer_close(t[k]);
    }
}

static void test_blob(void **state) {
    (void)state;
    struct tokenizer *t[2] = {open_json(NULL, NULL, NULL, NULL), open_bin()}, *again;
    struct err e = {0};
    for (int k = 0; k < 2; k++) {
        size_t n;
        const void *blob = tokenizer_blob(t[k], &n);
        assert_int_equal(tokenizer_open_blob(&again, blob, n, "again", &e), 0);
        assert_true(tokenizer_hash(again) == tokenizer_hash(t[k]));
        assert_string_equal(tokenizer_kind(again), k ? "spm" : "bpe");
        tokenizer_close(again);
    }
    assert_true(tokenizer_hash(t[0]) != tokenizer_hash(t[1]));
    assert_int_equal(tokenizer_open(&again, "byte", &e), 0);
    size_t n;
    assert_memory_equal(tokenizer_blob(again, &n), "byte", 4);
    assert_int_equal(tokenizer_vocab_size(again), 257);
    assert_int_equal(tokenizer_eos(again), 256);
    assert_int_equal(tokenizer_bos(again), -1);
    check(again, "A<|endoftext|>", true, true, "65 256");
    tokenizer_close(again);
    tokenizer_close(t[0]);
    tokenizer_close(t[1]);
    tokenizer_close(NULL);
}

static void test_specials(void **state) {
    (void)state;
    struct tokenizer *t = open_json(
        NULL, NULL, NULL,
        ", {\"id\": 280, \"content\": \"<a\", \"special\": false}, {\"id\": 281, \"content\": "
        "\"<abc>\", \"special\": true}, {\"id\": 290, \"content\": \"[x y]\", \"special\": false}");
    assert_int_equal(tokenizer_vocab_size(t), 291); /* 282..289 are holes */
    assert_int_equal(tokenizer_eos(t), EOS);
    assert_int_equal(tokenizer_find(t, "<abc>"), 281);
    assert_int_equal(tokenizer_find(t, " the"), 262);
    assert_int_equal(tokenizer_find(t, "nothing"), -1);
    assert_int_equal(tokenizer_token_bytes(t, 285), 0);
    check(t, "th<abc>th", true, false, "256 281 256");           /* the longest ... */
    check(t, "th<abc>th", false, false, "256 280 65 66 29 256"); /* ... that may be found */
    check(t, "<<ab[x y]", true, false, "27 280 65 290");
    check(t, "<|endoftext", true, false, "27 91 68 264 78 69 83 68 87 83");
    struct tok_ids ids = encode(t, "a<abc>b", true, false);
    struct tok_bytes out = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.n, false, &out, &e), 0);
    assert_string_equal(out.data, "ab");
    free(out.data);
    free(ids.ids);
    tokenizer_close(t);

    t = open_bin();
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    check(t, "t</s>he", true, true, "1 259 2 273 260"); /* a blank in front of each part */
    tokenizer_close(t);
}

static void test_pipeline(void **state) {
    (void)state;
    struct tokenizer *t = open_json("{\"type\": \"NFC\"}", NULL, NULL, NULL);
    assert_false(tokenizer_is_exact(t));
    check(t, "e\xcc\x81", false, false, "270"); /* e and an acute accent: one character, a merge */
    check(t, "\xc3\xa9", false, false, "270");
    check(t,
          "\xff"
          "e\xcc\x81\xff",
          false, false, "187 270 187"); /* other bytes stay */
    tokenizer_close(t);
    t = open_json("{\"type\": \"NFKC\"}", NULL, NULL,
                  ", {\"id\": 280, \"content\": \"ff\", \"special\": false, \"normalized\": true}");
    check(t, "\xef\xac\x80", false, false, "280"); /* the ligature is found once it is normal */
    tokenizer_close(t);
    t = open_json(NULL, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", NULL, NULL);
    assert_false(tokenizer_is_exact(t));
    check(t, "the", false, false, "262");
    check(t, " the", false, false, "262");
    tokenizer_close(t);
    t = open_json(
        NULL, NULL,
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": "
        "\"<|endoftext|>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": "
        "0}}], \"pair\": [], \"special_tokens\": {\"<|endoftext|>\": {\"id\": "
        "\"<|endoftext|>\", \"ids\": [273], \"tokens\": [\"<|endoftext|>\"]}}}",
        NULL);
    assert_int_equal(tokenizer_bos(t), EOS);
    check(t, "the", false, true, "273 261");
    check(t, "the", false, false, "261");
    tokenizer_close(t);
}

static void test_ignore_merges(void **state) {
    (void)state;
    char *json = small_json(NULL, NULL, NULL, NULL), *more = malloc(strlen(json) + 100);
    char *vocab = strstr(json, "\"vocab\": {") + 10;
    sprintf(more, "%.*s\"thzebra\": 300, %s", (int)(vocab - json), json, vocab);
    struct tokenizer *t = open_text(more);
    check(t, "thzebra", false, false, "256 89 68 65 81 64"); /* no merges lead there ... */
    tokenizer_close(t);
    char *model = strstr(more, "\"type\": \"BPE\"");
    char *ignore = malloc(strlen(more) + 100);
    sprintf(ignore, "%.*s\"ignore_merges\": true, %s", (int)(model - more), more, model);
    t = open_text(ignore);
    check(t, "thzebra", false, false, "300"); /* ... but the word is a token */
    check(t, "the<|endoftext|>", false, false, "261 27 91 68 264 78 69 83 68 87 83 91 29");
    tokenizer_close(t);
    free(json);
    free(more);
    free(ignore);
}

/* encode_docs gives the ids of encode, for any number of threads, and where documents start. */
static void test_docs(void **state) {
    (void)state;
    struct err e = {0};
    struct tokenizer *t[3] = {open_json(NULL, NULL, NULL, NULL), open_bin()};
    assert_int_equal(tokenizer_open(&t[2], "byte", &e), 0);
    struct rng r = rng_make(1, RNG_TEST, 14, 0, 0);
    size_t n = 1200000;
    char *text = malloc(n + 1);
    random_text(&r, TEXT_WORDS, text, n);
    for (int lap = 0; lap < 2; lap++)
        for (int k = 0; k < 3; k++) {
            const char *end = k == 1 ? "</s>" : "<|endoftext|>";
            text[n] = '\0';
            if (lap) /* else one document, cut at lines where the kind allows */
                for (size_t at = 1000; at + 20000 < n; at += 100 + rng_below(&r, 19000))
                    memcpy(text + at, end, strlen(end));
            struct tok_ids want = encode(t[k], text, true, false), starts[3] = {0};
            for (int threads = 1; threads <= 4; threads *= 2) {
                struct tok_ids got = {0}, *s = &starts[threads / 2];
                struct pool *pool;
                assert_int_equal(pool_open(&pool, threads, &e), 0);
                if (tokenizer_encode_docs(t[k], pool, text, n, &got, s, &e)) fail_msg("%s", e.msg);
                pool_close(pool);
                assert_int_equal(got.n, want.n);
                assert_memory_equal(got.ids, want.ids, want.n * sizeof *want.ids);
                assert_true(s->n == (lap ? s->n : 1) && s->n > 0 && s->ids[0] == 0);
                for (size_t i = 1; i < s->n; i++)
                    assert_int_equal(got.ids[s->ids[i] - 1], tokenizer_eos(t[k]));
                assert_int_equal(s->n, starts[0].n);
                assert_memory_equal(s->ids, starts[0].ids, s->n * sizeof *s->ids);
                free(got.ids);
            }
            for (int i = 0; i < 3; i++) free(starts[i].ids);
            free(want.ids);
            random_text(&r, TEXT_WORDS, text, n);
        }
    struct tok_ids ids = {0}, starts = {0};
    const char *two = "one<|endoftext|>\ntwo<|endoftext|>\n"; /* the last line break starts none */
    assert_int_equal(tokenizer_encode_docs(t[0], NULL, two, strlen(two), &ids, &starts, &e), 0);
    assert_int_equal(starts.n, 2);
    assert_int_equal(ids.ids[starts.ids[1] - 1], EOS);
    assert_int_equal(tokenizer_encode_docs(t[0], NULL, "x", 1, &ids, &starts, &e), 0); /* appends */
    assert_int_equal(starts.n, 3);
    assert_int_equal(starts.ids[2], ids.n - 1);
    assert_int_equal(tokenizer_encode_docs(t[0], NULL, "", 0, &ids, &starts, &e), 0);
    assert_int_equal(starts.n, 3);
    free(ids.ids);
    free(starts.ids);
    free(text);
    for (int k = 0; k < 3; k++) tokenizer_close(t[k]);
}

/* A megabyte without a blank: every merge must not cost a pass over the word. */
static void test_long_runs(void **state) {
    (void)state;
    struct tokenizer *t[2] = {open_json(NULL, NULL, NULL, NULL), open_bin()};
    size_t n = (size_t)1 << 20;
    char *text = malloc(n);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 4; i++) {
            memset(text, "a \xff\n"[i], n);
            if (i == 0) text[n / 2] = 'b';
            check_round_trip(t[k], text, n);
        }
    free(text);
    tokenizer_close(t[0]);
    tokenizer_close(t[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_merges), cmocka_unit_test(test_word_cache),
        cmocka_unit_test(test_spm_merges), cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_blob),       cmocka_unit_test(test_specials),
        cmocka_unit_test(test_pipeline),   cmocka_unit_test(test_ignore_merges),
        cmocka_unit_test(test_docs),       cmocka_unit_test(test_long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
