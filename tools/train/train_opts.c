#include "train_opts.h"

#include "moves.h"
#include "trajectory.h"

#include <stdlib.h>
#include <string.h>

#define X(name) #name " "
const char compute_words[] = "f32 bf16 auto";
const char gemm_words[] = "auto " GEMM_BACKENDS(X);
const char engine_words[] = ENGINES(X);
const char auto_estimator_words[] = "auto " ESTIMATORS(X);
const char weights_words[] = "f32 bf16 q8_0";
const char auto_optimizer_words[] = "auto " OPTIMIZERS(X);
static const char auto_schedule_words[] = "auto " SCHEDULES(X);
static const char lora_init_words[] = LORA_INITS(X);
static const char objective_words[] = OBJECTIVES(X);
static const char direction_words[] = DIRECTIONS(X);
#undef X
#define X(id, name) name " "
static const char polar_words[] = POLAR_KINDS(X);
#undef X

#define O struct train_opts
/* What a resume may do with an option is the last word of its row. */
#define FREE .resume = RESUME_FREE
/* In the short help; its help up to the first semicolon is one line. */
#define BASIC .basic = true
#define RECORDED .resume = RESUME_RECORDED
#define FIXED .resume = RESUME_FIXED
#define SOURCE .resume = RESUME_SOURCE
#define START .resume = RESUME_START
/* Other options, or words of theirs, that it has an effect with only, or none with. */
#define WITH(option) .with = option
#define WITHOUT(option) .without = option
#define MUON WITH("optimizer-matrix muon")
const struct conf_row train_rows[] = {
    CONF_SECTION("Model"),
    CONF_STRING(O, model, "model", NULL, "FILE",
                "model description; or the name of one that comes with duet, e.g. demo", BASIC,
                SOURCE),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "override a key of the model description (repeatable)",
               FIXED),
    CONF_STRING(O, init, "init", NULL, "FILE",
                "start from the weights of a model file or of a run's folder; any readable format",
                BASIC, SOURCE),
    CONF_BOOL(O, compact_vocab, "compact-vocab",
              "train and score over the tokens that occur in the data; the full vocabulary is "
              "restored on save",
              FIXED, WITHOUT("task")),
    CONF_BOOL(O, full_vocab_loss, "full-vocab-loss",
              "with --compact-vocab: also report the final loss over the full vocabulary", FREE,
              WITH("compact-vocab"), WITHOUT("lora")),
    CONF_CHOICE(O, weights, "weights", "f32", weights_words,
                "storage of matrices and embeddings; bf16 is updated with stochastic rounding, "
                "q8_0 is for frozen weights (--lora), f16 where a row is not whole blocks of 32",
                RECORDED),
    CONF_SECTION("LoRA"),
    CONF_STRING(O, adapter, "adapter", NULL, "FILE",
                "go on training this adapter of --init's model; rank and the like are its own",
                SOURCE),
    CONF_INT(O, lora_rank, "lora", "0", 0, 65536,
             "train adapters of this rank beside frozen weights; 0: train the weights", BASIC,
             FIXED),
    CONF_FLOAT(O, lora_alpha, "lora-alpha", "-1", 0, 1e6,
               "adapters count alpha/rank; -1: twice the rank", FIXED, WITH("lora"), .above = true),
    CONF_STRING(O, lora_targets, "lora-targets", "q,k,v,o", "LIST",
                "which weights get adapters: all, or some of q,k,v,o,gate,up,down", FIXED,
                WITH("lora")),
    CONF_CHOICE(O, lora_mode, "lora-mode", "split", "split merge",
                "compute adapters beside the weights, or merged into them as they are read", FREE,
                WITH("lora")),
    CONF_BOOL(O, rslora, "rslora", "adapters count alpha/sqrt(rank)", FIXED, WITH("lora")),
    CONF_BOOL(O, lora_norms, "lora-norms", "train the norm weights too", FIXED, WITH("lora")),
    CONF_CHOICE(O, lora_init, "lora-init", "peft", lora_init_words,
                "first values of A: PEFT's, or the predecessors' uniform 1/sqrt(rank); B is 0",
                FIXED, WITH("lora")),
    CONF_SECTION("Data"),
    CONF_LIST(O, data, "data", "FILE",
              "texts (also .gz, .zst) or folders of texts, repeatable; or one shard of `duet "
              "tokenize`, or raw16 tokens; - is standard input",
              BASIC, SOURCE),
    CONF_LIST(O, val_data, "val-data", "FILE",
              "validate on this data, given as --data is, instead of a share of --data", SOURCE,
              WITHOUT("task")),
    CONF_CHOICE(O, format, "format", "auto", "auto raw16",
                "auto: by content; raw16: headerless uint16 tokens", FIXED, WITHOUT("task")),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "byte, or a tokenizer file; default: that of --init's file or run", BASIC, SOURCE,
                .choices = "byte"),
    CONF_FLOAT(O, val_fraction, "val-fraction", "0.1", 0, 0.9,
               "share of the tokens, by whole documents at the end, kept for validation", FIXED,
               WITHOUT("task")),
    CONF_FLOAT(O, test_fraction, "test-fraction", "0", 0, 0.9,
               "share of the tokens, behind those of validation, that neither training nor "
               "validation reads; duet eval RUN --split test does",
               FIXED, WITHOUT("task")),
    CONF_CHOICE(O, order, "order", "random", "random epoch",
                "random windows, or every window once an epoch, shuffled", FREE, WITHOUT("task")),
    CONF_INT(O, batch, "batch", "8", 1, 65536, "sequences a micro-batch", BASIC, RECORDED),
    CONF_INT(O, seq, "seq", "0", 0, 1 << 20,
             "tokens a sequence; 0: the model description's duet.seq_len", BASIC, RECORDED),
    CONF_INT(O, accum, "accum", "1", 1, 65536, "micro-batches an update", RECORDED),
    CONF_INT(O, accum_end, "accum-end", "0", 0, 65536,
             "ramp the micro-batches an update up to this over the run; 0: no ramp", RECORDED),
    CONF_SECTION("Prompt classification"),
    CONF_STRING(O, task, "task", NULL, "FILE",
                "instead of --data: labelled examples (TSV or CSV with a column `label`), learned "
                "as the next word of a prompt",
                SOURCE),
    CONF_STRING(O, task_eval, "task-eval", NULL, "FILE", "examples to validate on", SOURCE,
                WITH("task")),
    CONF_STRING(O, prompt, "template", NULL, "TEXT",
                "the prompt, with {column} for a column: '{sentence} It was'; special tokens are "
                "tokens here, and text in a column",
                FIXED, WITH("task")),
    CONF_STRING(O, labels, "labels", NULL, "WORDS",
                "the answers for labels 0, 1, ..., one token each: ' terrible, great'; or with the "
                "label's name in the table: 'no= bad,yes= good'",
                FIXED, WITH("task")),
    CONF_CHOICE(O, objective, "objective", "ce", objective_words,
                "what is minimised: cross-entropy over the answers, or (mezo) 1 - accuracy, 1 - F1",
                FIXED, WITH("task")),
    CONF_SECTION("Optimisation"),
    CONF_CHOICE(O, engine, "engine", "backprop", engine_words, "how updates are computed", BASIC,
                FIXED),
    CONF_CHOICE(O, optimizer, "optimizer", "auto", auto_optimizer_words,
                "update rule; auto: adamw, with mezo sgd", FIXED),
    CONF_CHOICE(O, optimizer_matrix, "optimizer-matrix", "auto", auto_optimizer_words,
                "update rule of matrices, not of embeddings, norms, biases and adapters; auto: "
                "that of --optimizer",
                FIXED),
    CONF_CHOICE(O, estimator, "estimator", "auto", auto_estimator_words,
                "mezo: how losses become a gradient; auto: grzo, spsa where --directions is given "
                "or there is one sequence an update, fzoo for --objective f1",
                RECORDED, WITH("engine mezo")),
    CONF_INT(O, directions, "directions", "-1", 1, 4096,
             "mezo: directions an update; -1: spsa 1, fzoo 8 (at least 2); grzo has one a sequence",
             RECORDED, WITH("engine mezo")),
    CONF_FLOAT(O, eps, "eps", "-1", 0, 10,
               "mezo: size of a perturbation; -1: 1e-3, with --lora 1e-2, three times that for "
               "--objective accuracy and f1",
               RECORDED, WITH("engine mezo"), .above = true),
    CONF_CHOICE(O, direction, "direction", "rademacher", direction_words,
                "mezo: what weights are moved along; a sign for every weight, or for matrices "
                "products of two thin factors of signs, one of which stays for some updates",
                RECORDED, WITH("engine mezo")),
    CONF_INT(O, direction_rank, "direction-rank", "-1", 1, DIRECTION_MAX_RANK,
             "lowrank: columns of the factors; -1: 2", RECORDED, WITH("direction lowrank")),
    CONF_INT(O, direction_every, "direction-every", "-1", 1, 1e9,
             "lowrank: updates that share a factor; -1: 50", RECORDED, WITH("direction lowrank")),
    CONF_STRING(
        O, perturb, "perturb", NULL, "WORDS",
        "mezo: which weights are perturbed and trained; with commas between them roles "
        "(matrix, norm, embed, bias, lora) or patterns for names of tensors (*.layers.3.*); "
        "!WORD: not these; WORD=X: X times as far as the rest, 1e-6 to 1e6",
        FIXED, WITH("engine mezo")),
    CONF_GONE(
        "rng", "counter", "compat",
        "the predecessors' stream of signs is gone; the first edition, commit 7279bbc, goes on "
        "with such a run and replays it",
        FREE),
    CONF_FLOAT(O, time, "time", "0", 0, 1e9,
               "train for so many seconds; not counted are start, validation, and time in which "
               "the process is stopped. Of this and the next four the run ends with the first that "
               "is reached; schedules follow the largest share; 0: no such end",
               BASIC, FREE),
    CONF_INT(O, steps, "steps", "0", 0, 1e12, "train for so many updates", BASIC, FREE),
    CONF_INT(O, tokens, "tokens", "0", 0, 1e15,
             "train on so many tokens; the update that reaches them is finished", FREE),
    CONF_FLOAT(O, epochs, "epochs", "0", 0, 1e9,
               "train for so many passes over the training data; of --task over its examples",
               BASIC, FREE),
    CONF_FLOAT(O, flops, "flops", "0", 0, 1e30,
               "train for so many floating point operations; as duet plan counts them: a length "
               "that no other work on the machine changes",
               BASIC, FREE),
    CONF_STRING(O, clock, "clock", NULL, "FILE",
                "instead of these: as long as a recorded run, and its schedules with it; FILE is "
                "the clock in its folder, and with --config of its options the weights are the "
                "same, bit for bit, also of a --time run",
                START, .path = true),
    CONF_FLOAT(O, lr, "lr", "-1", 0, 100,
               "peak learning rate; -1: the optimizer's (its line below), with mezo measured "
               "at the start",
               BASIC, FREE),
    CONF_CHOICE(O, schedule, "schedule", "auto", auto_schedule_words,
                "learning rate over the run; auto: wsd, with mezo linear", FREE),
    CONF_INT(O, warmup, "warmup", "-1", 0, 1e9, "updates of linear warm-up; -1: 20, with mezo none",
             FREE),
    CONF_FLOAT(O, min_lr, "min-lr", "0.1", 0, 1, "final share of the learning rate", FREE),
    CONF_FLOAT(O, decay_share, "decay-share", "0.5", 0, 1,
               "wsd: share of the run in which the rate falls", FREE),
    CONF_FLOAT(O, beta1, "beta1", "-1", 0, 0.9999999, "momentum; -1: the optimizer's", RECORDED),
    CONF_FLOAT(O, beta2, "beta2", "-1", 0, 0.9999999, "second moment; -1: the optimizer's",
               RECORDED),
    CONF_FLOAT(O, beta1_matrix, "matrix-beta1", "-1", 0, 0.9999999,
               "--beta1 of matrices; -1: the same, with another --optimizer-matrix that one's own",
               RECORDED),
    CONF_FLOAT(O, beta2_matrix, "matrix-beta2", "-1", 0, 0.9999999,
               "--beta2 of matrices; -1: the same, with another --optimizer-matrix that one's own",
               RECORDED),
    CONF_INT(O, muon_steps, "muon-steps", "5", 1, POLAR_MAX_STEPS,
             "muon: steps towards orthogonal matrices", RECORDED, MUON),
    CONF_CHOICE(O, muon_polynomial, "muon-polynomial", "polar-express", polar_words,
                "muon: what a step is; Polar Express has coefficients for each, Newton-Schulz one "
                "polynomial for all",
                RECORDED, MUON),
    CONF_BOOL(O, muon_equalise, "muon-equalise",
              "muon: rows of the momentum get equal norms first (MuonEq-R)", RECORDED, MUON),
    CONF_BOOL(O, muon_rescale, "muon-rescale",
              "muon: every update gets the norm of an orthogonal matrix (Muon+)", RECORDED, MUON),
    CONF_BOOL(O, muon_normalise, "muon-normalise",
              "muon: rows of an update, or of wider matrices columns, are divided by the root of "
              "their mean squares so far, which --matrix-beta2 averages (NorMuon)",
              FIXED, MUON),
    CONF_BOOL(O, cautious_decay, "cautious-decay",
              "muon: only weights that the update makes smaller decay", RECORDED, MUON),
    CONF_FLOAT(O, adam_eps, "adam-eps", "1e-8", 0, 1, "AdamW's epsilon", RECORDED),
    CONF_FLOAT(O, clip, "clip", "-1", 0, 1e9,
               "clip the global gradient norm; 0: off; -1: 1, with mezo off", RECORDED),
    CONF_FLOAT(O, decay_matrix, "weight-decay", "-1", 0, 10,
               "decoupled weight decay of matrices; -1: 0.1, with mezo 0", RECORDED),
    CONF_FLOAT(O, decay_lora, "lora-decay", "0", 0, 10, "decoupled weight decay of adapters",
               RECORDED, WITH("lora")),
    CONF_FLOAT(O, decay_embed, "embed-decay", "0", 0, 10,
               "decoupled weight decay of embeddings and classifier", RECORDED),
    CONF_FLOAT(O, decay_norm, "norm-decay", "0", 0, 10,
               "decoupled weight decay of norms and biases", RECORDED),
    CONF_FLOAT(O, lr_embed, "embed-lr", "1", 0, 1000,
               "learning-rate factor of embeddings and classifier", RECORDED),
    CONF_FLOAT(O, lr_head, "head-lr", "-1", 0, 1000,
               "learning-rate factor of the classifier of an untied model; -1: that of --embed-lr",
               RECORDED, .above = true),
    CONF_FLOAT(O, lr_matrix, "matrix-lr", "-1", 0, 1e9,
               "learning-rate factor of matrices; -1: 1, with another --optimizer-matrix what its "
               "own rate is to that of --optimizer",
               RECORDED),
    CONF_FLOAT(O, lr_norm, "norm-lr", "1", 0, 1000, "learning-rate factor of norms and biases",
               RECORDED),
    CONF_FLOAT(O, spike, "spike", "3", 0, 1e9,
               "stop when the smoothed loss rises this far (nats) above its best; 0: never", FREE),
    CONF_INT(O, seed, "seed", "1", 0, 9e18, "seed of initialisation and batches", BASIC, RECORDED),
    CONF_SECTION("Computing"),
    CONF_CHOICE(O, compute, "compute", "f32", compute_words,
                "type of GEMM inputs; accumulation is f32; auto: bf16 where the CPU multiplies it, "
                "else f32, which is faster then",
                FREE),
    CONF_CHOICE(O, gemm, "gemm", "auto", gemm_words,
                "matrix product backend; auto: the fastest exact one for this CPU", FREE),
    CONF_BOOL(O, recompute, "recompute",
              "keep only block inputs and run blocks again for the backward pass", FREE,
              WITHOUT("engine mezo")),
    CONF_INT(O, threads, "threads", "0", 0, 4096,
             "threads; 0: one per processor, within the CPU quota. Results do not depend on it",
             .internal = true, BASIC, FREE),
    CONF_SECTION("Run"),
    CONF_STRING(O, out, "out", NULL, "DIR", "folder of the run; default: the first free runs/N",
                .internal = true, BASIC, START),
    CONF_STRING(O, resume, "resume", NULL, "DIR",
                "go on with a run from what its folder holds; options that are given again must be "
                "those of the run, or ones that may change",
                .internal = true, BASIC, FREE),
    CONF_FLOAT(O, stop_at, "stop-at", "0", 0, 1,
               "stop where this share of the run is done, with validation, checkpoint and summary; "
               "schedules are those of the whole run, and --resume goes on, bit for bit; 0: at the "
               "end",
               .internal = true, FREE),
    CONF_STRING(O, name, "name", NULL, "TEXT", "what to call the run in lists and pictures",
                .label = true, BASIC, FREE),
    CONF_STRING(O, note, "note", NULL, "TEXT", "what to remember about it", .label = true, FREE),
    CONF_BOOL(O, overwrite, "overwrite", "start over in a folder that holds a run",
              .internal = true, START),
    CONF_STRING(O, checkpoint_every, "checkpoint-every", "60s", "N|Ns",
                "save every N updates, or every N seconds (with s)", FREE),
    CONF_INT(O, val_every, "val-every", "0", 0, 1e12,
             "validate every N updates; 0: only at the end", BASIC, FREE),
    CONF_INT(O, val_windows, "val-windows", "256", 1, 1e12,
             "fixed validation windows, spread over the validation documents", FREE,
             WITHOUT("task")),
    CONF_BOOL(O, keep_best, "keep-best",
              "with --val-every: keep the best model so far as best.blzt (adapter.best.blzt)", FREE,
              .def = "true"),
    CONF_INT(O, keep, "keep", "1", 1, 1e6,
             "keep the last N checkpoints; those before the last are in checkpoints/STEP", FREE),
    CONF_INT(O, patience, "patience", "0", 0, 1e9,
             "end after N validations without a better one; 0: never", FREE, WITH("val-every")),
    CONF_BOOL(O, rollback, "rollback",
              "when training diverges: once, go back to the last checkpoint, or else to the start, "
              "with half the rate",
              FREE, .def = "true"),
    CONF_INT(O, log_every, "log-every", "10", 1, 1e12, "updates a line of log.jsonl", FREE),
    CONF_BOOL(O, json, "json", "print the summary as JSON on stdout", .internal = true, FREE),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors", .internal = true, BASIC,
              FREE),
    CONF_END};
