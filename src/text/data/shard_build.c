/* Building a shard: blocks of text are read, cut into chunks (textcut.h), encoded by many threads
 * and appended in order. How a text is cut depends on the text alone, so the result is the same for
 * any number of threads. */
#include "disk.h"
#include "map.h"
#include "shard.h"
#include "shard_format.h"
#include "stories.h"
#include "textcut.h"
#include "textin.h"
#include "textlist.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CHUNK ((size_t)128 << 10)    /* text that one task encodes, if there is a place to cut */
#define BLOCK ((size_t)4 << 20)      /* text in memory, if there is a place to cut */
#define BLOCK_MAX ((size_t)16 << 20) /* text without such a place: cut at any character */
#define HELD_MAX ((size_t)1 << 30)   /* longest trailer line */
#define SEPARATOR SHARD_SEPARATOR
#define TRAILER "<|corpus|>"
#define SPECIAL UINT32_MAX

enum start {
    START_DOC,    /* a document begins */
    START_INSIDE, /* a document goes on; cut where the byte in front keeps the tokens the same */
    START_ANEW,   /* a document goes on; encoded without regard to what is in front */
};

struct segment { /* a document, or a part of one */
    bool begins;
    size_t tokens;
    uint64_t bytes;
};

struct chunk {
    const char *text;
    size_t bytes;
    enum start start;
    struct tok_ids ids;
    struct segment *segments;
    size_t n, cap;
    int rc;
    struct err e;
};

struct doc {
    uint64_t start, bytes;
    double bits;
};

struct builder {
    const struct tokenizer *t;
    struct pool *pool;
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
    uint64_t done, total; /* bytes of the files before this one; of all, or 0 */
    struct textcut cut;
    int64_t mark[2];     /* token written for cut.sep[i], or -1 */
    bool whole;          /* the tokenizer finds the separators, nothing is put between documents */
    bool strip;          /* white space around documents is dropped */
    uint32_t *tok_bytes; /* by id; SPECIAL for special tokens */
    char *buf;           /* the byte in front of the text, then the text */
    size_t cap;          /* of text */
    const char *name;    /* of the file that is read */
    uint64_t offset;     /* in its text, of what is in the buffer */
    struct chunk *chunks;
    size_t n_chunks, cap_chunks; /* those beyond n_chunks keep their memory for the next block */
    struct doc *docs;
    size_t n_docs, cap_docs;
    enum start start; /* of the next block */
    struct textlist list;
    char note[512];   /* about the first file that gave cause for one */
    size_t n_notes;   /* files that did */
    struct file_out out;
    struct shard_header h;
    XXH3_state_t *hash;
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory to encode the text");
}

/* Encoding a chunk (many threads) ------------------------------------------------------------- */

/* A part that goes on inside a document is encoded with the byte in front of it, whose tokens are
 * dropped: so a tokenizer that treats the start of a text specially (a blank in front of the first
 * word) sees none. */
static int encode_part(const struct tokenizer *t, const char *text, size_t n, enum start *start,
                       struct tok_ids *ids, struct err *e) {
    size_t first = ids->n, k = first, front = 0, len;
    if (*start == START_INSIDE) {
        int rc = tokenizer_encode(t, text - 1, n + 1, true, false, ids, e);
        if (rc) return rc;
        for (int64_t prev = -1; k < ids->n && front == 0; prev = ids->ids[k++]) {
            tokenizer_piece(t, prev, ids->ids[k], &len);
            front += len;
        }
        if (front == 1) {
            ids->n -= k - first;
            memmove(ids->ids + first, ids->ids + k, (ids->n - first) * sizeof *ids->ids);
            return 0;
        }
        ids->n = first; /* a token reaches over the cut: then there is one boundary more */
        *start = START_ANEW;
    }
    return tokenizer_encode(t, text, n, true, *start == START_DOC, ids, e);
}

