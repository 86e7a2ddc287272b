#include "duet.h"

#include "adapter.h"
#include "cpu.h"
#include "exec.h"
#include "export.h"
#include "import.h"
#include "par.h"
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct duet_model {
    struct model model;
    struct tokenizer *tok;
    struct gemm gemm;
};

/* The codes of the public header are those of err.h as far as they can come out here. */
_Static_assert((int)DUET_ERR_INPUT == ERR_INPUT && (int)DUET_ERR_USAGE == ERR_USAGE &&
                   (int)DUET_ERR_IO == ERR_IO && (int)DUET_ERR_NOMEM == ERR_NOMEM,
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

void duet_set_threads(int threads) {
    par_init(threads > 0 ? threads : cpu_count());
}

static int open_any(duet_model **out, const char *path, const char *adapter, const char *tokenizer,
                    duet_error *err) {
    int rc;
    struct err e;
    const struct adapter_use use = {.weights = DT_F32, .scale = 1};
    duet_model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return report(err_set(&e, ERR_NOMEM, "out of memory"), &e, err);
    TRY(gemm_init(&m->gemm, "auto", DT_F32, &e));
    TRY(adapter ? adapter_open(&m->model, path, adapter, &use, &e)
                : model_open(&m->model, path, NULL, &e));
    if (tokenizer)
        TRY(tokenizer_open(&m->tok, tokenizer, &e));
    else
        TRY(model_tokenizer(&m->model, &m->tok, &e));
    if (tokenizer_vocab_size(m->tok) > m->model.config.vocab)
        rc = err_set(&e, ERR_INPUT, "%s: the tokenizer has %u tokens, the model only %lld", path,
                     tokenizer_vocab_size(m->tok), (long long)m->model.config.vocab);
out:
    if (rc) duet_close(&m);
    *out = m;
    return report(rc, &e, err);
}

int duet_open(duet_model **out, const char *path, const char *tokenizer, duet_error *err) {
    return open_any(out, path, NULL, tokenizer, err);
}

int duet_open_adapter(duet_model **out, const char *base, const char *adapter,
                      const char *tokenizer, duet_error *err) {
    return open_any(out, base, adapter, tokenizer, err);
}

static int has_adapter(const duet_model *m, duet_error *err) {
    struct err e;
    if (m->model.lora) return DUET_OK;
    return report(err_set(&e, ERR_USAGE, "the model has no adapter"), &e, err);
}

int duet_adapter_scale(duet_model *m, double factor, duet_error *err) {
    struct err e;
    const int rc = has_adapter(m, err);
    if (rc) return rc;
    if (m->model.lora->opts.norms)
        return report(err_set(&e, ERR_USAGE, "the adapter's tuned norms have no scale"), &e, err);
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
    free(*m);
    *m = NULL;
}

int64_t duet_vocab_size(const duet_model *m) {
    return m->model.config.vocab;
}

int64_t duet_param_count(const duet_model *m) {
    return model_param_count(&m->model);
}

int64_t duet_context(const duet_model *m) {
    return m->model.config.seq_len;
}

int duet_encode(const duet_model *m, const char *text, size_t bytes, uint32_t **ids, size_t *n,
                duet_error *err) {
    struct err e;
    struct tok_ids list = {0};
    const int rc = tokenizer_encode(m->tok, text, bytes, true, true, &list, &e);
    if (rc) {
        free(list.ids);
        list = (struct tok_ids){0};
    }
    *ids = list.ids;
    *n = list.n;
    return report(rc, &e, err);
}

int duet_decode(const duet_model *m, const uint32_t *ids, size_t n, char **text, size_t *bytes,
                duet_error *err) {
    struct err e;
    struct tok_bytes out = {0};
    const int rc = tokenizer_decode(m->tok, ids, n, true, &out, &e);
    if (rc) {
        free(out.data);
        out = (struct tok_bytes){0};
    }
    *text = out.data;
    *bytes = out.n;
    return report(rc, &e, err);
}

static int check_ids(const duet_model *m, const uint32_t *ids, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= m->model.config.vocab)
            return err_set(e, ERR_INPUT, "token id %u at %zu is outside the vocabulary of %lld",
                           ids[i], i, (long long)m->model.config.vocab);
    return 0;
}

