/* The record of what was measured on the text that no trial sees: what is written is read, a cut at
 * any byte loses the last line at most, and what is no line of it is refused by its number. */
#include "record_fixture.h"

#include "confirm_record.h"

static void append(struct confirm_record *c, json_t *line) {
    assert_non_null(line);
    ok(confirm_record_append(c, line, &e));
    json_decref(line);
}

static json_t *result(int trial, int seed, double value) {
    return json_pack("{s:s, s:i, s:i, s:s, s:f}", "event", "result", "trial", trial, "seed", seed,
                     "status", "ok", "bits_per_byte", value);
}

static json_t *question(int trial, int against, int seeds) {
    json_t *all = json_array();
    for (int i = 0; i < seeds; i++) json_array_append_new(all, json_integer(100001 + i));
    return json_pack("{s:s, s:i, s:i, s:o}", "event", "confirm", "trial", trial, "against", against,
                     "seeds", all);
}

static void write_all(const char *path) {
    struct confirm_record c;
    ok(confirm_record_open(&c, path, &e));
    append(&c, result(0, 100001, 1.0 / 3));
    append(&c, json_pack("{s:s, s:i, s:i, s:s, s:n}", "event", "result", "trial", 1, "seed", 100001,
                         "status", "nan", "bits_per_byte"));
    append(&c, question(1, 0, 1));
    append(&c, result(1, 100002, 2.5));
    append(&c, question(1, 0, 2));
    append(&c, question(2, 0, 2));
    confirm_record_close(&c);
}

static void check_all(const struct confirm_record *c) {
    bool asked, again;
    const json_t *r = confirm_record_find(c, 0, 100001);
    assert_true(json_real_value(json_object_get(r, "bits_per_byte")) == 1.0 / 3);
    assert_non_null(confirm_record_find(c, 1, 100001));
    assert_null(confirm_record_find(c, 0, 100002));
    assert_null(confirm_record_find(c, 2, 100001));
    assert_true(confirm_record_looks(c, 1, 0, 1, &asked, &again) == 0 && asked && !again);
    assert_true(confirm_record_looks(c, 1, 0, 2, &asked, &again) == 1 && asked && again);
    assert_true(confirm_record_looks(c, 2, 0, 2, &asked, &again) == 2 && asked && !again);
    assert_true(confirm_record_looks(c, 2, 0, 1, &asked, &again) == 3 && !asked && again);
    assert_true(confirm_record_looks(c, 0, 2, 2, &asked, &again) == 3 && !asked && !again);
    assert_true(confirm_record_looks(c, 0, 1, 2, &asked, &again) == 3 && !asked && again);
    assert_true(confirm_record_looks(c, 2, 1, 1, &asked, &again) == 3 && !asked && !again);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    struct confirm_record c, other;
    write_all(at("whole"));
    ok(confirm_record_open(&c, at("whole"), &e));
    check_all(&c);
    assert_int_equal(confirm_record_open(&other, at("whole"), &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "whole: another process is confirming in it"));
    confirm_record_close(&c);
    assert_int_equal(confirm_record_open(&c, at("no/file"), &e), ERR_IO);
    assert_int_equal(confirm_record_open(&c, "/dev/null", &e), ERR_INPUT);
}

/* Whole lines stay, and appending what is missing makes the same file again. */
static void a_cut_at_every_byte(void **state) {
    (void)state;
    size_t n;
    remove(at("whole"));
    write_all(at("whole"));
    char *text = (char *)get_file(at("whole"), &n);
    assert_true(n > 300 && text[n - 1] == '\n');
    for (size_t cut = 0; cut <= n; cut++) {
        struct confirm_record c;
        put_file(at("cut"), text, cut);
        ok(confirm_record_open(&c, at("cut"), &e));
        for (size_t from = c.file.size; cut % 25 == 0 && from < n;) {
            const size_t end = (size_t)((char *)memchr(text + from, '\n', n - from) - text) + 1;
            append(&c, json_loadb(text + from, end - from, 0, NULL));
            from = end;
        }
        if (cut % 25 == 0) check_all(&c);
        assert_int_equal(size_of(at("cut")), c.file.size);
        assert_true(cut % 25 ? c.file.size <= cut : c.file.size == n);
        assert_true(!c.file.size || text[c.file.size - 1] == '\n');
        confirm_record_close(&c);
        if (cut % 25 == 0) is_bytes(at("cut"), text, n);
    }
    free(text);
}

static void refused(const char *text, const char *sentence) {
    struct confirm_record c;
    char line[200];
    put_file(at("bad"), line, (size_t)snprintf(line, sizeof line, "%s\n", text));
    assert_int_equal(confirm_record_open(&c, at("bad"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, sentence));
}

static void lines_that_are_refused(void **state) {
    (void)state;
    static const char expected[] =
        "bad, line 1: expected a \"result\" or a \"confirm\" with its members";
    refused("{", "bad, line 1, column 1: not valid JSON");
    refused("[]", expected);
    refused("{\"event\":\"confirm\"}", expected);
    refused("{\"event\":\"result\",\"trial\":1,\"seed\":2,\"status\":\"ok\","
            "\"bits_per_byte\":null}",
            expected);
    refused("{\"event\":\"result\",\"trial\":1,\"seed\":2,\"status\":\"nan\","
            "\"bits_per_byte\":1}",
            expected);
    refused("{\"event\":\"result\",\"trial\":1,\"status\":\"ok\",\"bits_per_byte\":1}", expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_cut_at_every_byte),
        cmocka_unit_test(lines_that_are_refused),
    };
    return cmocka_run_group_tests_name("confirm_record", tests, make_dir, remove_all);
}
