/* The search file: what it says, its defaults, what is refused; start, options and hash. */
#include "folder_fixture.h"
#include "space_fixture.h"

#include "canon.h"
#include "search_file.h"
#include "train_opts.h"

static struct search_file file;

static void read_file(const char *text) {
    json_t *j = parse(text); /* also: for ' */
    char *json = canon_text(j);
    ok(search_file_read(&file, json, strlen(json), "dir/search.json", train_rows, &e));
    free(json);
    json_decref(j);
}

/* A file that is complete but for what is given: the space, and further members. */
static void refused(const char *space_text, const char *more, const char *sentence) {
    char text[2000];
    snprintf(text, sizeof text,
             "{'base': {'model': 'demo'}, 'budget': {'steps': 400}, 'trials': 60, 'space': %s%s}",
             space_text ? space_text : "{'lr': {'log': [1e-4, 1e-2]}}", more);
    for (char *p = text; *p; p++)
        if (*p == '\'') *p = '"';
    const int rc = search_file_read(&file, text, strlen(text), "search.json", train_rows, &e);
    assert_int_equal(rc, ERR_USAGE);
    assert_string_equal(e.msg, sentence);
    assert_null(file.path);
}

static void whole(const char *text, const char *sentence) {
    json_t *j = parse(text);
    char *json = canon_text(j);
    assert_int_equal(search_file_read(&file, json, strlen(json), "search.json", train_rows, &e),
                     ERR_USAGE);
    assert_string_equal(e.msg, sentence);
    free(json);
    json_decref(j);
}

/* The smallest. */
static void the_smallest(void **state) {
    (void)state;
    read_file("{'base': {'model': 'models/demo.json', 'tokenizer': 'tok.json', 'data': 's.txt'}, "
              "'budget': {'steps': 400}, 'strategy': 'tpe', 'trials': 60, 'space': {'lr': {'log': "
              "[1e-4, 1e-2]}, 'batch': {'choice': [2, 4, 8]}, 'set.num_hidden_layers': {'int': [2, "
              "8]}}}");
    assert_true(file.budget == SEARCH_steps && file.amount == 400 && file.trials == 60);
    assert_string_equal(file.strategy.kind->name, "tpe");
    assert_string_equal(file.metric.key, "val_bpb");
    assert_true(file.metric.exact && !file.metric.higher && !file.metric.command);
    assert_true(file.seed == 1 && file.seeds == 8 && file.jobs == 1 && file.confidence == 0.95);
    assert_false(file.every_seed);
    assert_true(!file.program && !file.launcher && !file.base_path);
    assert_true(file.seconds == 0 && file.peak_rss_mb == 0 && file.num_params_M == 0);
    search_file_close(&file);
}

static void everything(void **state) {
    (void)state;
    read_file("{'base': {'model': 'demo'}, 'budget': {'flops': 1e15}, 'trials': 1e3, 'space': "
              "{'optimizer': {'choice': ['adamw', 'lion']}, 'recompute': {'choice': [true, "
              "false]}}, 'metric': {'command': 'sh score.sh  x', 'better': 'higher'}, 'seed': 7, "
              "'seeds': 5, "
              "'confidence': 0.9, 'every_seed': true, 'limits': {'peak_rss_mb': 900, 'num_params_M': 1.5, 'seconds': "
              "60}, 'jobs': 2, 'program': '../duet', 'launcher': ['srun', '-n 1'], 'strategy': "
              "{'name': 'halving', 'rungs': 4, 'over': {'name': 'tpe', 'startup': 5}}}");
    assert_true(file.budget == SEARCH_flops && file.amount == 1e15 && file.trials == 1000);
    assert_true(!file.metric.key && file.metric.higher && !file.metric.exact);
    assert_int_equal(json_array_size(file.metric.command), 3);
    assert_string_equal(json_string_value(json_array_get(file.metric.command, 2)), "x");
    assert_true(file.seed == 7 && file.seeds == 5 && file.jobs == 2 && file.confidence == 0.9);
    assert_true(file.every_seed);
    assert_true(file.seconds == 60 && file.peak_rss_mb == 900 && file.num_params_M == 1.5);
    assert_string_equal(file.program, "../duet");
    assert_string_equal(json_string_value(json_array_get(file.launcher, 1)), "-n 1");
    assert_string_equal(file.strategy.over->kind->name, "tpe");
    assert_true(file.strategy.option[1] == 4 && file.strategy.over->option[0] == 5);
    search_file_close(&file);
    read_file("{'base': {}, 'budget': {'time': 2.5}, 'trials': 2, 'space': {'program': {'choice': "
              "['a', 'b']}}, 'metric': 'val_loss', 'launcher': 'srun -n1'}");
    assert_true(file.metric.key && !file.metric.exact && !file.metric.higher);
    assert_int_equal(json_array_size(file.launcher), 2);
    search_file_close(&file);
}

