/* The built-in tokenizer: every byte is a token. */
#include "tok.h"

#include <string.h>

#define BYTE_EOS 256

static bool byte_probe(const uint8_t *data, size_t bytes) {
    return bytes == 4 && memcmp(data, "byte", 4) == 0;
}

static int byte_load(struct tokenizer *t, const char *name, struct err *e) {
    (void)name;
    int rc;
    TRY(tok_table_init(t, BYTE_EOS + 1, e));
    for (uint32_t b = 0; b < 256; b++) {
        char c = (char)b;
        TRY(tok_table_set(t, b, &c, 1, 0, e));
    }
    TRY(tok_table_set(t, BYTE_EOS, "<|endoftext|>", 13, TOK_SPECIAL, e));
    TRY(tok_table_mark(t, BYTE_EOS, 0, e));
    t->eos = BYTE_EOS;
    t->exact = true;
out:
    return rc;
}

static void byte_release(void *impl) {
    (void)impl;
}

static int byte_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                       struct tok_ids *out, struct err *e) {
    (void)t;
    (void)s;
    int rc = tok_ids_reserve(out, n, e);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) out->ids[out->n + i] = (uint8_t)text[i];
    out->n += n;
    return 0;
}

const struct tok_kind tok_byte = {.name = "byte",
                                  .probe = byte_probe,
                                  .load = byte_load,
                                  .release = byte_release,
                                  .encode = byte_encode};
