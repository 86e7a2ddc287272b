/* duet diff: where two models differ. */
#include "cmd.h"
#include "compare.h"
#include "export.h"
#include "facts.h"
#include "model_diff.h"
#include "num.h"
#include "run_start.h"
#include "screen.h"
#include "table.h"
#include "term.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct opts {
    bool all, logits, json;
    int64_t threads;
    struct machine machine; /* no option */
};

enum { FEW = 10 }; /* tensors without --all */

#define O struct opts
static const struct conf_row rows[] = {
    CONF_BOOL(O, all, "all", "every tensor that differs, and those that do not"),
    CONF_BOOL(O, logits, "logits",
              "run both on the same tokens and compare logits and probabilities", .def = "true"),
    CONF_BOOL(O, json, "json", "print JSON, with every tensor"),
    THREADS_ROW(O, threads), CONF_END};
#undef O

struct job {
    const char *path[2];
    struct diff_side a, b;
    struct model_diff diff;
    struct run_files files[2];
    bool computed; /* compare is filled */
    struct compare compare;
    struct err why; /* not */
};

/* ---- logits ---------------------------------------------------------------------------------- */

static int compare_logits(struct job *j, const struct machine *machine, struct err *e) {
    int rc;
    if (j->a.adapter || j->b.adapter) {
        err_set(&j->why, ERR_INPUT, "an adapter alone computes none");
        return 0;
    }
    for (int i = 0; i < 2; i++) TRY(run_files_find(j->files + i, j->path[i], NULL, e));
    const struct compare_side a = {j->files[0].model, j->files[0].adapter, NULL},
                              b = {j->files[1].model, j->files[1].adapter, NULL};
    rc = model_compare(machine, &a, &b, &j->compare, &j->why);
    j->computed = !rc;
    if (rc == ERR_NOMEM) *e = j->why;
    if (rc != ERR_NOMEM) rc = 0; /* other shapes, no weights: the rest is told */
out:
    return rc;
}

/* Where logits were computed they decide what a description means. */
static bool differs(const struct job *j) {
    const struct model_diff *d = &j->diff;
    if (d->n_same < d->n || !strcmp(d->tokenizer, "differ") || !strncmp(d->tokenizer, "only", 4))
        return true;
    return j->computed ? !j->compare.exact : json_object_size(d->config) > 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

static int width(void) {
    return isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0;
}

static void set_json(struct table *t, int col, const json_t *v) {
    char *text = json_is_null(v) ? NULL
                                 : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT |
                                                     JSON_REAL_PRECISION(9));
    if (text) table_set(t, col, "%.60s%s", text, strlen(text) > 60 ? "..." : "");
    free(text);
}

static void print_config(const struct job *j) {
    struct table t = {0};
    const char *key;
    json_t *v;
    if (!json_object_size(j->diff.config)) {
        puts("config: the same");
        return;
    }
    table_column(&t, "config", true, 0);
    table_column(&t, j->path[0], true, 0);
    table_column(&t, j->path[1], true, 0);
    json_object_foreach(j->diff.config, key, v) {
        table_row(&t);
        table_set(&t, 0, "%s", key);
        set_json(&t, 1, json_array_get(v, 0));
        set_json(&t, 2, json_array_get(v, 1));
    }
    table_print(&t, width(), NULL, stdout);
    table_release(&t);
}

/* "f32 257x32", of two types "f32, f16 257x32", of two shapes both. */
static void set_shape(struct table *t, int col, const struct mf_tensor *x,
                      const struct mf_tensor *y) {
    char shape[2][48] = {"", ""};
    for (int i = 0; i < 2; i++) {
        const struct mf_tensor *z = i ? y : x;
        if (z && z->ndim == 2)
            snprintf(shape[i], sizeof *shape, " %llux%llu", (unsigned long long)z->shape[0],
                     (unsigned long long)z->shape[1]);
        else if (z)
            snprintf(shape[i], sizeof *shape, " %llu", (unsigned long long)z->shape[0]);
    }
    const char *p = x ? dtype_row(x->dtype)->name : "", *q = y ? dtype_row(y->dtype)->name : "";
    const bool same = x && y && !strcmp(shape[0], shape[1]);
    if (same && !strcmp(p, q))
        table_set(t, col, "%s%s", p, shape[0]);
    else
        table_set(t, col, "%s%s%s%s%s", p, same ? "" : shape[0], x && y ? ", " : "", q, shape[1]);
}

static void print_tensors(const struct job *j, bool all) {
    const struct model_diff *d = &j->diff;
    const size_t other = d->n - d->n_same, shown = all ? d->n : other < FEW ? other : FEW;
    struct table t = {0};
    printf("\ntensors: %zu, %zu of them the same\n", d->n, d->n_same);
    if (!shown) return;
    table_column(&t, "tensor", true, 0);
    table_column(&t, "largest", false, 0);
    table_column(&t, "rms", false, 0);
    table_column(&t, "of its rms", false, 1);
    table_column(&t, "type", true, 2);
    for (size_t i = 0; i < shown; i++) {
        const struct tensor_diff *x = d->tensor + i;
        table_row(&t);
        table_set(&t, 0, "%s", x->name);
        set_shape(&t, 4, x->a, x->b);
        if (x->kind != DIFF_BOTH) {
            table_set(&t, 1, "%s", x->kind == DIFF_SHAPE ? "other shape"
                                   : x->a                ? "only in A"
                                                         : "only in B");
            continue;
        }
        if (isnan(x->max)) table_set(&t, 1, "differ");
        if (isnan(x->max)) continue;
        table_set(&t, 1, "%.3g", x->max);
        table_set(&t, 2, "%.3g", x->rms);
        if (x->scale > 0) table_set(&t, 3, "%.3g %%", 100 * x->rms / x->scale);
    }
    table_print(&t, width(), NULL, stdout);
    if (shown < other) printf("and %zu more that differ; --all has them\n", other - shown);
    table_release(&t);
}