#undef O
#undef BASIC
#undef FREE
#undef RECORDED
#undef FIXED
#undef SOURCE
#undef START
#undef WITH
#undef WITHOUT
#undef MUON

enum dtype compute_type(const char *name, const char *gemm, const struct cpu *cpu) {
    return strcmp(name, "auto") ? (enum dtype)dtype_find(name) : gemm_faster_compute(gemm, cpu);
}

static int read_checkpoint_every(struct train_setup *s, const char *text, struct err *e) {
    char *end;
    const double n = strtod(text, &end);
    const bool seconds = *end == 's' && !end[1];
    if (end == text || (*end && !seconds) || !(n > 0 && n < 1e15) ||
        (!seconds && n != (double)(int64_t)n))
        return err_set(e, ERR_USAGE,
                       "--checkpoint-every %s: expected a number of updates, or of seconds as 60s",
                       text);
    if (seconds)
        s->checkpoint_seconds = n;
    else
        s->checkpoint_steps = (int64_t)n;
    return 0;
}

/* A recorded clock says when its run ended, whatever that was asked for. */
struct budget_use train_budget(const struct train_opts *o) {
    if (o->clock) return (struct budget_use){{0}};
    return (struct budget_use){{[BUDGET_steps] = (double)o->steps,
                                [BUDGET_time] = o->time,
                                [BUDGET_tokens] = (double)o->tokens,
                                [BUDGET_epochs] = o->epochs,
                                [BUDGET_flops] = o->flops}};
}