static void members_that_are_refused(void **state) {
    (void)state;
    refused(NULL, ", 'trails': 3", "search.json: unknown key \"trails\"; did you mean \"trials\"?");
    refused(NULL, ", 'comment': 3",
            "search.json: unknown key \"comment\", expected some of: base, budget, space, trials, "
            "metric, strategy, seed, seeds, confidence, every_seed, limits, jobs, program, launcher");
    refused(NULL, ", 'seeds': 0",
            "search.json: \"seeds\" is 0, expected a whole number from 1 to 1000");
    refused(NULL, ", 'jobs': '2'",
            "search.json: \"jobs\" is \"2\", expected a whole number from 1 to 4096");
    refused(NULL, ", 'confidence': 1",
            "search.json: \"confidence\" is 1, expected 0, or a number from 0.5 to below 1");
    refused(NULL, ", 'every_seed': 1", "search.json: \"every_seed\" is 1, expected true or false");
    refused(NULL, ", 'metric': 3", "search.json: \"metric\" is 3, expected a key of summary.json, "
                                   "or an object with \"key\" or \"command\"");
    refused(NULL, ", 'metric': {'key': 'x', 'better': 'more'}",
            "search.json: \"metric\": \"better\" is \"more\", expected \"lower\" or \"higher\"");
    refused(NULL, ", 'metric': {'key': 'x', 'bteter': 'more'}",
            "search.json: \"metric\": unknown key \"bteter\"; did you mean \"better\"?");
    refused(NULL, ", 'metric': {'key': 'x', 'command': 'y'}",
            "search.json: \"metric\" has both \"command\" and \"key\"");
    refused(NULL, ", 'metric': {'command': 'y'}",
            "search.json: \"metric\": \"better\" is missing, expected \"lower\" or \"higher\"");
    refused(NULL, ", 'metric': {'command': ' ', 'better': 'lower'}",
            "search.json: \"metric\": \"command\" is \" \", expected a text with a command, or an "
            "array of its words");
    refused(NULL, ", 'metric': {'key': 'val_loss', 'exact': true}",
            "search.json: \"metric\": \"exact\" is of \"val_bpb\" only, not of \"val_loss\"");
    refused(NULL, ", 'metric': 'tokens_per_second'",
            "search.json: \"metric\": nothing says whether \"tokens_per_second\" is better when "
            "lower or when higher: give {\"key\": \"tokens_per_second\", \"better\": \"lower\" or "
            "\"higher\"}");
    refused(NULL, ", 'metric': {'key': 'val_accuracy'}",
            "search.json: \"metric\": nothing says whether \"val_accuracy\" is better when lower "
            "or when higher: give {\"key\": \"val_accuracy\", \"better\": \"lower\" or "
            "\"higher\"}");
    refused(NULL, ", 'limits': {'second': 3}",
            "search.json: \"limits\": unknown key \"second\"; did you mean \"seconds\"?");
    refused(NULL, ", 'limits': {'seconds': 0}",
            "search.json: \"limits\": \"seconds\" is 0, expected a number above 0");
    refused(NULL, ", 'launcher': [3]", "search.json: \"launcher\" is an array, expected a text "
                                       "with a command, or an array of its words");
    refused(NULL, ", 'strategy': 'tep'",
            "search.json: \"strategy\": unknown strategy \"tep\"; did you mean \"tpe\"?");
    refused("{'program': {'choice': ['a', 'b']}}", ", 'program': 'c'",
            "search.json: \"program\" is given, and is an axis of \"space\"");
    whole("[]", "search.json is an array, expected an object that says what to search");
    whole("{}", "search.json: \"base\" is missing, expected an object with options of duet train, "
                "or a file's path");
    whole("{'base': {'steps': 3}}",
          "search.json: \"base\": \"steps\" is how long a trial is, which \"budget\" says for all "
          "of them");
    whole("{'base': {'stop-at': 0.5}}",
          "search.json: \"base\": \"stop-at\" is how long a trial is, which \"budget\" says for "
          "all of them");
    whole("{'base': {'out': 'x'}}",
          "search.json: \"base\": \"out\" is what a search sets itself");
    whole("{'base': {'set': 3}}", "search.json: \"base\": \"set\" is 3, expected an object");
    whole("{'base': {}}", "search.json: \"budget\" is missing, expected an object with one of "
                          "time, steps, tokens, flops");
    whole("{'base': {}, 'budget': {}}", "search.json: \"budget\" has 0 keys, expected an object "
                                        "with one of time, steps, tokens, flops");
    whole("{'base': {}, 'budget': {'stesp': 3}}",
          "search.json: \"budget\": unknown key \"stesp\"; did you mean \"steps\"?");
    whole("{'base': {}, 'budget': {'steps': 2.5}}",
          "search.json: \"budget\": \"steps\" is 2.5, expected a whole number above 0");
    whole("{'base': {}, 'budget': {'time': 3}}",
          "search.json: \"space\" is missing, expected an object with an axis for each key");
    whole("{'base': {}, 'budget': {'time': 3}, 'space': {'lr': {'log': [1e-4, 1]}}}",
          "search.json: \"trials\" is missing, expected a whole number from 1 to 1000000");
    assert_int_equal(search_file_read(&file, "{", 1, "search.json", NULL, &e), ERR_USAGE);
    assert_string_equal(e.msg, "search.json, line 1, column 1: not valid JSON: string or '}' "
                               "expected near end of file");
}

