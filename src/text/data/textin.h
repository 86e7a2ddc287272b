/* Streaming input of text: a plain file, one compressed by gzip or zstd, or standard input ("-").
 *
 * What a file is follows from its content (magic.h), so that standard input, pipes and files
 * without the suffix may be compressed too, and nothing is opened twice: a pipe loses no byte. A
 * name that ends in .gz or .zst and content that is not compressed is an error; so is whatever
 * is known to be no text, plain or unpacked. Several gzip members (RFC 1952) or zstd frames (RFC
 * 8878) in a row are one text; checksums are checked. A byte order mark of UTF-8 at the start of
 * the text is not part of it. Memory does not depend on the size of the text. */
#ifndef DUET_TEXTIN_H
#define DUET_TEXTIN_H

#include "err.h"
#include "textscan.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ZSTD_DCtx_s;
struct z_stream_s;

struct textin {
    int fd;
    const char *name;         /* the path, or "standard input"; for messages; borrowed */
    uint64_t size;            /* bytes of the file as it lies on disk, 0 if unknown */
    uint64_t done;            /* how many of them were read */
    uint64_t text;            /* bytes of text given out */
    struct ZSTD_DCtx_s *zstd; /* both NULL: plain */
    struct z_stream_s *gzip;
    bool in_frame;      /* a zstd frame or gzip member is not finished yet */
    uint64_t member_at; /* where the gzip member began */
    bool end;           /* of the file */
    uint8_t *raw;       /* bytes read and not yet used: raw[pos..n) */
    size_t pos, n;
    char *head; /* of the unpacked text, looked at first: head[head_pos..head_n) */
    size_t head_pos, head_n;
    struct textscan scan; /* of the text given out */
    void (*tick)(void *ctx, uint64_t done); /* or NULL: after every read, which may have waited */
    void *ctx;
};

/* path must live as long as in. */
int textin_open(struct textin *in, const char *path, struct err *e);

/* The next bytes of the text, *got of them: cap, or fewer at the end. */
int textin_read(struct textin *in, char *text, size_t cap, size_t *got, struct err *e);

void textin_close(struct textin *in); /* accepts all zeros */

/* Size on disk without opening, 0 if it cannot be known ("-", a pipe, nothing there). */
uint64_t textin_size(const char *path);

/* The whole text in one malloc()ed buffer with a NUL behind it, at most limit bytes. */
int textin_read_all(const char *path, size_t limit, char **text, size_t *bytes, struct err *e);

#endif
