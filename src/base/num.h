/* Real numbers in output: NaN and infinity, which stand for what is not known, are never printed as
 * numbers. */
#ifndef DUET_NUM_H
#define DUET_NUM_H

#include <jansson.h>

/* x with so many digits behind the point, or "unknown", into the caller's buffer, which is
 * returned. */
const char *num_text(double x, int digits, char buf[32]);

/* n with commas between groups of three digits: "1,234,567". */
const char *num_count(long long n, char buf[32]);

/* A learning rate and the like, as short as two digits allow: "1.5e-3", "0.1", "12", "0". */
const char *num_rate(double x, char buf[32]);

/* So many significant digits, never fewer before the point, no exponent: "0.0312", "12.3", "4321";
 * "unknown" as above. */
const char *num_digits(double x, int digits, char buf[32]);

/* New JSON value: x, or null. */
json_t *num_json(double x);

/* Of one JSON object as printf makes it: nan, -nan, inf and -inf outside of strings become null.
 * malloc()ed; NULL: no memory. */
char *num_clean(const char *json);

#endif
