#include "dataset.h"

#include "file.h"
#include "guard.h"
#include "import.h"
#include "log.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_tokenizer(struct dataset *d, const struct dataset_opts *o, struct err *e) {
    if (o->tokenizer) return model_open_tokenizer(&d->tokenizer, o->tokenizer, e);
    if (o->blob)
        return tokenizer_open_blob(&d->tokenizer, o->blob, o->blob_bytes, "the model's tokenizer",
                                   e);
    return 0;
}

struct show {
    struct log_progress line;
    const char *path;
};

static void progress(void *ctx, uint64_t done, uint64_t total) {
    struct show *s = ctx;
    if (total)
        log_progress_show(&s->line, false, "tokenizing %s: %.0f%%", s->path,
                          100.0 * (double)done / (double)total);
    else
        log_progress_show(&s->line, false, "tokenizing %s: %.1f MB", s->path, (double)done * 1e-6);
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
    struct show s = {.path = o->path};
    if (!d->tokenizer)
        return err_set(e, ERR_USAGE,
                       "%s is text: give the tokenizer with --tokenizer (byte is built in)",
                       o->path);
    if (!out) {
        if ((rc = temp_path(d, e))) return rc;
        out = d->temp;
    }
    log_progress_init(&s.line, o->quiet);
    rc = shard_build(d->tokenizer, &o->path, 1, out, progress, &s, &stats, e);
    log_progress_end(&s.line);
    if (rc) return rc;
#ifdef __GLIBC__
    malloc_trim(0); /* what tokenising needed is not needed again */
#endif
    rc = shard_open(&d->shard, out, SHARD_DUET, 0, false, e);
    drop_temp(d); /* the map keeps what it needs, whatever ends this process */
    return rc;
}

/* The tokens of the text, from an earlier time. */
static bool use_cache(struct dataset *d, const struct dataset_opts *o) {
    struct err ignored;
    if (!o->reuse || !o->cache || !d->tokenizer || !file_exists(o->cache) ||
        shard_open(&d->shard, o->cache, SHARD_DUET, 0, true, &ignored))
        return false;
    if (tokenizer_is(d->tokenizer, d->shard.tok_hash) &&
        (!o->expected || d->shard.hash == o->expect))
        return true;
    shard_close(&d->shard);
    return false;
}

int dataset_open(struct dataset *d, const struct dataset_opts *o, struct err *e) {
    int rc;
    *d = (struct dataset){0};
    TRY(open_tokenizer(d, o, e));
    if (use_cache(d, o)) goto out;
    if (!strcmp(o->format, "raw16")) {
        const uint32_t vocab = d->tokenizer ? tokenizer_vocab_size(d->tokenizer) : o->raw_vocab;
        TRY(shard_open(&d->shard, o->path, SHARD_RAW16, vocab, true, e));
    } else if (shard_probe(o->path)) {
        TRY(shard_open(&d->shard, o->path, SHARD_DUET, 0, true, e));
        if (!d->tokenizer) {
            rc = err_set(e, ERR_USAGE,
                         "%s: give the tokenizer that made this shard with --tokenizer", o->path);
        } else if (!tokenizer_is(d->tokenizer, d->shard.tok_hash)) {
            rc = err_set(e, ERR_INPUT,
                         "%s was made by another tokenizer (hash %016llx, this one is %016llx)",
                         o->path, (unsigned long long)d->shard.tok_hash,
                         (unsigned long long)tokenizer_hash(d->tokenizer));
        }
    } else {
        TRY(from_text(d, o, e));
    }
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

int dataset_ids(const struct shard *s, int64_t vocab, uint32_t **ids, int64_t *n, struct err *e) {
    const uint64_t V = (uint64_t)vocab;
    uint8_t *seen = calloc(V, 1);
    *ids = malloc(V * sizeof **ids);
    *n = 0;
    for (uint64_t i = 0; seen && *ids && i < s->n_tokens; i++)
        if (shard_token(s, i) < V) seen[shard_token(s, i)] = 1;
    for (uint64_t v = 0; seen && *ids && v < V; v++)
        if (seen[v]) (*ids)[(*n)++] = (uint32_t)v;
    free(seen);
    return *n ? 0 : err_set(e, ERR_NOMEM, "out of memory for the vocabulary map");
}
