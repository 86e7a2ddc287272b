/* Bad SentencePiece models and vocabularies: one clear sentence, never a crash. */
#include "err.h"
#include "spm_fixture.h"
#include "tok_util.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static struct proto p;

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

static void must_fail(const char *names) {
    struct err e = {0};
    if (open_tight(p.b, p.n, &e) != ERR_INPUT) fail_msg("accepted; %s expected", names);
    if (!strstr(e.msg, "bad file") || !strstr(e.msg, names))
        fail_msg("\"%s\" does not name \"%s\"", e.msg, names);
}

static void test_pieces(void **state) {
    (void)state;
    static const struct {
        const char *s;
        float score;
        int type;
        const char *names;
    } cases[] = {
        {"", 0, VOCAB_NORMAL, "pieces[3] at offset 45 has a text of 0 bytes"},
        {"a", 0, 7, "pieces[3] at offset 45 has type 7"},
        {"a", 0, 0, "has type 0"},
        {"a", 0, -1, "has type 18446744073709551615"},
        {"a", INFINITY, VOCAB_NORMAL, "pieces[3].score at offset 45"},
        {"a", NAN, VOCAB_NORMAL, "pieces[3].score"},
        {"a\xff", 0, VOCAB_NORMAL, "piece 3 is not UTF-8"},
        {"<s>", 0, VOCAB_NORMAL, "pieces 1 and 3 have the same text \"<s>\""},
        {"x", 0, VOCAB_UNKNOWN, "pieces 0 and 3 are both of the type UNKNOWN"},
        {"<0xag>", 0, VOCAB_BYTE, "\"<0xag>\" is not like \"<0x0A>\""},
        {"<0x0A>", 0, VOCAB_BYTE, "1 pieces are of the type BYTE, expected 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(&p);
        put_piece(&p, cases[i].s, cases[i].score, cases[i].type);
        put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
        must_fail(cases[i].names);
    }
    start(&p); /* "▁a" and " a" cannot be told apart */
    put_piece(&p,
              "\xe2\x96\x81"
              "a",
              0, VOCAB_NORMAL);
    put_piece(&p, " a", 0, VOCAB_NORMAL);
    put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
    must_fail("pieces 3 and 4 stand for the same text");
    start(&p);
    put_bytes(&p);
    p.n -= 10; /* into the last of them */
    must_fail("field 1 at offset 4380 has 15 bytes, but 5 are left");
    start(&p);
    char *longer = malloc(4001);
    memset(longer, 'a', 4000);
    longer[4000] = 0;
    struct proto in = {.n = 0};
    put_text(&in, 1, longer, 4000);
    put_text(&p, 1, in.b, in.n);
    put_specs(&p, plain);
    must_fail("has a text of 4000 bytes");
    free(longer);
}

static void test_specs(void **state) {
    (void)state;
    static const struct {
        struct spec s;
        const char *names;
    } cases[] = {
        {{1, 0, 1, 0, 1, 2}, "trainer_spec.model_type is 1 (unigram)"},
        {{3, 0, 1, 0, 1, 2}, "model_type is 3 (word)"},
        {{4, 0, 1, 0, 1, 2}, "model_type is 4 (char)"},
        {{9, 0, 1, 0, 1, 2}, "model_type is 9 (not known)"},
        {{2, 1, 1, 0, 1, 2}, "0 pieces are of the type BYTE, expected 256"},
        {{2, 0, 1, 0, 3, 2}, "trainer_spec.bos_id at offset"},
        {{2, 0, 1, 0, 1, -2}, "trainer_spec.eos_id at offset"},
        {{2, 0, 1, 0, 1, 2000000000}, "eos_id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(&p);
        put_specs(&p, cases[i].s);
        must_fail(cases[i].names);
    }
    static const struct {
        unsigned message, field, text;
        int64_t v;
        const char *names;
    } fields[] = {
        {2, 24, 0, 1, "trainer_spec.treat_whitespace_as_suffix"},
        {2, 3, 1, 0, "trainer_spec.model_type at offset 82 has wire type 2, expected 0"},
        {3, 2, 1, 0, "normalizer_spec.precompiled_charsmap"},
        {3, 5, 0, 0, "normalizer_spec.escape_whitespaces"},
        {5, 2, 1, 0, "denormalizer_spec.precompiled_charsmap"},
        {3, 3, 1, 0, "normalizer_spec.add_dummy_prefix"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct proto in = {.n = 0};
        start(&p);
        put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
        if (fields[i].text)
            put_text(&in, fields[i].field, "table", 5);
        else
            put_int(&in, fields[i].field, fields[i].v);
        put_text(&p, fields[i].message, in.b, in.n); /* the message goes on */
        must_fail(fields[i].names);
    }
    start(&p); /* harmless: identity by name only, self tests, and a field from a later version */
    put_specs(&p, (struct spec){2, 0, 1, 0, 1, 2});
    put_text(&p, 4, "anything", 8);
    put_int(&p, 77, 5);
    struct err e = {0};
    if (open_tight(p.b, p.n, &e)) fail_msg("%s", e.msg);
    p.n = 0;
    put_piece(&p, "a", 0, VOCAB_NORMAL);
    put_specs(&p, (struct spec){2, 0, 1, 0, -1, -1});
    must_fail("no piece of the type UNKNOWN");
}

static void test_wire(void **state) {
    (void)state;
    static const struct {
        const char *b;
        size_t n;
        const char *names;
    } tails[] = {
        {"\x0a", 1, "a length at offset"},
        {"\x80", 1, "a tag at offset"},
        {"\x20", 1, "a number at offset"},
        {"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "more than 64 bits"},
        {"\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, "more than 64 bits"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, "no field has the tag"},
        {"\x02\x01z", 3, "no field has the tag"},
        {"\x23", 1, "field 4 at offset 45 has wire type 3"},
        {"\x24", 1, "wire type 4"},
        {"\x26", 1, "wire type 6"},
        {"\x27", 1, "wire type 7"},
        {"\x21wwwwwww", 8, "7 bytes left, needs 8"},
        {"\x25www", 4, "3 bytes left, needs 4"},
        {"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "has 18446744073709551615 bytes"},
        {"\x22\x02w", 3, "has 2 bytes, but 1 are left"},
        {"\x08\x01", 2, "field 1 at offset 45 has wire type 0, expected 2"},
        {"\x0a\x03\x0a\x02w", 5, "pieces[3]: field 1 at offset 47 has 2 bytes, but 1 are left"},
    };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        start(&p);
        memcpy(p.b + p.n, tails[i].b, tails[i].n);
        p.n += tails[i].n;
        must_fail(tails[i].names);
    }
}

static void small_model(void) {
    start(&p);
    put_bytes(&p);
    for (char c = 'a'; c < 'k'; c++) put_piece(&p, (char[2]){c, 0}, -c, VOCAB_NORMAL);
    put_piece(&p,
              "\xe2\x96\x81"
              "ab",
              -2, VOCAB_NORMAL);
    put_piece(&p, "abc", -1, VOCAB_UNUSED);
    put_piece(&p, "[x]", 0, VOCAB_USER);
    put_specs(&p, plain);
}

static void test_truncated(void **state) {
    (void)state;
    struct err e = {0};
    small_model();
    for (size_t n = 0; n < p.n; n++) {
        e.msg[0] = 0;
        assert_int_equal(open_tight(p.b, n, &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, "bad file"));
    }
    if (open_tight(p.b, p.n, &e)) fail_msg("%s", e.msg);
}

static void test_damaged(void **state) {
    (void)state;
    struct rng r = rng_make(1, RNG_TEST, 40, 0, 0);
    struct err e = {0};
    size_t refused = 0;
    small_model();
    for (int i = 0; i < 5000; i++) {
        size_t at = rng_below(&r, p.n);
        uint8_t was = p.b[at];
        p.b[at] = (uint8_t)rng_next(&r);
        refused += open_tight(p.b, p.n, &e) != 0;
        p.b[at] = was;
    }
    assert_true(refused > 1000 && refused < 5000);
}

/* A file whose pieces merge in a great many ways asks for more memory than it is worth. */
static void test_ways(void **state) {
    (void)state;
    static char text[1001];
    memset(text, 'a', 1000);
    static struct proto one;
    struct err e = {0};
    size_t n = 0;
    uint8_t *big = malloc(1000 * 1020 + sizeof one.b);
    for (size_t i = 0; i < 1000; i++) {
        one.n = 0;
        put_piece(&one, text + i, 0, i ? VOCAB_NORMAL : VOCAB_UNKNOWN);
        memcpy(big + n, one.b, one.n);
        n += one.n;
    }
    one.n = 0;
    put_specs(&one, (struct spec){2, 0, 1, 0, -1, -1});
    memcpy(big + n, one.b, one.n);
    n += one.n;
    assert_int_equal(open_tight(big, n, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "bad file: more than 129"));
    free(big);
}

/* Vocabularies of other files that do not fit together. */
static void test_vocab(void **state) {
    (void)state;
    struct vocab_text tokens[4] = {{"<unk>", 5}, {"<s>", 3}, {"a", 1}, {"b", 1}};
    uint8_t types[4] = {VOCAB_UNKNOWN, VOCAB_CONTROL, VOCAB_NORMAL, VOCAB_NORMAL};
    float scores[4] = {0};
    struct vocab good = {.model = VOCAB_SPM,
                         .n = 4,
                         .tokens = tokens,
                         .types = types,
                         .scores = scores,
                         .bos = 1,
                         .eos = 3,
                         .unk = 0,
                         .pad = -1};
    for (int i = 0; i < 8; i++) {
        static const char *const names[] = {NULL,
                                            "bos token is 4",
                                            "eos token is -2",
                                            "add_eos_token",
                                            "token 3 has 0 bytes",
                                            "token 3 has type 9",
                                            "the score of token 3",
                                            "pieces 2 and 3 have the same text"};
        struct vocab v = good;
        struct err e = {0};
        struct tokenizer *t;
        void *blob = NULL;
        size_t n;
        if (i == 1) v.bos = 4;
        if (i == 2) v.eos = -2;
        if (i == 3) v.add_eos = true;
        tokens[3].n = i == 4 ? 0 : 1;
        types[3] = i == 5 ? 9 : VOCAB_NORMAL;
        scores[3] = i == 6 ? NAN : 0;
        tokens[3].s = i == 7 ? "a" : "b";
        int rc = tokenizer_blob_from_vocab(&v, "bad file", &blob, &n, &e);
        assert_int_equal(rc, i ? ERR_INPUT : 0);
        if (i && (!strstr(e.msg, names[i]) || !strstr(e.msg, "bad file")))
            fail_msg("\"%s\" does not say \"%s\"", e.msg, names[i]);
        if (i) continue;
        assert_int_equal(tokenizer_open_blob(&t, blob, n, "good", &e), 0);
        assert_int_equal(tokenizer_bos(t), -1); /* not put in front */
        assert_int_equal(tokenizer_eos(t), 3);  /* the end is special whatever its type was */
        assert_true(tokenizer_is_special(t, 3));
        tokenizer_close(t);
        free(blob);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),  cmocka_unit_test(test_specs),
        cmocka_unit_test(test_wire),    cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
