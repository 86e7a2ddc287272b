/* Pre-tokenisation against PCRE2, and the invariants of every step. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pretok.h"
#include "tok_util.h"
#include "unicode.h"

#include <pcre2.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct cuts {
    size_t end[4096], n;
    const char *text; /* next byte that must come out, NULL: not checked */
};

static int take(void *ctx, const char *word, size_t n, struct err *e) {
    struct cuts *c = ctx;
    (void)e;
    assert_true(n > 0 && c->n < 4096);
    if (c->text) {
        assert_memory_equal(c->text, word, n);
        c->text += n;
    }
    size_t before = c->n ? c->end[c->n - 1] : 0;
    c->end[c->n++] = before + n;
    return 0;
}

static void run(const struct pretok *p, const char *text, size_t n, struct cuts *c) {
    struct pretok_scratch s = {0};
    struct err e = {0};
    c->n = 0;
    if (pretok_run(p, &s, text, n, take, c, &e)) fail_msg("%s", e.msg);
    assert_int_equal(c->n ? c->end[c->n - 1] : 0, n);
    pretok_scratch_release(&s);
}

static void add(struct pretok *p, enum pretok_op op, const char *pattern) {
    struct err e = {0};
    if (pretok_add(p, op, pattern, &e)) fail_msg("%s", e.msg);
}

/* Classes are PCRE2's, but for characters that only the newer Unicode tables know, and U+180E,
 * which is white space to PCRE2 though it is none in Unicode. */
static void test_classes(void **state) {
    (void)state;
    static const char *const patterns[] = {"^[^\\s\\p{L}\\p{N}]", "^\\p{L}", "^\\p{N}", "^\\s"};
    pcre2_code *code[5];
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    int error, differ = 0;
    PCRE2_SIZE at;
    for (int i = 0; i < 5; i++)
        code[i] = pcre2_compile((PCRE2_SPTR)(i < 4 ? patterns[i] : "^\\p{Cn}"),
                                PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
    for (uint32_t cp = 0; cp < 0x110000; cp += cp == 0xd7ff ? 0x801 : 1) {
        char s[4];
        size_t n = utf8_write(cp, s), len;
        uint32_t back;
        enum unicode_class class = unicode_at(s, n, &len);
        assert_int_equal(len, n);
        assert_int_equal(utf8_read(s, n, &back), n);
        assert_int_equal(back, cp);
        if (pcre2_match(code[class], (PCRE2_SPTR)s, n, 0, 0, m, NULL) > 0 || cp == 0x180e) continue;
        assert_true(pcre2_match(code[4], (PCRE2_SPTR)s, n, 0, 0, m, NULL) > 0); /* unassigned */
        differ++;
    }
    assert_true(differ < 20000);
    for (int i = 0; i < 5; i++) pcre2_code_free(code[i]);
    pcre2_match_data_free(m);
}

static void test_utf8(void **state) {
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3\x28"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t cp;
        size_t len;
        assert_int_equal(utf8_read(bad[i], strlen(bad[i]), &cp), 0);
        assert_int_equal(unicode_at(bad[i], strlen(bad[i]), &len), UNICODE_OTHER);
        assert_int_equal(len, 1);
    }
}

/* The scanner by hand cuts where the official pattern does. */
static void test_gpt2(void **state) {
    (void)state;
    struct pretok scanner = {0}, regex = {0};
    add(&scanner, PRETOK_GPT2, NULL);
    add(&regex, PRETOK_REGEX, PRETOK_GPT2_PATTERN);
    struct rng r = rng_make(1, RNG_TEST, 1, 0, 0);
    struct cuts *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    for (int i = 0; i < 20000; i++) {
        char text[64];
        size_t n = 1 + rng_below(&r, sizeof text);
        random_text(&r, (enum text_flavour)rng_below(&r, 3), text, n);
        char *tight = malloc(n); /* so that a sanitizer sees a read beyond the end */
        memcpy(tight, text, n);
        a->text = tight;
        run(&scanner, tight, n, a);
        b->text = NULL; /* invalid bytes come out replaced inside, offsets are what counts */
        run(&regex, tight, n, b);
        assert_int_equal(a->n, b->n);
        assert_memory_equal(a->end, b->end, a->n * sizeof *a->end);
        free(tight);
    }
    free(a);
    free(b);
    pretok_release(&scanner);
    pretok_release(&regex);
}

