/* What the fuzz targets of tokenizers share: open the bytes, then encode and decode a text. */
#ifndef DUET_FUZZ_TOKENIZER_H
#define DUET_FUZZ_TOKENIZER_H

#include "fuzz.h"
#include "err.h"
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* The ids are in the vocabulary, and stand for the text again where the tokenizer says it is exact.
 * A text may be refused (a byte without a token), with a sentence. */
static inline void fuzz_text(const struct tokenizer *t, const char *text, size_t n, bool specials) {
    struct tok_ids ids = {0}, docs = {0}, starts = {0};
    struct tok_bytes back = {0};
    struct err e = {0};
    int rc = tokenizer_encode(t, text, n, specials, false, &ids, &e);
    if (rc && (e.code != rc || !e.msg[0])) abort();
    if (rc == 0) {
        if (tokenizer_decode(t, ids.ids, ids.n, true, &back, &e)) abort();
        if (tokenizer_is_exact(t) && (back.n != n || (n && memcmp(back.data, text, n)))) abort();
        if (specials) {
            if (tokenizer_encode_docs(t, NULL, text, n, &docs, &starts, &e)) abort();
            if (docs.n != ids.n || starts.n > ids.n) abort();
            if (ids.n && memcmp(docs.ids, ids.ids, ids.n * sizeof *ids.ids)) abort();
        }
    }
    free(ids.ids);
    free(docs.ids);
    free(starts.ids);
    free(back.data);
}

static inline void fuzz_open(const uint8_t *data, size_t size, const char *text, size_t n) {
    struct tokenizer *t;
    struct err e = {0};
    if (tokenizer_open_blob(&t, data, size, "fuzz", &e)) {
        if (e.code == 0 || !e.msg[0] || t) abort();
        return;
    }
    int64_t eos = tokenizer_eos(t), bos = tokenizer_bos(t), vocab = tokenizer_vocab_size(t);
    if (eos < -1 || eos >= vocab || bos < -1 || bos >= vocab) abort();
    fuzz_text(t, text, n, false);
    fuzz_text(t, text, n, true);
    tokenizer_close(t);
}

#endif
