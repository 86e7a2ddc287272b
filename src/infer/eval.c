#include "eval.h"

#include "guard.h"
#include "finite.h"
#include "logits.h"
#include "stat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t *eval_token_bytes(const struct tokenizer *t, int64_t n) {
    uint32_t *table = calloc((size_t)n + 1, sizeof *table);
    for (int64_t i = 0; table && i < n && i < tokenizer_vocab_size(t); i++)
        table[i] = tokenizer_token_bytes(t, (uint32_t)i);
    return table;
}

struct run {
    struct model *m;
    const struct eval_opts *o;
    const struct shard *shard;
    const struct split *split;
    struct exec exec;
    uint32_t *input, *target;
    float *nll;
    double sum;     /* nats */
    double *losses; /* mean loss of each window */
    uint64_t bytes;
};

static int one_batch(struct run *r, uint64_t windows, uint64_t first, int64_t B, struct err *e) {
    const int64_t T = r->o->seq;
    for (int64_t b = 0; b < B; b++)
        val_row(r->shard, r->split, T, windows, first + (uint64_t)b, r->input + b * T,
                r->target + b * T);
    for (int64_t i = 0; i < B * T && r->o->token_bytes; i++)
        r->bytes += r->o->token_bytes[r->target[i]];
    int rc = model_map_ids(r->m, r->input, B * T, e);
    if (!rc) rc = model_map_ids(r->m, r->target, B * T, e);
    if (rc) return rc;
    const struct batch batch = {
        .B = B, .T = T, .input = r->input, .target = r->target, .nll = r->nll};
    if (!exec_run(&r->exec, &batch)) return err_set(e, ERR_STOP, "stopped");
    for (int64_t b = 0; b < B; b++) {
        double sum = 0;
        for (int64_t i = 0; i < T; i++) sum += (double)r->nll[b * T + i];
        if (!finite_all(r->nll + b * T, T)) {
            char what[64];
            snprintf(what, sizeof what, "the loss of window %llu",
                     (unsigned long long)(first + (uint64_t)b) + 1);
            return finite_explain(r->m, what, e);
        }
        r->sum += sum;
        r->losses[first + (uint64_t)b] = sum / (double)T;
    }
    return 0;
}

static void finish(const struct run *r, uint64_t windows, struct eval_result *out) {
    out->windows = windows;
    out->tokens = windows * (uint64_t)r->o->seq;
    out->loss = r->sum / (double)out->tokens;
    out->stderr_ = stat_stderr(r->losses, windows);
    out->bytes = r->bytes;
    out->bpb = r->bytes ? r->sum / M_LN2 / (double)r->bytes : NAN;
    out->floor_bpb =
        r->split->bits >= 0 && r->split->bytes ? r->split->bits / (double)r->split->bytes : NAN;
}

int eval_run(struct model *m, const struct machine *machine, const struct shard *s,
             const struct split *v, const struct eval_opts *o, struct eval_result *out,
             struct err *e) {
    int rc;
    struct run r = {.m = m, .o = o, .shard = s, .split = v};
    const uint64_t windows = val_rows(v, o->seq, o->max_windows);
    const int64_t B = (uint64_t)o->batch < windows ? o->batch : (int64_t)windows;
    if (!windows)
        return err_set(e, ERR_INPUT,
                       "the data to evaluate has %llu tokens, fewer than one window of %lld + 1",
                       (unsigned long long)(v->end - v->begin), (long long)o->seq);
    const struct exec_opts xo = {.B = B, .T = o->seq, .cancel = o->cancel};
    const size_t n = (size_t)(B * o->seq);
    TRY(exec_open(&r.exec, &m->graph, machine, &xo, e));
    r.input = malloc(n * sizeof *r.input);
    r.target = malloc(n * sizeof *r.target);
    r.nll = malloc(n * sizeof *r.nll);
    r.losses = malloc((size_t)windows * sizeof *r.losses);
    if (!r.input || !r.target || !r.nll || !r.losses) {
        rc = err_set(e, ERR_NOMEM, "out of memory for evaluation");
        goto out;
    }
    for (uint64_t at = 0; at < windows; at += (uint64_t)B) {
        const uint64_t left = windows - at;
        TRY(one_batch(&r, windows, at, left < (uint64_t)B ? (int64_t)left : B, e));
        if (o->progress)
            o->progress(o->ctx, left < (uint64_t)B ? windows : at + (uint64_t)B, windows);
    }
    TRY(guard_check_maps(e));
    finish(&r, windows, out);
    if (o->losses) memcpy(o->losses, r.losses, (size_t)windows * sizeof *r.losses);
out:
    exec_close(&r.exec);
    free(r.input);
    free(r.target);
    free(r.nll);
    free(r.losses);
    return rc;
}

struct logits {
    void (*emit)(void *ctx, const float *logits, int64_t vocab);
    void *ctx;
    int64_t done;
    bool bad;
};

static void take_logits(void *ctx, const float *logits, int64_t vocab) {
    struct logits *l = ctx;
    l->bad = l->bad || !finite_all(logits, vocab);
    if (l->bad) return;
    l->emit(l->ctx, logits, vocab);
    l->done++;
}

int eval_logits(struct model *m, const struct machine *machine, const struct shard *s, int64_t n,
                void (*emit)(void *ctx, const float *logits, int64_t vocab), void *ctx,
                struct err *e) {
    int rc;
    struct logits l = {.emit = emit, .ctx = ctx};
    uint32_t *ids = malloc((size_t)n * sizeof *ids);
    if (!ids) return err_set(e, ERR_NOMEM, "out of memory for %lld tokens", (long long)n);
    for (int64_t i = 0; i < n; i++) ids[i] = shard_token(s, (uint64_t)i);
    TRY(model_map_ids(m, ids, n, e));
    TRY(model_logits(m, machine, ids, n, take_logits, &l, e));
    if (l.bad) {
        char what[64];
        snprintf(what, sizeof what, "what the model says after token %lld", (long long)l.done + 1);
        rc = finite_explain(m, what, e);
    }
out:
    free(ids);
    return rc;
}
