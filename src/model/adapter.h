/* Adapters as files: what LoRA training made, without the base it was made for.
 *
 * What --set made of the base's description belongs to what was trained: the file records it, and
 * adapter_open sets it again.
 *
 * An adapter is a BLZT v5 file whose config has an object "duet_adapter" (docs/formats.md) and
 * whose tensors are lora_A, lora_B and, if norms were trained, the norm weights, all f32. It names
 * its base by the xxh3 of the base's file, and is refused with any other.
 *
 * Adapters of PEFT and GGUF are read as well; they name no base, so the shapes decide. Modules that
 * they leave out are 0; ranks and scales of single modules become the common ones (zeros are
 * added, B is scaled).
 *
 *   TRY(adapter_open(&m, base, path, &use, e));       base and adapter, ready to compute
 * or, for a model that has LoRA attached and its base loaded,
 *   TRY(adapter_save(&m, path, meta, e));
 *   TRY(adapter_load_values(&m, path, e)); */
#ifndef DUET_ADAPTER_H
#define DUET_ADAPTER_H

#include "model_lora.h"

struct adapter_info {
    bool foreign;       /* PEFT's or a GGUF */
    uint64_t base_hash; /* 0: the file does not say */
    int64_t rank;
    double alpha;
    bool rslora, norms;
    char targets[48], init[16];
    char model_type[32]; /* of the base, for people; so are the sizes */
    int64_t dim, hidden, layers, vocab;
    int64_t params; /* numbers in the file */
    json_t *set;    /* {"key": value}: what was set on the base's description, or NULL; owned */
    char *meta;     /* JSON text or NULL; owned */
};

/* Is an open file an adapter? */
int adapter_probe(const struct model_file *mf, bool *adapter, struct err *e);

/* Reads and checks everything but the values. */
int adapter_info_read(struct adapter_info *a, const char *path, struct err *e);
void adapter_info_release(struct adapter_info *a); /* accepts all zeros */

/* Writes LoRA's values and trained norms, atomically; never over the base. format: a name of
 * format.h, "blzt5" for duet's own. meta: JSON object text or NULL. The base must have come from a
 * file (model_load). */
int adapter_save(const struct model *m, const char *path, const char *format, const char *meta,
                 struct err *e);
/* The same, shown to check (format.h) before it takes its place; *hash becomes the hash of the
 * file, which is not read for it where the format is duet's own. NULL: no check; nobody asks. */
int adapter_save_checked(const struct model *m, const char *path, const char *format,
                         const char *meta, const struct mf_check *check, uint64_t *hash,
                         struct err *e);

/* Values from a file into a model with the same LoRA and base. Nothing is changed on failure. */
int adapter_load_values(struct model *m, const char *path, struct err *e);

struct adapter_use {
    enum dtype weights; /* storage of the base, or MODEL_AS_STORED */
    double scale;       /* factor on alpha/rank; 1: as trained */
    bool merge;         /* compute with merged weights */
    const struct conf_pairs *sets; /* on the base's description, beside those of the adapter, which
                                    * must not contradict; or NULL */
    struct pool *pool; /* of the model */
};

/* Opens the base with the adapter attached and loaded. Nothing is trainable but LoRA and norms. */
int adapter_open(struct model *m, const char *base_path, const char *adapter_path,
                 const struct adapter_use *u, struct err *e);

#endif
