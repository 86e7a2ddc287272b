#include "exact.h"

#include "file.h"
#include "guard.h"
#include "map.h"
#include "score.h"
#include "shard.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Documents that are encoded at a time, by all threads. */
enum { BATCH = 256 };

struct encoded {
    struct tok_ids ids;
    size_t front;
    uint64_t lost;
    int rc;
    struct err e;
};

/* A document's ids: `front` of context, then those to score. */
struct span {
    size_t at, n;
    uint32_t front;
};

struct job {
    const struct tokenizer *t;
    const struct docs *d;
    int64_t start, vocab;
    bool keeps; /* the white space in front counts as context */
    size_t first; /* document of part[0] */
    struct encoded *part; /* BATCH of them */
    struct tok_ids all; /* of all documents */
    struct span *spans;
};

static int encode(const struct job *j, const struct doc_span *s, struct encoded *x) {
    int rc = 0;
    const char *text = j->d->text + s->offset;
    struct err *e = &x->e;
    if (j->start >= 0) {
        x->ids.ids = malloc(sizeof *x->ids.ids);
        if (!x->ids.ids) return err_set(e, ERR_NOMEM, "out of memory for tokens");
        x->ids.ids[0] = (uint32_t)j->start;
        x->ids.n = x->ids.cap = 1;
    }
    if (j->keeps && j->start >= 0)
        TRY(tokenizer_encode(j->t, text - s->before, s->before, false, false, &x->ids, e));
    x->front = x->ids.n;
    TRY(tokenizer_encode(j->t, text, s->bytes, false, false, &x->ids, e));
    for (size_t i = 0; i < x->ids.n; i++)
        if (x->ids.ids[i] >= j->vocab)
            return err_set(e, ERR_INPUT, "token id %u is outside the model's vocabulary of %lld",
                           x->ids.ids[i], (long long)j->vocab);
    TRY(tokenizer_lost(j->t, text, s->bytes, x->ids.ids + x->front, x->ids.n - x->front, &x->lost,
                       e));
out:
    return rc;
}

static void encode_one(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    j->part[i].rc = encode(j, j->d->spans + j->first + i, j->part + i);
}

static int add_document(struct job *j, const struct encoded *x, size_t i, struct exact_result *r,
                        struct err *e) {
    if (x->rc) {
        *e = x->e;
        return err_prefix(e, "document %zu, from byte %zu on", i + 1, j->d->spans[i].offset);
    }
    if (grow(&j->all.ids, &j->all.cap, j->all.n + x->ids.n + 1, sizeof *j->all.ids))
        return err_set(e, ERR_NOMEM, "out of memory for tokens");
    if (x->ids.n) memcpy(j->all.ids + j->all.n, x->ids.ids, x->ids.n * sizeof *x->ids.ids);
    j->spans[i] = (struct span){j->all.n, x->ids.n, (uint32_t)x->front};
    j->all.n += x->ids.n;
    const struct doc_span *span = j->d->spans + i;
    r->docs[i] = (struct exact_doc){.offset = span->offset,
                                    .bytes = span->bytes,
                                    .hash = XXH3_64bits(j->d->text + span->offset, span->bytes),
                                    .tokens = x->ids.n - x->front,
                                    .lost = x->lost};
    if (x->ids.n > r->longest) r->longest = x->ids.n;
    return 0;
}

static int encode_all(struct job *j, struct pool *pool, struct exact_result *r, struct err *e) {
    int rc = 0;
    for (; j->first < r->n && !rc; j->first += BATCH) {
        const size_t n = r->n - j->first < BATCH ? r->n - j->first : BATCH;
        for (size_t i = 0; i < n; i++) j->part[i] = (struct encoded){.rc = 0};
        pool_for(pool, (int64_t)n, encode_one, j);
        for (size_t i = 0; i < n; i++) {
            if (!rc) rc = add_document(j, j->part + i, j->first + i, r, e);
            free(j->part[i].ids.ids);
        }
    }
    return rc;
}

/* Nats of ids[front..n): in windows, each with half a context before what it scores. */
static int score_doc(struct scorer *s, const uint32_t *ids, const struct span *x, int64_t context,
                     float *nll, double *nats, struct err *e) {
    const int64_t n = (int64_t)x->n, half = context / 2;
    int64_t next = (int64_t)x->front; /* the next to be scored */
    double sum = 0;
    if (!next) sum += log((double)s->m->config.vocab), next++;
    while (next < n) {
        const int64_t from = next <= context ? 0 : next - half;
        const int64_t to = n - from - 1 < context ? n : from + context + 1;
        const int rc = scorer_run(s, ids + from, to - from, nll, e);
        if (rc) return rc;
        for (; next < to; next++) sum += (double)nll[next - from - 1];
    }
    *nats = sum;
    return 0;
}

