/* The incumbent of a search: its configuration, what it changes against the base, and on what
 * evidence it was kept. */
#ifndef DUET_SEARCH_BEST_H
#define DUET_SEARCH_BEST_H

#include "search_view.h"

#include <stdio.h>

/* text: options in a table beside those of the base, evidence, seeds. json: the same as one
 * object. */
enum best_form { BEST_TEXT, BEST_JSON };

/* ERR_INPUT: no trial has a result yet. ERR_NOMEM. */
int search_best_print(const struct search_view *v, enum best_form form, FILE *out, struct err *e);

/* Its options as search_write_options writes them, with the first seed: what best.json is. */
int search_best_write(const struct search_view *v, const char *path, struct err *e);

#endif
