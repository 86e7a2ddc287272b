/* Tables of runs, and texts and ticks of pictures. */
#include "err_fixture.h"

#include "chart_text.h"
#include "plot_data.h"
#include "plot_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char table[] =
    "# where it is from\n"
    "run\tstep\tseconds\ttokens\tloss\tlr\tval_loss\tval_loss_stderr\tval_bpb"
    "\tfloor_bpb\n"
    "a\t10\t1.5\t1000\t5.25\t0.001\t\t\t\t\n"
    "a\t20\t3\t2000\tnan\t0.0005\t\t\t\t\r\n"
    "a\t20\t3\t2000\t\t\t4\t0.5\t1\t0.25\n"
    "b\t\t7\t\t\t\t3.5\t\t\t\n";

static void read_table(void **state) {
    (void)state;
    struct plot_set s = {0};
    assert_int_equal(plot_table_parse(&s, table, "t.tsv", &e), 0);
    assert_int_equal(s.n, 2);
    const struct record *a = &s.run[0].run, *b = &s.run[1].run;
    assert_string_equal(a->label, "a");
    assert_int_equal(a->n_steps, 2);
    assert_int_equal(a->steps[0].step, 10);
    assert_true(a->steps[0].loss == 5.25 && a->steps[0].seconds == 1.5);
    assert_true(a->steps[0].tokens == 1000 && a->steps[1].lr == 0.0005);
    assert_true(isnan(a->steps[1].loss) && isnan(a->steps[1].grad_norm));
    assert_int_equal(a->n_vals, 1);
    assert_true(a->vals[0].loss == 4 && a->vals[0].stderr_ == 0.5 && a->vals[0].tokens == 2000);
    assert_true(s.run[0].bpb == 0.25 && s.run[0].floor == 0.25);
    assert_int_equal(b->n_steps, 0);
    assert_int_equal(b->n_vals, 1);
    assert_true(b->vals[0].step == -1 && b->vals[0].seconds == 7 && isnan(b->vals[0].tokens));
    assert_true(isnan(s.run[1].bpb));
    plot_set_release(&s);
}

static void refuse(const char *text, const char *sentence) {
    struct plot_set s = {0};
    assert_int_equal(plot_table_parse(&s, text, "t.tsv", &e), ERR_INPUT);
    assert_string_equal(e.msg, sentence);
    plot_set_release(&s);
}

static void refused(void **state) {
    (void)state;
    refuse("", "t.tsv: a table without lines of runs");
    refuse("run\tloss\n", "t.tsv: a table without lines of runs");
    refuse("loss\tval_loss\n1\n", "t.tsv, line 2: fewer than the 2 fields of the first line");
    refuse("#\nloss\n1\t2\n", "t.tsv, line 3: more than the 1 fields of the first line");
    refuse("loss\n1\n0x\n", "t.tsv, line 3, loss: \"0x\" is not a number");
    refuse("loss\tloss\n", "t.tsv, line 1: two columns are called loss");
    refuse(
        "los\n1\n",
        "t.tsv, line 1: \"los\" is no column of a table of runs; they are seconds, tokens, loss, "
        "lr, grad_norm, tokens_per_second, val_loss, val_loss_stderr, val_accuracy, val_f1, run, "
        "step, val_bpb, floor_bpb");
}

/* Every beginning is read or refused; what is read is written and read as the same. */
static void cut(void **state) {
    (void)state;
    const char *path = "/tmp/duet-test-plot.tsv", *again = "/tmp/duet-test-plot2.tsv";
    for (size_t n = 0; n < sizeof table; n++) {
        char text[sizeof table];
        struct plot_set s = {0}, t = {0};
        memcpy(text, table, n);
        text[n] = '\0';
        if (plot_table_parse(&s, text, "t.tsv", &e)) {
            assert_true(e.code == ERR_INPUT && !strncmp(e.msg, "t.tsv", 5));
        } else {
            assert_int_equal(plot_set_name(&s, &e), 0);
            assert_int_equal(plot_set_write(&s, path, &e), 0);
            bool lines = false;
            for (size_t i = 0; i < s.n; i++)
                lines |= s.run[i].run.n_vals + s.run[i].run.n_steps > 0;
            assert_int_equal(plot_set_add(&t, path, &e), lines ? 0 : ERR_INPUT);
            assert_int_equal(plot_set_write(&t, again, &e), 0);
            if (lines) {
                char command[200];
                snprintf(command, sizeof command, "cmp -s %s %s", path, again);
                assert_int_equal(system(command), 0);
            }
        }
        plot_set_release(&s);
        plot_set_release(&t);
    }
    remove(path);
    remove(again);
}

/* Means of three lines (10 updates on both sides); of one at the beginning, of two at the end; a
 * line without a number interrupts the curve and is in no mean. */
