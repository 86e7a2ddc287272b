/* Opening token shards: what is accepted and what is refused. */
#include "shard_fixture.h"

#include "shard_format.h"

#include <math.h>
#include <xxhash.h>

/* Opening ------------------------------------------------------------------------------------- */

static const char sample[] =
    "One\n" EOT "Two.\n" EOT "Three\n<|corpus|>{\"generator\":\"duet stories\","
    "\"version\":1,\"seed\":1,\"documents\":3,\"bits\":[1.5,2,0]}\n";

static uint8_t *sample_shard(size_t *n) {
    struct shard s = shard_of(sample, sizeof sample - 1);
    assert_int_equal(s.n_docs, 3);
    assert_non_null(s.doc_bits);
    shard_close(&s);
    return (uint8_t *)get_file("text.bin", n);
}

static int open_bytes(const void *data, size_t n, bool verify) {
    struct shard s;
    put_file("bytes.bin", data, n);
    int rc = shard_open(&s, at("bytes.bin"), SHARD_DUET, 0, verify, NULL, &e);
    if (rc) {
        assert_null(s.tokens);
        assert_int_equal(e.code, rc);
    }
    shard_close(&s);
    return rc;
}

static void truncated(void **state) {
    (void)state;
    size_t n;
    uint8_t *data = sample_shard(&n);
    assert_int_equal(open_bytes(data, n, true), 0);
    for (size_t i = 0; i < n; i++)
        for (int verify = 0; verify < 2; verify++) {
            assert_int_equal(open_bytes(data, i, verify), ERR_INPUT);
            if (i >= sizeof SHARD_MAGIC - 1) assert_non_null(strstr(e.msg, "is cut off: "));
        }
    uint8_t *longer = calloc(1, n + 1);
    assert_non_null(longer);
    memcpy(longer, data, n);
    assert_int_equal(open_bytes(longer, n + 1, false), ERR_INPUT);
    free(longer);
    free(data);
}

static void every_byte_counts(void **state) {
    (void)state;
    size_t n;
    uint8_t *data = sample_shard(&n);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            data[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(open_bytes(data, n, true), ERR_INPUT);
            data[i] ^= (uint8_t)(1 << bit);
        }
    free(data);
}

/* One field changed, all checksums right: what is said names the field. */
static const struct {
    size_t offset;
    int bytes; /* 0: a double */
    uint64_t value;
    double real;
    const char *word;
} fields[] = {
    {0, 4, 0x46465542, 0, "DUETSHRD"},
    {8, 4, 2, 0, "version is 2"},
    {12, 4, 3, 0, "token width is 3"},
    {12, 4, 4, 0, "offset of section docs is 192, expected 256"},
    {16, 4, 0, 0, "vocabulary size is 0"},
    {16, 4, 65537, 0, "vocabulary size is 65537"},
    {16, 4, 102, 0, "the vocabulary has 102"},
    {20, 4, 2, 0, "has_bits is 2"},
    {20, 4, 0, 0, "doc_bits"},
    {32, 8, 0, 0, "0 tokens"},
    {32, 8, 16, 0, "byte 160 is"},
    {32, 8, UINT64_MAX, 0, "do not fit"},
    {32, 8, (uint64_t)1 << 63, 0, "do not fit"},
    {40, 8, 14, 0, "text bytes is 14, expected 15"},
    {48, 8, 0, 0, "0 documents"},
    {48, 8, 4, 0, "has 344 bytes, its sections end at 352"},
    {48, 8, 18, 0, "18 documents of 17 tokens"},
    {48, 8, (uint64_t)1 << 61, 0, "documents of"},
    {56, 8, 64, 0, "offset of section tokens is 64"},
    {64, 8, 200, 0, "offset of section docs is 200"},
    {72, 8, UINT64_MAX - 63, 0, "offset of section doc_bytes"},
    {80, 8, 0, 0, "offset of section doc_bits is 0"},
    {162, 1, 9, 0, "byte 162 is 9"},
    {192, 8, 1, 0, "document 0 starts at token 1"},
    {200, 8, 0, 0, "document 1 starts at token 0"},
    {208, 8, 4, 0, "document 2 starts at token 4"},
    {208, 8, 17, 0, "document 2 starts at token 17"},
    {208, 8, UINT64_MAX, 0, "document 2 starts"},
    {256, 8, UINT64_MAX, 0, "more than 64 bits"},
    {256, 8, 5, 0, "text bytes is 15, expected 16"},
    {320, 0, 0, -1, "document 0 holds -1 bits"},
    {328, 0, 0, INFINITY, "document 1 holds inf bits"},
    {336, 0, 0, NAN, "document 2 holds"},
    {130, 2, 257, 0, "token 1 is 257, the vocabulary has 257"},
};

