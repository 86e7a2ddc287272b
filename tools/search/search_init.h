/* A search file for a text and a time: `duet search init`. */
#ifndef DUET_SEARCH_INIT_H
#define DUET_SEARCH_INIT_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct search_init {
    const char *data;      /* as --data of train takes it */
    const char *tokenizer; /* NULL: one is trained on data, and put beside the file */
    const char *out;       /* the search file; tokens of a text are put beside it, too */
    double time;           /* seconds a trial, above 0 */
    double hours;          /* that the search may take, above 0 */
    int64_t jobs;          /* trials at a time */
    bool overwrite, quiet;
};

/* Measures what a training step does here, chooses, writes the file, and tells in `say` what it
 * chose and why. Nothing is written on failure but a tokenizer and tokens. ERR_USAGE, ERR_INPUT,
 * ERR_IO, ERR_NOMEM. */
int search_init(const struct search_init *o, FILE *say, struct err *e);

/* The shape for so many floating point operations: layers, and their width, a multiple of 64. */
void search_init_shape(double flops, int64_t *layers, int64_t *width);

#endif
