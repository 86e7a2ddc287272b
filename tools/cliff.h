/* Where the rate of a curve over working sets falls, and which cache ends there. */
#ifndef DUET_CLIFF_H
#define DUET_CLIFF_H

#include "cpu.h"

#include <stddef.h>

struct cliff {
    size_t from, to;      /* the largest working set above it, and the smallest below */
    double before, after; /* rates there */
};

/* Of n points by rising size: at most `most` cliffs, the smallest size first; their number. A cliff
 * is a run of neighbouring points from each of which to the next the rate falls by more than 6 %,
 * together by more than a fifth, after which it does not come back. What falls slowly is none, and
 * neither is one point that is far from both of its neighbours. Rates that are no numbers are
 * passed over. */
int cliff_find(const size_t *bytes, const double *rate, int n, struct cliff *cliff, int most);

/* What of a kind of cache so many threads have together. */
size_t cliff_capacity(const struct cpu_cache *c, int threads);

/* How the cliff is explained by the n caches (topology.h), for so many threads:
 * "end of L1d (32 KB)", "end of L1d (32 KB) and L2 (512 KB)"; "short of L3 (32 MB)", where it
 * begins and ends below the next cache (of which another has a part, say); "no cache ends there".
 * Returns text. */
enum { CLIFF_TEXT = 160 };
const char *cliff_text(const struct cliff *c, const struct cpu_cache *cache, int n, int threads,
                       char text[CLIFF_TEXT]);

/* "L1d", "L1i", "L2". */
const char *cliff_cache_name(const struct cpu_cache *c, char name[16]);
/* "32 KB", "1.5 MB", "2 GB": powers of 1024, as caches are named. */
const char *cliff_size(size_t bytes, char text[24]);

#endif
