/* Opening a model file of any format as duet's own: what the formats hold in their own ways becomes
 * one thing.
 *
 * The tokenizer becomes a blob (tokenizer.h) where it is files beside the weights. The vocabulary
 * of a GGUF stays one: a tokenizer is made of it when somebody asks, and the text of a file only
 * when that is written. What Hugging Face keeps beside config.json goes into the config:
 *   duet.chat_template       text of tokenizer_config.json or chat_template.jinja
 *   duet.hf.tokenizer_config, duet.hf.special_tokens_map, duet.hf.generation_config   as they are
 * and rope_scaling is found again from a GGUF's rope_freqs (rope.h). rope_parameters of
 * transformers
 * 5 become rope_theta and rope_scaling.
 *
 * Files of a tokenizer that duet cannot use are left out, and tokenizer_problem says why; of a
 * vocabulary who opens it hears it.
 *
 * Everything that opens models goes through here; export.h is the way back. */
#ifndef DUET_IMPORT_H
#define DUET_IMPORT_H

#include "model_files.h"
#include "tokenizer.h"

/* model_file_open, then the above. */
int model_import(struct model_file *mf, const char *path, bool verify, struct err *e);

/* The above for a file that is open. */
int model_import_file(struct model_file *mf, struct err *e);

/* What an imported file has of a tokenizer, borrowed. */
struct tok_own model_file_tok_own(const struct model_file *mf);
/* The tokenizer of an imported file. ERR_INPUT: there is none that can be used; why. */
int model_file_tokenizer(const struct model_file *mf, struct tokenizer **t, struct err *e);

/* tokenizer_open, which here also takes any model file with a tokenizer in it, be it only the
 * vocabulary of a GGUF, and the folder of a run. */
int model_open_tokenizer(struct tokenizer **t, const char *spec, struct err *e);

#endif
