/* Options that were given and would change nothing. */
#include "train_opts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* On the command line: a file, such as a run's config.json, holds every option. */
static bool was_given(const struct conf *conf, const char *name) {
    return conf_given(conf, name) && !conf_from_file(conf, name);
}

/* The first of some options, ended by NULL, that was given, on "no effect". */
static int no_effect(const struct conf *conf, const char *const *names, struct err *e,
                     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int no_effect(const struct conf *conf, const char *const *names, struct err *e,
                     const char *fmt, ...) {
    char where[160];
    va_list ap;
    while (*names && !was_given(conf, *names)) names++;
    if (!*names) return 0;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_USAGE, "--%s has no effect %s", *names, where);
}

static int check_rates(const struct train_setup *s, const struct conf *conf, struct err *e) {
    static const char *const share[] = {"decay-share", NULL}, *const least[] = {"min-lr", NULL},
                             *const eps[] = {"adam-eps", NULL},
                             *const beta2[] = {"matrix-beta2", NULL};
    int rc = 0;
    const char *schedule = sched_name(s->sched.kind);
    if (s->sched.kind != SCHED_wsd) TRY(no_effect(conf, share, e, "on schedule %s", schedule));
    if (s->sched.kind == SCHED_constant) TRY(no_effect(conf, least, e, "on schedule constant"));
    if (!s->optimizer->eps && !s->optimizer_matrix->eps)
        TRY(no_effect(conf, eps, e, "on optimizer %s", s->optimizer->name));
    if (s->optimizer_matrix == opt_find("muon") && !s->hyper.muon.normalise)
        TRY(no_effect(conf, beta2, e, "on optimizer muon without --muon-normalise"));
out:
    return rc;
}

/* What is said to be off may well be off. */
static int check_frozen(const struct train_opts *o, const struct conf *conf, struct err *e) {
    const struct {
        const char *name[2];
        double value, off;
        bool norms;
    } rows[] = {{{"weight-decay"}, o->decay_matrix, 0, false},
                {{"embed-decay"}, o->decay_embed, 0, false},
                {{"embed-lr"}, o->lr_embed, 1, false},
                {{"head-lr"}, o->lr_head, -1, false},
                {{"matrix-lr"}, o->lr_matrix < 0 ? 1 : o->lr_matrix, 1, false},
                {{"matrix-beta1"}, o->beta1_matrix, -1, false},
                {{"matrix-beta2"}, o->beta2_matrix, -1, false},
                {{"norm-decay"}, o->decay_norm, 0, true},
                {{"norm-lr"}, o->lr_norm, 1, true}};
    static const char *const matrix[] = {"optimizer-matrix", NULL};
    const char *frozen = "with --lora, which freezes these weights";
    int rc = 0;
    if (o->lora_rank && strcmp(o->optimizer_matrix, "auto"))
        TRY(no_effect(conf, matrix, e, "%s", frozen));
    for (size_t i = 0; o->lora_rank && i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value != rows[i].off && !(rows[i].norms && o->lora_norms))
            TRY(no_effect(conf, rows[i].name, e, "%s%s", frozen,
                          rows[i].norms ? ": give --lora-norms" : ""));
out:
    return rc;
}

/* Later, a run that goes on may keep its finished model as the best whatever --val-every is. */
static int check_validation(const struct train_opts *o, const struct conf *conf, struct err *e) {
    static const char *const every[] = {"val-every", NULL},
                             *const other[] = {"val-windows", "full-vocab-loss", NULL},
                             *const best[] = {"keep-best", NULL};
    const bool none = o->task ? !o->task_eval : !o->val_data.n && o->val_fraction == 0;
    const char *what = o->task ? "without examples to validate on: give --task-eval FILE"
                               : "without data to validate on: give --val-data FILE, or a "
                                 "--val-fraction above 0";
    int rc = 0;
    if (none && o->val_every) TRY(no_effect(conf, every, e, "%s", what));
    if (none) TRY(no_effect(conf, other, e, "%s", what));
    if (!o->resume && o->keep_best && !o->val_every)
        TRY(no_effect(conf, best, e, "without validations on the way: give --val-every N"));
out:
    return rc;
}

/* A recorded clock says how long, whatever a file with the run's options says. */
static int check_clock(const struct train_opts *o, const struct conf *conf, struct err *e) {
    const struct {
        const char *name[2];
        bool off;
    } ends[] = {{{"time"}, o->time == 0},     {{"steps"}, !o->steps},
                {{"tokens"}, !o->tokens},     {{"epochs"}, o->epochs == 0},
                {{"flops"}, o->flops == 0},   {{"patience"}, !o->patience}};
    int rc = 0;
    for (size_t i = 0; o->clock && i < sizeof ends / sizeof *ends; i++)
        if (!ends[i].off)
            TRY(no_effect(conf, ends[i].name, e,
                          "with --clock: a run that repeats a recorded one is as long as that"));
out:
    return rc;
}

int train_check_effect(const struct train_setup *s, const struct train_opts *o,
                       const struct conf *conf, struct err *e) {
    int rc;
    TRY(check_rates(s, conf, e));
    TRY(check_frozen(o, conf, e));
    TRY(check_validation(o, conf, e));
    TRY(check_clock(o, conf, e));
out:
    return rc;
}

int train_check_head(bool tied, const struct conf *conf, struct err *e) {
    static const char *const head[] = {"head-lr", NULL};
    return tied ? no_effect(conf, head, e, "on a model whose classifier is its embedding") : 0;
}
