/* Inside of a run, shared by trainer.c (the loop), trainer_open.c (everything before it) and
 * trainer_val.c. */
#ifndef DUET_TRAINER_IMPL_H
#define DUET_TRAINER_IMPL_H

#include "checkpoint.h"
#include "dataset.h"
#include "eval.h"
#include "log.h"
#include "trainer.h"

struct trainer {
    struct train_opts *opts;
    struct train_setup setup;
    char *dir;
    struct gemm gemm;
    double peak; /* measured GFLOP/s */
    struct dataset data;
    struct split train, val;
    struct batcher batcher;
    uint32_t *token_bytes;
    struct model model;
    struct engine engine;
    struct engine_memory memory;
    int64_t seq;
    struct progress p;
    struct log_progress line;
    struct log_lines log;
    bool resumed;
    double began;        /* clock at the start of this process */
    double total_before; /* seconds of earlier processes of this run */
    double last_save;    /* clock */
    int64_t saved_step;  /* step of the checkpoint on disk, -1 none */
    int lock;            /* descriptor of the folder, locked against a second run in it */
    bool made_dir;       /* the folder was not there before */
    bool cleared;        /* whatever is in the folder is this run's */
    bool reuse;          /* tokens.shard may be used as it is */
};

int trainer_open(struct trainer *t, struct train_opts *o, struct conf *conf, struct err *e);
void trainer_close(struct trainer *t);
int trainer_validate(struct trainer *t, struct eval_result *r, struct err *e);
double trainer_progress(const struct trainer *t); /* share of the run done, 0..1 */

#endif