static uint64_t count_bytes(const struct builder *b, const uint32_t *ids, size_t n,
                            enum start start) {
    uint64_t bytes = 0;
    int64_t prev = -1;
    bool fresh = start != START_INSIDE; /* at the start of a text a token may stand for less */
    for (size_t i = 0; i < n; prev = ids[i++]) {
        assert(ids[i] < b->h.vocab);
        size_t len = b->tok_bytes[ids[i]];
        if (len == SPECIAL) {
            fresh = true;
            continue;
        }
        if (fresh) tokenizer_piece(b->t, prev, ids[i], &len);
        fresh = false;
        bytes += len;
    }
    return bytes;
}

static bool white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Ids [first, end) of the chunk are a document or a part of one. */
static int add_segment(const struct builder *b, struct chunk *c, size_t first, size_t end,
                       enum start start, struct err *e) {
    if (first == end) return 0;
    if (grow(&c->segments, &c->cap, c->n + 1, sizeof *c->segments)) return no_memory(e);
    c->segments[c->n++] = (struct segment){
        .begins = start == START_DOC,
        .tokens = end - first,
        .bytes = count_bytes(b, c->ids.ids + first, end - first, start),
    };
    return 0;
}

/* A chunk of a tokenizer that knows the separators: they are found among its tokens. */
static int encode_whole(const struct builder *b, struct chunk *c) {
    enum start start = c->start;
    size_t first = 0;
    int rc = encode_part(b->t, c->text, c->bytes, &start, &c->ids, &c->e);
    for (size_t i = 0; i < c->ids.n && !rc; i++) {
        uint32_t id = c->ids.ids[i];
        if (id != b->mark[0] && id != b->mark[1]) continue;
        rc = add_segment(b, c, first, i + 1, start, &c->e);
        first = i + 1;
        start = START_DOC;
    }
    return rc ? rc : add_segment(b, c, first, c->ids.n, start, &c->e);
}

/* The part of a document in text[0..n), which separator sep ends, or none if -1. */
static int encode_document(const struct builder *b, struct chunk *c, const char *text, size_t n,
                           enum start start, int sep) {
    size_t first = c->ids.n;
    if (b->strip) {
        for (; n && start == START_DOC && white(*text); n--) text++;
        while (n && sep >= 0 && white(text[n - 1])) n--;
        if (n == 0 && start == START_DOC) return 0;
    }
    int rc = encode_part(b->t, text, n, &start, &c->ids, &c->e);
    if (!rc && sep >= 0 && b->mark[sep] >= 0) {
        if (grow(&c->ids.ids, &c->ids.cap, c->ids.n + 1, sizeof *c->ids.ids))
            return no_memory(&c->e);
        c->ids.ids[c->ids.n++] = (uint32_t)b->mark[sep];
    }
    return rc ? rc : add_segment(b, c, first, c->ids.n, start, &c->e);
}

static int encode_documents(const struct builder *b, struct chunk *c) {
    const char *text = c->text;
    size_t left = c->bytes;
    enum start start = c->start;
    int rc = 0;
    while (left && !rc) {
        size_t n = left, used = left;
        int sep = textcut_find(&b->cut, text, left, &n);
        if (sep >= 0) used = n + b->cut.sep_bytes[sep];
        rc = encode_document(b, c, text, n, start, sep);
        text += used;
        left -= used;
        start = START_DOC;
    }
    return rc;
}

static void encode_chunk(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct builder *b = ctx;
    struct chunk *c = &b->chunks[i];
    c->ids.n = c->n = 0;
    c->rc = b->whole ? encode_whole(b, c) : encode_documents(b, c);
}

/* Writing (one thread) ------------------------------------------------------------------------ */

static void begin_section(struct builder *b, enum shard_section section) {
    file_out_pad(&b->out, SHARD_ALIGN);
    b->h.offset[section] = b->out.offset;
    XXH3_64bits_reset(b->hash);
}

static void end_section(struct builder *b, enum shard_section section) {
    b->h.xxh3[section] = XXH3_64bits_digest(b->hash);
}

static void put(struct builder *b, const void *data, size_t bytes) {
    XXH3_64bits_update(b->hash, data, bytes);
    file_out_write(&b->out, data, bytes);
}

