/* Files that grow record by record: what is appended is there or nothing of it, who has one is
 * alone, lines of JSON are taken up one by one; and how binary files begin. */
#include "record_fixture.h"

#include "binary.h"
#include "json_lines.h"
#include "record_file.h"

#include <math.h>

static struct record_file f;

static int enter(void **state) {
    f = (struct record_file){0};
    return enter_dir(state);
}

static int leave(void **state) {
    record_file_close(&f);
    return leave_dir(state);
}

/* Failed to open: e says so, and f is all zeros. */
static void failed(int rc, int code, const char *sentence) {
    assert_int_equal(rc, code);
    assert_string_equal(e.msg, sentence);
    assert_true(!f.path && !f.writing && !f.size);
}

/* Files ---------------------------------------------------------------------------------------- */

static void created(void **state) {
    (void)state;
    for (int again = 0; again < 2; again++) { /* in the place of the first */
        ok(record_file_create(&f, "a", "HEAD", 4, &e));
        is_text("a", "HEAD");
        assert_true(f.writing && f.regular && f.size == 4);
        ok(record_file_append(&f, "one", 3, &e));
        is_text("a", "HEADone");
        ok(record_file_append(&f, "", 0, &e));
        ok(record_file_append(&f, "three", 5, &e));
        assert_int_equal(f.size, 12);
        ok(record_file_sync(&f, &e));
        record_file_close(&f);
        record_file_close(&f);
        is_text("a", "HEADonethree");
    }
    assert_int_not_equal(access("a.duet-tmp", F_OK), 0);
    failed(record_file_create(&f, "no/a", "HEAD", 4, &e), ERR_IO,
           "cannot write no/a: No such file or directory");
}

static void opened(void **state) {
    (void)state;
    ok(record_file_open(&f, "a", &e));
    assert_true(f.regular && f.size == 0);
    ok(record_file_append(&f, "0123456789", 10, &e));
    record_file_close(&f);
    ok(record_file_open(&f, "a", &e));
    assert_int_equal(f.size, 10);
    ok(record_file_append(&f, "ab", 2, &e)); /* behind what is there */
    is_text("a", "0123456789ab");
    record_file_close(&f);
    failed(record_file_open(&f, "no/a", &e), ERR_IO,
           "cannot write no/a: No such file or directory");
    failed(record_file_open(&f, ".", &e), ERR_IO, "cannot write .: Is a directory");
}

static void cut(void **state) {
    (void)state;
    ok(record_file_create(&f, "a", "0123456789", 10, &e));
    ok(record_file_cut(&f, 10, &e));
    assert_int_equal(record_file_cut(&f, 11, &e), ERR_INPUT);
    assert_string_equal(e.msg, "a: ends at offset 10, expected 11 bytes at least");
    is_text("a", "0123456789");
    ok(record_file_cut(&f, 7, &e));
    is_text("a", "0123456");
    ok(record_file_append(&f, "x", 1, &e));
    is_text("a", "0123456x");
    assert_int_equal(f.size, 8);
    ok(record_file_cut(&f, 0, &e));
    is_text("a", "");
}

static void alone(void **state) {
    (void)state;
    struct record_file other;
    ok(record_file_open(&f, "a", &e));
    ok(record_file_open(&other, "a", &e));
    ok(record_file_lock(&other, "somebody has it", &e));
    assert_int_equal(record_file_lock(&f, "somebody has it", &e), ERR_USAGE);
    assert_string_equal(e.msg, "a: somebody has it");
    ok(record_file_append(&other, "what was written meanwhile", 26, &e));
    record_file_close(&other);
    assert_int_equal(f.size, 0);
    ok(record_file_lock(&f, "somebody has it", &e));
    assert_int_equal(f.size, 26); /* is looked at when it is one's own */
}

