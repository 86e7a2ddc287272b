/* Learning-rate schedules over progress p in [0, 1]: the share of the steps, or of the time budget,
 * that is used. The factor is warm-up times shape:
 *   warm-up   (step + 1) / warmup for the first `warmup` updates, then 1
 *   constant  1
 *   linear    1 - p (1 - min)
 *   cosine    min + (1 - min) (1 + cos(pi p)) / 2
 *   wsd       1 until p = 1 - decay, then linear down to min (warmup-stable-decay) */
#ifndef DUET_SCHEDULE_H
#define DUET_SCHEDULE_H

#include <stdint.h>

#define SCHEDULES(X) X(constant) X(linear) X(cosine) X(wsd)

enum sched_kind {
#define X(name) SCHED_##name,
    SCHEDULES(X)
#undef X
        SCHED_COUNT
};

struct sched {
    enum sched_kind kind;
    int64_t warmup; /* updates */
    double min;     /* final factor */
    double decay;   /* wsd: share of the run that decays */
};

const char *sched_name(enum sched_kind kind);
int sched_find(const char *name); /* or -1 */
double sched_factor(const struct sched *s, int64_t step, double progress);

/* Micro-batches an update: from `begin` to `end` linearly with progress (an accumulation ramp). */
int64_t sched_accum(int64_t begin, int64_t end, double progress);

#endif
