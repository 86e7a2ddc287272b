/* What is seen of a search: outcomes, differences, tables, status, the best one, charts; of one
 * that is empty, torn, or being written. */
#include "search_fixture.h"

#include "results_tsv.h"
#include "search_best.h"
#include "search_chart.h"
#include "search_init.h"
#include "search_status.h"
#include "search_view.h"

#include <math.h>

static struct search s;
static struct search_view v;

static void look(const char *more) {
    open_made_up(&s, more);
    ok(search_view(&v, &s, &e));
}

static void done(void) {
    search_view_release(&v);
    search_close(&s);
}

/* What is printed between these, as text. */
static char *printed;
static size_t printed_n;
static FILE *begin(void) {
    free(printed);
    printed = NULL;
    return open_memstream(&printed, &printed_n);
}

static void same_text(const char *expected) {
    if (strcmp(printed, expected)) fail_msg("expected:\n%s\nfound:\n%s", expected, printed);
}

/* ---- what became of trials ------------------------------------------------------------------- */

static void outcomes(void **state) {
    (void)state;
    static const enum view_outcome expected[] = {
        VIEW_base,   VIEW_keep, VIEW_discard, VIEW_refused, VIEW_crash,
        VIEW_memory, VIEW_nan,  VIEW_partial, VIEW_keep,    VIEW_running};
    static const unsigned seeds[] = {5, 4, 1, 0, 0, 0, 1, 1, 4, 0};
    static const double values[] = {2, 1.8125, 2.2, NAN, NAN, NAN, 1.95, 2.5, 1.75, NAN};
    look("");
    assert_int_equal(v.n, 10);
    for (size_t i = 0; i < v.n; i++) {
        assert_int_equal(v.trial[i].outcome, expected[i]);
        assert_int_equal(v.trial[i].seeds, seeds[i]);
        if (isnan(values[i]))
            assert_true(isnan(v.trial[i].value));
        else
            assert_true(fabs(v.trial[i].value - values[i]) < 1e-12);
        assert_int_equal(v.trial[i].decided, i < 9);
    }
    assert_true(v.trial[7].share == 0.25 && v.trial[1].share == 1);
    assert_true(v.trial[0].seconds == 50 && v.trial[6].seconds == 12);
    assert_int_equal(v.incumbent, 8);
    assert_int_equal(v.count[VIEW_keep], 2);
    /* 2 of: 1 2 4 5 6 7 8; what was refused was not trained. */
    assert_true(fabs(view_keep_rate(&v) - 2.0 / 7) < 1e-12);
    assert_string_equal(view_outcome_name(VIEW_memory), "memory");
    assert_true(view_failed(VIEW_refused) && view_failed(VIEW_killed) &&
                !view_failed(VIEW_partial));
    assert_true(view_number(&v, 0, "num_params_M") == 1 && view_number(&v, 8, "seconds") == 10);
    assert_true(isnan(view_number(&v, 3, "num_params_M")) && isnan(view_number(&v, 0, "none")));
    done();
}

/* Against the gate's own arithmetic, on the results as they stand in the fixture. */
static void differences(void **state) {
    (void)state;
    const double a[] = {2.0, 2.1, 1.9, 2.05, 1.95};
    const struct gate_runs runs[] = {{a, 5, 0}, {kept_values[0], 4, 0}};
    const struct gate_runs candidate = {kept_values[1], 4, 0};
    struct gate_noise noise;
    struct view_delta d;
    double low, high;
    look("");
    gate_noise(runs, 2, 0, &noise);
    const struct gate_contrast k = gate_contrast(&runs[0], &candidate, &noise, s.plan.pool_df);
    gate_interval(&k, 0.95, &low, &high);
    ok(view_delta(&v, 8, 0, &d, &e));
    assert_true(fabs(d.diff - -0.2625) < 1e-12 && d.seeds == 4);
    assert_true(fabs(d.low - low) < 1e-9 && fabs(d.high - high) < 1e-9);
    assert_true(d.low < d.diff && d.diff < d.high);
    d = view_decided(&v, 1);
    assert_true(d.diff == -0.2 && d.low == -0.3 && d.high == -0.1 && d.seeds == 4);
    d = view_decided(&v, 2);
    assert_true(d.diff == 0.4 && d.low == -INFINITY && d.high == INFINITY && d.seeds == 1);
    assert_true(isnan(view_decided(&v, 9).diff));
    done();
}