static void put_ids(struct builder *b, const uint32_t *ids, size_t n) {
    uint16_t narrow[4096];
    size_t most = b->h.width == 2 ? sizeof narrow / sizeof *narrow : n;
    b->h.n_tokens += n;
    while (n) {
        size_t part = n < most ? n : most;
        if (b->h.width == 2) {
            for (size_t i = 0; i < part; i++) narrow[i] = (uint16_t)ids[i];
            put(b, narrow, part * sizeof *narrow);
        } else {
            put(b, ids, part * sizeof *ids);
        }
        ids += part;
        n -= part;
    }
}

/* One section of the table of documents, 8 bytes of each: the field at an offset in struct doc. */
static void put_docs(struct builder *b, enum shard_section section, size_t field) {
    uint64_t part[512];
    const size_t most = sizeof part / sizeof *part;
    begin_section(b, section);
    for (size_t i = 0; i < b->n_docs; i += most) {
        size_t n = b->n_docs - i < most ? b->n_docs - i : most;
        for (size_t j = 0; j < n; j++)
            memcpy(&part[j], (const char *)&b->docs[i + j] + field, sizeof part[j]);
        put(b, part, n * sizeof *part);
    }
    end_section(b, section);
}

static int append_chunk(struct builder *b, const struct chunk *c, struct err *e) {
    const uint32_t *ids = c->ids.ids;
    for (size_t i = 0; i < c->n; i++) {
        const struct segment *s = &c->segments[i];
        if (s->begins || b->n_docs == 0) {
            if (grow(&b->docs, &b->cap_docs, b->n_docs + 1, sizeof *b->docs)) return no_memory(e);
            b->docs[b->n_docs++] = (struct doc){.start = b->h.n_tokens};
        }
        b->docs[b->n_docs - 1].bytes += s->bytes;
        b->h.n_bytes += s->bytes;
        put_ids(b, ids, s->tokens);
        ids += s->tokens;
    }
    return 0;
}

/* Blocks -------------------------------------------------------------------------------------- */

static int add_chunk(struct builder *b, const char *text, size_t bytes, enum start start,
                     struct err *e) {
    size_t old = b->cap_chunks;
    if (grow(&b->chunks, &b->cap_chunks, b->n_chunks + 1, sizeof *b->chunks)) return no_memory(e);
    for (size_t i = old; i < b->cap_chunks; i++) b->chunks[i] = (struct chunk){0};
    struct chunk *c = &b->chunks[b->n_chunks++];
    c->text = text;
    c->bytes = bytes;
    c->start = start;
    return 0;
}

/* The best cut in the first n bytes of text, or 0; *start: how the text goes on behind it. */
static size_t find_cut(const struct builder *b, const char *text, size_t n, enum start *start) {
    size_t at = textcut_document(&b->cut, text, n);
    *start = at ? START_DOC : START_INSIDE;
    return at ? at : textcut_inside(&b->cut, text, n);
}

static int split_block(struct builder *b, size_t bytes, struct err *e) {
    const char *text = b->buf + 1;
    enum start start = b->start;
    while (bytes) {
        enum start next = START_DOC;
        size_t n = CHUNK, at = 0;
        while (n < bytes && (at = find_cut(b, text, n, &next)) == 0) n *= 2;
        if (!at) at = bytes;
        int rc = add_chunk(b, text, at, start, e);
        if (rc) return rc;
        text += at;
        bytes -= at;
        start = next;
    }
    return 0;
}

/* Encodes the first `bytes` bytes of the buffer, the last `tail` of them as more of the document
 * before them. */
static int encode_block(struct builder *b, size_t bytes, size_t tail, struct err *e) {
    int rc;
    b->n_chunks = 0;
    TRY(split_block(b, bytes - tail, e));
    if (tail) TRY(add_chunk(b, b->buf + 1 + bytes - tail, tail, START_ANEW, e));
    pool_for(b->pool, (int64_t)b->n_chunks, encode_chunk, b);
    for (size_t i = 0; i < b->n_chunks; i++) {
        const struct chunk *c = &b->chunks[i];
        if (c->rc) {
            *e = c->e;
            rc = err_prefix(e, "%s, the part of the text from byte %zu on", b->name,
                            (size_t)(b->offset + (uint64_t)(c->text - b->buf - 1)));
            goto out;
        }
        TRY(append_chunk(b, c, e));
    }
    if (b->out.error)
        rc = file_out_commit(&b->out, e); /* a full disk: say so now, not at the end */
out:
    return rc;
}

