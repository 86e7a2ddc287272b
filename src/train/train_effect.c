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
                             *const eps[] = {"adam-eps", NULL};
    int rc = 0;
    const char *schedule = sched_name(s->sched.kind);
    if (s->sched.kind != SCHED_wsd) TRY(no_effect(conf, share, e, "on schedule %s", schedule));
    if (s->sched.kind == SCHED_constant) TRY(no_effect(conf, least, e, "on schedule constant"));
    if (strcmp(s->optimizer->name, "adamw"))
        TRY(no_effect(conf, eps, e, "on optimizer %s", s->optimizer->name));
out:
    return rc;
}

static int check_frozen(const struct train_opts *o, const struct conf *conf, struct err *e) {
    static const char *const frozen[] = {"weight-decay", "embed-decay", "embed-lr", "matrix-lr",
                                         NULL},
                             *const norms[] = {"norm-decay", "norm-lr", NULL};
    int rc = 0;
    if (!o->lora_rank) return 0;
    TRY(no_effect(conf, frozen, e, "with --lora, where these weights are frozen"));
    if (!o->lora_norms) TRY(no_effect(conf, norms, e, "with --lora but without --lora-norms"));
out:
    return rc;
}

/* Later, a run that goes on may keep its finished model as the best whatever --val-every is. */
static int check_validation(const struct train_opts *o, const struct conf *conf, struct err *e) {
    static const char *const all[] = {"val-every", "val-windows", "patience", "full-vocab-loss", NULL},
                             *const best[] = {"keep-best", NULL};
    int rc = 0;
    if (o->task && !o->task_eval)
        TRY(no_effect(conf, all, e, "without examples to validate on: give --task-eval FILE"));
    if (!o->task && !o->val_data.n && o->val_fraction == 0)
        TRY(no_effect(conf, all, e,
                      "without data to validate on: give --val-data FILE, or a --val-fraction "
                      "above 0"));
    if (!o->resume && o->keep_best && !o->val_every)
        TRY(no_effect(conf, best, e, "without validations on the way: give --val-every N"));
out:
    return rc;
}

int train_check_effect(const struct train_setup *s, const struct train_opts *o,
                       const struct conf *conf, struct err *e) {
    int rc;
    TRY(check_rates(s, conf, e));
    TRY(check_frozen(o, conf, e));
    TRY(check_validation(o, conf, e));
out:
    return rc;
}
