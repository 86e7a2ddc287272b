/* Trajectories that are damaged, forged or too large: refused, at the place of the damage. */
#include "trajectory_fixture.h"

static size_t head_bytes(const char *path) {
    size_t n;
    uint8_t *d = get_file(path, &n);
    const size_t bytes = HEAD + (d[12] | (size_t)d[13] << 8) + 4 * (size_t)d[24];
    free(d);
    return bytes;
}

/* Every prefix of the file is refused, or holds fewer records and says so. */
static void truncated(void **state) {
    (void)state;
    size_t n;
    make("a", 5, 4);
    uint8_t *all = get_file("a", &n);
    const size_t begin = head_bytes("a");
    for (size_t end = 0; end < n; end++) {
        put_file("b", all, end);
        if (end < begin) {
            refused("b", "b: ");
            continue;
        }
        assert_int_equal(trajectory_open(&t, "b", &e), 0);
        assert_true(t.records < 4);
        assert_int_equal(t.torn_at + t.torn, end);
        trajectory_close(&t);
    }
    free(all);
}

/* Every byte counts: in the head and in records that others follow it is an error, in the last
 * record it makes a torn end. */
static void flipped(void **state) {
    (void)state;
    size_t n;
    make("a", 5, 6);
    uint8_t *all = get_file("a", &n);
    const size_t begin = head_bytes("a"), last = n - bytes_of(5);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            all[i] ^= (uint8_t)(1 << bit);
            put_file("b", all, n);
            if (i < begin) {
                refused("b", "b: ");
            } else if (i < last) {
                refused("b", "is damaged (length or checksum), and more records follow it");
            } else {
                assert_int_equal(trajectory_open(&t, "b", &e), 0);
                assert_int_equal(t.records, 5);
                assert_int_equal(t.torn, n - last);
                trajectory_close(&t);
            }
            all[i] ^= (uint8_t)(1 << bit);
        }
    free(all);
}

static void damage_is_placed(void **state) {
    (void)state;
    size_t n;
    char says[64];
    make("a", 0, 6);
    uint8_t *all = get_file("a", &n);
    const size_t third = head_bytes("a") + ONE + (ONE + 12);
    all[third + 30] ^= 1;
    put_file("b", all, n);
    snprintf(says, sizeof says, "record of step 2 at offset %zu is damaged", third);
    refused("b", says);
    all[third + 30] ^= 1;
    memmove(all + third, all + third + 1, n - third - 1); /* one byte is missing */
    put_file("b", all, n - 1);
    refused("b", says);
    free(all);
}

/* Overwrites bytes of the record at `at` and puts its checksum right. */
static void forge(uint8_t *at, size_t offset, const void *bytes, size_t n) {
    memcpy(at + offset, bytes, n);
    const size_t size = 28 + 12 * (size_t)(at[8] | at[9] << 8);
    const uint64_t sum = XXH3_64bits(at, size);
    for (int i = 0; i < 4; i++) at[size + (size_t)i] = (uint8_t)(sum >> (8 * i));
}

/* Records with the right checksum that say what no update is. */
static void forged_records(void **state) {
    (void)state;
    size_t n;
    const double nan64 = NAN, inf64 = -INFINITY;
    const float nan32 = NAN, inf32 = INFINITY;
    const uint32_t zero = 0, three = 3;
    const struct {
        size_t offset, bytes;
        const void *value;
        const char *says;
    } cases[] = {
        {0, 4, &zero, "is of step 0, expected 2"},
        {0, 4, &three, "is of step 3, expected 2"},
        {4, 4, &zero, "record of step 2 at offset "},
        {4, 4, &zero, "0 micro-batches"},
        {16, 8, &nan64, "the learning rate is not a finite number"},
        {16, 8, &inf64, "the learning rate is not a finite number"},
        {36, 4, &nan32, "coefficient 0 is not a finite number"},
        {60, 4, &inf32, "coefficient 2 is not a finite number"},
    };
    make("a", 0, 3);
    uint8_t *all = get_file("a", &n), *bad = malloc(n);
    assert_non_null(bad);
    const size_t third = n - (28 + 12 * 3 + 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bad, all, n);
        forge(bad + third, cases[i].offset, cases[i].value, cases[i].bytes);
        put_file("b", bad, n);
        refused("b", cases[i].says);
    }
    free(bad);
    free(all);
}

/* A whole record has 1 to 65536 directions: others are damage, whatever their checksum says. */
static void forged_counts(void **state) {
    (void)state;
    enum { MANY = 65537, ROOM = 28 + 12 * MANY + 4 };
    size_t n;
    make("a", 0, 2);
    uint8_t *all = get_file("a", &n), *bad = calloc(1, n + ROOM);
    assert_non_null(bad);
    const size_t begin = head_bytes("a"), second = begin + ONE;
    for (uint32_t count = 0; count <= MANY; count += MANY) {
        const size_t bytes = 28 + 12 * (size_t)count + 4;
        uint8_t *at = bad + begin;
        memcpy(bad, all, second);
        memcpy(at + 8, &count, 4);
        const uint64_t sum = XXH3_64bits(at, bytes - 4);
        memcpy(at + bytes - 4, &sum, 4);
        memcpy(at + bytes, all + second, n - second);
        put_file("b", bad, begin + bytes + n - second);
        refused("b", "record of step 0 at offset ");
    }
    free(bad);
    free(all);
}

