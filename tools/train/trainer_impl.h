/* Inside of the command's side of a run (run.h is the other), shared by trainer.c (the loop),
 * trainer_folder.c (the folder and config.json), trainer_resume.c (what a run goes on from),
 * trainer_open.c (everything else before the loop), trainer_events.c (what the run tells),
 * trainer_log.c (what is said of updates), trainer_val.c (of validations), trainer_save.c (what is
 * kept), trainer_end.c (the summary), trainer_clock.c (the clock) and trainer_zo.c (the
 * trajectory). */
#ifndef DUET_TRAINER_IMPL_H
#define DUET_TRAINER_IMPL_H

#include "checkpoint.h"
#include "data_show.h"
#include "log.h"
#include "provenance.h"
#include "run.h"
#include "run_start.h"
#include "train_model.h"
#include "trainer.h"
#include "trajectory.h"

/* Sources that are given again when a run goes on. */
struct trainer_given {
    bool any; /* one of these, or of the options of recorded updates */
    bool source[N_RUN_SOURCES], model, tokenizer, lr;
    char changed[240]; /* " --name ..." of options that have another value than the run's */
};

/* The losses of this process so far, for the sparkline. */
enum { CURVE_POINTS = 64 };
struct curve {
    double point[CURVE_POINTS], sum; /* sum: of the `open` losses behind the last point */
    int n;
    int64_t each, open; /* updates a point */
};

/* What was said of the updates, and what that cost. */
struct shown {
    struct curve curve;
    double begin;             /* clock, of the loop */
    double tokens_per_second; /* smoothed; 0: none yet */
    double lr;                /* of the last update */
    double seconds;           /* that saying it took */
    double rss, rss_asked;    /* MB, 0: not asked yet; clock */
    struct engine_report report; /* at the last line of the log */
    int64_t updates;             /* since then */
    bool micro;                  /* micro-batches of the present update were shown */
    bool described;              /* the first line of the start was said */
};

struct trainer {
    struct train_opts *opts;
    struct train_opts from; /* what is opened: opts, with the folder's own files in their place */
    struct trainer_given given;
    struct run_start start;
    bool restores;    /* all weights come from the checkpoint */
    const char *origin; /* file that the weights first came from, where it is now; NULL: random */
    const char *base;   /* origin, or NULL if they are restored */
    struct train_files files;
    uint64_t base_hash; /* of base, read once; with base_hashed */
    bool base_hashed;
    struct adapter_words adapter; /* of --adapter */
    char *own_run;    /* --init of a run's folder: its model */
    char *own_init;   /* from.init if it lies in the folder */
    char *own_clock;  /* opts->clock of a new run: the copy in the folder */
    char *moved[N_RUN_SOURCES]; /* where sources are that are not where config.json says */
    const char *found[2]; /* from.data, from.val_data if one file that has moved */
    struct train_setup setup;
    char *dir;
    struct machine machine;
    double peak, usual_peak; /* measured GFLOP/s; at earlier starts, 0: not known */
    struct provenance provenance;
    int64_t described; /* vocabulary of the description */
    struct dataset data, val_data; /* val_data: of --val-data, or all zeros */
    struct split train, val;
    uint64_t read_tokens; /* of data, from its beginning on: the rest is for the test */
    struct batcher batcher;
    struct task task, task_val;    /* instead of data and splits */
    struct trajectory trajectory;  /* mezo */
    struct clock_record clocked;   /* of this run; closed: it is not recorded */
    struct clock_record recorded;  /* of --clock, which the run follows instead */
    uint32_t *token_bytes;
    struct model model;
    struct engine_memory memory;
    int64_t seq;
    struct heartbeat *clock;
    struct run *run;       /* NULL: not open yet */
    struct progress *p;    /* the run's; before it is open `early` */
    struct progress early;
    bool looping;          /* updates are made, not repeated */
    struct log_progress line;
    struct log_progress val_line; /* of the present validation, over it */
    struct shown shown;
    struct log_lines log;
    bool resumed;
    double began;        /* clock at the start of this process */
    double total_before; /* seconds of earlier processes of this run */
    double last_save;    /* clock */
    int64_t saved_step;  /* step of the checkpoint on disk, -1 none */
    int lock;            /* descriptor of the folder, locked against a second run in it */
    bool made_dir;       /* the folder was not there before */
    /* What is done again is not logged again: the log has updates, and validations (-1: none), up
     * to this step. */
    int64_t logged, logged_val;
    bool val_changed; /* validations are of something else than those before the checkpoint */
    bool cleared;        /* whatever is in the folder is this run's */
    struct train_summary ended; /* of the run's last end; num_steps -1: it has not ended yet */
    bool over;                  /* it has, and there is nothing more to do */
    bool refused;               /* the memory that was planned is not there */
};

