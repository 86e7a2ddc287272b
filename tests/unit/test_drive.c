/* The loop of a search with made-up trials: what is decided, what is run, and what ends it. */
#include "drive_fixture.h"

/* The rules ------------------------------------------------------------------------------------ */

static double result(const struct search *s, int64_t trial, int64_t seed) {
    json_t *o = search_options(s, trial);
    const double y = value_at(o, seed, 1);
    json_decref(o);
    return y;
}

/* One after another, the decisions are those of the gate, asked seed by seed. */
static void decisions_are_the_gates(void **state) {
    (void)state;
    enum { TRIALS = 40, SEEDS = 6 };
    static double value[TRIALS][SEEDS];
    struct gate_runs runs[TRIALS] = {{0}};
    struct world w;
    struct search s;
    create(at("a"), "'trials': 40, 'seeds': 6, 'confidence': 0.9, 'strategy': 'random'");
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    ok(search_open(&s, at("a"), false, &e));
    assert_int_equal(search_trials(&s), TRIALS);
    int64_t incumbent = 0;
    unsigned tests = 0, kept = 0, refused = 0, failed = 0;
    for (int64_t t = 0; t < TRIALS; t++) {
        for (int64_t k = 0; k < SEEDS; k++) value[t][k] = result(&s, t, k + 1);
        runs[t].value = value[t];
        struct search_evidence v;
        assert_true(search_evidence(&s, t, &v));
        const enum trial_status status = search_status(&s, t);
        if (t == 0) {
            assert_string_equal(v.reason, "base");
            runs[0].n = JUDGE_FLOOR;
            continue;
        }
        assert_int_equal(search_rival(&s, t), incumbent);
        if (status != TRIAL_ok) {
            assert_string_equal(v.reason, "failed");
            refused += status == TRIAL_refused;
            failed += status == TRIAL_nan;
            continue;
        }
        if (!strcmp(v.reason, "known")) continue;
        struct gate_noise noise_now;
        struct gate_evidence look;
        gate_noise(runs, (size_t)t, (size_t)incumbent, &noise_now);
        const double threshold = gate_threshold(&s.plan, ++tests, kept);
        for (size_t n = 1;; n++) {
            struct gate_runs a = runs[incumbent], b = {value[t], n, 0};
            if (a.n < n) a.n = n;
            look = gate_look(&s.plan, threshold, &a, &b, &noise_now);
            runs[t].n = n;
            if (look.verdict != GATE_MORE) break;
        }
        assert_int_equal(v.test, tests);
        assert_int_equal(v.seeds, runs[t].n);
        assert_true(v.log_e == look.log_e && v.threshold == threshold);
        assert_true(v.diff == look.contrast.diff);
        assert_string_equal(v.reason, gate_reason_word(look.reason));
        assert_int_equal(search_decision(&s, t)->keep, look.verdict == GATE_KEEP);
        if (runs[incumbent].n < runs[t].n) runs[incumbent].n = runs[t].n;
        if (look.verdict != GATE_KEEP) continue;
        kept++;
        incumbent = t;
        runs[t].n = SEEDS;
    }
    assert_int_equal(search_incumbent(&s), incumbent);
    assert_int_equal(search_kept(&s), kept);
    assert_true(kept > 0 && refused > 0 && failed > 0); /* or nothing was tested here */
    for (int64_t k = 1; k <= SEEDS; k++) assert_non_null(search_result(&s, incumbent, k));
    struct gate_noise all;
    ok(search_noise(&s, &all, &e));
    assert_true(all.sd > 0.01 && all.sd < 0.04);
    search_close(&s);
    remove_tree(at("a"));
}

/* The gate's decision on a trial that halving has taken further, for being low at seed 1: that seed
 * may end it, and is no evidence. *n: seeds that it takes. */
static struct gate_evidence look_behind(const struct gate_plan *plan, double threshold,
                                        const struct gate_runs *incumbent, const double *value,
                                        const struct gate_noise *noise_now, size_t *n) {
    double fresh[8];
    struct gate_plan behind = *plan;
    struct gate_evidence look;
    behind.max_seeds--;
    memcpy(fresh, value, plan->max_seeds * sizeof *fresh);
    fresh[0] = NAN;
    for (*n = 1;; ++*n) {
        struct gate_runs a = *incumbent;
        const struct gate_runs b = {*n > 1 ? fresh : value, *n, 0};
        if (a.n < *n) a.n = *n;
        look = gate_look(*n > 1 ? &behind : plan, threshold, &a, &b, noise_now);
        if (look.verdict == GATE_DISCARD || (*n > 1 && look.verdict == GATE_KEEP)) return look;
    }
}

