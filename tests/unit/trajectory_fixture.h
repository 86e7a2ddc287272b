/* What tests of trajectories share: a folder of their own, and files of made-up records. */
#ifndef DUET_TRAJECTORY_FIXTURE_H
#define DUET_TRAJECTORY_FIXTURE_H

#include "record_fixture.h"

#include "rng.h"
#include "trajectory.h"

#include <jansson.h>
#include <math.h>
#include <xxhash.h>

enum { MAX_N = 8, HEAD = 32, ONE = 44 };
static const char CONFIG[] =
    "{\n  \"engine\": \"mezo\",\n  \"lr\": 1e-06,\n  \"seed\": 9000000000000000000\n}\n";
static const uint32_t IDS[] = {0, 3, 4, 70000, 151935};

static struct trajectory t;
static int more; /* numbers of a record behind its coefficients: a file of version 2 */

static inline int enter(void **state) {
    t = (struct trajectory){0};
    return enter_dir(state);
}

static inline int enter_more(void **state) {
    more = 3;
    return enter(state);
}

static inline int leave(void **state) {
    trajectory_close(&t);
    more = 0;
    return leave_dir(state);
}

static inline struct trajectory_head head(int64_t n_ids) {
    return (struct trajectory_head){.base_hash = 0x0123456789abcdef,
                                    .config = CONFIG,
                                    .vocab = 151936,
                                    .ids = n_ids ? IDS : NULL,
                                    .n_ids = n_ids,
                                    .extra = more > 0};
}

/* The record of a step with n directions, as any run might write it. */
static inline struct zo_record record(int64_t step, int n) {
    static uint64_t seed[MAX_N];
    static float coef[MAX_N], extra[3];
    struct rng r = rng_make(7, RNG_TEST, (uint64_t)step, 0, 0);
    for (int d = 0; d < n; d++) {
        seed[d] = rng_next(&r);
        coef[d] = (float)rng_normal(&r);
    }
    for (int k = 0; k < more; k++) extra[k] = (float)rng_normal(&r);
    return (struct zo_record){.step = step,
                              .n_extra = more ? (int)(step % (more + 1)) : 0,
                              .extra = extra,
                              .accum = 5 + step,
                              .lr = 1e-6 / (double)(1 + step),
                              .loss = 2.5,
                              .seconds = 0.25,
                              .n = n,
                              .seed = seed,
                              .coef = coef};
}

static inline void same_record(const struct zo_record *a, const struct zo_record *b) {
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->n_extra, b->n_extra);
    assert_memory_equal(a->extra, b->extra, (size_t)a->n_extra * sizeof *a->extra);
    assert_int_equal(a->accum, b->accum);
    assert_true(a->lr == b->lr && a->loss == b->loss && a->seconds == b->seconds);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->seed, b->seed, sizeof *a->seed * (size_t)a->n);
    assert_memory_equal(a->coef, b->coef, sizeof *a->coef * (size_t)a->n);
}

/* Directions of a step's record: 1, 2, 3, 1, ... */
static inline int n_of(int64_t step) {
    return (int)(1 + step % 3);
}

/* Bytes of the record of a step. */
static inline size_t bytes_of(int64_t step) {
    const size_t extras = more ? 4 + 4 * (size_t)(step % (more + 1)) : 0;
    return 28 + 12 * (size_t)n_of(step) + 4 + extras;
}

static inline void append(int64_t from, int64_t to) {
    for (int64_t s = from; s < to; s++) {
        const struct zo_record r = record(s, n_of(s));
        assert_int_equal(trajectory_append(&t, &r, &e), 0);
    }
}

static inline void make(const char *path, int64_t n_ids, int64_t records) {
    const struct trajectory_head h = head(n_ids);
    assert_int_equal(trajectory_create(&t, path, &h, &e), 0);
    append(0, records);
    assert_int_equal(trajectory_sync(&t, &e), 0);
    trajectory_close(&t);
}

/* The file holds exactly the records of steps 0 to n-1. */
static inline void holds(const char *path, int64_t n) {
    struct zo_record r;
    assert_int_equal(trajectory_open(&t, path, &e), 0);
    assert_int_equal(t.records, n);
    assert_int_equal(t.torn, 0);
    for (int64_t s = 0; s < n; s++) {
        const struct zo_record want = record(s, n_of(s));
        assert_true(trajectory_next(&t, &r));
        same_record(&r, &want);
    }
    assert_false(trajectory_next(&t, &r));
    trajectory_close(&t);
}

static inline void refused(const char *path, const char *says) {
    e = (struct err){0};
    assert_int_equal(trajectory_open(&t, path, &e), ERR_INPUT);
    if (!strstr(e.msg, says) || !strstr(e.msg, path)) fail_msg("\"%s\" lacks \"%s\"", e.msg, says);
    assert_true(!t.map.path && !t.file.path);
    const size_t before = size_of(path);
    assert_int_equal(trajectory_append_open(&t, path, &e), ERR_INPUT);
    assert_int_equal(size_of(path), before);
    assert_true(!t.map.path && !t.file.path);
}

#endif
