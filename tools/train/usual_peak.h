/* The GEMM rate that this machine usually has, from earlier starts (rate_history.h): by model of
 * the processor, instruction set, threads, backend, compute type and size of the product. */
#ifndef DUET_USUAL_PEAK_H
#define DUET_USUAL_PEAK_H

#include "gemm.h"

/* GFLOP/s, of gemm_peak with this room; 0: not known. */
double usual_peak(const struct gemm *g, size_t room);

/* The same, and the rate measured now goes on record. */
double usual_peak_note(const struct gemm *g, size_t room, double peak);

/* Is this so much less that something else must be using the machine? */
bool usual_peak_missed(double peak, double usual);

#endif
