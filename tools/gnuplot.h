/* gnuplot as a separate program: started for one picture, fed with a script, its output taken.
 * Nothing of it is linked, and only what draws needs it. */
#ifndef DUET_GNUPLOT_H
#define DUET_GNUPLOT_H

#include "err.h"
#include <stddef.h>

/* Runs `gnuplot` (found by PATH; without the user's own settings) with script, n bytes, as its
 * standard input. What it writes to standard output comes back in *picture, malloc()ed. ERR_IO with
 * one sentence if it is not installed, ends with an error or writes nothing. */
int gnuplot_run(const char *script, size_t n, char **picture, size_t *bytes, struct err *e);

#endif
