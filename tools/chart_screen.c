/* A chart in characters, for a terminal. */
#include "chart.h"
#include "chart_impl.h"
#include "term.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 18, ROWS_GRID = 9, LEAST = 24, MOST = 160 }; /* of a panel; columns */

/* What a cell shows, and how these look. */
enum glyph { BLANK, DOT, LINE, MARK, CROSS, RING, ACROSS, DOWN, FALLS, FALLEN, RISES, RISEN };
static const char *const pretty[] = {" ",      "\u00b7", "\u2022", "\u25cf", "\u00d7", "\u25cb",
                                     "\u2500", "\u2502", "\u2510", "\u2514", "\u2518", "\u250c"};
static const char *const plain[] = {" ", ".", ".", "o", "x", "O", "-", "|", "+", "+", "+", "+"};

struct screen {
    const struct chart *c;
    size_t k;                /* panel */
    int rows, columns, left; /* left: columns of the ticks at the left */
    double lo, hi, x_lo, x_hi;
    bool log_x, log_y, utf8;
    uint8_t *glyph;
    int8_t *style; /* enum term_style, or -1 */
    FILE *out;
};

/* What lies outside is just outside. */
static int column_of(const struct screen *s, double x) {
    const double at = chart_at(x, s->x_lo, s->x_hi, s->log_x, 0, s->columns - 1);
    return (int)lround(fmin(fmax(at, -1), s->columns));
}

static int row_of(const struct screen *s, double y) {
    const double at = chart_at(y, s->lo, s->hi, s->log_y, s->rows - 1, 0);
    return (int)lround(fmin(fmax(at, -1), s->rows));
}

static void put(struct screen *s, int row, int column, enum glyph g, int style) {
    if (row < 0 || row >= s->rows || column < 0 || column >= s->columns) return;
    s->glyph[row * s->columns + column] = (uint8_t)g;
    s->style[row * s->columns + column] = (int8_t)style;
}

/* Series --------------------------------------------------------------------------------------- */

/* From one point to the next: across, then up or down. Row 0 is the uppermost. */
static void step(struct screen *s, int r0, int c0, int r1, int c1, int style) {
    for (int c = c0; c < c1; c++) put(s, r0, c, ACROSS, style);
    for (int r = r0 < r1 ? r0 : r1; r <= (r0 < r1 ? r1 : r0); r++) put(s, r, c1, DOWN, style);
    put(s, r0, c1, r1 > r0 ? FALLS : r1 < r0 ? RISES : ACROSS, style);
    if (r1 != r0) put(s, r1, c1, r1 > r0 ? FALLEN : RISEN, style);
}

static void line(struct screen *s, int r0, int c0, int r1, int c1, int style) {
    const int n = abs(c1 - c0) > abs(r1 - r0) ? abs(c1 - c0) : abs(r1 - r0);
    for (int i = 0; i <= n; i++)
        put(s, r0 + (r1 - r0) * i / (n ? n : 1), c0 + (c1 - c0) * i / (n ? n : 1), LINE, style);
}

static int style_of(const struct chart_series *v) {
    return v->kind == CHART_CROSSES                          ? TERM_BAD
           : v->style == CHART_GREY || v->kind == CHART_THIN ? TERM_DIM
           : v->kind == CHART_SCATTER                        ? TERM_GOOD
                                                             : -1;
}

static void draw(struct screen *s, const struct chart_series *v) {
    const bool lines = v->kind == CHART_POINTS || v->kind == CHART_LINE || v->kind == CHART_THIN;
    const int style = style_of(v);
    const enum glyph g = v->kind == CHART_CROSSES ? CROSS
                         : v->kind == CHART_RING  ? RING
                         : v->style == CHART_GREY ? DOT
                                                  : MARK;
    int row = 0, column = 0;
    bool before = false;
    if (v->kind == CHART_BAND) return;
    for (size_t i = 0; i < v->n; i++) {
        const bool is = chart_drawable(v->x[i], s->log_x) && chart_drawable(v->y[i], s->log_y);
        if (is) {
            const int r = row_of(s, v->y[i]), c = column_of(s, v->x[i]);
            if (before && v->kind == CHART_STEPS) step(s, row, column, r, c, style);
            if (before && lines) line(s, row, column, r, c, style);
            row = r, column = c;
            if (!lines && v->kind != CHART_STEPS) put(s, r, c, g, style);
        }
        before = is;
    }
    for (size_t i = 0; v->kind == CHART_POINTS && i < v->n; i++)
        if (chart_drawable(v->x[i], s->log_x) && chart_drawable(v->y[i], s->log_y))
            put(s, row_of(s, v->y[i]), column_of(s, v->x[i]), g, style);
}

/* Frame ---------------------------------------------------------------------------------------- */

static void print_row(const struct screen *s, int row, const char *tick) {
    const int fd = fileno(s->out);
    int end = s->columns;
    while (end && s->glyph[row * s->columns + end - 1] == BLANK) end--;
    fprintf(s->out, "%*s%s %s", s->left - term_width(tick), "", tick, s->utf8 ? "\u2524" : "|");
    for (int c = 0; c < end; c++) {
        const int style = s->style[row * s->columns + c];
        const char *g = (s->utf8 ? pretty : plain)[s->glyph[row * s->columns + c]];
        if (style < 0)
            fputs(g, s->out);
        else
            fprintf(s->out, "%s%s%s", term_on(fd, (enum term_style)style), g, term_off(fd));
    }
    fputc('\n', s->out);
}