#define S "search.json: \"space\": "
static void axes_that_are_refused(void **state) {
    (void)state;
    refused("{'data': {'choice': ['a', 'b']}}", "",
            S "\"data\" cannot be searched: it is of the data, and trials that learn from or are "
              "measured on other text say nothing about each other");
    refused("{'val-windows': {'int': [1, 100]}}", "",
            S "\"val-windows\" cannot be searched: it is of the evaluation, and all trials must be "
              "measured by the same rule");
    refused("{'steps': {'int': [1, 100]}}", "",
            S "\"steps\" cannot be searched: it is how long a trial is, which \"budget\" says for "
              "all of them");
    refused("{'clock': {'choice': ['a', 'b']}}", "",
            S "\"clock\" cannot be searched: it is how long a trial is, which \"budget\" says for "
              "all of them");
    refused("{'seed': {'int': [1, 100]}}", "",
            S "\"seed\" cannot be searched: it would search for luck: rivals are trained with the "
              "same seeds");
    refused("{'note': {'choice': ['a']}}", "",
            S "\"note\" cannot be searched: it does not change what is trained");
    refused("{'lrr': {'log': [1e-4, 1]}}", "",
            S "unknown key \"lrr\"; did you mean \"lr\"?");
    refused("{'zzzzzzzz': {'log': [1e-4, 1]}}", "",
            S "unknown key \"zzzzzzzz\", expected an option of duet train, \"set.KEY\" or "
              "\"program\"");
    refused("{'set': {'choice': ['a']}}", "", S "\"set\" is many options, expected \"set.KEY\"");
    refused("{'set.': {'choice': ['a']}}", "",
            S "\"set.\" names no key of the model description");
    refused("{'lr': {'log': [1e-4, 1000]}}", "",
            S "\"lr\" has values that the option cannot have, expected numbers of at least 0 and "
              "at most 100");
    refused("{'batch': {'log': [1, 10]}}", "",
            S "\"batch\" has values that the option cannot have, expected whole numbers of at "
              "least 1 and at most 65536");
    refused("{'batch': {'choice': [0, 2]}}", "",
            S "\"batch\" has values that the option cannot have, expected whole numbers of at "
              "least 1 and at most 65536");
    refused("{'recompute': {'choice': ['yes']}}", "",
            S "\"recompute\" has values that the option cannot have, expected a choice of true and "
              "false");
    refused("{'order': {'choice': ['random', 'epochs']}}", "",
            S "\"order\" has values that the option cannot have, expected some of: random epoch");
    refused("{'program': {'choice': ['a', 3]}}", "",
            S "\"program\" has values that the option cannot have, expected a choice of texts");
    refused("{'rng': {'choice': ['counter']}}", "",
            S "there is no option \"rng\" any more: the predecessors' stream of signs is gone; the "
              "first edition, commit 7279bbc, goes on with such a run and replays it");
}

