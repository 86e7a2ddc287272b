/* Training a vocabulary: against the plain algorithm, for any number of threads, and the file. */
#include "bpe_train.h"

#include "err.h"
#include "tok_util.h"

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const eos[] = {"<|endoftext|>"};

static char *train_on(struct pool *pool, uint32_t vocab, const char *text, size_t n,
                      uint32_t *got) {
    struct bpe_train_opts o = {
        .vocab = vocab, .specials = eos, .n_specials = 1, .min_count = 2, .pool = pool};
    struct err e = {0};
    char *json;
    if (bpe_train(&o, &text, &n, 1, &json, got, &e)) fail_msg("%s", e.msg);
    return json;
}

static char *train(uint32_t vocab, const char *text, size_t n, uint32_t *got) {
    return train_on(NULL, vocab, text, n, got);
}

/* The plain algorithm on words of letters and blanks, each word a list of ids: counts all pairs
 * anew for every merge. Writes the merges as pairs of ids; returns how many. */
struct plain {
    struct word {
        uint32_t ids[32];
        int n;
    } words[4000];
    int n;
};

static void plain_words(struct plain *p, const char *text, size_t n) {
    static uint32_t id[256];
    for (int i = 0; i < 256; i++) id[byte_order(i)] = 1 + (uint32_t)i;
    p->n = -1;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ' || i == 0) p->words[++p->n].n = 0;
        struct word *w = &p->words[p->n];
        assert_true(w->n < 32 && p->n < 3999);
        w->ids[w->n++] = id[(uint8_t)text[i]];
    }
    p->n++;
}

static int plain_train(struct plain *p, uint32_t vocab, uint32_t (*merges)[2]) {
    int *count = malloc(400 * 400 * sizeof *count), n = 0;
    for (uint32_t next = 257; next < vocab; next++) {
        int best = 1, at = -1;
        memset(count, 0, 400 * 400 * sizeof *count);
        for (int i = 0; i < p->n; i++)
            for (int k = 0; k + 1 < p->words[i].n; k++)
                count[p->words[i].ids[k] * 400 + p->words[i].ids[k + 1]]++;
        for (int i = 0; i < 400 * 400; i++) /* ascending: smaller ids first */
            if (count[i] > best) best = count[i], at = i;
        if (at < 0) break;
        uint32_t left = (uint32_t)at / 400, right = (uint32_t)at % 400;
        merges[n][0] = left;
        merges[n++][1] = right;
        for (int i = 0; i < p->n; i++) {
            struct word *w = &p->words[i];
            int out = 0;
            for (int k = 0; k < w->n; out++) {
                bool hit = k + 1 < w->n && w->ids[k] == left && w->ids[k + 1] == right;
                w->ids[out] = hit ? next : w->ids[k];
                k += hit ? 2 : 1;
            }
            w->n = out;
        }
    }
    free(count);
    return n;
}

static void test_plain(void **state) {
    (void)state;
    struct plain *p = malloc(sizeof *p);
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct rng r = rng_make(seed, RNG_TEST, 30, 0, 0);
        char text[12000];
        size_t n = 0;
        while (n + 20 < sizeof text) { /* words from an uneven distribution, some repetitive */
            text[n++] = ' ';
            for (size_t k = 1 + rng_below(&r, 10); k--;)
                text[n++] = "aaaaeettrnhiob"[rng_below(&r, 4 + rng_below(&r, 11))];
        }
        uint32_t(*want)[2] = calloc(400, sizeof *want), vocab;
        plain_words(p, text, n);
        int n_merges = plain_train(p, 390, want);
        assert_true(n_merges > 100);
        char *json = train(390, text, n, &vocab);
        /* ids of merged keys are those of the plain algorithm as long as no key comes twice */
        json_t *root = json_loads(json, 0, NULL), *model = json_object_get(root, "model");
        json_t *ids = json_object_get(model, "vocab"), *list = json_object_get(model, "merges");
        uint32_t next = 257;
        for (int i = 0; i < n_merges && i < (int)json_array_size(list); i++) {
            char left[200], right[200], both[400];
            assert_int_equal(sscanf(json_string_value(json_array_get(list, (size_t)i)),
                                    "%199s %199s", left, right),
                             2);
            assert_int_equal(json_integer_value(json_object_get(ids, left)), want[i][0]);
            assert_int_equal(json_integer_value(json_object_get(ids, right)), want[i][1]);
            snprintf(both, sizeof both, "%s%s", left, right);
            if (json_integer_value(json_object_get(ids, both)) != next++) {
                assert_true(i > 30);
                break; /* a key for the second time: the plain algorithm gave it a new id */
            }
        }
        json_decref(root);
        free(json);
        free(want);
    }
    free(p);
}

