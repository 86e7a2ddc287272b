/* A training run: data, model, engine, schedule, checkpoints, log, summary.
 *
 * The folder of a run holds config.json (complete: it repeats the run), log.jsonl, tokens.shard
 * (the data, if it was text), start.blzt (what it began from), model.blzt, best.blzt, state, clock,
 * and at the end summary.json. */
#ifndef DUET_TRAINER_H
#define DUET_TRAINER_H

#include "conf.h"
#include "train_opts.h"

struct train_summary {
    double val_loss, val_loss_stderr, val_bpb, floor_bpb, val_loss_full; /* NaN: not known */
    double val_accuracy, val_f1; /* prompt classification */
    /* Of the loss since the first validation, on the same windows; NaN: there was only one. */
    double val_change, val_change_stderr;
    double training_seconds, total_seconds, peak_rss_mb, planned_mb, total_tokens_M, total_flops;
    int64_t num_steps;
    bool stopped;        /* on its way, by --stop-at; else it is finished */
    double budget_share; /* done; of a finished run below 1 if --patience ended it */
    double num_params_M, trained_params_M;
    int64_t depth;
    double tokens_per_second, ms_per_step, gflops, gemm_peak_gflops, peak_fraction;
    double train_loss;
    /* The best validation before the last, of what is minimised; NaN: none, or it was the last. */
    double best_val_loss, best_val_accuracy, best_val_f1;
    int64_t best_step; /* -1: none */
    char *run;         /* JSON object: provenance, name, note; or NULL; owned */
    char *history;     /* JSON array of the summaries of earlier ends, or NULL; owned */
};

/* Failures that who runs many trainings must tell from others. */
enum train_failure {
    TRAIN_OTHER,
    TRAIN_REFUSED,   /* ERR_NOMEM: what was planned is more than the memory that there is */
    TRAIN_NO_MEMORY, /* ERR_NOMEM later, or before the plan */
    TRAIN_DIVERGED,  /* ERR_NUMERIC: a loss or weights that are no numbers, a loss that ran away */
};

/* What a run leaves, also one that was stopped (ERR_STOP). */
struct train_end {
    enum train_failure failure; /* where it failed */
    char *dir;   /* its folder; owned */
    char *saved; /* "runs/1/model.blzt (step 20, val_loss 3.1)", on a line of its own the best;
                  * owned. NULL: this process saved nothing */
    bool task;   /* prompt classification */
};
void train_end_release(struct train_end *end); /* accepts all zeros */

/* Runs (or resumes) to the end, or as far as --stop-at asks, or until a signal asks for it
 * (stop.h), which gives ERR_STOP. conf: the parse that filled o; its JSON becomes config.json. end
 * may be NULL. A run that has ended already gives its summary and a note. */
int trainer_run(struct train_opts *o, struct conf *conf, struct train_summary *s,
                struct train_end *end, struct err *e);

void train_summary_release(struct train_summary *s);

/* Reads summary.json; what it lacks is NaN or -1. */
int train_summary_read(struct train_summary *s, const char *path, struct err *e);

/* "key: value" lines (term_fact) after a line "---", with sensible digits, or one JSON object with
 * all. */
void train_summary_print(const struct train_summary *s, bool json, FILE *out);
char *train_summary_json(const struct train_summary *s); /* malloc()ed */

/* history of the end after s: JSON text, malloc()ed. */
char *train_summary_extend(const struct train_summary *s);

#endif
