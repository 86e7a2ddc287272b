/* Where things of a chart go: labels beside it, frames of a grid, ticks; and charts in
 * characters. */
#include "err_fixture.h"

#include "chart.h"
#include "chart_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double xs[] = {0, 1, 2, 3, 4}, ys[] = {5, 3, 3, 2, 1};
static const struct chart_series series[] = {{CHART_STEPS, 2, xs, ys, NULL, 5},
                                             {CHART_SCATTER, 2, xs, ys, NULL, 5}};

static struct chart one_panel(struct chart_panel *p) {
    *p = (struct chart_panel){
        .title = "loss", .weight = 1, .min = NAN, .max = NAN, .series = series, .n_series = 2};
    return (struct chart){.title = "T",
                          .x_title = "trial",
                          .whole_x = true,
                          .x_min = NAN,
                          .x_max = NAN,
                          .width = 800,
                          .panels = p,
                          .n_panels = 1};
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* In the order of their points, apart, within the frame, and at the point's height where there is
 * room. */
static void check_labels(const struct chart_label *label, size_t n, int height, size_t shown) {
    struct chart_panel p;
    struct chart c = one_panel(&p);
    struct chart_layout l;
    c.labels = label;
    c.n_labels = n;
    c.height = height;
    ok(chart_layout(&l, &c, &e));
    size_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        if (!l.label[i].text) continue;
        seen++;
        assert_true(l.label[i].x >= l.frame[0].right && l.label[i].y >= l.frame[0].top);
        assert_true(l.label[i].y <= l.frame[0].bottom + 1);
        assert_true(l.label[i].x + chart_text_width(l.label[i].text) * CHART_FONT <= 800);
        for (size_t k = 0; k < i; k++) {
            if (!l.label[k].text) continue;
            assert_true(fabs(l.label[i].y - l.label[k].y) >= 15 - 1e-9);
            if (label[i].y < label[k].y) assert_true(l.label[i].y > l.label[k].y);
        }
    }
    assert_int_equal(seen, shown);
    if (n && n == shown)
        assert_non_null(l.label[0].text);
    else if (n)
        assert_null(l.label[0].text); /* the first ones give way */
    chart_layout_release(&l, &c);
}

static void labels_stand_apart(void **state) {
    (void)state;
    const struct chart_label few[] = {{0, 5, "a"}, {1, 3, "b"}, {4, 1, "c"}};
    check_labels(few, 3, 0, 3);
    static struct chart_label many[60];
    for (int i = 0; i < 60; i++)
        many[i] = (struct chart_label){i / 15.0, i % 3 ? 1 + i * 1e-3 : 4.9, "the same for all"};
    check_labels(many, 60, 0, 60);   /* the picture grows */
    check_labels(many, 60, 400, 19); /* 282 pixels, 15 each */
    const struct chart_label wide[] = {{0, 5,
                                        "a text that is by far too long to stand beside a "
                                        "panel as it is, so that it is cut in its middle"}};
    check_labels(wide, 1, 0, 1);
}

static void a_label_is_at_its_point(void **state) {
    (void)state;
    struct chart_panel p;
    struct chart c = one_panel(&p);
    struct chart_layout l;
    const struct chart_label few[] = {{0, 5, "a"}, {4, 1, "c"}};
    c.labels = few;
    c.n_labels = 2;
    ok(chart_layout(&l, &c, &e));
    for (int i = 0; i < 2; i++) {
        const struct chart_frame *f = &l.frame[0];
        const double y = chart_at(few[i].y, f->lo, f->hi, false, f->bottom, f->top);
        assert_true(fabs(l.label[i].y - y) < 1e-9 && fabs(l.label_y[i] - y) < 1e-9);
    }
    chart_layout_release(&l, &c);
}

/* ---- grids ----------------------------------------------------------------------------------- */

