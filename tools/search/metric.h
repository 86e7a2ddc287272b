/* The number that a search goes by, of one run. */
#ifndef DUET_METRIC_H
#define DUET_METRIC_H

#include "err.h"
#include "search_file.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What taking it needs after the training. */
enum metric_needs {
    METRIC_NOTHING, /* it is in summary.json */
    METRIC_SCORER,  /* duet eval FOLDER --exact --json */
    METRIC_COMMAND, /* metric->command, in the run's folder */
};
enum metric_needs metric_needs(const struct search_metric *m);

/* The value of key in a summary: *value is NaN where it is null there (a result that is no number).
 * ERR_INPUT: it is not there, or something else. path: for messages. */
int metric_of_summary(const json_t *summary, const char *key, const char *path, double *value,
                      struct err *e);

/* bits_per_byte of what the scorer printed (n bytes), and all of it as a new object. */
int metric_of_scorer(const char *text, size_t n, double *value, json_t **all, struct err *e);

/* A command's: one number in n bytes of text, with blanks around; "nan" and "inf" are NaN. */
int metric_of_text(const char *text, size_t n, double *value, struct err *e);

#endif
