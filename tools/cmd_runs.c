/* duet runs: the runs in folders as a table of what differs between them and what came out. */
#include "cmd.h"
#include "facts.h"
#include "file.h"
#include "num.h"
#include "prune.h"
#include "run_list.h"
#include "screen.h"
#include "table.h"
#include "term.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct opts {
    const char *sort, *prune;
    bool tsv, json, yes;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_CHOICE(O, sort, "sort", "age", "age loss bpb name steps seconds memory size",
                "order of the runs: age newest first, loss and bpb best first, size and memory "
                "largest first"),
    CONF_BOOL(O, tsv, "tsv", "print every column and option, separated by tabs, in full precision"),
    CONF_BOOL(O, json, "json", "print one JSON array of objects"),
    CONF_CHOICE(O, prune, "prune", "none", PRUNE_WORDS,
                "list what can be removed: checkpoints: earlier checkpoints of finished runs; "
                "states: these and their state, without which they do not train on; never-began: "
                "runs without an update"),
    CONF_BOOL(O, yes, "yes", "with --prune: remove it"),
    CONF_END};
#undef O

/* ---- figures --------------------------------------------------------------------------------- */

/* What is known of a run, at its end or so far; NAN: not known. */
struct figures {
    double loss, stderr_, bpb, accuracy, train, memory, seconds, tokens, rate;
};

static struct figures figures_of(const struct record *r) {
    const json_t *s = r->status == RECORD_FINISHED ? r->summary : NULL; /* else of an earlier end */
    struct figures f = {.loss = record_number(s, "val_loss"),
                        .stderr_ = record_number(s, "val_loss_stderr"),
                        .bpb = record_number(s, "val_bpb"),
                        .accuracy = record_number(s, "val_accuracy"),
                        .train = record_number(s, "train_loss"),
                        .memory = record_number(s, "peak_rss_mb"),
                        .seconds = record_number(s, "training_seconds"),
                        .tokens = 1e6 * record_number(s, "total_tokens_M"),
                        .rate = record_number(s, "tokens_per_second")};
    const struct record_step *last = r->n_steps ? r->steps + r->n_steps - 1 : NULL;
    if (s) return f;
    if (r->n_vals) {
        const struct record_val *v = r->vals + r->n_vals - 1;
        f.loss = v->loss;
        f.stderr_ = v->stderr_;
        f.accuracy = v->accuracy;
        f.seconds = v->seconds;
        f.tokens = v->tokens;
    }
    if (last) {
        f.train = last->loss;
        f.seconds = last->seconds;
        f.tokens = last->tokens;
        f.rate = last->tokens / last->seconds;
    }
    return f;
}

/* ---- order ----------------------------------------------------------------------------------- */

static const char *sort_word;