/* Files --------------------------------------------------------------------------------------- */

struct source { /* one file while it is read */
    struct textin in;
    size_t n;           /* bytes of text in the buffer */
    bool end;           /* there is no more */
    bool first;         /* the buffer holds the start of the text */
    uint64_t text;      /* bytes of text so far, without the trailer */
    size_t docs_before; /* documents of the files before */
    double *bits;       /* of the trailer, or NULL */
    size_t n_bits;
    size_t inside; /* trailers in the middle of the text */
};

static int set_capacity(struct builder *b, size_t cap, struct err *e) {
    char *buf = realloc(b->buf, cap + 1);
    if (!buf) return no_memory(e);
    b->buf = buf;
    b->cap = cap;
    return 0;
}

/* Where the last line of the buffer starts, or n if it started before the buffer. */
static size_t last_line(const struct source *s, const char *text) {
    const char *p = s->n ? memrchr(text, '\n', s->n - 1) : NULL;
    return p ? (size_t)(p + 1 - text) : s->first ? 0 : s->n;
}

/* How much of the buffer is text. A last line that may be a trailer is held back until it is known
 * whether it is the last one; at the end of the file the trailer is read. */
static int find_limit(struct source *s, const char *text, size_t *limit, struct err *e) {
    size_t line = last_line(s, text), len = s->n - line, rest = len;
    if (!s->end) {
        bool held = len >= strlen(TRAILER) && !memcmp(text + line, TRAILER, strlen(TRAILER));
        *limit = held ? line : s->n;
        return 0;
    }
    int rc = stories_trailer(text + line, len, &rest, &s->bits, &s->n_bits, e);
    *limit = line + rest;
    return rc ? err_prefix(e, "%s", s->in.name) : 0;
}

/* At the end of a file. What is left behind the last separator is often only a line break: it
 * belongs to the document before it and is not one of its own. Sets *tail to its size, or cuts it
 * off *limit. *next tells whether a separator ended the last document. */
static void find_tail(const struct builder *b, const struct source *s, size_t *limit, size_t *tail,
                      enum start *next) {
    const char *text = b->buf + 1;
    size_t n = *limit;
    while (n && white(text[n - 1])) n--;
    bool after_doc = n ? textcut_document(&b->cut, text, *limit) == n
                       : b->start == START_DOC && b->n_docs > s->docs_before;
    *next = after_doc ? START_DOC : START_INSIDE;
    *tail = after_doc && !b->strip ? *limit - n : 0;
    if (b->strip) *limit = n;
}

/* Finds where to cut a block that is not the last; *cut is 0 if there is no place yet and the
 * buffer was made larger instead. */
static int cut_block(struct builder *b, const struct source *s, size_t limit, size_t *cut,
                     enum start *next, struct err *e) {
    *cut = find_cut(b, b->buf + 1, limit, next);
    if (*cut) return 0;
    if (limit >= BLOCK_MAX) {
        *cut = textcut_anywhere(&b->cut, b->buf + 1, limit);
        *next = START_ANEW;
        return 0;
    }
    if (b->cap < HELD_MAX) return set_capacity(b, b->cap * 2, e);
    return err_set(e, ERR_INPUT,
                   "%s: the line that begins with " TRAILER " is longer than %zu bytes", s->in.name,
                   HELD_MAX);
}

/* One block: read, find where it ends, encode, move the rest to the front. */
static int build_block(struct builder *b, struct source *s, struct err *e) {
    int rc;
    size_t got, cut, tail = 0;
    enum start next;
    TRY(textin_read(&s->in, b->buf + 1 + s->n, b->cap - s->n, &got, e));
    s->n += got;
    s->end = s->n < b->cap;
    TRY(find_limit(s, b->buf + 1, &cut, e));
    if (s->end) {
        s->text += cut;
        find_tail(b, s, &cut, &tail, &next);
    } else {
        TRY(cut_block(b, s, cut, &cut, &next, e));
        if (!cut) goto out;
        s->text += cut;
    }
    s->inside += stories_trailers_inside(b->buf, cut + 1);
    TRY(encode_block(b, cut, tail, e));
    b->offset += cut;
    b->start = next;
    if (cut) s->first = false;
    s->n -= cut;
    memmove(b->buf, b->buf + cut, s->n + 1); /* with the byte in front */
out:
    return rc;
}

