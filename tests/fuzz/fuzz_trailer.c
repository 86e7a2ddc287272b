/* The trailer line of the built-in corpus from any bytes. */
#include "fuzz.h"

#include "stories.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    size_t text, n;
    double *bits;
    const int rc = stories_trailer((const char *)data, size, &text, &bits, &n, &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (rc) return 0;
    must(text <= size && (bits != NULL) == (text < size));
    for (size_t i = 0; i < n; i++) must(isfinite(bits[i]) && bits[i] >= 0);
    free(bits);
    return 0;
}
