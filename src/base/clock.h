/* Monotonic seconds since an arbitrary point, and memory of this process and machine. */
#ifndef DUET_CLOCK_H
#define DUET_CLOCK_H

#include <stddef.h>

double clock_seconds(void);

/* Peak resident set size so far, bytes. */
size_t clock_peak_rss(void);

/* Memory that could be used without swapping: what the system says is available, within the limit
 * of the control group. 0: not known. */
size_t memory_available(void);

#endif