int trainer_open(struct trainer *t, struct train_opts *o, struct conf *conf, struct err *e);
void trainer_close(struct trainer *t);
/* Opens the run's trajectory; the updates in it that the checkpoint does not have are made again,
 * with the validations that were due behind them. */
int trainer_open_trajectory(struct trainer *t, struct conf *conf, struct err *e);
/* Of a run that goes on: options and base against those of the trajectory, which must be there with
 * all updates of the checkpoint. Writes nothing. */
int trainer_check_trajectory(const struct trainer *t, struct conf *conf, struct err *e);
/* Appends the update that s made. Nothing for other engines. */
int trainer_record(struct trainer *t, const struct engine_step *s, double seconds, struct err *e);
/* --clock: is it one? Of a new run it is copied into the folder, where the run reads it. */
int trainer_find_clock(struct trainer *t, struct err *e);
int trainer_take_clock(struct trainer *t, struct err *e);
/* This run's own clock, cut where the run goes on: after trainer_open_trajectory. A failure of it
 * later is said and ends nothing. An update is made, at this share; what lies behind an update is
 * given up; what was made is on the disk; the run ends here, or stops on its way. */
int trainer_open_clock(struct trainer *t, struct err *e);
void trainer_clock(struct trainer *t, double share);
void trainer_clock_cut(struct trainer *t, int64_t updates);
void trainer_clock_sync(struct trainer *t);
void trainer_clock_end(struct trainer *t);
/* trainer_events.c: a run_event_fn of a trainer. */
int trainer_event(void *ctx, struct run *r, const struct run_event *v, struct err *e);
/* What the run's options are now. */
struct run_opts trainer_run_opts(struct trainer *t);

/* trainer_start.c: what the run says before its first update, also to the log. */
void trainer_describe(struct trainer *t);
/* trainer_log.c. The loop begins; micro-batch `micro` of a long update does; an update of so many
 * tokens is counted. */
void trainer_show_begin(struct trainer *t);
void trainer_show_micro(struct trainer *t, const struct run_event *v);
void trainer_tell(struct trainer *t, const struct engine_step *s, int64_t tokens, double seconds);
/* Share of the run done, 0..1. --stop-at is reached. */
double trainer_progress(struct trainer *t);
bool trainer_at_stop(struct trainer *t);

/* The folder of --resume or --out, locked; a new run's is made and cleared. */
int trainer_open_folder(struct trainer *t, struct err *e);
/* Of a new run that fails before its first update nothing is left. */
void trainer_forget(const struct trainer *t);
bool trainer_has_file(const struct trainer *t, const char *name);
int trainer_write_config(struct trainer *t, struct conf *conf, struct err *e);
/* --name and --note of a run that is over and goes on with nothing else, to config.json and
 * summary. Nothing if neither is given, or they are what they were. */
int trainer_relabel(struct trainer *t, const struct conf *conf, struct err *e);
/* Its object "run"; labels: with --name and --note. malloc()ed. */
char *trainer_record_text(const struct trainer *t, bool labels);