/* Whatever sets the length of the windows that the metric is measured in. */
static void windows_of_the_metric(void **state) {
    (void)state;
    static const char *const keys[] = {"seq", "set.duet.seq_len", "set.max_position_embeddings",
                                       "model", "init", "batch"};
    static const struct {
        const char *base, *metric;
        bool refused[6]; /* of the keys */
    } rows[] = {
        {"", "'val_bpb'", {0}},
        {"", "{'key': 'val_bpb', 'exact': true}", {0}},
        {"", "{'command': 'x', 'better': 'lower'}", {0}},
        {"", "{'key': 'tokens_per_second', 'better': 'higher'}", {0}},
        {"", "{'key': 'val_bpb', 'exact': false}", {1, 1, 1, 1, 1, 0}},
        {"", "'val_loss'", {1, 1, 1, 1, 1, 0}},
        {"", "'best_val_loss'", {1, 1, 1, 1, 1, 0}},
        {"", "'train_loss'", {1, 1, 1, 1, 1, 0}},
        {"", "{'key': 'val_accuracy', 'better': 'higher'}", {1, 1, 1, 1, 1, 0}},
        {"'seq': 0", "'val_loss'", {1, 1, 1, 1, 1, 0}},
        {"'seq': 64", "'val_loss'", {1, 0, 0, 0, 0, 0}},
        {"'set': {'duet.seq_len': 64}", "'val_loss'", {1, 1, 0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t k = 0; k < 6; k++) {
            char text[600];
            snprintf(text, sizeof text,
                     "{\"base\": {%s}, \"budget\": {\"steps\": 4}, \"trials\": 3, \"metric\": %s, "
                     "\"space\": {\"%s\": {\"choice\": [%s]}}}",
                     rows[i].base, rows[i].metric, keys[k], k == 3 || k == 4 ? "'a'" : "16, 64");
            for (char *p = text; *p; p++)
                if (*p == '\'') *p = '"';
            const int rc = search_file_read(&file, text, strlen(text), "search.json", train_rows,
                                            &e);
            assert_int_equal(rc, rows[i].refused[k] ? ERR_USAGE : 0);
            search_file_close(&file);
        }
    refused("{'seq': {'choice': [16, 64]}}", ", 'metric': 'val_loss'",
            S "\"seq\" cannot be searched: it sets how long the windows are that the metric is "
              "measured in: use the exact \"val_bpb\", which is of whole documents");
    refused("{'model': {'choice': ['a', 'b']}}", ", 'metric': 'val_loss'",
            S "\"model\" cannot be searched: it sets how long the windows are that the metric is "
              "measured in, where \"base\" has no \"seq\": give it, or use the exact "
              "\"val_bpb\", which is of whole documents");
}

/* Every option of the program can be told from those that may not be searched: what changes where a
 * run lies or how it is measured cannot get in by being new. */
static void every_option_is_decided(void **state) {
    (void)state;
    static const char *const searched[] = {
        "model", "init", "weights", "adapter", "lora", "lora-alpha", "lora-targets", "lora-mode",
        "rslora", "lora-norms", "lora-init", "order", "batch", "seq", "accum", "accum-end",
        "engine",
        "optimizer", "optimizer-matrix", "estimator", "directions", "eps", "direction",
        "direction-rank", "direction-every", "perturb", "lr", "schedule", "warmup", "min-lr",
        "decay-share", "beta1", "beta2", "matrix-beta1", "matrix-beta2", "muon-steps",
        "muon-polynomial", "muon-equalise", "muon-rescale", "muon-normalise", "cautious-decay",
        "adam-eps", "clip",
        "weight-decay", "lora-decay", "embed-decay", "norm-decay", "embed-lr", "head-lr",
        "matrix-lr",
        "norm-lr", "spike", "compute", "gemm", "recompute", "rollback"};
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++) {
        if (!r->name || r->type == CONF_T_GONE || r->type == CONF_T_PAIRS) continue;
        struct axis axis = {.key = (char *)(uintptr_t)r->name, .kind = AXIS_choice};
        struct space one = {.path = (char *)(uintptr_t) "s", .axis = &axis, .n = 1};
        const bool refused = search_keys_check(&one, train_rows, &e) != 0;
        bool listed = false;
        for (size_t i = 0; i < sizeof searched / sizeof *searched; i++)
            listed = listed || !strcmp(searched[i], r->name);
        if (refused == listed) fail_msg("%s is %s here", r->name, listed ? "listed" : "not listed");
        if (refused) assert_non_null(strstr(e.msg, "cannot be searched: it "));
    }
}

/* A base that lies outside the space is taken as it is. */
static void base_outside(void **state) {
    (void)state;
    read_file("{'base': {'lr': 3e-2, 'batch': 3, 'set': {'num_hidden_layers': '9'}}, 'budget': "
              "{'steps': 9}, 'trials': 3, 'space': {'lr': {'log': [1e-4, 1e-2]}, 'batch': "
              "{'choice': [2, 4]}, 'set.num_hidden_layers': {'int': [2, 8]}}}");
    double u[SPACE_MAX_AXES];
    ok(search_file_start(&file, train_rows, u, &e));
    json_t *c = space_config(&file.space, u);
    assert_int_equal(json_integer_value(json_object_get(c, "set.num_hidden_layers")), 8);
    ok(search_file_said(&file, train_rows, c, &e));
    char *text = canon_text(c);
    assert_string_equal(text, "{\"batch\":3,\"lr\":0.03,\"set.num_hidden_layers\":9}");
    free(text);
    json_decref(c);
    search_file_close(&file);
}

static void start_options_and_hash(void **state) {
    (void)state;
    read_file("{'base': {'lr': 3e-3, 'set': {'num_hidden_layers': '4', 'x': 1}, 'optimizer': "
              "'lion', 'batch': 2}, 'budget': {'tokens': 2e6}, 'trials': 60, 'space': {"
              "'lr': {'log': [1e-4, "
              "1e-2]}, 'set.num_hidden_layers': {'int': [2, 8]}, 'set.y': {'choice': [1, 2, 3]}, "
              "'optimizer': {'choice': ['adamw', 'lion']}, 'min-lr': {'linear': [0, 1]}, "
              "'recompute': {'choice': [true, false]}, 'accum': {'int': [1, 4]}, 'beta1': "
              "{'linear': [0.5, 0.9]}}}");
    double u[SPACE_MAX_AXES];
    ok(search_file_start(&file, train_rows, u, &e));
    json_t *c = space_config(&file.space, u);
    char *text = canon_text(c);
    /* from the base: lr, layers, optimizer; defaults: min-lr 0.1, recompute false, accum 1; beta1
     * is left to the program (-1: nearest 0.5); the middle for what nobody knows */
    assert_string_equal(text, "{\"accum\":1,\"beta1\":0.5,\"lr\":0.003,\"min-lr\":0.1,"
                              "\"optimizer\":\"lion\",\"recompute\":false,"
                              "\"set.num_hidden_layers\":4,\"set.y\":2}");
    free(text);
    json_t *options = search_file_options(&file, c);
    text = canon_text(options);
    assert_string_equal(text, "{\"accum\":1,\"batch\":2,\"beta1\":0.5,\"lr\":0.003,\"min-lr\":0.1,"
                              "\"optimizer\":\"lion\",\"recompute\":false,\"set\":{"
                              "\"num_hidden_layers\":4,\"x\":1,\"y\":2},\"tokens\":2000000}");
    free(text);
    char hash[17], other[17], direct[17];
    assert_true(search_file_hash(&file, c, hash) && canon_hash(options, direct));
    assert_string_equal(hash, direct);
    json_object_set_new(c, "accum", json_real(1.0));
    assert_true(search_file_hash(&file, c, other));
    assert_string_equal(hash, other);
    json_object_set_new(c, "accum", json_integer(2));
    assert_true(search_file_hash(&file, c, other));
    assert_string_not_equal(hash, other);
    json_decref(options);
    json_decref(c);
    search_file_close(&file);
}

/* "base" as a file beside the search file. */
static void base_in_a_file(void **state) {
    (void)state;
    FILE *f = fopen(at("base.json"), "w");
    fputs("{\"lr\": 1e-3}", f);
    fclose(f);
    f = fopen(at("search.json"), "w");
    fputs("{\"base\": \"base.json\", \"budget\": {\"time\": 3}, \"trials\": 3, \"space\": "
          "{\"batch\": {\"int\": [1, 4]}}}",
          f);
    fclose(f);
    ok(search_file_open(&file, at("search.json"), train_rows, &e));
    assert_string_equal(file.base_path, at("base.json"));
    assert_true(value_of(file.base, "lr") == 1e-3);
    search_file_close(&file);
    f = fopen(at("base.json"), "w");
    fputs("{\"lr\": 1e-3", f);
    fclose(f);
    assert_int_equal(search_file_open(&file, at("search.json"), train_rows, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "base.json, line 1, column 11: not valid JSON: '}' expected"));
    unlink(at("base.json"));
    assert_int_equal(search_file_open(&file, at("search.json"), train_rows, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "base.json"));
}

/* A file that is cut is refused at every byte, and never half read. */
static void a_cut_file(void **state) {
    (void)state;
    static const char text[] =
        "{\"base\": {\"model\": \"demo\"}, \"budget\": {\"steps\": 400}, \"trials\": 60, "
        "\"space\": "
        "{\"lr\": {\"log\": [1e-4, 1e-2], \"when\": {\"optimizer\": \"lion\"}}, \"optimizer\": "
        "{\"choice\": [\"adamw\", \"lion\"]}}, \"strategy\": {\"name\": \"halving\", \"over\": "
        "\"tpe\"}}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        const int rc = search_file_read(&file, text, n, "search.json", train_rows, &e);
        assert_int_equal(rc, ERR_USAGE);
        assert_non_null(strstr(e.msg, "search.json, line 1, column "));
        assert_null(file.path);
    }
    ok(search_file_read(&file, text, sizeof text - 1, "search.json", train_rows, &e));
    search_file_close(&file);
}

