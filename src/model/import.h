/* Opening a model file of any format as duet's own: what the formats hold in their own ways becomes
 * one thing.
 *
 * The tokenizer becomes a blob (tokenizer.h), be it a file beside the weights or a GGUF's
 * vocabulary. What Hugging Face keeps beside config.json goes into the config:
 *   duet.chat_template       text of tokenizer_config.json or chat_template.jinja
 *   duet.hf.tokenizer_config, duet.hf.special_tokens_map, duet.hf.generation_config   as they are
 * and rope_scaling is found again from a GGUF's rope_freqs (rope.h). rope_parameters of
 * transformers
 * 5 become rope_theta and rope_scaling.
 *
 * A tokenizer that is there and that duet cannot use is left out, and tokenizer_problem says why.
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

/* tokenizer_open, which here also takes any model file with a tokenizer in it, be it only the
 * vocabulary of a GGUF, and the folder of a run. */
int model_open_tokenizer(struct tokenizer **t, const char *spec, struct err *e);

#endif
