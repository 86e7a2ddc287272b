#include "run_text.h"

#include "batch.h"
#include "file.h"
#include "map.h"
#include "shard.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- where its tokens are -------------------------------------------------------------------- */

static char *there(char *path) {
    if (path && file_exists(path)) return path;
    free(path);
    return NULL;
}

/* A shard that the run was given: config.json's path counts from its folder. */
static char *given_shard(const struct record *r, const char *option) {
    json_t *v = json_object_get(r->options, option);
    const char *path = json_string_value(json_is_array(v) ? json_array_get(v, 0) : v);
    if (!path) return NULL;
    char *at = path[0] == '.' ? file_join(r->dir, path) : strdup(path);
    if (at && shard_probe(at)) return at;
    free(at);
    return NULL;
}

/* *whole: all of it is for validation. malloc()ed, NULL: there is none. */
static char *find_shard(const struct record *r, bool *whole) {
    const bool apart = json_object_get(r->options, "val-data") != NULL;
    char *path = there(file_join(r->dir, "val.shard"));
    *whole = path || apart;
    if (!path && apart) return given_shard(r, "val-data");
    if (!path) path = there(file_join(r->dir, "tokens.shard"));
    return path ? path : given_shard(r, "data");
}

/* ---- its tokens as text ---------------------------------------------------------------------- */

struct text {
    char *data;
    size_t n, cap;
};

static int append(struct text *x, const char *s, size_t n) {
    if (grow(&x->data, &x->cap, x->n + n, 1)) return -1;
    if (n) memcpy(x->data + x->n, s, n);
    x->n += n;
    return 0;
}

static uint32_t token_at(const struct shard *s, uint64_t i) {
    return s->width == 2 ? ((const uint16_t *)s->tokens)[i] : ((const uint32_t *)s->tokens)[i];
}

/* The end of each document is the mark that docs.h knows, whatever it is to the tokenizer. */
static int decode(const struct shard *s, const struct split *part, const struct tokenizer *t,
                  struct text *x) {
    static const char mark[] = SHARD_SEPARATOR;
    const int64_t bos = tokenizer_bos(t), eos = tokenizer_eos(t);
    uint64_t next = 0; /* the document that begins at or behind i */
    int64_t prev = -1;
    for (uint64_t i = part->begin; i < part->end; i++) {
        const int64_t id = token_at(s, i);
        size_t n;
        while (next < s->n_docs && s->docs[next] < i) next++;
        const bool first = next < s->n_docs && s->docs[next] == i;
        if (first && i > part->begin && prev != eos && append(x, mark, sizeof mark - 1)) return -1;
        if (first && id == bos && bos != eos) {
            prev = id;
            continue;
        }
        const char *piece = tokenizer_piece(t, prev, (uint32_t)id, &n);
        if (id == eos ? append(x, mark, sizeof mark - 1) : append(x, piece, n)) return -1;
        prev = id;
    }
    return 0;
}

static int read_part(const struct record *r, const struct run_shard *at, enum run_part part,
                     const struct tokenizer *t, struct pool *pool, int64_t seq, struct docs *d,
                     struct err *e) {
    int rc;
    struct shard s = {0};
    struct splits all;
    struct text x = {0};
    TRY(shard_open(&s, at->path, SHARD_DUET, 0, true, pool, e));
    if (!tokenizer_is(t, s.tok_hash) || s.vocab > tokenizer_vocab_size(t)) {
        rc = err_set(e, ERR_INPUT, "%s was made by another tokenizer than the run's", at->path);
        goto out;
    }
    TRY(splits_make(&s, at->path, at->whole ? 0 : at->val_fraction,
                    at->whole ? 0 : at->test_fraction, seq, &all, e));
    if (decode(&s, at->whole ? &all.train : part == RUN_TEST ? &all.test : &all.val, t, &x)) {
        rc = err_set(e, ERR_NOMEM, "no memory for the text of %s", at->path);
        goto out;
    }
    rc = x.n ? docs_take(d, x.data, x.n, at->path, e)
             : err_set(e, ERR_INPUT, "%s validates on nothing", r->dir);
    if (x.n) x.data = NULL;
out:
    free(x.data);
    shard_close(&s);
    return rc;
}

int run_shard_find(const struct record *r, enum run_part part, struct run_shard *s, struct err *e) {
    *s = (struct run_shard){0};
    if (json_object_get(r->options, "task"))
        return err_set(e, ERR_INPUT, "%s learned a task, not a text", r->dir);
    const char *format = json_string_value(json_object_get(r->options, "format"));
    if (format && !strcmp(format, "raw16"))
        return err_set(e, ERR_INPUT, "%s has headerless tokens and no text", r->dir);
    const double val = record_number(r->options, "val-fraction"),
                 test = record_number(r->options, "test-fraction");
    s->val_fraction = isfinite(val) ? val : 0.1;
    s->test_fraction = test > 0 ? test : 0;
    if (part == RUN_TEST && !(test > 0))
        return err_set(e, ERR_INPUT,
                       "%s has no test split: it was trained without --test-fraction", r->dir);
    s->path = find_shard(r, &s->whole);
    if (!s->path)
        return err_set(e, ERR_INPUT,
                       "%s: the tokens that it %s are neither in it nor where they were", r->dir,
                       part == RUN_TEST ? "keeps for the test" : "validates on");
    return 0;
}

int run_text(const struct record *r, enum run_part part, const struct tokenizer *t,
             struct pool *pool, int64_t seq, struct docs *d, struct err *e) {
    struct run_shard s;
    *d = (struct docs){0};
    int rc = run_shard_find(r, part, &s, e);
    if (!rc) rc = read_part(r, &s, part, t, pool, seq, d, e);
    free(s.path);
    return rc;
}