bool train_opts_end(const struct train_opts *o) {
    return o->clock || o->steps || o->time > 0 || o->tokens || o->epochs > 0 || o->flops > 0;
}

static int check_length(const struct train_opts *o, struct err *e) {
    if (o->accum_end && o->accum_end < o->accum)
        return err_set(e, ERR_USAGE,
                       "--accum-end %lld is less than --accum %lld: the ramp only goes up",
                       (long long)o->accum_end, (long long)o->accum);
    if (!train_opts_end(o))
        return err_set(
            e, ERR_USAGE,
            "say how long to train: --time SECONDS, --steps N, --tokens N, --epochs X or "
            "--flops X");
    return 0;
}

/* They stand in lists and pictures, each on a line. */
static int check_label(const char *name, const char *text, struct err *e) {
    for (const char *p = text; p && *p; p++) {
        const unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];
        if (c < 32 || c == 127 || (c == 0xc2 && next >= 0x80 && next < 0xa0)) /* C0, C1 */
            return err_set(e, ERR_USAGE, "--%s has a control character, 0x%02x, at byte %lld", name,
                           c == 0xc2 ? next : c, (long long)(p - text));
    }
    return 0;
}

static int check_task(const struct train_setup *s, const struct train_opts *o, struct err *e) {
    if (!o->task) return 0;
    if (o->data.n) return err_set(e, ERR_USAGE, "give either --data or --task");
    if (!o->prompt || !o->labels)
        return err_set(e, ERR_USAGE, "--task needs --template and --labels");
    if (!o->init) return err_set(e, ERR_USAGE, "--task needs a trained model: --init FILE");
    if (s->estimator && s->estimator->per_example && s->objective->of_batch)
        return err_set(e, ERR_USAGE,
                       "--objective %s is of a batch, and estimator %s sees one example at a time",
                       o->objective, o->estimator);
    if (s->engine->backward && !s->objective->differentiable)
        return err_set(e, ERR_USAGE, "--objective %s has no gradient: it needs --engine mezo",
                       o->objective);
    return 0;
}

