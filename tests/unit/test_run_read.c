/* The folder of a run, read: its lines as arrays, what it did, and damage of every kind. */
#include "folder_fixture.h"

#include "record.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct record r;

#define START "{\"event\":\"start\",\"params\":1000,\"trained_params\":1000}\n"
static const char CONFIG[] = "{\n  \"lr\": 0.001,\n  \"name\": \"first try\",\n"
                             "  \"run\": {\"version\": \"1.2.3\", \"threads\": 2}\n}\n";
static const char SUMMARY[] = "{\n \"val_loss\": 3.5,\n \"floor_bpb\": null,\n"
                              " \"total_tokens_M\": 0.0048,\n \"num_steps\": 30\n}\n";
#define STEP(n, loss)                                                                              \
    "{\"event\":\"step\",\"step\":" #n ",\"loss\":" #loss ",\"lr\":1e-3,\"grad_norm\":0.5,"        \
    "\"tokens\":" #n "00,\"seconds\":" #n ".5,\"tokens_per_second\":90.5}\n"
#define VAL(n, loss)                                                                               \
    "{\"event\":\"val\",\"step\":" #n ",\"seconds\":" #n ".5,\"val_loss\":" #loss ","              \
    "\"val_loss_stderr\":0.25,\"windows\":4}\n"

static void put_bytes(const char *name, const void *data, size_t n) {
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void put(const char *name, const char *text) {
    put_bytes(name, text, strlen(text));
}

static void drop(const char *name) {
    unlink(at(name));
}

static void refused(int rc, const char *part) {
    assert_int_equal(rc, ERR_INPUT);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.msg, part)) fail_msg("no \"%s\" in %s", part, e.msg);
}

static int clean(void **state) {
    static const char *const names[] = {"summary.json", "log.jsonl", "state", "model.blzt",
                                        "best.blzt", "adapter.blzt", "notes.txt"};
    (void)state;
    record_release(&r);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) drop(names[i]);
    drop("config.json");
    put("config.json", CONFIG);
    return 0;
}

static void open_run(int flags) {
    record_release(&r);
    ok(record_read(&r, dir, flags, &e));
}

static void says(const char *part) {
    if (!r.notes || !strstr(r.notes, part)) fail_msg("no \"%s\" in %s", part, r.notes);
}

static void everything(void **state) {
    (void)state;
    put("summary.json", SUMMARY);
    put("log.jsonl",
        "{\"event\":\"start\",\"params\":1000}\n" VAL(0, 6.0) STEP(10, 5.0) STEP(20, 4.0)
            VAL(25, 3.75) "{\"event\":\"val\",\"step\":30,\"seconds\":30.5,\"val_loss\":3.5,"
                          "\"val_loss_stderr\":null,\"val_change\":-2.5,"
                          "\"val_change_stderr\":0.125,\"tokens\":4799}\n"
                          "{\"event\":\"report\",\"step\":30,\"gemm\":1.5}\n");
    open_run(0);
    assert_null(r.notes);
    assert_string_equal(r.dir, dir);
    assert_string_equal(r.label, "first try");
    assert_string_equal(r.name, "first try");
    assert_null(r.note);
    assert_int_equal(r.status, RECORD_FINISHED);
    assert_string_equal(record_status_name(r.status), "finished");
    assert_true(record_number(r.options, "lr") == 0.001);
    assert_null(json_object_get(r.options, "run"));
    assert_true(record_number(r.record, "threads") == 2);
    assert_true(record_number(r.summary, "val_loss") == 3.5);
    assert_true(isnan(record_number(r.summary, "floor_bpb")));
    assert_true(isnan(record_number(NULL, "x")));
    assert_int_equal(r.n_steps, 2);
    assert_int_equal(r.steps[1].step, 20);
    assert_true(r.steps[1].loss == 4.0 && r.steps[1].lr == 1e-3 && r.steps[1].grad_norm == 0.5);
    assert_true(r.steps[1].tokens == 2000 && r.steps[1].seconds == 20.5);
    assert_true(r.steps[1].tokens_per_second == 90.5);
    assert_int_equal(r.n_vals, 3);
    assert_true(r.vals[0].step == 0 && r.vals[0].tokens == 0 && r.vals[0].loss == 6);
    assert_true(r.vals[0].stderr_ == 0.25 && isnan(r.vals[0].change) && isnan(r.vals[0].f1));
    /* Half way from the line of step 20 to the end that the summary tells: 2000 .. 4800. */
    assert_true(r.vals[1].tokens == 3400);
    assert_true(r.vals[2].tokens == 4799 && isnan(r.vals[2].stderr_));
    assert_true(r.vals[2].change == -2.5 && r.vals[2].change_stderr == 0.125);
    assert_ptr_equal(record_best(&r), r.vals + 2);
    assert_int_equal(r.n_events, 2);
    assert_string_equal(r.events[0].name, "start");
    assert_int_equal(r.events[0].step, 0);
    assert_true(record_number(record_last(&r, "report")->json, "gemm") == 1.5);
    assert_null(record_last(&r, "diverged"));
    assert_int_equal(r.step, 30);
    assert_int_equal(r.saved_step, -1);
    assert_null(r.model);
    assert_true(r.whole && !r.given_up && !r.lora);
    assert_true(r.bytes > 500 && r.bytes < 1200 && r.changed > 1000000000);
}

