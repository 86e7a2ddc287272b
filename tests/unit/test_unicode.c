/* UTF-8 and the classes of characters against PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "unicode.h"

#include <pcre2.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

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

int main(void) {
    unicode_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes), cmocka_unit_test(test_utf8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
