#include "cmd.h"
#include "data_show.h"
#include "eval_exact.h"
#include "eval.h"
#include "file.h"
#include "log.h"
#include "num.h"
#include "open_model.h"
#include "out_format.h"
#include "run_folder.h"
#include "run_text.h"
#include "screen.h"
#include "task.h"
#include "train_opts.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    struct conf_list data;
    const char *format, *tokenizer, *split, *compute, *gemm;
    const char *task, *prompt, *labels, *logits, *out, *paired;
    struct conf_pairs set;
    struct open_opts open;
    double val_fraction, test_fraction;
    int64_t batch, seq, windows, threads;
    struct machine machine; /* no option */
    bool exact, overwrite, json, quiet;
    const struct record *run; /* of whose text this part is evaluated; NULL: --data's */
    enum run_part part;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_SECTION("Data"),
    CONF_LIST(
        O, data, "data", "FILE",
        "texts (also .gz, .zst) or folders of texts, repeatable; or one shard of `duet "
        "tokenize`, or raw16 tokens; - is standard input; default: what the run of which MODEL is "
        "the folder validates on, or with --split test what it keeps for the test"),
    CONF_CHOICE(O, format, "format", "auto", "auto raw16",
                "auto: by content; raw16: headerless uint16 tokens"),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "byte, or a tokenizer file; default: the one in the model file"),
    CONF_CHOICE(O, split, "split", "all", "all val test",
                "all of the data, or only what training keeps for validation, or for the test; of "
                "a run without --data val is the default"),
    CONF_FLOAT(O, val_fraction, "val-fraction", "0.1", 0, 0.9,
               "with --split val: the share kept for validation"),
    CONF_FLOAT(O, test_fraction, "test-fraction", "0", 0, 0.9,
               "with --split val or test: the share kept for the test, which lies behind that"),
    CONF_INT(O, windows, "windows", "0", 0, 1e12,
             "evaluate so many windows, spread evenly; 0: every window"),
    CONF_INT(O, seq, "seq", "0", 0, 1 << 20,
             "tokens a window; 0: the model's training length, with --exact all that it has"),
    CONF_SECTION("Whole documents"),
    CONF_BOOL(O, exact, "exact",
              "every byte of every document once, each document apart: figures that can be "
              "compared between models, tokenizers and lengths"),
    CONF_STRING(O, out, "out", NULL, "FILE", "write the nats of each document, a line each (TSV)"),
    CONF_STRING(O, paired, "paired", NULL, "FILE",
                "what another model's --out wrote of the same text: the difference, with its "
                "error"),
    CONF_SECTION("Prompt classification"),
    CONF_STRING(O, task, "task", NULL, "FILE",
                "instead of --data: labelled examples (TSV or CSV with a column `label`)"),
    CONF_STRING(O, prompt, "template", NULL, "TEXT",
                "the prompt, with {column} for a column: '{sentence} It was'; special tokens are "
                "tokens here, and text in a column"),
    CONF_STRING(O, labels, "labels", NULL, "WORDS",
                "the answers for labels 0, 1, ..., one token each: ' terrible, great'; or with the "
                "label's name in the table: 'no= bad,yes= good'"),
    CONF_SECTION("Model"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "override a key of the model description (repeatable)"),
    OPEN_MODEL_ROWS(O, open),
    CONF_SECTION("Computing"),
    CONF_INT(O, batch, "batch", "8", 1, 65536, "windows at a time"),
    CONF_CHOICE(O, compute, "compute", "f32", compute_words,
                "type of GEMM inputs; auto: the faster here"),
    CONF_CHOICE(O, gemm, "gemm", "auto", gemm_words, "matrix product backend"),
    THREADS_ROW(O, threads),
    CONF_SECTION("Output"),
    CONF_STRING(O, logits, "logits", NULL, "FILE",
                "instead of the loss: write the logits after each of the first --seq tokens, a row "
                "of f32 (little-endian) a token"),
    OVERWRITE_ROW(O, overwrite),
    CONF_BOOL(O, json, "json", "print JSON"),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END};
#undef O