static void statuses(void **state) {
    (void)state;
    put("log.jsonl", START);
    open_run(0);
    assert_int_equal(r.status, RECORD_NEVER_BEGAN);
    assert_string_equal(record_status_name(r.status), "never began");
    put("log.jsonl", STEP(10, 5.0));
    open_run(0);
    assert_int_equal(r.status, RECORD_STOPPED);
    static const char gone[] = STEP(10, 5.0) "{\"event\":\"diverged\",\"step\":5,\"from\":12}\n";
    put("log.jsonl", gone);
    open_run(0);
    assert_int_equal(r.status, RECORD_DIVERGED);
    put("log.jsonl", STEP(10, 5.0) "{\"event\":\"diverged\",\"step\":5}\n" STEP(10, 4.5));
    open_run(0);
    assert_int_equal(r.status, RECORD_STOPPED);
    put("summary.json", SUMMARY); /* of step 30; the log ends at 10: the end wrote no line */
    open_run(0);
    assert_int_equal(r.status, RECORD_FINISHED);
    put("summary.json", "{\"val_loss\": 3.5, \"num_steps\": 30, \"status\": \"stopped\"}");
    open_run(0); /* on its way */
    assert_int_equal(r.status, RECORD_STOPPED);
    assert_int_equal(r.step, 30);
    put("summary.json", SUMMARY);
    put("log.jsonl", STEP(30, 5.0) STEP(40, 4.0)); /* it trained on */
    open_run(0);
    assert_int_equal(r.status, RECORD_STOPPED);
    assert_int_equal(r.step, 40);
    const int lock = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    open_run(0);
    assert_int_equal(r.status, RECORD_RUNNING);
    assert_true(record_is_locked(dir));
    close(lock);
    assert_false(record_is_locked(dir));
}

