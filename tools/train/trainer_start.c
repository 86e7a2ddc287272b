/* What a run says of itself before its first update. */
#include "trainer_impl.h"

#include "config_refuse.h"
#include "limit.h"
#include "num.h"
#include "usual_peak.h"

#include <stdarg.h>
#include <string.h>

enum { WIDTH = 79 };

/* Facts with ", " between them, in lines that fit a narrow terminal. */
__attribute__((format(printf, 2, 3))) static void say(struct trainer *t, const char *fmt, ...) {
    char text[512], part[520], *line = text;
    const bool first = !t->shown.described;
    t->shown.described = true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (const char *indent = ""; *line; indent = "  ") {
        const int room = WIDTH - (int)strlen(indent);
        char *end = line + term_cut(line, room), *cut = end;
        if (*end) { /* behind the last comma that fits, else the first */
            while (cut > line && (cut[-1] != ' ' || cut < line + 2 || cut[-2] != ',')) cut--;
            if (cut == line && (cut = strstr(line, ", "))) cut += 2;
            if (!cut) cut = line + strlen(line);
        }
        snprintf(part, sizeof part, "%s%.*s", indent, (int)(cut - line - (*cut && cut[-1] == ' ')),
                 line);
        if (first)
            log_note(&t->line, "%s", part);
        else /* secondary */
            log_mark(&t->line, TERM_DIM, part, "%s", "");
        line = cut;
    }
}

/* The schedule runs over the new length. */
static void say_rate(struct trainer *t) {
    const struct sched *s = &t->setup.sched;
    const double end = t->setup.lr * t->p->lr_scale * sched_factor(s, t->p->step, 1),
                 now = t->setup.lr * t->p->lr_scale *
                       sched_factor(s, t->p->step, trainer_progress(t));
    if (t->ended.num_steps == t->p->step && !t->ended.stopped && now > end)
        log_note(&t->line,
                 "the schedule is that of the longer run: the learning rate is %.3g again, "
                 "not %.3g as at the end",
                 now, end);
}

/* What was decided where nothing was said: the same values as in config.json. */
static void describe_setup(struct trainer *t) {
    const struct train_setup *s = &t->setup;
    const struct train_opts *o = t->opts;
    char zo[128] = "", warmup[48] = "", clip[48] = "", decay[48] = "";
    if (s->estimator) {
        const struct zo_shape shape = {
            .directions = s->directions, .batch = o->batch, .accum = o->accum};
        const long long n = s->estimator->directions(&shape);
        snprintf(zo, sizeof zo, "%s, %lld direction%s an update, eps %g; ", s->estimator->name, n,
                 n == 1 ? "" : "s", s->eps);
    }
    if (s->sched.warmup)
        snprintf(warmup, sizeof warmup, ", warm-up %lld", (long long)s->sched.warmup);
    if (s->hyper.clip > 0) snprintf(clip, sizeof clip, ", clip %g", s->hyper.clip);
    const struct opt_rule *matrix = s->hyper.of + ROLE_matrix;
    if (!s->lora.rank && matrix->decay > 0)
        snprintf(decay, sizeof decay, ", weight decay %g", matrix->decay);
    char lr[32], optimizer[64], factor[48] = "";
    if (s->optimizer_matrix != s->optimizer)
        snprintf(factor, sizeof factor, " (matrices times %.4g)", matrix->lr_factor);
    say(t, "%s%s, lr %s%s%s, %s%s%s%s", zo, train_optimizer_text(s, optimizer),
        num_rate(s->lr, lr), factor, s->find_lr ? " (measured)" : "", o->schedule, warmup, clip,
        decay);
}

/* What was passed over when the model's file was read: lines. */
static void say_notes(struct trainer *t) {
    for (const char *at = t->model.notes, *end; at && *at; at = end + 1) {
        end = strchr(at, '\n');
        log_warn(&t->line, "%.*s", (int)(end - at), at);
    }
}

void trainer_describe(struct trainer *t) {
    const struct model_config *c = &t->model.config;
    char data[64], trained[64] = "", unknown[600], n[32];
    const int64_t all = model_param_count(&t->model), some = model_trained_count(&t->model);
    if (some != all)
        snprintf(trained, sizeof trained, ", %s of them trained (%.2f %%)",
                 num_count((long long)some, n), 100 * (double)some / (double)all);
    if (t->opts->task)
        snprintf(data, sizeof data, "%lld examples", (long long)t->task.n);
    else
        snprintf(data, sizeof data, "%.2f M training tokens",
                 (double)(t->train.end - t->train.begin) * 1e-6);
    log_progress_end(&t->line);
    say(t, "%s: %s, %lld layers of %lld, vocabulary %s, %.2f M parameters%s", t->dir, c->arch,
        (long long)c->layers, (long long)c->dim, num_count((long long)c->vocab, n),
        (double)all * 1e-6, trained);
    say(t, "%s, %.1f MB planned, GEMM peak %.0f GFLOP/s (%s, %s)", data, in_mb(t->memory.total),
        t->peak, t->machine.gemm->backend->name, dtype_row(t->machine.gemm->compute)->name);
    if (usual_peak_missed(t->peak, t->usual_peak))
        log_warn(&t->line,
                 "warning: GEMM peak %.0f GFLOP/s, usually %.0f: the machine is busy; figures of "
                 "time will not compare",
                 t->peak, t->usual_peak);
    describe_setup(t);
    if (t->opts->clock)
        say(t, "repeats a recorded clock, %lld updates", (long long)t->recorded.updates);
    if (t->opts->stop_at > 0) say(t, "stops at %.4g of the run", t->opts->stop_at);
    if (t->model.full_id)
        say(t, "vocabulary compacted from %lld to %lld ids that occur",
            (long long)t->model.full_vocab, (long long)c->vocab);
    if (c->assumed && !t->p->step) log_warn(&t->line, "%s", c->assumed);
    if (!t->p->step) say_notes(t);
    if (!t->p->step && config_unknown_note(c->json, unknown, sizeof unknown))
        log_warn(&t->line, "%s", unknown);
    if (t->p->step) {
        say(t, "resuming at step %lld", (long long)t->p->step);
        say_rate(t);
    }
    char matrix[64] = "";
    if (t->setup.optimizer_matrix != t->setup.optimizer)
        snprintf(matrix, sizeof matrix, "\"optimizer_matrix\":\"%.20s\",",
                 t->setup.optimizer_matrix->name);
    if (!t->p->step)
        log_lines_write(&t->log,
                        "{\"event\":\"start\",\"params\":%lld,\"trained_params\":%lld,"
                        "\"train_tokens\":%llu,\"gemm_peak_gflops\":%.1f,\"planned_mb\":%.1f,"
                        "\"optimizer\":\"%s\",%s\"lr\":%.9g,\"lr_measured\":%s}",
                        (long long)all, (long long)some,
                        (unsigned long long)(t->train.end - t->train.begin), t->peak,
                        in_mb(t->memory.total), t->setup.optimizer->name, matrix, t->setup.lr,
                        t->setup.find_lr ? "true" : "false");
}
