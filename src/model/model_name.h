/* What a model is called by those who see its file only. */
#ifndef DUET_MODEL_NAME_H
#define DUET_MODEL_NAME_H

/* From where it lies, malloc()ed, UTF-8 without control characters: of the folder of a run (or a
 * file, or a checkpoint in it) the name that the run was given (--name), else the folder's; of a
 * folder of Hugging Face, or weights in it, the folder's; else the file's without its ending.
 * "duet" where that is no text. NULL: no memory. */
char *model_name(const char *path);

#endif
