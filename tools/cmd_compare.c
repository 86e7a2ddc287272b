/* duet compare: what two or more runs did differently, and what came of it. */
#include "cmd.h"
#include "curves.h"
#include "facts.h"
#include "file.h"
#include "num.h"
#include "paired.h"
#include "screen.h"
#include "table.h"
#include "term.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct opts {
    struct conf_list data;
    int64_t seq, documents, threads;
    struct machine machine; /* no option */
    bool eval, best, json, quiet;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_BOOL(O, eval, "eval",
              "evaluate the models on the same text, document by document: the difference from the "
              "first with its error",
              .def = "true"),
    CONF_BOOL(
        O, best, "best",
        "evaluate the models that validated best (best.blzt) instead of the last, where a run "
        "kept one"),
    CONF_LIST(O, data, "data", "FILE",
              "texts to evaluate on, repeatable; default: what all the runs validate on"),
    CONF_INT(O, documents, "documents", "0", 0, 1e12,
             "evaluate the first so many documents; 0: all"),
    CONF_INT(O, seq, "seq", "0", 0, 1 << 20,
             "tokens of a window; 0: the smallest that one of the runs was trained at"),
    THREADS_ROW(O, threads),
    CONF_BOOL(O, json, "json", "print JSON"),
    CONF_BOOL(O, quiet, "quiet", "no progress line"),
    CONF_END};
#undef O

static double bits_to_nats(double bits) {
    return bits * 0.69314718055994531;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static int width(void) {
    return isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0;
}

static void heads(struct table *t, const char *first, const struct run_list *l) {
    table_column(t, first, true, 0);
    /* Where there is no room the last ones go, which the table says; two are compared anywhere. */
    for (size_t i = 0; i < l->n; i++)
        table_column(t, l->run[i].dir, false, i < 2 ? 0 : (int)(i < 1000 ? i : 1000));
}

static void set_real(struct table *t, size_t col, double x, double se, int digits) {
    if (isfinite(x) && isfinite(se))
        table_set(t, (int)col + 1, "%.*f %s%.*f", digits, x, term_pm(), digits, se);
    else if (isfinite(x))
        table_set(t, (int)col + 1, "%.*f", digits, x);
}

static int print_options(const struct run_list *l, struct err *e) {
    char **keys = NULL;
    size_t n = 0;
    struct table t = {0};
    const int rc = run_list_options(l, false, &keys, &n, e);
    heads(&t, "options that differ", l);
    for (size_t i = 0; i < n && !rc; i++) {
        table_row(&t);
        table_set(&t, 0, "%s", keys[i]);
        for (size_t k = 0; k < l->n; k++) {
            char *text = run_option(l->run + k, keys[i], 6);
            table_set(&t, (int)k + 1, "%s", text ? text : "");
            free(text);
        }
    }
    if (!rc) table_print(&t, width(), "--json has all", stdout);
    if (!rc && !n) puts("(no option differs)");
    table_release(&t);
    run_list_free_options(keys, n);
    return rc;
}

/* What was reached, of the summary or the last lines. */
static const struct figure {
    const char *name, *key; /* of the summary */
    int digits; /* -6: in millions there, as a whole number here */
} figures[] = {{"val_loss", "val_loss", 4},          {"val_bpb", "val_bpb", 4},
               {"val_accuracy", "val_accuracy", 4},  {"train_loss (smoothed)", "train_loss", 4},
               {"tokens", "total_tokens_M", -6},     {"seconds", "training_seconds", 1},
               {"tokens/s", "tokens_per_second", 0}, {"ms a step", "ms_per_step", 2},
               {"peak MB", "peak_rss_mb", 1},        {"GEMM peak", "gemm_peak_gflops", 0}};

static double figure_of(const struct record *r, const struct figure *f) {
    const struct record_step *s = r->n_steps ? r->steps + r->n_steps - 1 : NULL;
    const struct record_val *v = r->n_vals ? r->vals + r->n_vals - 1 : NULL;
    if (r->status == RECORD_FINISHED) return record_number(r->summary, f->key);
    if (v && !strcmp(f->key, "val_loss")) return v->loss;
    if (s && !strcmp(f->key, "train_loss")) return s->loss;
    if (s && !strcmp(f->key, "total_tokens_M")) return s->tokens * 1e-6;
    if (s && !strcmp(f->key, "training_seconds")) return s->seconds;
    if (s && !strcmp(f->key, "tokens_per_second")) return s->tokens / s->seconds;
    if (s && !strcmp(f->key, "ms_per_step")) return 1e3 * s->seconds / (double)s->step;
    return NAN;
}

static double figure_error(const struct record *r, const struct figure *f) {
    if (strcmp(f->key, "val_loss") != 0) return NAN;
    if (r->status == RECORD_FINISHED) return record_number(r->summary, "val_loss_stderr");
    return r->n_vals ? r->vals[r->n_vals - 1].stderr_ : NAN;
}

/* smoothed: with the training loss, which lags some 20 updates behind. */
static void print_figures(const struct run_list *l, bool smoothed) {
    struct table t = {0};
    heads(&t, "reached", l);
    table_row(&t);
    table_set(&t, 0, "status");
    for (size_t k = 0; k < l->n; k++)
        table_set(&t, (int)k + 1, "%s", record_status_name(l->run[k].status));
    table_row(&t);
    table_set(&t, 0, "step");
    for (size_t k = 0; k < l->n; k++)
        table_set(&t, (int)k + 1, "%lld", (long long)l->run[k].step);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        bool any = false;
        for (size_t k = 0; k < l->n; k++) any |= isfinite(figure_of(l->run + k, figures + i));
        if (!any || (!smoothed && !strcmp(figures[i].key, "train_loss"))) continue;
        table_row(&t);
        table_set(&t, 0, "%s", figures[i].name);
        const bool millions = figures[i].digits < 0;
        for (size_t k = 0; k < l->n; k++)
            set_real(&t, k, (millions ? 1e6 : 1) * figure_of(l->run + k, figures + i),
                     figure_error(l->run + k, figures + i), millions ? 0 : figures[i].digits);
    }
    putchar('\n');
    table_print(&t, width(), "--json has all", stdout);
    table_release(&t);
}