static int score_all(struct model *m, const struct machine *machine, const struct job *j,
                     const struct exact_opts *o, struct exact_result *r, struct err *e) {
    int rc = 0;
    struct scorer s = {0};
    const int64_t most =
        (int64_t)r->longest - 1 < r->context ? (int64_t)r->longest - 1 : r->context;
    float *nll = malloc((size_t)(most + 1) * sizeof *nll);
    if (!nll) return err_set(e, ERR_NOMEM, "out of memory for losses");
    if (most > 0) TRY(scorer_open(&s, m, machine, most, e));
    s.m = m;
    for (size_t i = 0; i < r->n; i++) {
        const struct span *x = j->spans + i;
        rc = score_doc(&s, j->all.ids + x->at, x, r->context, nll, &r->docs[i].nats, e);
        if (rc) {
            err_prefix(e, "document %zu, from byte %zu on", i + 1, j->d->spans[i].offset);
            goto out;
        }
        if (o->progress) o->progress(o->ctx, i + 1, r->n);
    }
    TRY(guard_check_maps(e));
out:
    scorer_close(&s);
    free(nll);
    return rc;
}

int exact_run(struct model *m, const struct machine *machine, const struct tokenizer *t,
              const struct docs *d, const struct exact_opts *o, struct exact_result *r,
              struct err *e) {
    int rc;
    const int64_t all = model_config_context(&m->config);
    struct job j = {.t = t, .d = d, .vocab = m->config.vocab};
    *r = (struct exact_result){.n = d->n, .context = o->context ? o->context : all};
    if (r->context > all || r->context < 2)
        return err_set(e, ERR_USAGE, "a context of %lld tokens: expected 2 to the model's %lld",
                       (long long)r->context, (long long)all);
    r->start = j.start = shard_start(t, &j.keeps);
    r->docs = calloc(d->n, sizeof *r->docs);
    j.spans = calloc(d->n, sizeof *j.spans);
    j.part = malloc(BATCH * sizeof *j.part);
    if (!r->docs || !j.spans || !j.part) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %zu documents", d->n);
        goto out;
    }
    TRY(encode_all(&j, machine->pool, r, e));
    if (o->ready) TRY(o->ready(o->ctx, r, e));
    TRY(score_all(m, machine, &j, o, r, e));
out:
    free(j.all.ids);
    free(j.spans);
    free(j.part);
    if (rc) exact_release(r);
    return rc;
}

void exact_release(struct exact_result *r) {
    free(r->docs);
    *r = (struct exact_result){0};
}

/* ---- totals ---------------------------------------------------------------------------------- */

struct exact_total exact_paired(const struct exact_result *r, const struct exact_result *other) {
    struct exact_total t = {.bpb_stderr = NAN};
    double squares = 0;
    const double n = (double)r->n;
    for (size_t i = 0; i < r->n; i++) {
        const double x = r->docs[i].nats - (other ? other->docs[i].nats : 0);
        t.nats += x;
        t.bytes += r->docs[i].bytes;
        t.tokens += r->docs[i].tokens;
        t.lost += r->docs[i].lost;
        t.better += x < 0;
    }
    const double ratio = t.nats / (double)t.bytes;
    for (size_t i = 0; i < r->n; i++) {
        const double x = r->docs[i].nats - (other ? other->docs[i].nats : 0),
                     off = x - ratio * (double)r->docs[i].bytes;
        squares += off * off;
    }
    t.bpb = ratio / M_LN2;
    if (r->n > 1) t.bpb_stderr = sqrt(n / (n - 1) * squares) / (double)t.bytes / M_LN2;
    return t;
}

struct exact_total exact_total(const struct exact_result *r) {
    return exact_paired(r, NULL);
}

/* ---- files ----------------------------------------------------------------------------------- */

static const char heading[] = "document\toffset\tbytes\txxh3\ttokens\tnats\tlost\n";

int exact_write(const struct exact_result *r, const char *path, struct err *e) {
    int rc;
    struct file_out out = {0};
    TRY(file_out_open(&out, path, e));
    file_out_write(&out, heading, sizeof heading - 1);
    for (size_t i = 0; i < r->n; i++) {
        const struct exact_doc *d = r->docs + i;
        char line[256];
        const int n =
            snprintf(line, sizeof line,
                     "%zu\t%" PRIu64 "\t%" PRIu64 "\t%016" PRIx64 "\t%" PRIu64 "\t%.17g\t%" PRIu64
                     "\n",
                     i + 1, d->offset, d->bytes, d->hash, d->tokens, d->nats, d->lost);
        file_out_write(&out, line, (size_t)n);
    }
    TRY(file_out_commit(&out, e));
out:
    file_out_discard(&out);
    return rc;
}

