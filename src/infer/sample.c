#include "sample.h"

#include "clock.h"
#include "exec.h"
#include "finite.h"

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

struct likely_job {
    const float *logits;
    float most, temperature;
    int64_t n;
    struct sample_cand *c;
};

enum { LIKELY = 4096 };

/* Exponentials of a whole vocabulary take as long as a tenth of a small model's pass. */
static void likely(void *ctx, int64_t t, int tid) {
    (void)tid;
    const struct likely_job *j = ctx;
    const int64_t end = (t + 1) * LIKELY < j->n ? (t + 1) * LIKELY : j->n;
    for (int64_t i = t * LIKELY; i < end; i++)
        j->c[i] = (struct sample_cand){expf((j->logits[i] - j->most) / j->temperature),
                                       (uint32_t)i};
}

uint32_t sample_pick(const struct sample_opts *o, const float *logits, int64_t n, uint64_t position,
                     struct pool *pool, void *scratch) {
    const uint32_t best = argmax(logits, n);
    if (o->temperature <= 0) return best;
    struct sample_cand *c = scratch;
    struct rng r = rng_make(o->seed, RNG_SAMPLE, position, 0, 0);
    struct likely_job j = {logits, logits[best], (float)o->temperature, n, c};
    double total = 0;
    pool_for(pool, (n + LIKELY - 1) / LIKELY, likely, &j);
    for (int64_t i = 0; i < n; i++) total += (double)c[i].p;
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

void sample_penalise(double penalty, const float *logits, int64_t n, const uint32_t *ids,
                     int64_t n_ids, float *out) {
    const float p = (float)penalty;
    memcpy(out, logits, (size_t)n * sizeof *out);
    for (int64_t i = 0; i < n_ids; i++) {
        const float x = logits[ids[i]]; /* not out's, which may have been seen to */
        out[ids[i]] = x > 0 ? x / p : x * p;
    }
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

int sample_prompt(const struct tokenizer *t, const char *prompt, size_t bytes, bool specials,
                  struct tok_ids *ids, struct err *e) {
    int rc = tokenizer_encode(t, prompt, bytes, specials, true, ids, e);
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

struct sampler {
    const struct model *m;
    struct sample_opts o;
    struct exec x;
    uint32_t *prompt; /* n_prompt ids */
    int64_t n_prompt;
    double prompt_seconds;
    uint32_t *ids;  /* what is in the cache, in order */
    int64_t n, cap; /* positions used, cache size */
    bool forgot;    /* the cache no longer begins with the prompt */
    float *logits;  /* after the last token of the cache */
    float *first;   /* after the prompt */
    float *penalised;
    void *scratch;
};

void sampler_close(struct sampler *s) {
    if (!s) return;
    exec_close(&s->x);
    free(s->prompt);
    free(s->ids);
    free(s->logits);
    free(s->first);
    free(s->penalised);
    free(s->scratch);
    free(s);
}

static bool penalises(const struct sample_opts *o) {
    return o->penalty > 0 && o->penalty != 1;
}

static int reserve(struct sampler *s, struct model *m, const struct machine *machine,
                   struct err *e) {
    int rc;
    const size_t row = (size_t)m->config.vocab * sizeof(float);
    const struct exec_opts xo = {.B = 1, .T = s->cap < CHUNK ? s->cap : CHUNK, .cache = s->cap};
    TRY(exec_open_within(&s->x, &m->graph, machine, &xo, "generation", e));
    s->prompt = malloc((size_t)s->n_prompt * sizeof *s->prompt);
    s->ids = malloc((size_t)s->cap * sizeof *s->ids);
    s->logits = malloc(row);
    s->first = malloc(row);
    s->penalised = penalises(&s->o) ? malloc(row) : NULL;
    s->scratch = malloc(sample_scratch(m->config.vocab));
    if (!s->prompt || !s->ids || !s->logits || !s->first || !s->scratch ||
        (penalises(&s->o) && !s->penalised))
        rc = err_set(e, ERR_NOMEM, "out of memory for generation");
out:
    return rc;
}

/* Reads n ids into the cache; afterwards s->logits are those after the last one. */
static int read_ids(struct sampler *s, const uint32_t *ids, int64_t n, struct err *e) {
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
static int shift(struct sampler *s, struct err *e) {
    const int64_t keep = s->cap / 2;
    uint32_t *ids = malloc((size_t)(keep + 1) * sizeof *ids);
    if (!ids) return err_set(e, ERR_NOMEM, "out of memory for generation");
    memcpy(ids, s->ids + s->n - keep, (size_t)keep * sizeof *ids);
    s->n = 0;
    s->forgot = true;
    const int rc = read_ids(s, ids, keep, e);
    free(ids);
    return rc;
}

/* As after the prompt. What stands in the cache for it does not depend on what came behind. */
static int rewind_to_prompt(struct sampler *s, struct err *e) {
    int rc = 0;
    if (s->forgot) {
        s->n = 0;
        s->forgot = false;
        TRY(read_ids(s, s->prompt, s->n_prompt, e));
    }
    s->n = s->n_prompt;
    memcpy(s->logits, s->first, (size_t)s->m->config.vocab * sizeof *s->logits);
out:
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
        {"repetition penalty", o->penalty, isfinite(o->penalty) && o->penalty >= 0,
         "a finite number above 0, or 0 for none"},
        {"tokens to penalise", (double)o->penalty_last, o->penalty_last >= 0, "0 or more"},
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

static uint32_t pick(struct sampler *s, const struct sample_opts *o, int64_t position) {
    const int64_t n = s->m->config.vocab;
    const float *logits = s->logits;
    if (s->penalised) {
        const int64_t last = o->penalty_last && o->penalty_last < s->n ? o->penalty_last : s->n;
        sample_penalise(o->penalty, logits, n, s->ids + s->n - last, last, s->penalised);
        logits = s->penalised;
    }
    return sample_pick(o, logits, n, (uint64_t)position, s->x.machine->pool, s->scratch);
}

/* New tokens one by one; last: the prompt's last. */
static int run(struct sampler *s, const struct sample_opts *o, uint32_t last,
               bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
               struct sample_stats *stats, struct err *e) {
    int rc = 0;
    stats->end = SAMPLE_TOKENS;
    while (stats->tokens < o->tokens) {
        const uint32_t id = pick(s, o, stats->tokens);
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
        if (s->n == s->cap) TRY(shift(s, e));
        TRY(read_ids(s, &id, 1, e));
        last = id;
    }
out:
    return rc;
}

int sampler_open(struct sampler **out, struct model *m, const struct machine *machine,
                 const struct sample_opts *o, const uint32_t *prompt, int64_t n, struct err *e) {
    int rc;
    int64_t cap = 0;
    struct sampler *s = NULL;
    *out = NULL;
    TRY(check_opts(o, e));
    TRY(find_room(m, o, n, &cap, e));
    s = calloc(1, sizeof *s);
    if (!s) {
        rc = err_set(e, ERR_NOMEM, "out of memory for generation");
        goto out;
    }
    s->m = m;
    s->o = *o;
    s->n_prompt = n;
    s->cap = cap;
    TRY(reserve(s, m, machine, e));
    memcpy(s->prompt, prompt, (size_t)n * sizeof *prompt);
    const double begin = clock_seconds();
    TRY(read_ids(s, prompt, n, e));
    s->prompt_seconds = clock_seconds() - begin;
    memcpy(s->first, s->logits, (size_t)m->config.vocab * sizeof *s->first);
    *out = s;
    s = NULL;
out:
    sampler_close(s);
    return rc;
}

int sampler_run(struct sampler *s, uint64_t seed,
                bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
                struct sample_stats *stats, struct err *e) {
    int rc;
    struct sample_opts o = s->o;
    o.seed = seed;
    *stats = (struct sample_stats){.prompt_tokens = s->n_prompt,
                                   .prompt_seconds = s->prompt_seconds};
    TRY(rewind_to_prompt(s, e));
    const double begin = clock_seconds();
    TRY(run(s, &o, s->prompt[s->n_prompt - 1], emit, ctx, stats, e));
    stats->seconds = clock_seconds() - begin;
out:
    return rc;
}

int sample_run(struct model *m, const struct machine *machine, const struct sample_opts *o,
               const uint32_t *prompt, int64_t n,
               bool (*emit)(void *ctx, uint32_t prev, uint32_t id), void *ctx,
               struct sample_stats *stats, struct err *e) {
    int rc;
    struct sampler *s;
    *stats = (struct sample_stats){.prompt_tokens = n};
    TRY(sampler_open(&s, m, machine, o, prompt, n, e));
    rc = sampler_run(s, o->seed, emit, ctx, stats, e);
    sampler_close(s);
out:
    return rc;
}