/* Of steps that come again the later line counts, and none of what was given up is left. */
static void again(void **state) {
    (void)state;
    put("log.jsonl", STEP(10, 5.0) STEP(20, 4.0) VAL(20, 4.5) STEP(30, 3.0) VAL(30, 3.5)
                         STEP(20, 3.75) VAL(20, 4.25));
    open_run(0);
    assert_int_equal(r.n_steps, 2);
    assert_true(r.steps[0].loss == 5 && r.steps[1].loss == 3.75);
    assert_int_equal(r.n_vals, 1);
    assert_true(r.vals[0].loss == 4.25);
    assert_int_equal(r.given_up, 4);
    put("log.jsonl", STEP(10, 5.0) STEP(20, 4.0) STEP(30, 9.0) VAL(30, 9.0)
                         "{\"event\":\"rollback\",\"step\":10,\"from\":31}\n");
    open_run(0);
    assert_int_equal(r.n_steps, 1);
    assert_int_equal(r.n_vals, 0);
    assert_int_equal(r.status, RECORD_STOPPED);
    put("log.jsonl", START STEP(10, 5.0) VAL(10, 5.0) START STEP(4, 4.0));
    open_run(0);
    assert_int_equal(r.n_steps, 1);
    assert_int_equal(r.n_vals, 0);
    assert_true(isnan(r.steps[0].loss) == 0 && r.steps[0].step == 4);
}

/* A log that is cut at any byte has the lines before, and says so where it has half a line. */
static void cut_log(void **state) {
    (void)state;
    static const char log[] = STEP(10, 5.0) STEP(20, 4.0) VAL(20, 4.5);
    const size_t one = strlen(STEP(10, 5.0)), two = 2 * one;
    for (size_t n = 0; n < sizeof log; n++) {
        put_bytes("log.jsonl", log, n);
        open_run(0);
        assert_int_equal(r.n_steps, (n + 1 >= one) + (n + 1 >= two));
        assert_int_equal(r.n_vals, n + 1 >= sizeof log - 1);
        const bool ends = !n || n + 1 == one || n == one || n + 1 == two || n == two ||
                          n + 1 >= sizeof log - 1;
        if (ends) assert_null(r.notes);
        if (!ends) says("log.jsonl: its last line is cut");
    }
}

static void damaged_log(void **state) {
    (void)state;
    put("log.jsonl", STEP(10, 5.0) "what\n" STEP(20, 4.0) "[1]\n{\"event\":\"step\"}\n");
    open_run(0);
    assert_int_equal(r.n_steps, 2);
    says("log.jsonl: 3 lines are no JSON of a run and left out, the first is line 2");
    put("log.jsonl", "{\"event\":\"step\",\"step\":-3}\n{\"event\":\"step\",\"step\":1e3}\n"
                     "{\"event\":\"val\",\"step\":99999999999999999999}\n{\"event\":7}\n\n");
    open_run(0);
    assert_int_equal(r.n_steps + r.n_vals + r.n_events, 0);
    says(": 5 lines are");
    put("log.jsonl", "{\"event\":\"step\",\"step\":3,\"loss\":\"low\",\"lr\":null}\n");
    open_run(0);
    assert_int_equal(r.n_steps, 1);
    assert_true(isnan(r.steps[0].loss) && isnan(r.steps[0].lr) && isnan(r.steps[0].tokens));
    assert_null(r.notes);
    const size_t n = 3 << 20; /* one line without an end, longer than any of a run's */
    char *big = malloc(n);
    assert_non_null(big);
    memset(big, '[', n);
    put_bytes("log.jsonl", big, n);
    open_run(0);
    says("its last line is cut");
    memset(big, 0, n);
    big[n / 2] = '\n';
    put_bytes("log.jsonl", big, n);
    open_run(0);
    says(": 1 line is no JSON");
    free(big);
}

static void damaged_objects(void **state) {
    (void)state;
    static const char *const names[] = {"config.json", "summary.json"};
    static const char *const texts[] = {CONFIG, SUMMARY};
    put("log.jsonl", STEP(10, 5.0));
    for (int k = 0; k < 2; k++) {
        const size_t n = strlen(texts[k]);
        for (size_t cut = 0; cut < n; cut++) {
            put_bytes(names[k], texts[k], cut);
            open_run(0);
            if (cut == n - 1) assert_null(r.notes); /* without the last line break */
            if (cut < n - 1) {
                says(names[k]);
                says(", line ");
                assert_null(k ? r.summary : r.options);
            }
        }
        put(names[k], "[]");
        open_run(0);
        says(", line 1: not a JSON object");
        put(names[k], texts[k]);
    }
    put("state", "no state");
    open_run(0);
    says("state: not a state file of a run");
    assert_int_equal(r.saved_step, -1);
    assert_int_equal(r.status, RECORD_FINISHED);
}

