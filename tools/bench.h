/* Measurements behind `duet bench`. */
#ifndef DUET_BENCH_H
#define DUET_BENCH_H

#include "bench_rounds.h"
#include "train_opts.h"

#include <jansson.h>

struct bench_opts {
    struct train_opts train; /* bench's own, and the defaults of train for the others */
    int64_t vocab, runs, warmup;
    struct conf_list shapes, against;
    bool serve;
    int argc; /* the command line, after "bench" */
    char **argv;
    struct machine machine; /* idle */
    bool one_type;          /* bench gemm measures only `compute` */
};

int bench_step(const struct bench_opts *o, struct err *e);
int bench_gemm(const struct bench_opts *o, struct err *e);

/* Steps of this program and of those of --against, in turns. */
int bench_against(const struct bench_opts *o, struct err *e);

/* What a word of --against is: the name of a backend, or the path of a program (with a slash).
 * ERR_USAGE if it is neither. */
int bench_against_kind(const char *word, bool *backend, struct err *e);
/* The last part of a path, for narrow columns. */
const char *bench_short_name(const char *path);

/* A warning where the machine's peak (GFLOP/s) moved by more than a tenth meanwhile. */
void bench_warn_of_drift(const struct drift *peak);
/* Where a share of the peak, as a median, is more than the clock's wandering explains. */
void bench_warn_of_share(double most);

/* "0.98 0.95-1.01": the median, and where it lies. */
const char *bench_spread_text(struct stat_spread s, char buf[48]);

/* Sets KEY, KEY_low and KEY_high. */
void bench_spread_json(json_t *object, const char *key, struct stat_spread s);

#endif
