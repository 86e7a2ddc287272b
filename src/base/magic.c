#include "magic_impl.h"

#include <stdbool.h>
#include <string.h>

/* Tests that are more than a comparison ------------------------------------------------------- */

/* A number of 32 bits, little-endian, below 256, as the versions of model files are: then letters
 * in front of it are no text. */
static bool small_at(const uint8_t *p, size_t n, size_t at) {
    return n >= at + 4 && p[at] && !p[at + 1] && !p[at + 2] && !p[at + 3];
}

static bool versioned(const uint8_t *p, size_t n) {
    return small_at(p, n, 4);
}

/* One of 16 magics: 5?2a4d18. */
static bool skippable(const uint8_t *p, size_t n) {
    return n >= 4 && p[0] >> 4 == 5 && !memcmp(p + 1, "\x2a\x4d\x18", 3);
}

/* The length of a header of JSON in 64 bits, then the header. */
static bool safetensors(const uint8_t *p, size_t n) {
    return n >= 10 && !p[4] && !p[5] && !p[6] && !p[7] && p[8] == '{' &&
           (p[9] == '"' || p[9] == '}' || p[9] == ' ');
}

/* The length of the first message in 32 bits, a multiple of 8. */
static bool arrow_stream(const uint8_t *p, size_t n) {
    return n >= 8 && !p[7] && p[4] % 8 == 0 && (p[4] || p[5] || p[6]);
}

static uint32_t unit_at(const uint8_t *p, int width, bool big) {
    uint32_t u = 0;
    for (int i = 0; i < width; i++) u |= (uint32_t)p[i] << 8 * (big ? width - 1 - i : i);
    return u;
}

/* Text in units of 2 or 4 bytes without a mark: no unit is a control character, half of a pair
 * without the other or beyond Unicode, and some are Latin, digits or blanks, whose other bytes are
 * 0. The last unit of 2 bytes may be half of a pair: it is not looked at. */
static bool wide(const uint8_t *p, size_t n, int width, bool big) {
    const size_t units = n / (size_t)width;
    size_t latin = 0, low_zero = 0;
    uint32_t last = 0;
    for (size_t i = 0; i + 1 < units; i++) {
        const uint32_t u = unit_at(p + i * (size_t)width, width, big);
        const bool high = u >= 0xd800 && u < 0xdc00, low = u >= 0xdc00 && u < 0xe000,
                   after_high = last >= 0xd800 && last < 0xdc00;
        if (u > 0x10ffff || (u < 0x20 && u != '\t' && u != '\n' && u != '\r')) return false;
        if (width == 2 ? low != after_high : high || low) return false;
        latin += u < 0x100;
        low_zero += !(u & 0xff);
        last = u;
    }
    return units >= 4 && latin * 16 >= units && low_zero * 8 <= latin;
}

/* Bytes of the character of UTF-8 at p, also of one that the end cuts off; 0: it is none. */
static size_t character(const uint8_t *p, size_t n) {
    const size_t k = *p < 0x80   ? 1
                     : *p < 0xc2 ? 0
                     : *p < 0xe0 ? 2
                     : *p < 0xf0 ? 3
                     : *p < 0xf5 ? 4
                                 : 0;
    for (size_t i = 1; i < k && i < n; i++)
        if (p[i] >> 6 != 2) return 0;
    return k;
}

/* UTF-8 with a NUL here and there, whose letters may stand for others two by two. Wide text that is
 * UTF-8 too is Latin, Greek, Cyrillic: every other byte of that is below 32. */
static bool is_narrow(const uint8_t *p, size_t n) {
    size_t controls = 0, k = 1;
    for (size_t i = 0; i < n && k; i += k) {
        k = character(p + i, n - i);
        controls += p[i] < 0x20 && p[i] != '\t' && p[i] != '\n' && p[i] != '\r';
    }
    return k && controls < n / 4;
}

/* No text is two of these: the upper half of a unit of 4 bytes is a NUL to units of 2, and two
 * units of 2 are beyond Unicode as one of 4. */
static bool utf16_little(const uint8_t *p, size_t n) {
    return !is_narrow(p, n) && wide(p, n, 2, false);
}

static bool utf16_big(const uint8_t *p, size_t n) {
    return !is_narrow(p, n) && wide(p, n, 2, true);
}

