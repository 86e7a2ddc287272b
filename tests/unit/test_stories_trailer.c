/* The trailer of the built-in corpus: round trip, cut at every byte, hostile input. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rng.h"
#include "stories.h"

#define MARK "<|endoftext|>\n"

static void must(int rc, const struct err *e) {
    if (rc) fail_msg("%s", e->msg);
}

/* stories_trailer on an exact copy, so that a read beyond the end is caught by the sanitizer. */
static int parse(const char *text, size_t bytes, size_t *text_bytes, double **bits, size_t *n,
                 struct err *e) {
    char *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    int rc = stories_trailer(copy, bytes, text_bytes, bits, n, e);
    free(copy);
    return rc;
}

static void test_trailer(void **state) {
    (void)state;
    const double bits[] = {0, 1.0005, 123.4567, 99999.9994, 0.001};
    const double rounded[] = {0, 1.0, 123.457, 99999.999, 0.001};
    const char *text = "A story.\n" MARK;
    char *line, whole[1024];
    size_t line_bytes, text_bytes, n;
    double *back;
    struct err e = {0};
    must(stories_trailer_write(UINT64_MAX, bits, 5, &line, &line_bytes, &e), &e);
    assert_int_equal(strlen(line), line_bytes);
    size_t total = (size_t)snprintf(whole, sizeof whole, "%s%s", text, line);
    must(parse(whole, total, &text_bytes, &back, &n, &e), &e);
    assert_int_equal(n, 5);
    assert_int_equal(text_bytes, strlen(text));
    for (int i = 0; i < 5; i++)
        assert_true(fabs(back[i] - rounded[i]) < 6e-4 && fabs(back[i] - bits[i]) < 6e-4);
    free(back);
    /* Cut anywhere: the text without a trailer is text, anything else is damaged. */
    for (size_t cut = 0; cut < total; cut++) {
        e.code = 0;
        int rc = parse(whole, cut, &text_bytes, &back, &n, &e);
        bool some = cut >= strlen(text) + 3;
        assert_int_equal(rc, some ? ERR_INPUT : 0);
        assert_int_equal(text_bytes, cut);
        assert_null(back);
        assert_int_equal(n, 0);
    }
    free(line);
    /* No documents; and the trailer alone. */
    must(stories_trailer_write(0, NULL, 0, &line, &line_bytes, &e), &e);
    must(parse(line, line_bytes, &text_bytes, &back, &n, &e), &e);
    assert_int_equal(text_bytes, 0);
    assert_int_equal(n, 0);
    assert_non_null(back);
    free(back);
    free(line);
}

#define T(seed, docs, bits)                                                                        \
    "<|corpus|>{\"generator\":\"duet stories\",\"version\":1,\"seed\":" seed                       \
    ",\"documents\":" docs ",\"bits\":[" bits "]}\n"

static const char *const bad_trailers[] = {
    T("1", "2", "1.5"),
    T("1", "1", "1.5,2.5"),
    T("1", "1", ""),
    T("1", "0", "1"),
    T("1", "1", "nan"),
    T("1", "1", "NaN"),
    T("1", "1", "inf"),
    T("1", "1", "-1"),
    T("1", "1", "+1"),
    T("1", "1", "1e3"),
    T("1", "1", ".5"),
    T("1", "1", "1."),
    T("1", "1", "01"),
    T("1", "1", "1 "),
    T("1", "1", " 1"),
    T("1", "1", "1,"),
    T("1", "1", "1.1234567"),
    T("1", "1", "1000000000"),
    T("1", "1", "99999999999999999999999"),
    T("-1", "1", "1"),
    T("18446744073709551616", "1", "1"),
    T("1", "18446744073709551615", "1"),
    T("1", "4611686018427387905", "1"),
    T("1", "1000000", "1"),
    T("1", "-1", "1"),
    T("1", "1.0", "1"),
    T("", "1", "1"),
    T("1", "", "1"),
    "<|corpus|>{}\n",
    "<|corpus|>{\n",
    "<|corpus|>{",
    "text\n<|corpus|>{\"generator\":\"other\",\"version\":1}\n",
    "<|corpus|>{\"generator\":\"duet "
    "stories\",\"version\":2,\"seed\":1,\"documents\":0,\"bits\":[]}\n",
    "<|corpus|>{\"generator\":\"duet "
    "stories\",\"version\":1,\"seed\":1,\"documents\":0,\"bits\":[]} \n",
    "<|corpus|>{\"generator\":\"duet "
    "stories\",\"version\":1,\"seed\":1,\"documents\":0,\"bits\":[]}",
};

static const char *const no_trailers[] = {
    "",
    "\n",
    "\n\n",
    "a",
    "<",
    "<|",
    "<|endoftext|>\n",
    T("1", "0", "") "\n",
    T("1", "0", "") "x",
    "x" T("1", "0", ""),
    " " T("1", "0", ""),
    "<|corpus|>x\n",
    "<|corpus|>[]\n",
    "<|corpora|>{\n",
};

static void test_trailer_hostile(void **state) {
    (void)state;
    size_t text_bytes, n;
    double *bits;
    struct err e = {0};
    for (size_t i = 0; i < sizeof bad_trailers / sizeof *bad_trailers; i++) {
        e.msg[0] = 0;
        if (parse(bad_trailers[i], strlen(bad_trailers[i]), &text_bytes, &bits, &n, &e) !=
            ERR_INPUT)
            fail_msg("accepted: %s", bad_trailers[i]);
        assert_non_null(strstr(e.msg, "corpus trailer"));
        assert_null(bits);
    }
    for (size_t i = 0; i < sizeof no_trailers / sizeof *no_trailers; i++) {
        if (parse(no_trailers[i], strlen(no_trailers[i]), &text_bytes, &bits, &n, &e))
            fail_msg("refused: %s (%s)", no_trailers[i], e.msg);
        assert_int_equal(text_bytes, strlen(no_trailers[i]));
        assert_null(bits);
    }
    const char nul[] = "a\0<|corpus|>{\n";
    must(parse(nul, sizeof nul - 1, &text_bytes, &bits, &n, &e), &e);
    assert_null(bits);
    /* Any one byte changed: never accepted with other contents than a number's. */
    char good[] = "s\n" T("12", "2", "3.250,4.500");
    struct rng r = rng_make(1, RNG_TEST, 1, 2, 3);
    for (int i = 0; i < 20000; i++) {
        size_t at = 2 + rng_below(&r, sizeof good - 3);
        char old = good[at];
        good[at] = (char)rng_next(&r);
        if (parse(good, sizeof good - 1, &text_bytes, &bits, &n, &e) == 0 && bits) {
            assert_int_equal(n, 2);
            assert_true(bits[0] >= 0 && bits[0] < 1e9 && bits[1] >= 0 && bits[1] < 1e9);
            free(bits);
        }
        good[at] = old;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trailer),
        cmocka_unit_test(test_trailer_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