static void halving_is_tested_behind_seed_1(void **state) {
    (void)state;
    enum { TRIALS = 60, SEEDS = 6 };
    static double value[TRIALS][SEEDS];
    struct gate_runs runs[TRIALS] = {{0}};
    struct world w;
    struct search s;
    create(at("a"), "'trials': 60, 'seeds': 6, 'confidence': 0.9, 'strategy': {'name': 'halving', "
                    "'eta': 2, 'rungs': 2, 'cohort': 4}");
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    ok(search_open(&s, at("a"), false, &e));
    assert_int_equal(search_trials(&s), TRIALS);
    for (int64_t t = 0; t < TRIALS; t++) {
        for (int64_t k = 0; k < SEEDS; k++) value[t][k] = result(&s, t, k + 1);
        runs[t].value = value[t];
    }
    int64_t incumbent = 0;
    unsigned tests = 0, kept = 0, behind = 0;
    for (size_t i = 0; i < s.ledger.n_decisions; i++) {
        const struct ledger_decision *d = &s.ledger.decision[i];
        const json_t *first = json_object_get(json_object_get(d->json, "evidence"), "first_seed");
        struct search_evidence v;
        search_evidence(&s, d->trial, &v);
        if (v.test > 0) {
            struct gate_noise noise_now;
            size_t n;
            gate_noise(runs, TRIALS, (size_t)incumbent, &noise_now);
            const double threshold = gate_threshold(&s.plan, ++tests, kept);
            const struct gate_evidence look = look_behind(
                &s.plan, threshold, &runs[incumbent], value[d->trial], &noise_now, &n);
            assert_int_equal(v.test, tests);
            assert_int_equal(v.seeds, n);
            assert_true(v.log_e == look.log_e && v.threshold == threshold);
            assert_int_equal(d->keep, look.verdict == GATE_KEEP);
            assert_int_equal(json_integer_value(first), n > 1 ? 2 : 0);
            kept += d->keep;
            behind += n > 1;
        }
        runs[d->trial].n = d->keep && d->trial ? SEEDS : v.seeds > 0 ? (size_t)v.seeds : 0;
        if (d->against >= 0 && v.seeds > 0 && runs[d->against].n < (size_t)v.seeds)
            runs[d->against].n = (size_t)v.seeds;
        if (d->keep) incumbent = d->trial;
    }
    assert_true(kept > 0 && tests > 10 && behind >= kept); /* or nothing was tested here */
    search_close(&s);
    remove_tree(at("a"));
}

/* Without confidence one seed decides. */
static void the_predecessors_rule(void **state) {
    (void)state;
    static const char predecessors[] =
        "'trials': 30, 'strategy': 'local', 'confidence': 0, 'jobs': 2";
    struct world w;
    struct search s;
    create(at("a"), predecessors);
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    ok(search_open(&s, at("a"), false, &e));
    double best = result(&s, 0, 1);
    for (int64_t t = 1; t < search_trials(&s); t++) {
        const double y = result(&s, t, 1);
        struct search_evidence v;
        search_evidence(&s, t, &v);
        assert_null(search_result(&s, t, 2));
        const bool keep = search_status(&s, t) == TRIAL_ok && y < best;
        assert_int_equal(search_decision(&s, t)->keep, keep);
        if (keep) best = y;
    }
    assert_true(search_kept(&s) > 2);
    search_close(&s);
    remove_tree(at("a"));
}