static bool utf32_little(const uint8_t *p, size_t n) {
    return !is_narrow(p, n) && wide(p, n, 4, false);
}

static bool utf32_big(const uint8_t *p, size_t n) {
    return !is_narrow(p, n) && wide(p, n, 4, true);
}

/* The table ----------------------------------------------------------------------------------- */

#define UNPACK(tool) "unpack it, or pipe it in: " tool " FILE | duet ... with - as the file"
#define MEMBERS "take the texts out of it, and give them as files or as a folder"
#define EXPORT "write its texts into a plain file or one compressed by gzip or zstd"
#define WIDE(from)                                                                                 \
    "duet reads UTF-8: iconv -f " from " -t UTF-8 FILE > OUT (16-bit tokens: --format raw16)"
#define MODEL "here text is expected, not a model"
#define AT(offset, text) offset, text, sizeof(text) - 1

static const struct row {
    size_t at;
    const char *bytes;
    size_t n;
    bool (*test)(const uint8_t *p, size_t n); /* that must hold besides, or NULL */
    struct magic magic;
} rows[] = {
    /* compressed */
    {AT(0, "\x1f\x8b"), NULL, {"is compressed by gzip", "unpack it: gzip -d", MAGIC_GZIP}},
    {AT(0, "\x28\xb5\x2f\xfd"), NULL, {"is compressed by zstd", "unpack it: zstd -d", MAGIC_ZSTD}},
    {AT(0, ""), skippable, {"is compressed by zstd", "unpack it: zstd -d", MAGIC_ZSTD}},
    {AT(0, "\xfd\x37zXZ\0"), NULL, {"is compressed by xz", UNPACK("xz -dc"), 0}},
    {AT(4, "\x31\x41\x59\x26\x53\x59"), NULL, {"is compressed by bzip2", UNPACK("bzip2 -dc"), 0}},
    {AT(0, "\x04\x22\x4d\x18"), NULL, {"is compressed by lz4", UNPACK("lz4 -dc"), 0}},
    {AT(0, "\x02\x21\x4c\x18"), NULL, {"is compressed by lz4", UNPACK("lz4 -dc"), 0}},
    {AT(0, "LZIP\1"), NULL, {"is compressed by lzip", UNPACK("lzip -dc"), 0}},
    {AT(0, "\x1f\x9d"), NULL, {"is compressed by compress", UNPACK("gzip -dc"), 0}},
    {AT(0, "\xff\x06\0\0sNaPpY"), NULL, {"is compressed by snappy", "unpack it", 0}},
    /* archives */
    {AT(0, "PK\3\4"), NULL, {"is a zip archive (also npz, docx, xlsx, pt)", MEMBERS, 0}},
    {AT(0, "PK\5\6"), NULL, {"is an empty zip archive", NULL, 0}},
    {AT(257, "ustar"), NULL, {"is a tar archive", MEMBERS, 0}},
    {AT(0, "7z\xbc\xaf\x27\x1c"), NULL, {"is a 7z archive", MEMBERS, 0}},
    {AT(0, "Rar!\x1a\7"), NULL, {"is a rar archive", MEMBERS, 0}},
    /* tables and arrays */
    {AT(0, "\x93NUMPY"), NULL,
     {"is an array of NumPy (npy)",
      "write tokens of it as uint16 without a header (tofile), for --format raw16", 0}},
    {AT(0, "PAR1\x15"), NULL, {"is a Parquet file", EXPORT, 0}},
    {AT(0, "PARE\x15"), NULL, {"is an encrypted Parquet file", EXPORT, 0}},
    {AT(0, "ARROW1\0\0"), NULL, {"is an Arrow (Feather) file", EXPORT, 0}},
    {AT(0, "FEA1\0\0\0\0"), NULL, {"is a Feather file", EXPORT, 0}},
    {AT(0, "\xff\xff\xff\xff"), arrow_stream, {"is a stream of Arrow", EXPORT, 0}},
    {AT(0, "Obj\1"), NULL, {"is an Avro file", EXPORT, 0}},
    {AT(0, "\x89HDF\r\n\x1a\n"), NULL, {"is an HDF5 file", EXPORT, 0}},
    {AT(0, "SQLite format 3\0"), NULL, {"is a database of SQLite", EXPORT, 0}},
    /* other encodings: a mark of 4 bytes before one of 2 */
    {AT(0, "\xff\xfe\0\0"), NULL, {"is text in UTF-32", WIDE("UTF-32"), 0}},
    {AT(0, "\0\0\xfe\xff"), NULL, {"is text in UTF-32", WIDE("UTF-32"), 0}},
    {AT(0, "\xff\xfe"), NULL, {"is text in UTF-16", WIDE("UTF-16"), 0}},
    {AT(0, "\xfe\xff"), NULL, {"is text in UTF-16", WIDE("UTF-16"), 0}},
    {AT(0, ""), utf32_little,
     {"looks like text in UTF-32 without a mark (little-endian)", WIDE("UTF-32LE"), 0}},
    {AT(0, ""), utf32_big,
     {"looks like text in UTF-32 without a mark (big-endian)", WIDE("UTF-32BE"), 0}},
    {AT(0, ""), utf16_little,
     {"looks like text in UTF-16 without a mark (little-endian)", WIDE("UTF-16LE"), 0}},
    {AT(0, ""), utf16_big,
     {"looks like text in UTF-16 without a mark (big-endian)", WIDE("UTF-16BE"), 0}},
    /* models, and duet's own files */
    {AT(0, "GGUF"), versioned, {"is a GGUF model", MODEL, MAGIC_MODEL}},
    {AT(0, ""), safetensors, {"is a safetensors file", MODEL, MAGIC_MODEL}},
    {AT(0, "TZLB"), versioned, {"is a BLZT file: a model or an adapter", MODEL, MAGIC_MODEL}},
    {AT(0, "24ka"), versioned, {"is a model of llama2.c", MODEL, MAGIC_MODEL}},
    {AT(0, "DUETSHRD"), NULL,
     {"is a token shard", "it is read only as a file given alone, with --data or --verify",
      MAGIC_OWN}},
    {AT(0, "DUETSTAT"), NULL,
     {"is the state of a run", "go on with it: train --resume FOLDER", MAGIC_OWN}},
    {AT(0, "DUETZO\r\n"), NULL,
     {"is the trajectory of a run", "it belongs to duet replay", MAGIC_OWN}},
    {AT(0, "DUETCLCK"), NULL,
     {"is the clock of a run", "train --clock FILE repeats that run", MAGIC_OWN}},
    {AT(0, "{\"event\":\"start\",\"params\":"), NULL,
     {"is the log of a run, not its data", NULL, MAGIC_RECORD}},
    {AT(0, "{\n \"val_loss\": "), NULL,
     {"is the summary of a run, not its data", NULL, MAGIC_RECORD}},
    /* documents, pictures, programs */
    {AT(0, "%PDF-"), NULL,
     {"is a PDF document", "pipe its text in: pdftotext FILE - | duet ...", 0}},
    {AT(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), NULL,
     {"is a document of an office program", "save it as plain text in UTF-8", 0}},
    {AT(0, "version https://git-lfs.github.com/spec/v"), NULL,
     {"is a Git LFS pointer", "not the file itself, which was not downloaded (git lfs pull)",
      MAGIC_POINTER}},
    {AT(0, "\x89PNG\r\n\x1a\n"), NULL, {"is a PNG picture", NULL, 0}},
    {AT(0, "\xff\xd8\xff"), NULL, {"is a JPEG picture", NULL, 0}},
    {AT(0, "\x7f" "ELF"), NULL, {"is a program or library (ELF)", NULL, 0}},
};

/* All of a file: fewer bytes of a shard's mark could be a word. */
static const struct magic cut = {"is a token shard, cut off within its first bytes", NULL,
                                 MAGIC_OWN};

const struct magic *magic_find(const void *data, size_t n) {
    const uint8_t *p = data;
    if (n > MAGIC_BYTES) n = MAGIC_BYTES;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = rows + i;
        if (n < r->at + r->n || memcmp(p + r->at, r->bytes, r->n)) continue;
        if (!r->test || r->test(p, n)) return &r->magic;
    }
    if (n >= 6 && n < 8 && !memcmp(p, "DUETSHRD", n)) return &cut;
    return magic_json(p, n);
}

size_t magic_mark(const void *data, size_t n) {
    return n >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? 3 : 0;
}