/* Every list of steps gives back every byte, in order; only a prefix adds. */
static void test_bytes_kept(void **state) {
    (void)state;
    static const char *const llama3 =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
        "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    struct pretok p[4] = {0};
    add(&p[0], PRETOK_REGEX, llama3);
    add(&p[1], PRETOK_DIGIT, NULL);
    add(&p[1], PRETOK_GPT2, NULL);
    add(&p[2], PRETOK_DIGITS, NULL);
    add(&p[2], PRETOK_REGEX, "\\w+");
    add(&p[3], PRETOK_LITERAL, "ab");
    add(&p[3], PRETOK_REGEX, "x*"); /* also matches nothing */
    struct rng r = rng_make(1, RNG_TEST, 2, 0, 0);
    struct cuts *c = calloc(1, sizeof *c);
    for (int i = 0; i < 8000; i++) {
        char text[200];
        size_t n = rng_below(&r, sizeof text + 1);
        random_text(&r, (enum text_flavour)rng_below(&r, 3), text, n);
        c->text = text;
        run(&p[i % 4], text, n, c);
    }
    free(c);
    for (int i = 0; i < 4; i++) pretok_release(&p[i]);
}

static void check_cuts(const struct pretok *p, const char *text, const char *want) {
    struct cuts c = {0};
    run(p, text, strlen(text), &c);
    size_t at = 0;
    for (size_t i = 0; i < c.n; at = c.end[i++], want += *want == '|') {
        assert_memory_equal(text + at, want, c.end[i] - at);
        want += c.end[i] - at;
    }
    assert_string_equal(want, "");
}

static void test_steps(void **state) {
    (void)state;
    struct pretok p[4] = {0};
    add(&p[0], PRETOK_DIGIT, NULL);
    add(&p[0], PRETOK_GPT2, NULL);
    check_cuts(&p[0], "a  12 b's", "a|  |1|2| b|'s"); /* the blanks before 1 stay together */
    add(&p[1], PRETOK_DIGITS, NULL);
    check_cuts(&p[1], "ab123c4", "ab|123|c|4");
    add(&p[2], PRETOK_LITERAL, "--");
    check_cuts(&p[2], "a--b----", "a|--|b|--|--");
    add(&p[3], PRETOK_GPT2, NULL);
    check_cuts(&p[3], "I'll  've \r\n x", "I|'ll| | '|ve| \r\n| x");
    for (int i = 0; i < 4; i++) pretok_release(&p[i]);
}

/* Cutting at lines changes no word. */
static void test_line_cut(void **state) {
    (void)state;
    struct rng r = rng_make(1, RNG_TEST, 3, 0, 0);
    int cuts = 0;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        size_t n = 1 + rng_below(&r, sizeof text), from = rng_below(&r, n);
        random_text(&r, i % 2 ? TEXT_WORDS : TEXT_HARD, text, n);
        if (rng_below(&r, 2)) text[n / 2] = '\n';
        size_t cut = pretok_line_cut(text, n, from), end = 0;
        assert_true(cut <= n && (cut == n || cut >= from));
        if (cut == n) continue;
        cuts++;
        while (end < cut) end = pretok_gpt2(text, n, end);
        assert_int_equal(end, cut);    /* a word of the whole ends there ... */
        for (size_t a = 0; a < cut;) { /* ... and those before it are words of the part */
            size_t whole = pretok_gpt2(text, n, a);
            a = pretok_gpt2(text, cut, a);
            assert_int_equal(a, whole);
        }
    }
    assert_true(cuts > 100);
}

static void test_errors(void **state) {
    (void)state;
    struct pretok p = {0};
    struct pretok_scratch s = {0};
    struct err e = {0};
    assert_int_equal(pretok_add(&p, PRETOK_REGEX, "(", &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "does not compile"));
    assert_int_equal(pretok_add(&p, PRETOK_REGEX, "a\\C", &e), ERR_INPUT); /* would split UTF-8 */
    assert_int_equal(pretok_add(&p, PRETOK_LITERAL, "", &e), ERR_INPUT);
    assert_int_equal(p.n, 0);
    add(&p, PRETOK_REGEX, "(a|aa|aaa)+$"); /* needs more steps than there is time for */
    char text[100];
    memset(text, 'a', sizeof text);
    text[99] = 'b';
    struct cuts c = {0};
    assert_int_equal(pretok_run(&p, &s, text, sizeof text, take, &c, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "limit"));
    pretok_release(&p);
    for (int i = 0; i < PRETOK_STEPS; i++) add(&p, PRETOK_GPT2, NULL);
    assert_int_equal(pretok_add(&p, PRETOK_GPT2, NULL, &e), ERR_INPUT);
    pretok_release(&p);
    pretok_scratch_release(&s);
}

int main(void) {
    unicode_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_gpt2),    cmocka_unit_test(test_bytes_kept),
        cmocka_unit_test(test_steps),   cmocka_unit_test(test_line_cut),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
