/* What a run is given, looked at before anything computes with it: its options, and each batch of
 * rows. */
#include "run_impl.h"

#include "choice.h"
#include "trajectory.h"

#include <math.h>

/* ---- options --------------------------------------------------------------------------------- */

static int missing(struct err *e, const char *field, const char *why) {
    return err_set(e, ERR_USAGE, "run options: %s is missing%s", field, why);
}

static int at_least(struct err *e, const char *field, int64_t have, int64_t least) {
    if (have >= least) return 0;
    return err_set(e, ERR_USAGE, "run options: %s is %lld, must be at least %lld", field,
                   (long long)have, (long long)least);
}

static int at_most(struct err *e, const char *field, int64_t have, int64_t most) {
    if (have <= most) return 0;
    return err_set(e, ERR_USAGE, "run options: %s is %lld, may be at most %lld", field,
                   (long long)have, (long long)most);
}

static int64_t most_accum(const struct run_opts *o) {
    return o->accum_end > o->accum ? o->accum_end : o->accum;
}

static int check_sizes(const struct run_opts *o, struct err *e) {
    int rc;
    const struct engine_opts *eo = &o->engine_opts;
    TRY(at_least(e, "engine_opts.batch", eo->batch, 1));
    TRY(at_least(e, "engine_opts.seq", eo->seq, 1));
    TRY(at_least(e, "accum", o->accum, 1));
    TRY(at_least(e, "accum_end", o->accum_end, 0));
out:
    return rc;
}

/* Whoever only repeats multiplies nothing. */
static int check_machine(const struct run_opts *o, struct err *e) {
    const struct machine *m = o->engine_opts.machine;
    if (!m) return missing(e, "engine_opts.machine", "");
    if (o->engine_opts.repeat && !run_val_seq(o)) return 0;
    for (int i = 0; i < GEMM_CLASSES; i++)
        if (!m->gemm[i].backend)
            return err_set(e, ERR_USAGE,
                           "run options: engine_opts.machine is idle: it has no way of products");
    return 0;
}

static int check_direction(const struct engine_opts *o, struct err *e) {
    int rc = 0;
    if (!o->direction || !o->direction->factors) return 0;
    TRY(at_least(e, "engine_opts.direction_rank", o->direction_rank, 1));
    TRY(at_most(e, "engine_opts.direction_rank", o->direction_rank, DIRECTION_MAX_RANK));
    TRY(at_least(e, "engine_opts.direction_every", o->direction_every, 1));
out:
    return rc;
}

static int check_directions(const struct engine_opts *o, int64_t accum, struct err *e) {
    const struct zo_kind *k = o->estimator;
    const struct zo_shape s = {
        .directions = o->directions, .batch = o->batch, .accum = accum, .eps = o->eps};
    const int64_t n = k->directions(&s), least = k->least > 1 ? k->least : 1;
    if (n >= least && n <= TRAJECTORY_MAX_DIRECTIONS) return 0;
    return err_set(e, ERR_USAGE,
                   "run options: %s makes %lld directions of an update, estimator %s takes %lld to "
                   "%d",
                   k->per_example ? "engine_opts.batch" : "engine_opts.directions", (long long)n,
                   k->name, (long long)least, TRAJECTORY_MAX_DIRECTIONS);
}

static int check_mezo(const struct run_opts *o, struct err *e) {
    int rc;
    const struct engine_opts *eo = &o->engine_opts;
    if (!eo->estimator) return missing(e, "engine_opts.estimator", ": engine mezo needs one");
    if (!(eo->eps > 0 && isfinite(eo->eps)))
        return err_set(e, ERR_USAGE, "run options: engine_opts.eps is %g, must be above 0",
                       eo->eps);
    if (most_accum(o) > eo->max_accum)
        return err_set(e, ERR_USAGE,
                       "run options: engine_opts.max_accum is %lld, and accum or accum_end asks "
                       "for %lld micro-batches",
                       (long long)eo->max_accum, (long long)most_accum(o));
    TRY(check_direction(eo, e));
    TRY(check_directions(eo, o->accum, e));
    TRY(check_directions(eo, most_accum(o), e));
out:
    return rc;
}

