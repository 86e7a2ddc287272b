/* What the files of search_chart.h share; nobody else includes this. */
#ifndef DUET_SEARCH_CHART_IMPL_H
#define DUET_SEARCH_CHART_IMPL_H

#include "search_chart.h"

enum { STYLE_KEPT = 2, STYLE_FAILED = 1 }; /* green and red, in chart.h's colours */
enum { LABEL_COLUMNS = 45 };

struct drawing {
    struct search_chart *c;
    const struct search_view *v;
    double edge;    /* values that are worse are shown here */
    size_t outside; /* how many are */
    double fence;   /* a little further: what has no value */
};

/* size bytes of zeros that go with the chart; NULL: no memory. */
void *draw_own(struct search_chart *c, size_t n, size_t size);
/* The same for text. */
char *draw_text(struct search_chart *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A trial that charts show: measured at the whole budget. */
bool draw_shows(const struct view_trial *t);

/* The value as shown: at the edge if it is worse. */
double draw_value(const struct drawing *d, double value);

const char *draw_metric(const struct search_view *v);

/* Room for n points: x and y. kind and style: of struct chart_series; n is 0. */
int draw_series(struct search_chart *c, struct chart_series *s, enum chart_kind kind, int style,
                size_t n, struct err *e);
void draw_point(struct chart_series *s, double x, double y);

int draw_progress(struct drawing *d, struct err *e);
int draw_knobs(struct drawing *d, struct err *e);
int draw_pareto(struct drawing *d, const char *cost, struct err *e);

#endif
