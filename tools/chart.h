/* Pictures of curves: panels one above the other over the same x, or in a grid, each over its own,
 * drawn by gnuplot (gnuplot.h), or in characters on a terminal.
 *
 * Whoever draws fills a struct chart with figures and names and calls chart_draw; where things go
 * is decided here. Every text has a place of its own that is computed with widths no font exceeds
 * much, so none collides: ticks are thinned out, names are cut in their middle, the legend is a
 * column beside the panels, and a picture without a given height grows with it. Names may hold
 * anything: they reach gnuplot as octal escapes of their bytes, never as commands or markup.
 *
 * Numbers that are NaN, infinite or beyond 1e30 are not drawn and interrupt a line; on a
 * logarithmic axis neither are those that are not positive. Nothing is owned. */
#ifndef DUET_CHART_H
#define DUET_CHART_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How something looks: a colour (of seven that the colour-blind can tell apart), a mark and
 * dashes, which together are different for the first 77 numbers. CHART_GREY: of no series. */
enum { CHART_GREY = -1 };

enum chart_kind {
    CHART_POINTS,  /* a line with marks, and error bars where err is there */
    CHART_LINE,    /* a line */
    CHART_THIN,    /* a thin, pale line, behind the others */
    CHART_DOTS,    /* marks alone, with error bars */
    CHART_BAND,    /* the area y - err to y + err, pale */
    CHART_STEPS,   /* a line that keeps each value until the next point */
    CHART_SCATTER, /* dots, in any order; all are drawn, however close */
    CHART_CROSSES, /* the same as crosses */
    CHART_RING,    /* a ring around a mark: what is to be noticed */
    CHART_DASHED,  /* of a legend: the line of a struct chart_level */
};

struct chart_series {
    enum chart_kind kind;
    int style;
    const double *x, *y, *err; /* err: NULL or half the length of the bar; NAN: none */
    size_t n;
};

/* A dashed line across a panel. */
struct chart_level {
    double y;
    int style;
};

struct chart_panel {
    const char *title; /* above its left edge: what y is, and its unit */
    double weight;     /* its share of the height */
    bool log_y;
    double min, max;                   /* range of y; NAN: of what is drawn */
    const struct chart_series *series; /* later ones are in front */
    size_t n_series;
    const struct chart_level *levels; /* do not widen the range */
    size_t n_levels;
    /* Of a grid alone. The title says what x is there. */
    bool log_x, whole_x;
    const char *const *words; /* what x = 0, 1, 2, ... stand for, instead of numbers; or NULL */
    size_t n_words;
};

/* An entry of a legend: what a sign means. Two signs may stand for one name. */
struct chart_key {
    const char *name;
    enum chart_kind kind;
    int style;
};

/* A text that belongs to a point of the first panel: it stands beside the panel, about as high as
 * the point, and a thin line leads to it. */
struct chart_label {
    double x, y;
    const char *text;
};

struct chart {
    const char *title; /* or NULL */
    const char *note;  /* below everything, small; or NULL */
    const char *x_title;
    bool log_x;
    bool whole_x;        /* x counts something: no ticks between whole numbers */
    double x_min, x_max; /* NAN: of what is drawn */
    int width, height;   /* CSS pixels (1/96 inch); height 0: by what is in it */
    bool dark;
    bool adaptive; /* SVG: light or dark as the system of whoever looks at it wants */
    const struct chart_panel *panels;
    size_t n_panels;
    const struct chart_key *row; /* the legend above the panels, from left to right */
    size_t n_row;
    const struct chart_key *column; /* the legend beside the panels, from top to bottom */
    size_t n_column;
    /* In the place of that legend; where there is no room for all, the last ones are shown. */
    const struct chart_label *labels;
    size_t n_labels;
    int columns; /* above 0: panels in a grid of so many columns, row by row, each with its own x;
                  * x_title, log_x, whole_x, x_min, x_max and labels are not used then */
};

#define CHART_MAX_PANELS 24

/* The kinds of files, by the ends of their names, for messages. */
#define CHART_FORMATS ".svg, .png or .pdf"
bool chart_has_format(const char *path);

/* Writes the picture to path, whose end must be one of CHART_FORMATS. The old file stays if
 * something fails. */
int chart_draw(const struct chart *c, const char *path, struct err *e);

/* The same in so many columns of characters, utf8 or ASCII, as good as these can: lines, marks and
 * ticks; bars, bands and levels are left out, panels of a grid stand one above the other, and
 * labels follow as a list. ERR_NOMEM. */
int chart_print(const struct chart *c, int columns, bool utf8, FILE *out, struct err *e);

#endif
