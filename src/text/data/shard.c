#include "shard.h"
#include "shard_format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define CHECK_CHUNK ((uint64_t)1 << 20) /* tokens one task checks */

static const char *const section_name[SHARD_SECTIONS] = {
    [SHARD_TOKENS] = "tokens",
    [SHARD_DOCS] = "docs",
    [SHARD_DOC_BYTES] = "doc_bytes",
    [SHARD_DOC_BITS] = "doc_bits",
};

/* Checking the header ------------------------------------------------------------------------- */

static int check_field(const struct shard *s, const char *field, uint64_t found, uint64_t expected,
                       struct err *e) {
    if (found == expected) return 0;
    return err_set(e, ERR_INPUT, "shard %s: %s is %" PRIu64 ", expected %" PRIu64, s->map.path,
                   field, found, expected);
}

/* Does a file of n bytes or more begin as a shard does? Fewer than 6 could be a word. */
static bool is_shard(const void *data, size_t n) {
    const size_t all = sizeof SHARD_MAGIC - 1;
    return n >= 6 && !memcmp(data, SHARD_MAGIC, n < all ? n : all);
}

static int check_magic(const struct shard *s, const struct shard_header *h, struct err *e) {
    if (!is_shard(s->map.data, s->map.size))
        return err_set(e, ERR_INPUT,
                       "%s is not a shard of duet: it does not begin with " SHARD_MAGIC
                       " (headerless tokens of 16 bits are --format raw16)",
                       s->map.path);
    if (s->map.size < sizeof *h)
        return err_set(e, ERR_INPUT,
                       "shard %s is cut off: it has %zu bytes, the header alone has %zu",
                       s->map.path, s->map.size, sizeof *h);
    if (h->version != SHARD_VERSION)
        return err_set(e, ERR_INPUT, "shard %s: version is %" PRIu32 ", this program reads %d",
                       s->map.path, h->version, SHARD_VERSION);
    uint64_t sum = XXH3_64bits(h, offsetof(struct shard_header, header_xxh3));
    if (sum != h->header_xxh3)
        return err_set(e, ERR_INPUT,
                       "shard %s: the header is damaged, its checksum is %016" PRIx64
                       ", expected %016" PRIx64,
                       s->map.path, sum, h->header_xxh3);
    return 0;
}

static int check_values(const struct shard *s, const struct shard_header *h, struct err *e) {
    const char *path = s->map.path;
    if (h->width != 2 && h->width != 4)
        return err_set(e, ERR_INPUT, "shard %s: token width is %" PRIu32 ", expected 2 or 4", path,
                       h->width);
    if (h->vocab == 0 || (h->width == 2 && h->vocab > 65536))
        return err_set(e, ERR_INPUT, "shard %s: vocabulary size is %" PRIu32 ", expected 1 to %s",
                       path, h->vocab,
                       h->width == 2 ? "65536 for tokens of 2 bytes" : "4294967295");
    if (h->has_bits > 1)
        return err_set(e, ERR_INPUT, "shard %s: has_bits is %" PRIu32 ", expected 0 or 1", path,
                       h->has_bits);
    if (h->n_docs == 0 || h->n_docs > h->n_tokens)
        return err_set(e, ERR_INPUT,
                       "shard %s: %" PRIu64 " documents of %" PRIu64
                       " tokens, expected at least one document and a token in each",
                       path, h->n_docs, h->n_tokens);
    /* No section can be longer than the file: with this the sums below cannot overflow. */
    uint64_t size = s->map.size;
    if (h->n_tokens > size / h->width || h->n_docs > size / sizeof(uint64_t))
        return err_set(e, ERR_INPUT,
                       "shard %s is cut off: %" PRIu64 " tokens of %" PRIu32 " bytes and %" PRIu64
                       " documents do not fit in its %" PRIu64 " bytes",
                       path, h->n_tokens, h->width, h->n_docs, size);
    return 0;
}

static uint64_t section_bytes(const struct shard_header *h, int section) {
    if (section == SHARD_TOKENS) return h->n_tokens * h->width;
    if (section == SHARD_DOC_BITS && !h->has_bits) return 0;
    return h->n_docs * sizeof(uint64_t);
}

