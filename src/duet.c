#include "duet.h"

#include "adapter.h"
#include "chars.h"
#include "export.h"
#include "import.h"
#include "jsonmem.h"
#include "machine.h"
#include "run_start.h"
#include "sample.h"
#include "score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct duet_model {
    struct model model;
    struct tokenizer *tok;
    struct machine machine;
    int threads; /* as they were wanted when it was opened */
    int generating; /* calls that are not over, one in the piece() of another */
    int64_t context;
    duet_end end; /* of the last generation */
    bool specials; /* duet_read_specials */
};

/* The codes of the public header are those of err.h as far as they can come out here. */
_Static_assert((int)DUET_ERR_INPUT == ERR_INPUT && (int)DUET_ERR_USAGE == ERR_USAGE &&
                   (int)DUET_ERR_IO == ERR_IO && (int)DUET_ERR_NOMEM == ERR_NOMEM &&
                   (int)DUET_ERR_NUMERIC == ERR_NUMERIC,
               "codes differ");

static int report(int rc, const struct err *e, duet_error *err) {
    if (rc && err) {
        err->code = rc;
        snprintf(err->msg, sizeof err->msg, "%s", e->msg);
    }
    return rc;
}

int duet_api_version(void) {
    return DUET_API_VERSION;
}

/* The one number that is the process's, for the header says so: what a call begins with, it
 * keeps. */
static _Atomic int threads_wanted;

void duet_set_threads(int threads) {
    threads_wanted = threads > 0 ? threads : 0;
}

void duet_free(void *p) {
    free(p);
}

/* What reads files runs between the two: JSON that finds no memory looks like damaged JSON to its
 * readers. */
static void begin(void) {
    jsonmem_ready();
    jsonmem_starved();
}

static int end(int rc, struct err *e, duet_error *err) {
    if (jsonmem_starved() && rc) rc = err_set(e, ERR_NOMEM, "out of memory for JSON");
    return report(rc, e, err);
}

/* Every model has its own machine, with the number of threads that is wanted now; but what piece()
 * calls works with the machine of the call that it came from. */
static int refresh(duet_model *m, struct err *e) {
    const int threads = threads_wanted;
    if (m->generating || (m->machine.kern && m->threads == threads)) return 0;
    machine_close(&m->machine);
    const int rc = machine_open(&m->machine, &(struct machine_opts){.threads = threads}, e);
    m->threads = threads;
    m->model.pool = m->machine.pool;
    return rc;
}

static int missing(const char *what, struct err *e) {
    return err_set(e, ERR_USAGE, "%s is NULL", what);
}

/* The tokenizer that was asked for, or the model's if it has one. */
static int open_tokenizer(duet_model *m, const char *path, const char *tokenizer, struct err *e) {
    int rc = 0;
    if (tokenizer)
        rc = model_open_tokenizer(&m->tok, tokenizer, e);
    else
        rc = model_try_tokenizer(&m->model, &m->tok, e);
    return rc || !m->tok ? rc : model_check_tokenizer(&m->model, m->tok, path, e);
}

static int open_any(duet_model **out, const char *path, const char *adapter, const char *tokenizer,
                    struct err *e) {
    int rc;
    struct adapter_use use = {.weights = MODEL_AS_STORED, .scale = 1};
    duet_model *m = calloc(1, sizeof *m);
    struct run_files f = {0};
    if (!m) return err_set(e, ERR_NOMEM, "out of memory");
    TRY(refresh(m, e));
    use.pool = m->machine.pool;
    TRY(run_files_find(&f, path, adapter, e));
    TRY(run_files_open(&f, &m->model, &use, e));
    TRY(open_tokenizer(m, path, tokenizer, e));
    m->context = model_config_context(&m->model.config);
    *out = m;
out:
    run_files_release(&f);
    if (rc) duet_close(&m);
    return rc;
}

int duet_open(duet_model **out, const char *path, const char *tokenizer, duet_error *err) {
    struct err e;
    if (out) *out = NULL;
    if (!out || !path) return report(missing(!out ? "m" : "path", &e), &e, err);
    begin();
    return end(open_any(out, path, NULL, tokenizer, &e), &e, err);
}

