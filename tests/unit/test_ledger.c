/* The ledger: what is written is read, a cut at every byte loses the last line at most, and what is
 * none of a ledger is refused by its line. */
#include "record_fixture.h"
#include "space_fixture.h"

#include "canon.h"
#include "ledger.h"

static const char hash0[] = "0123456789abcdef", hash1[] = "0000000000000001";

static void append(struct ledger *l, json_t *event) {
    assert_non_null(event);
    ok(ledger_append(l, event, &e));
    json_decref(event);
}

static json_t *config(double x) {
    return json_pack("{s:f, s:i}", "x", x, "n", 3);
}

static void propose(struct ledger *l, int64_t trial, int rung, double x, const char *hash) {
    json_t *c = config(x);
    append(l, ledger_proposal(l, trial, rung, rung ? 1 : 0.25, c, hash, "tpe"));
    json_decref(c);
}

/* A ledger of nine lines. */
static void write_ledger(const char *path) {
    struct ledger l;
    ok(ledger_open(&l, path, &space, &e));
    assert_null(l.head);
    append(&l, json_pack("{s:s, s:s}", "event", "search", "machine", "caf\xc3\xa9"));
    propose(&l, 0, 0, 0.5, hash0);
    propose(&l, 1, 0, 0.25, hash1);
    append(&l, ledger_result_event(1, 42, 0, TRIAL_memory, NAN));
    json_t *r = ledger_result_event(0, 42, 0, TRIAL_ok, 1.0 / 3);
    json_object_set_new(r, "summary", json_pack("{s:f}", "val_bpb", 1.0 / 3));
    append(&l, r);
    append(&l, json_pack("{s:s}", "event", "resume"));
    propose(&l, 0, 1, 0.5, hash0);
    append(&l, ledger_result_event(0, 43, 1, TRIAL_ok, 0.125));
    append(&l, ledger_result_event(0, 42, 1, TRIAL_ok, 0.25));
    append(&l, ledger_decision_event(0, true, -1));
    append(&l, ledger_decision_event(1, false, 0));
    assert_int_equal(l.n_lines, 11);
    ledger_close(&l);
}

static void check_whole(const struct ledger *l) {
    assert_int_equal(l->n_lines, 11);
    assert_int_equal(l->n_jobs, 3);
    assert_int_equal(l->n_trials, 2);
    assert_int_equal(l->n_results, 4);
    assert_int_equal(l->n_decisions, 2);
    assert_string_equal(json_string_value(json_object_get(l->head, "machine")), "caf\xc3\xa9");
    const struct ledger_result *r = ledger_find(l, 0, 43, 1);
    assert_true(r && r->value == 0.125 && ledger_find(l, 0, 42, 0)->value == 1.0 / 3);
    assert_true(!ledger_find(l, 0, 43, 0) && !ledger_find(l, 5, 42, 0));
    assert_null(ledger_find(l, -1, 0, 0));
    assert_string_equal(l->job[1].hash, hash1);
    assert_true(l->decision[0].keep && l->decision[0].against == -1);
    assert_true(!l->decision[1].keep && l->decision[1].against == 0);
    struct trial *t = ledger_history(l, 3, false);
    assert_true(t[0].trial == 0 && t[0].status == TRIAL_ok && t[0].value == 1.0 / 3);
    assert_true(t[0].share == 0.25 && t[0].u[0] == 0.5 && t[0].decision == DECISION_keep);
    assert_true(t[1].status == TRIAL_memory && isnan(t[1].value) && t[1].trial == 1);
    assert_true(t[1].decision == DECISION_discard);
    assert_true(t[2].rung == 1 && t[2].value == 0.25 && t[2].trial == 0); /* of the first seed */
    free(t);
    t = ledger_history(l, 1, true);
    assert_true(t[0].value == -1.0 / 3);
    assert_true(t[1].status == TRIAL_pending && t[2].status == TRIAL_pending);
    assert_true(isnan(t[1].value) && t[1].decision == DECISION_none);
    assert_true(t[0].decision == DECISION_none); /* what was decided by a later job */
    free(t);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    struct ledger l;
    write_ledger(at("ledger.jsonl"));
    ok(ledger_read(&l, at("ledger.jsonl"), &space, &e));
    check_whole(&l);
    assert_int_equal(l.cut, 0);
    ledger_close(&l);
    ok(ledger_open(&l, at("ledger.jsonl"), &space, &e));
    check_whole(&l);
    struct ledger other;
    assert_int_equal(ledger_open(&other, at("ledger.jsonl"), &space, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "ledger.jsonl: another search is going on with it"));
    ok(ledger_read(&other, at("ledger.jsonl"), &space, &e)); /* may be looked at */
    ledger_close(&other);
    ledger_close(&l);
    assert_string_equal(trial_status_name(TRIAL_killed), "killed");
}

