#include "sample.h"

#include "clock.h"
#include "exec.h"
#include "finite.h"
#include "kern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing -------------------------------------------------------------------------------- */

struct sample_cand {
    float p; /* relative to the most likely token */
    uint32_t id;
};

/* More likely first; ties by id, so that the order is the same on every machine. */
static bool before(const struct sample_cand *x, const struct sample_cand *y) {
    return x->p != y->p ? x->p > y->p : x->id < y->id;
}

static void sift(struct sample_cand *c, int64_t n, int64_t i) {
    const struct sample_cand x = c[i];
    for (;;) {
        int64_t k = 2 * i + 1;
        if (k + 1 < n && before(c + k + 1, c + k)) k++;
        if (k >= n || !before(c + k, &x)) break;
        c[i] = c[k];
        i = k;
    }
    c[i] = x;
}

static uint32_t argmax(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return (uint32_t)best;
}

/* Moves the candidates that top_k, top_p and min_p allow to the end of the array: a heap gives them
 * up one by one, so that the whole vocabulary is never sorted. Returns how many. */
static int64_t keep_likely(const struct sample_opts *o, struct sample_cand *c, int64_t n,
                           double total) {
    const int64_t most = o->top_k > 0 && o->top_k < n ? o->top_k : n;
    int64_t kept = 0;
    double sum = 0;
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift(c, n, i);
    while (kept < most && sum < o->top_p * total) {
        const struct sample_cand x = c[0];
        if (kept > 0 && (double)x.p < o->min_p) break;
        c[0] = c[n - 1 - kept];
        c[n - 1 - kept++] = x;
        if (n - kept > 0) sift(c, n - kept, 0);
        sum += (double)x.p;
    }
    return kept;
}

size_t sample_scratch(int64_t n) {
    return (size_t)n * sizeof(struct sample_cand);
}

uint32_t sample_pick(const struct sample_opts *o, const float *logits, int64_t n, uint64_t position,
                     void *scratch) {
    const uint32_t best = argmax(logits, n);
    if (o->temperature <= 0) return best;
    struct sample_cand *c = scratch;
    struct rng r = rng_make(o->seed, RNG_SAMPLE, position, 0, 0);
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        c[i] = (struct sample_cand){expf((logits[i] - logits[best]) / (float)o->temperature),
                                    (uint32_t)i};
        total += (double)c[i].p;
    }
    if (o->top_k > 0 || o->top_p < 1 || o->min_p > 0) {
        const int64_t kept = keep_likely(o, c, n, total);
        c += n - kept;
        n = kept;
        total = 0;
        for (int64_t i = 0; i < n; i++) total += (double)c[i].p;
    }
    double u = rng_double(&r) * total;
    for (int64_t i = 0; i < n; i++) {
        u -= (double)c[i].p;
        if (u < 0) return c[i].id;
    }
    return best;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static bool is_stop(const struct sample_opts *o, int64_t id) {
    for (int i = 0; i < o->n_stops; i++)
        if (o->stop[i] == id) return true;
    return false;
}

static void add_stop(const struct model *m, int64_t id, struct sample_opts *o) {
    if (id >= 0 && id < m->config.vocab && o->n_stops < SAMPLE_STOPS && !is_stop(o, id))
        o->stop[o->n_stops++] = (uint32_t)id;
}

/* v: an id or a list of ids; NULL and anything else: none. */
static void add_stops(const struct model *m, const json_t *v, struct sample_opts *o) {
    const json_t *id;
    size_t i;
    if (json_is_integer(v)) add_stop(m, json_integer_value(v), o);
    json_array_foreach(v, i, id) {
        if (json_is_integer(id)) add_stop(m, json_integer_value(id), o);
    }
}

void sample_stops(const struct model *m, const struct tokenizer *t, struct sample_opts *o) {
    static const char key[] = "eos_token_id";
    const json_t *config = m->config.json;
    const json_t *hf = json_object_get(json_object_get(config, "duet"), "hf");
    o->n_stops = 0;
    add_stop(m, tokenizer_eos(t), o);
    add_stop(m, tokenizer_bos(t), o);
    add_stops(m, json_object_get(config, key), o);
    add_stops(m, json_object_get(json_object_get(hf, "generation_config"), key), o);
}

/* ---- prompts --------------------------------------------------------------------------------- */

