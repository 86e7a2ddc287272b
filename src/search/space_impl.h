/* What the files of space.h share; nobody else includes this. */
#ifndef DUET_SPACE_IMPL_H
#define DUET_SPACE_IMPL_H

#include "space.h"

/* A value that an axis has at the coordinate, given that of the axis it is a share of (else
 * unused). New; NULL: no memory. */
json_t *axis_value(const struct axis *a, double u, double of);

/* Its coordinate. False: the axis has no such value. */
bool axis_coordinate(const struct axis *a, const json_t *value, double of, double *u);

/* Is it there, given the values of the axes before it in order? */
bool axis_is_active(const struct axis *a, json_t *const *value);

/* A value as a message shows it, and the values that an axis has. */
const char *show_value(const json_t *v, char buf[80]);
const char *show_axis(const struct axis *a, char buf[200]);

#endif
