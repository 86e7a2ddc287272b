/* What a run says of its updates: the line on the terminal, the lines of its log. */
#include "trainer_impl.h"

#include "clock.h"
#include "limit.h"
#include "num.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Seconds after which the first update's line comes at once where stderr is no terminal. */
#define FIRST_LINE 1.0
enum { SPARK_LEAST = 6, SPARK_MOST = 24 };

/* ---- the curve ------------------------------------------------------------------------------- */

/* Losses of the whole run in a bounded number of points: when they are full, two become one. */
static void add_to_curve(struct curve *c, double loss) {
    if (!c->each) c->each = 1;
    c->sum += loss;
    if (++c->open < c->each) return;
    c->point[c->n++] = c->sum / (double)c->open;
    c->sum = 0;
    c->open = 0;
    if (c->n < CURVE_POINTS) return;
    c->n /= 2;
    for (int i = 0; i < c->n; i++) c->point[i] = (c->point[2 * i] + c->point[2 * i + 1]) / 2;
    c->each *= 2;
}

/* ---- the line -------------------------------------------------------------------------------- */

enum line_part { STEP, MICRO, RATE, LR, LOSS, VAL, WORSE, CURVE, PEAK, LEFT, N_PARTS };

/* "step   640/1,357"; "step   640/~1,400" where the time decides, or updates grow. */
static void put_step(struct trainer *t, char *out, size_t size) {
    char now[32], all[32];
    const struct train_opts *o = t->opts;
    const double done = trainer_progress(t), steps = done > 0 ? (double)t->p->step / done : 0;
    const bool exact = o->clock || (!(o->time > 0) && (o->steps || !o->accum_end));
    int64_t total = exact ? (int64_t)ceil(steps - 1e-6) : llround(steps);
    if (o->steps && (!total || total > o->steps)) total = o->steps;
    if (o->clock) total = t->recorded.updates;
    num_count((long long)total, all);
    num_count((long long)t->p->step, now);
    if (!total)
        snprintf(out, size, "step %s", now);
    else
        snprintf(out, size, "step %*s/%s%s", (int)strlen(all), now, exact ? "" : "~", all);
}

static void put_val(const struct trainer *t, char *out, size_t size) {
    const struct validation *v = &t->run->last_val;
    *out = '\0';
    if (t->run->last_val_step < 0) return;
    if (isfinite(v->accuracy))
        snprintf(out, size, "val %.1f %%", 100 * v->accuracy);
    else if (isfinite(v->text.loss))
        snprintf(out, size, "val %.3f", v->text.loss);
}

static void put_speed(struct trainer *t, struct term_part *rate, struct term_part *peak) {
    char n[32];
    const double tps = t->shown.tokens_per_second;
    if (!(tps > 0)) return;
    snprintf(rate->text, sizeof rate->text, "%s tokens/s", num_count(llround(tps), n));
    const double each = t->run->batch_flops / (double)(t->opts->batch * t->seq);
    if (t->peak > 0 && each > 0)
        snprintf(peak->text, sizeof peak->text, "%.0f %% of peak", 1e-7 * tps * each / t->peak);
}

static void put_left(struct trainer *t, char *out, size_t size) {
    char text[32];
    const double done = trainer_progress(t), end = t->opts->stop_at > 0 ? t->opts->stop_at : 1;
    if (done > 0 && done <= end)
        snprintf(out, size, "%s left", log_duration(t->p->seconds * (end - done) / done, text));
}

static void show(struct trainer *t, const char *micro) {
    /* The ranks: what 80 columns can spare goes first. */
    struct term_part p[N_PARTS] = {[RATE] = {.rank = 3}, [LR] = {.rank = 5},  [VAL] = {.rank = 2},
                                   [WORSE] = {.rank = 1}, [CURVE] = {.rank = 4},
                                   [PEAK] = {.rank = 6},  [LEFT] = {.rank = 1}};
    char number[32], line[256];
    const bool curve = t->line.tty && t->shown.curve.n > 1;
    const int columns = t->line.tty ? term_columns(STDERR_FILENO) - 1 : 1000;
    put_step(t, p[STEP].text, sizeof p[STEP].text);
    snprintf(p[MICRO].text, sizeof p[MICRO].text, "%s", micro);
    put_speed(t, p + RATE, p + PEAK);
    if (t->p->step) {
        snprintf(p[LR].text, sizeof p[LR].text, "lr %s", num_rate(t->shown.lr, number));
        snprintf(p[LOSS].text, sizeof p[LOSS].text, "loss %.3f", t->p->ema);
    }
    put_val(t, p[VAL].text, sizeof p[VAL].text);
    if (val_change_risen(&t->run->change))
        snprintf(p[WORSE].text, sizeof p[WORSE].text, "worse than at its start");
    put_left(t, p[LEFT].text, sizeof p[LEFT].text);
    const struct curve *c = &t->shown.curve;
    int width = 0;
    if (curve) {
        term_spark(c->point, c->n, SPARK_LEAST, term_utf8(), p[CURVE].text, sizeof p[CURVE].text);
        width = term_join(p, N_PARTS, columns, line, sizeof line);
        /* It takes what room the others leave. */
        const int room = SPARK_LEAST + columns - width;
        term_spark(c->point, c->n, room < SPARK_MOST ? room : SPARK_MOST, term_utf8(),
                   p[CURVE].text, sizeof p[CURVE].text);
    }
    term_join(p, N_PARTS, columns, line, sizeof line);
    log_progress_show(&t->line, true, "%s", line);
}