static void print_text(const struct eval_result *r) {
    char room[32];
    printf("---\n");
    term_fact(stdout, "val_loss", "%s", num_text(r->loss, 4, room));
    if (isfinite(r->stderr_)) term_fact(stdout, "val_loss_stderr", "%.4f", r->stderr_);
    term_fact(stdout, "perplexity", "%s", num_digits(exp(r->loss), 4, room));
    if (isfinite(r->bpb)) term_fact(stdout, "val_bpb", "%.4f", r->bpb);
    if (isfinite(r->floor_bpb)) term_fact(stdout, "floor_bpb", "%.4f", r->floor_bpb);
    term_fact(stdout, "tokens", "%llu", (unsigned long long)r->tokens);
    term_fact(stdout, "bytes", "%llu", (unsigned long long)r->bytes);
    term_fact(stdout, "windows", "%llu", (unsigned long long)r->windows);
}

static void print_json(const struct eval_result *r) {
    json_t *j = json_pack("{s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I}", "val_loss", num_json(r->loss),
                          "val_loss_stderr", num_json(r->stderr_), "perplexity",
                          num_json(exp(r->loss)), "val_bpb", num_json(r->bpb), "floor_bpb",
                          num_json(r->floor_bpb), "tokens", (json_int_t)r->tokens, "bytes",
                          (json_int_t)r->bytes, "windows", (json_int_t)r->windows);
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

static void put_padded(const char *text, int columns, bool right) {
    const int pad = columns - term_width(text);
    if (right) printf("%*s", pad > 0 ? pad : 0, "");
    screen_write(stdout, text, strlen(text));
    if (!right) printf("%*s", pad > 0 ? pad : 0, "");
}

/* How often each label got each answer: labels down, answers across. */
static void print_counts(const struct task_result *r, const struct task *t) {
    char n[32];
    int first = term_width("label"), each = 8;
    for (int l = 0; l < r->n_labels; l++) {
        const int w = term_width(t->word[l]);
        first = w > first ? w : first;
        each = w > each ? w : each;
    }
    printf("\n%*s  answered\n", first, "");
    put_padded("label", first, false);
    for (int a = 0; a < r->n_labels; a++) {
        fputs("  ", stdout);
        put_padded(t->word[a], each, true);
    }
    for (int l = 0; l < r->n_labels; l++) {
        fputc('\n', stdout);
        put_padded(t->word[l], first, false);
        for (int a = 0; a < r->n_labels; a++)
            printf("  %*s", each,
                   num_count((long long)r->counts[l * r->n_labels + a], n));
    }
    fputc('\n', stdout);
}

static void print_task(const struct task_result *r, const struct task *t, bool json) {
    if (!json) {
        const struct {
            const char *name;
            double x;
        } facts[] = {{"accuracy", r->accuracy}, {"accuracy_stderr", r->accuracy_stderr},
                     {"f1", r->f1},             {"f1_stderr", r->f1_stderr},
                     {"loss", r->loss},         {"loss_stderr", r->loss_stderr}};
        char room[32];
        printf("---\n");
        for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
            term_fact(stdout, facts[i].name, "%s", num_text(facts[i].x, 4, room));
        term_fact(stdout, "examples", "%lld", (long long)r->n);
        print_counts(r, t);
        return;
    }
    json_t *counts = json_array();
    for (int i = 0; i < r->n_labels * r->n_labels; i++)
        json_array_append_new(counts, json_integer(r->counts[i]));
    json_t *j =
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o}", "accuracy", num_json(r->accuracy),
                  "accuracy_stderr", num_json(r->accuracy_stderr), "f1", num_json(r->f1),
                  "f1_stderr", num_json(r->f1_stderr), "loss", num_json(r->loss), "loss_stderr",
                  num_json(r->loss_stderr), "examples", (json_int_t)r->n, "counts", counts);
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

static void progress(void *ctx, uint64_t done, uint64_t total) {
    log_bar(ctx, "evaluating", done, total, "windows");
}

static void task_progress(void *ctx, uint64_t done, uint64_t total) {
    log_bar(ctx, "evaluating", done, total, "examples");
}

/* The data's windows to evaluate, of *T tokens: a text too short for one of the model's own length
 * is one window. A model must know every token. */
