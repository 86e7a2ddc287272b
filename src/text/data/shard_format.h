/* The header of a token shard as it lies on disk, for shard.c and shard_build.c. The layout is
 * described in docs/formats.md. */
#ifndef DUET_SHARD_FORMAT_H
#define DUET_SHARD_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define SHARD_MAGIC "DUETSHRD"
#define SHARD_VERSION 1
#define SHARD_ALIGN 64

enum shard_section { SHARD_TOKENS, SHARD_DOCS, SHARD_DOC_BYTES, SHARD_DOC_BITS, SHARD_SECTIONS };

struct shard_header {
    char magic[8];
    uint32_t version;
    uint32_t width;
    uint32_t vocab;
    uint32_t has_bits; /* 0 or 1 */
    uint64_t tok_hash;
    uint64_t n_tokens, n_bytes, n_docs;
    uint64_t offset[SHARD_SECTIONS]; /* absent section: 0 */
    uint64_t xxh3[SHARD_SECTIONS];   /* absent section: 0 */
    uint64_t header_xxh3;            /* of all bytes before it */
};

/* Sections are mapped as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shards are little-endian");
_Static_assert(sizeof(struct shard_header) == 128, "no padding in the header");
_Static_assert(offsetof(struct shard_header, header_xxh3) == 120, "the checksum is the last field");

#endif
