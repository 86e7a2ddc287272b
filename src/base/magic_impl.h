/* Between the files of magic.h. */
#ifndef DUET_MAGIC_IMPL_H
#define DUET_MAGIC_IMPL_H

#include "magic.h"
#include <stdint.h>

/* What an object of JSON is whose file begins with these n bytes; NULL: any other, or none. Several
 * in a row are documents. */
const struct magic *magic_json(const uint8_t *p, size_t n);

#endif