/* A search by hand needs no space; it may have one. */
static void by_hand(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        read_file(i ? "{'base': {'lr': 0.5}, 'budget': {'steps': 4}, 'trials': 9, 'strategy': "
                      "{'name': 'hand'}}"
                    : "{'base': {'lr': 0.5}, 'budget': {'steps': 4}, 'trials': 9, 'strategy': "
                      "'hand', 'space': {'lr': {'log': [0.1, 1]}}}");
        assert_int_equal(file.space.n, !i);
        double u[SPACE_MAX_AXES];
        ok(search_file_start(&file, train_rows, u, &e));
        json_t *config = space_config(&file.space, u), *options;
        assert_int_equal(json_object_size(config), !i);
        options = search_file_options(&file, config);
        assert_true(json_number_value(json_object_get(options, "lr")) == 0.5);
        json_decref(options);
        json_decref(config);
        search_file_close(&file);
    }
    whole("{'base': {}, 'budget': {'steps': 4}, 'trials': 9, 'strategy': 'hand', 'space': {}}",
          "search.json: \"space\" is {}, expected an object with an axis for each key to search");
    whole("{'base': {}, 'budget': {'steps': 4}, 'trials': 9, 'strategy': 'tpe'}",
          "search.json: \"space\" is missing, expected an object with an axis for each key");
}

