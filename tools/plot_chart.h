/* From runs to a chart: what `duet plot` shows of them. */
#ifndef DUET_PLOT_CHART_H
#define DUET_PLOT_CHART_H

#include "plot_data.h"

#include <stdint.h>

#define PLOT_X "steps seconds tokens"
#define PLOT_QUANTITIES "loss bpb accuracy f1 lr throughput grad-norm"
#define PLOT_TRAIN "auto yes no"

struct plot_look {
    const char *x, *y;  /* words of PLOT_X, PLOT_QUANTITIES */
    const char *panels; /* several of those, between commas, instead of y; or NULL */
    const char *train;
    const char *title; /* NULL: of one run its name, else none; "": none */
    int64_t smooth;    /* updates that a point of training is the mean of; 0: chosen, 1: none */
    int64_t width, height;
    bool log_x, log_y, dark, adaptive;
};

/* Draws them to path. ERR_USAGE if the look does not make sense, ERR_INPUT if there is nothing to
 * draw. */
int plot_draw(const struct plot_set *s, const struct plot_look *look, const char *path,
              struct err *e);

#endif
