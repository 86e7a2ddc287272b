/* What the machine multiplies: large square products by every instruction set that there is, by
 * one thread and all, and by the one that is chosen for every number of threads between. */
#ifndef DUET_HARDWARE_PEAKS_H
#define DUET_HARDWARE_PEAKS_H

#include "bench_product.h"
#include "machine.h"

enum { PEAKS_WAYS = 128, PEAKS_COUNTS = 32, PEAKS_TIERS = CPU_TIER_COUNT + 1, PEAKS_TYPES = 2 };

/* The types that products are computed in; what duet learns is added here. */
extern const enum dtype peaks_types[PEAKS_TYPES];

/* One row: an instruction set, a number of threads, a type. */
struct peaks_way {
    struct cpu cpu;
    bool chosen; /* what products take by themselves here */
    int threads;
    enum dtype compute;
    struct gemm gemm; /* "auto": what is computed with */
    enum gemm_rate rate;
    int64_t side;                /* of the square */
    struct stat_spread gflops;   /* of the rounds */
    struct product product;      /* of `data` */
    int data;
};

struct peaks {
    struct peaks_way *way; /* owned */
    int n, rounds;
    bool cut; /* time was up before all had a turn: some are not there */
    struct pool *pool[PEAKS_COUNTS]; /* one for each number of threads; owned */
    int count[PEAKS_COUNTS], counts;
    struct product_data data[8]; /* one for each side; owned */
    int datas;
};

struct peaks_opts {
    const struct machine *machine;
    bool quick;       /* one thread and all only */
    double seconds;   /* to take about so long, or three rounds, but hardly more than half as long
                       * again */
    struct peak *reference; /* takes a turn in every round */
    rounds_seen *seen;      /* after every round; or NULL */
    void *ctx;
};

/* Numbers of threads that are measured: all of them up to 16, then 3/2 and twice those of the
 * powers of two, and the last; quick: 1 and the last. Their number, at most PEAKS_COUNTS. */
int peaks_counts(int threads, bool quick, int count[PEAKS_COUNTS]);

/* "loops", "rounded" (inputs; the products are of f32), "vectors", "tiles". */
const char *peaks_rate_name(enum gemm_rate r);
/* "avx2", "avx512bf16 + tiles". */
const char *peaks_tier_name(const struct cpu *cpu, char name[40]);

/* The square that tells what the machine can do, for the reference: f32, all threads, of a side
 * that takes at most so many seconds. */
int peaks_reference(struct peak *p, const struct machine *m, double most, struct err *e);

int peaks_measure(struct peaks *p, const struct peaks_opts *o, struct err *e);
/* GFLOP/s of what is chosen, by all threads; 0: not measured. */
double peaks_chosen(const struct peaks *p, enum dtype compute, int threads);
void peaks_release(struct peaks *p); /* accepts all zeros */

#endif
