/* Within an update, mostly between its micro-batches: what is told of a long one, and whether the
 * time that is left suffices. */
#include "run_impl.h"

#include <math.h>

/* An update that the end of --time finds unfinished is finished if that takes at most this share of
 * --time longer; else it is dropped. */
#define OVERTIME 0.1
/* Updates of less seconds tell of no micro-batches. */
#define LONG_UPDATE 0.3

static double time_of(const struct run *r) {
    if (r->opts.recorded) return 0;
    return r->opts.budget.of[BUDGET_time];
}

/* On the thread of the clock. */
static void ring(void *ctx) {
    struct run *r = ctx;
    r->pace.late = true;
    run_drop(r);
}

static void no_alarm(struct run *r) {
    heartbeat_alarm(r->opts.clock, 0, NULL, NULL);
}

/* The end of what the time allows the update may come within a micro-batch: then the walk over the
 * ops ends. */
static void set_alarm(struct run *r) {
    const double left = (1 + OVERTIME) * time_of(r) - r->p.seconds;
    if (time_of(r) > 0 && r->pace.accum)
        heartbeat_alarm(r->opts.clock, r->pace.begin + r->pace.aside + left, ring, r);
}

void run_pace_begin(struct run *r, int64_t accum) {
    r->pace = (struct pace){.begin = heartbeat_clock(r->opts.clock), .accum = accum};
    set_alarm(r);
}

static void drop(struct run *r, int64_t micro, double spent, double left) {
    const struct run_event v = {.kind = RUN_DROPPED,
                                .done = micro,
                                .of = r->pace.accum,
                                .seconds = spent,
                                .to = left};
    r->pace.out_of_time = true;
    run_tell_amid(r, &v);
}

void run_pace_end(struct run *r, bool cancelled) {
    no_alarm(r);
    if (cancelled && r->pace.late && !r->pace.out_of_time && !r->pace.rc && !run_stopped(r))
        drop(r, r->pace.micro, run_pace_seconds(r), NAN);
    run_undrop(r);
}

double run_pace_seconds(const struct run *r) {
    const double s = heartbeat_clock(r->opts.clock) - r->pace.begin - r->pace.aside;
    return s > 1e-6 ? s : 1e-6; /* rates are divided by it */
}

void run_hold(struct run *r) {
    no_alarm(r);
    r->pace.held = heartbeat_clock(r->opts.clock);
}

void run_go_on(struct run *r) {
    r->pace.aside += heartbeat_clock(r->opts.clock) - r->pace.held;
    set_alarm(r);
}

static void watch_time(struct run *r, int64_t micro, double spent) {
    const double over = r->p.seconds + spent - time_of(r);
    const double left = spent / (double)micro * (double)(r->pace.accum - micro);
    if (over <= 0 || over + left <= OVERTIME * time_of(r)) return;
    drop(r, micro, spent, left);
    run_drop(r);
}

void run_pace_micro(struct run *r, int64_t micro) {
    struct pace *p = &r->pace;
    const struct run_event begins = {.kind = RUN_MICRO, .done = micro, .of = p->accum};
    p->micro = micro;
    run_tell_amid(r, &begins);
    if (!micro || p->rc) return;
    const double spent = run_pace_seconds(r);
    if (time_of(r) > 0) watch_time(r, micro, spent);
    if (spent < LONG_UPDATE || p->out_of_time) return;
    const struct run_event slow = {
        .kind = RUN_SLOW, .done = micro, .of = p->accum, .seconds = spent / (double)micro};
    run_tell_amid(r, &slow);
}

int run_pace_stops(struct run *r, struct err *e) {
    const double all = heartbeat_stopped(r->opts.clock), more = all - r->stopped;
    if (more < 0.05) return 0;
    r->stopped = all;
    return run_tell(r, &(struct run_event){.kind = RUN_PAUSED, .seconds = more}, e);
}
