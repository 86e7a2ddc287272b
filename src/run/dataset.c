#include "dataset.h"

#include "file.h"
#include "guard.h"
#include "import.h"
#include "textlist.h"

#include <assert.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void warn(const struct dataset_opts *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void warn(const struct dataset_opts *o, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    if (!o->warn) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    o->warn(o->ctx, text);
}

/* Numbers need no tokenizer; whoever reads anything else hears why there is none. */
static int go_on_without(const struct dataset_opts *o, const char *why, struct err *e) {
    if (strcmp(o->format, "raw16"))
        return err_set(e, ERR_INPUT, "%s; give another one with --tokenizer", why);
    warn(o, "%s; the tokenizer is left out", why);
    return 0;
}

static int open_tokenizer(struct dataset *d, const struct dataset_opts *o, struct err *e) {
    if (o->tokenizer) return model_open_tokenizer(&d->tokenizer, o->tokenizer, e);
    const int rc = tokenizer_open_own(&d->tokenizer, &o->own, "the model's tokenizer", e);
    if (rc == ERR_INPUT && o->own.vocab) {
        const struct err why = *e;
        return go_on_without(o, why.msg, e);
    }
    return rc || d->tokenizer || !o->own.problem ? rc : go_on_without(o, o->own.problem, e);
}

/* A writable path for a shard that nobody keeps. */
static int temp_path(struct dataset *d, struct err *e) {
    const char *dir = getenv("TMPDIR");
    d->temp = file_join(dir && *dir ? dir : "/tmp", "duet-tokens-XXXXXX");
    const int fd = d->temp ? mkstemp(d->temp) : -1;
    if (fd < 0) return err_errno(e, ERR_IO, "cannot make a temporary file for tokens");
    close(fd);
    guard_temp(d->temp);
    return 0;
}

static void tell_end(const struct dataset *d, const struct dataset_opts *o,
                     const struct shard_stats *stats) {
    if (o->built) o->built(o->ctx, stats);
    if (*stats->note) warn(o, "note: %s", stats->note);
    /* What the file of a tokenizer that was asked for says and is passed over. */
    if (o->tokenizer && tokenizer_note(d->tokenizer))
        warn(o, "note: %s: %s", o->tokenizer, tokenizer_note(d->tokenizer));
}

static void drop_temp(struct dataset *d) {
    if (d->temp) unlink(d->temp);
    guard_temp_done(d->temp);
    free(d->temp);
    d->temp = NULL;
}

static int from_text(struct dataset *d, const struct dataset_opts *o, struct err *e) {
    int rc = 0;
    const char *out = o->cache;
    struct shard_stats stats;
    char room[256];
    if (!d->tokenizer)
        return err_set(e, ERR_USAGE,
                       "%s is text: give the tokenizer with --tokenizer (byte is built in)",
                       dataset_name(&o->data, room));
    if (!out) {
        if ((rc = temp_path(d, e))) return rc;
        out = d->temp;
    }
    rc = shard_build(d->tokenizer, o->pool, o->data.item, o->data.n, out, o->progress, o->ctx,
                     &stats, e);
    if (rc) return rc;
    tell_end(d, o, &stats);
#ifdef __GLIBC__
    malloc_trim(0); /* what tokenising needed is not needed again */
#endif
    rc = shard_open(&d->shard, out, SHARD_DUET, 0, false, o->pool, e);
    drop_temp(d); /* the map keeps what it needs, whatever ends this process */
    return rc;
}

/* The tokens of the text, from an earlier time. *damage: what is wrong with their file, code 0 if
 * it is just another's. */
static bool use_cache(struct dataset *d, const struct dataset_opts *o, struct err *damage) {
    damage->code = 0;
    if (!o->reuse || !o->cache || !d->tokenizer || !file_exists(o->cache) ||
        shard_open(&d->shard, o->cache, SHARD_DUET, 0, true, o->pool, damage))
        return false;
    if (tokenizer_is(d->tokenizer, d->shard.tok_hash) &&
        (!o->expected || d->shard.hash == o->expect))
        return true;
    shard_close(&d->shard);
    return false;
}

const char *dataset_name(const struct conf_list *data, char room[256]) {
    const char *first = strcmp(data->item[0], "-") ? data->item[0] : "standard input";
    if (data->n == 1)
        snprintf(room, 256, "%.255s", first);
    else
        snprintf(room, 256, "%.200s and %zu more", first, data->n - 1);
    return room;
}