static int check_data(const struct train_opts *o, struct err *e) {
    if (o->val_data.n && o->val_fraction != 0.1)
        return err_set(e, ERR_USAGE,
                       "give either --val-data or --val-fraction: with data of its own for "
                       "validation all of --data is trained on");
    if (o->val_data.n && o->test_fraction > 0)
        return err_set(e, ERR_USAGE,
                       "give either --val-data or --test-fraction: with data of its own for "
                       "validation all of --data is trained on, and a text of its own for the test "
                       "needs no option: duet eval RUN --data FILE");
    if (!(o->val_fraction + o->test_fraction < 1))
        return err_set(e, ERR_USAGE,
                       "--val-fraction %g and --test-fraction %g leave nothing to train on",
                       o->val_fraction, o->test_fraction);
    return 0;
}

static int check_mezo(const struct train_setup *s, const struct train_opts *o, struct err *e) {
    const struct zo_shape shape = {.directions = s->directions,
                                   .batch = o->batch,
                                   .accum = o->accum},
                          most = {.directions = s->directions,
                                  .batch = o->batch,
                                  .accum = o->accum_end ? o->accum_end : o->accum};
    if (!s->estimator) return 0;
    if (s->estimator->directions(&most) > TRAJECTORY_MAX_DIRECTIONS)
        return err_set(e, ERR_USAGE,
                       "an update would have %lld directions, at most %d are possible",
                       (long long)s->estimator->directions(&most), TRAJECTORY_MAX_DIRECTIONS);
    if (s->estimator->per_example && o->directions > 0)
        return err_set(e, ERR_USAGE,
                       "--directions %lld: estimator %s has one direction an example, so --batch "
                       "says how many",
                       (long long)o->directions, s->estimator->name);
    if (s->estimator->directions(&shape) < s->estimator->least)
        return err_set(e, ERR_USAGE, "estimator %s needs at least %lld directions: give %s",
                       s->estimator->name, (long long)s->estimator->least,
                       s->estimator->per_example ? "a larger --batch" : "--directions N");
    if (s->direction->factors && o->lora_rank)
        return err_set(e, ERR_USAGE,
                       "--direction %s is for whole matrices: those of --lora are thin "
                       "factors already",
                       s->direction->name);
    return o->perturb ? moves_check(o->perturb, e) : 0;
}