/* What is changed by hand is neither data nor evaluation, length or seed. */
static void configurations_by_hand(void **state) {
    (void)state;
    static const struct {
        const char *config, *sentence;
    } rows[] = {
        {"{'lr': 3, 'optimizer': 'lion', 'set.hidden_size': 64, 'program': 'x', 'model': 'y'}",
         NULL},
        {"{'data': ['s.txt'], 'val-fraction': 0.1}", NULL}, /* as in the base */
        {"{'data': ['t.txt']}",
         "\"data\" cannot be changed in a search: it is of the data, and trials that learn from or "
         "are measured on other text say nothing about each other"},
        {"{'val-windows': 3}",
         "\"val-windows\" cannot be changed in a search: it is of the evaluation, and all trials "
         "must be measured by the same rule"},
        {"{'steps': 400}", "\"steps\" cannot be changed in a search: it is how long a trial is, "
                           "which \"budget\" says for all of them"},
        {"{'seed': 3}", "\"seed\" cannot be changed in a search: it would search for luck: rivals "
                        "are trained with the same seeds"},
        {"{'threads': 3}",
         "\"threads\" cannot be changed in a search: it does not change what is trained"},
    };
    json_t *base = parse("{'data': ['s.txt'], 'val-fraction': 0.1, 'lr': 1}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *config = parse(rows[i].config);
        const int rc = search_keys_check_config(config, base, train_rows, &e);
        assert_int_equal(rc, rows[i].sentence ? ERR_USAGE : 0);
        if (rc) assert_string_equal(e.msg, rows[i].sentence);
        json_decref(config);
    }
    json_decref(base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest),
        cmocka_unit_test(everything),
        cmocka_unit_test(members_that_are_refused),
        cmocka_unit_test(axes_that_are_refused),
        cmocka_unit_test(windows_of_the_metric),
        cmocka_unit_test(every_option_is_decided),
        cmocka_unit_test(start_options_and_hash), cmocka_unit_test(base_outside),
        cmocka_unit_test(base_in_a_file),
        cmocka_unit_test(a_cut_file),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(configurations_by_hand),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