static int choose_split(const struct opts *o, const struct dataset *d, int64_t *T, struct split *v,
                        struct log_progress *line, struct err *e) {
    struct splits all;
    char name[256];
    const bool part = strcmp(o->split, "all"), test = !strcmp(o->split, "test");
    const uint64_t n = d->shard.n_tokens;
    dataset_name(&o->data, name);
    if (!o->seq && !part && n > 1 && n <= (uint64_t)*T) {
        log_warn(line, "%s has %llu tokens: one window of %llu instead of %lld", name,
                 (unsigned long long)n, (unsigned long long)n - 1, (long long)*T);
        *T = (int64_t)n - 1;
    }
    const int rc = splits_make(&d->shard, name, part && !test ? o->val_fraction : 0,
                               part ? o->test_fraction : 0, *T, &all, e);
    *v = !part ? all.train : test ? all.test : all.val;
    return rc;
}

static int open_data(struct dataset *d, const struct opts *o, const struct model *m,
                     const char *path, struct err *e) {
    const struct dataset_opts dopts = {.data = o->data,
                                       .format = o->format,
                                       .tokenizer = o->tokenizer,
                                       .own = model_tok_own(m),
                                       .pool = o->machine.pool,
                                       .raw_vocab = (uint32_t)m->config.vocab};
    const int rc = data_show_open(d, &dopts, o->quiet, e);
    return rc || !d->tokenizer ? rc : model_check_tokenizer(m, d->tokenizer, path, e);
}

static int evaluate(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct dataset d = {0};
    struct split v;
    struct eval_result r;
    struct log_progress line;
    uint32_t *bytes = NULL;
    log_progress_init(&line, o->quiet);
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, o->machine.pool, e));
    TRY(open_data(&d, o, &m, conf->pos[0], e));
    int64_t T = o->seq ? o->seq : m.config.seq_len;
    TRY(choose_split(o, &d, &T, &v, &line, e));
    TRY(open_check_length(&m, T, conf->pos[0], e));
    if (d.tokenizer) bytes = eval_token_bytes(d.tokenizer, d.shard.vocab);
    const struct eval_opts eo = {.batch = o->batch,
                                 .seq = T,
                                 .max_windows = (uint64_t)o->windows,
                                 .token_bytes = bytes,
                                 .progress = progress,
                                 .ctx = &line};
    log_begin(&line);
    TRY(eval_run(&m, &o->machine, &d.shard, &v, &eo, &r, e));
    log_bar_end(&line, "evaluated", r.windows, "windows");
    (o->json ? print_json : print_text)(&r);
out:
    log_progress_end(&line);
    free(bytes);
    dataset_close(&d);
    model_close(&m);
    return rc;
}

static int evaluate_exact(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct tokenizer *tok = NULL;
    const struct eval_exact_opts eo = {.data = o->data,
                                       .run = o->run,
                                       .part = o->part,
                                       .out = o->out,
                                       .paired = o->paired,
                                       .context = o->seq,
                                       .json = o->json,
                                       .quiet = o->quiet};
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, o->machine.pool, e));
    TRY(model_pick_tokenizer(&m, o->tokenizer, conf->pos[0], &tok, e));
    TRY(eval_exact(&m, &o->machine, tok, &eo, e));
out:
    tokenizer_close(tok);
    model_close(&m);
    return rc;
}

static void write_row(void *ctx, const float *logits, int64_t vocab) {
    file_out_write(ctx, logits, (size_t)vocab * sizeof *logits);
}

static int write_logits(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct dataset d = {0};
    struct file_out out = {0};
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, o->machine.pool, e));
    TRY(open_data(&d, o, &m, conf->pos[0], e));
    const uint64_t all = (uint64_t)(o->seq ? o->seq : m.config.seq_len);
    const int64_t T = (int64_t)(all < d.shard.n_tokens ? all : d.shard.n_tokens);
    TRY(open_check_length(&m, T, conf->pos[0], e));
    TRY(file_out_open(&out, o->logits, e));
    TRY(eval_logits(&m, &o->machine, &d.shard, T, write_row, &out, e));
    TRY(file_out_commit(&out, e));
out:
    file_out_discard(&out);
    dataset_close(&d);
    model_close(&m);
    return rc;
}