static void print_curve(const struct curve *c, const struct run_list *l) {
    struct table t = {0};
    char title[96];
    if (!c->n) return;
    snprintf(title, sizeof title, "%s at %s%s", c->val ? "val_loss" : "loss",
             curve_axis_name(c->axis), c->axis == CURVE_STEPS ? "" : " (linear between lines)");
    heads(&t, title, l);
    for (size_t p = 0; p < c->n; p++) {
        table_row(&t);
        table_set(&t, 0, c->axis == CURVE_SECONDS ? "%.2f" : "%.0f", c->at[p]);
        for (size_t k = 0; k < l->n; k++)
            set_real(&t, k, c->loss[p * l->n + k], c->stderr_[p * l->n + k], 4);
    }
    putchar('\n');
    table_print(&t, width(), "--json has all", stdout);
    table_release(&t);
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* "better by 2.8 se": of less than 2 it is said that nothing is known. */
static const char *verdict(const struct paired_run *x, char buf[96]) {
    const double se = x->diff.bpb / x->diff.bpb_stderr;
    if (x->diff.nats == 0)
        snprintf(buf, 96, "the same");
    else if (!isfinite(se))
        snprintf(buf, 96, "%s; a single document has no error",
                 x->diff.bpb < 0 ? "better" : "worse");
    else
        snprintf(buf, 96, "%s by %.1f se%s", se < 0 ? "better" : "worse", fabs(se),
                 x->low <= 0 && x->high >= 0 ? ": no clear difference" : "");
    return buf;
}

static void print_paired(const struct paired *p, const struct run_list *l) {
    char buf[96];
    struct table t = {0};
    printf("\nThe %s models on %s: %zu documents, windows of %lld tokens\n",
           p->best ? "best" : "last", p->text, p->documents, (long long)p->context);
    table_column(&t, "run", true, 0);
    table_column(&t, "bits/byte", false, 0);
    table_column(&t, "minus the first", false, 0);
    table_column(&t, "95 % interval", false, 2);
    table_column(&t, p->same_tokens ? "nats/token" : "nats/byte", false, 3);
    table_column(&t, "better on", false, 4);
    table_column(&t, "verdict", true, 0);
    for (size_t i = 0; i < p->n; i++) {
        const struct paired_run *x = p->run + i;
        const double per = p->same_tokens ? (double)x->own.bytes / (double)x->own.tokens : 1;
        table_row(&t);
        table_set(&t, 0, "%s", l->run[i].dir);
        set_real(&t, 0, x->own.bpb, x->own.bpb_stderr, 4);
        if (!i) continue;
        set_real(&t, 1, x->diff.bpb, x->diff.bpb_stderr, 4);
        if (isfinite(x->low)) table_set(&t, 3, "%+.4f %+.4f", x->low, x->high);
        table_set(&t, 4, "%+.4f", bits_to_nats(x->diff.bpb) * per);
        table_set(&t, 5, "%zu of %zu", x->diff.better, p->documents);
        table_set(&t, 6, "%s", verdict(x, buf));
    }
    table_print(&t, width(), "--json has all", stdout);
    table_release(&t);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_options(const struct run_list *l, struct err *e, int *rc) {
    char **keys = NULL;
    size_t n = 0;
    json_t *all = json_object();
    *rc = run_list_options(l, false, &keys, &n, e);
    for (size_t i = 0; i < n; i++) {
        json_t *values = json_array();
        for (size_t k = 0; k < l->n; k++) {
            char *text = run_option(l->run + k, keys[i], OPTION_EXACT);
            json_array_append_new(values, json_string(text ? text : ""));
            free(text);
        }
        facts_put(all, keys[i], values);
    }
    run_list_free_options(keys, n);
    return all;
}

static json_t *json_run(const struct record *r) {
    json_t *o = json_object();
    facts_put(o, "run", json_string(r->dir));
    facts_put(o, "name", r->name ? json_string(r->name) : json_null());
    facts_put(o, "status", json_string(record_status_name(r->status)));
    facts_put(o, "step", json_integer((json_int_t)r->step));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        facts_put(o, figures[i].key, num_json(figure_of(r, figures + i)));
    facts_put(o, "val_loss_stderr", num_json(figure_error(r, figures)));
    return o;
}

static json_t *json_numbers(const double *x, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, num_json(x[i]));
    return a;
}

static json_t *json_curve(const struct curve *c, size_t runs) {
    json_t *all = json_array();
    for (size_t p = 0; p < c->n; p++) {
        json_t *o = json_object();
        facts_put(o, curve_axis_name(c->axis), num_json(c->at[p]));
        facts_put(o, "loss", json_numbers(c->loss + p * runs, runs));
        if (c->val) facts_put(o, "stderr", json_numbers(c->stderr_ + p * runs, runs));
        json_array_append_new(all, o);
    }
    return all;
}

static json_t *json_paired(const struct paired *p) {
    json_t *o = json_object(), *all = json_array();
    facts_put(o, "models", json_string(p->best ? "best" : "last"));
    facts_put(o, "text", json_string(p->text));
    facts_put(o, "documents", json_integer((json_int_t)p->documents));
    facts_put(o, "context", json_integer((json_int_t)p->context));
    for (size_t i = 0; i < p->n; i++) {
        const struct paired_run *x = p->run + i;
        json_t *r = json_object();
        facts_put(r, "bits_per_byte", num_json(x->own.bpb));
        facts_put(r, "bits_per_byte_stderr", num_json(x->own.bpb_stderr));
        facts_put(r, "nats_per_token", num_json(x->own.nats / (double)x->own.tokens));
        if (i) {
            const double per = (double)x->own.bytes / (double)x->own.tokens;
            facts_put(r, "difference_bits_per_byte", num_json(x->diff.bpb));
            facts_put(r, "difference_stderr", num_json(x->diff.bpb_stderr));
            facts_put(r, "interval_low", num_json(x->low));
            facts_put(r, "interval_high", num_json(x->high));
            facts_put(r, "difference_nats_per_byte", num_json(bits_to_nats(x->diff.bpb)));
            facts_put(r, "difference_nats_per_token",
                      num_json(p->same_tokens ? bits_to_nats(x->diff.bpb) * per : NAN));
            facts_put(r, "documents_better", json_integer((json_int_t)x->diff.better));
        }
        json_array_append_new(all, r);
    }
    facts_put(o, "runs", all);
    return o;
}

/* ---- the command ----------------------------------------------------------------------------- */

enum { CURVES = 2 * N_CURVE_AXES };

struct comparison {
    struct run_list runs;
    struct curve curve[CURVES];
    struct paired paired;
    bool measured;
    struct err why; /* not */
};

static int print_json(const struct comparison *c, struct err *e) {
    int rc;
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < c->runs.n; i++) json_array_append_new(list, json_run(c->runs.run + i));
    facts_put(o, "runs", list);
    facts_put(o, "options", json_options(&c->runs, e, &rc));
    for (int i = 0; i < CURVES; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_at_%s", c->curve[i].val ? "val_loss" : "loss",
                 curve_axis_name(c->curve[i].axis));
        facts_put(o, name, json_curve(c->curve + i, c->runs.n));
    }
    facts_put(o, "evaluation", c->measured ? json_paired(&c->paired) : json_null());
    if (!rc) facts_print_json(o, stdout);
    json_decref(o);
    return rc;
}

