/* What fuzz targets share. */
#ifndef DUET_FUZZ_H
#define DUET_FUZZ_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool ok) {
    if (!ok) abort();
}

/* A refusal has a code and a sentence. */
static inline bool refused(int rc, const struct err *e) {
    must(rc == 0 || (rc == e->code && e->msg[0]));
    return rc != 0;
}

static inline void fuzz_put(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    must(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

#endif
