/* Processes of a search: how they are started, and how every end becomes a status and a value. The
 * programs are scripts. */
#include "trial_fixture.h"

#include <fcntl.h>
#include <sys/file.h>

/* ---- the command ----------------------------------------------------------------------------- */

static void command_line(void **state) {
    char line[1024];
    (void)state;
    body_ends("sum \"'val_loss': 1.5, 'depth': 2, 'run': {'host': 'x'}, 'history': [1], 'status': "
              "'finished'\"; echo \"$args\" >$dir/args; tr '\\0' '\\n' </proc/$$/environ >$dir/env",
              TRIAL_ok, "");
    assert_true(out.value == 1.5);
    snprintf(line, sizeof line, "train --config %s --out %s --seed 7 --threads 1 --quiet\n",
             spec.config, spec.folder);
    assert_string_equal(get("run/args"), line);
    char *text = json_dumps(out.summary, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"depth\":2,\"status\":\"finished\",\"val_loss\":1.5}");
    free(text);
    assert_true(out.seconds > 0 && out.seconds < 20);
    assert_string_equal(get("run.txt"), "");
}

/* A folder that holds a run goes on, at a share; what is there already is not trained again. */
static void goes_on(void **state) {
    char line[1024];
    (void)state;
    program("echo \"$args\" >>$dir/args; sum \"'val_loss':1.25,'status':'stopped',"
            "'budget_share':0.3004\"; echo {} >$dir/config.json");
    spec.share = 0.3;
    run();
    ends(TRIAL_ok, "");
    assert_true(out.value == 1.25);
    snprintf(line, sizeof line,
             "train --config %s --out %s --seed 7 --stop-at 0.3 --threads 1 --quiet\n", spec.config,
             spec.folder);
    assert_string_equal(get("run/args"), line);
    run();
    ends(TRIAL_ok, "");
    assert_string_equal(get("run/args"), line); /* not started */
    spec.share = 0.30041;
    run(); /* ends well at the wrong share: somebody else has stopped it */
    ends(TRIAL_killed, "summary.json: its run is at 0.3004 of its budget, not at 0.30041");
    assert_string_not_equal(get("run/args"), line);
    spec.share = 1;
    program("echo \"$args\" >$dir/args\n"
            "sum \"'val_loss':1,'status':'finished','budget_share':0.8\"");
    run();
    ends(TRIAL_ok, "");
    snprintf(line, sizeof line, "train --resume %s --threads 1 --quiet\n", spec.folder);
    assert_string_equal(get("run/args"), line);
    spec.program = "/nowhere/duet"; /* --patience may end a run early, it is finished */
    run();
    ends(TRIAL_ok, "");
    assert_true(out.value == 1);
}

static void launcher(void **state) {
    (void)state;
    spec.launcher = array("['env', 'BY=the launcher']");
    body_ends("sum \"'val_loss':2\"; echo \"$BY\" >$dir/by", TRIAL_ok, "");
    assert_string_equal(get("run/by"), "the launcher\n");
    spec.launcher = array("['false']");
    body_ends(GOOD, TRIAL_crash, "ended with status 1");
    spec.launcher = array("['no-such-launcher', '-n1']");
    body_ends(GOOD, TRIAL_crash, "cannot start no-such-launcher: No such file or directory");
    json_t *many = array("[]");
    for (int i = 0; i < 600; i++) json_array_append_new(many, json_string("env"));
    spec.launcher = many;
    body_ends(GOOD, TRIAL_crash, "a command of 611 words, at most 512 are possible");
    spec.launcher = array("['sh', '-c', 'echo srun: error: no nodes >&2; exit 3', '-']");
    body_ends(GOOD, TRIAL_crash, "srun: error: no nodes");
}

static void not_a_program(void **state) {
    char sentence[256];
    (void)state;
    program(GOOD);
    chmod(spec.program, 0644);
    run();
    snprintf(sentence, sizeof sentence, "cannot start %s: Permission denied", spec.program);
    ends(TRIAL_crash, sentence);
    spec.program = dir;
    run();
    ends(TRIAL_crash, "Permission denied");
    spec.program = at("nothing");
    run();
    ends(TRIAL_crash, "nothing: No such file or directory");
    assert_int_equal(access(spec.folder, F_OK), -1);
    spec.output = at("no/such/folder.txt"); /* the driver's own fault */
    struct trial_run t;
    assert_int_equal(trial_start(&t, &spec, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "folder.txt: No such file or directory"));
}