/* Pipes have no writer: nothing waits for one. */
static void pipes(void **state) {
    (void)state;
    drop("config.json");
    assert_int_equal(mkfifo(at("config.json"), 0666), 0);
    assert_int_equal(mkfifo(at("log.jsonl"), 0666), 0);
    assert_int_equal(mkfifo(at("state"), 0666), 0);
    open_run(0);
    says("config.json is no file");
    says("log.jsonl cannot be read");
    says("state is no file");
}

static void brief(void **state) {
    (void)state;
    FILE *f = fopen(at("log.jsonl"), "w");
    fputs(START, f);
    fputs(VAL(5, 6.0), f);
    for (int i = 10; i <= 4000; i++)
        fprintf(f, "{\"event\":\"step\",\"step\":%d,\"loss\":%d,\"tokens\":%d}\n", i, i, 2 * i);
    fclose(f);
    open_run(0);
    assert_int_equal(r.n_steps, 3991);
    assert_true(r.whole);
    open_run(RECORD_BRIEF);
    assert_true(!r.whole && r.n_vals == 1 && r.vals[0].step == 5 && r.n_events == 1);
    f = fopen(at("log.jsonl"), "a");
    fputs(VAL(4000, 3.0), f);
    fclose(f);
    open_run(RECORD_BRIEF);
    assert_false(r.whole);
    assert_null(r.notes);
    assert_int_equal(r.n_events, 1);
    assert_string_equal(r.events[0].name, "start");
    assert_true(r.n_steps > 500 && r.n_steps < 2000);
    assert_int_equal(r.steps[r.n_steps - 1].step, 4000);
    assert_int_equal(r.n_vals, 2);
    assert_true(r.vals[0].loss == 6 && r.vals[1].loss == 3 && r.vals[1].tokens == 8000);
    assert_int_equal(r.step, 4000);
}

/* Two names of one file are one file; what is not the run's is not counted. */
static void sizes(void **state) {
    (void)state;
    put("log.jsonl", "");
    drop("config.json");
    put("config.json", "{}");
    put("model.blzt", "12345678");
    put("notes.txt", "not the run's");
    assert_int_equal(link(at("model.blzt"), at("best.blzt")), 0);
    open_run(0);
    assert_int_equal(r.bytes, 2 + 8);
    assert_string_equal(r.model, at("model.blzt"));
    assert_string_equal(r.best, at("best.blzt"));
    assert_false(r.lora);
    assert_string_equal(r.label, strrchr(dir, '/') + 1);
    drop("model.blzt");
    drop("best.blzt");
    put("adapter.blzt", "123");
    open_run(0);
    assert_true(r.lora && r.bytes == 5);
}

static void no_run(void **state) {
    (void)state;
    refused(record_read(&r, dir, 0, &e), "not the folder of a run: no log.jsonl");
    refused(record_read(&r, "/nowhere/at/all", 0, &e), "there is no such folder");
    refused(record_read(&r, at("config.json"), 0, &e), "is a file, not the folder of a run");
    assert_null(r.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(everything, clean), cmocka_unit_test_setup(statuses, clean),
        cmocka_unit_test_setup(again, clean),      cmocka_unit_test_setup(cut_log, clean),
        cmocka_unit_test_setup(damaged_log, clean), cmocka_unit_test_setup(damaged_objects, clean),
        cmocka_unit_test_setup(pipes, clean),      cmocka_unit_test_setup(brief, clean),
        cmocka_unit_test_setup(sizes, clean),      cmocka_unit_test_setup(no_run, clean),
    };
    const int failed = cmocka_run_group_tests(tests, make_dir, remove_all);
    record_release(&r);
    return failed;
}