/* Where higher is better the gate's signs are the other way round. */
static void higher_is_better(void **state) {
    (void)state;
    struct view_delta d;
    look(", \"metric\": {\"key\": \"val_accuracy\", \"better\": \"higher\"}");
    ok(view_delta(&v, 8, 0, &d, &e));
    assert_true(fabs(d.diff - -0.2625) < 1e-12 && d.low < d.diff && d.diff < d.high);
    d = view_decided(&v, 1);
    assert_true(d.diff == 0.2 && d.low == 0.1 && fabs(d.high - 0.3) < 1e-15);
    done();
}

static void words(void **state) {
    (void)state;
    char buf[200];
    look("");
    assert_string_equal(view_describe(&v, 0, buf, sizeof buf), "baseline");
    assert_string_equal(view_describe(&v, 1, buf, sizeof buf), "lr 0.002 -> 0.004");
    assert_string_equal(view_describe(&v, 2, buf, sizeof buf), "lr 0.004 -> 0.002, batch 4 -> 8");
    assert_string_equal(view_describe(&v, 3, buf, sizeof buf),
                        "lr 0.004 -> 0.001, batch 4 -> 2, num_hidden_layers 2 -> 4 (does not fit)");
    assert_string_equal(view_describe(&v, 8, buf, sizeof buf), "a note?with a tab");
    assert_string_equal(view_changes(&v, 8, 0, buf, sizeof buf), "lr 0.002 -> 0.005");
    done();
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void table(const char *order, const char *expected) {
    FILE *f = begin();
    results_tsv_print(&v, order, f);
    fclose(f);
    same_text(expected);
}

static void results_tables(void **state) {
    (void)state;
    look("");
    table(
        "karpathy",
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
        "0123456\t2.000000\t0.500\tkeep\tbaseline\n"
        "0123456\t1.812500\t0.600\tkeep\tlr 0.002 -> 0.004\n"
        "0123456\t2.200000\t0.700\tdiscard\tlr 0.004 -> 0.002, batch 4 -> 8\n"
        "0123456\t0.000000\t0.000\tcrash\tlr 0.004 -> 0.001, batch 4 -> 2, num_hidden_layers 2 -> "
        "4 (does not fit)\n"
        "0123456\t0.000000\t0.000\tcrash\tlr 0.004 -> 0.0011, batch 4 -> 2, num_hidden_layers 2 "
        "-> 4 (crashed)\n"
        "0123456\t0.000000\t0.000\tcrash\tlr 0.004 -> 0.0012, batch 4 -> 2, num_hidden_layers 2 "
        "-> 4 (out of memory)\n"
        "0123456\t1.950000\t1.100\tdiscard\tlr 0.004 -> 0.009, num_hidden_layers 2 -> 1 "
        "(diverged)\n"
        "0123456\t2.500000\t1.200\tdiscard\tlr 0.004 -> 0.003, num_hidden_layers 2 -> 3\n"
        "0123456\t1.750000\t1.300\tkeep\ta note?with a tab\n");
    FILE *f = begin();
    results_tsv_print(&v, "autoane", f);
    fclose(f);
    char *second = strstr(printed, "\n0123456\t1.9937");
    assert_non_null(second);
    *strchr(second + 1, '\n') = 0;
    same_text("commit\tval_loss\tsteps\tparams_M\tms_step\tstatus\tdescription\n"
              "0123456\t2.200000\t100\t1.000\t12.50\tkeep\tbaseline\n"
              "0123456\t1.993750\t100\t1.500\t12.50\tkeep\tlr 0.002 -> 0.004");
    f = begin();
    results_tsv_print(&v, "ane", f);
    fclose(f);
    assert_non_null(strstr(printed, "commit\tval_loss\tane_util_pct\tstatus\tdescription\n"
                                    "0123456\t2.200000\t25.0\tkeep\tbaseline\n"));
    ok(results_tsv_write(&v, "ane", at("results.tsv"), &e));
    f = fopen(at("results.tsv"), "r");
    char line[80];
    assert_non_null(f && fgets(line, sizeof line, f) ? line : NULL);
    assert_string_equal(line, "commit\tval_loss\tane_util_pct\tstatus\tdescription\n");
    fclose(f);
    done();
}

/* ---- status ---------------------------------------------------------------------------------- */

static void status_text(void **state) {
    (void)state;
    struct view_delta d;
    char expected[4000];
    look("");
    ok(view_delta(&v, 8, 0, &d, &e));
    FILE *f = begin();
    ok(search_status_print(&v, false, STATUS_TEXT, f, &e));
    fclose(f);
    snprintf(expected, sizeof expected,
             "state:                stopped\n"
             "search:               tpe, 3 axes, 100 steps a trial, val_bpb (lower is better)\n"
             "trials:               9 of 20 decided; 2 kept, 1 discarded, 1 stopped at a share of "
             "the budget, 1 "
             "running, 1 refused, 1 crashed, 1 out of memory, 1 diverged\n"
             "keep_rate:            0.286\n"
             "base:                 2.0000, mean of 5 seeds (trial 0)\n"
             "incumbent:            1.7500, mean of 4 seeds (trial 8)\n"
             "changes:              lr 0.002 -> 0.005\n"
             "difference:           -0.2625 [%+.4f, %+.4f] to the base\n"
             "noise:                %.4f [%.4f, %.4f] of a result, %.4f of a paired difference\n"
             "time:                 2m 48s in trials, 15s each; about 2m 42s left\n"
             "intervals:            95 %%, at all looks together\n"
             "\n"
             "trial  against    delta  interval            seeds   value  what it changes\n"
             "    1        0  -0.2000  [-0.3000, -0.1000]      4  1.8125  lr 0.002 -> 0.004\n"
             "    8        1  -0.0625  [-0.1000, -0.0200]      4  1.7500  a note?with a tab\n",
             d.low, d.high, v.noise.sd, v.noise.low, v.noise.high, v.noise.pair_sd);
    same_text(expected);
    done();
}

/* What was tried by hand is not of the plan, and by hand alone there is none. */
static void status_by_hand(void **state) {
    (void)state;
    look(", \"strategy\": \"hand\"");
    FILE *f = begin();
    ok(search_status_print(&v, false, STATUS_TEXT, f, &e));
    fclose(f);
    assert_non_null(strstr(printed, "state:                idle\n"));
    assert_non_null(strstr(printed, "trials:               9 decided; 2 kept"));
    assert_non_null(strstr(printed, "time:                 2m 48s in trials, 15s each\n"));
    f = begin();
    ok(search_status_print(&v, false, STATUS_JSON, f, &e));
    fclose(f);
    assert_non_null(strstr(printed, "\"planned\": null"));
    done();
}

static double number_at(const json_t *j, const char *a, const char *b) {
    const json_t *x = json_object_get(json_object_get(j, a), b);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

static void status_json(void **state) {
    (void)state;
    look("");
    FILE *f = begin();
    ok(search_status_print(&v, true, STATUS_JSON, f, &e));
    fclose(f);
    json_t *j = json_loads(printed, 0, NULL);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "state")), "running");
    assert_true(number_at(j, "trials", "planned") == 20 && number_at(j, "trials", "decided") == 9);
    assert_true(number_at(j, "trials", "keep") == 2 && number_at(j, "trials", "memory") == 1);
    assert_true(fabs(number_at(j, "trials", "keep_rate") - 2.0 / 7) < 1e-12);
    assert_true(number_at(j, "budget", "steps") == 100);
    assert_true(number_at(j, "incumbent", "trial") == 8);
    assert_true(number_at(json_object_get(j, "incumbent"), "config", "lr") == 0.005);
    assert_true(fabs(number_at(json_object_get(j, "incumbent"), "gain", "diff") + 0.2625) < 1e-12);
    assert_true(number_at(j, "seconds", "spent") == 168);
    const json_t *hit = json_array_get(json_object_get(j, "hits"), 1);
    assert_true(json_integer_value(json_object_get(hit, "trial")) == 8);
    assert_true(json_number_value(json_object_get(hit, "diff")) == -0.0625);
    assert_int_equal(json_array_size(json_object_get(j, "hits")), 2);
    assert_int_equal(json_array_size(json_object_get(j, "running")), 0); /* no folder of a run */
    json_decref(j);
    done();
}

