/* What a search is said to take: trainings, what validation and evaluation add to each, and rungs
 * that lie within the warm-up. */
#include "folder_fixture.h"
#include "space_fixture.h"

#include "search_cost.h"

enum { TEXT = 20000 };

static int make_files(void **state) {
    if (make_dir(state)) return -1;
    FILE *f = fopen(at("m.json"), "w");
    fputs("{\"vocab_size\": 256, \"hidden_size\": 32, \"intermediate_size\": 48, "
          "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
          "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "
          "\"tie_word_embeddings\": true, \"model_type\": \"llama\"}",
          f);
    fclose(f);
    f = fopen(at("s.txt"), "w");
    for (int i = 0; i < TEXT; i++) fputc(i % 50 == 49 ? '\n' : 'a' + i * 7 % 26, f);
    return fclose(f);
}

/* Of a search with these members more of its base, and of its file. */
static struct search_cost cost_of(const char *base, const char *file) {
    char text[1200];
    struct search s;
    struct search_cost c;
    snprintf(text, sizeof text,
             "{'base': {'model': '%s', 'tokenizer': 'byte', 'data': '%s', 'seq': 32, 'batch': 4, "
             "'threads': 1, 'val-fraction': 0.1%s}, %s}",
             at("m.json"), at("s.txt"), base, file);
    json_t *json = parse(text);
    ok(search_plan(&s, json, "search.json", &e));
    ok(search_cost(&s, &c, &e));
    search_close(&s);
    json_decref(json);
    return c;
}

static void near(double a, double b, double relative) {
    if (!(fabs(a - b) <= relative * fabs(b))) fail_msg("%.17g is not %.17g", a, b);
}

#define LR "'space': {'lr': {'log': [1e-4, 1e-2]}}"

/* How much work is beside a training, in trainings: what starting takes is in both ends. */
static double beside(const struct search_cost *c) {
    return (c->beside.most - c->beside.least) / (c->training.most - c->training.least);
}

static void evaluation_counts(void **state) {
    (void)state;
    static const char windows[] = "'budget': {'steps': 1000}, 'trials': 3, 'metric': {'key': "
                                  "'val_bpb', 'exact': false}, " LR;
    static const char exact[] = "'budget': {'steps': 1000}, 'trials': 3, " LR;
    const struct search_cost once = cost_of(", 'val-windows': 8", windows);
    const struct search_cost often = cost_of(", 'val-windows': 8, 'val-every': 10", windows);
    const struct search_cost all = cost_of(", 'val-windows': 10000", windows);
    const struct search_cost documents = cost_of(", 'val-windows': 8", exact);
    /* 8 windows of 32 beside 1,000 updates of 4 of them, there and back again: about three passes */
    near(beside(&once), 8 / (3.0 * 4000), 0.2);
    near(beside(&often) / beside(&once), 101, 1e-9);
    near(beside(&all) / beside(&once), 0.1 * TEXT / (8 * 32), 0.02); /* there is no more text */
    near(beside(&documents) / beside(&once), 1 + 0.1 * TEXT / (8 * 32), 0.02);
    /* at 60, 40 and 20 % of the peak */
    near(once.training.usual, 1.5 * once.training.least, 1e-12);
    near(once.training.most, 3 * once.training.least, 1e-12);
    assert_true(once.beside.least > 0 && once.beside.least < once.beside.usual);
}

static void seconds_are_of_all_of_it(void **state) {
    (void)state;
    const struct search_cost c =
        cost_of("", "'budget': {'time': 7}, 'trials': 40, 'jobs': 2, " LR);
    assert_true(c.training.least == 7 && c.training.usual == 7 && c.training.most == 7);
    near(c.trainings.least, 5 + 39, 1e-12);
    near(c.trainings.usual, 5 + 39 * SEARCH_COST_SEEDS, 1e-12);
    near(c.trainings.most, 8 * 40, 1e-12);
    near(c.runs.usual, c.trainings.usual, 1e-12);
    const struct cost_span all = search_cost_seconds(&c, 2);
    near(all.least, 44 * (7 + c.beside.least) / 2, 1e-12);
    near(all.usual, c.trainings.usual * (7 + c.beside.usual) / 2, 1e-12);
    near(all.most, 320 * (7 + c.beside.most) / 2, 1e-12);
}

