#include "train_opts.h"

#include <stdlib.h>
#include <string.h>

#define X(name) #name " "
const char compute_words[] = "f32 bf16";
const char gemm_words[] = "auto " GEMM_BACKENDS(X);
const char engine_words[] = ENGINES(X);
const char optimizer_words[] = OPTIMIZERS(X);
static const char schedule_words[] = SCHEDULES(X);
#undef X

#define O struct train_opts
const struct conf_row train_rows[] = {
    CONF_SECTION("Model"),
    CONF_STRING(O, model, "model", NULL, "FILE",
                "model description, e.g. models/autoresearch.json"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "override a key of the model description (repeatable)"),
    CONF_STRING(O, init, "init", NULL, "FILE", "start from the weights of any readable model file"),
    CONF_BOOL(O, compact_vocab, "compact-vocab",
              "train and score over the tokens that occur in the data; the full vocabulary is "
              "restored on save"),
    CONF_BOOL(O, full_vocab_loss, "full-vocab-loss",
              "with --compact-vocab: also report the final loss over the full vocabulary"),
    CONF_SECTION("Data"),
    CONF_STRING(O, data, "data", NULL, "FILE",
                "text (also .zst), a shard of `duet tokenize`, or raw16 tokens"),
    CONF_CHOICE(O, format, "format", "auto", "auto raw16",
                "auto: by content; raw16: headerless uint16 tokens"),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "byte, or a tokenizer file; default: the one in --init's file"),
    CONF_FLOAT(O, val_fraction, "val-fraction", "0.1", 0, 0.9,
               "share of the tokens, by whole documents at the end, kept for validation"),
    CONF_CHOICE(O, order, "order", "random", "random epoch",
                "random windows, or every window once an epoch, shuffled"),
    CONF_INT(O, batch, "batch", "8", 1, 65536, "sequences a micro-batch"),
    CONF_INT(O, seq, "seq", "0", 0, 1 << 20,
             "tokens a sequence; 0: the model description's duet.seq_len"),
    CONF_INT(O, accum, "accum", "1", 1, 65536, "micro-batches an update"),
    CONF_INT(O, accum_end, "accum-end", "0", 0, 65536,
             "ramp the micro-batches an update up to this over the run; 0: no ramp"),
    CONF_SECTION("Optimisation"),
    CONF_CHOICE(O, engine, "engine", "backprop", engine_words, "how updates are computed"),
    CONF_CHOICE(O, optimizer, "optimizer", "adamw", optimizer_words, "update rule"),
    CONF_INT(O, steps, "steps", "0", 0, 1e12, "number of updates; 0: until --time is used"),
    CONF_FLOAT(O, time, "time", "0", 0, 1e9,
               "seconds of training; schedules then follow the share of time used; 0: until "
               "--steps are done"),
    CONF_FLOAT(O, lr, "lr", "-1", -1, 100,
               "peak learning rate; -1: the optimizer's (adamw 1e-3, lion 2e-4)"),
    CONF_CHOICE(O, schedule, "schedule", "wsd", schedule_words, "learning rate over the run"),
    CONF_INT(O, warmup, "warmup", "20", 0, 1e9, "updates of linear warm-up"),
    CONF_FLOAT(O, min_lr, "min-lr", "0.1", 0, 1, "final share of the learning rate"),
    CONF_FLOAT(O, decay_share, "decay-share", "0.5", 0, 1,
               "wsd: share of the run in which the rate falls"),
    CONF_FLOAT(O, beta1, "beta1", "-1", -1, 0.9999999, "momentum; -1: the optimizer's (0.9)"),
    CONF_FLOAT(O, beta2, "beta2", "-1", -1, 0.9999999,
               "second moment; -1: the optimizer's (adamw 0.95, lion 0.99)"),
    CONF_FLOAT(O, adam_eps, "adam-eps", "1e-8", 0, 1, "AdamW's epsilon"),
    CONF_FLOAT(O, clip, "clip", "1", 0, 1e9, "clip the global gradient norm; 0: off"),
    CONF_FLOAT(O, decay_matrix, "weight-decay", "0.1", 0, 10, "decoupled weight decay of matrices"),
    CONF_FLOAT(O, decay_embed, "embed-decay", "0", 0, 10,
               "decoupled weight decay of embeddings and classifier"),
    CONF_FLOAT(O, decay_norm, "norm-decay", "0", 0, 10,
               "decoupled weight decay of norms and biases"),
    CONF_FLOAT(O, lr_embed, "embed-lr", "1", 0, 1000,
               "learning-rate factor of embeddings and classifier"),
    CONF_FLOAT(O, lr_matrix, "matrix-lr", "1", 0, 1000, "learning-rate factor of matrices"),
    CONF_FLOAT(O, lr_norm, "norm-lr", "1", 0, 1000, "learning-rate factor of norms and biases"),
    CONF_FLOAT(O, spike, "spike", "3", 0, 1e9,
               "stop when the smoothed loss rises this far (nats) above its best; 0: never"),
    CONF_INT(O, seed, "seed", "1", 0, 9e18, "seed of initialisation and batches"),
    CONF_SECTION("Computing"),
    CONF_CHOICE(O, compute, "compute", "f32", compute_words,
                "type of GEMM inputs; accumulation and weights are f32"),
    CONF_CHOICE(O, gemm, "gemm", "auto", gemm_words,
                "matrix product backend; auto: the first exact one that can run"),
    CONF_BOOL(O, recompute, "recompute",
              "keep only block inputs and run blocks again for the backward pass"),
    {.type = CONF_T_INT,
     .name = "threads",
     .offset = offsetof(O, threads),
     .def = "0",
     .min = 0,
     .max = 4096,
     .arg = "N",
     .help = "threads; 0: one per processor. Results do not depend on it",
     .internal = true},
    CONF_SECTION("Run"),
    {.type = CONF_T_STRING,
     .name = "out",
     .offset = offsetof(O, out),
     .arg = "DIR",
     .help = "folder of the run; default: the first free runs/N",
     .internal = true},
    {.type = CONF_T_STRING,
     .name = "resume",
     .offset = offsetof(O, resume),
     .arg = "DIR",
     .help = "go on with a run; other options override its recorded ones",
     .internal = true},
    {.type = CONF_T_BOOL,
     .name = "overwrite",
     .offset = offsetof(O, overwrite),
     .help = "start over in a folder that holds a run",
     .internal = true},
    CONF_STRING(O, checkpoint_every, "checkpoint-every", "60s", "N|Ns",
                "save every N updates, or every N seconds (with s)"),
    CONF_INT(O, val_every, "val-every", "0", 0, 1e12,
             "validate every N updates; 0: only at the end"),
    CONF_INT(O, val_windows, "val-windows", "256", 1, 1e12,
             "fixed validation windows, spread over the validation documents"),
    CONF_INT(O, log_every, "log-every", "10", 1, 1e12, "updates a line of log.jsonl"),
    {.type = CONF_T_BOOL,
     .name = "json",
     .offset = offsetof(O, json),
     .help = "print the summary as JSON on stdout",
     .internal = true},
    {.type = CONF_T_BOOL,
     .name = "quiet",
     .offset = offsetof(O, quiet),
     .help = "no progress line",
     .internal = true},
    CONF_END};
