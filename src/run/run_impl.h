/* Inside of a run: run.c (updates), run_check.c (what it is given), run_pace.c (their time),
 * run_eval.c, run_rate.c, run_probe.c, run_peaks.c, run_snapshot.c. */
#ifndef DUET_RUN_IMPL_H
#define DUET_RUN_IMPL_H

#include "run.h"

/* Tells what has happened. */
int run_tell(struct run *r, const struct run_event *v, struct err *e);
/* The same amid passes, which cannot fail of it: a result that is not 0 ends the walk over the ops
 * and is kept; nothing more is told until the passes are over. Before them, and after them: the
 * result, of an event if one has failed, else rc. */
void run_tell_amid(struct run *r, const struct run_event *v);
void run_amid_begin(struct run *r);
int run_amid_end(struct run *r, int rc, struct err *e);
/* A note or warning; nothing can come of it. */
void run_say(struct run *r, enum run_event_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The present update, before it is made. */
struct engine_step run_present(struct run *r);

/* Fills micro-batch `micro` of the present update: an engine_fill of a run. */
void run_fill(void *ctx, int64_t micro, struct engine_batch *out);

const _Atomic int *run_cancel(const struct run *r);
/* The walk over the ops ends, without an end of the run; and may go on again. */
void run_drop(struct run *r);
void run_undrop(struct run *r);

/* run_check.c. ERR_USAGE: a field of the options with which the run would not be possible, by its
 * name. ERR_INPUT: a batch as it was filled has ids, positions or labels that there are not. */
int run_check_opts(const struct run_opts *o, const struct model *m, struct err *e);
int run_only_repeats(struct err *e); /* the refusal of such a run to pass over data */
int run_check_rows(const struct run *r, const struct engine_batch *b, struct err *e);

/* run_pace.c. An update begins; its seconds so far, without stops and what was put aside; it ends,
 * done or cancelled. */
void run_pace_begin(struct run *r, int64_t accum);
double run_pace_seconds(const struct run *r);
void run_pace_end(struct run *r, bool cancelled);
/* Before micro-batch `micro`: tells, or drops the update. */
void run_pace_micro(struct run *r, int64_t micro);
/* Tells if the process stood still since the last call. */
int run_pace_stops(struct run *r, struct err *e);

/* run_peaks.c. Before an update: its peaks will be found; after it: tells once where they have
 * grown as before a blow-up. */
void run_watch_peaks(struct run *r);
void run_look_at_peaks(struct run *r);

#endif
