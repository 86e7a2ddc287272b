/* Options of training: the table behind `duet train`, its config.json, `duet plan` and help. */
#ifndef DUET_TRAIN_OPTS_H
#define DUET_TRAIN_OPTS_H

#include "conf.h"
#include "run.h"
#include "model_lora.h"
#include "run_start.h"
#include "schedule.h"

struct train_opts {
    /* model */
    const char *model, *init;
    struct conf_pairs set;
    bool compact_vocab, full_vocab_loss;
    const char *weights;
    /* LoRA */
    const char *adapter;
    int64_t lora_rank;
    double lora_alpha;
    const char *lora_targets, *lora_mode, *lora_init;
    bool rslora, lora_norms;
    /* data */
    struct conf_list data, val_data;
    const char *format, *tokenizer, *order;
    double val_fraction, test_fraction;
    int64_t batch, seq, accum, accum_end;
    const char *task, *task_eval, *prompt, *labels, *objective;
    /* optimisation */
    const char *engine, *optimizer, *optimizer_matrix, *schedule;
    const char *estimator, *perturb, *direction;
    int64_t directions, direction_rank, direction_every;
    double eps;
    double lr, beta1, beta2, beta1_matrix, beta2_matrix, adam_eps, clip;
    int64_t muon_steps;
    const char *muon_polynomial;
    bool muon_equalise, muon_rescale, muon_normalise, cautious_decay;
    double lr_embed, lr_head, lr_matrix, lr_norm, decay_matrix, decay_embed, decay_norm,
        decay_lora;
    int64_t warmup, steps, tokens;
    double time, epochs, flops; /* budgets, with steps and tokens: budget.h */
    const char *clock;          /* instead of them: a recorded clock */
    double min_lr, decay_share, spike;
    int64_t seed;
    /* computing */
    const char *compute, *gemm;
    bool recompute;
    int64_t threads;
    /* run */
    const char *out, *resume, *checkpoint_every, *name, *note;
    double stop_at; /* share of the run; 0: not before its end */
    bool overwrite, json, quiet;
    int64_t val_every, val_windows, log_every;
    bool keep_best, rollback;
    int64_t keep, patience;
};

extern const struct conf_row train_rows[];

/* With --adapter: the LoRA options become the adapter's, and those that were given must be. The
 * folder of a LoRA run as --init is its base with its adapter; an adapter's run has the tokenizer
 * if neither the base nor --tokenizer does. A name of a description that
 * comes with duet becomes its path. text: room for them, as long as o lives. */
struct adapter_words {
    struct run_files files;
    char *file;  /* --adapter's, of a run's folder */
    char *model; /* --model's, if it was a name (model_shipped.h) */
    char targets[48], init[16];
    struct conf_pairs set; /* --set, and what the adapter was trained with */
};
int train_take_adapter(struct train_opts *o, const struct conf *conf, struct adapter_words *text,
                       struct err *e);
void train_release_adapter(struct adapter_words *text); /* accepts all zeros */

/* What follows from the options, checked. */
struct train_setup {
    const struct engine_kind *engine;
    const struct opt_kind *optimizer, *optimizer_matrix; /* of all; of matrices, often the same */
    struct opt_hyper hyper;
    struct sched sched;
    double lr;
    bool own_factor; /* nobody gave the rate of matrices: their optimizer's follows from lr */
    enum dtype compute, weights;
    struct lora_opts lora; /* rank 0: none */
    const struct zo_kind *estimator; /* mezo; else NULL */
    const struct direction_kind *direction; /* mezo */
    int64_t direction_rank, direction_every;
    const char *perturb;             /* mezo: which weights move (moves.h); NULL: all */
    int64_t directions;
    double eps;
    bool find_lr; /* mezo: measure the rate at the start, lr being what to take if that fails */
    const struct objective *objective; /* prompt classification; else NULL */
    int64_t checkpoint_steps;
    double checkpoint_seconds;
};

/* How long to train; is there any end? */
struct budget_use train_budget(const struct train_opts *o);
bool train_opts_end(const struct train_opts *o);

/* cpu: what is computed with. */
int train_setup_make(struct train_setup *s, const struct train_opts *o, const struct cpu *cpu,
                     struct err *e);

/* The optimizers' part of it: hyper and lr. */
int train_hyper_make(struct train_setup *s, const struct train_opts *o, struct err *e);
/* ERR_USAGE where a kind is not for what it is to do; of the setup: engine and both kinds. */
int train_check_optimizers(const struct train_setup *s, struct err *e);
/* "adamw", or "adamw, lion for matrices" where that makes a difference. */
const char *train_optimizer_text(const struct train_setup *s, char text[64]);

/* Refuses options of the command line that could change nothing with the others: a typing error,
 * or a misunderstanding. conf: the parse that filled o. */
int train_check_effect(const struct train_setup *s, const struct train_opts *o,
                       const struct conf *conf, struct err *e);
/* The same of --head-lr, when it is known whether there is a classifier of its own. */
int train_check_head(bool tied, const struct conf *conf, struct err *e);

/* Puts what was decided in the place of -1 and auto, so that what is recorded means the same for
 * ever. An option that the run has no use for keeps its -1 or auto, and is not written
 * (conf_to_json). The rate is left alone while it is to be measured. */
void train_opts_resolve(struct train_opts *o, const struct train_setup *s);

/* Puts what -1 and auto stood for in MeZO runs up to 7279bbc in their place where a file has them:
 * files that are written now hold resolved values. conf: the parse that filled o. */
void train_opts_old(struct train_opts *o, const struct conf *conf);

/* The engine's part of it, for sequences of seq tokens. */
struct engine_opts train_engine_opts(const struct train_setup *s, const struct train_opts *o,
                                     const struct machine *m, int64_t seq);

/* The run's part; data and the like are the caller's to fill in. */
struct run_opts train_run_opts(const struct train_setup *s, const struct train_opts *o,
                               const struct machine *m, int64_t seq);

/* "f32", "bf16" or "auto" (the faster with this GEMM backend on this CPU) to a type. */
enum dtype compute_type(const char *name, const char *gemm, const struct cpu *cpu);

/* Words of the choices, for other commands' tables. */
extern const char compute_words[], gemm_words[], engine_words[],
    auto_optimizer_words[], auto_estimator_words[], weights_words[];

#endif
