/* A search as the table results.tsv of the programs before duet: a line a trial, in order, from
 * those that are decided. Their columns:
 *
 *   karpathy  commit val_bpb memory_gb status description
 *   autoane   commit val_loss steps params_M ms_step status description
 *   ane       commit val_loss ane_util_pct status description
 *
 * commit: of the program that trained, 7 digits. val_bpb is the search's value where that is its
 * metric; this and all others are means over the trial's seeds of what their summaries say. GB are
 * 10^9 bytes. ane_util_pct: flops in percent of the GEMM peak. status: keep, discard or crash
 * (nothing was measured: crashed, out of memory, diverged, refused ...; numbers are then 0).
 * description: view_describe. */
#ifndef DUET_RESULTS_TSV_H
#define DUET_RESULTS_TSV_H

#include "search_view.h"

#include <stdio.h>

#define RESULTS_TSV_ORDERS "karpathy autoane ane"

/* DIR/results.tsv as the search is now. order NULL: as that of the file that is there, else the
 * first. ERR_NOMEM, ERR_IO. */
int results_tsv_update(const struct search *s, const char *order, struct err *e);

/* order: a word of these; another is the first. */
void results_tsv_print(const struct search_view *v, const char *order, FILE *out);

/* The same as the file at path, which is replaced as a whole. ERR_NOMEM, ERR_IO. */
int results_tsv_write(const struct search_view *v, const char *order, const char *path,
                      struct err *e);

#endif