static void print_text(const struct job *j, const struct opts *o) {
    const struct compare *c = &j->compare;
    printf("A: %s (%s)\nB: %s (%s)\n\n", j->path[0],
           j->a.mf.format ? j->a.mf.format->name : "base and adapter", j->path[1],
           j->b.mf.format ? j->b.mf.format->name : "base and adapter");
    print_config(j);
    printf("tokenizer: %s\n", j->diff.tokenizer);
    print_tensors(j, o->all);
    if (j->computed && c->exact)
        printf("\nlogits: the same at %lld positions, bit for bit\n", (long long)c->tokens);
    else if (j->computed)
        printf("\nlogits: largest difference %.3g (largest logit %.3g), of a probability %.3g, at "
               "%lld positions%s\n",
               c->max_diff, c->max_logit, c->max_prob, (long long)c->tokens,
               c->finite ? "" : "; some are no numbers");
    if (!o->logits || j->computed) return;
    printf("\nlogits: not compared: ");
    screen_write(stdout, j->why.msg, strlen(j->why.msg));
    putchar('\n');
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_tensor(const struct tensor_diff *x) {
    static const char *const kinds[] = {"both", "only in A", "only in B", "other shape"};
    json_t *o = json_object();
    facts_text(o, "name", x->name);
    facts_text(o, "in", kinds[x->kind]);
    if (x->a) facts_text(o, "dtype_a", dtype_row(x->a->dtype)->name);
    if (x->b) facts_text(o, "dtype_b", dtype_row(x->b->dtype)->name);
    if (x->kind != DIFF_BOTH) return o;
    facts_put(o, "same", json_boolean(x->same));
    facts_put(o, "max", num_json(x->max));
    facts_put(o, "rms", num_json(x->rms));
    facts_put(o, "rms_a", num_json(x->scale));
    return o;
}

static void print_json(const struct job *j) {
    json_t *o = json_object(), *list = json_array(), *l = NULL;
    const struct compare *c = &j->compare;
    for (size_t i = 0; i < j->diff.n; i++)
        json_array_append_new(list, json_tensor(j->diff.tensor + i));
    if (j->computed) {
        l = json_object();
        facts_put(l, "same", json_boolean(c->exact));
        facts_put(l, "positions", json_integer((json_int_t)c->tokens));
        facts_put(l, "max_difference", num_json(c->max_diff));
        facts_put(l, "max_logit", num_json(c->max_logit));
        facts_put(l, "max_probability_difference", num_json(c->max_prob));
    }
    facts_text(o, "a", j->path[0]);
    facts_text(o, "b", j->path[1]);
    facts_put(o, "same", json_boolean(!differs(j)));
    facts_put(o, "config", json_incref(j->diff.config));
    facts_text(o, "tokenizer", j->diff.tokenizer);
    facts_whole(o, "tensors_same", j->diff.n_same);
    facts_put(o, "tensors", list);
    facts_put(o, "logits", l ? l : json_null());
    facts_print_json(o, stdout);
    json_decref(o);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int diff(struct job *j, const struct opts *o, struct err *e) {
    int rc;
    TRY(diff_side_open(&j->a, j->path[0], &o->machine, e));
    TRY(diff_side_open(&j->b, j->path[1], &o->machine, e));
    if (j->a.adapter != j->b.adapter) {
        rc = err_set(e, ERR_INPUT, "%s is an adapter, and %s is a model",
                     j->path[j->a.adapter ? 0 : 1], j->path[j->a.adapter ? 1 : 0]);
        goto out;
    }
    TRY(model_diff_make(&j->diff, &j->a, &j->b, e));
    if (o->logits) TRY(compare_logits(j, &o->machine, e));
    if (o->json)
        print_json(j);
    else
        print_text(j, o);
    if (differs(j)) rc = CMD_DIFFERS;
out:
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct job j = {0};
    TRY(cmd_parse(&cmd_diff, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 2) {
        rc = err_set(e, ERR_USAGE, "diff takes two models, found %d", conf.n_pos);
        goto out;
    }
    TRY(cmd_machine(&o.machine, o.threads, e));
    j.path[0] = conf.pos[0];
    j.path[1] = conf.pos[1];
    TRY(diff(&j, &o, e));
out:
    model_diff_release(&j.diff);
    diff_side_close(&j.a);
    diff_side_close(&j.b);
    for (int i = 0; i < 2; i++) run_files_release(j.files + i);
    machine_close(&o.machine);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_diff = {
    .name = "diff",
    .summary = "Say where two models differ: description, tokenizer, tensors, logits.",
    .usage = "A B [--all] [--no-logits] [--json]",
    .notes = "A and B are models of any formats, or run folders (a LoRA run is its base with its "
             "adapter), or\n"
             "two adapters. Values are compared as f32, the rows of rotary heads in one order; "
             "largest and rms\n"
             "are of the differences of a tensor. Exit status: 0 the same (every value of the "
             "tensors, the\n"
             "tokenizer, every logit; of descriptions only what changes a logit counts, with "
             "--no-logits every\n"
             "key), 3 different, 1 and 2 errors.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
