/* The format of a file to write, for the commands that write model files. */
#ifndef OUT_FORMAT_H
#define OUT_FORMAT_H

#include "format.h"

/* to: a format's name, or "auto": by path, whose ending tells (.blzt, .gguf, ...; a folder, or a
 * name that ends in "/", is Hugging Face's: hf for a model, peft for an adapter). ERR_USAGE. */
int out_format(const char *path, const char *to, bool adapter, const struct format **f,
               struct err *e);

/* ERR_USAGE if writing to path would replace a file of the model or adapter at `in`: of any format,
 * or the folder of a run. */
int out_is_other(const char *path, const char *in, struct err *e);

/* ERR_USAGE if writing to path would replace `in`, a file that is read, or a file of the folder
 * `in`. in NULL or a word that names no file: nothing. Every command that writes a file asks this
 * of all that it reads, and out_free of the file. */
int out_spares(const char *path, const char *in, struct err *e);

/* The option with which a command that writes files replaces one. */
#define OVERWRITE_ROW(S, f)                                                                        \
    CONF_BOOL(S, f, "overwrite", "write over what is there under the name to be written")

/* May this name be written to? ERR_USAGE if it is one of a run's own files (run_folder.h), and,
 * without overwrite, if there is a file with something in it, or a folder with a model, an adapter
 * or a tokenizer. Standard output, devices and pipes hold nothing that could be lost. Comes after
 * checks that know more: what is read is not written to even with overwrite. */
int out_free(const char *path, bool overwrite, struct err *e);

#endif
