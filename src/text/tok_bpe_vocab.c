/* The bpe tokenizer to and from other forms. */
#include "tok.h"

int bpe_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e) {
    (void)v, (void)blob, (void)bytes;
    return err_set(e, ERR_INPUT, "%s: not done yet", name);
}
