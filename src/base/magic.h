/* What a file is by its first bytes: one table for every reader of text, JSON and models, so
 * that what is no such thing is refused by name and not taken for one. */
#ifndef DUET_MAGIC_H
#define DUET_MAGIC_H

#include <stdbool.h>
#include <stddef.h>

enum magic_kind {
    MAGIC_OTHER, /* to be refused */
    MAGIC_GZIP,  /* readers of text unpack it */
    MAGIC_ZSTD,
    MAGIC_MODEL,   /* its advice is for readers of text alone */
    MAGIC_OWN,     /* another file of duet's, with advice for everybody */
    MAGIC_POINTER, /* of Git LFS to another file: never what is meant, for models neither */
    /* no text to learn from, but JSON for those who read it (magic_is_json) */
    MAGIC_RECORD,      /* what a run writes about itself; what lies beside a model */
    MAGIC_TOKENIZER,   /* tokenizer.json */
    MAGIC_DESCRIPTION, /* of a model */
    MAGIC_OPTIONS,     /* of a run */
};

struct magic {
    const char *is;     /* "is compressed by xz": follows the file's name */
    const char *advice; /* what to do instead, where text is read; NULL: nothing more to say */
    enum magic_kind kind;
};

/* So many bytes of the beginning (or all, of a shorter file) are enough to know. */
#define MAGIC_BYTES 4096

/* What data, the first n bytes of a file, begins with; NULL: nothing that is known, so text. */
const struct magic *magic_find(const void *data, size_t n);

static inline bool magic_is_json(const struct magic *m) {
    return m && m->kind >= MAGIC_RECORD;
}

/* Bytes of the byte order mark that a UTF-8 text begins with: 3, or 0 without one. Not part of the
 * text: every reader skips it. */
size_t magic_mark(const void *data, size_t n);

#endif
