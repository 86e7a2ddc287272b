/* Normalising a text before the pre-tokenizer sees it, as Hugging Face's normalizers do. Bytes that
 * are not UTF-8 stay what they are. */
#include "tok_bpe.h"

#include "unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* No normal form makes a text more than 18 times as long, and no model needs more. */
#define GROWTH 32
#define GROWTH_FREE 65536

/* Text in the making. */
struct made {
    char **data;
    size_t *cap, n, limit;
};

static int append(struct made *m, const void *text, size_t n, struct err *e) {
    if (n > m->limit - m->n)
        return err_set(e, ERR_INPUT,
                       "the normalizer makes more than %zu bytes of a text, more than %d times as "
                       "many as it has",
                       m->limit, GROWTH);
    if (!n) return 0; /* there may be no room yet: memcpy takes no NULL */
    if (grow(m->data, m->cap, m->n + n, 1))
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of text", m->n + n);
    memcpy(*m->data + m->n, text, n);
    m->n += n;
    return 0;
}

static int normal_form(struct made *m, enum bpe_norm_op op, const char *text, size_t n,
                       struct err *e) {
    int flags = UTF8PROC_STABLE;
    flags |= op == BPE_NFC || op == BPE_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (op == BPE_NFKC || op == BPE_NFKD) flags |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *form = NULL;
    utf8proc_ssize_t bytes = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n,
                                          &form, (utf8proc_option_t)flags);
    int rc = bytes < 0 ? err_set(e, ERR_NOMEM, "cannot normalise %zu bytes of text: %s", n,
                                 utf8proc_errmsg(bytes))
                       : append(m, form, (size_t)bytes, e);
    free(form);
    return rc;
}

/* The runs of well-formed UTF-8 in normal form, and other bytes as they are. */
static int run_form(struct made *m, enum bpe_norm_op op, const char *text, size_t n,
                    struct err *e) {
    for (size_t pos = 0, end, len; pos < n; pos = end) {
        uint32_t cp;
        for (end = pos; end < n && (len = utf8_read(text + end, n - end, &cp)); end += len) {
        }
        int rc = end > pos ? normal_form(m, op, text + pos, end - pos, e)
                           : append(m, text + end++, 1, e);
        if (rc) return rc;
    }
    return 0;
}

static int run_replace(struct made *m, const struct bpe_norm_step *s, const char *text, size_t n,
                       struct err *e) {
    const size_t len = strlen(s->from), to = strlen(s->to);
    const char *hit;
    size_t at = 0;
    int rc;
    for (; (hit = memmem(text + at, n - at, s->from, len)); at = (size_t)(hit - text) + len) {
        TRY(append(m, text + at, (size_t)(hit - text) - at, e));
        TRY(append(m, s->to, to, e));
    }
    TRY(append(m, text + at, n - at, e));
out:
    return rc;
}

static int run_step(struct made *m, const struct bpe_norm_step *s, const char *text, size_t n,
                    struct err *e) {
    if (s->op == BPE_REPLACE) return run_replace(m, s, text, n, e);
    if (s->op != BPE_PREPEND) return run_form(m, s->op, text, n, e);
    int rc = n ? append(m, s->to, strlen(s->to), e) : 0;
    return rc ? rc : append(m, text, n, e);
}

int bpe_normalise(const struct bpe_norm *norm, struct tok_scratch *s, const char *text, size_t n,
                  const char **out, size_t *out_n, struct err *e) {
    const size_t most = (SIZE_MAX - GROWTH_FREE) / GROWTH;
    const size_t limit = (n < most ? n : most) * GROWTH + GROWTH_FREE;
    size_t ascii = 0;
    *out = text;
    *out_n = n;
    while (ascii < n && (uint8_t)text[ascii] < 0x80) ascii++;
    const bool plain = ascii == n;
    for (int i = 0, turn = 0; i < norm->n; i++) {
        const struct bpe_norm_step *step = &norm->step[i];
        if (step->op < BPE_PREPEND && plain && *out == text)
            continue; /* no normal form changes ASCII */
        struct made m = {turn ? &s->prefixed : &s->norm, turn ? &s->prefixed_cap : &s->norm_cap, 0,
                         limit};
        int rc = run_step(&m, step, *out, *out_n, e);
        if (rc) return rc;
        *out = m.n ? *m.data : "";
        *out_n = m.n;
        turn = !turn;
    }
    return 0;
}

int bpe_norm_add(struct bpe_norm *norm, enum bpe_norm_op op, const char *from, const char *to,
                 struct err *e) {
    if (norm->n == BPE_NORM_STEPS)
        return err_set(e, ERR_INPUT, "more than %d normalizers", BPE_NORM_STEPS);
    if ((from && strlen(from) > BPE_TEXT_MAX) || (to && strlen(to) > BPE_TEXT_MAX))
        return err_set(e, ERR_INPUT, "a text of more than %d bytes", BPE_TEXT_MAX);
    if (from && !*from) return err_set(e, ERR_INPUT, "the text to replace is empty");
    struct bpe_norm_step *s = &norm->step[norm->n++];
    *s = (struct bpe_norm_step){op, from ? strdup(from) : NULL, to ? strdup(to) : NULL};
    return (from && !s->from) || (to && !s->to) ? err_set(e, ERR_NOMEM, "no memory") : 0;
}

void bpe_norm_release(struct bpe_norm *norm) {
    for (int i = 0; i < norm->n; i++) {
        free(norm->step[i].from);
        free(norm->step[i].to);
    }
    norm->n = 0;
}