/* What is not known comes last. */
static int by_number(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static int compare(const void *x, const void *y) {
    const struct record *a = x, *b = y;
    const struct figures f = figures_of(a), g = figures_of(b);
    int c = 0;
    switch (*sort_word) {
    case 'a': c = (a->changed < b->changed) - (a->changed > b->changed); break;
    case 'l': c = by_number(f.loss, g.loss); break;
    case 'b': c = by_number(f.bpb, g.bpb); break;
    case 'm': c = by_number(-f.memory, -g.memory); break;
    case 's':
        if (sort_word[1] == 't') c = (a->step < b->step) - (a->step > b->step);
        if (sort_word[1] == 'e') c = by_number(-f.seconds, -g.seconds);
        if (sort_word[1] == 'i') c = (a->bytes < b->bytes) - (a->bytes > b->bytes);
        break;
    default: c = strverscmp(a->label, b->label);
    }
    return c ? c : strverscmp(a->dir, b->dir);
}

/* ---- a table for people ---------------------------------------------------------------------- */

static const char *age_text(time_t changed, char buf[16]) {
    const double s = changed ? difftime(time(NULL), changed) : NAN;
    static const struct {
        double least, unit;
        char name;
    } units[] = {{2 * 86400, 86400, 'd'}, {2 * 3600, 3600, 'h'}, {120, 60, 'm'}, {0, 1, 's'}};
    strcpy(buf, "-");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (s >= units[i].least && s < 1e11) {
            snprintf(buf, 16, "%.0f%c", floor(s / units[i].unit), units[i].name);
            break;
        }
    return buf;
}

enum { FEW = 3 }; /* options that are more than the time beside the loss */

/* A name that is not the folder's own. */
static bool any_name(const struct run_list *l) {
    for (size_t i = 0; i < l->n; i++) {
        const char *name = l->run[i].name, *slash = strrchr(l->run[i].dir, '/');
        if (name && *name && strcmp(name, slash ? slash + 1 : l->run[i].dir) != 0) return true;
    }
    return false;
}

static bool any_accuracy(const struct run_list *l) {
    for (size_t i = 0; i < l->n; i++)
        if (isfinite(figures_of(l->run + i).accuracy)) return true;
    return false;
}

/* The longest value of an option, or its name. */
static int option_width(const struct run_list *l, const char *key) {
    int most = term_width(key);
    for (size_t i = 0; i < l->n; i++) {
        char *text = run_option(l->run + i, key, OPTION_SHORT);
        if (text && term_width(text) > most) most = term_width(text);
        free(text);
    }
    return most;
}

/* What is asked for first, and how a run is done rather than what it computes. */
static int place_of(const char *key) {
    static const char *const first[] = {"engine",    "lora",  "optimizer", "optimizer-matrix",
                                        "lr",        "batch", "seq",       "model",
                                        "estimator", "seed",  "data",      "init"};
    static const char *const last[] = {"checkpoint-every", "keep", "keep-best", "log-every",
                                       "val-every", "rollback", "gemm", "patience"};
    if (!strncmp(key, "set.", 4)) return 10;
    for (int i = 0; i < (int)(sizeof first / sizeof *first); i++)
        if (!strcmp(key, first[i])) return i;
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (!strcmp(key, last[i])) return 2000;
    return 1000;
}

struct heading {
    char *key;
    int place, width;
};

/* Of others the short ones first: more of them find room. */
static int compare_headings(const void *x, const void *y) {
    const struct heading *a = x, *b = y;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    if (a->width != b->width) return a->width < b->width ? -1 : 1;
    return strcmp(a->key, b->key);
}

static int sort_options(const struct run_list *l, char **keys, size_t n, struct err *e) {
    struct heading *h = calloc(n + 1, sizeof *h);
    if (!h) return err_set(e, ERR_NOMEM, "out of memory for options");
    for (size_t i = 0; i < n; i++)
        h[i] = (struct heading){keys[i], place_of(keys[i]), option_width(l, keys[i])};
    qsort(h, n, sizeof *h, compare_headings);
    for (size_t i = 0; i < n; i++) keys[i] = h[i].key;
    free(h);
    return 0;
}

/* Ranks of columns (table.h). Which method it was, and what it cost, stay the longest. */
enum {
    RANK_MEMORY = 1,
    RANK_METHOD,
    RANK_RATE,
    RANK_STEP,
    RANK_BPB,
    RANK_FEW,
    RANK_AGE,
    RANK_SECONDS,
    RANK_SMOOTHED,
    RANK_OTHERS
};

/* Of the option in place i. */
static int option_rank(const char *key, size_t i) {
    if (!strcmp(key, "engine") || !strcmp(key, "lora")) return RANK_METHOD;
    if (!strcmp(key, "optimizer") || !strcmp(key, "lr")) return RANK_RATE;
    return i < FEW ? RANK_FEW : RANK_OTHERS;
}

static void set_number(struct table *t, int col, double x, int digits) {
    if (isfinite(x)) table_set(t, col, "%.*f", digits, x);
}

static void fill_row(struct table *t, const struct record *r, char *const *keys, size_t n,
                     bool named, bool accuracy) {
    const struct figures f = figures_of(r);
    char age[16];
    int col = 0;
    table_row(t);
    table_set(t, col++, "%s", r->dir);
    if (named) table_set(t, col++, "%s", r->name ? r->name : "");
    for (size_t i = 0; i < n; i++) {
        char *text = run_option(r, keys[i], OPTION_SHORT);
        table_set(t, col++, "%s", text ? text : "");
        free(text);
    }
    table_set(t, col++, "%s", record_status_name(r->status));
    table_set(t, col++, "%lld", (long long)r->step);
    if (isfinite(f.loss) && isfinite(f.stderr_))
        table_set(t, col, "%.4f %s%.4f", f.loss, term_pm(), f.stderr_);
    else
        set_number(t, col, f.loss, 4);
    col++;
    if (accuracy) set_number(t, col++, f.accuracy, 4);
    set_number(t, col++, f.bpb, 4);
    set_number(t, col++, f.train, 4);
    set_number(t, col++, f.memory, 1);
    set_number(t, col++, f.seconds, 1);
    table_set(t, col++, "%s", age_text(r->changed, age));
}

static int print_text(const struct run_list *l, struct err *e) {
    int rc;
    char **keys = NULL;
    size_t n = 0;
    struct table t = {0};
    const bool named = any_name(l), accuracy = any_accuracy(l);
    TRY(run_list_options(l, false, &keys, &n, e));
    TRY(sort_options(l, keys, n, e));
    table_column(&t, "run", true, 0);
    if (named) table_column(&t, "name", true, RANK_STEP);
    for (size_t i = 0; i < n; i++)
        table_column(&t, keys[i] + (strncmp(keys[i], "set.", 4) ? 0 : 4), false,
                     option_rank(keys[i], i));
    table_column(&t, "status", true, 0);
    table_column(&t, "step", false, RANK_STEP);
    table_column(&t, "val_loss", false, 0);
    if (accuracy) table_column(&t, "accuracy", false, 0);
    table_column(&t, "val_bpb", false, RANK_BPB);
    table_column(&t, "smoothed loss", false, RANK_SMOOTHED);
    table_column(&t, "peak MB", false, RANK_MEMORY);
    table_column(&t, "seconds", false, RANK_SECONDS);
    table_column(&t, "age", false, RANK_AGE);
    for (size_t i = 0; i < l->n; i++) fill_row(&t, l->run + i, keys, n, named, accuracy);
    if (t.no_memory)
        rc = err_set(e, ERR_NOMEM, "out of memory for the table");
    else
        table_print(&t, isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0,
                    "--tsv has all", stdout);
out:
    table_release(&t);
    run_list_free_options(keys, n);
    return rc;
}

/* ---- for programs ---------------------------------------------------------------------------- */

static json_t *describe_run_row(const struct record *r) {
    const struct figures f = figures_of(r);
    const struct record_val *best = record_best(r);
    char when[32] = "";
    struct tm tm;
    if (r->changed && gmtime_r(&r->changed, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_t *o = json_object();
    facts_put(o, "run", json_string(r->dir));
    facts_put(o, "name", r->name ? json_string(r->name) : json_null());
    facts_put(o, "note", r->note ? json_string(r->note) : json_null());
    facts_put(o, "status", json_string(record_status_name(r->status)));
    facts_put(o, "steps", json_integer((json_int_t)r->step));
    facts_put(o, "val_loss", num_json(f.loss));
    facts_put(o, "val_loss_stderr", num_json(f.stderr_));
    facts_put(o, "val_bpb", num_json(f.bpb));
    facts_put(o, "val_accuracy", num_json(f.accuracy));
    double best_loss = record_number(r->summary, "best_val_loss");
    if (best && !(best_loss <= best->loss)) best_loss = best->loss;
    facts_put(o, "best_val_loss", num_json(best_loss));
    facts_put(o, "train_loss", num_json(f.train));
    facts_put(o, "peak_rss_mb", num_json(f.memory));
    facts_put(o, "training_seconds", num_json(f.seconds));
    facts_put(o, "tokens", num_json(f.tokens));
    facts_put(o, "tokens_per_second", num_json(f.rate));
    facts_put(o, "bytes", json_integer((json_int_t)r->bytes));
    facts_put(o, "changed", *when ? json_string(when) : json_null());
    return o;
}

static int print_json(const struct run_list *l, struct err *e) {
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++) {
        const struct record *r = l->run + i;
        json_t *o = describe_run_row(r);
        facts_put(o, "record", r->record ? json_incref(r->record) : json_null());
        facts_put(o, "options", r->options ? json_incref(r->options) : json_null());
        json_array_append_new(all, o);
    }
    char *text = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    if (text) puts(text);
    free(text);
    json_decref(all);
    return text ? 0 : err_set(e, ERR_NOMEM, "out of memory for the result");
}

static void print_field(const char *s, bool first) {
    if (!first) putchar('\t');
    for (; *s; s++) putchar((unsigned char)*s < ' ' || *s == 127 ? ' ' : *s);
}

static void print_value(const json_t *v, bool first) {
    char *text = json_is_string(v) || !v || json_is_null(v)
                     ? NULL
                     : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    print_field(text ? text : json_is_string(v) ? json_string_value(v) : "", first);
    free(text);
}

/* Keys of what was recorded of the machine, of any run. */
static json_t *record_keys(const struct run_list *l) {
    json_t *keys = json_object(), *v;
    const char *key;
    for (size_t i = 0; i < l->n; i++)
        json_object_foreach(l->run[i].record, key, v) json_object_set_new(keys, key, json_true());
    return keys;
}

static int print_tsv(const struct run_list *l, struct err *e) {
    char **keys = NULL;
    size_t n = 0;
    const char *key;
    json_t *v, *record = record_keys(l);
    const int rc = run_list_options(l, true, &keys, &n, e);
    for (size_t i = 0; i <= l->n && !rc; i++) {
        json_t *o = describe_run_row(l->run + (i ? i - 1 : 0));
        const struct record *r = l->run + (i ? i - 1 : 0);
        bool first = true;
        json_object_foreach(o, key, v) {
            if (i)
                print_value(v, first);
            else
                print_field(key, first);
            first = false;
        }
        for (size_t k = 0; k < n; k++) {
            char *text = i ? run_option(r, keys[k], OPTION_EXACT) : NULL;
            print_field(i ? text ? text : "" : keys[k], false);
            free(text);
        }
        json_object_foreach(record, key, v) {
            if (!i) fputs("\trun.", stdout);
            if (i)
                print_value(json_object_get(r->record, key), false);
            else
                print_field(key, true);
        }
        putchar('\n');
        json_decref(o);
    }
    json_decref(record);
    run_list_free_options(keys, n);
    return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int find(struct run_list *l, const struct conf *conf, struct err *e) {
    int rc = 0;
    if (!conf->n_pos && !file_is_dir("runs")) return 0;
    for (int i = 0; i < conf->n_pos && !rc; i++)
        rc = run_list_find(l, conf->pos[i], RECORD_BRIEF, e);
    return conf->n_pos ? rc : run_list_find(l, "runs", RECORD_BRIEF, e);
}

static int check(const struct opts *o, bool prune, struct err *e) {
    if (o->yes && !prune) return err_set(e, ERR_USAGE, "--yes belongs to --prune");
    if (o->tsv + o->json + prune > 1)
        return err_set(e, ERR_USAGE, "give one of --tsv, --json and --prune");
    return 0;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct run_list l = {0};
    TRY(cmd_parse(&cmd_runs, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    const bool prune = strcmp(o.prune, "none") != 0;
    TRY(check(&o, prune, e));
    TRY(find(&l, &conf, e));
    sort_word = o.sort;
    if (l.n) qsort(l.run, l.n, sizeof *l.run, compare);
    if (!l.n && !o.json) {
        fprintf(stderr, "no runs in %s; duet train --out %s/NAME begins one\n",
                conf.n_pos ? conf.pos[0] : "runs", conf.n_pos ? conf.pos[0] : "runs");
        goto out;
    }
    TRY(prune    ? prune_runs(&l, o.prune, o.yes, e)
        : o.tsv  ? print_tsv(&l, e)
        : o.json ? print_json(&l, e)
                 : print_text(&l, e));
    fflush(stdout);
    run_list_say(&l);
out:
    run_list_release(&l);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_runs = {
    .name = "runs",
    .summary = "List runs: the options in which they differ, status, losses, memory, age.",
    .usage = "[DIR...] [--sort WORD] [--tsv | --json]\n"
             "[DIR...] --prune WHAT [--yes]",
    .notes = "DIR is a run or a folder with runs in it, up to three folders deep (default: runs). "
             "Only options\n"
             "whose values differ are columns. A run that goes on, stopped or diverged shows its "
             "last figures.\n"
             "val_loss +- its standard error; smoothed loss is train_loss, of the updates, some 20 "
             "of them\n"
             "behind; MB are 10^6 bytes; age is since the last change. --prune without --yes "
             "removes nothing,\n"
             "and never of a run that is going on.\n",
    .rows = rows,
    .run = run,
};