static void test_structure(void **state) {
    (void)state;
    static const char text[] = "low low low lower lower newest newest newest<|endoftext|>widest";
    static const char *const two[] = {"<|endoftext|>", "<x>\"\\"};
    struct bpe_train_opts o = {.vocab = 300, .specials = two, .n_specials = 2, .min_count = 2};
    struct err e = {0};
    const char *texts[] = {text, "\"\\<x>\"\\ again", "<|endoftext|><|endoftext|>"};
    const size_t bytes[] = {strlen(texts[0]), strlen(texts[1]), strlen(texts[2])};
    char *json;
    uint32_t vocab;
    assert_int_equal(bpe_train(&o, texts, bytes, 3, &json, &vocab, &e), 0);
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    static const char *const keys[] = {"version",        "truncation", "padding",
                                       "added_tokens",   "normalizer", "pre_tokenizer",
                                       "post_processor", "decoder",    "model"};
    assert_int_equal(json_object_size(root), 9);
    for (size_t i = 0; i < 9; i++) assert_non_null(json_object_get(root, keys[i]));
    assert_true(json_is_null(json_object_get(root, "normalizer")));
    assert_true(json_is_null(json_object_get(root, "post_processor")));
    const json_t *pre = json_object_get(root, "pre_tokenizer");
    assert_string_equal(json_string_value(json_object_get(pre, "type")), "ByteLevel");
    assert_true(json_is_false(json_object_get(pre, "add_prefix_space")));
    assert_true(json_is_true(json_object_get(pre, "use_regex")));
    const json_t *added = json_array_get(json_object_get(root, "added_tokens"), 1);
    assert_int_equal(json_integer_value(json_object_get(added, "id")), 1);
    assert_string_equal(json_string_value(json_object_get(added, "content")), two[1]);
    assert_true(json_is_true(json_object_get(added, "special")));
    const json_t *ids = json_object_get(json_object_get(root, "model"), "vocab");
    assert_int_equal(json_object_size(ids), vocab);
    assert_int_equal(json_integer_value(json_object_get(ids, "!")), 2);
    assert_int_equal(json_integer_value(json_object_get(ids, "\u0100")), 2 + 188);
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    assert_string_equal(json_string_value(json_array_get(merges, 0)),
                        "l o"); /* 5 times, as is "o w" */
    json_decref(root);

    struct tokenizer *t = open_text(json);
    assert_int_equal(tokenizer_eos(t), 0);
    assert_int_equal(tokenizer_vocab_size(t), vocab);
    assert_true(tokenizer_find(t, " low") >= 258);
    for (int i = 0; i < 3; i++) check_round_trip(t, texts[i], bytes[i]);
    tokenizer_close(t);
    free(json);
}

