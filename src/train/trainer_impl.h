/* Inside of a run, shared by trainer.c (the loop), trainer_folder.c (the folder and config.json),
 * trainer_open.c (everything else before the loop), trainer_val.c (validation), trainer_end.c (the
 * summary) and trainer_zo.c (the trajectory). */
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

/* The folder of --resume or --out, locked; a new run's is made and cleared. */
int trainer_open_folder(struct trainer *t, struct err *e);
void trainer_clear_folder(const struct trainer *t);
/* config.json: read as defaults when a run goes on, and written. */
int trainer_read_config(struct trainer *t, struct conf *conf, struct err *e);
int trainer_write_config(struct trainer *t, struct conf *conf, struct err *e);

struct validation {
    struct eval_result text; /* of prompt classification only loss and error */
    double accuracy, f1;     /* NaN: no classification */
};

/* Loss and the like at the present step, also to the log; all NaN without validation data. */
int trainer_validate(struct trainer *t, struct validation *r, struct err *e);
/* The same windows with another model. */
int trainer_validate_model(struct trainer *t, struct model *m, struct eval_result *r,
                           struct err *e);

/* The final validation and what else the summary holds. */
int trainer_summarize(struct trainer *t, struct train_summary *s, struct err *e);
int trainer_write_summary(const struct trainer *t, const struct train_summary *s, struct err *e);
/* Where this process's steps spent their time, to the log. */
void trainer_log_report(struct trainer *t);

#endif
