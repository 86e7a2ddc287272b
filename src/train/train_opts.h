/* Options of training: the table behind `duet train`, its config.json, `duet plan` and help. */
#ifndef DUET_TRAIN_OPTS_H
#define DUET_TRAIN_OPTS_H

#include "conf.h"
#include "engine.h"
#include "schedule.h"

struct train_opts {
    /* model */
    const char *model, *init;
    struct conf_pairs set;
    bool compact_vocab, full_vocab_loss;
    /* data */
    const char *data, *format, *tokenizer, *order;
    double val_fraction;
    int64_t batch, seq, accum, accum_end;
    /* optimisation */
    const char *engine, *optimizer, *schedule;
    double lr, beta1, beta2, adam_eps, clip;
    double lr_embed, lr_matrix, lr_norm, decay_matrix, decay_embed, decay_norm;
    int64_t warmup, steps;
    double min_lr, decay_share, time, spike;
    int64_t seed;
    /* computing */
    const char *compute, *gemm;
    bool recompute;
    int64_t threads;
    /* run */
    const char *out, *resume, *checkpoint_every;
    bool overwrite, json, quiet;
    int64_t val_every, val_windows, log_every;
};

extern const struct conf_row train_rows[];

/* What follows from the options, checked. */
struct train_setup {
    const struct engine_kind *engine;
    const struct opt_kind *optimizer;
    struct opt_hyper hyper;
    struct sched sched;
    double lr;
    enum dtype compute;
    int64_t checkpoint_steps;
    double checkpoint_seconds;
};

int train_setup_make(struct train_setup *s, const struct train_opts *o, struct err *e);

/* "f32" or "bf16" to a type. */
int compute_type(const char *name);

/* Words of the choices, for other commands' tables. */
extern const char compute_words[], gemm_words[], engine_words[], optimizer_words[];

#endif