static int check_answers(const struct engine_opts *o, int64_t vocab, struct err *e) {
    if (o->n_answers < 1 || o->n_answers > CHOICE_MAX)
        return err_set(e, ERR_USAGE,
                       "run options: engine_opts.n_answers is %d, an objective takes 1 to %d",
                       o->n_answers, CHOICE_MAX);
    if (!o->answers) return missing(e, "engine_opts.answers", ": the objective needs them");
    for (int i = 0; i < o->n_answers; i++)
        if (o->answers[i] >= vocab)
            return err_set(e, ERR_USAGE,
                           "run options: engine_opts.answers has token %u, the model knows %lld",
                           o->answers[i], (long long)vocab);
    return 0;
}

static int check_objective(const struct run_opts *o, int64_t vocab, struct err *e) {
    const struct engine_opts *eo = &o->engine_opts;
    const struct objective *k = eo->objective;
    if (!k) return 0;
    if (o->engine->backward && !k->differentiable)
        return err_set(e, ERR_USAGE,
                       "run options: engine_opts.objective %s has no gradient, which engine %s "
                       "needs",
                       k->name, o->engine->name);
    if (!o->engine->backward && eo->estimator->per_example && k->of_batch)
        return err_set(e, ERR_USAGE,
                       "run options: engine_opts.objective %s is of a batch, and estimator %s sees "
                       "one example at a time",
                       k->name, eo->estimator->name);
    return eo->repeat ? 0 : check_answers(eo, vocab, e);
}

static int check_data(const struct run_opts *o, struct err *e) {
    const struct engine_opts *eo = &o->engine_opts;
    const struct run_data *d = &o->data;
    if (eo->repeat && o->engine->backward)
        return err_set(e, ERR_USAGE,
                       "run options: engine_opts.repeat is for engine mezo, not for %s",
                       o->engine->name);
    if (!d->text && !d->task && !d->fill)
        return eo->repeat ? 0 : missing(e, "data", ": an update needs text, task or fill");
    if (d->task && (!eo->objective || eo->n_answers != d->task->n_labels))
        return err_set(e, ERR_USAGE,
                       "run options: data.task needs engine_opts.objective, and its %d labels as "
                       "engine_opts.answers",
                       d->task->n_labels);
    if (d->task) return at_most(e, "data.task->T", d->task->T, eo->seq);
    if (d->text && eo->objective)
        return err_set(e, ERR_USAGE,
                       "run options: data.text has no labels for engine_opts.objective");
    if (d->text && d->text->T != eo->seq)
        return err_set(e, ERR_USAGE,
                       "run options: data.text->T is %lld, engine_opts.seq %lld: they must be "
                       "equal",
                       (long long)d->text->T, (long long)eo->seq);
    return 0;
}

int run_check_opts(const struct run_opts *o, const struct model *m, struct err *e) {
    int rc;
    if (!o->engine) return missing(e, "engine", "");
    TRY(check_sizes(o, e));
    TRY(check_machine(o, e));
    if (!o->engine->backward) TRY(check_mezo(o, e));
    TRY(check_objective(o, m->config.vocab, e));
    TRY(check_data(o, e));
out:
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int check_ids(const uint32_t *ids, int64_t n, int64_t vocab, struct err *e) {
    for (int64_t i = 0; i < n; i++)
        if (ids[i] >= vocab)
            return err_set(e, ERR_INPUT, "token id %u is outside the model's vocabulary of %lld",
                           ids[i], (long long)vocab);
    return 0;
}

int run_check_rows(const struct run *r, const struct engine_batch *b, struct err *e) {
    int rc;
    const struct engine_opts *o = &r->opts.engine_opts;
    const int64_t vocab = r->model->config.vocab;
    if (b->T < 1 || b->T > o->seq)
        return err_set(e, ERR_INPUT, "rows of %lld tokens, the run has room for 1 to %lld",
                       (long long)b->T, (long long)o->seq);
    TRY(check_ids(b->input, o->batch * b->T, vocab, e));
    if (!o->objective) TRY(check_ids(b->target, o->batch * b->T, vocab, e));
    for (int64_t i = 0; i < o->batch && o->objective; i++)
        if (b->pos[i] < 0 || b->pos[i] >= b->T || b->label[i] < 0 || b->label[i] >= o->n_answers)
            return err_set(e, ERR_INPUT,
                           "answer %d at position %d: the rows have %lld tokens, and there are %d "
                           "answers",
                           (int)b->label[i], (int)b->pos[i], (long long)b->T, o->n_answers);
out:
    return rc;
}
