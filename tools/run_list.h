/* Several runs: finding them, and the options in which they differ. */
#ifndef DUET_RUN_LIST_H
#define DUET_RUN_LIST_H

#include "record.h"

#include <sys/types.h>

struct run_list {
    struct record *run; /* owned */
    size_t n, cap;
    struct run_id {
        dev_t dev;
        ino_t ino;
    } *id; /* of their folders, in the order in which they were added; owned */
};

/* Appends one run, read with flags of record_read. */
int run_list_add(struct run_list *l, const char *dir, int flags, struct err *e);
/* Appends dir if it is a run's folder, else the runs in it and up to three folders deep, in the
 * order of their names (runs/9 before runs/10). Hidden folders are passed over, and
 * those that are in the list, which a link may lead to again. */
int run_list_find(struct run_list *l, const char *dir, int flags, struct err *e);
/* Writes every run's notes on stderr. */
void run_list_say(const struct run_list *l);
void run_list_release(struct run_list *l); /* accepts all zeros */

/* An option of a run as short text, numbers with so many digits: malloc()ed, NULL: no memory. What
 * the file does not say is the default of this version, or "" where the program decides. Of paths
 * the last part. Keys of `set` are "set.KEY". */
enum { OPTION_EXACT = 15, OPTION_SHORT = 4 };
char *run_option(const struct record *r, const char *key, int digits);

/* True if v, the value of an option in a run's file, is the default of this version. */
bool run_option_is_default(const char *key, const json_t *v);

/* Names of the options that are there (all), or in which the runs differ: malloc()ed strings in a
 * malloc()ed list of *n. --name and --note are labels and no options. */
int run_list_options(const struct run_list *l, bool all, char ***keys, size_t *n, struct err *e);
void run_list_free_options(char **keys, size_t n);

#endif
