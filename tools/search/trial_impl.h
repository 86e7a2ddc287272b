/* Between trial.c (processes and limits), trial_judge.c (what came of them) and trial_fits.c;
 * nobody else includes this. */
#ifndef DUET_TRIAL_IMPL_H
#define DUET_TRIAL_IMPL_H

#include "trial.h"

/* What the end of the phase's process means, with words; TRIAL_ok: it says that all went well. */
enum trial_status trial_judge(const struct trial_run *t, char words[TRIAL_WORDS]);

/* The summary of a run that has come to `share`: new, without "run" and "history". ERR_INPUT: there
 * is none, it is none, or it is of an earlier share (*earlier). */
int trial_summary(const char *folder, double share, json_t **summary, bool *earlier,
                  struct err *e);

/* Keeps the summary, and looks at its limits: a status that is not ok has words. */
enum trial_status trial_take_summary(struct trial_run *t, char words[TRIAL_WORDS]);

/* The value: from the summary, or from what the phase's process has printed. */
enum trial_status trial_take_value(struct trial_run *t, char words[TRIAL_WORDS]);

/* One line of UTF-8, cut to fit. */
void trial_say(char words[TRIAL_WORDS], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