static int evaluate_task(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct tokenizer *tok = NULL;
    struct task t = {0};
    struct task_result r;
    struct log_progress line;
    struct task_opts to = {.path = o->task, .prompt = o->prompt, .labels = o->labels};
    const struct task_eval_opts eo = {.batch = o->batch, .progress = task_progress, .ctx = &line};
    log_progress_init(&line, o->quiet);
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, o->machine.pool, e));
    TRY(model_pick_tokenizer(&m, o->tokenizer, conf->pos[0], &tok, e));
    to.seq = o->seq ? o->seq : m.config.seq_len;
    TRY(task_open(&t, &to, tok, e));
    TRY(open_check_length(&m, t.T, conf->pos[0], e));
    data_say_shortened(&t, o->task, model_config_context(&m.config), &line);
    TRY(task_map(&t, &m, e));
    log_begin(&line);
    TRY(task_eval(&m, &o->machine, &t, &eo, &r, e));
    log_bar_end(&line, "evaluated", (uint64_t)r.n, "examples");
    print_task(&r, &t, o->json);
out:
    log_progress_end(&line);
    task_close(&t);
    tokenizer_close(tok);
    model_close(&m);
    return rc;
}

static int refuse_given(const struct conf *conf, const char *const *names, size_t n,
                        const char *with, struct err *e) {
    for (size_t i = 0; i < n; i++)
        if (conf_given(conf, names[i]))
            return err_set(e, ERR_USAGE, "--%s has no effect on --%s", names[i], with);
    return 0;
}

