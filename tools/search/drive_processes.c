#include "drive_impl.h"

#include <math.h>
#include <stdlib.h>

struct processes {
    int n;
    struct trial_run *run; /* (n) */
    bool *busy;            /* (n) */
    struct trial_run **list; /* (n) room for those that are */
    int *number;             /* (n) of these */
};

static int fits(void *ctx, const struct trial_spec *spec, struct trial_plan *plan,
                struct err *e) {
    (void)ctx;
    return trial_fits(spec, plan, e);
}

static int start(void *ctx, int slot, const struct trial_spec *spec, struct err *e) {
    struct processes *p = ctx;
    const int rc = trial_start(&p->run[slot], spec, e);
    p->busy[slot] = !rc;
    return rc;
}

static int wait_for(void *ctx, double seconds, struct trial_outcome *out) {
    struct processes *p = ctx;
    size_t n = 0;
    for (int i = 0; i < p->n; i++) {
        if (!p->busy[i]) continue;
        p->number[n] = i;
        p->list[n++] = &p->run[i];
    }
    const size_t ended = trial_wait(p->list, n, seconds);
    if (ended == n) return -1;
    const int slot = p->number[ended];
    *out = p->run[slot].outcome;
    json_incref(out->summary);
    trial_release(&p->run[slot]);
    p->busy[slot] = false;
    return slot;
}

static void stop(void *ctx, int slot, bool kill) {
    struct processes *p = ctx;
    if (kill) p->run[slot].spec.grace = 1e-3; /* SIGKILL follows at once */
    trial_stop(&p->run[slot]);
}

int drive_processes_open(struct drive_runner *r, int slots, struct err *e) {
    struct processes *p = calloc(1, sizeof *p);
    const size_t n = (size_t)slots;
    *r = (struct drive_runner){.ctx = p, .fits = fits, .start = start, .wait = wait_for,
                               .stop = stop};
    if (p) {
        p->run = calloc(n, sizeof *p->run);
        p->busy = calloc(n, sizeof *p->busy);
        p->list = calloc(n, sizeof *p->list);
        p->number = calloc(n, sizeof *p->number);
        p->n = slots;
    }
    if (p && p->run && p->busy && p->list && p->number) return 0;
    drive_processes_close(r);
    return err_set(e, ERR_NOMEM, "no memory for processes");
}

void drive_processes_close(struct drive_runner *r) {
    struct processes *p = r->ctx;
    for (int i = 0; p && p->run && p->busy && i < p->n; i++)
        if (p->busy[i]) trial_release(&p->run[i]);
    if (p) {
        free(p->run);
        free(p->busy);
        free(p->list);
        free(p->number);
    }
    free(p);
    *r = (struct drive_runner){0};
}