/* The line of x: texts in the middle of their places, those that would run into others left out. */
static void print_x(const struct screen *s, const struct chart_ticks *t) {
    int at = 0;
    fprintf(s->out, "%*s %s", s->left, "", s->utf8 ? "\u2514" : "+");
    for (int c = 0; c < s->columns; c++) fputs(s->utf8 ? "\u2500" : "-", s->out);
    fprintf(s->out, "\n%*s  ", s->left, "");
    for (int i = 0; i < t->n; i++) {
        const int width = term_width(t->text[i]);
        int from = column_of(s, t->at[i]) - width / 2;
        if (from < 0) from = 0;
        if (from + width > s->columns) from = s->columns - width;
        if (from < at) continue;
        fprintf(s->out, "%*s%s", from - at, "", t->text[i]);
        at = from + width + 1;
        fputc(' ', s->out);
    }
    fputc('\n', s->out);
}

static void ticks(struct screen *s, struct chart_ticks *y, struct chart_ticks *x, int columns) {
    const struct chart_panel *p = &s->c->panels[s->k];
    const bool grid = s->c->columns > 0;
    chart_ticks(y, s->lo, s->hi, s->rows * 9.0, 11, false, s->log_y);
    s->left = 4;
    for (int i = 0; i < y->n; i++)
        if (term_width(y->text[i]) > s->left) s->left = term_width(y->text[i]);
    s->columns = columns - s->left - 2;
    if (grid && p->words) {
        chart_word_ticks(x, p, s->columns * 7.0, 11);
        return;
    }
    if (grid ? p->whole_x : s->c->whole_x)
        chart_whole_ticks(x, s->x_lo, s->x_hi, s->columns * 7.0, 11);
    else
        chart_ticks(x, s->x_lo, s->x_hi, s->columns * 7.0, 11, true, s->log_x);
}

/* Names may hold anything. */
static void say(FILE *out, const char *text) {
    char *harmless = chart_text_fit(text, 1e9);
    fputs(harmless ? harmless : "?", out);
    free(harmless);
}

static int print_panel(struct screen *s, int columns, struct err *e) {
    const struct chart_panel *p = &s->c->panels[s->k];
    struct chart_ticks y, x;
    chart_range_y(s->c, s->k, &s->lo, &s->hi);
    ticks(s, &y, &x, columns);
    const size_t cells = (size_t)s->rows * (size_t)s->columns;
    s->glyph = calloc(cells, 1);
    s->style = malloc(cells);
    if (!s->glyph || !s->style) return err_set(e, ERR_NOMEM, "no memory to draw");
    memset(s->style, -1, cells);
    for (size_t i = 0; i < p->n_series; i++) draw(s, &p->series[i]);
    say(s->out, p->title);
    fputc('\n', s->out);
    for (int r = 0; r < s->rows; r++) {
        const char *tick = "";
        for (int i = 0; i < y.n; i++)
            if (row_of(s, y.at[i]) == r) tick = y.text[i];
        print_row(s, r, tick);
    }
    print_x(s, &x);
    return 0;
}

/* What marks mean, in a line. */
static void print_keys(const struct chart *c, bool utf8, FILE *out) {
    for (size_t i = 0; i < c->n_row; i++) {
        const struct chart_key *k = &c->row[i];
        const enum glyph g = k->kind == CHART_CROSSES   ? CROSS
                             : k->kind == CHART_RING    ? RING
                             : k->kind == CHART_STEPS   ? ACROSS
                             : k->kind == CHART_SCATTER ? (k->style == CHART_GREY ? DOT : MARK)
                                                        : LINE;
        fprintf(out, "%s%s ", i ? "   " : "", (utf8 ? pretty : plain)[g]);
        say(out, k->name);
    }
    if (c->n_row) fputc('\n', out);
}

int chart_print(const struct chart *c, int columns, bool utf8, FILE *out, struct err *e) {
    int rc = 0;
    if (columns < LEAST) columns = LEAST;
    if (columns > MOST) columns = MOST;
    if (c->title) {
        say(out, c->title);
        fputc('\n', out);
    }
    print_keys(c, utf8, out);
    for (size_t k = 0; k < c->n_panels && !rc; k++) {
        const bool grid = c->columns > 0;
        struct screen s = {.c = c,
                           .k = k,
                           .rows = grid ? ROWS_GRID : ROWS,
                           .utf8 = utf8,
                           .log_x = chart_log_x(c, k),
                           .log_y = c->panels[k].log_y,
                           .out = out};
        chart_range_x(c, grid ? k : 0, grid ? k + 1 : c->n_panels, &s.x_lo, &s.x_hi);
        if (k || c->title) fputc('\n', out);
        rc = print_panel(&s, columns, e);
        free(s.glyph);
        free(s.style);
    }
    if (!rc && c->columns <= 0 && c->x_title) fprintf(out, "%*s\n", columns, c->x_title);
    if (!rc && c->n_labels) fputc('\n', out);
    for (size_t i = 0; i < c->n_labels && !rc; i++) {
        fputs("  ", out);
        say(out, c->labels[i].text);
        fputc('\n', out);
    }
    if (!rc && c->note) fprintf(out, "%s\n", c->note);
    return rc;
}