static int make_lora(struct train_setup *s, const struct train_opts *o, struct err *e) {
    s->lora =
        (struct lora_opts){.rank = o->lora_rank,
                           .alpha = o->lora_alpha < 0 ? 2 * (double)o->lora_rank : o->lora_alpha,
                           .rslora = o->rslora,
                           .norms = o->lora_norms,
                           .merge = !strcmp(o->lora_mode, "merge"),
                           .targets = o->lora_targets,
                           .init = o->lora_init};
    if (!o->lora_rank) {
        if (s->weights == DT_Q8_0)
            return err_set(e, ERR_USAGE, "--weights q8_0 is for frozen weights: give --lora RANK");
        return 0;
    }
    if (!o->init) return err_set(e, ERR_USAGE, "--lora needs a trained model: --init FILE");
    return 0;
}

/* Where only answers that flip count, few flip within a step that is good for derivatives. */
static double default_eps(const struct train_setup *s) {
    const double flips = s->objective && !s->objective->differentiable ? 3 : 1;
    return flips * s->estimator->eps[s->lora.rank > 0];
}

/* grzo learns most from a forward pass; it needs a batch, and an objective that one example has. */
static const struct zo_kind *pick_estimator(const struct train_setup *s,
                                            const struct train_opts *o) {
    if (strcmp(o->estimator, "auto")) return zo_find(o->estimator);
    if (s->objective && s->objective->of_batch) return zo_find("fzoo");
    return zo_find(o->directions > 0 || o->batch * o->accum < 2 ? "spsa" : "grzo");
}

