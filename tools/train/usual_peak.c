#include "usual_peak.h"

#include "rate_history.h"

#include <stdio.h>
#include <stdlib.h>

/* On a quiet machine the measured rate varies by a tenth. */
static const double CLEARLY_LESS = 0.7;

static void key_of(const struct gemm *g, size_t room, char key[200]) {
    char model[CPU_MODEL];
    snprintf(key, 200, "%.80s, %s, %d threads, %s, %s, %lld", cpu_model(model, sizeof model),
             cpu_tier_name(g->cpu.tier), pool_threads(g->pool), g->backend->name,
             dtype_row(g->compute)->name, (long long)gemm_peak_side(g, room));
}

double usual_peak(const struct gemm *g, size_t room) {
    char key[200], *path = rate_history_path();
    key_of(g, room, key);
    const double usual = rate_history_usual(path, key);
    free(path);
    return usual;
}

double usual_peak_note(const struct gemm *g, size_t room, double peak) {
    char key[200], *path = rate_history_path();
    key_of(g, room, key);
    const double usual = rate_history_usual(path, key);
    rate_history_add(path, key, peak);
    free(path);
    return usual;
}

bool usual_peak_missed(double peak, double usual) {
    return peak > 0 && peak < CLEARLY_LESS * usual;
}
