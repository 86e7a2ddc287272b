/* What a run began from, in its folder, so that it goes on without the files outside: `start.blzt`,
 * a BLZT v5 file without tensors. It holds the model's description, the tokenizer, and in its meta
 * data {"sources": {"init": {"path", "hash"}, ...}} a fingerprint of what is not copied.
 *
 * Sources: init (the base of LoRA and MeZO, hash of model_file_hash), data (hash of the tokens and
 * of where documents start, shard.h), task and task-eval (hash of the file). */
#ifndef DUET_RUN_START_H
#define DUET_RUN_START_H

#include "adapter.h"

#define RUN_SOURCES(X) X(init) X(adapter) X(data) X(val_data) X(task) X(task_eval)

#define X(name) SOURCE_##name,
enum run_source { RUN_SOURCES(X) N_RUN_SOURCES };
#undef X

struct run_start {
    struct {
        char *path; /* absolute, of the first file; owned; NULL: none */
        uint64_t hash;
        bool known; /* hash is one */
    } source[N_RUN_SOURCES];
};

/* The name of the option that names a source. */
const char *run_source_name(enum run_source s);

/* Sets a source; a path that is no file ("-", byte) is kept as it is. path NULL: none. */
int run_start_set(struct run_start *r, enum run_source s, const char *path, uint64_t hash,
                  struct err *e);

/* m: description and tokenizer. */
int run_start_write(const struct run_start *r, const struct model *m, const char *path,
                    struct err *e);
int run_start_read(struct run_start *r, const char *path, struct err *e);
void run_start_release(struct run_start *r); /* accepts all zeros */

/* What to open for `path` with `adapter` (or NULL). The folder of a LoRA run, or of one of the
 * checkpoints that it keeps, stands for all: its base, where config.json says, else where it was at
 * the start, its own adapter, and the tokenizer that it was trained with; and so does an adapter in
 * it by its name (RUN/adapter.best.blzt). With a further adapter it is refused. What is given as
 * the adapter in one of these ways has its run's tokenizer, too. */
struct run_files {
    const char *model, *adapter; /* adapter NULL: none */
    char *base;                  /* model, if it is a LoRA run's; owned */
    char *start;                 /* the run's start.blzt, or NULL; owned */
};
int run_files_find(struct run_files *f, const char *path, const char *adapter, struct err *e);
void run_files_release(struct run_files *f); /* accepts all zeros */

/* The file that a MeZO run began from: base.blzt in its folder, else --init's, where it is now (it
 * may be gone). *base: malloc()ed. */
int run_base_find(const char *dir, char **base, struct err *e);

/* ERR_INPUT, with what to give, if a LoRA run's base is where it was no more. */
int run_files_there(const struct run_files *f, struct err *e);
/* The run's tokenizer for a model that has none. */
int run_files_tokenizer(const struct run_files *f, struct model *m, struct err *e);
/* All of it, with the adapter if there is one. */
int run_files_open(const struct run_files *f, struct model *m, const struct adapter_use *u,
                   struct err *e);

/* The first key in which two descriptions differ, as "key is A, not B" in text: true if there is
 * one. */
bool run_start_differs(const struct model_config *now, const struct model_config *then,
                       char text[256]);

#endif