int duet_open_adapter(duet_model **out, const char *base, const char *adapter,
                      const char *tokenizer, duet_error *err) {
    struct err e;
    if (out) *out = NULL;
    if (!out || !base || !adapter)
        return report(missing(!out ? "m" : !base ? "base" : "adapter", &e), &e, err);
    begin();
    return end(open_any(out, base, adapter, tokenizer, &e), &e, err);
}

static int has_adapter(const duet_model *m, duet_error *err) {
    struct err e;
    if (m && m->model.lora) return DUET_OK;
    return report(!m ? missing("m", &e) : err_set(&e, ERR_USAGE, "the model has no adapter"), &e,
                  err);
}

int duet_adapter_scale(duet_model *m, double factor, duet_error *err) {
    struct err e;
    const int rc = has_adapter(m, err);
    if (rc) return rc;
    if (m->model.lora->opts.norms)
        return report(err_set(&e, ERR_USAGE, "the adapter's tuned norms have no scale"), &e, err);
    if (!isfinite(factor))
        return report(err_set(&e, ERR_USAGE, "factor %g: expected a finite number", factor), &e,
                      err);
    lora_set_scale(&m->model, factor);
    return DUET_OK;
}

int duet_adapter_unload(duet_model *m, duet_error *err) {
    const int rc = has_adapter(m, err);
    if (!rc) lora_unload(&m->model);
    return rc;
}

void duet_close(duet_model **m) {
    if (!m || !*m) return;
    tokenizer_close((*m)->tok);
    model_close(&(*m)->model);
    machine_close(&(*m)->machine);
    free(*m);
    *m = NULL;
}

int64_t duet_vocab_size(const duet_model *m) {
    return m ? m->model.config.vocab : 0;
}

const char *duet_assumed(const duet_model *m) {
    return m ? m->model.config.assumed : NULL;
}

int64_t duet_param_count(const duet_model *m) {
    return m ? model_param_count(&m->model) : 0;
}

int64_t duet_context(const duet_model *m) {
    return m ? m->context : 0;
}

int duet_set_context(duet_model *m, int64_t tokens, duet_error *err) {
    struct err e;
    if (!m) return report(missing("m", &e), &e, err);
    const int64_t all = model_config_context(&m->model.config);
    if (tokens < 0 || tokens > all)
        return report(err_set(&e, ERR_USAGE, "the context is 1 to %lld tokens, not %lld",
                              (long long)all, (long long)tokens),
                      &e, err);
    m->context = tokens ? tokens : all;
    return DUET_OK;
}

/* The tokenizer of m, or why there is none. */
static int need_tokenizer(const duet_model *m, struct err *e) {
    if (!m) return missing("m", e);
    if (m->tok) return 0;
    return err_set(e, ERR_INPUT, "%s",
                   m->model.tok_problem
                       ? m->model.tok_problem
                       : "the model file holds no tokenizer, and no other was given");
}

void duet_read_specials(duet_model *m, int on) {
    if (m) m->specials = on != 0;
}

int duet_encode(const duet_model *m, const char *text, size_t bytes, uint32_t **ids, size_t *n,
                duet_error *err) {
    int rc;
    struct err e;
    struct tok_ids list = {0};
    if (!ids || !n || (!text && bytes)) {
        rc = missing(!ids ? "ids" : !n ? "n" : "text", &e);
        goto out;
    }
    *ids = NULL;
    *n = 0;
    TRY(need_tokenizer(m, &e));
    TRY(tokenizer_encode(m->tok, text ? text : "", bytes, m->specials, true, &list, &e));
    *ids = list.ids;
    *n = list.n;
    list.ids = NULL;
out:
    free(list.ids);
    return report(rc, &e, err);
}

int duet_decode(const duet_model *m, const uint32_t *ids, size_t n, char **text, size_t *bytes,
                duet_error *err) {
    int rc;
    struct err e;
    struct tok_bytes out = {0};
    if (!text || !bytes || (!ids && n)) {
        rc = missing(!text ? "text" : !bytes ? "bytes" : "ids", &e);
        goto out;
    }
    *text = NULL;
    *bytes = 0;
    TRY(need_tokenizer(m, &e));
    TRY(tokenizer_decode(m->tok, ids, n, true, &out, &e));
    *text = out.data;
    *bytes = out.n;
    out.data = NULL;
out:
    free(out.data);
    return report(rc, &e, err);
}