static int open_shard(struct dataset *d, const char *path, struct pool *pool, struct err *e) {
    int rc = shard_open(&d->shard, path, SHARD_DUET, 0, true, pool, e);
    if (rc) return rc;
    if (!d->tokenizer)
        return err_set(e, ERR_USAGE, "%s: give the tokenizer that made this shard with --tokenizer",
                       path);
    if (tokenizer_is(d->tokenizer, d->shard.tok_hash)) return 0;
    return err_set(e, ERR_INPUT,
                   "%s was made by another tokenizer (hash %016llx, this one is %016llx): make the "
                   "tokens again from the text, or name the tokenizer that made them with "
                   "--tokenizer",
                   path,
                   (unsigned long long)d->shard.tok_hash,
                   (unsigned long long)tokenizer_hash(d->tokenizer));
}

static int open_raw16(struct dataset *d, const struct dataset_opts *o, struct err *e) {
    const uint32_t vocab = d->tokenizer ? tokenizer_vocab_size(d->tokenizer) : o->raw_vocab;
    const char *path = strcmp(o->data.item[0], "-") ? o->data.item[0] : "/dev/stdin";
    return shard_open(&d->shard, path, SHARD_RAW16, vocab, true, o->pool, e);
}

/* *tokens: the data is not text but tokens, which must be one file. */
static int check_kind(const struct conf_list *data, const char *format, bool *tokens,
                      struct err *e) {
    const char *first = data->item[0];
    const bool raw = !strcmp(format, "raw16");
    *tokens = raw || shard_probe(first);
    if (!*tokens || data->n == 1) return 0;
    const int rc = raw ? 0 : shard_whole(first, e);
    if (rc) return rc;
    return err_set(e, ERR_USAGE,
                   "%s %s: only texts can be several files; tokenize them together", first,
                   raw ? "is to be raw16 tokens" : "is a token shard");
}

int dataset_check(const struct conf_list *data, const char *format, struct err *e) {
    int rc = 0;
    bool tokens;
    struct textlist l = {0};
    for (size_t i = 0; i < data->n; i++)
        if (strcmp(data->item[i], "-") && access(data->item[i], R_OK))
            return err_errno(e, ERR_INPUT, "cannot read %s", data->item[i]);
    TRY(check_kind(data, format, &tokens, e));
    if (tokens) goto out;
    TRY(textlist_open(&l, data->item, data->n, e));
    TRY(textlist_check(&l, e));
out:
    textlist_close(&l);
    return rc;
}

/* Damaged tokens are made anew where there is something to make them of. */
static int replace_cache(const struct dataset_opts *o, const struct err *damage, struct err *e) {
    for (size_t i = 0; i < o->data.n; i++)
        if (strcmp(o->data.item[i], "-") && !file_exists(o->data.item[i]))
            return err_set(e, ERR_INPUT,
                           "%s; and %s, of which these tokens could be made anew, is not there",
                           damage->msg, o->data.item[i]);
    warn(o, "%s; the tokens are made anew", damage->msg);
    return 0;
}

int dataset_open(struct dataset *d, const struct dataset_opts *o, struct err *e) {
    int rc;
    bool tokens;
    struct err damage;
    *d = (struct dataset){0};
    assert(o->data.n > 0);
    TRY(open_tokenizer(d, o, e));
    if (use_cache(d, o, &damage)) goto out;
    if (damage.code) TRY(replace_cache(o, &damage, e));
    TRY(check_kind(&o->data, o->format, &tokens, e));
    rc = !tokens                        ? from_text(d, o, e)
         : !strcmp(o->format, "raw16") ? open_raw16(d, o, e)
                                       : open_shard(d, o->data.item[0], o->pool, e);
out:
    if (rc) dataset_close(d);
    return rc;
}

void dataset_close(struct dataset *d) {
    shard_close(&d->shard);
    tokenizer_close(d->tokenizer);
    drop_temp(d);
    *d = (struct dataset){0};
}

static void mark_ids(const struct shard *s, uint64_t n_tokens, uint64_t vocab, uint8_t *seen) {
    for (uint64_t i = 0; i < n_tokens; i++)
        if (shard_token(s, i) < vocab) seen[shard_token(s, i)] = 1;
}

int dataset_ids(const struct shard *s, uint64_t n_tokens, const struct shard *more, int64_t vocab,
                uint32_t **ids, int64_t *n, struct err *e) {
    const uint64_t V = (uint64_t)vocab;
    uint8_t *seen = calloc(V, 1);
    *ids = malloc(V * sizeof **ids);
    *n = 0;
    if (seen) mark_ids(s, n_tokens, V, seen);
    if (seen && more) mark_ids(more, more->n_tokens, V, seen);
    for (uint64_t v = 0; seen && *ids && v < V; v++)
        if (seen[v]) (*ids)[(*n)++] = (uint32_t)v;
    free(seen);
    return *n ? 0 : err_set(e, ERR_NOMEM, "out of memory for the vocabulary map");
}
