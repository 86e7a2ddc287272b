#include "schedule.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {
#define X(n) #n,
    SCHEDULES(X)
#undef X
};

const char *sched_name(enum sched_kind kind) {
    return names[kind];
}

int sched_find(const char *name) {
    for (int i = 0; i < SCHED_COUNT; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

double sched_factor(const struct sched *s, int64_t step, double progress) {
    const double p = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    double shape = 1;
    switch (s->kind) {
    case SCHED_linear: shape = 1 - p * (1 - s->min); break;
    case SCHED_cosine:
        shape = s->min + (1 - s->min) * 0.5 * (1 + cos(3.14159265358979323846 * p));
        break;
    case SCHED_wsd:
        if (s->decay > 0 && p > 1 - s->decay)
            shape = 1 - (p - (1 - s->decay)) / s->decay * (1 - s->min);
        break;
    default: break;
    }
    return step < s->warmup ? shape * (double)(step + 1) / (double)s->warmup : shape;
}

int64_t sched_accum(int64_t begin, int64_t end, double progress) {
    if (end <= begin) return begin;
    const double p = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    return begin + (int64_t)floor(p * (double)(end - begin) + 0.5);
}