/* A device can be written to, but has no end, and is nobody's. */
static void no_file(void **state) {
    (void)state;
    ok(record_file_open(&f, "/dev/null", &e));
    assert_true(f.writing && !f.regular && f.size == 0);
    ok(record_file_append(&f, "x", 1, &e));
    assert_int_equal(record_file_lock(&f, "", &e), ERR_INPUT);
    assert_string_equal(e.msg, "/dev/null is no regular file");
}

static void full_disk(void **state) {
    (void)state;
    ok(record_file_create(&f, "a", "HEAD", 4, &e));
    disk_full_at(10);
    ok(record_file_append(&f, "123456", 6, &e)); /* just fits */
    ok(record_file_cut(&f, 8, &e));
    const int rc = record_file_append(&f, "123", 3, &e);
    disk_has_room();
    assert_int_equal(rc, ERR_IO);
    assert_string_equal(e.msg, "cannot write a: File too large");
    assert_int_equal(f.size, 8);
    is_text("a", "HEAD1234");
    ok(record_file_append(&f, "56", 2, &e));
    is_text("a", "HEAD123456");
}

/* Lines ---------------------------------------------------------------------------------------- */

static json_t *taken[8];
static size_t n_taken;

/* Takes up objects; numbers are refused. */
static int take(void *ctx, json_t *j, size_t line, struct err *err) {
    assert_ptr_equal(ctx, taken);
    assert_int_equal(line, n_taken + 1);
    if (!json_is_object(j)) return err_set(err, ERR_INPUT, "line %zu is no object", line);
    taken[n_taken++] = j;
    return 0;
}

/* Reads a text; so many lines are taken of it. */
static int lines_of(const char *text, size_t lines, size_t bytes) {
    size_t size = 77, n = 77;
    n_taken = 0;
    const int rc = json_lines_read(text, strlen(text), "l.jsonl", take, taken, &size, &n, &e);
    assert_true(n == lines && n_taken == lines && size == bytes);
    for (size_t i = 0; i < n_taken; i++) json_decref(taken[i]);
    return rc;
}

static void lines(void **state) {
    (void)state;
    ok(lines_of("", 0, 0));
    ok(lines_of("{}", 0, 0)); /* half a line */
    ok(lines_of("{}\n", 1, 3));
    ok(lines_of("{}\n {\"x\": [1, 2]}\r\n{\"half\"", 2, 19));
    assert_int_equal(lines_of("{}\n{}\n3\n{}\n", 2, 6), ERR_INPUT);
    assert_string_equal(e.msg, "l.jsonl, line 3, column 1: not valid JSON: '[' or '{' expected "
                               "near '3'");
    assert_int_equal(lines_of("{}\n[3]\n{}\n", 1, 3), ERR_INPUT);
    assert_string_equal(e.msg, "line 2 is no object");
    assert_int_equal(lines_of("{}\n{\"x\": 1, \"x\": 2}\n", 1, 3), ERR_INPUT);
    assert_non_null(strstr(e.msg, "l.jsonl, line 2, column "));
    assert_non_null(strstr(e.msg, "duplicate object key"));
    assert_int_equal(lines_of("\n", 0, 0), ERR_INPUT);
    assert_non_null(strstr(e.msg, "l.jsonl, line 1, column 0: not valid JSON"));
}

static void lines_appended(void **state) {
    (void)state;
    json_t *j = json_pack("{s:s, s:f, s:[i,n]}", "event", "two\nlines", "x", 0.1, "y", 3);
    ok(record_file_open(&f, "l", &e));
    ok(json_lines_append(&f, j, &e));
    ok(json_lines_append(&f, j, &e));
#define LINE "{\"event\":\"two\\nlines\",\"x\":0.1,\"y\":[3,null]}\n"
    is_text("l", LINE LINE);
    disk_full_at(2 * sizeof LINE);
    const int rc = json_lines_append(&f, j, &e);
    disk_has_room();
    assert_int_equal(rc, ERR_IO);
    assert_string_equal(e.msg, "cannot write l: File too large");
    is_text("l", LINE LINE);
    ok(json_lines_append(&f, j, &e));
    is_text("l", LINE LINE LINE);
    json_decref(j);
}

