/* Inside of a run, shared by trainer.c (the loop), trainer_open.c (everything before it) and
 * trainer_zo.c (the trajectory). */
#ifndef DUET_TRAINER_IMPL_H
#define DUET_TRAINER_IMPL_H

#include "checkpoint.h"
#include "dataset.h"
#include "eval.h"
#include "log.h"
#include "task.h"
#include "trainer.h"
#include "trajectory.h"

struct trainer {
    struct train_opts *opts;
    struct train_setup setup;
    char *dir;
    struct gemm gemm;
    double peak; /* measured GFLOP/s */
    struct dataset data;
    struct split train, val;
    struct batcher batcher;
    struct task task, task_val;    /* instead of data and splits */
    int64_t filled;                /* tokens of the present update */
    struct trajectory trajectory;  /* mezo */
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
    int64_t logged;      /* recorded updates are made again: the log has them up to this step */
    bool cleared;        /* whatever is in the folder is this run's */
    bool reuse;          /* tokens.shard may be used as it is */
};

int trainer_open(struct trainer *t, struct train_opts *o, struct conf *conf, struct err *e);
void trainer_close(struct trainer *t);
/* Opens the run's trajectory; the updates in it that the checkpoint does not have are made again.
 * */
int trainer_open_trajectory(struct trainer *t, struct conf *conf, struct err *e);
/* Appends the update that s made. Nothing for other engines. */
int trainer_record(struct trainer *t, const struct engine_step *s, double seconds, struct err *e);
/* Tokens of micro-batch `micro` of the present update. */
int64_t trainer_tokens(struct trainer *t, int64_t micro);
/* Counts an update that is done: progress, log, line. ERR_NUMERIC if the loss has run away. */
int trainer_count(struct trainer *t, const struct engine_step *s, double seconds, struct err *e);
double trainer_progress(const struct trainer *t); /* share of the run done, 0..1 */

#endif
