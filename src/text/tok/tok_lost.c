/* Bytes of a text that no token stands for: what a Split of behavior Removed drops, what becomes an
 * unknown token, blanks that are squeezed.
 *
 * What the tokens say is compared with the text, then with the text in the normal forms that the
 * tokenizer puts it into (they lose no byte: the same text in another spelling), then, both sides,
 * after all of its normalizer. Where what is said is the text with bytes left out, these are the
 * lost ones. Where it never is, the tokens say another text, and all of it is lost. */
#include "tok.h"

#include <stdlib.h>
#include <string.h>

/* The text of ids without the unknown token, which may be spelled like text. */
static int say(const struct tokenizer *t, const uint32_t *ids, size_t n, struct tok_bytes *out,
               struct err *e) {
    int64_t prev = -1;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const bool unknown = ids[i] == (uint64_t)t->unk;
        const char *s = tokenizer_piece(t, prev, ids[i], &len);
        prev = unknown ? (int64_t)t->vocab : ids[i]; /* no token: the blank behind it is text */
        if (unknown || !len || tokenizer_is_special(t, ids[i])) continue;
        if (grow(&out->data, &out->cap, out->n + len, 1))
            return err_set(e, ERR_NOMEM, "no memory for %zu bytes of text", out->n + len);
        memcpy(out->data + out->n, s, len);
        out->n += len;
    }
    return 0;
}

/* Is part what is left of text when bytes are taken out? */
static bool is_left_of(const char *part, size_t n_part, const char *text, size_t n) {
    size_t at = 0;
    if (n_part > n) return false;
    for (size_t i = 0; i < n && at < n_part; i++) at += text[i] == part[at];
    return at == n_part;
}

int tokenizer_lost(const struct tokenizer *t, const char *text, size_t n, const uint32_t *ids,
                   size_t n_ids, uint64_t *lost, struct err *e) {
    int rc = 0;
    struct tok_bytes said = {0};
    struct tok_scratch s[2];
    *lost = 0;
    if (t->exact) return 0;
    for (int i = 0; i < 2; i++) tok_scratch_init(s + i, false, text, n);
    TRY(say(t, ids, n_ids, &said, e));
    *lost = n;
    if (is_left_of(said.data, said.n, text, n)) {
        *lost = n - said.n;
        goto out;
    }
    for (int all = 0; all < 2 && t->kind->normalise; all++) {
        const char *x = text, *y = said.data;
        size_t nx = n, ny = said.n;
        TRY(t->kind->normalise(t, s, all, text, n, &x, &nx, e));
        if (said.n) TRY(t->kind->normalise(t, s + 1, all, said.data, said.n, &y, &ny, e));
        if (!is_left_of(y, ny, x, nx)) continue;
        *lost = nx - ny < n ? nx - ny : n;
        break;
    }
out:
    for (int i = 0; i < 2; i++) tok_scratch_release(s + i);
    free(said.data);
    return rc;
}
