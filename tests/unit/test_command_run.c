/* The program of the strategy `command` as a process: its question, its answer, and every way in
 * which it may not answer. */
#include "err_fixture.h"

#include "clock.h"
#include "command_run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct command_run command;

/* Asks `sh -c script`; seconds for the answer. Returns the code; *output is to be freed. */
static int ask(const char *script, double seconds, const char *input, char **output) {
    const struct strategy_runner *r = &command.runner;
    json_t *argv = json_pack("[s, s, s]", "sh", "-c", script);
    const int rc = r->run(r->owner, argv, seconds, input, strlen(input), output, &e);
    json_decref(argv);
    assert_true(!rc == (*output != NULL));
    return rc;
}

static void fails(const char *script, double seconds, int code, const char *sentence) {
    char *output, expected[200];
    snprintf(expected, sizeof expected, "sh -c %s: %s", script, sentence);
    assert_int_equal(ask(script, seconds, "", &output), code);
    assert_string_equal(e.msg, expected);
}

static int open_it(void **state) {
    static const char text[] =
        "{\"base\": {\"lr\": 1}, \"budget\": {\"steps\": 3}, \"trials\": 9, \"seeds\": 6, "
        "\"metric\": {\"key\": \"val_accuracy\", \"better\": \"higher\"}, \"space\": {\"lr\": "
        "{\"linear\": [0, 1]}}, \"strategy\": {\"name\": \"command\", \"run\": \"sh x\"}}";
    struct search_file f;
    (void)state;
    ok(search_file_read(&f, text, sizeof text - 1, "search.json", NULL, &e));
    ok(command_run_open(&command, &f, &e));
    search_file_close(&f);
    return 0;
}

static int close_it(void **state) {
    (void)state;
    command_run_close(&command);
    return 0;
}

static void question_and_answer(void **state) {
    (void)state;
    char *output;
    ok(ask("cat; echo done", 10, "one\ntwo\n", &output));
    assert_string_equal(output, "one\ntwo\ndone\n");
    free(output);
    ok(ask("echo words >&2; exec true", 10, "not read\n", &output));
    assert_string_equal(output, "");
    free(output);
    /* more than pipes hold, both ways */
    enum { MANY = 900000 };
    char *large = malloc(MANY + 1);
    memset(large, 'x', MANY);
    large[MANY] = 0;
    ok(ask("cat; cat >/dev/null", 30, large, &output));
    assert_string_equal(output, large);
    free(output);
    free(large);
}

static void what_it_is_told_of_the_search(void **state) {
    (void)state;
    char *text = json_dumps(command.about, JSON_SORT_KEYS);
    assert_string_equal(text, "{\"base\": {\"lr\": 1}, \"better\": \"higher\", \"budget\": "
                              "{\"steps\": 3}, \"metric\": \"val_accuracy\", \"seeds\": 6, "
                              "\"trials\": 9}");
    free(text);
    assert_true(command.runner.higher);
}

static void failures_are_said(void **state) {
    (void)state;
    fails("exit 3", 10, ERR_INPUT, "ended with status 3");
    fails("echo a >&2; echo 'no key' >&2; echo >&2; exit 1", 10, ERR_INPUT,
          "ended with status 1: no key");
    fails("kill -9 $$", 10, ERR_INPUT, "ended by signal 9");
    fails("printf '\\0'", 10, ERR_INPUT, "what it printed is no text");
    char *output;
    assert_int_equal(ask("yes", 60, "", &output), ERR_INPUT);
    assert_string_equal(e.msg,
                        "sh -c yes: it printed more than 1048576 bytes, expected a JSON object");
    const struct strategy_runner *r = &command.runner;
    json_t *argv = json_pack("[s]", "/nowhere/program");
    assert_int_equal(r->run(r->owner, argv, 1, "", 0, &output, &e), ERR_INPUT);
    assert_string_equal(e.msg, "cannot start /nowhere/program: No such file or directory");
    json_decref(argv);
}

/* It does not answer: it ends, and so does what it has started. */
static void who_is_late_is_ended(void **state) {
    (void)state;
    char path[] = "/tmp/duet-command-XXXXXX", script[200], *output;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(script, sizeof script, "sleep 100 & echo $! >%s; wait", path);
    const double began = clock_seconds();
    assert_int_equal(ask(script, 0.5, "", &output), ERR_INPUT);
    assert_true(clock_seconds() - began < 20);
    assert_non_null(strstr(e.msg, ": no answer after 0.5 s"));
    char text[20] = "";
    assert_true(read(fd, text, sizeof text - 1) > 0);
    int gone = 0;
    for (int i = 0; i < 100 && !gone; i++) {
        gone = kill((pid_t)atoi(text), 0) != 0;
        if (!gone) usleep(100000);
    }
    assert_true(gone);
    close(fd);
    unlink(path);
}

static bool third(void *ctx) {
    return ++*(int *)ctx == 3;
}

static void the_search_may_end_meanwhile(void **state) {
    (void)state;
    int calls = 0;
    command.meanwhile = third;
    command.ctx = &calls;
    fails("sleep 100", 100, ERR_STOP, "the search ends before its answer");
    assert_int_equal(calls, 3);
    command.meanwhile = NULL;
}

static void programs_that_are_not_there(void **state) {
    (void)state;
    struct space s;
    struct strategy_choice c;
    static const struct {
        const char *run, *why;
    } all[] = {
        {"sh x", NULL},
        {"/bin/sh x", NULL},
        {"no-such-program-of-duet x", "no-such-program-of-duet"},
        {"/nowhere/program", "/nowhere/program"},
        {"/tmp", "/tmp"},
    };
    json_t *axes = json_pack("{s:{s:[i, i]}}", "x", "int", 1, 2);
    ok(space_read(&s, axes, "search.json", &e));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char expected[200];
        json_t *j = json_pack("{s:s, s:{s:s, s:s}}", "name", "halving", "over", "name", "command",
                              "run", all[i].run);
        ok(strategy_read(&c, j, &s, "strategy", &e));
        assert_int_equal(command_run_check(&c, &e), all[i].why ? ERR_USAGE : 0);
        snprintf(expected, sizeof expected,
                 "strategy command: \"run\": there is no program %s to start",
                 all[i].why ? all[i].why : "");
        if (all[i].why) assert_string_equal(e.msg, expected);
        strategy_release(&c);
        json_decref(j);
    }
    space_release(&s);
    json_decref(axes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(question_and_answer),
        cmocka_unit_test(what_it_is_told_of_the_search),
        cmocka_unit_test(failures_are_said),
        cmocka_unit_test(who_is_late_is_ended),
        cmocka_unit_test(the_search_may_end_meanwhile),
        cmocka_unit_test(programs_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, open_it, close_it);
}