static void add_note(struct builder *b, const char *note) {
    if (!b->n_notes++) snprintf(b->note, sizeof b->note, "%s", note);
}

/* A trailer that is not of this text, or not of all of it, says nothing of it. */
static void take_bits(struct builder *b, const struct source *s) {
    const size_t docs = b->n_docs - s->docs_before;
    char note[sizeof b->note] = "";
    if (s->inside)
        snprintf(note, sizeof note,
                 "%s: %zu trailer%s of built-in corpora inside the text %s read as text, and "
                 "floor_bpb is not known; give corpora as files of their own",
                 s->in.name, s->inside, s->inside == 1 ? "" : "s", s->inside == 1 ? "is" : "are");
    else if (s->bits && s->n_bits != docs)
        snprintf(note, sizeof note,
                 "%s: the corpus trailer counts %zu documents, the text has %zu: floor_bpb is not "
                 "known",
                 s->in.name, s->n_bits, docs);
    if (*note) add_note(b, note);
    if (*note || !s->bits) b->h.has_bits = 0;
    for (size_t i = 0; i < docs && b->h.has_bits; i++)
        b->docs[s->docs_before + i].bits = s->bits[i];
}

static void show(void *ctx, uint64_t done) {
    const struct builder *b = ctx;
    if (b->progress) b->progress(b->ctx, b->done + done, b->total);
}

static void take_note(struct builder *b, const struct textin *in) {
    char note[sizeof b->note];
    if (textscan_note(&in->scan, in->name, note, sizeof note)) add_note(b, note);
}

static int build_file(struct builder *b, const char *path, struct err *e) {
    struct source s = {.first = true, .docs_before = b->n_docs};
    int rc;
    show(b, 0); /* opening a pipe may wait */
    TRY(textin_open(&s.in, path, e));
    s.in.tick = show;
    s.in.ctx = b;
    TRY(set_capacity(b, BLOCK, e));
    /* The file before ended without a separator. */
    if (b->start != START_DOC && b->mark[0] >= 0 && b->n_docs)
        put_ids(b, &(uint32_t){(uint32_t)b->mark[0]}, 1);
    b->start = START_DOC;
    b->name = s.in.name;
    b->offset = 0;
    b->buf[0] = '\n';
    while (!s.end) TRY(build_block(b, &s, e));
    b->done += s.in.done;
    take_note(b, &s.in);
    if (s.text == 0)
        rc = err_set(e, ERR_INPUT, "%s holds no text", s.in.name);
    else
        take_bits(b, &s);
out:
    textin_close(&s.in);
    free(s.bits);
    return rc;
}

/* The whole ----------------------------------------------------------------------------------- */

/* See shard.h for what ends a document and what is written there. */
static void find_separators(struct builder *b) {
    const struct tokenizer *t = b->t;
    int64_t bos = tokenizer_bos(t), eos = tokenizer_eos(t), found = tokenizer_find(t, SEPARATOR);
    b->strip = found < 0 || found == bos;
    b->whole = !b->strip && bos < 0;
    b->cut = (struct textcut){{SEPARATOR}, {strlen(SEPARATOR)}, 1};
    b->mark[0] = !b->strip ? found : bos < 0 ? eos : -1;
    b->mark[1] = -1;
    if (eos < 0 || eos == found) return;
    b->cut.sep[1] = tokenizer_piece(t, -1, (uint32_t)eos, &b->cut.sep_bytes[1]);
    b->mark[1] = eos;
    if (b->cut.sep_bytes[1]) b->cut.n_sep = 2;
}

