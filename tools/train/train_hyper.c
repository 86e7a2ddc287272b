/* Which optimizers the parameters of a run follow, and with what numbers. Each kind has a rate and
 * betas of its own. --lr, --beta1 and --beta2 are those of --optimizer; where matrices follow
 * another one their rate is lr times a factor, so that one schedule and one recorded rate are of
 * both. */
#include "train_opts.h"

#include <stdio.h>
#include <string.h>

/* The rule of what is no matrix. */
static const struct opt_rule *rule_of_rest(const struct train_setup *s) {
    return s->hyper.of + ROLE_norm;
}

int train_check_optimizers(const struct train_setup *s, struct err *e) {
    const struct opt_kind *both[] = {s->optimizer, s->optimizer_matrix};
    for (int i = 0; i < 2; i++)
        if (both[i]->direction && !s->engine->backward)
            return err_set(
                e, ERR_USAGE,
                "optimizer %s takes the gradient of a whole matrix at once, and --engine "
                "%s keeps no gradient",
                both[i]->name, s->engine->name);
    if (s->optimizer->matrices_only)
        return err_set(e, ERR_USAGE,
                       "optimizer %s is for matrices only: give it as --optimizer-matrix",
                       s->optimizer->name);
    return 0;
}

static int check_betas(const struct opt_kind *k, const char *of, double beta1, double beta2,
                       struct err *e) {
    const bool one = beta1 >= 0 && !(k->beta1 > 0), two = beta2 >= 0 && !(k->beta2 > 0);
    return one || two ? err_set(e, ERR_USAGE, "--%sbeta%d has no effect on optimizer %s", of,
                                one ? 1 : 2, k->name)
                      : 0;
}

/* What mezo takes where nothing can be measured, and what it took before it measured its rate: the
 * estimator's for plain descent; an optimizer that normalises its step its own, smaller for noisier
 * gradients. */
enum { NOISY = 100 };

static double usual_rate(const struct train_setup *s, const struct opt_rule *r) {
    if (!s->estimator) return r->kind->lr;
    if (r->kind->normalises) return r->kind->lr / NOISY;
    return s->estimator->old_lr[s->lora.rank > 0] * (1 - r->beta1);
}

static void make_rules(struct train_setup *s, const struct train_opts *o) {
    const struct opt_kind *k = s->optimizer, *m = s->optimizer_matrix;
    const double factor[ROLE_COUNT] = {[ROLE_embed] = o->lr_embed,
                                       [ROLE_matrix] = o->lr_matrix,
                                       [ROLE_norm] = o->lr_norm,
                                       [ROLE_bias] = o->lr_norm,
                                       [ROLE_lora] = 1};
    const double decay[ROLE_COUNT] = {[ROLE_embed] = o->decay_embed,
                                      [ROLE_matrix] =
                                          o->decay_matrix < 0 ? s->engine->decay : o->decay_matrix,
                                      [ROLE_norm] = o->decay_norm,
                                      [ROLE_bias] = o->decay_norm,
                                      [ROLE_lora] = o->decay_lora};
    for (int r = 0; r < ROLE_COUNT; r++)
        s->hyper.of[r] = (struct opt_rule){.kind = k,
                                           .lr_factor = factor[r],
                                           .decay = decay[r],
                                           .beta1 = o->beta1 < 0 ? k->beta1 : o->beta1,
                                           .beta2 = o->beta2 < 0 ? k->beta2 : o->beta2};
    struct opt_rule *matrix = s->hyper.of + ROLE_matrix;
    if (m != k) {
        matrix->kind = m;
        matrix->beta1 = m->beta1;
        matrix->beta2 = m->beta2;
    }
    if (o->beta1_matrix >= 0) matrix->beta1 = o->beta1_matrix;
    if (o->beta2_matrix >= 0) matrix->beta2 = o->beta2_matrix;
}

static struct muon_opts muon_opts_of(const struct train_opts *o) {
    return (struct muon_opts){.polar = {(enum polar_kind)polar_find(o->muon_polynomial),
                                        (int)o->muon_steps},
                              .equalise = o->muon_equalise,
                              .rescale = o->muon_rescale,
                              .normalise = o->muon_normalise,
                              .cautious = o->cautious_decay};
}

int train_hyper_make(struct train_setup *s, const struct train_opts *o, struct err *e) {
    int rc;
    TRY(train_check_optimizers(s, e));
    TRY(check_betas(s->optimizer, "", o->beta1, o->beta2, e));
    TRY(check_betas(s->optimizer_matrix, "matrix-", o->beta1_matrix, o->beta2_matrix, e));
    s->hyper = (struct opt_hyper){.eps = o->adam_eps,
                                  .clip = o->clip < 0 ? s->engine->clip : o->clip,
                                  .head_factor = o->lr_head < 0 ? 0 : o->lr_head,
                                  .muon = muon_opts_of(o),
                                  .seed = (uint64_t)o->seed};
    make_rules(s, o);
    struct opt_rule *matrix = s->hyper.of + ROLE_matrix;
    const double usual = usual_rate(s, rule_of_rest(s));
    s->lr = o->lr < 0 ? usual : o->lr;
    s->own_factor = o->lr_matrix < 0;
    if (s->own_factor) matrix->lr_factor = usual_rate(s, matrix) / usual;
out:
    return rc;
}

const char *train_optimizer_text(const struct train_setup *s, char text[64]) {
    const char *name = s->optimizer->name, *matrix = s->optimizer_matrix->name;
    if (s->optimizer_matrix == s->optimizer) return name;
    snprintf(text, 64, "%.20s, %.20s for matrices", name, matrix);
    return text;
}
