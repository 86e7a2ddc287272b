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
 * of all that it reads, and run_folder_spare of the file. */
int out_spares(const char *path, const char *in, struct err *e);

#endif
