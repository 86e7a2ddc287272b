/* What an update is made of, without the update: the gradient of backpropagation, coefficients of
 * directions. */
#include "run_impl.h"

/* Of no update: nothing is told, and nobody's time passes. */
static struct engine_step passes_begin(struct run *r) {
    r->pace = (struct pace){0};
    return run_present(r);
}

int run_gradient(struct run *r, double *loss, struct err *e) {
    int rc = 0;
    if (!r->opts.engine->backward)
        return err_set(e, ERR_USAGE, "engine %s computes no gradient", r->opts.engine->name);
    struct engine_step s = passes_begin(r);
    backprop_gradient(&r->engine, &s);
    if (s.cancelled) rc = err_set(e, ERR_STOP, "stopped while the gradient was computed");
    *loss = s.loss;
    return run_amid_end(r, rc, e); /* the fault of the data */
}

void run_close_keep(struct run *r, struct arena *grads) {
    *grads = r->engine.grads;
    r->engine.grads = (struct arena){0};
    run_close(r);
}

int run_probe(struct run *r, const struct engine_probe *p, double *loss, struct err *e) {
    if (r->opts.engine->backward)
        return err_set(e, ERR_USAGE, "engine %s tries no directions", r->opts.engine->name);
    if (r->opts.engine_opts.repeat) return run_only_repeats(e);
    struct engine_step s = passes_begin(r);
    const int rc = mezo_probe(&r->engine, &s, p, e);
    if (loss) *loss = s.loss;
    return run_amid_end(r, rc, e);
}
