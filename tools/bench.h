/* Measurements behind `duet bench`. */
#ifndef DUET_BENCH_H
#define DUET_BENCH_H

#include "train_opts.h"

struct bench_opts {
    struct train_opts train; /* bench's own, and the defaults of train for the others */
    int64_t vocab, runs, warmup;
    struct machine machine; /* idle */
    bool one_type; /* bench gemm measures only `compute` */
};

int bench_step(const struct bench_opts *o, struct err *e);
int bench_gemm(const struct bench_opts *o, struct err *e);

#endif
