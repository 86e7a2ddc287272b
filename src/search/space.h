/* What a search may change: axes with names, conditions between them, and the unit cube that the
 * strategies see. In a search file:
 *
 *   "space": {
 *     "lr": {"log": [1e-4, 1e-2]},                       logarithm uniform
 *     "weight-decay": {"linear": [0, 0.3]},
 *     "set.num_hidden_layers": {"int": [2, 8]},          whole numbers, both ends included
 *     "set.hidden_size": {"multiple_of": 64, "range": [128, 768]},
 *     "optimizer": {"choice": ["adamw", "lion"]},        texts, numbers, true, false
 *     "set.intermediate_size": {"share_of": "set.hidden_size", "range": [2, 4], "multiple_of": 64},
 *     "set.num_attention_heads": {"share_of": "set.hidden_size", "choice": [0.03125, 0.015625]},
 *     "beta2": {"linear": [0.9, 0.999], "when": {"optimizer": ["adamw"]}}
 *   }
 *
 * An axis with share_of is the share times the value of the other axis, rounded to the nearest
 * multiple of "multiple_of" (at least one), by default to a whole number where the other axis has
 * whole numbers only. "when" is met if each of its keys has that value or one of those; its keys
 * are axes of int, multiple_of or choice. An axis whose condition is not met, or that is a share
 * of, or is conditional on, one that is not there, is not in the configuration.
 *
 * A configuration is a JSON object {key: value}. A point has a coordinate in [0, 1] for each axis,
 * in the order of the file; of an axis with N values each has the N-th part of it, a
 * configuration's point is in the middle of it, and 0.5 for axes that it has not. Real values are
 * rounded to 6 significant digits (linear: to so many places that the range has 10^5 steps at
 * least), so that they are the same on every machine, and read well: space_config(space_point(c))
 * is c for every c that space_config made. */
#ifndef DUET_SPACE_H
#define DUET_SPACE_H

#include "err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPACE_MAX_AXES = 64,
    AXIS_MAX_KEY = 128,
    AXIS_MAX_CHOICES = 256,
    SPACE_MAX_POINTS = 1000,
};

#define AXIS_KINDS(X) X(log) X(linear) X(int) X(multiple_of) X(choice) X(share_of)
enum axis_kind {
#define X(name) AXIS_##name,
    AXIS_KINDS(X)
#undef X
};

/* One key of "when". */
struct axis_when {
    size_t axis;    /* that must have */
    json_t *values; /* one of this array */
};

struct axis {
    char *key;
    enum axis_kind kind;
    double low, high;    /* log, linear: values; share_of: shares; else multiples of step */
    double most;         /* its largest value, of numbers */
    int64_t step;        /* int: 1; multiple_of; share_of: 0 for real values */
    json_t *choices;     /* choice: values; share_of: shares, or NULL: low to high */
    size_t of;           /* share_of: that axis */
    struct axis_when *when;
    size_t n_when;
    bool read; /* by others, in conditions or shares */
};

struct space {
    char *path; /* of the file, for messages */
    json_t *json; /* the object that it was read from */
    struct axis *axis;
    size_t n;
    size_t order[SPACE_MAX_AXES]; /* each axis behind those that it depends on */
};

/* Reads the member "space" of a file, which is kept by reference. path: for messages. ERR_USAGE
 * with file, key, what was found and what is expected; nothing is left then. */
int space_read(struct space *s, const json_t *j, const char *path, struct err *e);
void space_release(struct space *s); /* accepts all zeros */

/* The axis of that key; s->n: there is none. */
size_t space_find(const struct space *s, const char *key);

/* An axis from a word of the command line, as a new JSON object: "1e-4..1e-2" is log (linear where
 * it begins at 0 or below, or spans less than a factor of 10), "2..8" is int, "2,4,6" or
 * "adamw,lion" is a choice. key: of the axis, for messages. NULL: ERR_USAGE, ERR_NOMEM. */
json_t *space_axis_text(const char *key, const char *text, struct err *e);

/* Equal, 2 and 2.0 too. */
bool space_same(const json_t *a, const json_t *b);

/* How many values an axis has; 0: a real one, or one whose values depend on those of another. */
size_t axis_levels(const struct axis *a);

/* The level of a coordinate, of an axis with that many, and the middle of a level. */
size_t axis_level(double u, size_t levels);
double axis_middle(size_t level, size_t levels);

/* The value of each axis of a point: new JSON values into `value` (s->n), NULL where an axis is not
 * there. False: no memory, and all are NULL. */
bool space_values(const struct space *s, const double *u, json_t **value);

/* Which axes are there in a point. False: no memory. */
bool space_active(const struct space *s, const double *u, bool *active);

/* The configuration of a point (s->n coordinates; outside [0, 1] counts as the nearer end; NaN as
 * 0.5). New; NULL: no memory. */
json_t *space_config(const struct space *s, const double *u);

/* The point of a configuration, which must have exactly the axes that are there with values of
 * theirs. what: names the configuration in messages ("ledger.jsonl, line 7"). ERR_INPUT. */
int space_point(const struct space *s, const json_t *config, const char *what, double *u,
                struct err *e);

/* The same of what may say less, more, or lie outside: keys of other things are passed over, what
 * is missing or of another kind has 0.5, numbers go to the nearest value. For a search's base. */
int space_nearest(const struct space *s, const json_t *config, double *u, struct err *e);

/* How many configurations there are: INFINITY with a real axis, or if there are more than can be
 * counted (10^6 combinations of axes that others depend on). points > 0: real axes have so many
 * values, evenly in the cube, ends included; at most SPACE_MAX_POINTS. NaN: no memory. */
double space_count(const struct space *s, size_t points);

/* The point of number `index` of these, the axes of the file's beginning changing slowest (those
 * that others depend on before these). *found: index is below their number, and that is known.
 * ERR_NOMEM. */
int space_grid(const struct space *s, size_t points, uint64_t index, double *u, bool *found,
               struct err *e);

#endif
