/* A clock that stands still while the process does.
 *
 * A stopped process (SIGSTOP, Ctrl-Z) and one in a frozen control group lose time that no work was
 * possible in; a budget of time must not be charged with it. Time lost to other processes is
 * another matter: it is charged. (A suspended machine needs nothing: CLOCK_MONOTONIC stands still.)
 *
 * A thread wakes every 50 ms. When it comes late by more than 0.25 s, it asks the kernel how long
 * it had waited for a processor (the second number of /proc/thread-self/schedstat): that is time
 * lost to others. The rest is time in which it could not even wait, and if the process as a whole
 * has hardly used a processor meanwhile, it was stopped. Without schedstat 2 s count as a stop. The
 * result is right to 50 ms a stop, and errs by charging too much. */
#ifndef DUET_HEARTBEAT_H
#define DUET_HEARTBEAT_H

#include "err.h"

struct heartbeat;

/* Starts the thread; it takes no signals. threads: that the process computes with. Where no thread
 * can be started nothing counts as stopped, and no alarm rings. */
int heartbeat_open(struct heartbeat **h, int threads, struct err *e);
void heartbeat_close(struct heartbeat *h); /* accepts NULL */

/* The others accept NULL: a monotonic clock without stops and alarms. */

/* Monotonic seconds since an arbitrary point, without those of stops since heartbeat_open. */
double heartbeat_clock(struct heartbeat *h);

/* Calls ring(ctx) once, on the thread, when heartbeat_clock has passed `at`: up to 50 ms later, and
 * never once this returned for another alarm. ring NULL: no alarm. ring may not ask the clock. */
void heartbeat_alarm(struct heartbeat *h, double at, void (*ring)(void *ctx), void *ctx);

/* Seconds of stops since heartbeat_open. */
double heartbeat_stopped(struct heartbeat *h);

#endif