/* Sections lie in order, each at the next multiple of SHARD_ALIGN, zeros between them. */
static int check_layout(const struct shard *s, const struct shard_header *h, struct err *e) {
    uint64_t at = sizeof *h;
    char field[64];
    for (int i = 0; i < SHARD_SECTIONS; i++) {
        uint64_t bytes = section_bytes(h, i), pad = bytes ? -at % SHARD_ALIGN : 0;
        snprintf(field, sizeof field, "offset of section %s", section_name[i]);
        int rc = check_field(s, field, h->offset[i], bytes ? at + pad : 0, e);
        if (rc) return rc;
        for (uint64_t j = at; j < at + pad && j < s->map.size; j++)
            if (s->map.data[j])
                return err_set(e, ERR_INPUT, "shard %s: byte %" PRIu64 " is %d, expected 0 there",
                               s->map.path, j, s->map.data[j]);
        at += pad + bytes;
    }
    if (s->map.size < at)
        return err_set(e, ERR_INPUT,
                       "shard %s is cut off: it has %zu bytes, its sections end at %" PRIu64,
                       s->map.path, s->map.size, at);
    return check_field(s, "the size of the file", s->map.size, at, e);
}

/* Checking the sections ----------------------------------------------------------------------- */

static int check_docs(const struct shard *s, struct err *e) {
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < s->n_docs; i++) {
        uint64_t start = s->docs[i];
        if (i == 0 ? start != 0 : start <= s->docs[i - 1])
            return err_set(
                e, ERR_INPUT,
                "shard %s: document %" PRIu64 " starts at token %" PRIu64 ", expected %s %" PRIu64,
                s->map.path, i, start, i ? "more than" : "token", i ? s->docs[i - 1] : 0);
        if (start >= s->n_tokens)
            return err_set(e, ERR_INPUT,
                           "shard %s: document %" PRIu64 " starts at token %" PRIu64
                           ", there are %" PRIu64 " tokens",
                           s->map.path, i, start, s->n_tokens);
        if (__builtin_add_overflow(bytes, s->doc_bytes[i], &bytes))
            return err_set(e, ERR_INPUT,
                           "shard %s: the bytes of its documents add up to more than 64 bits hold",
                           s->map.path);
        if (s->doc_bits && !(isfinite(s->doc_bits[i]) && s->doc_bits[i] >= 0))
            return err_set(e, ERR_INPUT,
                           "shard %s: document %" PRIu64
                           " holds %g bits, expected a finite number of at least 0",
                           s->map.path, i, s->doc_bits[i]);
    }
    return check_field(s, "the number of text bytes", s->n_bytes, bytes, e);
}

struct token_check {
    const struct shard *s;
    bool *bad; /* per chunk */
};

static void check_chunk(void *ctx, int64_t i, int tid) {
    (void)tid;
    struct token_check *c = ctx;
    uint64_t begin = (uint64_t)i * CHECK_CHUNK, end = begin + CHECK_CHUNK;
    uint32_t max = 0;
    if (end > c->s->n_tokens) end = c->s->n_tokens;
    for (uint64_t j = begin; j < end; j++) {
        uint32_t t = shard_token(c->s, j);
        max = t > max ? t : max;
    }
    c->bad[i] = max >= c->s->vocab;
}

static int check_tokens(const struct shard *s, struct pool *pool, struct err *e) {
    if (s->width == 2 && s->vocab == 65536) return 0;
    uint64_t chunks = (s->n_tokens + CHECK_CHUNK - 1) / CHECK_CHUNK, i = 0;
    struct token_check c = {s, calloc(chunks, sizeof *c.bad)};
    if (!c.bad) return err_set(e, ERR_NOMEM, "no memory to check shard %s", s->map.path);
    pool_for(pool, (int64_t)chunks, check_chunk, &c);
    while (i < chunks && !c.bad[i]) i++;
    free(c.bad);
    if (i == chunks) return 0;
    uint64_t j = i * CHECK_CHUNK;
    while (shard_token(s, j) < s->vocab) j++;
    return err_set(e, ERR_INPUT,
                   "shard %s: token %" PRIu64 " is %" PRIu32 ", the vocabulary has %" PRIu32
                   " entries",
                   s->map.path, j, shard_token(s, j), s->vocab);
}

static int check_sums(const struct shard *s, const struct shard_header *h, struct err *e) {
    for (int i = 0; i < SHARD_SECTIONS; i++) {
        uint64_t bytes = section_bytes(h, i);
        uint64_t sum = bytes ? XXH3_64bits(s->map.data + h->offset[i], bytes) : 0;
        if (sum != h->xxh3[i])
            return err_set(e, ERR_INPUT,
                           "shard %s: section %s is damaged, its checksum is %016" PRIx64
                           ", expected %016" PRIx64,
                           s->map.path, section_name[i], sum, h->xxh3[i]);
    }
    return 0;
}