static void bad_values(void **state) {
    (void)state;
    size_t n;
    uint8_t *data = sample_shard(&n), *copy = malloc(n);
    assert_non_null(copy);
    assert_int_equal(n, 320 + 3 * 8);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        memcpy(copy, data, n);
        if (fields[i].bytes)
            memcpy(copy + fields[i].offset, &fields[i].value, (size_t)fields[i].bytes);
        else
            memcpy(copy + fields[i].offset, &fields[i].real, 8);
        static const size_t begin[] = {128, 192, 256, 320}, size[] = {34, 24, 24, 24};
        for (int k = 0; k < 4; k++) {
            uint64_t sum = XXH3_64bits(copy + begin[k], size[k]);
            memcpy(copy + 88 + 8 * k, &sum, 8);
        }
        uint64_t sum = XXH3_64bits(copy, 120);
        memcpy(copy + 120, &sum, 8);
        assert_int_equal(open_bytes(copy, n, true), ERR_INPUT);
        if (!strstr(e.msg, fields[i].word)) fail_msg("\"%s\": \"%s\"", fields[i].word, e.msg);
        assert_non_null(strstr(e.msg, "bytes.bin"));
    }
    free(copy);
    free(data);
}

static void raw16(void **state) {
    (void)state;
    static const uint16_t tokens[] = {5, 0, 999, 7};
    struct shard s;
    put_file("raw", tokens, sizeof tokens);
    assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 1000, false, NULL, &e), 0);
    assert_true(s.n_tokens == 4 && s.n_docs == 1 && s.docs[0] == 0 && s.n_bytes == 0);
    assert_true(s.doc_bytes[0] == 0 && !s.doc_bits && s.vocab == 1000 && s.tok_hash == 0);
    for (int i = 0; i < 4; i++) assert_int_equal(shard_token(&s, (uint64_t)i), tokens[i]);
    shard_close(&s);
    assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 999, false, NULL, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "token 2 is 999"));
    assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 0, false, NULL, &e), ERR_USAGE);
    assert_int_equal(shard_open(&s, at("raw"), SHARD_DUET, 0, false, NULL, &e), ERR_INPUT);
    put_file("raw", tokens, 7);
    assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 1000, false, NULL, &e), ERR_INPUT);
    put_file("raw", tokens, 0);
    assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 1000, false, NULL, &e), ERR_INPUT);
    size_t n;
    uint8_t *data = sample_shard(&n);
    put_file("raw", data, n);
    assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 65536, false, NULL, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is a shard of duet"));
    free(data);
    assert_int_equal(shard_open(&s, at("missing"), SHARD_RAW16, 10, false, NULL, &e), ERR_IO);
    shard_close(&s); /* after a failure, too */
}

static uint64_t hash_of(const char *text) {
    struct shard s = shard_of(text, strlen(text));
    const uint64_t h = s.hash;
    shard_close(&s);
    return h;
}

/* The hash tells whether it is the same data: tokens, and where documents start. */
static void hashes(void **state) {
    (void)state;
    const uint64_t h = hash_of("One two." EOT "Three");
    struct shard s;
    assert_true(h == hash_of("One two." EOT "Three"));
    assert_true(h != hash_of("One two." EOT "Thref"));
    assert_true(h != hash_of("One two." EOT "Three."));
    uint16_t tokens[] = {5, 0, 999, 7};
    uint64_t raw[2];
    for (int i = 0; i < 2; i++) {
        tokens[3] = (uint16_t)(7 + i);
        put_file("raw", tokens, sizeof tokens);
        assert_int_equal(shard_open(&s, at("raw"), SHARD_RAW16, 1000, false, NULL, &e), 0);
        raw[i] = s.hash;
        shard_close(&s);
    }
    assert_true(raw[0] != raw[1]);
    /* The same tokens in other documents. */
    size_t n;
    uint8_t *data = sample_shard(&n);
    struct shard_header head;
    memcpy(&head, data, sizeof head);
    uint64_t hash[2];
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t *docs = (uint64_t *)(void *)(data + head.offset[SHARD_DOCS]);
        docs[1] -= i;
        head.xxh3[SHARD_DOCS] = XXH3_64bits(docs, head.n_docs * 8);
        head.header_xxh3 = XXH3_64bits(&head, offsetof(struct shard_header, header_xxh3));
        memcpy(data, &head, sizeof head);
        put_file("docs.bin", data, n);
        assert_int_equal(shard_open(&s, at("docs.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
        hash[i] = s.hash;
        shard_close(&s);
    }
    free(data);
    assert_true(hash[0] != hash[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(raw16),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
