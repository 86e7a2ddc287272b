#include "verify.h"

#include "data_show.h"
#include "eval.h"
#include "stories.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORIES_SEED = 7919, /* of nobody's training */
    STORIES_BYTES = 8192,
    WINDOW = 256,   /* tokens at most */
    BUILTIN = 1024, /* tokens of the built-in text */
    OF_TEXTS = 256  /* windows of a text that was named */
};

/* ---- logits --------------------------------------------------------------------------------- */

/* What merging does to logits in f32, as for other roundings of f32 (export.c). */
#define MERGE_BOUND 1e-4

static double bound_of(const struct verifier *v) {
    if (!v->report) return 1e-6;
    if (!v->merged) return v->report->exact ? -1 : v->report->bound;
    return v->report->exact ? MERGE_BOUND : fmax(MERGE_BOUND, v->report->bound);
}

static int judge(const struct verifier *v, struct err *e) {
    const struct compare *c = &v->c;
    const double bound = bound_of(v);
    if (!c->finite)
        return err_set(e, ERR_INPUT,
                       "verification failed, nothing is written: %s or %s computes logits that "
                       "are no numbers",
                       v->in.path, v->name);
    if (c->exact) return 0;
    if (bound < 0)
        return err_set(e, ERR_INPUT,
                       "verification failed, nothing is written: %s computes other logits than %s "
                       "(by %.3g), though no weight was rounded",
                       v->name, v->in.path, c->max_diff);
    if (!(c->max_diff <= bound * c->max_logit))
        return err_set(e, ERR_INPUT,
                       "verification failed, nothing is written: the logits of %s differ from "
                       "those of %s by %.3g, more than rounding explains (%.3g)",
                       v->name, v->in.path, c->max_diff, bound * c->max_logit);
    return 0;
}

/* ---- loss ----------------------------------------------------------------------------------- */

/* The tokens that both sides are measured on. */
struct measure {
    struct dataset d;    /* of texts that were named */
    struct tok_ids ids;  /* of the built-in one */
    struct shard builtin;
    const struct shard *shard;
    struct split split;
    uint64_t first; /* document */
    double *losses[2];
};

static void measure_close(struct measure *x) {
    dataset_close(&x->d);
    free(x->ids.ids);
    free(x->losses[0]);
    free(x->losses[1]);
}

/* What names one: "none" is of what is written only. */
static const char *tokenizer_of(const struct verifier *v) {
    return v->tokenizer && strcmp(v->tokenizer, "none") ? v->tokenizer : NULL;
}

static int open_builtin(struct measure *x, const struct verifier *v, const struct model *m,
                        struct err *e) {
    int rc;
    struct tokenizer *t = NULL;
    struct stories_doc d = {0};
    struct tok_bytes text = {0};
    TRY(model_pick_tokenizer(m, tokenizer_of(v), v->in.path, &t, e));
    for (uint64_t i = 0; text.n < STORIES_BYTES; i++) {
        TRY(stories_write(STORIES_SEED, i, &d, e));
        char *more = realloc(text.data, text.n + d.bytes);
        if (!more) {
            rc = err_set(e, ERR_NOMEM, "out of memory for a text");
            goto out;
        }
        memcpy(more + text.n, d.text, d.bytes);
        text.data = more;
        text.n += d.bytes;
    }
    TRY(tokenizer_encode_docs(t, v->machine->pool, text.data, text.n, &x->ids, NULL, e));
    x->builtin = (struct shard){.width = 4,
                                .vocab = (uint32_t)m->config.vocab,
                                .n_tokens = x->ids.n,
                                .n_docs = 1,
                                .tokens = x->ids.ids,
                                .docs = &x->first};
    x->shard = &x->builtin;
    for (size_t i = 0; i < x->ids.n; i++)
        if (x->ids.ids[i] >= m->config.vocab) x->shard = NULL; /* not this model's tokenizer */
out:
    free(text.data);
    stories_doc_release(&d);
    tokenizer_close(t);
    return rc;
}

static int open_texts(struct measure *x, const struct verifier *v, const struct model *m,
                      struct err *e) {
    int rc;
    const struct dataset_opts o = {.data = *v->data,
                                   .format = "auto",
                                   .tokenizer = tokenizer_of(v),
                                   .own = model_tok_own(m),
                                   .raw_vocab = (uint32_t)m->config.vocab,
                                   .pool = v->machine->pool};
    TRY(data_show_open(&x->d, &o, true, e));
    if (x->d.tokenizer) TRY(model_check_tokenizer(m, x->d.tokenizer, v->in.path, e));
    x->shard = &x->d.shard;
out:
    return rc;
}

