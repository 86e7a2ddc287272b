/* What Hugging Face's formats share: folders of a model (hf.c) or an adapter (peft.c), single
 * files of weights (safetensors.c), and writing a folder so that it is whole or not there.
 * Inside this layer and its tests. */
#ifndef DUET_HF_H
#define DUET_HF_H

#include "format.h"
#include <jansson.h>

/* The bytes of a JSON object: duplicate keys are refused, and what parsing may cost is bounded.
 * offset: where in the file path they are, for messages. */
int hf_object(const void *text, size_t bytes, const char *path, uint64_t offset, json_t **o,
              struct err *e);

/* ---- reading -------------------------------------------------------------------------------- */

/* Fills config and tensors of mf from raw, the tensors under their names in the files. text: the
 * content of config.json, called path in messages. Data stays in the maps of mf. */
int hf_take(struct model_file *mf, const struct model_file *raw, const char *path, const char *text,
            size_t bytes, struct err *e);

/* The same of an adapter and the content of its adapter_config.json. */
int peft_take(struct model_file *mf, const struct model_file *raw, const char *path,
              const char *text, size_t bytes, struct err *e);

/* Reads dir/adapter_config.json, then the above. */
int peft_finish(struct model_file *mf, const struct model_file *raw, const char *dir,
                struct err *e);

/* What an adapter may change: weights that have a word for LoRA, and norms, which are not corrected
 * but replaced. The part that a tensor of ours belongs to, or NULL. *module_bytes: of the name
 * without ".lora_A.weight" and the like; *b: it is lora_B. */
const struct part *peft_part_find(const struct part_table *t, const char *name,
                                  size_t *module_bytes, bool *b);
/* Is word what PEFT's lists call the module of p? */
bool peft_is_module(const struct part *p, const char *word);
/* An adapter of PEFT does not say its base's architecture: the first that has all of the tensors
 * under their names without the prefix, else the first. */
const struct part_table *peft_parts(const struct model_file *mf, size_t prefix,
                                    const struct part_tables *archs);
#define PEFT_PREFIX "base_model.model." /* of names in PEFT's files */

/* meta: of the files of weights, or NULL. Kept in mf->meta when it says more than "format". */
int hf_keep_meta(struct model_file *mf, const json_t *meta, struct err *e);

/* Does dir have a file called name? */
bool hf_has(const char *dir, const char *name);

/* ---- writing -------------------------------------------------------------------------------- */

/* A folder that is written. Every file goes to a temporary first. Only when all of them are on the
 * disk does commit touch what is there: it puts the config (the file that was opened last) aside,
 * without which no reader takes the folder for a model, removes what is stale, then puts the files
 * in place in the order in which they were opened, the config last. So a failed write changes
 * nothing, and a process that is killed leaves the old folder, the new one, or one that is refused.
 * A check sees the files before that, as links in a folder within (HF_CHECK) that goes away.
 *
 * Only a folder that had such a config has anything stale: in any other, what lies there is the
 * user's and stays. The config that was put aside (HF_ASIDE behind its name) keeps that known until
 * the new one is in place, so that after a killed process the next one can tidy up. */
#define HF_ASIDE ".duet-old"
#define HF_CHECK ".duet-check"
struct hf_out {
    char *dir;
    const struct mf_check *check; /* or NULL */
    struct hf_out_file {
        char *name;
        struct file_out out;
    } * files;
    size_t n, cap;
    char *made; /* made[i]: the first i bytes of dir name a folder that was made for this, and
                 * nothing is in it yet; or NULL */
    char **guarded; /* folders and links that go if a signal ends the program (guard.h) */
    size_t n_guarded, cap_guarded;
};

/* Makes the folder, and those above it. Refuses one that mf is read from, and one of a training
 * run, whose config.json is not a model's. */
int hf_out_open(struct hf_out *d, const struct model_file *mf, const char *dir, struct err *e);
/* *o stays valid until the next call. */
int hf_out_file(struct hf_out *d, const char *name, struct file_out **o, struct err *e);
int hf_out_data(struct hf_out *d, const char *name, const void *data, size_t bytes, struct err *e);
/* Indented JSON with a line break at its end. */
int hf_out_json(struct hf_out *d, const char *name, const json_t *j, struct err *e);
/* stale: would a reader take this file of an earlier export for a part of the new one? or NULL */
int hf_out_commit(struct hf_out *d, bool (*stale)(const char *name), struct err *e);
/* Discards what is not committed, with the folders that were made for it; accepts all zeros. */
void hf_out_release(struct hf_out *d);

/* "__metadata__" of the files to write: {"format": "pt"} and what came with the weights. */
json_t *hf_meta(const struct model_file *mf);

/* The folder of a model, its weights in one file of up to shard_bytes, else in several. Weights and
 * sides of the model that was there are removed; of a folder that was none, nothing is. */
int hf_write(const struct model_file *mf, const char *dir, uint64_t shard_bytes, struct err *e);

/* The folder of an adapter. */
int peft_write(const struct model_file *mf, const char *dir, struct err *e);

/* Files beside the weights: the names that are read when they are there. */
extern const char *const hf_sides[];
extern const size_t n_hf_sides;

#endif
