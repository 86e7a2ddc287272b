#include "eval_exact.h"

#include "exact.h"
#include "log.h"
#include "shard.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

struct job {
    struct log_progress line;
    const char *paired; /* or NULL */
    struct exact_result other;
};

/* That the figures to pair with are of the same documents is known before any is scored. */
static int ready(void *ctx, const struct exact_result *r, struct err *e) {
    struct job *j = ctx;
    return j->paired ? exact_read(&j->other, j->paired, r, e) : 0;
}

static void progress(void *ctx, uint64_t done, uint64_t total) {
    struct job *j = ctx;
    log_bar(&j->line, "evaluating", done, total, "documents");
}

static json_t *real(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

/* What is printed, in order; print_text and print_json walk it. */
static json_t *describe(const struct model *m, const struct tokenizer *t,
                        const struct exact_result *r, const struct exact_result *other) {
    const struct exact_total a = exact_total(r);
    json_t *j =
        json_pack("{s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I}", "nats", real(a.nats), "bits_per_byte",
                  real(a.bpb), "bits_per_byte_stderr", real(a.bpb_stderr), "nats_per_token",
                  real(a.nats / (double)a.tokens), "documents", (json_int_t)r->n, "bytes",
                  (json_int_t)a.bytes, "lost_bytes", (json_int_t)a.lost, "tokens",
                  (json_int_t)a.tokens, "context", (json_int_t)r->context);
    if (r->start >= 0) {
        size_t n;
        const char *text = tokenizer_piece(t, -1, (uint32_t)r->start, &n);
        json_object_set_new(j, "start_token", json_stringn_nocheck(text, n));
    } else {
        json_object_set_new(j, "start_token", json_null());
        json_object_set_new(j, "first_token_nats", json_real(log((double)m->config.vocab)));
    }
    if (!other) return j;
    const struct exact_total d = exact_paired(r, other);
    json_object_set_new(j, "paired_nats", real(d.nats));
    json_object_set_new(j, "paired_bits_per_byte", real(d.bpb));
    json_object_set_new(j, "paired_bits_per_byte_stderr", real(d.bpb_stderr));
    json_object_set_new(j, "documents_better", json_integer((json_int_t)d.better));
    return j;
}

static void print(json_t *j, bool json) {
    const char *key;
    json_t *v;
    if (json) {
        char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
        printf("%s\n", text ? text : "{}");
        free(text);
        return;
    }
    printf("---\n");
    json_object_foreach(j, key, v) {
        if (json_is_real(v)) term_fact(stdout, key, "%.6f", json_real_value(v));
        if (json_is_integer(v)) term_fact(stdout, key, "%lld", (long long)json_integer_value(v));
        if (json_is_string(v)) term_fact(stdout, key, "%s", json_string_value(v));
        if (json_is_null(v)) term_fact(stdout, key, "%s", key[0] == 's' ? "none" : "unknown");
    }
}

/* Positions that training never reached make a document look worse than it is. */
static void note_length(const struct model *m, const struct exact_result *r,
                        struct log_progress *line) {
    const json_t *trained = json_object_get(json_object_get(m->config.json, "duet"), "seq_len");
    const int64_t used =
        (int64_t)r->longest - 1 < r->context ? (int64_t)r->longest - 1 : r->context;
    if (json_is_integer(trained) && used > m->config.seq_len)
        log_warn(line,
                 "windows of up to %lld tokens, the model was last trained at %lld; --seq %lld "
                 "keeps to that",
                 (long long)used, (long long)m->config.seq_len,
                 (long long)m->config.seq_len);
}

/* bits_per_byte divides by bytes that nothing was paid for. */
static void warn_lost(const struct exact_result *r, struct log_progress *line) {
    const struct exact_total a = exact_total(r);
    size_t documents = 0;
    for (size_t i = 0; i < r->n; i++) documents += r->docs[i].lost > 0;
    if (a.lost)
        log_warn(line,
                 "warning: the tokenizer has no tokens for %llu of the %llu bytes, in %zu of %zu "
                 "documents (it drops them, or they become an unknown token): they cost no nats, "
                 "and bits_per_byte cannot be compared with that of another tokenizer",
                  (unsigned long long)a.lost, (unsigned long long)a.bytes, documents, r->n);
}

int eval_exact(struct model *m, const struct machine *machine, const struct tokenizer *t,
               const struct eval_exact_opts *o, struct err *e) {
    int rc;
    struct docs d = {0};
    struct exact_result r = {0};
    struct job job = {.paired = o->paired};
    log_progress_init(&job.line, o->quiet);
    const struct exact_opts eo = {
        .context = o->context, .ready = ready, .progress = progress, .ctx = &job};
    if (!o->run && shard_probe(o->data.item[0])) {
        rc = err_set(e, ERR_INPUT, "%s is a shard; --exact needs the text itself", o->data.item[0]);
        goto out;
    }
    TRY(o->run ? run_text(o->run, o->part, t, machine->pool, o->context, &d, e)
               : docs_read(&d, o->data.item, o->data.n, e));
    log_begin(&job.line);
    TRY(exact_run(m, machine, t, &d, &eo, &r, e));
    log_bar_end(&job.line, "evaluated", r.n, "documents");
    if (o->out) TRY(exact_write(&r, o->out, e));
    note_length(m, &r, &job.line);
    if (d.trailers)
        log_warn(&job.line,
                 "note: %zu trailer%s of built-in corpora inside the text %s scored as text; give "
                 "corpora as files of their own",
                  d.trailers, d.trailers == 1 ? "" : "s", d.trailers == 1 ? "is" : "are");
    warn_lost(&r, &job.line);
    json_t *j = describe(m, t, &r, o->paired ? &job.other : NULL);
    print(j, o->json);
    json_decref(j);
out:
    log_progress_end(&job.line);
    exact_release(&r);
    exact_release(&job.other);
    docs_release(&d);
    return rc;
}