/* All seeds of all configurations, and one look at them; without confidence the mean decides. */
static void every_seed(void **state) {
    (void)state;
    enum { SEEDS = 6 };
    for (int sure = 0; sure < 2; sure++) {
        struct world w;
        struct search s;
        char more[200];
        snprintf(more, sizeof more, "'trials': 40, 'seeds': %d, 'every_seed': true, 'strategy': "
                 "'random', 'confidence': %s", SEEDS, sure ? "0.9" : "0");
        create(at("a"), more);
        assert_true(go_on(at("a"), 1, 0, 0, &w));
        ok(search_open(&s, at("a"), false, &e));
        int64_t incumbent = 0;
        int whole = 0, failed = 0;
        for (int64_t t = 0; t < search_trials(&s); t++) {
            struct search_evidence v;
            search_evidence(&s, t, &v);
            failed += search_status(&s, t) == TRIAL_nan;
            if (search_status(&s, t) != TRIAL_ok || !strcmp(v.reason, "known")) continue;
            double diff = 0;
            for (int64_t k = 1; k <= SEEDS; k++) {
                const struct ledger_result *r = search_result(&s, t, k);
                assert_true(r && r->value == result(&s, t, k));
                diff += r->value - result(&s, incumbent, k);
            }
            if (t == 0) continue;
            whole++;
            assert_int_equal(v.seeds, SEEDS);
            const bool keep = search_decision(&s, t)->keep;
            assert_string_equal(v.reason, !sure ? keep ? "better" : "worse"
                                                : keep ? "proven" : "spent");
            assert_true(fabs(v.diff - diff / SEEDS) < 1e-12);
            if (sure) assert_int_equal(keep, v.log_e >= v.threshold);
            else assert_int_equal(keep, diff < 0);
            if (keep) incumbent = t;
        }
        assert_true(whole > 15 && incumbent > 0);
        assert_int_equal(w.started, SEEDS * (whole + 1) + failed);
        search_close(&s);
        remove_tree(at("a"));
    }
}

/* A configuration that is known has its result, and costs no training. */
static void known_is_not_scored_again(void **state) {
    (void)state;
    struct world w;
    struct search s;
    json_t *file = parse("{'base': {'model': '/none/m.json', 'data': 's.txt', 'lr': 1e-3, "
                         "'batch': 4}, 'budget': {'steps': 10}, 'space': {'batch': {'choice': "
                         "[2, 4]}}, 'trials': 7, "
                         "'strategy': 'random', 'seeds': 2, 'jobs': 2}");
    ok(search_create(&s, file, "search.json", at("a"), &e));
    search_close(&s);
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    ok(search_open(&s, at("a"), false, &e));
    assert_int_equal(search_trials(&s), 7);
    int known = 0;
    for (int64_t t = 0; t < 7; t++) {
        struct search_evidence v;
        search_evidence(&s, t, &v);
        const struct ledger_result *r = search_result(&s, t, 1);
        assert_true(r && r->value == result(&s, t, 1));
        if (strcmp(v.reason, "known")) continue;
        known++;
        assert_true(json_is_integer(json_object_get(r->json, "same")));
        assert_null(search_result(&s, t, 2));
    }
    assert_int_equal(known, 5);
    assert_true(w.started <= 4 + 1); /* two configurations of two seeds, one run ahead at most */
    search_close(&s);
    json_decref(file);
    remove_tree(at("a"));
}

/* A configuration is trained once at each share, whichever trial it was that had it there first: also
 * where that was none of the base's, which has the whole budget alone. */
static void known_at_its_share(void **state) {
    (void)state;
    for (int jobs = 1; jobs < 4; jobs += 2) {
        char text[400];
        struct world w;
        struct search s;
        snprintf(text, sizeof text,
                 "{'base': {'model': '/none/m.json', 'data': 's.txt', 'lr': 1e-3, 'batch': 2}, "
                 "'budget': {'steps': 10}, 'space': {'batch': {'choice': [2, 4]}}, 'trials': 30, "
                 "'strategy': {'name': 'halving', 'eta': 2, 'cohort': 6}, 'seeds': 2, 'jobs': %d}",
                 jobs);
        json_t *file = parse(text);
        ok(search_create(&s, file, "search.json", at("a"), &e));
        search_close(&s);
        json_decref(file);
        assert_true(go_on(at("a"), 1, 0, 0, &w));
        ok(search_open(&s, at("a"), false, &e));
        const struct ledger *l = &s.ledger;
        int copies[3] = {0}, of_base = 0;
        for (size_t i = 0; i < l->n_jobs; i++) {
            const struct ledger_job *job = &l->job[i];
            const struct ledger_result *r = ledger_find(l, job->trial, 1, job->rung);
            size_t first = 0;
            while (strcmp(l->job[first].hash, job->hash) || l->job[first].share != job->share)
                first++;
            const json_t *same = json_object_get(r->json, "same");
            assert_int_equal(same != NULL, first < i);
            if (!same) continue;
            assert_int_equal(json_integer_value(same), l->job[first].trial);
            const struct ledger_job *its = &l->job[first];
            assert_true(r->value == ledger_find(l, its->trial, 1, its->rung)->value);
            copies[job->rung]++;
            of_base += job->share < 1 && !strcmp(job->hash, l->job[0].hash);
        }
        assert_true(copies[0] > 0 && copies[1] > 0 && copies[2] > 0 && of_base > 0);
        search_close(&s);
        remove_tree(at("a"));
    }
}

