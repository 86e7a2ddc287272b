/* Any bytes as a pattern, and a text behind the first NUL: translated or refused with a sentence,
 * and what is matched gives every byte of the text back. */
#include "onig.h"
#include "pretok.h"
#include "unicode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rest {
    const char *s;
    size_t n;
};

static int take(void *ctx, const char *word, size_t n, struct err *e) {
    struct rest *r = ctx;
    (void)e;
    if (!n || n > r->n || memcmp(word, r->s, n)) abort();
    r->s += n;
    r->n -= n;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    const size_t n = nul ? (size_t)(nul - data) : size, text_n = nul ? size - n - 1 : 0;
    char *pattern = malloc(n + 1), *text = malloc(text_n + 1);
    struct pretok p = {0};
    struct pretok_scratch s = {0};
    struct err e = {0};
    if (!pattern || !text) abort();
    memcpy(pattern, data, n);
    pattern[n] = 0;
    memcpy(text, data + size - text_n, text_n);
    unicode_init();
    int rc = pretok_add_split(&p, true, pattern, PRETOK_ISOLATED, false, &e);
    if (!rc) {
        struct rest r = {text, text_n};
        rc = pretok_run(&p, &s, text, text_n, take, &r, &e);
        if (!rc && r.n) abort();
    }
    if (rc && (e.code != rc || !e.msg[0])) abort();
    pretok_scratch_release(&s);
    pretok_release(&p);
    free(pattern);
    free(text);
    return 0;
}