int train_setup_make(struct train_setup *s, const struct train_opts *o, const struct cpu *cpu,
                     struct err *e) {
    int rc;
    *s = (struct train_setup){.engine = engine_find(o->engine)};
    const char *optimizer = strcmp(o->optimizer, "auto") ? o->optimizer : s->engine->optimizer;
    const char *schedule = strcmp(o->schedule, "auto") ? o->schedule : s->engine->schedule;
    s->optimizer = s->optimizer_matrix = opt_find(optimizer);
    if (strcmp(o->optimizer_matrix, "auto") && !o->lora_rank) /* whose matrices are frozen */
        s->optimizer_matrix = opt_find(o->optimizer_matrix);
    s->compute = compute_type(o->compute, o->gemm, cpu);
    s->weights = (enum dtype)dtype_find(o->weights);
    if (o->task) s->objective = objective_find(o->objective);
    if (!s->engine->backward) s->estimator = pick_estimator(s, o);
    s->perturb = o->perturb;
    s->direction = direction_find(o->direction);
    s->direction_rank = o->direction_rank < 0 ? 2 : o->direction_rank;
    s->direction_every = o->direction_every < 0 ? 50 : o->direction_every;
    if (s->estimator)
        s->directions = o->directions > 0        ? o->directions
                        : s->estimator->own ? s->estimator->own
                                                 : 1;
    TRY(conf_check_company(train_rows, o, e));
    TRY(check_length(o, e));
    TRY(check_label("name", o->name, e));
    TRY(check_label("note", o->note, e));
    TRY(make_lora(s, o, e));
    TRY(check_task(s, o, e));
    TRY(check_data(o, e));
    TRY(check_mezo(s, o, e));
    TRY(train_hyper_make(s, o, e));
    s->find_lr = s->estimator && o->lr < 0;
    if (s->estimator) s->eps = o->eps < 0 ? default_eps(s) : o->eps;
    s->sched = (struct sched){.kind = (enum sched_kind)sched_find(schedule),
                              .warmup = o->warmup < 0 ? s->engine->warmup : o->warmup,
                              .min = o->min_lr,
                              .decay = o->decay_share};
    TRY(read_checkpoint_every(s, o->checkpoint_every, e));
out:
    return rc;
}