static int check_ids(const duet_model *m, const uint32_t *ids, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= m->model.config.vocab)
            return err_set(e, ERR_INPUT, "token id %u at %zu is outside the vocabulary of %lld",
                           ids[i], i, (long long)m->model.config.vocab);
    return 0;
}

static int score(duet_model *m, const uint32_t *ids, size_t n, float *nll, struct err *e) {
    int rc;
    struct scorer s = {0};
    if (n < 2) return err_set(e, ERR_USAGE, "a score needs at least 2 tokens, found %zu", n);
    if (n - 1 > (uint64_t)m->context)
        return err_set(e, ERR_INPUT, "%zu tokens to score, the context has only %lld", n - 1,
                       (long long)m->context);
    TRY(check_ids(m, ids, n, e));
    TRY(refresh(m, e));
    TRY(scorer_open(&s, &m->model, &m->machine, (int64_t)n - 1, e));
    TRY(scorer_run(&s, ids, (int64_t)n, nll, e));
out:
    scorer_close(&s);
    return rc;
}

int duet_score(duet_model *m, const uint32_t *ids, size_t n, float *nll, duet_error *err) {
    struct err e;
    if (!m || !ids || !nll)
        return report(missing(!m ? "m" : !ids ? "ids" : "nll", &e), &e, err);
    begin();
    return end(score(m, ids, n, nll, &e), &e, err);
}

duet_sampling duet_default_sampling(void) {
    return (duet_sampling){.temperature = 0.8, .top_p = 1, .seed = 1, .max_tokens = 256};
}

struct sink {
    const duet_model *m;
    int (*piece)(void *ctx, const char *bytes, size_t n);
    void *ctx;
    struct chars chars;
    int rc;
    struct err *e;
};

static bool put(struct sink *s) {
    if (s->rc) return false;
    return s->chars.out.n == 0 || s->piece(s->ctx, s->chars.out.data, s->chars.out.n) == 0;
}

static bool emit(void *ctx, uint32_t prev, uint32_t id) {
    struct sink *s = ctx;
    size_t n;
    const char *bytes = tokenizer_piece(s->m->tok, (int64_t)prev, id, &n);
    s->rc = chars_add(&s->chars, bytes, n, s->e);
    return put(s);
}

static int generate(duet_model *m, const char *prompt, const struct sample_opts *o,
                    struct sink *sink, struct err *e) {
    static const duet_end ends[] = {[SAMPLE_STOP] = DUET_END_TEXT,
                                    [SAMPLE_TOKENS] = DUET_END_TOKENS,
                                    [SAMPLE_CONTEXT] = DUET_END_CONTEXT,
                                    [SAMPLE_EMIT] = DUET_END_PIECE};
    int rc;
    struct sample_stats stats;
    struct tok_ids ids = {0};
    TRY(need_tokenizer(m, e));
    TRY(sample_prompt(m->tok, prompt, strlen(prompt), m->specials, &ids, e));
    TRY(check_ids(m, ids.ids, ids.n, e));
    TRY(refresh(m, e));
    m->generating++;
    rc = sample_run(&m->model, &m->machine, o, ids.ids, (int64_t)ids.n, emit, sink, &stats, e);
    m->generating--;
    TRY(rc);
    TRY(sink->rc);
    if (stats.end != SAMPLE_EMIT) TRY(chars_end(&sink->chars, e));
    m->end = stats.end != SAMPLE_EMIT && !put(sink) ? DUET_END_PIECE : ends[stats.end];
out:
    free(ids.ids);
    return rc;
}

duet_end duet_end_reason(const duet_model *m) {
    return m ? m->end : DUET_END_NONE;
}

int duet_generate(duet_model *m, const char *prompt, const duet_sampling *s,
                  int (*piece)(void *ctx, const char *bytes, size_t n), void *ctx,
                  duet_error *err) {
    struct err e;
    struct sink sink = {.m = m, .piece = piece, .ctx = ctx, .e = &e};
    const duet_sampling d = s ? *s : duet_default_sampling();
    if (!m || !prompt || !piece)
        return report(missing(!m ? "m" : !prompt ? "prompt" : "piece", &e), &e, err);
    struct sample_opts o = {.temperature = d.temperature,
                            .top_k = d.top_k,
                            .top_p = d.top_p,
                            .min_p = d.min_p,
                            .seed = d.seed,
                            .tokens = d.max_tokens,
                            .context = m->context};
    begin();
    m->end = DUET_END_NONE;
    if (m->tok) sample_stops(&m->model, m->tok, &o);
    const int rc = generate(m, prompt, &o, &sink, &e);
    chars_release(&sink.chars);
    return end(rc, &e, err);
}