static bool first_is_due(const struct trainer *t) {
    return !t->line.shown && clock_seconds() - t->shown.begin > FIRST_LINE;
}

void trainer_show_begin(struct trainer *t) {
    log_begin(&t->line);
    t->shown.begin = clock_seconds();
    if (!t->line.quiet && t->line.tty) show(t, "first update");
}

void trainer_show_micro(struct trainer *t, const struct run_event *v) {
    char text[64], a[32], b[32];
    if (t->line.quiet || (!log_progress_due(&t->line) && !first_is_due(t))) return;
    snprintf(text, sizeof text, "micro-batch %s/%s, %.2g s each",
             num_count((long long)v->done + 1, a), num_count((long long)v->of, b), v->seconds);
    show(t, text);
    t->shown.micro = true;
}

/* ---- the log --------------------------------------------------------------------------------- */

/* ,"name":[1.5,2] of the blocks that have such a peak. */
static void put_peaks(const char *name, const float *x, int n, float none, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, ",\"%s\":[", name);
    const char *comma = "";
    for (int b = 0; b < n && used + 32 < size; b++) {
        if (x[b] == none) continue;
        used += (size_t)snprintf(out + used, size - used, "%s%.4g", comma, (double)x[b]);
        comma = ",";
    }
    snprintf(out + used, size - used, "]");
}

/* Milliseconds of an update by part, over the updates since the last line. */
static void put_parts(struct trainer *t, char *out, size_t size) {
    const struct engine_report now = engine_report(&t->run->engine), *old = &t->shown.report;
    const double ms = 1e3 / (double)(t->shown.updates ? t->shown.updates : 1);
    snprintf(out, size,
             "\"pack\":%.4g,\"gemm\":%.4g,\"lora\":%.4g,\"attention\":%.4g,\"classifier\":%.4g,"
             "\"update\":%.4g,\"rest\":%.4g",
             ms * (now.pack - old->pack), ms * (now.gemm - old->gemm), ms * (now.lora - old->lora),
             ms * (now.attention - old->attention), ms * (now.classifier - old->classifier),
             ms * (now.update - old->update), ms * (now.rest - old->rest));
    t->shown.report = now;
    t->shown.updates = 0;
}

/* The kernel may take a tenth of a millisecond to say it: it is asked once a second. */
static double peak_rss(struct shown *v) {
    const double now = clock_seconds();
    if (v->rss > 0 && now - v->rss_asked < 1) return v->rss;
    v->rss_asked = now;
    return v->rss = in_mb(clock_peak_rss());
}

enum { PEAKS_TEXT = 8192 };

static void log_step(struct trainer *t, const struct engine_step *s) {
    char act[PEAKS_TEXT] = "", logit[PEAKS_TEXT] = "", parts[256];
    const struct exec_peaks *k = &t->run->engine.peaks;
    if (t->run->watched) {
        put_peaks("max_activation", k->activation, k->n, -1, act, sizeof act);
        put_peaks("max_logit", k->logit, k->n, -INFINITY, logit, sizeof logit);
    }
    put_parts(t, parts, sizeof parts);
    log_lines_write(
        &t->log,
        "{\"event\":\"step\",\"step\":%lld,\"loss\":%.6f,\"lr\":%.6g,\"grad_norm\":%.6g,"
        "\"tokens\":%lld%s%s,\"seconds\":%.3f,\"tokens_per_second\":%.1f,\"ms\":{%s},"
        "\"peak_rss_mb\":%.1f}",
        (long long)t->p->step, t->p->log_loss / (double)t->p->log_steps, s->lr, s->grad_norm,
        (long long)t->p->tokens, act, logit, t->p->seconds,
        (double)t->p->log_tokens / t->p->log_seconds, parts, peak_rss(&t->shown));
}

/* ---- an update ------------------------------------------------------------------------------- */

void trainer_tell(struct trainer *t, const struct engine_step *s, int64_t tokens, double seconds) {
    const double begin = clock_seconds();
    struct shown *v = &t->shown;
    const double tps = (double)tokens / seconds;
    v->tokens_per_second = v->tokens_per_second > 0 ? 0.95 * v->tokens_per_second + 0.05 * tps
                                                    : tps;
    v->lr = s->lr;
    v->updates++;
    add_to_curve(&v->curve, s->loss);
    if (t->p->step % t->opts->log_every == 0) {
        if (t->p->step > t->logged) log_step(t, s);
        t->p->log_loss = t->p->log_seconds = 0;
        t->p->log_steps = t->p->log_tokens = 0;
    }
    if (!t->line.quiet && (v->micro || log_progress_due(&t->line) || first_is_due(t)))
        show(t, "");
    v->seconds += clock_seconds() - begin;
}