/* Binary files --------------------------------------------------------------------------------- */

static void numbers(void **state) {
    (void)state;
    static const uint8_t want[] = {0xfe, 0xff, 3, 2, 1, 0xaa,                       /* whole */
                                   0, 0, 0xc0, 0xbf, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f}; /* -1.5, 0.5 */
    uint8_t d[sizeof want] = {0}, wide[8];
    d[5] = 0xaa;
    binary_put(d, (uint64_t)-2, 2);
    binary_put(d + 2, 0x010203, 3);
    binary_put_f32(d + 6, -1.5f);
    binary_put_f64(d + 10, 0.5);
    assert_memory_equal(d, want, sizeof want);
    assert_int_equal(binary_get(d, 2), 0xfffe);
    assert_int_equal(binary_get(d + 2, 3), 0x010203);
    assert_true(binary_f32(d + 6) == -1.5f && binary_f64(d + 10) == 0.5);
    binary_put(wide, 0xfedcba9876543210, 8);
    assert_true(wide[0] == 0x10 && binary_get(wide, 8) == 0xfedcba9876543210);
    binary_put_f64(wide, NAN);
    assert_true(isnan(binary_f64(wide)));
}

static const struct binary_kind one = {
    .magic = "DUETTEST", .is = "a test", .versions = 1, .head = 20, .zero = 16};
static const struct binary_kind three = {
    .magic = "DUETTEST", .is = "a test", .versions = 3, .head = 20, .zero = 12};

/* NULL: it is one. */
static void begins(const uint8_t *head, size_t n, const struct binary_kind *k,
                   const char *sentence) {
    char path[] = "x";
    const struct file_map m = {.data = head, .size = n, .path = path};
    int version = -1;
    const int rc = binary_check(&m, k, &version, &e);
    if (!sentence) {
        ok(rc);
        assert_int_equal(version, head[8]);
        return;
    }
    assert_int_equal(rc, ERR_INPUT);
    assert_string_equal(e.msg, sentence);
}

static void beginnings(void **state) {
    (void)state;
    uint8_t head[21];
    memset(head, 0x55, sizeof head);
    binary_begin(head, &three, 2);
    assert_memory_equal(head, "DUETTEST\2\0\0\0\0\0\0\0\0\0\0\0\x55", sizeof head);
    begins(head, 20, &three, NULL);
    begins(head, 21, &three, NULL);
    begins(head, 19, &three, "x: not a test (magic at offset 0)");
    begins(head, 0, &three, "x: not a test (magic at offset 0)");
    begins(head, 20, &one, "x: version 2 at offset 8, expected 1");
    binary_put(head + 8, 0xfffffffe, 4);
    begins(head, 20, &three, "x: version 4294967294 at offset 8, expected 1 to 3");
    binary_put(head + 8, 0, 4);
    begins(head, 20, &three, "x: version 0 at offset 8, expected 1 to 3");
    binary_put(head + 8, 1, 4);
    binary_put(head + 12, 0x80000000, 4);
    begins(head, 20, &one, NULL);
    begins(head, 20, &three, "x: 2147483648 at offset 12, expected 0");
    head[7] ^= 1;
    begins(head, 20, &one, "x: not a test (magic at offset 0)");
}

int main(void) {
#define T(test) cmocka_unit_test_setup_teardown(test, enter, leave)
    const struct CMUnitTest tests[] = {
        T(created), T(opened),         T(cut),     T(alone),      T(no_file), T(full_disk),
        T(lines),   T(lines_appended), T(numbers), T(beginnings),
    };
#undef T
    return cmocka_run_group_tests_name("record_file", tests, NULL, NULL);
}
