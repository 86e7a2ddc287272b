/* What Ollama is told of a GGUF: a Modelfile. */
#ifndef DUET_MODELFILE_H
#define DUET_MODELFILE_H

#include "err.h"

/* Writes to path the Modelfile of the model in the GGUF: FROM (as seen from path's folder), the
 * prompt as it is where the model has no chat template, its context and its end-of-text token. */
int modelfile_write(const char *path, const char *gguf, struct err *e);

#endif
