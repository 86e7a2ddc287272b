/* Monotonic seconds since an arbitrary point, seconds of processors, and memory of this process. */
#ifndef DUET_CLOCK_H
#define DUET_CLOCK_H

#include <stddef.h>

double clock_seconds(void);

/* Seconds of processors that this process has used, all its threads together. */
double clock_cpu_seconds(void);

/* The same of the calling thread alone. */
double clock_thread_seconds(void);

/* Peak resident set size so far, bytes. */
size_t clock_peak_rss(void);

#endif
