/* A trajectory from any bytes; the first byte says whether its checksums are put right, which no
 * fuzzer would guess. What opens can be read to its end, and goes on. */
#include "trajectory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void must(bool ok) {
    if (!ok) abort();
}

static uint64_t get(const uint8_t *at) {
    return at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24;
}

static void repair(uint8_t *file, size_t size) {
    if (size < 32) return;
    uint64_t at = 32 + get(file + 12) + 4 * get(file + 24);
    if (at > size) return;
    const uint64_t head = XXH3_64bits(file + 32, (size_t)at - 32);
    for (int i = 0; i < 8; i++) file[16 + i] = (uint8_t)(head >> (8 * i));
    while (size - at >= 32) {
        const bool more = get(file + 8) == 2; /* numbers behind the coefficients */
        const uint64_t extras = more ? 4 + 4 * get(file + at + 28) : 0;
        const uint64_t bytes = 28 + 12 * get(file + at + 8) + extras;
        if (bytes + 4 > size - at) return;
        const uint64_t sum = XXH3_64bits(file + at, (size_t)bytes);
        for (int i = 0; i < 4; i++) file[at + bytes + (uint64_t)i] = (uint8_t)(sum >> (8 * i));
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
    FILE *f = fopen(path, "wb");
    must(f && fwrite(file, 1, size - 1, f) == size - 1 && !fclose(f));
    const int rc = trajectory_open(&t, path, &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (!rc) {
        const int64_t records = read_all(&t);
        trajectory_close(&t);
        go_on(records);
    }
    free(file);
    unlink(path);
    return 0;
}
