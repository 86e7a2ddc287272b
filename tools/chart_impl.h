/* Between chart.c, which draws, and chart_layout.c, which decides where. All in pixels from the
 * upper left corner. */
#ifndef DUET_CHART_IMPL_H
#define DUET_CHART_IMPL_H

#include "chart.h"
#include "chart_text.h"

#define CHART_FONT 11.0 /* of ticks and legends */
#define CHART_FONT_TITLE 15.0
#define CHART_FONT_AXIS 12.0   /* of what x and y are */
#define CHART_SAMPLE 26.0      /* length of a line in a legend */
#define CHART_GAP 6.0          /* between it and its name */
#define CHART_LINE_HEIGHT 17.0 /* of legends */
#define CHART_LEADER 22.0      /* from the right end of the frame to the text of a label */

struct chart_place {
    double x, y; /* of the left end of a sample; the middle of the line */
    char *text;  /* what fits of the name; owned */
};

struct chart_frame {
    double top, bottom, left, right;
    double title_x;
    double lo, hi; /* of y */
    struct chart_ticks ticks;
    double x_lo, x_hi; /* of x */
    struct chart_ticks x_ticks;
};

struct chart_layout {
    double width, height, left, right; /* left, right: of the frames */
    double title_y, x_title_y, note_y;
    char *title, *x_title, *note; /* what fits of them, or NULL; owned */
    struct chart_frame frame[CHART_MAX_PANELS];
    char *panel_title[CHART_MAX_PANELS]; /* owned */
    struct chart_place *row, *column;    /* an entry each */
    size_t n_column;           /* of them are shown; the last is "and 12 more" if that is fewer */
    struct chart_place *label; /* an entry each; text NULL: left out */
    double *label_y;           /* of their points; owned */
};

/* The number can be drawn on such an axis. */
bool chart_drawable(double v, bool log);

/* Is panel k's x logarithmic? */
bool chart_log_x(const struct chart *c, size_t k);

/* Where v lies between from and to on an axis from lo to hi. */
double chart_at(double v, double lo, double hi, bool log, double from, double to);

/* Range of x over panels [from, to), and of y of one panel: with some space around. */
void chart_range_x(const struct chart *c, size_t from, size_t to, double *lo, double *hi);
void chart_range_y(const struct chart *c, size_t k, double *lo, double *hi);
/* Ticks at the words of a panel, as many as fit. */
void chart_word_ticks(struct chart_ticks *t, const struct chart_panel *p, double pixels, double em);
/* Ticks at whole numbers. */
void chart_whole_ticks(struct chart_ticks *t, double lo, double hi, double pixels, double em);

int chart_layout(struct chart_layout *l, const struct chart *c, struct err *e);
void chart_layout_release(struct chart_layout *l, const struct chart *c);

#endif