/* Nothing of the driver's is open in it, and what the driver has locked is free when it is gone. */
static void clean_start(void **state) {
    (void)state;
    const int lock = open(at("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    program("ls -l /proc/$$/fd >$dir/open; readlink /proc/$$/fd/0 >$dir/in\n"
            "sed -n 's/^SigIgn:.*\\(.\\{4\\}\\)$/\\1/p' /proc/$$/status >$dir/ignored\n"
            "echo go >$dir/go; exec sleep 60");
    signal(SIGPIPE, SIG_IGN);
    ok(trial_start(&trial, &spec, &e));
    signal(SIGPIPE, SIG_DFL);
    close(lock);
    while (strcmp(get("run/go"), "go\n") && !trial_poll(&trial)) {
    }
    const int again = open(at("lock"), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(again, LOCK_EX | LOCK_NB), 0);
    close(again);
    trial_release(&trial);
    assert_string_equal(get("run/in"), "/dev/null\n");
    assert_null(strstr(get("run/open"), "/lock\n"));
    assert_int_equal(strtol(get("run/ignored"), NULL, 16) & 1 << (SIGPIPE - 1), 0);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void exit_statuses(void **state) {
    (void)state;
    body_ends("echo 'duet: error: data.txt: no such file' >&2; exit 1", TRIAL_crash,
              "data.txt: no such file");
    assert_string_equal(out.words, "data.txt: no such file");
    body_ends("exit 2", TRIAL_crash, "ended with status 2");
    body_ends("echo 'duet: error: this run needs 9 MB'; exit 4", TRIAL_refused,
              "this run needs 9 MB");
    body_ends("exit 5", TRIAL_memory, "ended with status 5");
    body_ends("exit 6", TRIAL_nan, "ended with status 6");
    body_ends("exit 137", TRIAL_killed, "ended by signal 9 (Killed)"); /* so shells tell it */
    body_ends("echo slurmstepd: error: Detected 1 oom_kill event; exit 137", TRIAL_memory,
              "signal 9 (Killed): slurmstepd");
    body_ends("exit 143", TRIAL_killed, "ended by signal 15 (Terminated)");
}

static void signals(void **state) {
    (void)state;
    body_ends("kill -9 $$", TRIAL_killed, "ended by signal 9 (Killed)");
    body_ends("kill -15 $$", TRIAL_killed, "ended by signal 15 (Terminated)");
    body_ends("echo at line 3; kill -SEGV $$", TRIAL_crash,
              "ended by signal 11 (Segmentation fault): at line 3");
    body_ends("kill -ABRT $$", TRIAL_crash, "ended by signal 6 (Aborted)");
    body_ends("kill -XCPU $$", TRIAL_time, "ended by signal 24");
    /* It had as much as there was when it began. */
    remove_tree(spec.folder);
    program("while [ ! -e $dir/go ]; do sleep 0.05; done; kill -9 $$");
    trial_release(&trial);
    ok(trial_start(&trial, &spec, &e));
    trial.watch.free_mb = 0.5;
    while (trial.watch.peak_mb < 0.5 || access(spec.folder, F_OK)) assert_false(trial_poll(&trial));
    put("run/go", "", 0644);
    while (!trial_poll(&trial)) {
    }
    out = trial.outcome;
    ends(TRIAL_memory, "ended by signal 9 (Killed)");
    assert_true(out.peak_rss_mb > 0.5 && out.peak_rss_mb < 50);
}

/* What a process says may be anything. */
static void last_words(void **state) {
    (void)state;
    body_ends("printf 'first\\nlast \\033[1mred \\377 \\000end\\n\\n  \\n'; exit 1", TRIAL_crash,
              "last  [1mred ?");
    assert_null(strchr(out.words, '\n'));
    assert_non_null(strstr(out.words, "end"));
    body_ends("head -c 9000 /dev/zero | tr '\\000' x; exit 1", TRIAL_crash, "xxxx");
    assert_int_equal(strlen(out.words), TRIAL_WORDS - 1);
    body_ends("exit 1", TRIAL_crash, "ended with status 1"); /* not those of the run before */
}

static void summaries(void **state) {
    (void)state;
    body_ends("exit 0", TRIAL_crash, "ended with status 0, but");
    assert_non_null(strstr(out.words, "summary.json: no such file"));
    body_ends("echo {} >$dir/config.json; echo 'duet: stopped at step 3'", TRIAL_killed,
              "its last words: stopped at step 3");
    body_ends("echo '{\"val_loss\": 1' >$dir/summary.json", TRIAL_crash, "summary.json: line");
    body_ends("echo '[1]' >$dir/summary.json", TRIAL_crash, "line 1: not a JSON object");
    body_ends("head -c 3000 /dev/urandom >$dir/summary.json", TRIAL_crash, "summary.json");
    body_ends("sum \"'val_bpb':1\"", TRIAL_crash, "summary.json: no \"val_loss\"");
    body_ends("sum \"'val_loss':'low'\"", TRIAL_crash, "\"val_loss\" is a text, not a number");
    body_ends("sum \"'val_loss':null\"", TRIAL_nan, "val_loss is not a number");
    assert_non_null(out.summary); /* for the ledger */
    body_ends("mkdir $dir/summary.json", TRIAL_crash, "summary.json is no file");
    body_ends("mkfifo $dir/summary.json", TRIAL_crash, "summary.json is no file"); /* never ends */
}

/* ---- the metric ------------------------------------------------------------------------------ */

static void by_command(void **state) {
    (void)state;
    metric = (struct search_metric){.command = array("['cat', 'score']")};
    body_ends(GOOD "; echo '  -2.5e-1 ' >$dir/score", TRIAL_ok, "");
    assert_true(out.value == -0.25);
    body_ends(GOOD "; echo NaN >$dir/score", TRIAL_nan, "command printed is not a number");
    body_ends(GOOD "; echo 1e999 >$dir/score", TRIAL_nan, "command printed is not a number");
    body_ends(GOOD "; echo 'score: 3' >$dir/score", TRIAL_crash,
              "the metric's command printed \"score: 3\", not one number");
    body_ends(GOOD "; echo 1 2 >$dir/score", TRIAL_crash, "printed \"1 2\", not one number");
    body_ends(GOOD "; : >$dir/score", TRIAL_crash, "the metric's command printed nothing");
    body_ends(GOOD, TRIAL_crash, "score: No such file or directory");
    metric.command = array("['sh', '-c', 'echo 1; exit 4']"); /* 4 is of duet train alone */
    body_ends(GOOD, TRIAL_crash, "ended with status 4");
}

static void by_scorer(void **state) {
    (void)state;
    metric = (struct search_metric){.key = "val_bpb", .exact = true};
    put("scorer", "#!/bin/sh\necho \"$*\" >$2/args\ncat $2/exact\n", 0755);
    char scorer[192], line[1024];
    snprintf(scorer, sizeof scorer, "%s", at("scorer"));
    spec.scorer = scorer;
    body_ends(GOOD "; echo '{\"bits_per_byte\": 1.125, \"documents\": 3}' >$dir/exact", TRIAL_ok,
              "");
    assert_true(out.value == 1.125);
    const json_t *exact = json_object_get(out.summary, "exact");
    assert_int_equal(json_integer_value(json_object_get(exact, "documents")), 3);
    snprintf(line, sizeof line, "eval %s --exact --json --threads 1 --quiet\n", spec.folder);
    assert_string_equal(get("run/args"), line);
    body_ends(GOOD "; echo '{\"bits_per_byte\": null}' >$dir/exact", TRIAL_nan,
              "val_bpb is not a number");
    body_ends(GOOD "; echo oops >$dir/exact", TRIAL_crash, "the output of the evaluation: line 1");
    body_ends(GOOD "; echo {} >$dir/exact", TRIAL_crash, "no \"bits_per_byte\"");
    body_ends(GOOD, TRIAL_crash, "exact: No such file or directory");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(command_line), TEST(goes_on),       TEST(launcher), TEST(not_a_program),
        TEST(clean_start),  TEST(exit_statuses), TEST(signals),  TEST(last_words),
        TEST(summaries),    TEST(by_command),    TEST(by_scorer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
