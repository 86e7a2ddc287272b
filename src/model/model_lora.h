/* LoRA: low-rank corrections of a frozen model (Hu et al. 2021, arXiv 2106.09685).
 *
 * A targeted weight W (O,I) gets two parameters, A (rank,I) and B (O,rank), and acts as
 * W + scale B A, scale = alpha/rank, or alpha/sqrt(rank) with rsLoRA (Kalajdzievski 2023, arXiv
 * 2312.03732). They stand behind the model's own in the parameter table, A then B, in the order of
 * the graph, under PEFT's names: "....lora_A.weight". The nodes name them (graph.h), and
 * what computes with them is graph/lora.h and the linear op. The base's parameters are frozen.
 *
 *   TRY(model_create(&m, &config, e));
 *   TRY(lora_attach(&m, &opts, e));
 *   TRY(model_reserve(&m, e));
 *   TRY(model_load(&m, base, e));     the base
 *   lora_init(&m, seed);              or adapter_load_values (adapter.h) */
#ifndef DUET_MODEL_LORA_H
#define DUET_MODEL_LORA_H

#include "model.h"

/* peft: A uniform within 1/sqrt(I), what PEFT's kaiming_uniform_(a = sqrt(5)) gives; uniform:
 * within 1/sqrt(rank), the predecessors'. B is 0 in both. */
#define LORA_INITS(X) X(peft) X(uniform)

struct lora_opts {
    int64_t rank; /* at least 1, at most the smaller side of every targeted weight */
    double alpha; /* above 0 */
    bool rslora;
    bool norms;          /* norm weights stay trainable */
    bool merge;          /* compute with W + scale B A rather than beside W */
    const char *targets; /* words of the architecture's parts, with commas, or "all" */
    const char *init;    /* one of LORA_INITS */
};

/* What the model remembers. */
struct lora {
    struct lora_opts opts; /* targets and init point into the following */
    char targets[48];      /* in the order of the parts, each once */
    char init[16];
    int base_params;    /* parameters of the model itself */
    bool *trainable;    /* of these, as they were */
    double factor;      /* of lora_set_scale */
    uint64_t base_hash; /* xxh3 of the file that the base came from; 0: not loaded yet */
    json_t *set;        /* how the model differs from its base's description
                         * (model_config_changes), or NULL; owned */
    bool set_by_file;   /* the adapter's file said some of it, and nobody else */
    char *origin;       /* JSON: what else the file of the adapter said (adapter.h); NULL, owned */
};

/* Before model_set_storage and model_reserve. Unknown words, a rank that does not fit and targets
 * that the model does not have are ERR_USAGE. */
int lora_attach(struct model *m, const struct lora_opts *o, struct err *e);

/* First values, a function of (seed, parameter, row). */
void lora_init(struct model *m, uint64_t seed);

/* scale = factor * alpha/rank from now on. 1: as trained, 0: the base. */
void lora_set_scale(struct model *m, double factor);

/* Takes LoRA away: parameter table and graph are as before, and the base's parameters trainable
 * again unless they cannot be written (q8_0, or in a file's map). Norms stay as they
 * were trained. */
void lora_unload(struct model *m);

/* W = W + scale B A, computed in f32 as the merged forward pass does, rounded to W's storage; then
 * as lora_unload. ERR_USAGE if W is q8_0, which would lose the correction in its rounding. */
int lora_merge(struct model *m, const struct kern *kern, struct err *e);

void lora_release(struct model *m); /* memory only, for model_close */

#endif