static void trainings(void **state) {
    (void)state;
    struct search_cost c = cost_of("", "'budget': {'time': 7}, 'trials': 10, 'seeds': 4, "
                                       "'every_seed': true, " LR);
    assert_true(c.trainings.least == 40 && c.trainings.usual == 40 && c.trainings.most == 40);
    c = cost_of("", "'budget': {'time': 7}, 'trials': 10, 'confidence': 0, " LR);
    assert_true(c.trainings.least == 10 && c.trainings.usual == 10 && c.trainings.most == 10);
    /* Of 54 by halving each goes through 1 + 1/3 + 1/9 processes and all take 14 trainings; six
     * come to the end, where they are trained with further seeds. */
    c = cost_of("", "'budget': {'time': 7}, 'trials': 55, 'strategy': 'halving', " LR);
    near(c.trainings.least, 5 + 14, 1e-12);
    near(c.trainings.usual, 5 + 14 + 6 * (SEARCH_COST_SEEDS - 1), 1e-12);
    near(c.trainings.most, 8 + 14 + 6 * 7, 1e-12);
    near(c.runs.least, 5 + 54 * 13 / 9.0, 1e-12);
    near(c.runs.most, 8 + 54 * 13 / 9.0 + 6 * 7, 1e-12);
}

/* Hyperband's brackets are of 9 from 1/9 on, of 5 from 1/3 on and of 3: 1 + 2/3 + 2/3, 5/3 + 2/3
 * and 3 trainings, of which 1, 1 and 3 come to the end; the next one has only 2 of the 9. */
static void as_many_as_there_are(void **state) {
    (void)state;
    struct search_cost c =
        cost_of("", "'budget': {'time': 7}, 'trials': 20, 'seeds': 3, 'strategy': {'name': "
                    "'halving', 'hyperband': true}, " LR);
    const double one = 7 / 3.0 + 7 / 3.0 + 3 + 2 / 9.0 + 2 / 9.0 + 2 / 3.0;
    near(c.trainings.least, 3 + one, 1e-12);
    near(c.trainings.most, 3 + one + 2 * 6, 1e-12);
    near(c.runs.least, 3 + (9 + 3 + 1) + (5 + 1) + 3 + (2 + 1 + 1), 1e-12);
#define SMALL "'seeds': 1, 'space': {'batch': {'choice': [2, 4, 8]}, 'accum': {'int': [1, 2]}}, "
    c = cost_of("", "'budget': {'time': 7}, 'trials': 50, " SMALL "'strategy': 'grid'");
    assert_true(c.trainings.least == 6 && c.trainings.most == 6);
    c = cost_of(", 'lr': 1e-3",
                "'budget': {'time': 7}, 'trials': 50, " SMALL "'strategy': 'sweep'");
    assert_true(c.trainings.least == 4 && c.trainings.most == 4);
    /* at random the base is met again, or not */
    c = cost_of("", "'budget': {'time': 7}, 'trials': 50, " SMALL "'strategy': 'random'");
    assert_true(c.trainings.least == 6 && c.trainings.most == 7);
}

/* says NULL: there is no warning. */
static void rung_is(const char *base, const char *file, double updates, double warmup,
                    const char *says) {
    char text[400];
    const struct search_cost c = cost_of(base, file);
    const char *warning = search_cost_warning(&c, text);
    if (updates > 0 && (c.rung_updates != updates || c.warmup != warmup))
        fail_msg("%s, %s: %g updates, warm-up %g", base, file, c.rung_updates, c.warmup);
    if (!says != !warning || (says && !strstr(warning, says)))
        fail_msg("%s, %s: %s", base, file, warning ? warning : "no warning");
}

