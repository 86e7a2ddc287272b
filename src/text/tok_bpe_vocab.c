/* The bpe tokenizer to and from other forms. */
#include "tok.h"

int bpe_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e) {
    (void)v, (void)blob, (void)bytes;
    return err_set(e, ERR_INPUT, "%s: not done yet", name);
}

int tokenizer_blob_from_merges(const char *vocab_json, size_t vocab_bytes, const char *merges,
                               size_t merges_bytes, const char *pre, const char *name, void **blob,
                               size_t *bytes, struct err *e) {
    (void)vocab_json, (void)vocab_bytes, (void)merges, (void)merges_bytes, (void)pre, (void)blob,
        (void)bytes;
    return err_set(e, ERR_INPUT, "%s: not done yet", name);
}