static void a_grid_has_frames_of_its_own(void **state) {
    (void)state;
    static const char *const words[] = {"adamw", "lion", "x"};
    static const double log_x[] = {1e-4, 1e-3, 1e-2, 1e-2, 1e-2};
    static const struct chart_series on_log[] = {{CHART_SCATTER, CHART_GREY, log_x, ys, NULL, 5}};
    struct chart_panel p[5];
    struct chart c = one_panel(&p[0]);
    struct chart_layout l;
    for (int k = 0; k < 5; k++) p[k] = p[0];
    p[1].whole_x = true;
    p[2].words = words;
    p[2].n_words = 3;
    p[3].log_x = true;
    p[3].series = on_log;
    p[3].n_series = 1;
    c.n_panels = 5;
    c.columns = 3;
    ok(chart_layout(&l, &c, &e));
    for (int k = 0; k < 5; k++) {
        const struct chart_frame *f = &l.frame[k];
        assert_true(f->right - f->left > 150 && f->bottom - f->top > 100);
        assert_true(f->right <= 800 && f->bottom <= l.height);
        if (k % 3)
            assert_true(f->left > l.frame[k - 1].right && f->top == l.frame[k - 1].top);
        else if (k)
            assert_true(f->top > l.frame[k - 3].bottom);
    }
    assert_int_equal(l.frame[1].x_ticks.n, 5);
    for (int i = 0; i < 5; i++) assert_true(l.frame[1].x_ticks.at[i] == i);
    assert_int_equal(l.frame[2].x_ticks.n, 3);
    assert_string_equal(l.frame[2].x_ticks.text[1], "lion");
    assert_true(l.frame[2].x_lo == -0.5 && l.frame[2].x_hi == 2.5);
    assert_true(l.frame[3].x_lo > 0 && l.frame[3].x_lo < 1e-4 && l.frame[3].x_hi > 1e-2);
    chart_layout_release(&l, &c);
}

static void whole_ticks(void **state) {
    (void)state;
    struct chart_ticks t;
    chart_whole_ticks(&t, 0.7, 8.3, 240, 11);
    assert_int_equal(t.n, 8);
    assert_string_equal(t.text[7], "8");
    chart_whole_ticks(&t, -10, 1010, 240, 11);
    assert_true(t.n >= 3 && t.at[1] - t.at[0] == 200 && t.at[0] == 0);
    assert_string_equal(t.text[t.n - 1], "1,000");
    chart_whole_ticks(&t, 0.2, 0.8, 240, 11);
    assert_int_equal(t.n, 0);
    chart_whole_ticks(&t, 1, 1, 240, 11);
    assert_int_equal(t.n, 0);
}

/* ---- characters ------------------------------------------------------------------------------ */

static void print(const struct chart *c, int columns, bool utf8, const char *expected) {
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    ok(chart_print(c, columns, utf8, f, &e));
    fclose(f);
    if (strcmp(text, expected)) fail_msg("expected:\n%s\nfound:\n%s", expected, text);
    free(text);
}

static void a_chart_in_characters(void **state) {
    (void)state;
    static const struct chart_key keys[] = {{"best", CHART_STEPS, 2}, {"kept", CHART_SCATTER, 2}};
    static const struct chart_label label[] = {{4, 1, "4  the best\n of all"}};
    struct chart_panel p;
    struct chart c = one_panel(&p);
    c.row = keys;
    c.n_row = 2;
    c.labels = label;
    c.n_labels = 1;
    c.note = "a note";
    print(&c, 30, false,
          "T\n"
          "- best   o kept\n"
          "\n"
          "loss\n"
          "     |\n"
          "   5 |o-----+\n"
          "     |      |\n"
          "     |      |\n"
          "     |      |\n"
          "   4 |      |\n"
          "     |      |\n"
          "     |      |\n"
          "     |      |\n"
          "   3 |      o----o-----+\n"
          "     |                 |\n"
          "     |                 |\n"
          "   2 |                 o-----+\n"
          "     |                       |\n"
          "     |                       |\n"
          "     |                       |\n"
          "   1 |                       o\n"
          "     |\n"
          "     +------------------------\n"
          "      0     1    2     3     4 \n"
          "                         trial\n"
          "\n"
          "  4  the best? of all\n"
          "a note\n");
}

/* Numbers that cannot be drawn, and those far outside, do no harm. */
static void what_cannot_be_drawn(void **state) {
    (void)state;
    static const double x[] = {0, 1, 2, 3, NAN}, y[] = {1, NAN, 1e300, INFINITY, 2};
    static const struct chart_series odd[] = {{CHART_STEPS, 2, x, y, NULL, 5},
                                              {CHART_LINE, 2, x, y, NULL, 5},
                                              {CHART_RING, 2, x, y, NULL, 5},
                                              {CHART_CROSSES, 2, x, y, NULL, 5}};
    struct chart_panel p;
    struct chart c = one_panel(&p);
    char *text = NULL;
    size_t n;
    p.series = odd;
    p.n_series = 4;
    p.max = 1;
    FILE *f = open_memstream(&text, &n);
    for (int columns = -5; columns < 300; columns += 61) ok(chart_print(&c, columns, true, f, &e));
    p.n_series = 0;
    ok(chart_print(&c, 40, true, f, &e));
    fclose(f);
    assert_non_null(strstr(text, "\u00d7"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_stand_apart),           cmocka_unit_test(a_label_is_at_its_point),
        cmocka_unit_test(a_grid_has_frames_of_its_own), cmocka_unit_test(whole_ticks),
        cmocka_unit_test(a_chart_in_characters),        cmocka_unit_test(what_cannot_be_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
