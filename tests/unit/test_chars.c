/* Whole characters from bytes that come in any pieces: against the text as a whole, against the
 * replacements of Unicode's own example, and against utf8_read. */
#include "chars.h"
#include "rng.h"
#include "unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct err e;

struct result {
    char text[4096];
    size_t n;
    uint64_t replaced;
};

static void take(struct result *r, const struct chars *c) {
    assert_true(r->n + c->out.n < sizeof r->text);
    for (size_t at = 0, len; at < c->out.n; at += len) { /* only whole characters */
        uint32_t cp;
        len = utf8_read(c->out.data + at, c->out.n - at, &cp);
        assert_true(len > 0);
    }
    memcpy(r->text + r->n, c->out.data, c->out.n);
    r->n += c->out.n;
}

/* pieces of `step` bytes; 0: of random lengths. */
static struct result through(const char *bytes, size_t n, size_t step, struct rng *rng) {
    struct chars c = {0};
    struct result r = {.n = 0};
    for (size_t at = 0; at < n;) {
        size_t some = step ? step : 1 + rng_below(rng, 7);
        if (some > n - at) some = n - at;
        assert_int_equal(chars_add(&c, bytes + at, some, &e), 0);
        take(&r, &c);
        at += some;
    }
    assert_int_equal(chars_end(&c, &e), 0);
    take(&r, &c);
    r.replaced = c.replaced;
    chars_release(&c);
    return r;
}

static void is(const char *in, size_t n, const char *want, uint64_t replaced) {
    for (size_t step = 1; step <= n; step++) {
        const struct result r = through(in, n, step, NULL);
        assert_int_equal(r.n, strlen(want));
        assert_memory_equal(r.text, want, r.n);
        assert_int_equal(r.replaced, replaced);
    }
}
#define IS(in, want, replaced) is(in, sizeof in - 1, want, replaced)
#define R "\xef\xbf\xbd"

static void well_formed(void **state) {
    (void)state;
    IS("plain", "plain", 0);
    IS("\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 \xc3\xa9",
       "\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 \xc3\xa9", 0);
}

/* The Unicode Standard, section 3.9, tables 3-8 to 3-11. */
static void replaced(void **state) {
    (void)state;
    IS("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A", 8);
    IS("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A", 8);
    IS("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B", 7);
    IS("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A", 4);
}

static void incomplete(void **state) {
    (void)state;
    IS("a\xe4\xbd", "a" R, 1);
    IS("a\xf0\x9f\x98", "a" R, 1);
    IS("a\xc3", "a" R, 1);
    IS("\xc3\xc3\xa9", R "\xc3\xa9", 1);
}

/* Random bytes, many of them of characters: pieces do not matter, and what is well-formed stays. */
static void random_bytes(void **state) {
    (void)state;
    struct rng g = rng_make(1, RNG_TEST, 7, 0, 0);
    for (int round = 0; round < 500; round++) {
        char bytes[200];
        size_t n = 0;
        while (n < 190) {
            if (rng_below(&g, 3)) {
                uint32_t cp = (uint32_t)rng_below(&g, rng_below(&g, 2) ? 0x110000 : 0x500);
                if (cp >= 0xd800 && cp < 0xe000) cp = 'x';
                n += utf8_write(cp, bytes + n);
            } else {
                bytes[n++] = (char)rng_below(&g, 256);
            }
        }
        const struct result whole = through(bytes, n, n, NULL), parts = through(bytes, n, 0, &g);
        assert_int_equal(whole.n, parts.n);
        assert_memory_equal(whole.text, parts.text, whole.n);
        bool valid = true;
        uint32_t cp;
        for (size_t at = 0, len; at < n && valid; at += len)
            valid = (len = utf8_read(bytes + at, n - at, &cp)) > 0;
        assert_int_equal(valid, whole.replaced == 0);
        if (valid) assert_memory_equal(whole.text, bytes, n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(well_formed), cmocka_unit_test(replaced),
                                       cmocka_unit_test(incomplete),
                                       cmocka_unit_test(random_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
