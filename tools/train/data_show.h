/* Opening data for a command, with what is shown of it on stderr. */
#ifndef DUET_DATA_SHOW_H
#define DUET_DATA_SHOW_H

#include "dataset.h"
#include "log.h"
#include "task.h"

/* dataset_open; shows progress and says what came of it, quiet: only warnings. o: its functions are
 * set here. */
int data_show_open(struct dataset *d, const struct dataset_opts *o, bool quiet, struct err *e);

/* A warning if prompts of the table at path were shortened. context: tokens that the model is made
 * for. */
void data_say_shortened(const struct task *t, const char *path, int64_t context,
                        struct log_progress *line);

#endif
