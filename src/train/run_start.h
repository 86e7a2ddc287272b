/* What a run began from, in its folder, so that it goes on without the files outside: `start.blzt`,
 * a BLZT v5 file without tensors. It holds the model's description, the tokenizer, and in its meta
 * data {"sources": {"init": {"path", "hash"}, ...}} a fingerprint of what is not copied.
 *
 * Sources: init (the base of LoRA and MeZO, hash of model_file_hash), data (hash of the tokens and
 * of where documents start, shard.h), task and task-eval (hash of the file). */
#ifndef DUET_RUN_START_H
#define DUET_RUN_START_H

#include "model.h"

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

/* The base of the LoRA run in a folder, or in one of the checkpoints that it keeps: where
 * config.json says, else where it was at the start. *base is malloc()ed; NULL: not a LoRA run's
 * folder. */
int run_base(const char *dir, char **base, struct err *e);

/* The first key in which two descriptions differ, as "key is A, not B" in text: true if there is
 * one. */
bool run_start_differs(const struct model_config *now, const struct model_config *then,
                       char text[256]);

#endif