/* The bytes of documents follow from their tokens, so they are left out. */
static uint64_t hash_of(const struct shard *s, uint64_t tokens, uint64_t docs) {
    const uint64_t parts[] = {s->n_tokens, s->n_docs, (uint64_t)s->width, tokens, docs};
    return XXH3_64bits(parts, sizeof parts);
}

/* Opening ------------------------------------------------------------------------------------- */

static int open_duet(struct shard *s, bool verify, struct pool *pool, struct err *e) {
    int rc;
    struct shard_header h = {0};
    memcpy(&h, s->map.data, s->map.size < sizeof h ? s->map.size : sizeof h);
    TRY(check_magic(s, &h, e));
    TRY(check_values(s, &h, e));
    TRY(check_layout(s, &h, e));
    s->width = (int)h.width;
    s->vocab = h.vocab;
    s->tok_hash = h.tok_hash;
    s->n_tokens = h.n_tokens;
    s->n_bytes = h.n_bytes;
    s->n_docs = h.n_docs;
    s->tokens = s->map.data + h.offset[SHARD_TOKENS];
    s->docs = (const void *)(s->map.data + h.offset[SHARD_DOCS]);
    s->doc_bytes = (const void *)(s->map.data + h.offset[SHARD_DOC_BYTES]);
    s->doc_bits = h.has_bits ? (const void *)(s->map.data + h.offset[SHARD_DOC_BITS]) : NULL;
    s->hash = hash_of(s, h.xxh3[SHARD_TOKENS], h.xxh3[SHARD_DOCS]);
    if (verify) TRY(check_sums(s, &h, e));
    TRY(check_docs(s, e));
    if (verify) TRY(check_tokens(s, pool, e));
out:
    return rc;
}

static int open_raw16(struct shard *s, uint32_t vocab, struct pool *pool, struct err *e) {
    const char *path = s->map.path;
    if (vocab == 0)
        return err_set(e, ERR_USAGE, "%s: tokens without a header need the size of the vocabulary",
                       path);
    if (s->map.size >= 8 && !memcmp(s->map.data, SHARD_MAGIC, 8))
        return err_set(e, ERR_INPUT, "%s is a shard of duet, expected tokens without a header",
                       path);
    if (s->map.size == 0 || s->map.size % 2)
        return err_set(e, ERR_INPUT,
                       "%s has %zu bytes, expected tokens of 2 bytes: an even number above 0", path,
                       s->map.size);
    s->owned =
        calloc(2, sizeof *s->owned); /* document 0 starts at token 0; its bytes are unknown */
    if (!s->owned) return err_set(e, ERR_NOMEM, "no memory to open %s", path);
    s->width = 2;
    s->vocab = vocab;
    s->n_tokens = s->map.size / 2;
    s->n_docs = 1;
    s->tokens = s->map.data;
    s->docs = s->owned;
    s->doc_bytes = s->owned + 1;
    s->hash = hash_of(s, XXH3_64bits(s->tokens, s->map.size), 0);
    return check_tokens(s, pool, e);
}

int shard_open(struct shard *s, const char *path, enum shard_kind kind, uint32_t raw_vocab,
               bool verify, struct pool *pool, struct err *e) {
    *s = (struct shard){0};
    int rc = file_map_open(&s->map, path, e);
    if (!rc)
        rc =
            kind == SHARD_RAW16 ? open_raw16(s, raw_vocab, pool, e) : open_duet(s, verify, pool, e);
    if (rc) shard_close(s);
    return rc;
}

void shard_close(struct shard *s) {
    free(s->owned);
    file_map_close(&s->map);
    *s = (struct shard){0};
}

bool shard_probe(const char *path) {
    char magic[8];
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return false; /* what a pipe gives is gone then */
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(magic, 1, sizeof magic, f) : 0;
    if (f) fclose(f);
    return is_shard(magic, n);
}

int shard_whole(const char *path, struct err *e) {
    struct shard s;
    if (!shard_probe(path)) return 0;
    const int rc = shard_open(&s, path, SHARD_DUET, 0, false, NULL, e);
    if (!rc) shard_close(&s);
    return rc;
}

int64_t shard_start(const struct tokenizer *t, bool *keeps) {
    const int64_t bos = tokenizer_bos(t), found = tokenizer_find(t, SHARD_SEPARATOR);
    *keeps = found >= 0 && found != bos;
    return bos >= 0 ? bos : found >= 0 ? found : tokenizer_eos(t);
}