/* Windows of the training length, shorter where the text is. */
static int cut(struct measure *x, struct verifier *v, const struct model *m, struct err *e) {
    struct verify_loss *l = &v->loss;
    const bool named = v->data->n > 0;
    const int64_t all = model_config_context(&m->config);
    const int64_t n = (int64_t)x->shard->n_tokens - 1;
    if (n < 1)
        return err_set(e, ERR_INPUT, "--data has %" PRIu64 " tokens, too few for a loss",
                       x->shard->n_tokens);
    l->T = m->config.seq_len < all ? m->config.seq_len : all;
    if (l->T > WINDOW) l->T = WINDOW;
    if (l->T > n) l->T = n;
    x->split = (struct split){.begin = 0, .end = x->shard->n_tokens, .bits = -1};
    l->windows = val_rows(&x->split, l->T, named ? OF_TEXTS : (uint64_t)(BUILTIN / l->T));
    if (named)
        dataset_name(v->data, l->what);
    else
        snprintf(l->what, sizeof l->what, "the built-in stories");
    for (int i = 0; i < 2; i++)
        if (!(x->losses[i] = calloc((size_t)l->windows, sizeof **x->losses)))
            return err_set(e, ERR_NOMEM, "out of memory for losses");
    return 0;
}

static void progress(void *ctx, uint64_t done, uint64_t total) {
    log_bar(ctx, "measuring the loss", done, total, "windows");
}

static int evaluate(struct measure *x, struct verifier *v, struct model *m, double *losses,
                    double *mean, struct err *e) {
    int rc;
    struct eval_result r;
    const struct eval_opts o = {
        .batch = 1, .seq = v->loss.T, .max_windows = v->loss.windows, .losses = losses,
        .progress = progress, .ctx = v->line};
    TRY(eval_run(m, v->machine, x->shard, &x->split, &o, &r, e));
    *mean = r.loss;
out:
    return rc;
}

static void differences(struct verify_loss *l, const struct measure *x, double after) {
    const double n = (double)l->windows;
    double sum = 0;
    l->change = after - l->before;
    for (uint64_t i = 0; i < l->windows; i++) {
        const double d = x->losses[1][i] - x->losses[0][i] - l->change;
        sum += d * d;
    }
    l->change_stderr = l->windows > 1 ? sqrt(sum / (n - 1) / n) : NAN;
    l->known = true;
}

/* Of the first side, then of the second: one model in memory at a time. */
static int measure_loss(struct verifier *v, struct err *e) {
    int rc;
    struct model m = {0};
    struct measure x = {0};
    double after = 0;
    TRY(compare_open(&m, &v->in, DT_F32, v->machine->pool, e));
    if (!v->data->n && !m.tok_blob && !m.tok_vocab && !tokenizer_of(v)) goto out;
    TRY(v->data->n ? open_texts(&x, v, &m, e) : open_builtin(&x, v, &m, e));
    if (!x.shard) goto out;
    TRY(cut(&x, v, &m, e));
    TRY(evaluate(&x, v, &m, x.losses[0], &v->loss.before, e));
    model_close(&m);
    TRY(compare_open(&m, &v->out, DT_F32, v->machine->pool, e));
    TRY(evaluate(&x, v, &m, x.losses[1], &after, e));
    differences(&v->loss, &x, after);
out:
    measure_close(&x);
    model_close(&m);
    return rc;
}

/* ---- both ----------------------------------------------------------------------------------- */

int verify(void *ctx, const char *path, struct err *e) {
    struct verifier *v = ctx;
    int rc;
    if (v->report)
        v->out.path = path;
    else
        v->out.adapter = path;
    log_state(v->line, "comparing logits");
    TRY(model_compare(v->machine, &v->in, &v->out, &v->c, e));
    TRY(judge(v, e));
    if (!v->c.exact || v->data->n) TRY(measure_loss(v, e));
out:
    log_progress_end(v->line);
    return rc;
}

/* No sign where all that is printed of it is zeros. */
static void print_change(double x) {
    printf(fabs(x) < 5e-5 ? "loss: %.4f" : "loss: %+.4f", fabs(x) < 5e-5 ? 0 : x);
}

static void print_loss(const struct verify_loss *l) {
    print_change(l->change);
    if (isfinite(l->change_stderr)) printf(" %s %.4f", term_pm(), l->change_stderr);
    printf(" nats a token (%.4f, now %.4f) on %s, %" PRIu64 " window%s of %lld tokens\n", l->before,
           l->before + l->change, l->what, l->windows, l->windows == 1 ? "" : "s",
           (long long)l->T);
}

void verify_print(const struct verifier *v) {
    const struct compare *c = &v->c;
    if (c->exact)
        printf("verified: the same logits at %lld positions, bit for bit\n", (long long)c->tokens);
    else
        printf("verified: largest difference of a logit %.3g (largest logit %.3g), of a "
               "probability %.3g, at %lld positions\n",
               c->max_diff, c->max_logit, c->max_prob, (long long)c->tokens);
    if (v->loss.known)
        print_loss(&v->loss);
    else if (!c->exact)
        printf("loss: not measured, for the model has no tokenizer (--tokenizer T)\n");
}
