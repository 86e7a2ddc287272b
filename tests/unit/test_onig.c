/* Patterns of Oniguruma: what the real library cuts texts into (tests/golden/patterns.json, made by
 * results/scripts/patterns.py), and what is refused. */
#include "onig.h"
#include "pretok.h"
#include "unicode.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static int add_piece(void *ctx, const char *word, size_t n, struct err *e) {
    (void)e;
    return json_array_append_new(ctx, json_stringn(word, n));
}

static void check_pattern(const json_t *row) {
    const char *pattern = json_string_value(json_object_get(row, "pattern"));
    const json_t *cases = json_object_get(row, "cases"), *one;
    struct pretok p = {0};
    struct pretok_scratch s = {0};
    struct err e = {0};
    size_t i;
    assert_non_null(pattern);
    if (pretok_add_split(&p, true, pattern, PRETOK_ISOLATED, false, &e)) fail_msg("%s", e.msg);
    json_array_foreach(cases, i, one) {
        const json_t *text = json_array_get(one, 0), *want = json_array_get(one, 1);
        json_t *have = json_array();
        if (pretok_run(&p, &s, json_string_value(text), json_string_length(text), add_piece, have,
                       &e))
            fail_msg("%s", e.msg);
        if (!json_equal(have, want)) {
            char *a = json_dumps(have, 0), *b = json_dumps(want, 0);
            fail_msg("%s on \"%s\": %s, expected %s", pattern, json_string_value(text), a, b);
        }
        json_decref(have);
    }
    pretok_scratch_release(&s);
    pretok_release(&p);
}

static void test_library(void **state) {
    (void)state;
    json_error_t je;
    json_t *all = json_load_file(SOURCE_ROOT "/tests/golden/patterns.json", 0, &je), *row;
    size_t i;
    if (!all) fail_msg("%s", je.text);
    assert_true(json_array_size(all) >= 60);
    json_array_foreach(all, i, row) check_pattern(row);
    json_decref(all);
}

/* What is wrong, or has no translation: the sentence has the byte and the reason. */
static const char *const refused_patterns[][2] = {
    {"a\\X", "at byte 1: \\X"},
    {"\\y", "\\y is not supported"},
    {"(?<n>a)\\g<n>", "at byte 7: \\g"},
    {"(?~ab)", "(?~ab"},
    {"(a)(?(1)b|c)", "at byte 3: a group that begins with (?("},
    {"(*FAIL)", "callouts"},
    {"(?W)\\w", "(?W"},
    {"(?P<n>a)", "(?P"},
    {"\\xe2\\x96\\x81", "\\xE2 is a byte"},
    {"\\x{41 42}", "\\x{"},
    {"\\x{110000}", "U+110000"},
    {"\\u12", "four hexadecimal"},
    {"\\400", "octal"},
    {"[\\400]", "octal"},
    {"\\M-a", "\\M is not supported"},
    {"\\C-a", "\\C is not supported"},
    {"\\Qa\\E", "\\Q is not supported"},
    {"\\p{Foo}", "at byte 0: the property \\p{Foo}"},
    {"\\p{In_Basic_Latin}", "the property"},
    {"\\p{Age=6.0}", "the property"},
    {"\\p{Grapheme_Extend}", "the property"},
    {"\\p{L", "does not end"},
    {"[[:foo:]]", "POSIX"},
    {"[a&&]", "operand of &&"},
    {"[&&a]", "operand of &&"},
    {"[a-[b]]", "no character"},
    {"[a-\\d]", "no character"},
    {"[\\d-a]", "begins with a set"},
    {"[a-c--z]", "range behind a range"},
    {"[z-a]", "ends before it begins"},
    {"[\\R]", "\\R in a class"},
    {"[]", "empty"},
    {"[a", "does not end"},
    {"[[]]", "does not end"},
    {"(a", "no closing parenthesis"},
    {"a)", "closing parenthesis without"},
    {"a\\", "backslash at the end"},
    {"*a", "at byte 0: there is nothing"},
    {"a|+", "at byte 2: there is nothing"},
    {"{2}", "there is nothing"},
    {"^*", "there is nothing"},
    {"(?=a)+", "there is nothing"},
    {"a{3,2}", "3 to 2 times"},
    {"a{100000}", "100000 to 100000 times"},
    {"a*?+", "one of them lazy"},
    {"(a|){2}", "may match nothing"},
    {"(?:a?b*){1,3}", "may match nothing"},
    {"(?:(?=a)\\b|c){2}", "may match nothing"},
    {"\\pL", "\\p is not supported"},
    {"(?i)ss", "at byte 5: under (?i)"},
    {"(?i)s(?:t)", "under (?i)"},
    {"(?i)\\x66i", "under (?i)"},
    {"(?i)\u00df", "folds to several"},
    {"(?i)[\u00df]", "may add to it"},
    {"(?i)[\\p{L}]", "may add to it"},
    {"(?i)[^\\p{Lu}]", "may add to it"},
    {"(?i)[a[b]]", "may add to it"},
    {"(?i)(a)\\1", "back reference under"},
    {"(a)\\2", "back reference to group 2"},
    {"(?<n>a)(b)\\1", "back reference"},
    {"(?<\u00e9>a)", "a name"},
    {"(?<=a+)b", "PCRE2"},
    {"(?<n>a)(?<n>b)", "PCRE2"},
    {"(?<=\\K)a", "PCRE2"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused_patterns / sizeof *refused_patterns; i++) {
        struct pretok p = {0};
        struct err e = {0};
        if (!pretok_add_split(&p, true, refused_patterns[i][0], PRETOK_ISOLATED, false, &e))
            fail_msg("%s: accepted", refused_patterns[i][0]);
        assert_int_equal(e.code, ERR_INPUT);
        if (!strstr(e.msg, refused_patterns[i][1]))
            fail_msg("%s: \"%s\" does not say \"%s\"", refused_patterns[i][0], e.msg,
                     refused_patterns[i][1]);
        assert_int_equal(p.n, 0);
        pretok_release(&p);
    }
}

/* Properties by names that others end with. */
static void test_properties(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"\\p{Hex_Digit}", "\\p{hexdigit}"},
                                          {"\\p{ASCII_Hex_Digit}", "\\p{asciihexdigit}"},
                                          {"\\p{Emoji}", "\\p{emoji}"},
                                          {"\\p{Emoji Modifier}", "\\p{emojimodifier}"},
                                          {"\\p{greek}", "\\p{sc:greek}"},
                                          {"\\p{ l }", "\\p{L}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out, want[64];
        struct err e = {0};
        if (onig_to_pcre2(rows[i][0], &out, &e)) fail_msg("%s", e.msg);
        snprintf(want, sizeof want, "[%s]", rows[i][1]);
        assert_string_equal(out, want);
        free(out);
    }
}

/* Nothing nests without end, and a long pattern is no slow one. */
static void test_large(void **state) {
    (void)state;
    enum { N = 5000 };
    static const char *const parts[] = {"(",     "[",  "(?i)", "[a&&", "(?:a|",
                                        "a|", "[^a", "a{2}", "+"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t n = strlen(parts[i]);
        char *pattern = malloc(N * n + 1), *out = NULL;
        struct err e = {0};
        assert_non_null(pattern);
        for (size_t k = 0; k < N; k++) memcpy(pattern + k * n, parts[i], n);
        pattern[N * n] = 0;
        const int rc = onig_to_pcre2(pattern, &out, &e);
        assert_true(rc ? rc == ERR_INPUT && !out : out != NULL);
        free(out);
        free(pattern);
    }
}

int main(void) {
    unicode_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