/* ---- converting ------------------------------------------------------------------------------ */

/* "key=value", the NULL behind them not counted. */
static int read_sets(const char *const *set, struct conf_pairs *p, struct err *e) {
    size_t n = 0;
    while (set && set[n]) n++;
    if (!n) return 0;
    p->key = calloc(n, sizeof *p->key);
    p->value = calloc(n, sizeof *p->value);
    if (!p->key || !p->value) return err_set(e, ERR_NOMEM, "out of memory for %zu keys", n);
    for (size_t i = 0; i < n; i++) {
        const char *is = strchr(set[i], '=');
        if (!is || is == set[i])
            return err_set(e, ERR_USAGE, "set: expected key=value, found \"%s\"", set[i]);
        p->key[i] = strndup(set[i], (size_t)(is - set[i]));
        p->value[i] = strdup(is + 1);
        p->n = i + 1;
        if (!p->key[i] || !p->value[i])
            return err_set(e, ERR_NOMEM, "out of memory for %zu keys", n);
    }
    return 0;
}

static void release_sets(struct conf_pairs *p) {
    for (size_t i = 0; i < p->n; i++) {
        free(p->key[i]);
        free(p->value[i]);
    }
    free(p->key);
    free(p->value);
}

/* What is known of the file, then of what was written. */
static int join_notes(const struct model_file *mf, const struct export_report *r, char **notes,
                      struct err *e) {
    const char *first = mf->notes ? mf->notes : "";
    const size_t n = strlen(first) + r->n + 1;
    char *text = malloc(n);
    if (!text) return err_set(e, ERR_NOMEM, "out of memory for notes");
    snprintf(text, n, "%s%s", first, r->text);
    *notes = text;
    return 0;
}

static int convert(const char *in, const char *out, const struct format *f,
                   const duet_conversion *d, char **notes, struct err *e) {
    int rc;
    struct model_file mf = {0};
    struct machine machine = {0};
    struct export_report r;
    struct conf_pairs sets = {0};
    const struct export_opts o = {
        .dtype = d->dtype ? dtype_find(d->dtype) : -1, .tokenizer = d->tokenizer, .sets = &sets};
    bool adapter;
    TRY(read_sets(d->set, &sets, e));
    TRY(model_file_open(&mf, in, true, e));
    TRY(adapter_probe(&mf, &adapter, e));
    if (adapter) {
        rc = err_set(e, ERR_INPUT, "%s is an adapter, not a model", in);
        goto out;
    }
    TRY(model_import_file(&mf, e));
    TRY(machine_open(&machine, &(struct machine_opts){.threads = threads_wanted}, e));
    mf.pool = machine.pool;
    TRY(model_export(&mf, f, out, &o, &r, e));
    if (notes) TRY(join_notes(&mf, &r, notes, e));
out:
    model_file_close(&mf);
    machine_close(&machine);
    release_sets(&sets);
    return rc;
}

int duet_convert_with(const char *in, const char *out, const char *format, const duet_conversion *o,
                      char **notes, duet_error *err) {
    struct err e;
    const duet_conversion d = o ? *o : (duet_conversion){0};
    if (notes) *notes = NULL;
    if (!in || !out || !format)
        return report(missing(!in ? "in" : !out ? "out" : "format", &e), &e, err);
    const bool no_type = d.dtype && dtype_find(d.dtype) < 0;
    const struct format *f = format_find(format);
    if (!f || !f->write || !f->models || no_type)
        return report(err_set(&e, ERR_USAGE, "\"%s\" is no %s that duet writes",
                              no_type ? d.dtype : format, no_type ? "type" : "format"),
                      &e, err);
    begin();
    return end(convert(in, out, f, &d, notes, &e), &e, err);
}

int duet_convert(const char *in, const char *out, const char *format, const char *dtype,
                 duet_error *err) {
    const duet_conversion o = {.dtype = dtype};
    return duet_convert_with(in, out, format, &o, NULL, err);
}
