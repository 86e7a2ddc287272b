#include "table.h"

#include "term.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, LEAST = 8 }; /* between columns; of one that is cut */

/* Text of files: nothing in it does anything on a terminal, and every character has its width. */
static void make_harmless(char *text) {
    for (unsigned char *p = (unsigned char *)text; p && *p; p++) {
        if (*p < ' ' || *p == 127) *p = '?';
        if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) *p = p[1] = '?'; /* U+0080 to U+009F */
    }
}

void table_column(struct table *t, const char *name, bool left, int rank) {
    if (t->n == t->cap) {
        const int cap = t->cap ? 2 * t->cap : 16;
        struct table_col *p = realloc(t->col, (size_t)cap * sizeof *p);
        if (!p) {
            t->no_memory = true;
            return;
        }
        t->col = p;
        t->cap = cap;
    }
    char *copy = strdup(name);
    if (!copy) {
        t->no_memory = true;
        return;
    }
    make_harmless(copy);
    t->col[t->n++] = (struct table_col){copy, left, rank};
}

void table_row(struct table *t) {
    const size_t n = (size_t)t->n;
    char **p = realloc(t->cell, (t->rows + 1) * n * sizeof *p);
    if (!p) {
        t->no_memory = true;
        return;
    }
    t->cell = p;
    for (size_t i = 0; i < n; i++) p[t->rows * n + i] = NULL;
    t->rows++;
}

void table_set(struct table *t, int col, const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    if (t->no_memory || !t->rows || col >= t->n) return;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) text = NULL;
    va_end(ap);
    make_harmless(text);
    char **at = t->cell + (t->rows - 1) * (size_t)t->n + col;
    free(*at);
    *at = text;
}

static const char *cell(const struct table *t, size_t row, int col) {
    const char *s = t->cell[row * (size_t)t->n + (size_t)col];
    return s && *s ? s : "-";
}

static int width_of(const struct table *t, int col) {
    int most = term_width(t->col[col].name);
    for (size_t i = 0; i < t->rows; i++) {
        const int w = term_width(cell(t, i, col));
        if (w > most) most = w;
    }
    return most;
}

static int total(const struct table *t, const int *width) {
    int sum = -GAP;
    for (int i = 0; i < t->n; i++) sum += width[i] < 0 ? 0 : width[i] + GAP;
    return sum;
}

/* width -1: left out. */
static void fit(const struct table *t, int *width, int columns) {
    while (total(t, width) > columns) {
        int worst = -1;
        for (int i = 0; i < t->n; i++) /* of one rank the last */
            if (width[i] >= 0 && t->col[i].rank &&
                (worst < 0 || t->col[i].rank >= t->col[worst].rank))
                worst = i;
        if (worst < 0) break;
        width[worst] = -1;
    }
    while (total(t, width) > columns) {
        int widest = -1;
        for (int i = 0; i < t->n; i++)
            if (t->col[i].left && width[i] > LEAST && (widest < 0 || width[i] > width[widest]))
                widest = i;
        if (widest < 0) break;
        width[widest]--;
    }
}

static void print_cell(const char *s, int width, bool left, bool last, FILE *f) {
    const int w = term_width(s);
    if (w > width) {
        fprintf(f, "%.*s%s", (int)term_cut(s, width - (term_utf8() ? 1 : 2)), s,
                term_utf8() ? "\u2026" : "..");
    } else {
        if (!left) fprintf(f, "%*s", width - w, "");
        fputs(s, f);
        if (left && !last) fprintf(f, "%*s", width - w, "");
    }
}

static void print_line(const struct table *t, const int *width, size_t row, bool heading, FILE *f) {
    int last = -1;
    for (int i = 0; i < t->n; i++)
        if (width[i] >= 0) last = i;
    for (int i = 0; i < t->n; i++) {
        if (width[i] < 0) continue;
        print_cell(heading ? t->col[i].name : cell(t, row, i), width[i], t->col[i].left, i == last,
                   f);
        fputs(i == last ? "\n" : "  ", f);
    }
}

/* One line, which may not be longer than the table. */
static void print_left_out(const struct table *t, const int *width, int columns, const char *more,
                           FILE *f) {
    char names[256] = "", end[64];
    int n = 0;
    size_t used = 0;
    for (int i = 0; i < t->n; i++) {
        if (width[i] >= 0) continue;
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", n ? ", " : "",
                                     t->col[i].name);
        n++;
    }
    if (!n) return;
    snprintf(end, sizeof end, "%s%s", more ? "; " : "", more ? more : "");
    const int room = columns - term_width("no room for ") - term_width(end);
    const bool cut = room < term_width(names);
    fprintf(f, "no room for %.*s%s%s\n", (int)term_cut(names, cut ? room - 4 : room), names,
            cut ? " ..." : "", end);
}

void table_print(const struct table *t, int columns, const char *more, FILE *f) {
    int *width = calloc((size_t)t->n + 1, sizeof *width);
    if (!width) return;
    for (int i = 0; i < t->n; i++) width[i] = width_of(t, i);
    if (columns) fit(t, width, columns);
    print_line(t, width, 0, true, f);
    for (size_t r = 0; r < t->rows; r++) print_line(t, width, r, false, f);
    print_left_out(t, width, columns, more, f);
    free(width);
}

void table_release(struct table *t) {
    for (size_t i = 0; i < t->rows * (size_t)t->n; i++) free(t->cell[i]);
    for (int i = 0; i < t->n; i++) free(t->col[i].name);
    free(t->cell);
    free(t->col);
    *t = (struct table){0};
}