/* Of a run that goes on: given options against the recorded ones, which become defaults. */
int trainer_read_config(struct trainer *t, struct conf *conf, struct err *e);
/* Fills from, start, base: the folder's own description and tokenizer, where files outside are. */
int trainer_find_sources(struct trainer *t, struct err *e);
/* What was opened must be what the run began with; of a new run it goes to the record. */
int trainer_check_data(struct trainer *t, struct err *e);
int trainer_check_base(struct trainer *t, struct err *e);
int trainer_check_model(struct trainer *t, struct err *e);
int trainer_write_start(const struct trainer *t, struct err *e);
/* The start and end tokens of a new model are the tokenizer's. */
void trainer_set_token_ids(struct model_config *c, const struct tokenizer *t);

/* What to train on and what to validate on: the end of the data, or --val-data, opened as d
 * says. */
int trainer_open_splits(struct trainer *t, const struct dataset_opts *d, struct err *e);

/* The tokens that the validation split is of. */
static inline const struct shard *trainer_val_shard(const struct trainer *t) {
    return t->opts->val_data.n ? &t->val_data.shard : &t->data.shard;
}

/* Says and keeps what a validation found. */
int trainer_validated(struct trainer *t, const struct run_event *v, struct err *e);
/* Is there to be a validation before the next update? more: that update is on record. */
bool trainer_val_first(const struct trainer *t, bool more);
/* Of a run that goes on: the first validation's losses, which later ones are compared with. */
int trainer_reopen_first(struct trainer *t, struct err *e);

/* The final validation and what else the summary holds. Of a run that stops on its way (--stop-at)
 * the validation is for the summary alone, unless it was due: the run goes on as if it had not
 * stopped. */
int trainer_summarize(struct trainer *t, struct train_summary *s, struct err *e);
int trainer_write_summary(const struct trainer *t, const struct train_summary *s, struct err *e);
/* Has the run ended, with what it is asked for now? Fills ended and over. */
int trainer_look_at_end(struct trainer *t, struct err *e);
/* Finished, or as far as --stop-at asks, and with a summary of this very step. */
bool trainer_is_over(struct trainer *t);
/* Says why there is nothing to do, and what would be. */
void trainer_say_over(struct trainer *t);
/* Says, also to the log, that the run stops on its way. */
void trainer_say_stop(struct trainer *t, const struct train_summary *s);
/* Says so where validation ended above its beginning. */
void trainer_warn_if_worse(struct trainer *t);
/* Where this process's steps spent their time, to the log. */
void trainer_log_report(struct trainer *t);

/* trainer_save.c: a checkpoint. best: of the model with p.val_best. */
int trainer_save(struct trainer *t, bool best, struct err *e);
/* After a checkpoint is loaded: a killed process may not have come to keep it. */
int trainer_reopen_kept(struct trainer *t, struct err *e);
/* Removes kept checkpoints. */
void trainer_clear_kept(const struct trainer *t);
/* The weights of the present step are the best so far: the model is kept. */
int trainer_keep_best(struct trainer *t, struct err *e);
/* After a checkpoint is loaded: the best of before, or of the end before. */
int trainer_reopen_best(struct trainer *t, struct err *e);
void trainer_say_best(struct trainer *t);
/* The files of the last and the best model, with their steps and values; malloc()ed, or NULL if
 * nothing is saved. */
char *trainer_saved_text(const struct trainer *t);
/* The run diverged: weights, optimizer and counters of the last checkpoint, before the first one
 * those of the start. */
int trainer_go_back(struct trainer *t, struct err *e);
/* It did, from the counters `from`: says so and saves. */
int trainer_went_back(struct trainer *t, const struct progress *from, struct err *e);
/* Weights, optimizer and counters of the start, of a run without a checkpoint. */
int trainer_load_start(struct trainer *t, struct err *e);
/* Training ends because it diverged: the updates since the last checkpoint go from the trajectory,
 * else a run that goes on would make them again. */
void trainer_drop_updates(struct trainer *t);

#endif
