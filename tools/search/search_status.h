/* How a search stands: what runs, what became of its trials, the incumbent, the noise, the time
 * left. Nothing is written, and a search that runs is not disturbed. */
#ifndef DUET_SEARCH_STATUS_H
#define DUET_SEARCH_STATUS_H

#include "search_view.h"

#include <stdio.h>

enum status_form { STATUS_TEXT, STATUS_JSON };

/* running: a process drives the search (search_is_locked). ERR_NOMEM. */
int search_status_print(const struct search_view *v, bool running, enum status_form form, FILE *out,
                        struct err *e);

#endif