/* By hand: decided like the others, and nothing else is proposed. */
static void by_hand(void **state) {
    (void)state;
    struct world w = {.order = rng_make(1, RNG_SEARCH, 1, 2, 3)};
    const struct drive_runner r = {&w, world_fits, world_start, world_wait, world_stop};
    const struct drive_opts o = {.quiet = true, .runner = &r};
    struct search s;
    int64_t trial, again;
    create(at("a"), "'trials': 20, 'strategy': 'tpe'");
    ok(search_open(&s, at("a"), true, &e));
    json_t *config = json_pack("{s:f, s:i}", "lr", 1e-3, "batch", 4);
    ok(drive_hand(&s, config, "an idea", &o, &trial, &e));
    assert_true(trial == 1 && search_trials(&s) == 2 && search_incumbent(&s) == 1);
    assert_string_equal(search_job(&s, 1)->from, "hand");
    assert_string_equal(json_string_value(json_object_get(search_job(&s, 1)->json, "note")),
                        "an idea");
    const int started = w.started;
    ok(drive_hand(&s, config, NULL, &o, &again, &e));
    assert_true(again == 1 && w.started == started);
    json_object_set_new(config, "lr", json_real(0.5)); /* no value of the axis */
    json_object_set_new(config, "beta1", json_real(0.8)); /* and no axis */
    ok(drive_hand(&s, config, NULL, &o, &again, &e));
    assert_true(again == 2 && search_status(&s, 2) == TRIAL_nan && search_incumbent(&s) == 1);
    char words[100];
    assert_string_equal(search_changes(&s, 2, 1, words, sizeof words),
                        "lr 0.001 -> 0.5, beta1 0.9 -> 0.8");
    json_decref(config);
    ok(drive_search(&s, &o, &e));
    assert_int_equal(search_trials(&s), 22);
    search_close(&s);
    remove_tree(at("a"));
}

/* What halving has left behind at a share is not known by hand, which asks for all of the budget. */
static void by_hand_after_a_share(void **state) {
    (void)state;
    struct world w;
    struct search s;
    struct search_evidence v;
    int64_t trial, again, left = 0;
    create(at("a"), "'trials': 9, 'seeds': 3, 'strategy': {'name': 'halving', 'eta': 2, 'rungs': 2, "
                    "'cohort': 4}");
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    ok(search_open(&s, at("a"), true, &e));
    do search_evidence(&s, ++left, &v);
    while (strcmp(v.reason, "outrun"));
    json_t *config = json_deep_copy(search_config(&s, left));
    const double at_share = search_mean(&s, left, NULL);
    const struct drive_runner r = {&w, world_fits, world_start, world_wait, world_stop};
    const struct drive_opts o = {.quiet = true, .runner = &r};
    ok(drive_hand(&s, config, NULL, &o, &trial, &e));
    assert_int_equal(trial, 9);
    assert_true(search_job(&s, trial)->share == 1);
    assert_true(search_result(&s, trial, 1)->value == result(&s, trial, 1));
    assert_true(search_result(&s, trial, 1)->value != at_share);
    search_evidence(&s, trial, &v);
    assert_true(v.test > 0);
    ok(drive_hand(&s, config, NULL, &o, &again, &e));
    assert_int_equal(again, trial);
    json_decref(config);
    search_close(&s);
    remove_tree(at("a"));
}

/* A full disk ends the search and fails no trial. */
static void a_full_disk(void **state) {
    (void)state;
    struct world w;
    struct search s;
    create(at("a"), "'trials': 8, 'strategy': 'random'");
    create(at("b"), "'trials': 8, 'strategy': 'random'");
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    json_t *as = story(at("a"));
    assert_false(go_on(at("b"), 1, 25, 0, &w));
    ok(search_open(&s, at("b"), true, &e));
    const size_t results = s.ledger.n_results;
    w = (struct world){.crash = "run: needs 2 MB, and 1 MB are free on its disk"};
    const struct drive_runner r = {&w, world_fits, world_start, world_wait, world_stop};
    const struct drive_opts o = {.quiet = true, .runner = &r};
    assert_int_equal(drive_search(&s, &o, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "has no room: run: needs 2 MB"));
    w = (struct world){.crash = "state: No space left on device"};
    assert_int_equal(drive_search(&s, &o, &e), ERR_IO);
    assert_int_equal(s.ledger.n_results, results);
    search_close(&s);
    assert_true(go_on(at("b"), 1, 0, 0, &w));
    same_story(at("b"), as);
    json_decref(as);
    remove_tree(at("a"));
    remove_tree(at("b"));
}