int duet_score(duet_model *m, const uint32_t *ids, size_t n, float *nll, duet_error *err) {
    int rc;
    struct err e;
    struct exec x = {0};
    if (n < 2)
        return report(err_set(&e, ERR_USAGE, "a score needs at least 2 tokens, found %zu", n), &e,
                      err);
    TRY(check_ids(m, ids, n, &e));
    const struct exec_opts o = {.B = 1, .T = (int64_t)n - 1};
    TRY(exec_open(&x, &m->model.graph, &m->gemm, &o, &e));
    const struct batch b = {.B = 1, .T = o.T, .input = ids, .target = ids + 1, .nll = nll};
    exec_run(&x, &b);
out:
    exec_close(&x);
    return report(rc, &e, err);
}

duet_sampling duet_default_sampling(void) {
    return (duet_sampling){.temperature = 0.8, .top_p = 1, .seed = 1, .max_tokens = 256};
}

struct sink {
    const duet_model *m;
    int (*piece)(void *ctx, const char *bytes, size_t n);
    void *ctx;
};

static bool emit(void *ctx, uint32_t prev, uint32_t id) {
    const struct sink *s = ctx;
    size_t n;
    const char *bytes = tokenizer_piece(s->m->tok, (int64_t)prev, id, &n);
    return s->piece(s->ctx, bytes, n) == 0;
}

int duet_generate(duet_model *m, const char *prompt, const duet_sampling *s,
                  int (*piece)(void *ctx, const char *bytes, size_t n), void *ctx,
                  duet_error *err) {
    int rc;
    struct err e;
    struct sample_stats stats;
    struct tok_ids ids = {0};
    struct sink sink = {m, piece, ctx};
    const duet_sampling d = s ? *s : duet_default_sampling();
    struct sample_opts o = {.temperature = d.temperature,
                            .top_k = d.top_k,
                            .top_p = d.top_p,
                            .min_p = d.min_p,
                            .seed = d.seed,
                            .tokens = d.max_tokens};
    sample_stops(&m->model, m->tok, &o);
    TRY(sample_prompt(m->tok, prompt, &ids, &e));
    TRY(check_ids(m, ids.ids, ids.n, &e));
    TRY(sample_run(&m->model, &m->gemm, &o, ids.ids, (int64_t)ids.n, emit, &sink, &stats, &e));
out:
    free(ids.ids);
    return report(rc, &e, err);
}

int duet_convert(const char *in, const char *out, const char *format, const char *dtype,
                 duet_error *err) {
    int rc;
    struct err e;
    struct model_file mf = {0};
    struct export_report r;
    const struct export_opts o = {.dtype = dtype ? dtype_find(dtype) : -1};
    const struct format *f = format_find(format);
    bool adapter;
    if (!f || !f->write || !f->models || (dtype && o.dtype < 0))
        return report(err_set(&e, ERR_USAGE, "\"%s\" is no %s that duet writes",
                              dtype && o.dtype < 0 ? dtype : format,
                              dtype && o.dtype < 0 ? "type" : "format"),
                      &e, err);
    TRY(model_file_open(&mf, in, true, &e));
    TRY(adapter_probe(&mf, &adapter, &e));
    if (adapter) {
        rc = err_set(&e, ERR_INPUT, "%s is an adapter, not a model", in);
        goto out;
    }
    TRY(model_import_file(&mf, &e));
    TRY(model_export(&mf, f, out, &o, &r, &e));
out:
    model_file_close(&mf);
    return report(rc, &e, err);
}
