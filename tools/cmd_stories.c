/* duet stories: writes the built-in corpus. */
#include "clock.h"
#include "cmd.h"
#include "disk.h"
#include "file.h"
#include "log.h"
#include "out_format.h"
#include "stories.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MARK_BYTES 13 /* of "<|endoftext|>", which is no text */

struct opts {
    int64_t bytes, documents, seed;
    const char *out;
    bool overwrite, quiet;
};

static const struct conf_row rows[] = {
    CONF_SECTION("How much"),
    CONF_INT(struct opts, bytes, "bytes", NULL, 1, 1e12,
             "write whole documents until there are at least N bytes of text (end marks count "
             "nothing)"),
    CONF_INT(struct opts, documents, "documents", NULL, 1, 1e9, "write N documents"),
    CONF_SECTION("What"),
    CONF_INT(struct opts, seed, "seed", "1", 0, 9007199254740992.0,
             "document i of a seed is always the same text"),
    CONF_STRING(struct opts, out, "out", "-", "FILE",
                "file to write, replaced as a whole when done; \"-\" is standard output"),
    OVERWRITE_ROW(struct opts, overwrite),
    CONF_BOOL(struct opts, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END,
};

/* Words seen, as 64-bit hashes: a set with open addressing, at most half full. */
struct words {
    uint64_t *slot; /* 0: empty */
    size_t cap, distinct;
    uint64_t count;
};

static void words_put(uint64_t *slot, size_t cap, uint64_t hash) {
    size_t i = hash & (cap - 1);
    while (slot[i] && slot[i] != hash) i = (i + 1) & (cap - 1);
    slot[i] = hash;
}

static int words_grow(struct words *w, struct err *e) {
    size_t cap = w->cap ? w->cap * 2 : 4096;
    uint64_t *slot = calloc(cap, sizeof *slot);
    if (!slot) return err_set(e, ERR_NOMEM, "no memory to count the words");
    for (size_t i = 0; i < w->cap; i++)
        if (w->slot[i]) words_put(slot, cap, w->slot[i]);
    free(w->slot);
    w->slot = slot;
    w->cap = cap;
    return 0;
}

static int words_add(struct words *w, uint64_t hash, struct err *e) {
    if (w->distinct * 2 >= w->cap) {
        int rc = words_grow(w, e);
        if (rc) return rc;
    }
    size_t i = hash & (w->cap - 1);
    while (w->slot[i] && w->slot[i] != hash) i = (i + 1) & (w->cap - 1);
    w->distinct += !w->slot[i];
    w->slot[i] = hash;
    w->count++;
    return 0;
}

/* A word is a run of letters and apostrophes; upper and lower case count as one. FNV-1a. */
static int words_count(struct words *w, const char *text, size_t bytes, struct err *e) {
    uint64_t hash = 0;
    for (size_t i = 0; i <= bytes; i++) {
        unsigned char c = i < bytes ? (unsigned char)text[i] | 0x20 : 0;
        if ((c >= 'a' && c <= 'z') || (hash && c == '\'')) {
            hash = ((hash ? hash : 0xCBF29CE484222325u) ^ c) * 0x100000001B3u;
        } else if (hash) {
            int rc = words_add(w, hash, e);
            if (rc) return rc;
            hash = 0;
        }
    }
    return 0;
}

/* Bits of each document, for the trailer. */
struct figures {
    double *bits;
    size_t n, cap;
    double total;
    uint64_t bytes; /* of text */
    struct words words;
};

static int figures_add(struct figures *f, const struct stories_doc *d, struct err *e) {
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 1024;
        double *bits = realloc(f->bits, cap * sizeof *bits);
        if (!bits) return err_set(e, ERR_NOMEM, "no memory for the figures of %zu documents", f->n);
        f->bits = bits;
        f->cap = cap;
    }
    f->bits[f->n++] = d->bits;
    f->total += d->bits;
    f->bytes += d->bytes - MARK_BYTES;
    return words_count(&f->words, d->text, d->bytes - MARK_BYTES - 1, e);
}

static int write_documents(const struct opts *o, struct file_out *out, struct figures *f,
                           struct log_progress *line, struct err *e) {
    struct stories_doc d = {0};
    int rc = 0;
    while (o->bytes ? f->bytes < (uint64_t)o->bytes : f->n < (uint64_t)o->documents) {
        TRY(stories_write((uint64_t)o->seed, f->n, &d, e));
        TRY(figures_add(f, &d, e));
        file_out_write(out, d.text, d.bytes);
        if (out->error) break; /* file_out_commit says what it was */
        if (f->n % 4096 == 0)
            log_bar(line, "writing stories", o->bytes ? f->bytes : f->n,
                    (uint64_t)(o->bytes ? o->bytes : o->documents), o->bytes ? "MB" : "documents");
    }
out:
    stories_doc_release(&d);
    return rc;
}

static void report(const struct figures *f, double seconds, struct log_progress *line) {
    log_note(line,
             "%zu documents, %" PRIu64 " bytes of text, %" PRIu64
             " words, %zu different ones; %.2f s",
             f->n, f->bytes, f->words.count, f->words.distinct, seconds);
    log_note(line,
             "information: %.1f bits, %.4f bits per byte; exact, as no two derivations of the "
             "grammar\nwrite the same text",
             f->total, f->bytes ? f->total / (double)f->bytes : 0);
}

static int check_opts(const struct opts *o, const struct conf *c, struct err *e) {
    if (c->n_pos) return err_set(e, ERR_USAGE, "unexpected argument \"%s\"", c->pos[0]);
    if ((o->bytes > 0) == (o->documents > 0))
        return err_set(e, ERR_USAGE, "say how much to write: either --bytes N or --documents N");
    return 0;
}

static int run(int argc, char **argv, struct err *e) {
    struct opts o;
    struct conf c = {0};
    struct file_out out = {0};
    struct figures f = {0};
    struct log_progress line;
    char *trailer = NULL;
    size_t bytes;
    bool done;
    int rc;
    double start = clock_seconds();
    TRY(cmd_parse(&cmd_stories, &c, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_opts(&o, &c, e));
    log_progress_init(&line, o.quiet);
    TRY(out_free(o.out, o.overwrite, e));
    TRY(disk_fits(o.out, "the text", (uint64_t)o.bytes, (uint64_t)o.bytes, e));
    TRY(file_out_open(&out, o.out, e));
    log_begin(&line);
    TRY(write_documents(&o, &out, &f, &line, e));
    TRY(stories_trailer_write((uint64_t)o.seed, f.bits, f.n, &trailer, &bytes, e));
    file_out_write(&out, trailer, bytes);
    TRY(file_out_commit(&out, e));
    log_progress_end(&line);
    report(&f, clock_seconds() - start, &line);
out:
    file_out_discard(&out);
    free(trailer);
    free(f.bits);
    free(f.words.slot);
    conf_release(&c);
    return rc;
}

const struct cmd cmd_stories = {
    .name = "stories",
    .summary = "Write the built-in corpus: simple English stories whose information is known.",
    .usage = "(--bytes N | --documents N) [--seed S] [--out FILE]",
    .notes =
        "Documents end with \"<|endoftext|>\" and a line break. The last line of the output "
        "carries the\n"
        "information of each document in bits (docs/formats.md); tokenize, train and eval read it "
        "and\n"
        "print floor_bpb, the bits per byte that no model can go below on average. Bytes of text\n"
        "count line breaks but not the end marks, whose information is that of the choices that\n"
        "ended the story. The report goes to standard error.",
    .rows = rows,
    .run = run,
};