/* ---- the best one ---------------------------------------------------------------------------- */

static void best_text(void **state) {
    (void)state;
    struct view_delta d;
    char expected[2000];
    look("");
    ok(view_delta(&v, 8, 0, &d, &e));
    FILE *f = begin();
    ok(search_best_print(&v, BEST_TEXT, f, &e));
    fclose(f);
    snprintf(expected, sizeof expected,
             "best:                 trial 8 of 10, from tpe\n"
             "val_bpb:              1.7500\n"
             "seeds:                1.7500, 1.8000, 1.6500, 1.8000\n"
             "difference:           -0.2625 [%+.4f, %+.4f] to the base\n"
             "kept_for:             -0.0625 [-0.1000, -0.0200] to trial 1\n"
             "evidence:             e 2.98e+03, needed 245, 2 seeds\n"
             "\n"
             "option                  best      base\n"
             "lr                     0.005     0.002\n"
             "batch                      4  the same\n"
             "set.num_hidden_layers      2  the same\n",
             d.low, d.high);
    same_text(expected);
    done();
}

static void best_config(void **state) {
    (void)state;
    look("");
    ok(search_best_write(&v, at("best.json"), &e));
    json_t *j = json_load_file(at("best.json"), 0, NULL), *options = search_options(&s, 8);
    assert_int_equal(json_object_set_new(options, "seed", json_integer(1)), 0);
    assert_true(j && json_equal(j, options));
    assert_true(json_number_value(json_object_get(j, "lr")) == 0.005);
    assert_true(
        json_integer_value(json_object_get(json_object_get(j, "set"), "num_hidden_layers")) == 2);
    json_decref(options);
    json_decref(j);
    FILE *f = begin();
    ok(search_best_print(&v, BEST_JSON, f, &e));
    fclose(f);
    j = json_loads(printed, 0, NULL);
    assert_true(number_at(j, "seeds", "3") == 1.65 && number_at(j, "evidence", "log_e") == 8);
    assert_true(number_at(j, "evidence", "seeds") == 2); /* the first chose it */
    assert_true(number_at(j, "base", "lr") == 0.002 && number_at(j, "options", "batch") == 4);
    assert_string_equal(json_string_value(json_object_get(j, "hash")), "0000000000000009");
    json_decref(j);
    done();
}

