#include "data_show.h"

#include "num.h"

#include <stdio.h>

struct show {
    struct log_progress line;
    const char *name;
};

static void progress(void *ctx, uint64_t done, uint64_t total) {
    struct show *s = ctx;
    char doing[288];
    snprintf(doing, sizeof doing, "tokenizing %s", s->name);
    log_bar(&s->line, doing, done, total, "MB");
}

static void built(void *ctx, const struct shard_stats *stats) {
    struct show *s = ctx;
    char did[320], n[32];
    snprintf(did, sizeof did, "tokenized %s: %s tokens from", s->name,
             num_count((long long)stats->tokens, n));
    log_bar_end(&s->line, did, stats->bytes, "MB");
}

static void warning(void *ctx, const char *text) {
    struct show *s = ctx;
    log_warn(&s->line, "%s", text);
}

int data_show_open(struct dataset *d, const struct dataset_opts *o, bool quiet, struct err *e) {
    char room[256];
    struct show s = {.name = dataset_name(&o->data, room)};
    struct dataset_opts shown = *o;
    shown.progress = progress;
    shown.built = built;
    shown.warn = warning;
    shown.ctx = &s;
    log_progress_init(&s.line, quiet);
    const int rc = dataset_open(d, &shown, e);
    log_progress_end(&s.line);
    return rc;
}

void data_say_shortened(const struct task *t, const char *path, int64_t context,
                        struct log_progress *line) {
    char advice[96] = "the model is made for no more";
    if (!t->shortened) return;
    if (t->T < context)
        snprintf(advice, sizeof advice,
                 "--seq N takes more, up to the %lld that the model is made for",
                 (long long)context);
    log_warn(line,
             "%s: %lld of %lld prompts are longer than %lld tokens (the longest has %lld) and lose "
             "tokens of their columns; %s",
             path, (long long)t->shortened, (long long)t->n, (long long)t->T,
             (long long)t->max_len, advice);
}
