/* Charts of a search: what `duet search plot` shows. */
#ifndef DUET_SEARCH_CHART_H
#define DUET_SEARCH_CHART_H

#include "chart.h"
#include "search_view.h"

/* progress: trials in their order, the incumbent's value as a staircase, what was kept labelled.
 * knobs: a panel an axis, its values against the metric. pareto: the metric against what a trial
 * costs, with those that no other beats in both. */
#define SEARCH_CHARTS "progress knobs pareto"
/* What a trial costs: seconds of its training, million parameters, MB at most. */
#define SEARCH_COSTS "seconds params memory"

struct search_look {
    const char *chart, *x; /* words of these; x: of pareto */
    int width, height;     /* as in struct chart */
    bool dark, adaptive;
};

struct search_chart {
    struct chart chart;
    void **owned; /* all that the chart points to */
    size_t n_owned;
};

/* ERR_INPUT: there is nothing to draw yet. ERR_NOMEM. */
int search_chart(struct search_chart *c, const struct search_view *v,
                 const struct search_look *look, struct err *e);
void search_chart_release(struct search_chart *c); /* accepts all zeros */

#endif
