/* The loop of a search with made-up trials: proposals and decisions are those of the rules,
 * whatever order processes end in, and whenever the driver is killed. */
#include "drive_fixture.h"

/* A configuration that follows from all that the program is told. */
#define ANSWER                                                                                     \
    "'cksum | { read n rest; printf \\\"{\\\\042lr\\\\042:%de-6,\\\\042batch\\\\042:2}\\\" "         \
    "$((n % 900 + 100)); }'"

static const char *const searches[] = {
    "'trials': 25, 'strategy': 'tpe'",
    "'trials': 25, 'strategy': 'tpe', 'jobs': 3",
    "'trials': 30, 'strategy': 'local', 'confidence': 0, 'jobs': 2",
    "'trials': 20, 'strategy': 'cmaes', 'seeds': 5, 'jobs': 4",
    "'trials': 25, 'strategy': {'name': 'halving', 'eta': 3, 'rungs': 2, 'over': 'tpe'}, 'jobs': 3",
    /* what these propose hangs on what was left behind */
    "'trials': 14, 'seeds': 2, 'strategy': {'name': 'halving', 'eta': 2, 'rungs': 2, 'cohort': 4, "
    "'over': 'local'}",
    "'trials': 16, 'seeds': 2, 'strategy': {'name': 'halving', 'eta': 2, 'rungs': 3, 'cohort': 4, "
    "'over': 'local'}, 'jobs': 2",
    "'trials': 7, 'seeds': 2, 'strategy': {'name': 'halving', 'eta': 2, 'rungs': 2, 'cohort': 2, "
    "'over': {'name': 'command', 'run': ['sh', '-c', " ANSWER "], 'over': 'random'}}",
    "'trials': 9, 'strategy': 'grid', 'jobs': 2",
    "'trials': 12, 'strategy': 'random', 'every_seed': true, 'seeds': 3, 'jobs': 3",
    "'trials': 14, 'strategy': 'sobol', 'metric': {'key': 'val_bpb', 'better': 'higher'}",
};
enum { N_SEARCHES = sizeof searches / sizeof *searches };

/* In any order of ends the same is proposed and decided, and no more processes run than jobs. */
static void order_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_SEARCHES; i++) {
        struct world w;
        create(at("a"), searches[i]);
        assert_true(go_on(at("a"), 1, 0, 0, &w));
        json_t *as = story(at("a"));
        struct search s;
        ok(search_open(&s, at("a"), false, &e));
        assert_true(w.most <= s.file.jobs);
        assert_true(s.file.jobs == 1 || w.most > 1);
        for (int64_t t = 0; t < search_trials(&s); t++) assert_non_null(search_decision(&s, t));
        search_close(&s);
        for (uint64_t order = 2; order < 5; order++) {
            create(at("b"), searches[i]);
            assert_true(go_on(at("b"), order, 0, order == 4 ? 7 : 0, &w));
            same_story(at("b"), as);
            remove_tree(at("b"));
        }
        json_decref(as);
        remove_tree(at("a"));
    }
}

/* Off after a few calls, again and again, half a line lost now and then. */
static void kills_change_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_SEARCHES; i++) {
        struct world w;
        create(at("a"), searches[i]);
        assert_true(go_on(at("a"), 1, 0, 0, &w));
        json_t *as = story(at("a"));
        for (int every = 7; every < 30; every += 11) { /* less is no step with four jobs */
            int goes = 0;
            char ledger[200];
            create(at("b"), searches[i]);
            snprintf(ledger, sizeof ledger, "%s/ledger.jsonl", at("b"));
            while (!go_on(at("b"), (uint64_t)(100 + goes), every + goes % 4, 0, &w)) {
                struct stat st;
                assert_int_equal(stat(ledger, &st), 0);
                if (goes % 4 == 3) assert_int_equal(truncate(ledger, st.st_size - 9), 0);
                assert_true(goes++ < 500);
            }
            same_story(at("b"), as);
            remove_tree(at("b"));
        }
        json_decref(as);
        remove_tree(at("a"));
    }
}

/* From a whole line on it goes on to the same end: any where what is proposed
 * hangs on what was left behind, of the others one in seven. */
static void every_line_is_enough(void **state) {
    (void)state;
    static char text[1 << 18];
    for (int i = 0; i < N_SEARCHES; i++) {
        struct world w;
        char from[200], to[200];
        create(at("a"), searches[i]);
        assert_true(go_on(at("a"), 1, 0, 0, &w));
        json_t *as = story(at("a"));
        snprintf(from, sizeof from, "%s/ledger.jsonl", at("a"));
        FILE *f = fopen(from, "rb");
        const size_t n = fread(text, 1, sizeof text, f);
        fclose(f);
        assert_true(n < sizeof text);
        for (size_t k = 0; k < n; k++) {
            if (text[k] != '\n' || (k % 7 && !strstr(searches[i], "cohort"))) continue;
            create(at("b"), searches[i]);
            snprintf(to, sizeof to, "%s/ledger.jsonl", at("b"));
            f = fopen(to, "wb");
            fwrite(text, 1, k + 1, f);
            fclose(f);
            assert_true(go_on(at("b"), k, 0, 0, &w));
            same_story(at("b"), as);
            remove_tree(at("b"));
        }
        json_decref(as);
        remove_tree(at("a"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_changes_nothing),
        cmocka_unit_test(kills_change_nothing),
        cmocka_unit_test(every_line_is_enough),
    };
    return cmocka_run_group_tests(tests, make_fast_dir, remove_all);
}
