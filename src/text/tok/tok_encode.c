/* Encoding: text is cut at special tokens, what lies between goes to the kind of tokenizer. */
#include "tok.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)256 << 10) /* bytes of text, at least, that one thread takes at a time */

static int push_id(struct tok_ids *out, uint32_t id, struct err *e) {
    int rc = tok_ids_reserve(out, 1, e);
    if (rc == 0) out->ids[out->n++] = id;
    return rc;
}

static int encode_text(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                       struct tok_ids *out, struct err *e) {
    int rc = 0;
    size_t pos = 0;
    struct tok_hit hit = {.end = 0};
    while (tok_added_find(t, 0, s->specials, text, n, hit.end, pos, &hit)) {
        if (hit.at > pos) TRY(t->kind->encode(t, s, text + pos, hit.at - pos, out, e));
        TRY(push_id(out, hit.id, e));
        pos = hit.at + hit.len;
    }
    if (pos < n) TRY(t->kind->encode(t, s, text + pos, n - pos, out, e));
out:
    return rc;
}

static bool lies_in(const struct tok_hit *hit, const struct tok_range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (hit->start >= ranges[i].from && hit->end <= ranges[i].to) return true;
    return false;
}

/* As tok_added_find with specials, but special ones count in the ranges alone. */
static bool find_in_ranges(const struct tokenizer *t, const char *text, size_t bytes, size_t from,
                           size_t taken, const struct tok_range *ranges, size_t n,
                           struct tok_hit *hit) {
    for (size_t at = from; tok_added_find(t, 0, true, text, bytes, at, taken, hit);
         at = hit->start + 1) {
        struct tok_hit plain;
        if (!(t->pieces[hit->id].flags & TOK_SPECIAL) || lies_in(hit, ranges, n)) return true;
        if (tok_added_find(t, 0, false, text, bytes, at, taken, &plain) &&
            plain.start <= hit->start)
            return *hit = plain, true;
    }
    return false;
}

int tokenizer_encode_ranges(const struct tokenizer *t, const char *text, size_t bytes,
                            const struct tok_range *ranges, size_t n, bool bos,
                            struct tok_ids *out, struct err *e) {
    int rc = 0;
    size_t pos = 0;
    struct tok_scratch s;
    tok_scratch_init(&s, false, text, bytes);
    if (bos && t->bos >= 0) TRY(push_id(out, (uint32_t)t->bos, e));
    struct tok_hit hit = {.end = 0};
    while (find_in_ranges(t, text, bytes, hit.end, pos, ranges, n, &hit)) {
        if (hit.at > pos) TRY(t->kind->encode(t, &s, text + pos, hit.at - pos, out, e));
        TRY(push_id(out, hit.id, e));
        pos = hit.at + hit.len;
    }
    if (pos < bytes) TRY(t->kind->encode(t, &s, text + pos, bytes - pos, out, e));
out:
    tok_scratch_release(&s);
    return rc;
}

int64_t tokenizer_first_special(const struct tokenizer *t, const char *text, size_t bytes) {
    struct tok_hit hit;
    for (int pass = 0; pass < 2; pass++)
        for (size_t at = 0; tok_added_find(t, pass, true, text, bytes, at, at, &hit); at = hit.end)
            if (t->pieces[hit.id].flags & TOK_SPECIAL) return hit.id;
    return -1;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t bytes, bool specials,
                     bool bos, struct tok_ids *out, struct err *e) {
    int rc = 0;
    struct tok_scratch s;
    tok_scratch_init(&s, specials, text, bytes);
    if (bos && t->bos >= 0) TRY(push_id(out, (uint32_t)t->bos, e));
    TRY(encode_text(t, &s, text, bytes, out, e));
out:
    tok_scratch_release(&s);
    return rc;
}

/* Pieces of the text that do not depend on each other, and their ids. */
struct docs {
    const struct tokenizer *t;
    const char *text;
    size_t bytes;
    size_t *cuts, n, cap;        /* piece i: cuts[i] to cuts[i + 1] */
    size_t last_eos;             /* offset behind the last end of text, 0: there is none */
    struct tok_ids *ids;         /* of each piece */
    struct err *errs;            /* of each piece */
    struct tok_scratch *scratch; /* of each thread */
    bool *ready;
};

static int cut_at(struct docs *d, size_t end, struct err *e) {
    if (grow(&d->cuts, &d->cap, d->n + 2, sizeof *d->cuts))
        return err_set(e, ERR_NOMEM, "no memory to encode %zu bytes", d->bytes);
    d->cuts[0] = 0;
    d->cuts[++d->n] = end;
    return 0;
}