/* Whole lines stay, what is behind them goes, and what is appended then makes the same file. */
static void a_cut_at_every_byte(void **state) {
    (void)state;
    size_t n;
    write_ledger(at("whole"));
    char *text = (char *)get_file(at("whole"), &n);
    assert_true(n > 500 && text[n - 1] == '\n');
    for (size_t cut = 0; cut <= n; cut++) {
        size_t lines = 0, kept = 0;
        for (size_t i = 0; i < cut; i++)
            if (text[i] == '\n') {
                lines++;
                kept = i + 1;
            }
        put_file(at("cut"), text, cut);
        struct ledger l;
        ok(ledger_read(&l, at("cut"), &space, &e));
        assert_int_equal(l.n_lines, lines);
        assert_int_equal(l.cut, cut - kept);
        assert_int_equal(size_of(at("cut")), cut);
        ledger_close(&l);
        ok(ledger_open(&l, at("cut"), &space, &e));
        assert_int_equal(size_of(at("cut")), kept);
        for (size_t from = kept; cut % 50 == 0 && from < n;) { /* what is missing, again */
            const size_t end = (size_t)((char *)memchr(text + from, '\n', n - from) - text) + 1;
            json_t *j = json_loadb(text + from, end - from, 0, NULL);
            append(&l, j);
            from = end;
        }
        if (cut % 50 == 0) check_whole(&l);
        assert_int_equal(size_of(at("cut")), cut % 50 ? kept : n);
        ledger_close(&l);
        if (cut % 50 == 0) is_bytes(at("cut"), text, n);
    }
    free(text);
}

/* As every version has written them. */
static void lines_as_they_are_written(void **state) {
    (void)state;
    struct ledger l;
    ok(ledger_open(&l, at("lines"), &space, &e));
    append(&l, json_pack("{s:s, s:s, s:f}", "event", "search", "machine", "caf\xc3\xa9", "x",
                         1.0 / 3));
    propose(&l, 0, 0, 0.5, hash0);
    append(&l, ledger_result_event(0, 1, 0, TRIAL_nan, NAN));
    append(&l, ledger_decision_event(0, true, -1));
    ledger_close(&l);
    is_text(at("lines"),
            "{\"event\":\"search\",\"machine\":\"caf\xc3\xa9\",\"x\":0.33333333333333331}\n"
            "{\"event\":\"proposal\",\"job\":0,\"trial\":0,\"rung\":0,\"share\":0.25,"
            "\"config\":{\"x\":0.5,\"n\":3},\"hash\":\"0123456789abcdef\",\"from\":\"tpe\"}\n"
            "{\"event\":\"result\",\"trial\":0,\"seed\":1,\"rung\":0,\"status\":\"nan\","
            "\"value\":null}\n"
            "{\"event\":\"decision\",\"trial\":0,\"decision\":\"keep\"}\n");
}

static const char head[] = "{\"event\": \"search\"}\n";
static const char proposal[] =
    "{\"event\": \"proposal\", \"job\": 0, \"trial\": 0, \"rung\": 0, \"share\": 1, \"config\": "
    "{\"x\": 0.5, \"n\": 3}, \"hash\": \"0123456789abcdef\", \"from\": \"tpe\"}\n";

