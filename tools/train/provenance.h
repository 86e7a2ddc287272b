/* Where, when and by what a run was made: the object "run" of config.json and summary.json.
 *
 *   {"date", "version", "commit", "host", "cpu", "tier", "threads", "gemm", "gemm_peak_gflops",
 *    "resumed": [{"date", "step", what is another than at the start}...]}
 *
 * It describes the process that began the run; of every process that went on with it there is an
 * entry in "resumed" (of the last PROVENANCE_RESUMED). A record, never an option: files of options
 * are read without it (conf.h), and neither models nor states have it, which are compared bit by
 * bit. */
#ifndef DUET_PROVENANCE_H
#define DUET_PROVENANCE_H

#include "machine.h"
#include <stdbool.h>
#include <stdint.h>

enum { PROVENANCE_RESUMED = 16 };

struct provenance {
    char date[24];  /* ISO 8601, UTC: when this process began */
    bool resumed;   /* it goes on with a run */
    char *earlier;  /* the object as it stood in config.json then, or NULL; owned */
    int64_t step;   /* updates done when it went on */
    /* Of this process, when they are known. */
    const struct machine *machine;
    double peak; /* GFLOP/s; 0: not known yet */
};

void provenance_begin(struct provenance *p); /* now */

/* The run in this config.json goes on. What is no such object there, or is cut, is as good as none:
 * then only this process is known. */
int provenance_read(struct provenance *p, const char *config, struct err *e);

/* The object, malloc()ed; NULL without memory. name, note: go into it too, unless they are NULL. */
char *provenance_json(const struct provenance *p, const char *name, const char *note);

/* An object of earlier (NULL: none) with these labels, in the same form; malloc()ed. */
char *provenance_labelled(const char *earlier, const char *name, const char *note);

void provenance_release(struct provenance *p); /* accepts all zeros */

#endif
