/* Between plot_chart.c, which makes panels and legends, and plot_curves.c, which makes curves. */
#ifndef DUET_PLOT_IMPL_H
#define DUET_PLOT_IMPL_H

#include "arena.h"
#include "chart.h"
#include "plot_chart.h"

#include <math.h>

/* What can be a panel: a number of validations or of lines of updates. */
struct quantity {
    const char *name, *title, *what; /* what: of messages, "no run has ..." */
    int val, step;                   /* offsets in struct record_val and record_step, or -1 */
    int err;                         /* in struct record_val, or -1 */
    int best;                        /* -1: the lowest, 1: the highest, 0: none */
    bool smooth;                     /* lines of updates are noisy */
    bool bpb;                        /* times plot_run.bpb */
};
struct panel {
    const struct quantity *q;
    struct chart_series *series; /* n: of the chart's panel */
    struct chart_level level[8];
    size_t n_below; /* levels that are too far below to be shown */
    size_t n_cut;   /* validations above the picture */
    double cut;
};

struct build {
    const struct plot_set *set;
    const struct plot_look *look;
    struct arena arena;
    struct panel panel[CHART_MAX_PANELS];
    struct chart_panel chart_panel[CHART_MAX_PANELS];
    size_t n_panels;
    double x_unit; /* what the x of the picture is in */
    int64_t smooth;
    bool train_shown, val_shown, err_shown, best_shown;
    struct chart chart;
    char x_title[64], train_key[80], floor_key[80], best_key[120], note[160];
    struct chart_key row[8], *column;
    char **column_text;
};

/* A number of a line; NAN without an offset. */
static inline double field(const void *line, int offset) {
    return offset < 0 ? NAN : *(const double *)(const void *)((const char *)line + offset);
}

/* Decides what x is in: fills x_unit and x_title, then smooth. */
void plot_choose_x(struct build *b);
void plot_choose_smooth(struct build *b);

/* The curve of a run's lines of updates: of many, some. */
void plot_steps(struct build *b, const struct quantity *q, const struct plot_run *r,
                struct chart_series *s);
/* That of its validations. */
void plot_vals(struct build *b, const struct quantity *q, const struct plot_run *r,
               struct chart_series *s);

/* Can point i of a curve be drawn; how many can. */
bool plot_can_draw(const struct build *b, const struct chart_series *s, size_t i);
size_t plot_count_drawn(const struct build *b, const struct chart_series *s);

/* The best of a curve as a series of one point; false: it has none. */
bool plot_best(struct build *b, const struct quantity *q, const struct chart_series *of,
               struct chart_series *s);

#endif