#define HALVING "'budget': {'steps': 100}, 'trials': 9, 'strategy': 'halving', "

static void rungs_within_the_warm_up(void **state) {
    (void)state;
    rung_is("", HALVING LR, 12, 20,
            "halving compares trials after as few as 12 updates (0.111 of the budget), and the "
            "warm-up takes up to 20, within which ranks say nothing of the end: give fewer "
            "\"rungs\", a smaller \"eta\" or a larger budget, or a \"warmup\" of at most 11");
    rung_is(", 'warmup': 12", HALVING LR, 12, 12, "warm-up takes up to 12,");
    rung_is(", 'warmup': 11", HALVING LR, 12, 11, NULL);
    rung_is(", 'warmup': 0", HALVING LR, 12, 0, NULL);
    rung_is(", 'warmup': 3", HALVING "'space': {'warmup': {'int': [0, 60]}}", 12, 60,
            "warm-up takes up to 60,");
    rung_is(", 'warmup': 3", HALVING "'space': {'warmup': {'choice': [0, 11, 5]}}", 12, 11, NULL);
    rung_is("", "'budget': {'steps': 100}, 'trials': 9, 'strategy': {'name': 'halving', 'rungs': "
                "2}, " LR,
            34, 20, NULL);
    rung_is("", "'budget': {'steps': 100}, 'trials': 9, 'strategy': 'tpe', " LR, 0, 0, NULL);
    rung_is("", "'budget': {'steps': 6}, 'trials': 9, 'strategy': 'halving', " LR, 1, 20,
            "or a larger budget");
    /* 16,384 tokens are 64 updates of 8 sequences of 32, and 128 of the base's 4 */
    rung_is("", "'budget': {'tokens': 16384}, 'trials': 9, 'strategy': 'halving', " LR, 15, 20,
            "as few as 15 updates");
    rung_is("", "'budget': {'tokens': 16384}, 'trials': 9, 'strategy': 'halving', 'space': "
                "{'batch': {'choice': [2, 8, 4]}}",
            8, 20, "as few as 8 updates");
    /* The base has all of the budget, whatever its warm-up and its batch. */
    rung_is(", 'warmup': 60", HALVING "'space': {'warmup': {'int': [0, 2]}}", 12, 2, NULL);
    rung_is(", 'warmup': 5, 'accum': 16",
            "'budget': {'tokens': 16384}, 'trials': 9, 'strategy': 'halving', 'space': {'accum': "
            "{'choice': [1, 2]}}",
            8, 5, NULL);
    /* 20 updates of warm-up come with a batch of 2 alone, which has 29 until the first rung; with
     * one of 4 they are too many for its 15 */
    static const char both[] = "'budget': {'tokens': 16384}, 'trials': 9, 'strategy': 'halving', "
                               "'space': {'batch': {'choice': [2, 4]}, 'warmup': {'int': [0, 20], "
                               "'when': {'batch': %d}}}";
    char file[400];
    snprintf(file, sizeof file, both, 2);
    rung_is(", 'warmup': 1", file, 29, 20, NULL);
    snprintf(file, sizeof file, both, 4);
    rung_is(", 'warmup': 1", file, 15, 20, "as few as 15 updates");
    /* seconds are as many updates as this machine makes */
    const struct search_cost c =
        cost_of("", "'budget': {'time': 10}, 'trials': 9, 'strategy': 'halving', " LR);
    assert_true(c.rung_updates > 0 && c.rung_updates < 1e7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation_counts),
        cmocka_unit_test(seconds_are_of_all_of_it),
        cmocka_unit_test(trainings),
        cmocka_unit_test(as_many_as_there_are),
        cmocka_unit_test(rungs_within_the_warm_up),
    };
    return cmocka_run_group_tests(tests, make_files, remove_all);
}
