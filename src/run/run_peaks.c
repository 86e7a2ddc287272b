/* Early warning: what grows before a loss blows up.
 *
 * Activations and attention logits of a run that learns settle within a factor of some hundred of
 * their first values; where the rate is far too high they go on growing by a factor every few
 * updates, while the loss may still fall. The limits are of results/terminal.md: the runs there
 * that learn best stay below a fifth of them. Every update is looked at, since a blow-up takes ten;
 * the maxima are taken while the data is in cache and cost less than a thousandth of an update. */
#include "run_impl.h"

#include <math.h>

/* Both: far above what it was at the first update, and large. */
static const struct limit {
    const char *name;
    float times, least;
} limits[] = {{"activation", 1000, 1e4f}, {"logit", 100, 1e3f}};
enum { N_LIMITS = sizeof limits / sizeof *limits };

void run_watch_peaks(struct run *r) {
    r->watched = true;
    engine_watch(&r->engine, true);
}

/* The largest of n, and whose it is; layers count from 1, as blocks do. */
static float largest(const float *x, int n, int *block) {
    *block = 0;
    for (int b = 1; b < n; b++)
        if (x[b] > x[*block]) *block = b;
    return x[*block];
}

void run_look_at_peaks(struct run *r) {
    const struct exec_peaks *k = &r->engine.peaks;
    const float *const of[N_LIMITS] = {k->activation, k->logit};
    struct err ignored;
    if (!r->watched || r->told_peaks) return;
    for (int i = 0; i < N_LIMITS && !r->told_peaks; i++) {
        int layer;
        const float now = largest(of[i], k->n, &layer);
        if (!r->have_peaks) {
            r->peaks[i] = now;
        } else if (now > limits[i].least && now > limits[i].times * fmaxf(r->peaks[i], 1e-3f)) {
            const struct run_event v = {.kind = RUN_GROWTH,
                                        .text = limits[i].name,
                                        .block = layer,
                                        .from = (double)r->peaks[i],
                                        .to = (double)now};
            r->told_peaks = true;
            run_tell(r, &v, &ignored);
        }
    }
    r->have_peaks = true;
}