static void curves(void **state) {
    (void)state;
    static const char lines[] = "run\tstep\ttokens\tloss\tlr\tval_loss\tval_loss_stderr\tval_bpb\n"
                                "a\t10\t1000\t8\t1\t\t\t\n"
                                "a\t20\t2000\t5\t1\t\t\t\n"
                                "a\t30\t3000\t2\t1\t\t\t\n"
                                "a\t40\t4000\tnan\t1\t\t\t\n"
                                "a\t50\t5000\t4\t1\t\t\t\n"
                                "a\t60\t6000\t1\t1\t\t\t\n"
                                "a\t60\t20000\t\t\t3\t0.5\t1.5\n";
    static const double want[] = {8, 5, 3.5, NAN, 2.5, 2.5};
    const struct quantity q = {.val = (int)offsetof(struct record_val, loss),
                               .step = (int)offsetof(struct record_step, loss),
                               .err = (int)offsetof(struct record_val, stderr_),
                               .best = -1,
                               .smooth = true,
                               .bpb = true};
    const struct plot_look look = {.x = "tokens", .smooth = 20};
    struct plot_set s = {0};
    struct build b = {.set = &s, .look = &look};
    struct chart_series steps = {0}, vals = {0}, best;
    ok(plot_table_parse(&s, lines, "t.tsv", &e));
    ok(arena_init(&b.arena, 1 << 16, "curves", &e));
    plot_choose_x(&b);
    plot_choose_smooth(&b);
    assert_string_equal(b.x_title, "training tokens, thousands");
    plot_steps(&b, &q, &s.run[0], &steps);
    assert_int_equal(steps.n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_true(steps.x[i] == (double)(i + 1));
        assert_true(isnan(want[i]) ? isnan(steps.y[i]) : steps.y[i] == want[i] * 0.5);
    }
    plot_vals(&b, &q, &s.run[0], &vals);
    assert_int_equal(vals.n, 1);
    assert_true(vals.x[0] == 20 && vals.y[0] == 1.5 && vals.err[0] == 0.25);
    assert_int_equal(plot_count_drawn(&b, &steps), 5);
    assert_true(plot_best(&b, &q, &steps, &best));
    assert_true(best.n == 1 && best.x[0] == 5 && best.y[0] == 1.25);
    arena_release(&b.arena);
    plot_set_release(&s);
}

static void fit(const char *text, double ems, const char *want) {
    char *got = chart_text_fit(text, ems);
    assert_string_equal(got, want);
    assert_true(chart_text_width(got) <= ems + 1e-9);
    free(got);
}

static void fitted(void **state) {
    (void)state;
    fit("loss", 10, "loss");
    fit("", 10, "");
    fit("abcdefghijklmnopqrstuvwxyz", 6, "abcd…xyz");
    fit("a\nb\tc\x7f", 10, "a?b?c?");
    fit("\xff\xc3(", 10, "?\?(");
    fit("a\xe2\x80\xae"
        "b",
        10, "a?b"); /* text from right to left begins here */
    fit("größe 学", 10, "größe 学");
}

static void quoted(const char *text, bool xml, const char *want) {
    char *got = NULL;
    size_t n;
    FILE *f = open_memstream(&got, &n);
    chart_text_quote(f, text, xml);
    fclose(f);
    assert_string_equal(got, want);
    free(got);
}

static void quotes(void **state) {
    (void)state;
    quoted("loss 12", false, "\"loss 12\"");
    quoted("a\"`\\$12b3", false, "\"a\\042\\140\\134\\044\\061\\062b3\"");
    quoted("é&", false, "\"\\303\\251\\046\"");
    quoted("&<", true, "\"\\046\\043x26\\073\\046\\043x3C\\073\"");
}

static void ticks(double lo, double hi, double pixels, bool log, const char *want) {
    struct chart_ticks t;
    char all[CHART_TICKS_MAX * 24] = "";
    chart_ticks(&t, lo, hi, pixels, 11, true, log);
    for (int i = 0; i < t.n; i++) {
        strcat(all, i ? " " : "");
        strcat(all, t.text[i]);
        assert_true(t.at[i] >= lo - 1e-6 * fabs(lo) && t.at[i] <= hi + 1e-6 * fabs(hi));
    }
    assert_string_equal(all, want);
}

static void axis(void **state) {
    (void)state;
    ticks(0, 4000, 700, false, "0 500 1,000 1,500 2,000 2,500 3,000 3,500 4,000");
    ticks(2.4, 3.1, 300, false, "2.4 2.6 2.8 3.0");
    ticks(0, 1e-3, 300, false, "0 0.0005 0.0010");
    ticks(0, 3e-5, 300, false, "0 1e-5 2e-5 3e-5");
    ticks(-1e12, 1e12, 300, false, "-1e12 0 1e12");
    ticks(1, 1000, 300, true, "1 3 10 30 100 300 1,000");
    ticks(1e-9, 1e9, 300, true, "1e-8 0.0001 1 10,000 1e8");
    ticks(2.5, 4, 300, true, "2.6 2.8 3.0 3.2 3.4 3.6 3.8 4.0");
    ticks(5, 5, 300, false, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_table), cmocka_unit_test(refused), cmocka_unit_test(cut),
        cmocka_unit_test(curves),     cmocka_unit_test(fitted),  cmocka_unit_test(quotes),
        cmocka_unit_test(axis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