struct engine_opts train_engine_opts(const struct train_setup *s, const struct train_opts *o,
                                     const struct machine *m, int64_t seq) {
    return (struct engine_opts){.batch = o->batch,
                                .seq = seq,
                                .recompute = o->recompute,
                                .machine = m,
                                .hyper = s->hyper,
                                .estimator = s->estimator,
                                .directions = s->directions,
                                .direction = s->direction,
                                .direction_rank = s->direction_rank,
                                .direction_every = s->direction_every,
                                .eps = s->eps,
                                .seed = (uint64_t)o->seed,
                                .max_accum = o->accum_end ? o->accum_end : o->accum,
                                .objective = s->objective};
}

struct run_opts train_run_opts(const struct train_setup *s, const struct train_opts *o,
                               const struct machine *m, int64_t seq) {
    return (struct run_opts){.engine = s->engine,
                             .engine_opts = train_engine_opts(s, o, m, seq),
                             .accum = o->accum,
                             .accum_end = o->accum_end,
                             .lr = s->lr,
                             .find_lr = s->find_lr,
                             .find_lr_matrix = s->own_factor,
                             .sched = s->sched,
                             .budget = train_budget(o),
                             .spike = o->spike,
                             .rollback = o->rollback && !o->clock,
                             .val_every = o->val_every,
                             .patience = o->patience};
}
