/* What -1 and auto stand for, written down. */
#include "train_opts.h"

#include <string.h>

static void put(double *option, double value) {
    if (*option < 0) *option = value;
}

static void put_word(const char **option, const char *value) {
    if (!strcmp(*option, "auto")) *option = value;
}

void train_opts_resolve(struct train_opts *o, const struct train_setup *s) {
    put_word(&o->optimizer, s->optimizer->name);
    put_word(&o->compute, dtype_row(s->compute)->name);
    put_word(&o->schedule, sched_name(s->sched.kind));
    if (o->warmup < 0) o->warmup = s->sched.warmup;
    if (!s->find_lr) put(&o->lr, s->lr);
    const struct opt_rule *rest = s->hyper.of + ROLE_norm, *matrix = s->hyper.of + ROLE_matrix;
    const bool both = s->optimizer_matrix != s->optimizer;
    if (s->optimizer->beta1 > 0) put(&o->beta1, rest->beta1);
    if (s->optimizer->beta2 > 0) put(&o->beta2, rest->beta2);
    if (both && s->optimizer_matrix->beta1 > 0) put(&o->beta1_matrix, matrix->beta1);
    if (both && s->optimizer_matrix->beta2 > 0) put(&o->beta2_matrix, matrix->beta2);
    if (!both || !s->find_lr) put(&o->lr_matrix, matrix->lr_factor);
    put(&o->clip, s->hyper.clip);
    put(&o->decay_matrix, matrix->decay);
    if (o->lora_rank) put(&o->lora_alpha, s->lora.alpha);
    if (!s->estimator) return;
    put_word(&o->estimator, s->estimator->name);
    put(&o->eps, s->eps);
    if (o->directions < 0 && !s->estimator->per_example) o->directions = s->directions;
    if (!s->direction->factors) return;
    o->direction_rank = s->direction_rank;
    o->direction_every = s->direction_every;
}

void train_opts_old(struct train_opts *o, const struct conf *conf) {
    const struct engine_kind *engine = engine_find(o->engine);
    const struct zo_kind *k = zo_find(o->estimator);
    if (engine->backward) { /* MeZO's defaults stood there, without a meaning */
        if (!strcmp(o->estimator, "spsa") && conf_from_file(conf, "estimator"))
            o->estimator = "auto";
        if (o->directions == 1 && conf_from_file(conf, "directions")) o->directions = -1;
        return;
    }
    if (k && k->per_example && o->directions == 1 && conf_from_file(conf, "directions"))
        o->directions = -1;
    const bool lora = o->lora_rank > 0;
    if (o->lr == -1 && k && conf_from_file(conf, "lr")) {
        const char *name = strcmp(o->optimizer, "auto") ? o->optimizer : engine->optimizer;
        const struct opt_kind *opt = opt_find(name);
        const double beta1 = o->beta1 < 0 ? opt->beta1 : o->beta1;
        o->lr = opt->normalises ? opt->lr / 100 : k->old_lr[lora] * (1 - beta1);
    }
    if (o->eps == -1 && k && conf_from_file(conf, "eps")) o->eps = k->eps[lora];
    if (!strcmp(o->schedule, "auto") && conf_from_file(conf, "schedule")) o->schedule = "constant";
}
