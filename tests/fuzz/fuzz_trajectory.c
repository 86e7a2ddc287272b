/* A trajectory from any bytes; the first byte says whether its checksums are put right, which no
 * fuzzer would guess. What opens can be read to its end, and goes on. */
#include "fuzz.h"

#include "binary.h"
#include "trajectory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static char path[64];

static void repair(uint8_t *file, size_t size) {
    if (size < 32) return;
    uint64_t at = 32 + binary_get(file + 12, 4) + 4 * binary_get(file + 24, 4);
    if (at > size) return;
    binary_put(file + 16, XXH3_64bits(file + 32, (size_t)at - 32), 8);
    while (size - at >= 32) {
        const bool more = binary_get(file + 8, 4) == 2; /* numbers behind the coefficients */
        const uint64_t extras = more ? 4 + 4 * binary_get(file + at + 28, 4) : 0;
        const uint64_t bytes = 28 + 12 * binary_get(file + at + 8, 4) + extras;
        if (bytes + 4 > size - at) return;
        binary_put(file + at + bytes, XXH3_64bits(file + at, (size_t)bytes), 4);
        at += bytes + 4;
    }
}

static int64_t read_all(struct trajectory *t) {
    struct zo_record r;
    int64_t n = 0;
    while (trajectory_next(t, &r)) {
        must(r.step == n++ && r.accum > 0 && isfinite(r.lr));
        must(r.n > 0 && r.n <= TRAJECTORY_MAX_DIRECTIONS);
        for (int d = 0; d < r.n; d++) must(isfinite(r.coef[d]));
        must(r.n_extra >= 0 && (t->head.extra || !r.n_extra));
        for (int k = 0; k < r.n_extra; k++) must(isfinite(r.extra[k]));
    }
    must(n == t->records && t->head.config && t->head.n_ids <= t->head.vocab);
    return n;
}

/* One more record goes behind those that are whole. */
static void go_on(int64_t records) {
    struct err e;
    struct trajectory t;
    const uint64_t seed = 1;
    const float coef = 0.5f;
    const struct zo_record r = {
        .step = records, .accum = 1, .lr = 1, .n = 1, .seed = &seed, .coef = &coef};
    must(!trajectory_append_open(&t, path, &e) && t.records == records);
    must(!trajectory_append(&t, &r, &e));
    trajectory_close(&t);
    must(!trajectory_open(&t, path, &e) && !t.torn && read_all(&t) == records + 1);
    trajectory_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct trajectory t;
    if (size < 1) return 0;
    if (!*path) snprintf(path, sizeof path, "/tmp/duet-fuzz-trajectory-%ld", (long)getpid());
    uint8_t *file = malloc(size);
    must(file != NULL);
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1) repair(file, size - 1);
    fuzz_put(path, file, size - 1);
    const int rc = trajectory_open(&t, path, &e);
    if (!refused(rc, &e)) {
        const int64_t records = read_all(&t);
        trajectory_close(&t);
        go_on(records);
    }
    free(file);
    unlink(path);
    return 0;
}