/* ---- charts ---------------------------------------------------------------------------------- */

static struct search_chart chart;

static void draw(const char *which, const char *x) {
    const struct search_look look_ = {.chart = which, .x = x, .width = 800};
    ok(search_chart(&chart, &v, &look_, &e));
}

static void has_points(const struct chart_series *of, enum chart_kind kind, size_t n,
                       const double (*point)[2]) {
    assert_int_equal(of->kind, kind);
    assert_int_equal(of->n, n);
    for (size_t i = 0; i < n; i++) {
        if (of->x[i] == point[i][0] && fabs(of->y[i] - point[i][1]) < 1e-9) continue;
        fail_msg("point %zu is (%g, %g), not (%g, %g)", i, of->x[i], of->y[i], point[i][0],
                 point[i][1]);
    }
}

/* Values at the whole budget: 2, 1.8125, 2.2, 1.95, 1.75. The edge: as far beyond the base as the
 * best is before it, 2.25, and 0.04 of 0.5 more. */
static void chart_of_progress(void **state) {
    (void)state;
    look("");
    draw("progress", "");
    const struct chart *c = &chart.chart;
    assert_string_equal(c->title, "9 Experiments, 2 Kept Improvements");
    assert_string_equal(c->note, "1 stopped at a share of the budget: not shown");
    assert_true(c->n_panels == 1 && c->panels[0].n_series == 4 && c->n_row == 4);
    assert_string_equal(c->panels[0].title, "val_bpb");
    const struct chart_series *of = c->panels[0].series;
    has_points(&of[0], CHART_STEPS, 3, (const double[][2]){{0, 2}, {1, 1.8125}, {8, 1.75}});
    has_points(&of[2], CHART_SCATTER, 2, (const double[][2]){{2, 2.2}, {6, 1.95}});
    has_points(&of[3], CHART_SCATTER, 3, (const double[][2]){{0, 2}, {1, 1.8125}, {8, 1.75}});
    assert_true(of[2].style == CHART_GREY && of[3].style == 2 && of[0].style == 2);
    const double edge = of[1].y[0];
    has_points(&of[1], CHART_CROSSES, 3, (const double[][2]){{3, edge}, {4, edge}, {5, edge}});
    assert_true(edge > 2.2 && edge < 2.3);
    assert_int_equal(c->n_labels, 3);
    assert_string_equal(c->labels[1].text, "1  lr 0.002 -> 0.004");
    assert_true(c->labels[1].x == 1 && fabs(c->labels[1].y - 1.8125) < 1e-9);
    search_chart_release(&chart);
    done();
}

