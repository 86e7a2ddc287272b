/* JSON in one way of writing: whoever spells the same thing otherwise (order of keys, 1e-3 for
 * 0.001, 2.0 for 2) gets the same bytes, and so the same hash. */
#ifndef DUET_CANON_H
#define DUET_CANON_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>

/* Keys in the order of their bytes, no blanks; whole numbers below 2^53 as integers, others as the
 * shortest decimal that reads back exactly. malloc()ed; NULL: no memory. */
char *canon_text(const json_t *j);

/* The number as that text has it. */
const char *canon_number(double x, char buf[32]);

/* XXH64 with seed 0 of that text, as 16 hexadecimal digits and a 0. False: no memory. */
bool canon_hash(const json_t *j, char hash[17]);

/* An error of that code, which is returned: the value v of "key" (NULL: there is none) is not what
 * was expected, in a sentence that shows it. */
int canon_wrong(int code, const char *path, const char *key, const json_t *v, const char *expected,
                struct err *e);

#endif