/* Counts that would make a reader allocate or run for long. */
static void huge_counts(void **state) {
    (void)state;
    size_t n;
    const uint32_t huge[] = {65537, 0x7fffffff, 0xffffffff};
    make("a", 5, 3);
    uint8_t *all = get_file("a", &n), *bad = malloc(n);
    assert_non_null(bad);
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        memcpy(bad, all, n);
        memcpy(bad + 12, huge + i, 4);
        put_file("b", bad, n);
        refused("b", "does not fit into the file");
        memcpy(bad, all, n);
        memcpy(bad + 24, huge + i, 4);
        put_file("b", bad, n);
        refused("b", "does not fit into the file");
        memcpy(bad, all, n);
        memcpy(bad + head_bytes("a") + 8, huge + i, 4);
        put_file("b", bad, n);
        refused("b", "record of step 0 at offset ");
    }
    free(bad);
    free(all);
}

/* A long torn end in which every place looks like a long record is given up in time. */
static void end_that_looks_like_records(void **state) {
    (void)state;
    enum { LONG = 6 << 20 };
    size_t n;
    make("a", 0, 0);
    uint8_t *all = get_file("a", &n), *bad = calloc(1, LONG);
    assert_non_null(bad);
    memcpy(bad, all, n);
    for (size_t i = n; i + 12 < LONG; i += 4) bad[i + 2] = 1; /* 65536, shifted: step, accum, n */
    for (size_t i = n; i + 12 < LONG; i += 12) memset(bad + i, 0, 4);
    put_file("b", bad, LONG);
    refused("b", "record of step 0 at offset ");
    free(bad);
    free(all);
}

static void wrap_json(const char *json, const uint32_t *ids, uint32_t n_ids) {
    uint8_t file[512] = "DUETZO\r\n\1";
    const size_t bytes = strlen(json);
    file[12] = (uint8_t)bytes;
    memcpy(file + HEAD, json, bytes);
    if (n_ids) memcpy(file + HEAD + bytes, ids, 4 * n_ids);
    const uint64_t hash = XXH3_64bits(file + HEAD, bytes + 4 * n_ids);
    memcpy(file + 16, &hash, 8);
    memcpy(file + 24, &n_ids, 4);
    put_file("b", file, HEAD + bytes + 4 * n_ids);
}

static void bad_heads(void **state) {
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{", "JSON at offset 32"},
        {"[]", "\"base\" is not 16"},
        {"{\"base\": \"0123\", \"config\": {}, \"vocab\": 9}", "\"base\" is not 16"},
        {"{\"base\": \"0123456789ABCDEF\", \"config\": {}, \"vocab\": 9}", "\"base\" is not 16"},
        {"{\"base\": \"0123456789abcdef\", \"config\": [], \"vocab\": 9}", "\"config\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"vocab\": 9}", "\"config\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 0}", "\"vocab\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 9e9}", "\"vocab\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}}", "\"vocab\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 9, \"x\": 1}", "4 keys"},
        {"{\"base\": \"0123456789abcdef\", \"base\": 1, \"config\": {}, \"vocab\": 9}",
         "duplicate"},
    };
    static const char good[] = "{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 9}";
    static const uint32_t ids[][3] = {{0, 0, 1}, {0, 2, 1}, {0, 1, 9}, {0, 1, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wrap_json(cases[i].json, NULL, 0);
        refused("b", cases[i].says);
    }
    for (int i = 0; i < 3; i++) {
        wrap_json(good, ids[i], 3);
        refused("b", "expected ascending ids below 9");
    }
    wrap_json(good, ids[3], 3);
    holds("b", 0);
    put_file("b", "DUETSTAT and more bytes than a header has", 40);
    refused("b", "not a trajectory");
}

/* Options of any length are an error, not the end of the process. */
static void options_beyond(void **state) {
    (void)state;
    const size_t n = (size_t)5 << 20;
    char *config = malloc(n);
    struct trajectory_head h = head(0);
    memset(config, 'x', n);
    memcpy(config, "{\"name\":\"", 9);
    memcpy(config + n - 3, "\"}", 3);
    h.config = config;
    assert_int_equal(trajectory_create(&t, "a", &h, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "a trajectory holds 4194304"));
    assert_int_equal(access("a", F_OK), -1);
    free(config);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        T(truncated),     T(flipped),     T(damage_is_placed),
        T(forged_records), T(forged_counts), T(huge_counts),
        T(bad_heads),     T(options_beyond), T(end_that_looks_like_records),
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, enter_more, leave)
        T(truncated),     T(flipped),
    };
#undef T
    return cmocka_run_group_tests_name("trajectory_bad", tests, NULL, NULL);
}
