/* Any bytes as a tokenizer.json, and a text behind the first NUL to use it on; and what can be a
 * vocabulary comes back from it. */
#include "fuzz_tokenizer.h"
#include "vocab.h"

static void fuzz_vocab(const struct tokenizer *t, const char *text, size_t n) {
    struct vocab v;
    struct err e = {0};
    struct tokenizer *back;
    void *blob;
    size_t bytes;
    int rc = tokenizer_to_vocab(t, &v, &e);
    if (rc == 0) {
        if (v.n != tokenizer_vocab_size(t) || v.eos != tokenizer_eos(t)) abort();
        rc = tokenizer_blob_from_vocab(&v, "vocab", &blob, &bytes, &e);
    }
    if (rc == 0) {
        rc = tokenizer_open_blob(&back, blob, bytes, "vocab", &e);
        if (rc == 0) fuzz_text(back, text, n, true);
        tokenizer_close(back);
        if (tokenizer_from_vocab(&back, &v, "vocab", &e) != rc) abort();
        if (rc == 0) fuzz_text(back, text, n, true);
        tokenizer_close(back);
        free(blob);
    }
    if (rc && (e.code != rc || !e.msg[0])) abort();
    vocab_release(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    char *text = malloc(size - n + 1); /* without room behind, so that reads beyond the end show */
    size_t text_n = nul ? size - n - 1 : 0;
    struct tokenizer *t;
    struct err e = {0};
    if (!text) return 0;
    memcpy(text, data + size - text_n, text_n);
    fuzz_open(data, n, text, text_n);
    if (tokenizer_open_blob(&t, data, n, "fuzz", &e) == 0) fuzz_vocab(t, text, text_n);
    tokenizer_close(t);
    free(text);
    return 0;
}