static void refused(bool started, const char *line, const char *sentence) {
    char text[2000];
    struct ledger l;
    json_t *j = line[0] == '{' ? parse(line) : NULL;
    char *json = j ? canon_text(j) : strdup(line);
    snprintf(text, sizeof text, "%s%s%s\n", started ? head : "", started ? proposal : "", json);
    assert_int_equal(ledger_read_text(&l, text, strlen(text), "l.jsonl", &space, &e), ERR_INPUT);
    assert_string_equal(e.msg, sentence);
    assert_null(l.job);
    free(json);
    json_decref(j);
}

static void lines_that_are_refused(void **state) {
    (void)state;
    refused(false, "", "l.jsonl, line 1, column 0: not valid JSON: '[' or '{' expected near end of "
                       "file");
    refused(false, "{'event': 'proposal'}",
            "l.jsonl, line 1 is \"proposal\", expected \"search\" first");
    refused(false, "[]", "l.jsonl, line 1: \"event\" is missing, expected one of: search resume "
                         "proposal result decision");
    refused(true, "{'event': 'search'}",
            "l.jsonl, line 3: a second \"search\", expected one, in line 1");
    refused(true, "{'event': 'reslut'}",
            "l.jsonl, line 3: unknown event \"reslut\"; is it \"result\"?");
    refused(true, "{'event': 'proposal', 'job': 2}",
            "l.jsonl, line 3: \"job\" is 2, expected the next one, 1");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 2}",
            "l.jsonl, line 3: \"trial\" is 2, expected a whole number from 0 to 1");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 1, 'rung': -1}",
            "l.jsonl, line 3: \"rung\" is -1, expected a whole number from 0 to 1000");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 1, 'rung': 0, 'share': 1.5}",
            "l.jsonl, line 3: \"share\" is 1.5, expected a number above 0 and at most 1");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 1, 'rung': 0, 'share': 1, 'hash': 'x'}",
            "l.jsonl, line 3: \"hash\" is \"x\", expected 16 hexadecimal digits");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 1, 'rung': 0, 'share': 1, 'hash': "
                  "'0123456789abcdef', 'from': 'tpe', 'config': {'x': 2, 'n': 3}}",
            "l.jsonl, line 3: \"x\" is 2, expected a number from 0 to 1");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 0, 'rung': 0, 'share': 1, 'hash': "
                  "'0123456789abcdef', 'from': 'tpe', 'config': {'x': 0.5, 'n': 3}}",
            "l.jsonl, line 3: trial 0 is proposed again at rung 0, expected one above 0");
    refused(true, "{'event': 'proposal', 'job': 1, 'trial': 0, 'rung': 1, 'share': 1, 'hash': "
                  "'0123456789abcdee', 'from': 'tpe', 'config': {'x': 0.5, 'n': 3}}",
            "l.jsonl, line 3: trial 0 has hash 0123456789abcdee, and had 0123456789abcdef before");
    refused(true, "{'event': 'result', 'trial': 1}",
            "l.jsonl, line 3: \"trial\" is 1, expected a whole number from 0 to 0");
    refused(true, "{'event': 'result', 'trial': 0, 'seed': 1, 'rung': 1, 'status': 'ok', 'value': "
                  "1}",
            "l.jsonl, line 3: trial 0 was not proposed at rung 1");
    refused(true, "{'event': 'result', 'trial': 0, 'seed': 1, 'rung': 0, 'status': 'fine'}",
            "l.jsonl, line 3: \"status\" is \"fine\", expected one of: ok refused crash memory nan "
            "time killed");
    refused(true, "{'event': 'result', 'trial': 0, 'seed': 1, 'rung': 0, 'status': 'ok', 'value': "
                  "null}",
            "l.jsonl, line 3: \"value\" is null, expected a number, since the status is ok");
    refused(true, "{'event': 'result', 'trial': 0, 'seed': 1, 'rung': 0, 'status': 'nan', 'value': "
                  "1}",
            "l.jsonl, line 3: \"value\" is 1, expected null, since the status is not ok");
    refused(true, "{'event': 'decision', 'trial': 0, 'decision': 'maybe'}",
            "l.jsonl, line 3: \"decision\" is \"maybe\", expected \"keep\" or \"discard\"");
    struct ledger l;
    char text[2000];
    const char *twice = "{\"event\": \"result\", \"trial\": 0, \"seed\": 1, \"rung\": 0, "
                        "\"status\": \"ok\", \"value\": 1}\n";
    snprintf(text, sizeof text, "%s%s%s%s", head, proposal, twice, twice);
    assert_int_equal(ledger_read_text(&l, text, strlen(text), "l.jsonl", &space, &e), ERR_INPUT);
    assert_string_equal(e.msg, "l.jsonl, line 4: trial 0, seed 1, rung 0 has a result already");
}

