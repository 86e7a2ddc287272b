/* Which files are text: gzip and its damage, byte order marks, what is refused by name, what gets a
 * note, and folders. Tokens do not depend on how a text is stored. */
#include "shard_fixture.h"

#include "magic.h"
#include "textin.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

static uint8_t *gzip(const void *text, size_t n, int level, gz_header *head, size_t *packed) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    if (head) assert_int_equal(deflateSetHeader(&z, head), Z_OK);
    const size_t cap = deflateBound(&z, n) + 200;
    uint8_t *out = malloc(cap);
    assert_non_null(out);
    union {
        const void *in;
        Bytef *out;
    } bytes = {text};
    z.next_in = bytes.out;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *packed = cap - z.avail_out;
    deflateEnd(&z);
    return out;
}

/* A file of so many members; first: bytes of the first one, or NULL. */
static size_t put_gz(const char *name, const char *text, size_t n, size_t members, size_t *first) {
    uint8_t *all = malloc(n + 100 + members * 100);
    size_t used = 0;
    assert_non_null(all);
    for (size_t i = 0; i < members; i++) {
        const size_t begin = n * i / members, end = n * (i + 1) / members;
        size_t got;
        uint8_t *one = gzip(text + begin, end - begin, 6, NULL, &got);
        memcpy(all + used, one, got);
        used += got;
        if (!i && first) *first = got;
        free(one);
    }
    put_file(name, all, used);
    free(all);
    return used;
}

/* gzip ---------------------------------------------------------------------------------------- */

static void members(void **state) {
    (void)state;
    const size_t n = 700000;
    char *text = random_text(19, n, 2000, false);
    put_file("plain", text, n);
    assert_int_equal(build("plain", "plain.bin"), 0);
    put_gz("one.gz", text, n, 1, NULL);
    put_gz("many.gz", text, n, 9, NULL);
    put_gz("no_suffix", text, n, 2, NULL);
    uint8_t name[] = "name", note[] = "a comment", extra[] = "xy";
    gz_header head = {.name = name, .comment = note, .extra = extra, .extra_len = 2, .hcrc = 1};
    size_t packed;
    uint8_t *z = gzip(text, n, 9, &head, &packed);
    put_file("head.gz", z, packed);
    free(z);
    z = gzip(text, n, 0, NULL, &packed); /* stored */
    put_file("stored", z, packed);
    free(z);
    static const char *const names[] = {"one.gz", "many.gz", "no_suffix", "head.gz", "stored"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (build(names[i], "packed.bin")) fail_msg("%s", e.msg);
        assert_same_files("plain.bin", "packed.bin");
    }
    /* Empty members are no text of their own. */
    put_gz("empty.gz", text, 0, 3, NULL);
    assert_refused("empty.gz", ERR_INPUT, "holds no text");
    free(text);
}

static void cut_members(void **state) {
    (void)state;
    static const char text[] = "Once upon a time there was a cat.\nIt sat on the mat.\n";
    size_t first, n = put_gz("whole", text, sizeof text - 1, 2, &first);
    char *z = get_file("whole", &n);
    assert_int_equal(build("whole", "whole.bin"), 0);
    for (size_t cut = 0; cut < n; cut++) {
        put_file("cut", z, cut);
        if (cut == 0)
            assert_refused("cut", ERR_INPUT, "holds no text");
        else if (cut == 1 || cut == first)
            assert_int_equal(build("cut", "cut.bin"), 0); /* a control character; a whole member */
        else if (cut > first && cut - first <= 2)
            assert_refused("cut", ERR_INPUT, "what follows the gzip data from byte");
        else
            assert_refused("cut", ERR_INPUT, "is cut off: it ends at byte");
        char at_byte[64];
        snprintf(at_byte, sizeof at_byte, "ends at byte %zu,", cut);
        if (cut > 1 && cut != first && (cut < first || cut - first > 2))
            assert_non_null(strstr(e.msg, at_byte));
    }
    free(z);
}

