/* The history of measured rates: what is usual, what is kept, and files that are cut or are
 * something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rate_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static double add(char **text, const char *key, double rate) {
    char *next = NULL;
    const double usual = rate_history_text(*text ? *text : "", *text ? strlen(*text) : 0, key, rate,
                                           &next);
    assert_non_null(next);
    free(*text);
    *text = next;
    return usual;
}

static double usual_of(const char *text, const char *key) {
    return rate_history_text(text, strlen(text), key, 0, NULL);
}

static void the_upper_quartile_is_usual(void **state) {
    (void)state;
    char *text = NULL;
    assert_true(add(&text, "a", 130) == 0);
    assert_true(add(&text, "a", 128) == 0);
    assert_true(add(&text, "a", 132) == 0);
    assert_true(add(&text, "a", 59) == 132); /* of three the highest */
    for (int i = 0; i < 4; i++) add(&text, "a", 60);
    assert_true(usual_of(text, "a") == 128); /* of eight the third */
    assert_true(usual_of(text, "b") == 0);
    free(text);
}

static void old_ones_are_forgotten(void **state) {
    (void)state;
    char *text = NULL, key[300];
    for (int i = 0; i < 3 * RATE_EACH; i++) add(&text, "a", 1000 - i);
    assert_true(usual_of(text, "a") == 1000 - 2 * RATE_EACH - RATE_EACH / 4);
    for (int i = 0; i < 3; i++) add(&text, "kept", 5);
    for (int i = 0; i < RATE_KEYS - 1; i++) {
        snprintf(key, sizeof key, "key %d", i);
        add(&text, key, 1);
    }
    assert_true(usual_of(text, "a") == 0);
    assert_true(usual_of(text, "kept") == 5);
    add(&text, "one more", 1);
    assert_true(usual_of(text, "kept") == 0);
    assert_true(strlen(text) < 20000);
    free(text);
}

static void a_cut_file_is_none(void **state) {
    (void)state;
    char *text = NULL;
    for (int i = 0; i < 4; i++) {
        add(&text, "a \"quoted\" cpu", 100 + i);
        add(&text, "b", 7);
    }
    for (size_t n = 0; n <= strlen(text); n++) {
        char *next = NULL;
        const double usual = rate_history_text(text, n, "b", 9, &next);
        assert_true(usual == (n == strlen(text) ? 7 : 0));
        assert_non_null(next);
        assert_non_null(strstr(next, "\"b\": ["));
        free(next);
    }
    free(text);
}

static void what_is_no_rate_is_left_out(void **state) {
    (void)state;
    static const char *const texts[] = {"[]",
                                        "3",
                                        "{\"b\": 3}",
                                        "{\"b\": [\"x\", -1, 0, null, {}]}",
                                        "{\"b\": {\"b\": [1, 1, 1]}}",
                                        "{\"b\": [1e300, 2e300, 1e308]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *next = NULL;
        assert_true(rate_history_text(texts[i], strlen(texts[i]), "b", 4, &next) == 0);
        assert_string_equal(next, "{\"b\": [4.0]}");
        free(next);
    }
    assert_true(usual_of("{\"b\": [1, 2.5, 2]}", "b") == 2.5);
}

static void where_it_is(void **state) {
    (void)state;
    setenv("XDG_CACHE_HOME", "/tmp/cache", 1);
    char *path = rate_history_path();
    assert_string_equal(path, "/tmp/cache/duet/rates.json");
    free(path);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/me", 1);
    path = rate_history_path();
    assert_string_equal(path, "/home/me/.cache/duet/rates.json");
    free(path);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_null(rate_history_path());
    assert_true(rate_history_usual(NULL, "a") == 0);
    rate_history_add(NULL, "a", 1);
    rate_history_add("/dev/null/x/rates.json", "a", 1);
}

/* Its writer would be waited for. */
static void a_pipe_in_its_place_is_none(void **state) {
    (void)state;
    char dir[] = "/tmp/duet-rates-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rates.json", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    assert_true(rate_history_usual(path, "a") == 0);
    for (int i = 0; i < 3; i++) rate_history_add(path, "a", 3);
    alarm(0);
    unlink(path);
    rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_upper_quartile_is_usual),
        cmocka_unit_test(old_ones_are_forgotten),
        cmocka_unit_test(a_cut_file_is_none),
        cmocka_unit_test(what_is_no_rate_is_left_out),
        cmocka_unit_test(where_it_is),
        cmocka_unit_test(a_pipe_in_its_place_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