static void chart_of_knobs(void **state) {
    (void)state;
    look("");
    draw("knobs", "");
    const struct chart *c = &chart.chart;
    assert_true(c->n_panels == 3 && c->columns == 3);
    assert_string_equal(c->panels[0].title, "lr");
    assert_string_equal(c->panels[2].title, "num_hidden_layers");
    assert_true(c->panels[0].log_x && !c->panels[1].log_x && c->panels[2].whole_x);
    has_points(&c->panels[0].series[0], CHART_SCATTER, 2,
               (const double[][2]){{0.002, 2.2}, {0.009, 1.95}});
    has_points(&c->panels[0].series[1], CHART_SCATTER, 3,
               (const double[][2]){{0.002, 2}, {0.004, 1.8125}, {0.005, 1.75}});
    has_points(&c->panels[0].series[2], CHART_RING, 1, (const double[][2]){{0.005, 1.75}});
    assert_int_equal(c->panels[1].n_words, 3);
    assert_string_equal(c->panels[1].words[2], "8");
    assert_true(fabs(c->panels[1].series[0].x[0] - 2) <= 0.25); /* batch 8, and a little beside */
    assert_true(fabs(c->panels[0].min - 1.75) < 1e-9 && c->panels[0].max == c->panels[1].max);
    search_chart_release(&chart);
    done();
}

/* By parameters: 1, 1.5, 2, 4, 5 million. */
static void chart_of_costs(void **state) {
    (void)state;
    look("");
    draw("pareto", "params");
    const struct chart *c = &chart.chart;
    assert_string_equal(c->title, "val_bpb against million parameters: 3 on the front");
    const struct chart_series *of = c->panels[0].series;
    has_points(&of[0], CHART_STEPS, 3, (const double[][2]){{1, 2}, {1.5, 1.8125}, {5, 1.75}});
    has_points(&of[1], CHART_SCATTER, 2, (const double[][2]){{2, 2.2}, {4, 1.95}});
    has_points(&of[2], CHART_SCATTER, 3, (const double[][2]){{1, 2}, {1.5, 1.8125}, {5, 1.75}});
    has_points(&of[3], CHART_RING, 1, (const double[][2]){{5, 1.75}});
    assert_string_equal(c->labels[2].text, "trial 8  1.7500");
    search_chart_release(&chart);
    draw("pareto", "seconds");
    assert_string_equal(chart.chart.x_title, "seconds of training");
    assert_true(chart.chart.panels[0].series[2].x[0] == 8);
    search_chart_release(&chart);
    done();
}

