/* Within an update, mostly between its micro-batches: what is shown of a long one, a checkpoint that
 * was asked for, and whether the time that is left suffices. */
#include "trainer_impl.h"

#include "heartbeat.h"
#include "stop.h"

/* An update that the end of --time finds unfinished is finished if that takes at most this share of
 * --time longer; else it is dropped. */
#define OVERTIME 0.1
/* Updates of less seconds show no micro-batches. */
#define LONG_UPDATE 0.3

/* On the thread of the heartbeat. */
static void ring(void *ctx) {
    struct pace *p = ctx;
    p->late = true;
    stop_cancel();
}

/* The end of what --time allows the update may come within a micro-batch: then the walk over the
 * ops ends. */
static void set_alarm(struct trainer *t) {
    const double left = (1 + OVERTIME) * t->opts->time - t->p.seconds;
    if (t->opts->time > 0 && t->pace.accum)
        heartbeat_alarm(t->pace.begin + t->pace.aside + left, ring, &t->pace);
}

void pace_begin(struct trainer *t, int64_t accum) {
    t->pace = (struct pace){.begin = heartbeat_clock(), .accum = accum};
    set_alarm(t);
}

static void drop(struct trainer *t, int64_t micro, double spent) {
    log_lines_write(&t->log,
                    "{\"event\":\"dropped\",\"step\":%lld,\"micro_batches\":%lld,\"of\":%lld,"
                    "\"seconds\":%.3f}",
                    (long long)t->p.step, (long long)micro, (long long)t->pace.accum, spent);
    t->pace.out_of_time = true;
}

void pace_end(struct trainer *t, bool cancelled) {
    heartbeat_alarm(0, NULL, NULL);
    stop_go_on();
    if (!cancelled || !t->pace.late || t->pace.out_of_time || t->pace.rc || stop_asked()) return;
    const double spent = pace_seconds(t);
    log_note(&t->line,
             "the time is used up within micro-batch %lld of %lld of update %lld, since %.3g s: it "
             "is dropped",
             (long long)t->pace.micro + 1, (long long)t->pace.accum, (long long)t->p.step + 1,
             t->p.seconds + spent - t->opts->time);
    drop(t, t->pace.micro, spent);
}

double pace_seconds(const struct trainer *t) {
    const double s = heartbeat_clock() - t->pace.begin - t->pace.aside;
    return s > 1e-6 ? s : 1e-6; /* rates are divided by it */
}

/* The weights and all counters are those before the update until it is whole. */
static void save_now(struct trainer *t) {
    const double begin = heartbeat_clock();
    heartbeat_alarm(0, NULL, NULL);
    t->pace.rc = t->saved_step == t->p.step ? 0 : trainer_save(t, false, &t->pace.e);
    if (t->pace.rc)
        stop_cancel();
    else
        log_note(&t->line, "saved at step %lld", (long long)t->p.step);
    t->pace.aside += heartbeat_clock() - begin;
    set_alarm(t);
}

/* Seconds that the rest of the update would take, from what `micro` micro-batches took. */
static double rest(const struct trainer *t, int64_t micro, double spent) {
    return spent / (double)micro * (double)(t->pace.accum - micro);
}

static void watch_time(struct trainer *t, int64_t micro, double spent) {
    const double over = t->p.seconds + spent - t->opts->time, left = rest(t, micro, spent);
    if (over <= 0 || over + left <= OVERTIME * t->opts->time) return;
    log_note(&t->line,
             "the time is used up after micro-batch %lld of %lld of update %lld; %.1f s more would "
             "finish it: it is dropped",
             (long long)micro, (long long)t->pace.accum, (long long)t->p.step + 1, left);
    drop(t, micro, spent);
    stop_cancel();
}

void pace_micro(struct trainer *t, int64_t micro) {
    t->pace.micro = micro;
    if (stop_save_asked()) save_now(t);
    if (!micro || t->pace.rc) return;
    const double spent = pace_seconds(t);
    if (t->opts->time > 0) watch_time(t, micro, spent);
    if (spent < LONG_UPDATE || t->pace.out_of_time) return;
    trainer_show_micro(t, micro, spent / (double)micro);
}

void pace_note_stops(struct trainer *t) {
    const double all = heartbeat_stopped(), more = all - t->stopped;
    if (more < 0.05) return;
    t->stopped = all;
    log_note(&t->line, "paused %.1f s, not counted", more);
    log_lines_write(&t->log, "{\"event\":\"pause\",\"step\":%lld,\"seconds\":%.3f}",
                    (long long)t->p.step, more);
}
