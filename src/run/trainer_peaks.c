/* Early warning: what grows before a loss blows up.
 *
 * Activations and attention logits of a run that learns settle within a factor of some hundred of
 * their first values; where the rate is far too high they go on growing by a factor every few
 * updates, while the loss may still fall. The limits are of results/terminal.md: the runs there that
 * learn best stay below a fifth of them. Every update is looked at, since a blow-up takes ten; the
 * maxima are taken while the data is in cache and cost less than a thousandth of an update. */
#include "trainer_impl.h"

#include <math.h>

/* Both: far above what it was at the first update, and large. */
static const struct limit {
    const char *name, *what;
    float times, least;
} limits[] = {{"activation", "activations", 1000, 1e4f}, {"logit", "attention logits", 100, 1e3f}};
enum { N_LIMITS = sizeof limits / sizeof *limits };

void trainer_watch(struct trainer *t) {
    t->shown.watched = true;
    engine_watch(&t->engine, true);
}

/* The largest of n, and whose it is; layers count from 1, as blocks do. */
static float largest(const float *x, int n, int *block) {
    *block = 0;
    for (int b = 1; b < n; b++)
        if (x[b] > x[*block]) *block = b;
    return x[*block];
}

static void warn(struct trainer *t, const struct limit *l, int layer, float now, float first) {
    log_warn(&t->line,
             "warning: step %lld: the %s have grown from %.2g to %.2g (layer %d): the rate is too "
             "high, and the loss will blow up or stop falling; try a lower --lr",
             (long long)t->p.step, l->what, (double)first, (double)now, layer);
    log_lines_write(&t->log,
                    "{\"event\":\"growth\",\"step\":%lld,\"what\":\"%s\",\"layer\":%d,"
                    "\"value\":%.4g,\"first\":%.4g,\"seconds\":%.3f}",
                    (long long)t->p.step, l->name, layer, (double)now, (double)first,
                    t->p.seconds);
}

void trainer_look_at_peaks(struct trainer *t) {
    struct shown *v = &t->shown;
    const struct exec_peaks *k = &t->engine.peaks;
    const float *const of[N_LIMITS] = {k->activation, k->logit};
    if (!v->watched || v->warned) return;
    for (int i = 0; i < N_LIMITS && !v->warned; i++) {
        int layer;
        const float now = largest(of[i], k->n, &layer);
        if (!v->have_first) {
            v->first[i] = now;
        } else if (now > limits[i].least && now > limits[i].times * fmaxf(v->first[i], 1e-3f)) {
            v->warned = true;
            warn(t, limits + i, layer, now, v->first[i]);
        }
    }
    v->have_first = true;
}