/* One line of seven numbers; *at moves behind it. */
static bool read_line(char **at, uint64_t *number, struct exact_doc *d) {
    int used = 0;
    char *end = strchr(*at, '\n');
    if (!end) return false;
    *end = 0; /* sscanf measures what is before it first */
    const int n = sscanf(*at,
                         "%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%" SCNx64 "\t%" SCNu64
                         "\t%lf\t%" SCNu64 "%n",
                         number, &d->offset, &d->bytes, &d->hash, &d->tokens, &d->nats, &d->lost,
                         &used);
    const bool ok = n == 7 && !(*at)[used] && isfinite(d->nats) && d->nats >= 0;
    *at = end + 1;
    return ok;
}

static int read_docs(struct exact_result *other, char *at, const char *path,
                     const struct exact_result *r, struct err *e) {
    if (strncmp(at, heading, sizeof heading - 1) != 0)
        return err_set(e, ERR_INPUT, "%s is not what eval --exact --out writes: another first line",
                       path);
    at += sizeof heading - 1;
    for (size_t i = 0; i < r->n; i++) {
        const struct exact_doc *want = r->docs + i;
        struct exact_doc *d = other->docs + i;
        uint64_t number;
        if (!*at)
            return err_set(e, ERR_INPUT, "%s has %zu documents, the text here has %zu", path, i,
                           r->n);
        if (!read_line(&at, &number, d) || number != i + 1)
            return err_set(e, ERR_INPUT, "%s: line %zu is not document %zu's seven numbers", path,
                           i + 2, i + 1);
        if (d->offset != want->offset || d->bytes != want->bytes || d->hash != want->hash)
            return err_set(e, ERR_INPUT,
                           "%s: document %zu is another text: %" PRIu64 " bytes from %" PRIu64
                           " on with hash %016" PRIx64 ", here %" PRIu64 " from %" PRIu64
                           " on with %016" PRIx64,
                           path, i + 1, d->bytes, d->offset, d->hash, want->bytes, want->offset,
                           want->hash);
        if (d->lost != want->lost)
            return err_set(e, ERR_INPUT,
                           "%s: document %zu: its tokenizer stands for all but %" PRIu64
                           " bytes, the one here for all but %" PRIu64
                           ": losses of other bytes do not pair",
                           path, i + 1, d->lost, want->lost);
    }
    return *at ? err_set(e, ERR_INPUT, "%s has more documents than the %zu of the text here", path,
                         r->n)
               : 0;
}

int exact_read(struct exact_result *other, const char *path, const struct exact_result *r,
               struct err *e) {
    int rc;
    char *text = NULL;
    size_t bytes;
    *other = (struct exact_result){.n = r->n, .docs = calloc(r->n, sizeof *other->docs)};
    if (!other->docs) return err_set(e, ERR_NOMEM, "out of memory for %zu documents", r->n);
    TRY(file_read_text(path, (size_t)1 << 30, &text, &bytes, e));
    TRY(read_docs(other, text, path, r, e));
out:
    free(text);
    if (rc) exact_release(other);
    return rc;
}

bool exact_probe(const void *data, size_t n) {
    return n >= sizeof heading - 1 && !memcmp(data, heading, sizeof heading - 1);
}

static int load_docs(struct exact_result *r, char *at, const char *path, struct err *e) {
    size_t cap = 0;
    while (*at) {
        uint64_t number;
        if (grow(&r->docs, &cap, r->n + 1, sizeof *r->docs))
            return err_set(e, ERR_NOMEM, "out of memory for the documents of %s", path);
        if (!read_line(&at, &number, r->docs + r->n) || number != r->n + 1)
            return err_set(e, ERR_INPUT, "%s: line %zu is not document %zu's seven numbers", path,
                           r->n + 2, r->n + 1);
        r->n++;
    }
    return 0;
}

int exact_load(struct exact_result *r, const char *path, struct err *e) {
    int rc;
    char *text = NULL;
    size_t bytes;
    *r = (struct exact_result){0};
    TRY(file_read_text(path, (size_t)1 << 30, &text, &bytes, e));
    if (!exact_probe(text, bytes)) {
        rc = err_set(e, ERR_INPUT, "%s is not what eval --exact --out writes: another first line",
                     path);
        goto out;
    }
    TRY(load_docs(r, text + sizeof heading - 1, path, e));
out:
    free(text);
    if (rc) exact_release(r);
    return rc;
}