/* What a ledger says of its decisions is taken for what it can be. */
static void a_ledger_that_was_changed(void **state) {
    (void)state;
    static char text[1 << 16];
    static const char *const changes[][2] = {{"\"trials\":12,", "\"trials\":4294967296,"},
                                             {"\"seeds\":5", "\"seeds\":9000000000000000"},
                                             {"\"seeds\":1", "\"seeds\":-7"}};
    struct world w;
    char ledger[200];
    create(at("a"), "'trials': 12, 'strategy': 'random'");
    snprintf(ledger, sizeof ledger, "%s/ledger.jsonl", at("a"));
    assert_false(go_on(at("a"), 1, 30, 0, &w));
    FILE *f = fopen(ledger, "rb");
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    assert_true(n < sizeof text - 1);
    text[n] = 0;
    f = fopen(ledger, "wb");
    int changed = 0;
    for (const char *p = text; *p; p++) {
        size_t i = 0;
        while (i < 3 && strncmp(p, changes[i][0], strlen(changes[i][0]))) i++;
        fputs(i < 3 ? changes[i][1] : (char[]){*p, 0}, f);
        if (i < 3) p += strlen(changes[i][0]) - 1;
        changed |= i < 3 ? 1 << i : 0;
    }
    fclose(f);
    assert_int_equal(changed, 7);
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    remove_tree(at("a"));
}

/* A base without a result is beaten by the first that has one; what cannot even be started is no
 * base. */
static void a_base_that_fails(void **state) {
    (void)state;
    struct world w;
    struct search s;
    json_t *file = file_of("'trials': 12, 'strategy': 'random', 'jobs': 2");
    json_object_set_new(json_object_get(file, "base"), "lr", json_real(9e-3)); /* diverges */
    ok(search_create(&s, file, "search.json", at("a"), &e));
    search_close(&s);
    json_decref(file);
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    ok(search_open(&s, at("a"), false, &e));
    assert_true(search_status(&s, 0) == TRIAL_nan && !search_result(&s, 0, 3));
    struct search_evidence v;
    int64_t t = 1;
    while (search_status(&s, t) != TRIAL_ok) t++;
    assert_true(search_evidence(&s, t, &v) && search_decision(&s, t)->keep && v.seeds == 1);
    assert_string_equal(v.reason, "first");
    for (t++; t < search_trials(&s); t++) {
        search_evidence(&s, t, &v);
        assert_string_not_equal(v.reason, "first");
    }
    assert_true(search_incumbent(&s) > 0);
    search_close(&s);
    remove_tree(at("a"));

    w = (struct world){.crash = "no such file"};
    const struct drive_runner r = {&w, world_fits, world_start, world_wait, world_stop};
    create(at("a"), "'trials': 25, 'strategy': 'tpe'");
    ok(search_open(&s, at("a"), true, &e));
    assert_int_equal(drive_search(&s, &(struct drive_opts){.quiet = true, .runner = &r}, &e),
                     ERR_INPUT);
    assert_non_null(strstr(e.msg, "the base cannot be trained: no such file (see "));
    assert_int_equal(s.ledger.n_results, 0); /* so that it is tried again */
    search_close(&s);
    assert_true(go_on(at("a"), 1, 0, 0, &w));
    remove_tree(at("a"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_are_the_gates),   cmocka_unit_test(the_predecessors_rule),
        cmocka_unit_test(halving_is_tested_behind_seed_1),
        cmocka_unit_test(known_is_not_scored_again), cmocka_unit_test(every_seed),
        cmocka_unit_test(known_at_its_share),
        cmocka_unit_test(by_hand),                   cmocka_unit_test(a_base_that_fails),
        cmocka_unit_test(by_hand_after_a_share),
        cmocka_unit_test(a_ledger_that_was_changed), cmocka_unit_test(a_full_disk),
    };
    return cmocka_run_group_tests(tests, make_fast_dir, remove_all);
}
