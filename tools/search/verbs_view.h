/* The verbs of `duet search` that look at one, or write a search file: rows of options and entries
 * for the table in search_verbs.c. */
#ifndef DUET_VERBS_VIEW_H
#define DUET_VERBS_VIEW_H

#include "search_chart.h"
#include "results_tsv.h"

/* Options of their own, in struct search_opts. */
struct view_opts {
    const char *tsv, *chart, *cost, *tokenizer;
    int64_t width, height;
    double hours;
    bool dark, adaptive, overwrite;
};

#define VIEW_ROWS(S, f)                                                                            \
    CONF_SECTION("Looking at one"),                                                                \
        CONF_CHOICE(                                                                               \
            S, f.tsv, "tsv", "none", "none " RESULTS_TSV_ORDERS,                                   \
            "status: print the table of trials, with these columns; a search: those of its "       \
            "results.tsv, which stay; none: as it is, at first karpathy", .basic = true),          \
        CONF_CHOICE(S, f.chart, "chart", "progress", SEARCH_CHARTS,                                \
                    "plot: trials and what was kept; each axis against the metric; the metric "    \
                    "against what a trial costs", .basic = true),                                  \
        CONF_CHOICE(S, f.cost, "cost", "seconds", SEARCH_COSTS,                                    \
                    "plot --chart pareto: what a trial costs"),                                    \
        CONF_INT(S, f.width, "width", "900", 320, 8000, "plot: in pixels (of 1/96 inch)"),         \
        CONF_INT(S, f.height, "height", "0", 0, 8000,                                              \
                 "plot: in pixels, at least 240; 0: by what is in it"),                            \
        CONF_BOOL(S, f.dark, "dark", "plot: light on dark"),                                       \
        CONF_BOOL(S, f.adaptive, "adaptive",                                                       \
                  "plot, of an .svg: light or dark as the system of whoever looks at it wants"),   \
        CONF_BOOL(S, f.overwrite, "overwrite", "best, plot, init: write over what is there"),      \
        CONF_SECTION("Writing a search file"),                                                     \
        CONF_FLOAT(S, f.hours, "hours", "10", 0.01, 1e5,                                           \
                   "init: that the search may take in all"),                                       \
        CONF_STRING(S, f.tokenizer, "tokenizer", NULL, "T",                                        \
                    "init: of the text; otherwise one is trained on it and put beside the file")

struct search_opts;
struct conf;
int verb_status(const struct search_opts *o, const struct conf *c, struct err *e);
int verb_best(const struct search_opts *o, const struct conf *c, struct err *e);
int verb_plot(const struct search_opts *o, const struct conf *c, struct err *e);
int verb_init(const struct search_opts *o, const struct conf *c, struct err *e);

#endif
