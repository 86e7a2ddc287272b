#include "trial_batch.h"

#include "log.h"
#include "stop.h"

#include <stdlib.h>

#define LOOK_SECONDS 0.25

struct batch {
    const struct trial_batch *b;
    struct trial_run *run;   /* (jobs) */
    struct trial_run **list; /* (jobs) those that are at work; NULL: none */
    size_t *number;          /* (jobs) of what is at work */
    size_t next, done;
    struct log_progress line;
};

/* Number next in slot i. */
static int start(struct batch *x, unsigned i, struct err *e) {
    struct trial_spec spec = x->b->spec[x->next];
    spec.part = i;
    spec.parts = spec.launcher ? 0 : x->b->jobs;
    const int rc = trial_start(&x->run[i], &spec, e);
    if (rc) return rc;
    x->list[i] = &x->run[i];
    x->number[i] = x->next++;
    return 0;
}

static int take(struct batch *x, size_t i, struct err *e) {
    const struct trial_outcome *out = &x->run[i].outcome;
    const int rc = out->status == TRIAL_pending
                       ? 0
                       : x->b->ended(x->b->ctx, x->number[i], out, e);
    x->done += out->status != TRIAL_pending;
    trial_release(&x->run[i]);
    x->list[i] = NULL;
    return rc;
}

static bool is_idle(const struct batch *x) {
    for (unsigned i = 0; i < x->b->jobs; i++)
        if (x->list[i]) return false;
    return true;
}

static int loop(struct batch *x, struct err *e) {
    const unsigned jobs = x->b->jobs;
    int rc = 0;
    for (;;) {
        if (*stop_flag()) return err_set(e, ERR_STOP, "stopped; the same command goes on");
        for (unsigned i = 0; i < jobs && x->next < x->b->n; i++)
            if (!x->list[i]) TRY(start(x, i, e));
        if (is_idle(x)) return 0;
        log_bar(&x->line, x->b->doing, x->done, x->b->n, "runs");
        const size_t i = trial_wait(x->list, jobs, LOOK_SECONDS);
        if (i < jobs) TRY(take(x, i, e));
    }
out:
    return rc;
}

int trial_batch_run(const struct trial_batch *b, struct err *e) {
    struct batch x = {.b = b};
    int rc = 0;
    log_progress_init(&x.line, b->quiet);
    log_begin(&x.line);
    x.run = calloc(b->jobs, sizeof *x.run);
    x.list = calloc(b->jobs, sizeof *x.list);
    x.number = calloc(b->jobs, sizeof *x.number);
    stop_catch();
    stop_phase(STOP_TRIALS, 0);
    if (x.run && x.list && x.number)
        rc = loop(&x, e);
    else
        rc = err_set(e, ERR_NOMEM, "no memory for %u processes", b->jobs);
    if (rc && x.list) trial_stop_all(x.list, b->jobs);
    for (unsigned i = 0; x.list && i < b->jobs; i++)
        if (x.list[i]) trial_release(x.list[i]);
    stop_release();
    log_progress_end(&x.line);
    free(x.run);
    free(x.list);
    free(x.number);
    return rc;
}
