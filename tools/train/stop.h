/* Signals of a run.
 *
 * SIGINT, SIGTERM, SIGHUP and SIGXCPU ask for the end: the handler says so at once, and the walk
 * over the ops ends before the next one (exec_opts.cancel). A further one changes nothing, so that
 * it cannot break the save. While the run starts there is nothing to save: the signal then does
 * what it did before. SIGUSR1 asks for a checkpoint, and training goes on. Signals that the process
 * was told to ignore when it began (nohup, background of a shell) stay ignored.
 *
 * There is one set of handlers a process, so one run at a time catches signals. */
#ifndef DUET_STOP_H
#define DUET_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* What a signal finds. */
enum stop_phase {
    STOP_OPENING, /* nothing to save yet */
    STOP_FRESH,   /* training, no update done yet */
    STOP_RUNNING, /* training */
    STOP_SAVED,   /* everything is on the disk */
    STOP_TRIALS,  /* no run: other processes train, and are asked to save */
};

void stop_catch(void);
void stop_release(void); /* the handlers of before are back */

/* What the handlers say. step: updates done. */
void stop_phase(enum stop_phase phase, int64_t step);

/* What run_opts.cancel is: RUN_STOP once the end was asked for. */
_Atomic int *stop_flag(void);

bool stop_save_asked(void); /* a checkpoint was; asks once a request */

#endif