static int print_text(const struct comparison *c, struct err *e) {
    const int rc = print_options(&c->runs, e);
    if (rc) return rc;
    /* Losses at equal steps say more. */
    print_figures(&c->runs, !c->curve[2 * CURVE_STEPS + 1].n);
    for (int i = 0; i < CURVES; i++) print_curve(c->curve + i, &c->runs);
    if (c->measured) print_paired(&c->paired, &c->runs);
    return 0;
}

static int check(const struct opts *o, const struct conf *conf, struct err *e) {
    static const char *const only[] = {"best", "data", "documents", "seq"};
    if (conf->n_pos < 2)
        return err_set(e, ERR_USAGE, "compare takes two or more runs, found %d", conf->n_pos);
    for (int i = 0; i < conf->n_pos; i++)
        for (int k = 0; k < i; k++)
            if (file_same(conf->pos[i], conf->pos[k]))
                return err_set(e, ERR_USAGE, "%s and %s are the same run", conf->pos[k],
                               conf->pos[i]);
    for (size_t i = 0; i < sizeof only / sizeof *only && !o->eval; i++)
        if (conf_given(conf, only[i]))
            return err_set(e, ERR_USAGE, "--%s has no effect with --no-eval", only[i]);
    return 0;
}

/* What a text cannot be found for is said; a text that is given must be good. */
static int measure(struct comparison *c, const struct opts *o, struct err *e) {
    const struct paired_opts p = {.data = o->data,
                                  .seq = o->seq,
                                  .documents = o->documents,
                                  .best = o->best,
                                  .machine = &o->machine,
                                  .quiet = o->quiet};
    const int rc = paired_run(&c->paired, &c->runs, &p, &c->why);
    c->measured = !rc;
    if (!rc || (!o->data.n && rc == ERR_INPUT)) return 0;
    *e = c->why;
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct comparison c = {0};
    TRY(cmd_parse(&cmd_compare, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check(&o, &conf, e));
    TRY(cmd_machine(&o.machine, o.threads, e));
    for (int i = 0; i < conf.n_pos; i++) TRY(run_list_add(&c.runs, conf.pos[i], 0, e));
    run_list_say(&c.runs);
    for (int i = 0; i < CURVES; i++)
        TRY(curve_make(c.curve + i, &c.runs, (enum curve_axis)(i / 2), !(i % 2), e));
    if (o.eval) TRY(measure(&c, &o, e));
    TRY((o.json ? print_json : print_text)(&c, e));
    fflush(stdout);
    if (o.eval && !c.measured) {
        fputs("no evaluation: ", stderr);
        screen_write(stderr, c.why.msg, strlen(c.why.msg));
        fputc('\n', stderr);
    }
out:
    for (int i = 0; i < CURVES; i++) curve_release(c.curve + i);
    paired_release(&c.paired);
    run_list_release(&c.runs);
    machine_close(&o.machine);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_compare = {
    .name = "compare",
    .summary = "Compare runs: changed options, losses at equal steps, tokens and seconds, the "
               "paired difference.",
    .usage = "RUN RUN... [--data FILE] [--documents N] [--json]\n"
             "RUN RUN... --no-eval [--json]",
    .notes = "Losses at equal steps are those of the logs; at equal tokens and seconds they are "
             "linear between\n"
             "lines. The models (a LoRA run: its base with its adapter) are then evaluated as "
             "`duet eval --exact`\n"
             "does, on the validation text of the runs if it is the same one: the difference of "
             "each from the\n"
             "first, its standard error over documents, and Student's 95 % interval. Training "
             "losses of single\n"
             "lines are noisy, and seeds differ: a small difference between two runs is none.\n",
    .rows = rows,
    .run = run,
};
