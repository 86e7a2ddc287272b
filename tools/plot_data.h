/* What `duet plot` draws: runs from folders, and from tables, which it writes too, so that a
 * picture can be kept with its figures and without the runs. docs/formats.md, "Tables of runs". */
#ifndef DUET_PLOT_DATA_H
#define DUET_PLOT_DATA_H

#include "err.h"
#include "record.h"

#include <stdbool.h>
#include <stddef.h>

struct plot_run {
    struct record run; /* of a table: steps and vals alone; step -1 where the table has none */
    char *name;     /* in legends: plot_set_name */
    double bpb;     /* bits per byte of a nat a token of the validation text, or NAN */
    double floor;   /* bits per byte that no model can go below, or NAN */
};

struct plot_set {
    struct plot_run *run;
    size_t n, cap;
};

/* Adds the run of a folder, or all those of a table. ERR_INPUT if path is neither. */
int plot_set_add(struct plot_set *s, const char *path, struct err *e);

/* Room for one more, which is not counted in n yet; NULL: no memory. */
struct plot_run *plot_set_next(struct plot_set *s, const char *path, struct err *e);

/* Gives every run its name: that of --name, else what differs between the runs' options, if that
 * is one or two of them, else the folder. Names that are equal get their folder too. */
int plot_set_name(struct plot_set *s, struct err *e);

/* Writes all of them as one table. */
int plot_set_write(const struct plot_set *s, const char *path, struct err *e);

void plot_set_release(struct plot_set *s); /* accepts all zeros */

/* A table from memory; path: for messages. */
int plot_table_parse(struct plot_set *s, const char *text, const char *path, struct err *e);

#endif
