/* What a search takes, in words. */
#include "search_cost.h"

#include "log.h"
#include "term.h"

#include <math.h>
#include <string.h>

static const char *duration(double seconds, char buf[32]) {
    if (!(seconds < 10)) return log_duration(seconds, buf);
    snprintf(buf, 32, "%.1fs", seconds);
    return buf;
}

/* "2m to 9m, about 4m", or "2m". */
static const char *span(const struct cost_span *c, char buf[120]) {
    char from[32], to[32], about[32];
    duration(c->least, from);
    duration(c->most, to);
    if (strcmp(from, to))
        snprintf(buf, 120, "%s to %s, about %s", from, to, duration(c->usual, about));
    else
        snprintf(buf, 120, "%s", from);
    return buf;
}

static void print_trainings(const struct search_cost *c, FILE *out) {
    const double least = ceil(c->trainings.least - 1e-6), most = ceil(c->trainings.most - 1e-6);
    if (least < most)
        term_fact(out, "trainings", "%.0f to %.0f, about %.0f", least, most, c->trainings.usual);
    else
        term_fact(out, "trainings", "%.0f to %.0f", least, most);
}

static void print_time(const struct search *s, const struct search_cost *c, FILE *out) {
    const struct cost_span all = search_cost_seconds(c, s->file.jobs);
    char text[120];
    if (isnan(all.usual)) return;
    term_fact(out, "beside", "%s each: start, validation, evaluation", span(&c->beside, text));
    term_fact(out, "time", "%s", span(&all, text));
}

static void print_memory(const struct search_cost *c, FILE *out) {
    term_fact(out, "memory", "%.1f MB for the base", c->planned_mb);
    if (!isnan(c->least_mb))
        term_fact(out, "space", "%.1f to %.1f MB for %d other configurations", c->least_mb,
                  c->most_mb, c->asked);
    if (c->refused)
        term_fact(out, "refused", "%d of these %d: above %.1f MB, or not to be trained",
                  c->refused, c->asked, c->memory_mb);
}

static void print_disk(const struct search_cost *c, FILE *out) {
    char text[80] = "";
    if (c->tokens_mb > 0) snprintf(text, sizeof text, " (%.1f of them tokens)", c->tokens_mb);
    term_fact(out, "disk", "%.1f MB%s for each training of a trial that is kept, %.1f to %.1f MB "
              "in all",
              c->disk_mb, text, c->floor * c->disk_mb,
              ceil(c->trainings.most - 1e-6) * c->disk_mb);
}

const char *search_cost_warning(const struct search_cost *c, char text[400]) {
    char most[80] = "";
    if (!(c->rung < 1) || !(c->rung_updates <= c->warmup)) return NULL; /* NaN too */
    if (c->rung_updates > 1)
        snprintf(most, sizeof most, ", or a \"warmup\" of at most %.0f", c->rung_updates - 1);
    snprintf(text, 400,
             "halving compares trials after as few as %.0f updates (%.3g of the budget), and the "
             "warm-up takes up to %.0f, within which ranks say nothing of the end: give fewer "
             "\"rungs\", a smaller \"eta\" or a larger budget%s",
             c->rung_updates, c->rung, c->warmup, most);
    return text;
}

void search_cost_print(const struct search *s, const struct search_cost *c, FILE *out) {
#define X(name) #name,
    static const char *const units[] = {SEARCH_BUDGETS(X)};
#undef X
    const struct search_file *f = &s->file;
    char text[120], each[32];
    term_fact(out, "search", "%lld trials at most, %s, %zu axes, %lld at a time",
              (long long)f->trials, f->strategy.kind->name, f->space.n, (long long)f->jobs);
    snprintf(each, sizeof each, "%.6g %s", f->amount,
             f->budget == SEARCH_time ? "seconds" : units[f->budget]);
    if (isnan(c->training.usual))
        term_fact(out, "training", "%s, %.3g M parameters", each, c->num_params_M);
    else
        term_fact(out, "training", "%s, %.3g M parameters, %s", each, c->num_params_M,
                  span(&c->training, text));
    print_trainings(c, out);
    print_time(s, c, out);
    print_memory(c, out);
    if (!c->can_keep)
        term_fact(out, "keeps",
                  "none can be shown with %lld seeds at confidence %g in %lld trials: give more "
                  "\"seeds\"",
                  (long long)f->seeds, f->confidence, (long long)s->planned);
    print_disk(c, out);
}
