/* Any bytes as a SentencePiece tokenizer.model, used on a text made of the last of them, and
 * written in its other forms: what is written can be read, and gives the same ids. */
#include "fuzz_tokenizer.h"
#include "vocab.h"

static void same_ids(const struct tokenizer *a, const struct tokenizer *b, const char *text,
                     size_t n) {
    struct tok_ids x = {0}, y = {0};
    struct err e = {0};
    if (tokenizer_encode(a, text, n, true, false, &x, &e)) abort();
    if (tokenizer_encode(b, text, n, true, false, &y, &e)) abort();
    if (x.n != y.n || (x.n && memcmp(x.ids, y.ids, x.n * sizeof *x.ids))) abort();
    free(x.ids);
    free(y.ids);
}

static void other_forms(const struct tokenizer *t, const char *text, size_t n) {
    struct err e = {0};
    struct vocab v;
    struct tok_bytes out = {0};
    struct tokenizer *again, *direct;
    void *blob;
    size_t bytes;
    if (tokenizer_to_vocab(t, &v, &e)) abort();
    if (tokenizer_blob_from_vocab(&v, "fuzz", &blob, &bytes, &e)) abort();
    if (tokenizer_open_blob(&again, blob, bytes, "fuzz", &e)) abort();
    same_ids(t, again, text, n);
    if (tokenizer_from_vocab(&direct, &v, "fuzz", &e)) abort();
    same_ids(t, direct, text, n);
    tokenizer_close(direct);
    tokenizer_close(again);
    free(blob);
    vocab_release(&v);
    if (tokenizer_to_bin(t, &out, &e) && (!e.code || !e.msg[0])) abort();
    out.n = 0;
    if (tokenizer_to_json(t, &out, &e) && (!e.code || !e.msg[0])) abort();
    free(out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tokenizer *t;
    struct err e = {0};
    size_t text_n = size < 300 ? size : 300;
    char *text = malloc(text_n + 1);
    if (!text) return 0;
    memcpy(text, data + size - text_n, text_n);
    fuzz_open(data, size, text, text_n);
    if (tokenizer_open_blob(&t, data, size, "fuzz", &e) == 0) {
        /* not llama2.c's form, in which a character without a token never merges */
        if (strcmp(tokenizer_kind(t), "spm") == 0 && data[2]) other_forms(t, text, text_n);
        tokenizer_close(t);
    }
    free(text);
    return 0;
}
