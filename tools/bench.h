/* Measurements behind `duet bench`. */
#ifndef DUET_BENCH_H
#define DUET_BENCH_H

#include "train_opts.h"

struct bench_opts {
    const char *model, *engine, *optimizer, *compute, *gemm;
    struct conf_pairs set;
    int64_t vocab, batch, seq, accum, runs, warmup, threads, seed;
    bool recompute, json, one_type; /* one_type: bench gemm measures only `compute` */
};

int bench_step(const struct bench_opts *o, struct err *e);
int bench_gemm(const struct bench_opts *o, struct err *e);

double bench_median(double *x, int n); /* sorts x */

#endif
