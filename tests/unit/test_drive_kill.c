/* The loop of a search with made-up trials: proposals and decisions are those of the rules,
 * whatever order processes end in, and whenever the driver is killed. */
#include "drive_fixture.h"
#include "record_fixture.h"

/* A configuration that follows from all that the program is told. */
#define ANSWER                                                                                     \
    "'cksum | { read n rest; printf \\\"{\\\\042lr\\\\042:%de-6,\\\\042batch\\\\042:2}\\\" "       \
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

/* What at("a") tells of the search that nothing has disturbed. */
static json_t *undisturbed(const char *search, struct world *w) {
    create(at("a"), search);
    assert_true(go_on(at("a"), 1, 0, 0, w));
    return story(at("a"));
}

/* In any order of ends the same is proposed and decided, and no more processes run than jobs. */
static void order_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_SEARCHES; i++) {
        struct world w;
        struct search s;
        json_t *as = undisturbed(searches[i], &w);
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
        json_t *as = undisturbed(searches[i], &w);
        for (int every = 7; every < 30; every += 11) { /* less is no step with four jobs */
            int goes = 0;
            create(at("b"), searches[i]);
            while (!go_on(at("b"), (uint64_t)(100 + goes), every + goes % 4, 0, &w)) {
                const char *ledger = at("b/ledger.jsonl");
                if (goes % 4 == 3)
                    assert_int_equal(truncate(ledger, (off_t)size_of(ledger) - 9), 0);
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
    for (int i = 0; i < N_SEARCHES; i++) {
        struct world w;
        size_t n;
        json_t *as = undisturbed(searches[i], &w);
        char *text = (char *)get_file(at("a/ledger.jsonl"), &n);
        for (size_t k = 0; k < n; k++) {
            if (text[k] != '\n' || (k % 7 && !strstr(searches[i], "cohort"))) continue;
            create(at("b"), searches[i]);
            put_file(at("b/ledger.jsonl"), text, k + 1);
            assert_true(go_on(at("b"), k, 0, 0, &w));
            same_story(at("b"), as);
            remove_tree(at("b"));
        }
        free(text);
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
