/* Bytes a second of memory and caches: read, and copied, by one thread and by all.
 *
 * The bytes are those that a loop asks for: a copy reads one and writes one for each of its
 * elements, and memory may have to read a third (the line that is about to be written).
 *
 * A working set is all that the threads together touch, a copy's two sides among it; each thread
 * has a part of its own of equal size. */
#ifndef DUET_BANDWIDTH_H
#define DUET_BANDWIDTH_H

#include "bench_rounds.h"
#include "kern.h"
#include "pool.h"

#include <stddef.h>

/* n floats, `times` times over, in as many parts as there are threads: so that memcpy sees when
 * they are larger than caches. No thread waits for another between two times. */
void bandwidth_copy(struct pool *pool, float *to, const float *from, int64_t n, int64_t times);
/* By the kernel that finds the largest of them. */
void bandwidth_read(struct pool *pool, const struct kern *k, const float *x, int64_t n,
                    int64_t times);

/*    name,     copies, by all threads */
#define BANDWIDTH_KINDS(X)                                                                         \
    X(read_one, false, false)                                                                      \
    X(copy_one, true, false)                                                                       \
    X(read_all, false, true)                                                                       \
    X(copy_all, true, true)

enum bandwidth_kind {
#define X(name, copies, all) BANDWIDTH_##name,
    BANDWIDTH_KINDS(X)
#undef X
        BANDWIDTH_COUNT
};
const char *bandwidth_kind_name(enum bandwidth_kind k);

struct bandwidth_point {
    size_t bytes;                /* the working set */
    double rate[BANDWIDTH_COUNT]; /* GB/s, medians; NaN: not measured, the parts are too small */
};

struct bandwidth {
    struct bandwidth_point *point; /* by rising size; owned */
    int n, rounds, threads;
    bool cut; /* time was up before the largest sizes had a turn */
};

struct bandwidth_opts {
    struct pool *pool;
    const struct kern *kern;
    size_t most;      /* the largest working set; less where there is no memory for it */
    int per_octave;   /* sizes from one to its double: 1 or 2 */
    double seconds;   /* to take about so long, or three rounds, but hardly more than half as long
                       * again */
    rounds_seen *seen; /* after every round; or NULL */
    void *ctx;
};

/* Working sets from 16 KB on: their number, at most `room`. Between powers of two stands 3/2. */
int bandwidth_sizes(size_t most, int per_octave, size_t *bytes, int room);

/* In every round each working set is read and copied once, so that what the machine does for a
 * while touches one value of many. ERR_NOMEM: not even for the smallest. */
int bandwidth_measure(struct bandwidth *b, const struct bandwidth_opts *o, struct err *e);
void bandwidth_release(struct bandwidth *b); /* accepts all zeros */

#endif
