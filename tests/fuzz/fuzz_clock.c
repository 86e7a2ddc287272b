/* The clock of a run from any bytes; the first byte says whether its checksums are put right, which
 * no fuzzer would guess. What opens can be read to its end, and goes on. */
#include "fuzz.h"

#include "binary.h"
#include "clock_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static char path[64];

static void repair(uint8_t *file, size_t size) {
    for (size_t i = 0; 16 + 16 * (i + 1) <= size; i++) {
        uint8_t *at = file + 16 + 16 * i;
        binary_put(at + 12, XXH3_64bits_withSeed(at, 12, i), 4);
    }
}

static int64_t read_all(const struct clock_record *c) {
    for (int64_t i = 0; i < c->updates; i++) {
        const double share = clock_record_share(c, i), scale = clock_record_scale(c, i);
        must(share >= 0 && share <= 1 && scale > 0 && scale <= 1);
    }
    const double end = clock_record_share(c, c->updates);
    must(end >= 0 && end <= 1 && (c->ended ? end == c->end : end == 1));
    return c->updates;
}

/* One more record goes behind those that are whole, once an end is cut off. */
static void go_on(int64_t updates) {
    struct err e;
    struct clock_record c;
    must(!clock_record_append_open(&c, path, &e) && c.updates == updates);
    must(!clock_record_cut(&c, updates, &e) && !clock_record_append(&c, 0.5, 1, &e));
    clock_record_close(&c);
    must(!clock_record_open(&c, path, &e) && !c.torn && !c.ended && read_all(&c) == updates + 1);
    clock_record_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct clock_record c;
    if (size < 1) return 0;
    if (!*path) snprintf(path, sizeof path, "/tmp/duet-fuzz-clock-%ld", (long)getpid());
    uint8_t *file = malloc(size);
    must(file != NULL);
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1) repair(file, size - 1);
    fuzz_put(path, file, size - 1);
    const int rc = clock_record_open(&c, path, &e);
    if (!refused(rc, &e)) {
        const int64_t updates = read_all(&c);
        clock_record_close(&c);
        go_on(updates);
    }
    free(file);
    unlink(path);
    return 0;
}