int sample_prompt(const struct tokenizer *t, const char *prompt, bool specials,
                  struct tok_ids *ids, struct err *e) {
    int rc = tokenizer_encode(t, prompt, strlen(prompt), specials, true, ids, e);
    if (rc || ids->n) return rc;
    const int64_t eos = tokenizer_eos(t);
    if (eos < 0)
        return err_set(e, ERR_USAGE,
                       "this tokenizer has neither a start nor an end token: give a prompt");
    ids->ids = malloc(sizeof *ids->ids);
    if (!ids->ids) return err_set(e, ERR_NOMEM, "out of memory for the prompt");
    ids->ids[ids->n++] = (uint32_t)eos;
    return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

enum { CHUNK = 64 }; /* prompt tokens a pass */

struct session {
    const struct model *m;
    struct exec x;
    uint32_t *ids;  /* what is in the cache, in order */
    int64_t n, cap; /* positions used, cache size */
    float *logits;
    void *scratch;
};

static void session_close(struct session *s) {
    exec_close(&s->x);
    free(s->ids);
    free(s->logits);
    free(s->scratch);
}

static int session_open(struct session *s, struct model *m, const struct gemm *gemm, int64_t cap,
                        struct err *e) {
    int rc;
    const size_t V = (size_t)m->config.vocab;
    const struct exec_opts xo = {.B = 1, .T = cap < CHUNK ? cap : CHUNK, .cache = cap};
    *s = (struct session){.m = m, .cap = cap};
    TRY(exec_open_within(&s->x, &m->graph, gemm, &xo, "generation", e));
    s->ids = malloc((size_t)cap * sizeof *s->ids);
    s->logits = malloc(V * sizeof *s->logits);
    s->scratch = malloc(sample_scratch(m->config.vocab));
    if (!s->ids || !s->logits || !s->scratch)
        rc = err_set(e, ERR_NOMEM, "out of memory for generation");
out:
    return rc;
}

/* Reads n ids into the cache; afterwards s->logits are those after the last one. */
static int session_read(struct session *s, const uint32_t *ids, int64_t n, struct err *e) {
    for (int64_t at = 0; at < n;) {
        const int64_t T = n - at < s->x.opts.T ? n - at : s->x.opts.T;
        memmove(s->ids + s->n, ids + at, (size_t)T * sizeof *ids);
        const struct batch b = {.B = 1,
                                .T = T,
                                .input = s->ids + s->n,
                                .pos = s->n,
                                .logits = at + T == n ? s->logits : NULL};
        exec_run(&s->x, &b);
        s->n += T;
        at += T;
    }
    if (finite_all(s->logits, s->m->config.vocab)) return 0;
    return finite_explain(s->m, "what the model says after these tokens", e);
}

/* Makes room by forgetting the older half. */
static int session_shift(struct session *s, struct err *e) {
    const int64_t keep = s->cap / 2;
    uint32_t *ids = malloc((size_t)(keep + 1) * sizeof *ids);
    if (!ids) return err_set(e, ERR_NOMEM, "out of memory for generation");
    memcpy(ids, s->ids + s->n - keep, (size_t)keep * sizeof *ids);
    s->n = 0;
    const int rc = session_read(s, ids, keep, e);
    free(ids);
    return rc;
}

static int check_opts(const struct sample_opts *o, struct err *e) {
    const struct {
        const char *name;
        double value;
        bool ok;
        const char *want;
    } all[] = {
        {"temperature", o->temperature, isfinite(o->temperature) && o->temperature >= 0,
         "a finite number, 0 or more"},
        {"top_k", (double)o->top_k, o->top_k >= 0, "0 or more"},
        {"top_p", o->top_p, o->top_p >= 0 && o->top_p <= 1, "0 to 1"},
        {"min_p", o->min_p, o->min_p >= 0 && o->min_p <= 1, "0 to 1"},
        {"tokens to generate", (double)o->tokens, o->tokens >= 0, "0 or more"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!all[i].ok)
            return err_set(e, ERR_USAGE, "%s %g: expected %s", all[i].name, all[i].value,
                           all[i].want);
    return 0;
}

/* *cap: positions that are needed, as far as the context goes. */
static int find_room(const struct model *m, const struct sample_opts *o, int64_t n, int64_t *cap,
                     struct err *e) {
    const int64_t all = model_config_context(&m->config), most = o->context ? o->context : all;
    if (most > all)
        return err_set(e, ERR_USAGE, "a context of %lld tokens is more than the model's %lld",
                       (long long)most, (long long)all);
    if (n > most && most < all)
        return err_set(e, ERR_INPUT,
                       "the prompt has %lld tokens, the context only %lld of the model's %lld",
                       (long long)n, (long long)most, (long long)all);
    if (n > most)
        return err_set(e, ERR_INPUT,
                       "the prompt has %lld tokens, the context only %lld, all that the model has",
                       (long long)n, (long long)most);
    /* The last new token is not read. */
    *cap = o->tokens - 1 < most - n ? n + (o->tokens > 1 ? o->tokens - 1 : 0) : most;
    return 0;
}

/* New tokens one by one; last: the prompt's last. */
static int run(struct session *s, const struct sample_opts *o, uint32_t last,
               bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
               struct sample_stats *stats, struct err *e) {
    int rc = 0;
    stats->end = SAMPLE_TOKENS;
    while (stats->tokens < o->tokens) {
        const uint32_t id =
            sample_pick(o, s->logits, s->m->config.vocab, (uint64_t)stats->tokens, s->scratch);
        stats->end = is_stop(o, id) ? SAMPLE_STOP : SAMPLE_TOKENS;
        if (stats->end == SAMPLE_STOP) break;
        stats->tokens++;
        if (!emit(ctx, last, id)) {
            stats->end = SAMPLE_EMIT;
            break;
        }
        if (stats->tokens == o->tokens) break;
        if (s->n == s->cap && !o->shift) {
            stats->end = SAMPLE_CONTEXT;
            break;
        }
        stats->shifts += s->n == s->cap;
        if (s->n == s->cap) TRY(session_shift(s, e));
        TRY(session_read(s, &id, 1, e));
        last = id;
    }
out:
    return rc;
}

int sample_run(struct model *m, const struct gemm *gemm, const struct sample_opts *o,
               const uint32_t *prompt, int64_t n,
               bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
               struct sample_stats *stats, struct err *e) {
    int rc;
    struct session s = {0};
    int64_t cap = 0;
    *stats = (struct sample_stats){.prompt_tokens = n};
    TRY(check_opts(o, e));
    TRY(find_room(m, o, n, &cap, e));
    TRY(session_open(&s, m, gemm, cap, e));
    const double begin = clock_seconds();
    TRY(session_read(&s, prompt, n, e));
    const double middle = clock_seconds();
    stats->prompt_seconds = middle - begin;
    TRY(run(&s, o, prompt[n - 1], emit, ctx, stats, e));
    stats->seconds = clock_seconds() - middle;
out:
    session_close(&s);
    return rc;
}
