#include "paired.h"

#include "import.h"
#include "log.h"
#include "run_start.h"
#include "run_text.h"
#include "train_opts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct log_progress line;
    const char *name;
};

static void progress(void *ctx, uint64_t done, uint64_t total) {
    struct job *j = ctx;
    char doing[160];
    snprintf(doing, sizeof doing, "evaluating %.140s", j->name);
    log_bar(&j->line, doing, done, total, "documents");
}

/* Quantile 0.975 of Student's t: exact for 1 and 2 degrees of freedom, else Cornish-Fisher's series
 * (Abramowitz and Stegun 26.7.5), within 0.5 %. */
static double student(double v) {
    const double z = 1.959963985, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
    if (v < 1.5) return 12.7062;
    if (v < 2.5) return 4.30265;
    return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v);
}

/* ---- what to measure on ---------------------------------------------------------------------- */

static bool same_docs(const struct docs *a, const struct docs *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->spans[i].bytes != b->spans[i].bytes ||
            memcmp(a->text + a->spans[i].offset, b->text + b->spans[i].offset, a->spans[i].bytes))
            return false;
    return true;
}

static int64_t seq_of(const struct record *r, const struct model *m) {
    const double seq = record_number(r->options, "seq");
    return seq > 0 && seq < 1 << 20 ? (int64_t)seq : m->config.seq_len;
}

/* One that was opened: the model is there as long as it takes to look at it. */
static int open_run(struct model *m, struct tokenizer **t, const struct record *r,
                    const struct paired_opts *o, struct err *e) {
    int rc;
    struct run_files f = {0};
    const struct adapter_use use = {.weights = DT_F32, .scale = 1, .pool = o->machine->pool};
    if (!r->model)
        return err_set(e, ERR_INPUT, "%s has no model: no checkpoint was written", r->dir);
    TRY(run_files_find(&f, o->best && r->best ? r->best : r->dir, NULL, e));
    TRY(run_files_open(&f, m, &use, e));
    TRY(model_pick_tokenizer(m, NULL, r->dir, t, e));
out:
    run_files_release(&f);
    return rc;
}

struct looked {
    struct docs docs; /* of the first */
    int64_t seq;
};

/* All runs are looked at before any is measured. */
static int look(struct looked *k, const struct run_list *l, const struct paired_opts *o,
                struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < l->n && !rc; i++) {
        struct model m = {0};
        struct tokenizer *t = NULL;
        struct docs d = {0};
        const struct record *r = l->run + i;
        rc = open_run(&m, &t, r, o, e);
        const int64_t seq = rc ? 0 : seq_of(r, &m);
        if (!rc && (!k->seq || seq < k->seq)) k->seq = seq;
        if (!rc && !o->data.n)
            rc = run_text(r, RUN_VAL, t, o->machine->pool, seq, i ? &d : &k->docs, e);
        if (!rc && !o->data.n && i && !same_docs(&k->docs, &d))
            rc = err_set(e, ERR_INPUT,
                         "%s and %s do not validate on the same text: give one with --data",
                         l->run[0].dir, r->dir);
        docs_release(&d);
        tokenizer_close(t);
        model_close(&m);
    }
    return rc;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static int measure(struct exact_result *out, const struct record *r, const struct docs *d,
                   int64_t context, const struct paired_opts *po, struct err *e) {
    int rc;
    struct model m = {0};
    struct tokenizer *t = NULL;
    struct job job = {.name = r->dir};
    const struct exact_opts o = {.context = context, .progress = progress, .ctx = &job};
    log_progress_init(&job.line, po->quiet);
    TRY(open_run(&m, &t, r, po, e));
    rc = exact_run(&m, po->machine, t, d, &o, out, e);
    if (rc) err_prefix(e, "%s", r->dir);
out:
    log_progress_end(&job.line);
    tokenizer_close(t);
    model_close(&m);
    return rc;
}

static void take(struct paired *p, const struct exact_result *r, size_t n) {
    p->same_tokens = true;
    for (size_t i = 0; i < n; i++) {
        struct paired_run *x = p->run + i;
        x->own = exact_total(r + i);
        x->low = x->high = NAN;
        p->same_tokens &= x->own.tokens == p->run[0].own.tokens;
        if (!i) continue;
        x->diff = exact_paired(r + i, r);
        const double t = p->documents > 1 ? student((double)p->documents - 1) : NAN;
        x->low = x->diff.bpb - t * x->diff.bpb_stderr;
        x->high = x->diff.bpb + t * x->diff.bpb_stderr;
    }
}

static void name_text(struct paired *p, const struct run_list *l, const struct paired_opts *o) {
    if (o->data.n)
        snprintf(p->text, sizeof p->text, "%s%s", o->data.item[0], o->data.n > 1 ? ", ..." : "");
    else
        snprintf(p->text, sizeof p->text, "the validation text of %s", l->run[0].dir);
}

int paired_run(struct paired *p, const struct run_list *l, const struct paired_opts *o,
               struct err *e) {
    int rc;
    struct looked k = {0};
    struct exact_result *r = calloc(l->n, sizeof *r);
    *p = (struct paired){.run = calloc(l->n, sizeof *p->run), .n = l->n};
    if (!r || !p->run) {
        rc = err_set(e, ERR_NOMEM, "out of memory for an evaluation");
        goto out;
    }
    TRY(look(&k, l, o, e));
    if (o->data.n) TRY(docs_read(&k.docs, o->data.item, o->data.n, e));
    if (o->documents && k.docs.n > (size_t)o->documents) k.docs.n = (size_t)o->documents;
    p->best = o->best;
    p->documents = k.docs.n;
    p->context = o->seq ? o->seq : k.seq;
    name_text(p, l, o);
    for (size_t i = 0; i < l->n; i++)
        TRY(measure(r + i, l->run + i, &k.docs, p->context, o, e));
    take(p, r, l->n);
out:
    for (size_t i = 0; r && i < l->n; i++) exact_release(r + i);
    free(r);
    docs_release(&k.docs);
    if (rc) paired_release(p);
    return rc;
}

void paired_release(struct paired *p) {
    free(p->run);
    *p = (struct paired){0};
}