static int builder_init(struct builder *b, struct err *e) {
    b->h = (struct shard_header){.version = SHARD_VERSION, .has_bits = 1};
    memcpy(b->h.magic, SHARD_MAGIC, sizeof b->h.magic);
    b->h.vocab = tokenizer_vocab_size(b->t);
    b->h.width = b->h.vocab <= 65536 ? 2 : 4;
    b->h.tok_hash = tokenizer_hash(b->t);
    find_separators(b);
    b->hash = XXH3_createState();
    b->tok_bytes = malloc(b->h.vocab * sizeof *b->tok_bytes);
    if (!b->hash || !b->tok_bytes) return no_memory(e);
    for (uint32_t i = 0; i < b->h.vocab; i++)
        b->tok_bytes[i] = tokenizer_is_special(b->t, i) ? SPECIAL : tokenizer_token_bytes(b->t, i);
    b->total = textlist_size(&b->list);
    return 0;
}

static void builder_release(struct builder *b) {
    for (size_t i = 0; i < b->cap_chunks; i++) {
        free(b->chunks[i].ids.ids);
        free(b->chunks[i].segments);
    }
    free(b->chunks);
    free(b->docs);
    free(b->buf);
    free(b->tok_bytes);
    XXH3_freeState(b->hash);
    textlist_close(&b->list);
    file_out_discard(&b->out);
}

static void put_tables(struct builder *b) {
    b->h.n_docs = b->n_docs;
    put_docs(b, SHARD_DOCS, offsetof(struct doc, start));
    put_docs(b, SHARD_DOC_BYTES, offsetof(struct doc, bytes));
    if (b->h.has_bits) put_docs(b, SHARD_DOC_BITS, offsetof(struct doc, bits));
    b->h.header_xxh3 = XXH3_64bits(&b->h, offsetof(struct shard_header, header_xxh3));
    file_out_patch(&b->out, 0, &b->h, sizeof b->h);
}

/* Of bytes it is known ahead how many tokens they are, but for marks of ends of documents: a tenth
 * is allowed for these. A compressed file is at least as long as it is. */
static int check_room(const struct builder *b, const char *out, struct err *e) {
    if (strcmp(tokenizer_kind(b->t), "byte")) return 0;
    const uint64_t bytes = b->total / 10 * 9 * sizeof(uint16_t);
    return disk_fits(out, "the shard", bytes, bytes, e);
}

static void put_stats(const struct builder *b, struct shard_stats *stats) {
    *stats = (struct shard_stats){b->h.n_tokens, b->h.n_bytes, b->n_docs, b->list.n, ""};
    const size_t more = b->n_notes ? b->n_notes - 1 : 0;
    snprintf(stats->note, sizeof stats->note, more ? "%s (%zu more file%s like it)" : "%s", b->note,
             more, more == 1 ? "" : "s");
}

int shard_build(const struct tokenizer *t, struct pool *pool, const char *const *files, size_t n,
                const char *out, void (*progress)(void *ctx, uint64_t done, uint64_t total),
                void *ctx, struct shard_stats *stats, struct err *e) {
    struct builder b = {.t = t, .pool = pool, .progress = progress, .ctx = ctx, .out.fd = -1};
    int rc;
    assert(n > 0);
    if (!strcmp(out, "-"))
        return err_set(e, ERR_USAGE, "a shard needs a file, it cannot go to standard output");
    TRY(textlist_open(&b.list, files, n, e));
    for (size_t i = 0; i < b.list.n && !rc; i++)
        if (file_same(b.list.path[i], out))
            rc = err_set(e, ERR_USAGE, "%s is read and cannot be the output too", out);
    if (rc) goto out;
    if (b.list.n > 1) TRY(textlist_check(&b.list, e));
    TRY(builder_init(&b, e));
    TRY(check_room(&b, out, e));
    TRY(file_out_open(&b.out, out, e));
    file_out_write(&b.out, &b.h, sizeof b.h); /* its place; the values come last */
    begin_section(&b, SHARD_TOKENS);
    for (size_t i = 0; i < b.list.n; i++) TRY(build_file(&b, b.list.path[i], e));
    end_section(&b, SHARD_TOKENS);
    if (b.n_docs == 0) {
        rc = err_set(e, ERR_INPUT, "%s: the text holds no tokens", b.list.path[0]);
        goto out;
    }
    put_tables(&b);
    put_stats(&b, stats);
    rc = file_out_commit(&b.out, e);
out:
    builder_release(&b);
    return rc;
}
