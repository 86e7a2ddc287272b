/* Trials of duet itself (argv[1]), trained for a moment, and what the planner says of them before.
 * Through an `env` in front of it, it is a program like any other. */
#include "trial_fixture.h"

#include "sanitized.h"

static const char *duet;

/* The trial's options; those of the model's description and others that are given take the place of
 * the usual ones. Text with ' for ". */
static void options(const char *set, const char *others) {
    json_t *o = array("{'model': 'demo', 'tokenizer': 'byte', 'steps': 12, 'batch': 2, 'seq': 32, "
                      "'val-fraction': 0.2, 'checkpoint-every': '100'}");
    json_t *s = array("{'num_hidden_layers': 1, 'hidden_size': 32, 'intermediate_size': 64, "
                      "'num_attention_heads': 2, 'num_key_value_heads': 1, 'head_dim': 16}");
    json_object_update(s, array(set));
    json_object_update(o, array(others));
    json_object_set_new(o, "data", json_string(at("text.txt")));
    json_object_set(o, "set", s);
    char *text = json_dumps(o, 0);
    put("config.json", text, 0644);
    free(text);
}

static int with_text(void **state) {
    if (set_up(state)) return -1;
    FILE *f = fopen(at("text.txt"), "w");
    for (int i = 0; i < 800; i++) fprintf(f, "Number %d is followed by %d.\n", i, i + 1);
    fclose(f);
    options("{}", "{}");
    spec.program = spec.scorer = duet;
    metric = (struct search_metric){.key = "val_bpb", .exact = true};
    return 0;
}

static uint64_t file_hash(const char *name) {
    uint64_t h = 1;
    FILE *f = fopen(at(name), "rb");
    assert_non_null(f);
    for (int c; (c = getc(f)) != EOF;) h = (h ^ (uint64_t)c) * 0x100000001b3u;
    fclose(f);
    return h;
}

/* In one go, and in three with a kill in between: the same weights, the same value. */
static void rungs(void **state) {
    (void)state;
    static char other[192];
    snprintf(other, sizeof other, "%s", at("other"));
    run();
    ends(TRIAL_ok, "");
    const double value = out.value;
    assert_true(value > 0 && value < 12);
    const json_t *exact = json_object_get(out.summary, "exact");
    assert_true(json_number_value(json_object_get(exact, "bits_per_byte")) == value);
    assert_true(json_number_value(json_object_get(out.summary, "val_bpb")) != value); /* windows */
    assert_true(json_number_value(json_object_get(out.summary, "num_params_M")) > 0.01);
    assert_true(out.peak_rss_mb > 5);
    spec.folder = other;
    spec.share = 0.25;
    run();
    ends(TRIAL_ok, "");
    assert_true(out.value > value);
    assert_true(json_number_value(json_object_get(out.summary, "num_steps")) == 3);
    spec.share = 0.5;
    trial_release(&trial);
    ok(trial_start(&trial, &spec, &e));
    kill(trial.watch.pid, SIGKILL);
    struct trial_run *const all[] = {&trial};
    assert_int_equal(trial_wait(all, 1, 20), 0);
    out = trial.outcome;
    ends(TRIAL_killed, "ended by signal 9");
    spec.share = 1;
    run();
    ends(TRIAL_ok, "");
    assert_true(out.value == value);
    assert_true(file_hash("run/model.blzt") == file_hash("other/model.blzt"));
}

static void refusals(void **state) {
    (void)state;
    options("{'num_key_value_heads': 3}", "{}");
    run();
    ends(TRIAL_crash, "head");
    options("{}", "{'lr': 100, 'clip': 0, 'spike': 0.01}");
    run();
    ends(TRIAL_nan, "training stopped");
    remove_tree(spec.folder);
#if SANITIZED
    return; /* their shadow memory needs more address space */
#endif
    options("{'vocab_size': 4000000, 'hidden_size': 4096}", "{}");
    spec.launcher = array("['sh', '-c', 'ulimit -v 1000000; exec $@', '-']");
    run();
    ends(TRIAL_refused, "MB are free");
}

static void asks(struct trial_plan *p) {
    ok(trial_fits(&spec, p, &e));
}

static void fits(void **state) {
    (void)state;
    struct trial_plan p;
    spec.program = NULL;
    asks(&p);
    assert_true(p.fits);
    assert_string_equal(p.words, "");
    assert_true(p.num_params_M > 0.01 && p.num_params_M < 0.1);
    assert_true(p.planned_mb > 16 * p.num_params_M);
    const double params = p.num_params_M, planned = p.planned_mb;
    spec.limits.num_params_M = params;
    spec.limits.peak_rss_mb = planned + 12.001;
    spec.limits.memory_mb = planned;
    asks(&p);
    assert_true(p.fits && p.num_params_M == params && p.planned_mb == planned);
    spec.limits.num_params_M = params * 0.999;
    asks(&p);
    assert_false(p.fits);
    assert_non_null(strstr(p.words, "M parameters, the limit is"));
    spec.limits.num_params_M = 0;
    spec.limits.peak_rss_mb = planned + 11.99;
    asks(&p);
    assert_false(p.fits);
    assert_non_null(strstr(p.words, "MB for the program, the limit is"));
    spec.limits.peak_rss_mb = 0;
    spec.limits.memory_mb = planned * 0.99;
    asks(&p);
    assert_false(p.fits);
    assert_non_null(strstr(p.words, "its share of the memory is"));
    spec.limits.memory_mb = 0;
    options("{'num_hidden_layers': 2}", "{}");
    asks(&p);
    assert_true(p.fits && p.num_params_M > params && p.planned_mb > planned);
    options("{'num_key_value_heads': 3}", "{}");
    asks(&p);
    assert_false(p.fits);
    assert_non_null(strstr(p.words, "head"));
    options("{}", "{'learning-rate': 3}");
    asks(&p);
    assert_false(p.fits);
    assert_non_null(strstr(p.words, "learning-rate"));
    assert_int_equal(access(spec.folder, F_OK), -1);
    spec.program = "/nowhere/duet"; /* another one: nothing is known of it */
    asks(&p);
    assert_true(p.fits && isnan(p.planned_mb) && isnan(p.num_params_M));
}

/* What a real run reports is what was planned for it. */
static void planned(void **state) {
    (void)state;
    struct trial_plan p;
    spec.program = NULL;
    asks(&p);
    spec.program = duet;
    run();
    ends(TRIAL_ok, "");
    const double mb = json_number_value(json_object_get(out.summary, "planned_mb")),
                 params = json_number_value(json_object_get(out.summary, "num_params_M"));
    assert_true(fabs(mb - p.planned_mb) < 1e-6 * mb);
    assert_true(fabs(params - p.num_params_M) < 1e-6 * params);
    if (!SANITIZED) assert_true(out.peak_rss_mb < 1.1 * mb + 40);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, with_text, tear_down)
    const struct CMUnitTest tests[] = {TEST(rungs), TEST(refusals), TEST(fits), TEST(planned)};
    if (argc != 2) return 2;
    duet = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
