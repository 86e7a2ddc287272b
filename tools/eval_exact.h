/* `duet eval --exact`: exact.h, with its files and what is printed. */
#ifndef DUET_EVAL_EXACT_H
#define DUET_EVAL_EXACT_H

#include "conf.h"
#include "machine.h"
#include "model.h"
#include "record.h"
#include "run_text.h"

struct eval_exact_opts {
    struct conf_list data;
    const struct record *run;    /* instead of data: this part of a run's text; or NULL */
    enum run_part part;
    const char *out, *paired; /* or NULL */
    int64_t context;                 /* 0: all that the model has */
    bool json, quiet;
};

int eval_exact(struct model *m, const struct machine *machine, const struct tokenizer *t,
               const struct eval_exact_opts *o, struct err *e);

#endif
