/* The descriptions that come with duet, by name: `demo` is models/demo.json, wherever it lies. */
#ifndef DUET_MODEL_SHIPPED_H
#define DUET_MODEL_SHIPPED_H

#include "err.h"

/* What --model gives: an existing file or folder, or a path, stays; else a name without a slash,
 * with or without ".json", is looked for in share/duet/models beside the bin/ of the program, in
 * models/ of the source tree that the program was built in, and where `meson install` puts it.
 * *found: the path that *model then is, malloc()ed by this, or NULL. ERR_INPUT with these places if
 * it is in none. *model may be NULL. */
int model_shipped_find(const char **model, char **found, struct err *e);

#endif