/* No flipped bit goes unseen, but in the fields that say nothing about the text. */
static void flipped_bits(void **state) {
    (void)state;
    static const char text[] = "Once upon a time there was a cat.\nIt sat on the mat.\n";
    size_t n = put_gz("whole", text, sizeof text - 1, 1, NULL), seen = 0;
    char *z = get_file("whole", &n);
    assert_int_equal(build("whole", "whole.bin"), 0);
    for (size_t bit = 16; bit < 8 * n; bit++) {
        z[bit / 8] ^= (char)(1 << bit % 8);
        put_file("flip", z, n);
        unlink(at("flip.bin"));
        if (build("flip", "flip.bin")) {
            assert_int_equal(e.code, ERR_INPUT);
            assert_false(file_exists(at("flip.bin")));
            assert_false(file_exists(at("flip.bin.duet-tmp")));
            seen++;
        } else {
            assert_same_files("whole.bin", "flip.bin");
            /* Flags, time, level, system; what fills up the last byte of the data. */
            if (bit / 8 != n - 9) assert_in_range(bit / 8, 3, 9);
        }
        z[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(seen > 8 * (n - 10));
    free(z);
}

static void wrong_sums(void **state) {
    (void)state;
    static const char text[] = "Once upon a time there was a cat.\n";
    size_t n = put_gz("whole", text, sizeof text - 1, 1, NULL);
    char *z = get_file("whole", &n);
    z[n - 8] ^= 1;
    put_file("crc", z, n);
    assert_refused("crc", ERR_INPUT, "incorrect data check near byte");
    z[n - 8] ^= 1;
    z[n - 1] ^= 1;
    put_file("size", z, n);
    assert_refused("size", ERR_INPUT, "incorrect length check near byte");
    free(z);
}

static void garbage_behind(void **state) {
    (void)state;
    static const char text[] = "Once upon a time there was a cat.\n";
    size_t n = put_gz("whole", text, sizeof text - 1, 1, NULL);
    char *z = get_file("whole", &n), where[64];
    z = realloc(z, n + 32);
    assert_non_null(z);
    snprintf(where, sizeof where, "what follows the gzip data from byte %zu on", n);
    for (size_t more = 1; more < 32; more++) {
        memset(z + n, more % 2 ? '\n' : 0, more);
        put_file("more", z, n + more);
        assert_refused("more", ERR_INPUT, where);
    }
    free(z);
    put_file("plain.gz", "plain text", 10);
    put_file("short.gz", "ab", 2);
    put_file("none.gz", "", 0);
    assert_refused("plain.gz", ERR_INPUT,
                   "is not compressed by gzip: it begins with the bytes 70 6c 61 69");
    assert_refused("short.gz", ERR_INPUT, "holds 2 bytes, too few for gzip data");
    assert_refused("none.gz", ERR_INPUT, "0 bytes");
    put_zst("really.gz", text, sizeof text - 1, 1); /* the content counts */
    assert_int_equal(build("really.gz", "zst.bin"), 0);
}

/* What is in it is looked at too. */
static void inside(void **state) {
    (void)state;
    char tar[1024] = "name";
    memcpy(tar + 257, "ustar", 5);
    put_gz("x.tar.gz", tar, sizeof tar, 1, NULL);
    assert_refused("x.tar.gz", ERR_INPUT, "x.tar.gz, unpacked, is a tar archive");
    put_zst("x.tar.zst", tar, sizeof tar, 1);
    assert_refused("x.tar.zst", ERR_INPUT, "unpacked, is a tar archive");
    size_t n = put_gz("once.gz", "text", 4, 1, NULL);
    char *z = get_file("once.gz", &n);
    put_gz("twice.gz", z, n, 1, NULL);
    assert_refused("twice.gz", ERR_INPUT, "unpacked, is compressed by gzip");
    free(z);
}

/* Marks --------------------------------------------------------------------------------------- */

static void marks(void **state) {
    (void)state;
    static const char text[] =
        "\xef\xbb\xbfOnce\n" EOT "\xef\xbb\xbfTwice\n"; /* the second stays */
    const size_t n = sizeof text - 1;
    put_file("plain", text + 3, n - 3);
    assert_int_equal(build("plain", "plain.bin"), 0);
    put_file("marked", text, n);
    put_gz("marked.gz", text, n, 1, NULL);
    put_zst("marked.zst", text, n, 1);
    static const char *const names[] = {"marked", "marked.gz", "marked.zst"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(build(names[i], "marked.bin"), 0);
        assert_same_files("plain.bin", "marked.bin");
    }
    put_file("alone", text, 3);
    assert_refused("alone", ERR_INPUT, "holds no text");
    for (size_t i = 1; i < 3; i++) { /* half a mark is none */
        put_file("half", text, i);
        assert_int_equal(build("half", "half.bin"), 0);
        assert_int_equal(magic_mark(text, i), 0);
    }
    char *all;
    size_t bytes;
    assert_int_equal(textin_read_all(at("marked.gz"), 1000, &all, &bytes, &e), 0);
    assert_int_equal(bytes, n - 3);
    assert_string_equal(all, text + 3);
    free(all);
    assert_int_equal(textin_read_all(at("marked.gz"), n - 4, &all, &bytes, &e), ERR_INPUT);
    assert_null(all);
    assert_int_equal(file_read_text(at("marked"), 1000, &all, &bytes, &e), 0);
    assert_string_equal(all, text + 3);
    assert_int_equal(bytes, n - 3);
    free(all);
    struct file_map m;
    assert_int_equal(file_map_open_text(&m, at("marked"), &e), 0);
    assert_int_equal(m.size, n - 3);
    assert_memory_equal(m.data, text + 3, n - 3);
    file_map_close(&m);
    assert_int_equal(file_map_open_text(&m, at("alone"), &e), 0);
    assert_int_equal(m.size, 0);
    file_map_close(&m);
}

/* Refused by name ----------------------------------------------------------------------------- */

#define BYTES(s) s, sizeof(s) - 1
static const struct {
    const char *bytes;
    size_t n;
    const char *word;
} kinds[] = {
    {BYTES("\xfd\x37zXZ\0\0\4"), "compressed by xz"},
    {BYTES("BZh9\x31\x41\x59\x26\x53\x59"), "compressed by bzip2"},
    {BYTES("\x04\x22\x4d\x18\x64"), "compressed by lz4"},
    {BYTES("PK\3\4\x14"), "a zip archive"},
    {BYTES("\x93NUMPY\1\0"), "array of NumPy"},
    {BYTES("PAR1\x15\4"), "Parquet"},
    {BYTES("ARROW1\0\0"), "Arrow"},
    {BYTES("FEA1\0\0\0\0"), "Feather"},
    {BYTES("\xff\xff\xff\xff\x70\0\0\0\x10"), "stream of Arrow"},
    {BYTES("\x89HDF\r\n\x1a\n"), "HDF5"},
    {BYTES("\xff\xfeO\0n\0"), "UTF-16"},
    {BYTES("\xfe\xff\0O\0n"), "UTF-16"},
    {BYTES("\xff\xfe\0\0O\0\0\0"), "UTF-32"},
    {BYTES("\0\0\xfe\xff\0\0\0O"), "UTF-32"},
    {BYTES("O\0n\0c\0e\0 \0u\0"), "UTF-16 without a mark (little"},
    {BYTES("\0O\0n\0c\0e\0 \0u"), "UTF-16 without a mark (big"},
    {BYTES("\x1e\4\x34\4\x3d\4\x30\4\x36\4 \0\x34\4\x3d\4"), "without a mark (little"},
    {BYTES("\x60\x4f\x7d\x59\x16\x4e\x4c\x75 \0o\0"), "without a mark (little"},
    {BYTES("\x4f\x60\x59\x7d\x4e\x16\x75\x4c\0 \0o"), "without a mark (big"},
    {BYTES("O\0\0\0n\0\0\0c\0\0\0e\0\0\0"), "-f UTF-32LE"},
    {BYTES("\0\0\0O\0\0\0n\0\0\0c\0\0\0e"), "-f UTF-32BE"},
    {BYTES("GGUF\3\0\0\0"), "GGUF"},
    {BYTES("\x50\0\0\0\0\0\0\0{\"__metadata__\""), "safetensors"},
    {BYTES("TZLB\5\0\0\0"), "BLZT"},
    {BYTES("TZLB\4\0\0\0"), "BLZT"},
    {BYTES("24ka\1\0\0\0"), "llama2.c"},
    {BYTES("DUETSTAT"), "the state of a run"},
    {BYTES("DUETZO\r\n"), "the trajectory of a run"},
    {BYTES("{\"event\":\"start\",\"params\":9}\n"), "the log of a run"},
    {BYTES("{\n \"val_loss\": 1.5\n}\n"), "the summary of a run"},
    {BYTES("%PDF-1.7\n"), "a PDF"},
    {BYTES("version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"},
    {BYTES("\x7f" "ELF\2\1\1"), "ELF"},
};

/* Cut anywhere, a beginning is known or it is text: the word is the same or there is none. */
static void refused_by_name(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        put_file("kind", kinds[i].bytes, kinds[i].n);
        assert_refused("kind", ERR_INPUT, kinds[i].word);
        char *text;
        size_t n;
        if (kinds[i].bytes[0] == '{') { /* JSON that a run reads of itself */
            assert_int_equal(file_read_text(at("kind"), 1000, &text, &n, &e), 0);
            assert_string_equal(text, kinds[i].bytes);
            free(text);
        } else {
            assert_int_equal(file_read_text(at("kind"), 1000, &text, &n, &e), ERR_INPUT);
            assert_non_null(strstr(e.msg, kinds[i].word));
        }
        put_gz("packed", kinds[i].bytes, kinds[i].n, 1, NULL);
        assert_refused("packed", ERR_INPUT, "unpacked");
        for (size_t cut = 0; cut < kinds[i].n; cut++) {
            char *exact = malloc(cut + 1); /* a byte too far is seen by a sanitizer */
            assert_non_null(exact);
            memcpy(exact, kinds[i].bytes, cut);
            const struct magic *m = magic_find(exact, cut);
            if (m) assert_true(strlen(m->is) > 5);
            free(exact);
        }
    }
}

/* A shard is no text; one that is cut is said to be that. */
static void shards(void **state) {
    (void)state;
    char *text;
    size_t n;
    put_file("text", "Once upon a time", 16);
    assert_int_equal(build("text", "whole.bin"), 0);
    assert_refused("whole.bin", ERR_INPUT, "whole.bin is a token shard: it is read only");
    char *bytes = get_file("whole.bin", &n);
    for (size_t cut = 6; cut < n; cut++) {
        put_file("cut.bin", bytes, cut);
        assert_refused("cut.bin", ERR_INPUT, "cut.bin is cut off");
    }
    free(bytes);
    assert_int_equal(file_read_text(at("whole.bin"), n, &text, &n, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "whole.bin is a token shard"));
}

static void text_after_all(void **state) {
    (void)state;
    static const char *const texts[] = {
        "BZh9 is how bzip2 begins\n", "PK is a name\n", "GGUF is a format of models\n",
        "TZLB\n",       "PAR1 is a gene\n",          "%PDX\n",
        "ORC\n",        "{\"event\":\"start\"}\n",     "{\"val_loss\": 1}\n",
        "version 2\n",  "\x1f",                      "ARROW1 of two\n",
        "a\tb\nc\r\n",  "\xe4\xba\xba\xe4\xba\xba", "DUETS\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_file("text", texts[i], strlen(texts[i]));
        if (build("text", "text.bin")) fail_msg("%s: %s", texts[i], e.msg);
    }
    /* A NUL at any place of a text, whose letters make pairs that UTF-16 has too. */
    static const char *const with_nul[] = {
        "hello . world", "a fairly short line with one .. inside of it\n",
        "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 . \xd0\xbc\xd0\xb8\xd1\x80",
        "\xe4\xbd\xa0\xe5\xa5\xbd.\xe4\xb8\x96\xe7\x95\x8c. ok", "  .   .    .    ",
    };
    for (size_t i = 0; i < sizeof with_nul / sizeof *with_nul; i++)
        for (size_t front = 0; front < 4; front++) {
            char text[80];
            const int n = snprintf(text, sizeof text, "%.*s%s", (int)front, "abc", with_nul[i]);
            const char *const one[] = {at("nul")};
            struct shard_stats said;
            for (int k = 0; k < n; k++)
                if (text[k] == '.') text[k] = 0;
            put_file("nul", text, (size_t)n);
            if (shard_build(byte, NULL, one, 1, at("nul.bin"), NULL, NULL, &said, &e))
                fail_msg("%zu, %zu: %s", i, front, e.msg);
            assert_int_equal(said.bytes, n);
            assert_non_null(strstr(said.note, "are NUL, the first at byte"));
        }
    struct rng r =
        rng_make(5, RNG_TEST, 0, 0, 0); /* random bytes and tokens are taken, with a note */
    uint16_t ids[3000];
    for (size_t i = 0; i < 3000; i++) ids[i] = (uint16_t)rng_below(&r, 512);
    put_file("ids", ids, sizeof ids);
    struct shard_stats stats;
    const char *files[1] = {at("ids")};
    assert_int_equal(shard_build(byte, NULL, files, 1, at("ids.bin"), NULL, NULL, &stats, &e), 0);
    assert_int_equal(stats.bytes, sizeof ids);
    assert_non_null(strstr(stats.note, "are NUL, the first at byte"));
    assert_non_null(strstr(stats.note, "--format raw16"));
    put_file("zero", "", 0);
    assert_int_equal(build("../../dev/zero", "zero.bin"), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is a device"));
}

/* Notes --------------------------------------------------------------------------------------- */

/* Bytes that are no UTF-8, by the plain rule: at each place the longest valid character, or else
 * one byte after another until one starts. */
static size_t char_len(const uint8_t *p, size_t n) {
    static const struct {
        uint8_t from, to, low, high, len;
    } rows[] = {{0x00, 0x7f, 0, 0, 1},          {0xc2, 0xdf, 0x80, 0xbf, 2},
                {0xe0, 0xe0, 0xa0, 0xbf, 3},    {0xe1, 0xec, 0x80, 0xbf, 3},
                {0xed, 0xed, 0x80, 0x9f, 3},    {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4},    {0xf1, 0xf3, 0x80, 0xbf, 4},
                {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (p[0] < rows[i].from || p[0] > rows[i].to) continue;
        if (rows[i].len > n) return 0;
        if (rows[i].len > 1 && (p[1] < rows[i].low || p[1] > rows[i].high)) return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if ((p[k] & 0xc0) != 0x80) return 0;
        return rows[i].len;
    }
    return 0;
}

static void scanned(void **state) {
    (void)state;
    struct rng r = rng_make(6, RNG_TEST, 0, 0, 0);
    static const char *const parts[] = {"a",
                                        "plain words, all ASCII ",
                                        "\xc3\xa9",
                                        "\xe4\xba\xba",
                                        "\xf0\x9f\x98\x80",
                                        "\0",
                                        "\xff",
                                        "\xe4\xba",
                                        "\x80",
                                        "\xf0\x9f",
                                        "\xed\xa0\x80",
                                        "\xc0\xaf"};
    for (int round = 0; round < 400; round++) {
        uint8_t text[600];
        size_t n = 0, nul = 0, bad = 0, first_nul = 0, first_bad = 0;
        while (n < 500) {
            const size_t k = rng_below(&r, sizeof parts / sizeof *parts);
            const size_t len = k == 5 ? 1 : strlen(parts[k]);
            memcpy(text + n, parts[k], len);
            n += len;
        }
        for (size_t i = 0; i < n;) {
            const size_t len = char_len(text + i, n - i);
            if (!len && !bad++) first_bad = i;
            if (len == 1 && !text[i] && !nul++) first_nul = i;
            i += len ? len : 1;
        }
        struct textscan s = {0};
        for (size_t i = 0, part; i < n; i += part) {
            part = 1 + rng_below(&r, round % 2 ? 5 : 200);
            if (part > n - i) part = n - i;
            textscan_add(&s, text + i, part);
        }
        char note[512];
        textscan_note(&s, "x", note, sizeof note);
        assert_int_equal(s.bytes, n);
        assert_int_equal(s.nul, nul);
        if (nul) assert_int_equal(s.first_nul, first_nul);
        if (s.invalid) assert_int_equal(s.first_bad, first_bad);
        assert_int_equal(s.invalid + (s.need ? s.seen : 0), bad); /* the end may be cut */
    }
}

static const char *note_of(const void *text, size_t n) {
    static struct shard_stats stats;
    put_file("noted", text, n);
    const char *files[1] = {at("noted")};
    assert_int_equal(shard_build(byte, NULL, files, 1, at("noted.bin"), NULL, NULL, &stats, &e), 0);
    return stats.note;
}

static void notes(void **state) {
    (void)state;
    char text[4000];
    memset(text, 'x', sizeof text);
    assert_string_equal(note_of(text, sizeof text), "");
    text[1234] = '\xe9';
    text[1300] = '\xe9';
    text[1301] = '\xe9';
    assert_string_equal(note_of(text, sizeof text), ""); /* 3 of 4,000 are not much */
    memset(text + 1400, '\xe9', 2);
    const char *note = note_of(text, sizeof text);
    assert_non_null(
        strstr(note, "noted: 0.125% of its bytes are not UTF-8, the first at byte 1234"));
    text[100] = 0;
    note = note_of(text, sizeof text);
    assert_non_null(strstr(note, "noted: 0.025% of its bytes are NUL, the first at byte 100"));
    assert_non_null(strstr(note, ", 0.125% are not UTF-8, the first at byte 1234"));
    assert_null(strchr(note, '\n'));
    /* Several files: the first is named, the others are counted. */
    put_file("other", text, sizeof text);
    put_file("good", "good\n", 5);
    struct shard_stats stats;
    const char *files[3] = {at("good"), at("noted"), at("other")};
    assert_int_equal(shard_build(byte, NULL, files, 3, at("noted.bin"), NULL, NULL, &stats, &e), 0);
    assert_non_null(strstr(stats.note, "/noted: "));
    assert_non_null(strstr(stats.note, "(1 more file like it)"));
    assert_int_equal(stats.files, 3);
}

/* Folders and pipes --------------------------------------------------------------------------- */

static void folders(void **state) {
    (void)state;
    assert_int_equal(mkdir(at("texts"), 0777), 0);
    put_file("texts/b.txt", "second\n", 7);
    put_file("texts/a", "\xef\xbb\xbf" "first" EOT "\n", 22);
    put_gz("texts/c.gz", "third", 5, 1, NULL);
    put_file("texts/.hidden", "\xfd\x37zXZ\0", 6);
    char whole[200];
    const char *const each[] = {at("texts/a"), at("texts/b.txt"), at("texts/c.gz")};
    const char *folder_path[] = {whole};
    snprintf(whole, sizeof whole, "%s/texts", folder);
    assert_int_equal(build_from(each, 3, at("each.bin")), 0);
    assert_int_equal(build_from(folder_path, 1, at("folder.bin")), 0);
    assert_same_files("each.bin", "folder.bin");
    struct shard s;
    assert_int_equal(shard_open(&s, at("folder.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    assert_int_equal(s.n_docs, 3);
    assert_text(&s, "first" EOT "\nsecond\n" EOT "third", 19 + 7 + 13 + 5);
    shard_close(&s);
    /* One that is no text, the last one too: nothing is done with any. */
    put_file("texts/d", "PK\3\4", 4);
    assert_int_equal(build_from(folder_path, 1, at("no.bin")), ERR_INPUT);
    assert_non_null(strstr(e.msg, "texts/d is a zip archive"));
    unlink(at("texts/d"));
    assert_int_equal(mkdir(at("texts/sub"), 0777), 0);
    assert_int_equal(build_from(folder_path, 1, at("no.bin")), ERR_INPUT);
    assert_non_null(strstr(e.msg, "texts/sub is a folder"));
    strcat(whole, "/sub");
    assert_int_equal(build_from(folder_path, 1, at("no.bin")), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is a folder without files"));
    assert_false(file_exists(at("no.bin")));
}

struct calls {
    int n;
    uint64_t last;
};

static void count_calls(void *ctx, uint64_t done, uint64_t total) {
    struct calls *c = ctx;
    assert_int_equal(total, 0); /* a pipe's is unknown */
    assert_true(done >= c->last);
    c->last = done;
    c->n++;
}

/* A FIFO gives every byte, compressed or not, and progress while it is slow. */
static void pipes(void **state) {
    (void)state;
    const size_t n = 60000;
    char *text = random_text(21, n, 700, false);
    put_file("plain", text, n);
    put_gz("packed.gz", text, n, 2, NULL);
    put_zst("packed.zst", text, n, 2);
    assert_int_equal(build("plain", "plain.bin"), 0);
    assert_int_equal(mkfifo(at("fifo"), 0666), 0);
    static const char *const names[] = {"plain", "packed.gz", "packed.zst"};
    for (int i = 0; i < 3; i++) {
        size_t bytes;
        char *data = get_file(names[i], &bytes);
        const pid_t pid = fork();
        if (pid == 0) {
            const int fd = open(at("fifo"), O_WRONLY);
            for (size_t k = 0, part; k < bytes; k += part) {
                part = bytes - k < 999 ? bytes - k : 999;
                if (write(fd, data + k, part) != (ssize_t)part) _exit(1);
            }
            _exit(0);
        }
        free(data);
        struct calls c = {0};
        struct shard_stats stats;
        const char *files[1] = {at("fifo")};
        assert_false(shard_probe(files[0])); /* would take bytes out of it */
        assert_int_equal(
            shard_build(byte, NULL, files, 1, at("fifo.bin"), count_calls, &c, &stats, &e), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_same_files("plain.bin", "fifo.bin");
        assert_true(c.n >= 2);
        assert_int_equal(c.last, bytes);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),         cmocka_unit_test(cut_members),
        cmocka_unit_test(flipped_bits),    cmocka_unit_test(wrong_sums),
        cmocka_unit_test(garbage_behind),  cmocka_unit_test(inside),
        cmocka_unit_test(marks),           cmocka_unit_test(refused_by_name),
        cmocka_unit_test(shards),          cmocka_unit_test(text_after_all),
        cmocka_unit_test(scanned),         cmocka_unit_test(notes),
        cmocka_unit_test(folders),         cmocka_unit_test(pipes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
