/* Stop texts: against looking at every beginning of the text, however its bytes come. */
#include "rng.h"
#include "stoptext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct err e;

/* Bytes of text before the first stop that is complete; *found: there is one. */
static size_t reference(const char *text, size_t n, const char *const *stop, size_t n_stop,
                        bool *found) {
    for (size_t end = 1; end <= n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_stop; i++) {
            const size_t k = strlen(stop[i]);
            if (k <= end && k > longest && !memcmp(text + end - k, stop[i], k)) longest = k;
        }
        *found = longest > 0;
        if (*found) return end - longest;
    }
    *found = false;
    return n;
}

struct got {
    char text[256];
    size_t n;
};

static void take(struct got *g, const struct stoptext *s) {
    assert_true(g->n + s->out.n <= sizeof g->text);
    if (s->out.n) memcpy(g->text + g->n, s->out.data, s->out.n);
    g->n += s->out.n;
}

/* In pieces of 1 to most bytes. */
static void matches(const char *text, size_t n, const char *const *stop, size_t n_stop,
                    struct rng *r, size_t most) {
    struct stoptext s = {.text = stop, .n = n_stop};
    struct got g = {.n = 0};
    bool found;
    const size_t want = reference(text, n, stop, n_stop, &found);
    for (size_t at = 0; at < n && !s.found;) {
        size_t k = 1 + rng_next(r) % most;
        if (k > n - at) k = n - at;
        assert_int_equal(stoptext_add(&s, text + at, k, &e), 0);
        take(&g, &s);
        assert_true(g.n <= want); /* nothing is said that a stop would take back */
        at += k;
    }
    assert_int_equal(s.found, found);
    stoptext_end(&s);
    take(&g, &s);
    assert_int_equal(g.n, want);
    assert_memory_equal(g.text, text, want);
    stoptext_release(&s);
}

/* Two letters and texts that overlap themselves and each other. */
static void any_cut_is_the_same(void **state) {
    (void)state;
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    size_t n_found = 0;
    for (int round = 0; round < 4000; round++) {
        char text[40], room[4][8];
        const char *stop[4];
        const size_t n = rng_next(&r) % sizeof text, n_stop = rng_next(&r) % 5;
        for (size_t i = 0; i < n; i++) text[i] = (char)("ab\0"[rng_next(&r) % 3]);
        for (size_t i = 0; i < n_stop; i++) {
            const size_t k = 1 + rng_next(&r) % 6;
            for (size_t c = 0; c < k; c++) room[i][c] = (char)('a' + rng_next(&r) % 2);
            room[i][k] = 0;
            stop[i] = room[i];
        }
        bool found;
        reference(text, n, stop, n_stop, &found);
        n_found += found;
        for (size_t most = 1; most <= 7; most += 3) matches(text, n, stop, n_stop, &r, most);
    }
    assert_true(n_found > 500 && n_found < 3500);
}

static void said_at_once(void **state) {
    (void)state;
    static const char *const stop[] = {"\n\n", "The end"};
    struct stoptext s = {.text = stop, .n = 2}, none = {.n = 0};
    assert_int_equal(stoptext_add(&s, "a story", 7, &e), 0);
    assert_int_equal(s.out.n, 7); /* nothing of it may begin a stop */
    assert_int_equal(stoptext_add(&s, ".\n", 2, &e), 0);
    assert_int_equal(s.out.n, 1);
    assert_int_equal(stoptext_add(&s, "Th", 2, &e), 0);
    assert_int_equal(s.out.n, 1); /* the line break was none */
    assert_int_equal(stoptext_add(&s, "e endless", 9, &e), 0);
    assert_true(s.found);
    assert_int_equal(s.out.n, 0);
    stoptext_end(&s);
    assert_int_equal(s.out.n, 0);
    stoptext_release(&s);
    assert_int_equal(stoptext_add(&none, "anything\n\n", 10, &e), 0);
    assert_int_equal(none.out.n, 10);
    assert_false(none.found);
    stoptext_release(&none);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_cut_is_the_same),
                                       cmocka_unit_test(said_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