/* A run's own text is what it is: only which part of it can be said. */
static int refuse_own(const struct opts *o, const struct conf *conf, struct err *e) {
    static const char *const names[] = {"format", "val-fraction", "test-fraction"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (conf_given(conf, names[i]))
            return err_set(e, ERR_USAGE, "--%s has no effect without --data", names[i]);
    if (conf_given(conf, "split") && !strcmp(o->split, "all"))
        return err_set(e, ERR_USAGE,
                       "--split all is of --data; of its own text a run has val and test");
    return 0;
}

/* Shares of a text that has parts. */
static int check_parts(const struct opts *o, const struct conf *conf, struct err *e) {
    if (!strcmp(o->split, "test") && !(o->test_fraction > 0))
        return err_set(e, ERR_USAGE, "--split test of --data needs --test-fraction");
    if (!strcmp(o->split, "all") && conf_given(conf, "test-fraction"))
        return err_set(e, ERR_USAGE, "--test-fraction has no effect without --split val or test");
    if (!strcmp(o->split, "val") && !(o->val_fraction + o->test_fraction < 1))
        return err_set(e, ERR_USAGE, "--val-fraction %g and --test-fraction %g are all of the data",
                       o->val_fraction, o->test_fraction);
    return 0;
}

/* Options of the one kind of work have no effect on the other. */
static int check_work(const struct opts *o, const struct conf *conf, struct err *e) {
    static const char *const text[] = {"data",          "format",  "split", "val-fraction",
                                       "test-fraction", "windows", "logits"};
    static const char *const loss[] = {"split",   "val-fraction", "test-fraction",
                                       "windows", "batch",        "json"};
    static const char *const parts[] = {"format", "val-fraction", "test-fraction", "windows",
                                        "batch",  "logits",       "task"};
    static const char *const split[] = {"split"};
    int rc;
    if (!o->exact && (o->out || o->paired))
        return err_set(e, ERR_USAGE, "--%s belongs to --exact", o->out ? "out" : "paired");
    if (o->exact && (o->data.n || o->task)) TRY(refuse_given(conf, split, 1, "exact", e));
    if (o->exact) TRY(refuse_given(conf, parts, sizeof parts / sizeof *parts, "exact", e));
    if (!o->task) {
        if (o->prompt || o->labels)
            return err_set(e, ERR_USAGE, "--template and --labels belong to --task");
        if (!o->data.n && (o->logits || !run_folder_is(conf->pos[0])))
            return err_set(e, ERR_USAGE, "give the data to evaluate on with --data FILE");
        TRY(o->data.n ? check_parts(o, conf, e) : refuse_own(o, conf, e));
        return o->logits ? refuse_given(conf, loss, sizeof loss / sizeof *loss, "logits", e) : 0;
    }
    rc = refuse_given(conf, text, sizeof text / sizeof *text, "task", e);
    if (rc) return rc;
    rc = o->prompt && o->labels ? 0
                                : err_set(e, ERR_USAGE, "--task needs --template and --labels");
out:
    return rc;
}

/* What is read stays as it is. */
static int check_out(const struct opts *o, const char *model, struct err *e) {
    int rc = 0;
    const char *out = o->out ? o->out : o->logits;
    if (!out)
        return !o->overwrite ? 0
                             : err_set(e, ERR_USAGE,
                                       "--overwrite has no effect without --out or --logits");
    TRY(out_spares(out, o->tokenizer, e));
    TRY(out_spares(out, o->paired, e));
    for (size_t i = 0; i < o->data.n; i++) TRY(out_spares(out, o->data.item[i], e));
    TRY(out_is_other(out, model, e));
    if (o->open.adapter) TRY(out_is_other(out, o->open.adapter, e));
    TRY(out_free(out, o->overwrite, e));
    TRY(file_out_check(out, e));
out:
    return rc;
}

/* A part of the text of the run in a folder, in windows of its length. */
struct own {
    struct record run;
    struct run_shard shard;
    const char *item[1];
};

static int take_own(struct own *own, struct opts *o, const char *dir, struct err *e) {
    int rc;
    TRY(record_read(&own->run, dir, RECORD_BRIEF, e));
    o->part = strcmp(o->split, "test") ? RUN_VAL : RUN_TEST;
    rc = run_shard_find(&own->run, o->part, &own->shard, e);
    if (rc) {
        if (o->part == RUN_VAL) err_prefix(e, "no --data");
        goto out;
    }
    own->item[0] = own->shard.path;
    o->run = &own->run;
    o->data = (struct conf_list){own->item, 1};
    o->split = own->shard.whole ? "all" : o->part == RUN_TEST ? "test" : "val";
    o->val_fraction = own->shard.val_fraction;
    o->test_fraction = own->shard.test_fraction;
    const double seq = record_number(own->run.options, "seq");
    if (!o->seq && seq >= 1 && seq <= 1 << 20) o->seq = (int64_t)seq;
    if (!o->quiet) {
        fprintf(stderr, "on the %s text of ", o->part == RUN_TEST ? "test" : "validation");
        screen_write(stderr, dir, strlen(dir));
        fputc('\n', stderr);
    }
out:
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct own own = {0};
    TRY(cmd_parse(&cmd_eval, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 1) {
        rc = err_set(e, ERR_USAGE, "eval takes one model file, found %d", conf.n_pos);
        goto out;
    }
    TRY(check_work(&o, &conf, e));
    TRY(check_out(&o, conf.pos[0], e));
    if (!o.task && !o.data.n) TRY(take_own(&own, &o, conf.pos[0], e));
    TRY(open_machine(&o.machine,
                     &(struct open_machine){o.threads, o.gemm, o.compute, o.quiet}, e));
    TRY((o.exact    ? evaluate_exact
         : o.task   ? evaluate_task
         : o.logits ? write_logits
                    : evaluate)(&o, &conf, e));
out:
    free(own.shard.path);
    record_release(&own.run);
    machine_close(&o.machine);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_eval = {
    .name = "eval",
    .summary = "Loss, perplexity and bits per byte of a model on a text.",
    .usage = "RUN [--split test] [--exact] [--json]\n"
             "MODEL --data FILE [--split val] [--adapter FILE] [--json]\n"
             "MODEL --data FILE --exact [--out FILE] [--paired FILE] [--seq N]\n"
             "MODEL --data FILE --logits OUT [--seq N]\n"
             "MODEL --task FILE --template TEXT --labels WORDS [--adapter FILE] [--json]",
    .notes = "MODEL is any model file that duet reads. val_loss is the mean over all predicted "
             "tokens in nats,\n"
             "val_loss_stderr its standard error over windows; val_bpb divides all nats by ln 2 "
             "and by the text\n"
             "bytes of the predicted tokens; floor_bpb is printed when the corpus carries its own "
             "information.\n"
             "With --exact every token of each document is scored once, the first from the start "
             "token, in windows\n"
             "that overlap by half where a document is longer than the context: nats, bits per "
             "byte and its\n"
             "standard error over documents.\n"
             "With --task: accuracy, F1 and cross-entropy over the label words, as the next word "
             "of each prompt.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