/* Cuts behind ends of text, and in long texts without any also behind lines, if the kind allows. */
static int find_cuts(struct docs *d, struct err *e) {
    const struct tokenizer *t = d->t;
    bool lines = t->kind->cuts_lines && t->kind->cuts_lines(t), found = true;
    int rc = 0;
    size_t from = 0;                          /* where the next mark is looked for */
    for (size_t start = 0, end = 0; found;) { /* start: of the piece; end: of the last mark */
        struct tok_hit hit = {.at = d->bytes};
        found = tok_added_find(t, 0, true, d->text, d->bytes, from, end, &hit);
        while (lines && hit.at > end && hit.at - start > 2 * CHUNK) {
            size_t least = start + CHUNK > end ? start + CHUNK : end;
            size_t cut = pretok_line_cut(d->text, hit.at, least);
            if (cut >= hit.at) break;
            TRY(cut_at(d, start = cut, e));
        }
        end = hit.at + hit.len;
        from = hit.end;
        if (!found || t->eos < 0 || hit.id != (uint32_t)t->eos) continue;
        d->last_eos = end;
        /* not among blanks that it took, which may begin the next mark */
        if (end == from && end - start >= CHUNK && end < d->bytes) TRY(cut_at(d, start = end, e));
    }
    TRY(cut_at(d, d->bytes, e));
out:
    return rc;
}

static void encode_piece(void *ctx, int64_t i, int tid) {
    struct docs *d = ctx;
    struct tok_scratch *s = &d->scratch[tid];
    if (!d->ready[tid]) tok_scratch_init(s, true, d->text, d->bytes);
    d->ready[tid] = true;
    encode_text(d->t, s, d->text + d->cuts[i], d->cuts[i + 1] - d->cuts[i], &d->ids[i],
                &d->errs[i]);
}

/* True if text holds nothing but blanks: what is left of a file behind its last document. */
static bool blank(const char *text, size_t n) {
    size_t i = 0;
    while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n')) i++;
    return i == n;
}

/* Documents start at the first id and behind every end of text that something follows. */
static int find_starts(const struct docs *d, const struct tok_ids *out, size_t from,
                       struct tok_ids *starts, struct err *e) {
    int rc = 0;
    size_t end = out->n, last = from;
    for (size_t i = from; i < out->n; i++)
        if (out->ids[i] == (uint32_t)d->t->eos) last = i + 1;
    /* a rest of blanks belongs to the document before it */
    if (d->last_eos && blank(d->text + d->last_eos, d->bytes - d->last_eos)) end = last;
    bool fresh = true;
    for (size_t i = from; i < end; i++) {
        if (fresh) TRY(push_id(starts, (uint32_t)i, e));
        fresh = d->t->eos >= 0 && out->ids[i] == (uint32_t)d->t->eos;
    }
out:
    return rc;
}

static int join(struct docs *d, struct tok_ids *out, struct tok_ids *starts, struct err *e) {
    int rc = 0;
    size_t from = out->n, total = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->errs[i].code) {
            *e = d->errs[i];
            return e->code;
        }
        total += d->ids[i].n;
    }
    if (starts && out->n + total > UINT32_MAX)
        return err_set(e, ERR_NOMEM, "more than %u tokens in one call", UINT32_MAX);
    TRY(tok_ids_reserve(out, total, e));
    for (size_t i = 0; i < d->n; i++) {
        if (d->ids[i].n) memcpy(out->ids + out->n, d->ids[i].ids, d->ids[i].n * sizeof *out->ids);
        out->n += d->ids[i].n;
    }
    if (starts) TRY(find_starts(d, out, from, starts, e));
out:
    return rc;
}

int tokenizer_encode_docs(const struct tokenizer *t, struct pool *pool, const char *text,
                          size_t bytes, struct tok_ids *out, struct tok_ids *starts,
                          struct err *e) {
    int rc = 0, threads = pool_threads(pool);
    struct docs d = {.t = t, .text = text, .bytes = bytes};
    if (bytes == 0) return 0;
    TRY(find_cuts(&d, e));
    d.ids = calloc(d.n, sizeof *d.ids);
    d.errs = calloc(d.n, sizeof *d.errs);
    d.scratch = calloc((size_t)threads, sizeof *d.scratch);
    d.ready = calloc((size_t)threads, sizeof *d.ready);
    if (!d.ids || !d.errs || !d.scratch || !d.ready) {
        rc = err_set(e, ERR_NOMEM, "no memory to encode %zu bytes", bytes);
        goto out;
    }
    pool_for(pool, (int64_t)d.n, encode_piece, &d);
    TRY(join(&d, out, starts, e));
out:
    for (size_t i = 0; d.ids && i < d.n; i++) free(d.ids[i].ids);
    for (int i = 0; d.ready && d.scratch && i < threads; i++)
        if (d.ready[i]) tok_scratch_release(&d.scratch[i]);
    free(d.cuts);
    free(d.ids);
    free(d.errs);
    free(d.scratch);
    free(d.ready);
    return rc;
}
