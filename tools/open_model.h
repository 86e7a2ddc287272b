/* Opening a model to read it, for commands that compute with one: with or without an adapter.
 *
 *   struct opts { ...; struct open_opts open; };
 *   rows:  OPEN_MODEL_ROWS(struct opts, open)  */
#ifndef DUET_OPEN_MODEL_H
#define DUET_OPEN_MODEL_H

#include "conf.h"
#include "machine.h"
#include "model.h"

struct open_opts {
    const char *adapter, *lora_mode, *weights;
    double adapter_scale;
};

#define OPEN_WEIGHTS "f32 bf16 q8_0"
#define OPEN_MODEL_ROWS(S, f)                                                                      \
    CONF_CHOICE(                                                                                   \
        S, f.weights, "weights", "f32", OPEN_WEIGHTS,                                              \
        "how matrices are held in memory; q8_0: f16 where a row is not whole blocks of 32"),       \
        CONF_STRING(S, f.adapter, "adapter", NULL, "FILE",                                         \
                    "LoRA adapter to compute with; MODEL must be its base"),                       \
        CONF_FLOAT(S, f.adapter_scale, "adapter-scale", "1", -1e3, 1e3,                            \
                   "factor on the adapter; 0: the base alone"),                                    \
        CONF_CHOICE(S, f.lora_mode, "lora-mode", "split", "split merge",                           \
                    "beside the weights, or merged into them as they are read")

/* path: a model file of any format, or the folder of a run: its last model, of a LoRA run its base
 * with its last adapter. conf: of the command, to refuse options that would have no effect. */
int open_model(struct model *m, const char *path, const struct open_opts *o,
               const struct conf_pairs *sets, const struct conf *conf, struct pool *pool,
               struct err *e);

/* How a command computes: options --threads, --gemm, --compute and --quiet. What compute "auto"
 * means here is said. */
struct open_machine {
    int64_t threads;
    const char *gemm, *compute;
    bool quiet;
};
int open_machine(struct machine *m, const struct open_machine *o, struct err *e);

/* Lines on stderr with what the file does not say and is assumed of it, with what is read otherwise
 * than it says, and with keys of its config that nobody knows, if there is anything. --quiet does
 * not hide them: it is about progress. open_model has called it. */
void open_say(const struct model *m);
/* The same without unknown keys, before what tells them itself (model_export). */
void open_say_assumed(const struct model *m);

/* Sequences of so many tokens: an error beyond a sliding window, a line on stderr beyond the
 * positions that the model is made for. path: for messages. */
int open_check_length(const struct model *m, int64_t tokens, const char *path, struct err *e);

#endif