/* What was proposed by hand need not lie in the space: its point is the nearest one. */
static void by_hand_anything_goes(void **state) {
    (void)state;
    struct ledger l;
    ok(ledger_open(&l, at("hand"), &space, &e));
    append(&l, json_pack("{s:s}", "event", "search"));
    json_t *c = json_pack("{s:f, s:i, s:s}", "x", 7.5, "n", 2, "optimizer", "lion");
    json_t *other = ledger_proposal(&l, 0, 0, 1, c, hash0, "tpe");
    assert_int_equal(ledger_append(&l, other, &e), ERR_INPUT);
    append(&l, ledger_proposal(&l, 0, 0, 1, c, hash0, "hand"));
    json_t *none = json_object();
    append(&l, ledger_proposal(&l, 1, 0, 1, none, hash1, "hand"));
    ledger_close(&l);
    ok(ledger_read(&l, at("hand"), &space, &e));
    assert_true(l.n_trials == 2 && l.job[0].u[0] == 1 && l.job[1].u[0] == 0.5);
    assert_true(json_equal(json_object_get(l.job[0].json, "config"), c));
    ledger_close(&l);
    json_decref(other);
    json_decref(none);
    json_decref(c);
}

/* What would be refused is not written, and the ledger is as before. */
static void nothing_wrong_is_written(void **state) {
    (void)state;
    struct ledger l;
    write_ledger(at("ledger2"));
    ok(ledger_open(&l, at("ledger2"), &space, &e));
    const size_t size = size_of(at("ledger2"));
    json_t *again = ledger_result_event(0, 43, 1, TRIAL_ok, 1);
    assert_int_equal(ledger_append(&l, again, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "ledger2, line 12: trial 0, seed 43, rung 1 has a result"));
    assert_int_equal(size_of(at("ledger2")), size);
    check_whole(&l);
    json_decref(again);
    ledger_close(&l);
}

/* A disk that is full in the middle of a line: the line is not there. */
static void a_full_disk(void **state) {
    (void)state;
    struct ledger l;
    write_ledger(at("full"));
    const size_t size = size_of(at("full"));
    ok(ledger_open(&l, at("full"), &space, &e));
    json_t *r = ledger_result_event(0, 44, 1, TRIAL_ok, 1);
    disk_full_at(size + 10);
    const int rc = ledger_append(&l, r, &e);
    disk_has_room();
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(e.msg, "/full: File too large"));
    assert_int_equal(size_of(at("full")), size);
    json_decref(r);
    ledger_close(&l);
    ok(ledger_read(&l, at("full"), &space, &e));
    check_whole(&l);
    ledger_close(&l);
    assert_int_equal(ledger_open(&l, "/dev/null", &space, &e), ERR_INPUT);
    assert_string_equal(e.msg, "/dev/null is no regular file");
    assert_int_equal(ledger_open(&l, at("no/ledger"), &space, &e), ERR_IO);
}

static int setup(void **state) {
    make_space("{'x': {'linear': [0, 1]}, 'n': {'int': [1, 5]}}");
    return make_dir(state);
}

static int teardown(void **state) {
    space_release(&space);
    return remove_dir(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(a_cut_at_every_byte),
        cmocka_unit_test(lines_that_are_refused),  cmocka_unit_test(nothing_wrong_is_written),
        cmocka_unit_test(a_full_disk),             cmocka_unit_test(by_hand_anything_goes),
        cmocka_unit_test(lines_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
