/* Streaming input of text: a plain file, a zstd-compressed one, or standard input ("-").
 *
 * Compression is recognised by the first bytes (a zstd or skippable frame, RFC 8878), so standard
 * input and files without the suffix may be compressed too; a name that ends in .zst and content
 * that is something else is an error. Several frames in a row are one text. */
#ifndef DUET_TEXTIN_H
#define DUET_TEXTIN_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ZSTD_DCtx_s;

struct textin {
    int fd;
    const char *name;         /* the path, or "standard input"; for messages; borrowed */
    uint64_t size;            /* bytes of the file as it lies on disk, 0 if unknown */
    uint64_t done;            /* how many of them were read */
    uint64_t text;            /* bytes of text given out */
    struct ZSTD_DCtx_s *zstd; /* NULL: plain */
    bool in_frame;            /* a zstd frame is not finished yet */
    bool end;                 /* of the file */
    uint8_t *raw;             /* bytes read and not yet used: raw[pos..n) */
    size_t pos, n;
};

/* path must live as long as in. */
int textin_open(struct textin *in, const char *path, struct err *e);

/* The next bytes of the text, *got of them: cap, or fewer at the end. */
int textin_read(struct textin *in, char *text, size_t cap, size_t *got, struct err *e);

void textin_close(struct textin *in); /* accepts all zeros */

/* Size on disk without opening, 0 if it cannot be known ("-", a pipe, nothing there). */
uint64_t textin_size(const char *path);

#endif
