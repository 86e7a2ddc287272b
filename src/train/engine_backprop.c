/* Backpropagation: forward and backward over every micro-batch, gradients accumulated, one
 * optimizer update. */
#include "clock.h"
#include "engine.h"

#include <math.h>

static void step(struct engine *g, struct engine_step *s) {
    const int64_t tokens = g->opts.batch * g->opts.seq;
    double sum = 0;
    for (int64_t micro = 0; micro < s->accum; micro++) {
        s->fill(s->ctx, micro, g->input, g->target);
        const struct batch b = {.B = g->opts.batch,
                                .T = g->opts.seq,
                                .input = g->input,
                                .target = g->target,
                                .nll = g->nll,
                                .grad_scale = 1.0 / (double)(tokens * s->accum),
                                .grad_add = micro > 0};
        exec_run(&g->exec, &b);
        for (int64_t i = 0; i < tokens; i++) sum += (double)g->nll[i];
    }
    s->loss = sum / (double)(tokens * s->accum);
    const double begin = clock_seconds();
    s->grad_norm = opt_grad_norm(&g->opt);
    const double middle = clock_seconds();
    s->finite = isfinite(s->loss) && isfinite(s->grad_norm);
    if (s->finite) opt_step(&g->opt, s->lr, s->grad_norm);
    g->seconds_norm += middle - begin;
    g->seconds_update += clock_seconds() - middle;
}

const struct engine_kind engine_backprop = {
    .name = "backprop", .help = "gradients by backpropagation", .flops_factor = 3, .step = step};