/* ---- the shape of a base ----------------------------------------------------------------------- */

/* 24 operations for the square of the weights: 6 a weight and token, 4 tokens a weight. */
static void shapes(void **state) {
    (void)state;
    static const int64_t shape[][2] = {{2, 64}, {4, 128}, {8, 256}, {16, 512}, {24, 768}};
    int64_t layers, width, before = 0;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        const double weights = 12.0 * (double)(shape[i][0] * shape[i][1] * shape[i][1]);
        search_init_shape(24 * weights * weights, &layers, &width);
        assert_true(layers == shape[i][0] && width == shape[i][1]);
    }
    for (double flops = 1e6; flops < 1e25; flops *= 3) {
        search_init_shape(flops, &layers, &width);
        assert_true(layers >= 2 && layers <= 48 && width >= before && width % 64 == 0);
        before = width;
    }
}

/* ---- searches that have not come far --------------------------------------------------------- */

static void nothing_yet(void **state) {
    (void)state;
    write_search_file("");
    FILE *f = create("ledger.jsonl");
    head_line(f);
    fclose(f);
    ok(search_open(&s, dir, false, &e));
    ok(search_view(&v, &s, &e));
    assert_true(v.n == 0 && v.incumbent == -1 && isnan(view_keep_rate(&v)));
    f = begin();
    ok(search_status_print(&v, true, STATUS_TEXT, f, &e));
    fclose(f);
    same_text("state:                running\n"
              "search:               tpe, 3 axes, 100 steps a trial, val_bpb (lower is better)\n"
              "trials:               0 of 20 decided\n");
    table("karpathy", "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n");
    f = begin();
    ok(search_status_print(&v, true, STATUS_JSON, f, &e));
    assert_int_equal(search_best_print(&v, BEST_TEXT, f, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "no trial has a result yet"));
    const struct search_look look_ = {.chart = "progress", .x = "", .width = 800};
    assert_int_equal(search_chart(&chart, &v, &look_, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "nothing to draw"));
    fclose(f);
    done();
}

/* Cut anywhere, as a search that is being written is found: what is whole is seen, and nothing
 * fails. */
static void cut_anywhere(void **state) {
    (void)state;
    char *text = NULL;
    size_t n, trials = 0;
    FILE *f = open_memstream(&text, &n);
    write_ledger_lines(f);
    fclose(f);
    write_search_file("");
    for (size_t cut = 200; cut <= n; cut += cut < n && cut + 97 > n ? n - cut : 97) {
        f = create("ledger.jsonl");
        fwrite(text, 1, cut, f);
        fclose(f);
        ok(search_open(&s, dir, false, &e));
        ok(search_view(&v, &s, &e));
        assert_true(v.n >= trials);
        trials = v.n;
        f = begin();
        ok(search_status_print(&v, true, STATUS_TEXT, f, &e));
        ok(search_status_print(&v, true, STATUS_JSON, f, &e));
        results_tsv_print(&v, "karpathy", f);
        if (v.incumbent >= 0) ok(search_best_print(&v, BEST_JSON, f, &e));
        fclose(f);
        done();
        if (cut == n) break;
    }
    assert_int_equal(trials, 10);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes),          cmocka_unit_test(differences),
        cmocka_unit_test(higher_is_better),  cmocka_unit_test(words),
        cmocka_unit_test(results_tables),    cmocka_unit_test(status_text),
        cmocka_unit_test(status_json),       cmocka_unit_test(status_by_hand),
        cmocka_unit_test(best_text),         cmocka_unit_test(best_config),
        cmocka_unit_test(chart_of_progress), cmocka_unit_test(chart_of_knobs),
        cmocka_unit_test(chart_of_costs),    cmocka_unit_test(shapes),
        cmocka_unit_test(nothing_yet),       cmocka_unit_test(cut_anywhere),
    };
    const int failed = cmocka_run_group_tests(tests, make_dir, remove_dir);
    free(printed);
    return failed;
}
