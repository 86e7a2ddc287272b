/* Backpropagation: forward and backward over every micro-batch, gradients accumulated, one
 * optimizer update. */
#include "clock.h"
#include "engine.h"

#include <math.h>

static double flops(const struct engine_opts *o, const struct graph *g) {
    return graph_flops(g, false, o->batch, o->seq) + graph_flops(g, true, o->batch, o->seq);
}

void backprop_gradient(struct engine *g, struct engine_step *s) {
    double sum = 0;
    s->cancelled = false;
    for (int64_t micro = 0; micro < s->accum; micro++) {
        g->batch.T = g->opts.seq;
        s->fill(s->ctx, micro, &g->batch);
        /* The loss is a mean over tokens, or over the sequences that are classified. */
        const int64_t each = g->opts.batch * (g->opts.objective ? 1 : g->batch.T);
        struct batch b = {.B = g->opts.batch,
                          .grad_scale = 1.0 / (double)(each * s->accum),
                          .grad_add = micro > 0};
        s->cancelled = !engine_run(g, &b);
        if (s->cancelled) return;
        sum += engine_loss(g, 0, g->opts.batch);
    }
    s->loss = sum / (double)s->accum;
}

static void step(struct engine *g, struct engine_step *s) {
    backprop_gradient(g, s);
    if (s->cancelled) return;
    const double begin = clock_seconds();
    s->grad_norm = opt_grad_norm(&g->opt);
    const double middle = clock_seconds();
    s->finite = isfinite(s->loss) && isfinite(s->grad_norm);
    const struct grad_source grad = opt_buffers(&g->opt, s->grad_norm);
    if (s->finite) opt_step(&g->opt, s->lr, &grad);
    g->seconds_norm += middle - begin;
    g->seconds_update += clock_seconds() - middle;
}

const struct engine_kind engine_backprop = {.name = "backprop",
                                            .help = "gradients by backpropagation",
                                            .backward = true,
                                            .optimizer = "adamw",
                                            .schedule = "wsd",
                                            .clip = 1,
                                            .decay = 0.1,
                                            .warmup = 20,
                                            .flops = flops,
                                            .step = step};