/* Special tokens never take part in merges, not even when their text could be merged. */
static void test_specials(void **state) {
    (void)state;
    char text[6000] = "";
    for (int i = 0; i < 100; i++) strcat(text, "abcd<|endoftext|> endoftext abcd ");
    static const char *const specials[] = {"<|endoftext|>", "abcd"};
    struct bpe_train_opts o = {.vocab = 400, .specials = specials, .n_specials = 2, .min_count = 2};
    struct err e = {0};
    const char *texts[] = {text, "abc bcd xabc dabc"};
    const size_t bytes[] = {strlen(text), 17};
    char *json;
    uint32_t vocab;
    assert_int_equal(bpe_train(&o, texts, bytes, 2, &json, &vocab, &e), 0);
    struct tokenizer *t = open_text(json);
    uint32_t tokens = 0;
    for (uint32_t id = 2; id < vocab; id++) {
        size_t n;
        const char *s = tokenizer_piece(t, 0x41, id, &n);
        assert_false(n == 4 && memcmp(s, "abcd", 4) == 0);
        assert_null(memmem(s, n, "<|", 2)); /* occurs in the special only */
        assert_null(memmem(s, n, "endoftext|", 10));
        tokens++;
    }
    assert_true(tokens > 258 && tokenizer_find(t, " endoftext") > 0);
    tokenizer_close(t);
    free(json);
}

/* The text decides, not the threads; nor how it is cut into buffers where words are whole. */
static void test_deterministic(void **state) {
    (void)state;
    size_t n = 6000000;
    char *text = malloc(n), *first = NULL;
    struct rng r = rng_make(1, RNG_TEST, 31, 0, 0);
    for (size_t i = 0; i < n;) { /* lines of random words: cut for the threads at line ends */
        for (size_t k = 1 + rng_below(&r, 6); k-- && i < n;)
            text[i++] = (char)('a' + rng_below(&r, 1 + rng_below(&r, 26)));
        if (i < n) text[i++] = rng_below(&r, 8) ? ' ' : '\n';
    }
    memset(text + 1000, 'z', 100000); /* a word that is counted in pieces */
    for (int threads = 1; threads <= 4; threads *= 2) {
        uint32_t vocab;
        struct pool *pool;
        struct err e;
        assert_int_equal(pool_open(&pool, threads, &e), 0);
        char *json = train_on(pool, 600, text, n, &vocab);
        pool_close(pool);
        assert_int_equal(vocab, 600);
        if (first) assert_string_equal(json, first);
        if (first) free(json);
        if (!first) first = json;
    }
    free(first);
    free(text);
}

static void count_call(void *ctx, uint32_t done, uint32_t total) {
    assert_true(done <= total);
    (*(int *)ctx)++;
}

static void test_options(void **state) {
    (void)state;
    struct err e = {0};
    char *json;
    uint32_t vocab;
    int calls = 0;
    static const char *const bad[][2] = {{"<a>", "<a>"}, {"", "x"}, {"\xff\xff", "x"}, {"a", "xx"}};
    const char *text = "aa aa aa";
    size_t n = strlen(text);
    for (int i = 0; i < 4; i++) {
        struct bpe_train_opts o = {.vocab = 300, .specials = bad[i], .n_specials = 2};
        assert_int_equal(bpe_train(&o, &text, &n, 1, &json, &vocab, &e), ERR_USAGE);
        assert_non_null(strstr(e.msg, "special token"));
        assert_null(json);
    }
    struct bpe_train_opts o = {.vocab = 256, .specials = eos, .n_specials = 1};
    assert_int_equal(bpe_train(&o, &text, &n, 1, &json, &vocab, &e), ERR_USAGE);
    o.vocab = 1000001;
    assert_int_equal(bpe_train(&o, &text, &n, 1, &json, &vocab, &e), ERR_USAGE);
    o.vocab = 300;
    o.min_count = 3; /* "aa" is there three times, " aa" twice */
    o.progress = count_call;
    o.ctx = &calls;
    assert_int_equal(bpe_train(&o, &text, &n, 1, &json, &vocab, &e), 0);
    assert_int_equal(vocab, 258);
    assert_true(calls > 0);
    free(json);
    assert_int_equal(bpe_train(&o, NULL, NULL, 0, &json, &vocab, &e), 0); /* no text: bytes only */
    assert_int_equal(vocab, 257);
    free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_structure),
        cmocka_unit_test(test_specials), cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