#undef O

int compute_type(const char *name) {
    return dtype_find(name);
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

int train_setup_make(struct train_setup *s, const struct train_opts *o, struct err *e) {
    *s =
        (struct train_setup){.engine = engine_find(o->engine), .optimizer = opt_find(o->optimizer)};
    s->compute = (enum dtype)compute_type(o->compute);
    if (!o->steps && !(o->time > 0))
        return err_set(e, ERR_USAGE, "give --steps N or --time SECONDS");
    const struct {
        const char *name;
        double value;
    } own[] = {{"lr", o->lr}, {"beta1", o->beta1}, {"beta2", o->beta2}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i].value < 0 && own[i].value != -1)
            return err_set(e, ERR_USAGE,
                           "--%s is %g, expected a number from 0, or -1 for the optimizer's own",
                           own[i].name, own[i].value);
    if (o->full_vocab_loss && !o->compact_vocab)
        return err_set(
            e, ERR_USAGE,
            "--full-vocab-loss belongs to --compact-vocab: without it val_loss is that loss");
    if (o->accum_end && o->accum_end < o->accum)
        return err_set(e, ERR_USAGE,
                       "--accum-end %lld is less than --accum %lld: the ramp only goes up",
                       (long long)o->accum_end, (long long)o->accum);
    s->lr = o->lr < 0 ? s->optimizer->lr : o->lr;
    s->hyper = (struct opt_hyper){.beta1 = o->beta1 < 0 ? s->optimizer->beta1 : o->beta1,
                                  .beta2 = o->beta2 < 0 ? s->optimizer->beta2 : o->beta2,
                                  .eps = o->adam_eps,
                                  .clip = o->clip};
    const double factor[ROLE_COUNT] = {[ROLE_embed] = o->lr_embed,
                                       [ROLE_matrix] = o->lr_matrix,
                                       [ROLE_norm] = o->lr_norm,
                                       [ROLE_bias] = o->lr_norm};
    const double decay[ROLE_COUNT] = {[ROLE_embed] = o->decay_embed,
                                      [ROLE_matrix] = o->decay_matrix,
                                      [ROLE_norm] = o->decay_norm,
                                      [ROLE_bias] = o->decay_norm};
    memcpy(s->hyper.lr_factor, factor, sizeof factor);
    memcpy(s->hyper.decay, decay, sizeof decay);
    s->sched = (struct sched){.kind = (enum sched_kind)sched_find(o->schedule),
                              .warmup = o->warmup,
                              .min = o->min_lr,
                              .decay = o->decay_share};
    return read_checkpoint_every(s, o->checkpoint_every, e);
}
