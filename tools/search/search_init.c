#include "search_init.h"

#include "bpe_train.h"
#include "child.h"
#include "cpu.h"
#include "file.h"
#include "import.h"
#include "json_text.h"
#include "log.h"
#include "num.h"
#include "out_format.h"
#include "pool.h"
#include "search_cost.h"
#include "shard.h"
#include "stories.h"
#include "term.h"
#include "textin.h"
#include "textlist.h"
#include "trial.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define END_OF_TEXT "<|endoftext|>"
#define LEARN_MOST ((size_t)64 << 20) /* bytes that a tokenizer is trained on */
#define SEQ 256
#define BATCH 8
#define MEASURED "4" /* sequences of the steps that are measured: as fast, and sooner done */
/* Tokens a parameter of the layers, where the search begins: it moves both ways from there. Far
 * fewer than what is best for large models (about 20), as so few updates are made. */
#define TOKENS_A_PARAMETER 4.0
enum { BASE_SEEDS = 5, LEAST_TRIALS = 10, MOST_TRIALS = 1000 };

struct plan {
    const struct search_init *o;
    char *data, *tokenizer; /* absolute; owned */
    uint64_t bytes, made;   /* of the text, and tokens that were made of it; 0: it was tokens */
    size_t learned;         /* bytes that the tokenizer was trained on; 0: it was given */
    uint32_t vocab;         /* of one that is trained */
    int threads;            /* of a trial */
    double gflops;          /* in a step */
    double flops, tokens;   /* of a trial, about */
    int64_t layers, width, trials;
    double fit; /* trials, before there is a least and a most of them */
    double memory_mb;
};

/* The tokenizer -------------------------------------------------------------------------------- */

/* The beginning of a text, at most `most` bytes; without the trailer of a built-in corpus. */
static int read_start(const char *path, size_t most, char **text, size_t *n, struct err *e) {
    struct textin in = {0};
    size_t got = 1;
    int rc;
    *n = 0;
    if (!(*text = malloc(most + 1))) return err_set(e, ERR_NOMEM, "no memory for a text");
    TRY(textin_open(&in, path, e));
    while (got && *n < most) {
        TRY(textin_read(&in, *text + *n, most - *n, &got, e));
        *n += got;
    }
    if (!got) { /* all of it */
        double *bits = NULL;
        size_t docs, bytes;
        TRY(stories_trailer(*text, *n, &bytes, &bits, &docs, e));
        free(bits);
        *n = bytes;
    }
out:
    textin_close(&in);
    return rc;
}

/* Of the first file that has some text, and of others while there is room. */
static int learn(struct plan *p, const struct textlist *l, char **json, struct err *e) {
    const char *specials[] = {END_OF_TEXT};
    char **text = calloc(l->n + 1, sizeof *text);
    size_t *bytes = calloc(l->n + 1, sizeof *bytes), n = 0;
    struct bpe_train_opts b = {
        .vocab = p->vocab, .specials = specials, .n_specials = 1, .min_count = 2};
    int rc = text && bytes ? 0 : err_set(e, ERR_NOMEM, "no memory for a text");
    for (; n < l->n && p->learned < LEARN_MOST && !rc; n++) {
        rc = read_start(l->path[n], LEARN_MOST - p->learned, &text[n], &bytes[n], e);
        p->learned += bytes[n];
    }
    if (!rc && !p->learned) rc = err_set(e, ERR_INPUT, "%s: there is no text in it", p->o->data);
    if (!rc) rc = bpe_train(&b, (const char *const *)text, bytes, n, json, &p->vocab, e);
    for (size_t i = 0; text && i < l->n; i++) free(text[i]);
    free(text);
    free(bytes);
    return rc;
}

/* "x.json", ".shard" -> "x.shard". *path: new, also on failure. ERR_USAGE: it cannot be written. */
static int name_beside(const struct search_init *o, const char *end, char **path, struct err *e) {
    const size_t n = strlen(o->out) - (file_ends_with(o->out, ".json") ? 5 : 0);
    int rc;
    if (asprintf(path, "%.*s%s", (int)n, o->out, end) < 0) *path = NULL;
    if (!*path) return err_set(e, ERR_NOMEM, "no memory for a path");
    if (file_lies_in(*path, o->data))
        return err_set(e, ERR_USAGE, "%s would be data, too: choose another --out", *path);
    TRY(out_spares(*path, o->data, e));
    if (o->tokenizer) TRY(out_spares(*path, o->tokenizer, e));
    rc = out_free(*path, o->overwrite, e);
out:
    return rc;
}

static int write_text(const char *path, const char *text, struct err *e) {
    struct file_out out = {0};
    const int rc = file_out_open(&out, path, e);
    if (rc) return rc;
    file_out_write(&out, text, strlen(text));
    file_out_write(&out, "\n", 1);
    return file_out_commit(&out, e);
}

static int train_tokenizer(struct plan *p, const struct textlist *l, struct log_progress *line,
                           struct err *e) {
    char *json = NULL, *path = NULL;
    int rc;
    TRY(name_beside(p->o, ".tokenizer.json", &path, e));
    log_state(line, "training a tokenizer of %u tokens", p->vocab);
    TRY(learn(p, l, &json, e));
    TRY(write_text(path, json, e));
    p->tokenizer = realpath(path, NULL);
    if (!p->tokenizer) rc = err_errno(e, ERR_IO, "%s", path);
out:
    free(json);
    free(path);
    return rc;
}

static int find_tokenizer(struct plan *p, struct log_progress *line, struct err *e) {
    struct textlist l = {0};
    char found[PATH_MAX];
    const char *given = p->o->tokenizer;
    int rc = 0;
    if (given) {
        p->tokenizer = strdup(realpath(given, found) && file_exists(given) ? found : given);
        if (!p->tokenizer) return err_set(e, ERR_NOMEM, "no memory for a path");
        return 0;
    }
    if (shard_probe(p->o->data)) /* of which nothing can be learned */
        return err_set(e, ERR_USAGE,
                       "%s holds tokens: name the tokenizer that made them with --tokenizer",
                       p->o->data);
    TRY(textlist_open(&l, &p->o->data, 1, e));
    TRY(textlist_check(&l, e));
    TRY(train_tokenizer(p, &l, line, e));
out:
    textlist_close(&l);
    return rc;
}

/* The tokens ----------------------------------------------------------------------------------- */

static void show_progress(void *ctx, uint64_t done, uint64_t total) {
    log_bar(ctx, "tokenizing", done, total, "MB");
}

/* Of a text, once, beside the file: else each training of the search makes its own. */
static int make_tokens(struct plan *p, struct log_progress *line, struct err *e) {
    struct tokenizer *t = NULL;
    struct pool *pool = NULL;
    struct shard_stats stats;
    const char *const text = p->data;
    char *path = NULL;
    int rc = 0;
    if (shard_probe(p->data)) return 0;
    TRY(name_beside(p->o, ".shard", &path, e));
    TRY(model_open_tokenizer(&t, p->tokenizer, e));
    TRY(pool_open(&pool, cpu_count(), e));
    log_begin(line);
    TRY(shard_build(t, pool, &text, 1, path, show_progress, line, &stats, e));
    log_progress_end(line);
    if (*stats.note) log_warn(line, "note: %s", stats.note);
    p->bytes = stats.bytes;
    p->made = stats.tokens;
    free(p->data);
    p->data = realpath(path, NULL);
    if (!p->data) rc = err_errno(e, ERR_IO, "%s", path);
out:
    pool_close(pool);
    tokenizer_close(t);
    free(path);
    return rc;
}

/* The speed ------------------------------------------------------------------------------------ */

/* All that it prints, at most a megabyte. */
static char *read_all(FILE *f) {
    char *text = calloc(1, (1 << 20) + 1);
    if (text) (void)!fread(text, 1, 1 << 20, f);
    return text;
}

/* A few steps of the demo model, by `duet bench step`: what this machine does beside what else
 * runs on it. */
static int measure(struct plan *p, struct log_progress *line, struct err *e) {
    char vocab[16], threads[16], seq[16], words[200];
    snprintf(vocab, sizeof vocab, "%u", p->vocab);
    snprintf(threads, sizeof threads, "%d", p->threads);
    snprintf(seq, sizeof seq, "%d", SEQ);
    const char *argv[] = {"/proc/self/exe", "bench",  "step", "--model",  "demo", "--batch",
                          MEASURED,         "--seq",  seq,    "--vocab",  vocab,  "--threads",
                          threads,          "--runs", "4",    "--warmup", "1",    "--json",
                          "--quiet",        NULL};
    struct child c = {0};
    log_state(line, "measuring a training step");
    int rc = child_open(&c, (char *const *)(uintptr_t)argv, e);
    if (rc) return rc;
    char *text = read_all(c.from);
    child_wait(&c);
    json_t *j = text ? json_loads(text, 0, NULL) : NULL;
    /* The fastest step: the others had neighbours. */
    const double gflops = json_number_value(json_object_get(j, "gflops")) *
                          json_number_value(json_object_get(j, "ms_per_step")) /
                          json_number_value(json_object_get(j, "ms_min"));
    if (!WIFEXITED(c.status) || WEXITSTATUS(c.status) || !(gflops > 0))
        rc = err_set(e, ERR_IO, "a training step could not be measured: %s",
                     child_last_words(&c, words, sizeof words));
    p->gflops = gflops;
    json_decref(j);
    free(text);
    child_close(&c);
    return rc;
}

/* What fits ------------------------------------------------------------------------------------ */

/* 12 width^2 weights a layer, of width 32 a layer; 6 operations a weight and token. */
void search_init_shape(double flops, int64_t *layers, int64_t *width) {
    const double params = sqrt(flops / (6 * TOKENS_A_PARAMETER));
    const double depth = cbrt(params / (12 * 32 * 32));
    *width = 64 * (int64_t)fmax(1, round(fmin(depth, 64) * 32 / 64));
    *layers = (int64_t)fmax(2, round(params / (12 * (double)*width * (double)*width)));
    if (*layers > 48) *layers = 48;
}

static void choose(struct plan *p) {
    const struct search_init *o = p->o;
    p->flops = p->gflops * 1e9 * o->time;
    search_init_shape(p->flops, &p->layers, &p->width);
    const double weights = 12 * (double)p->width * (double)p->width * (double)p->layers +
                           (double)p->vocab * (double)p->width;
    p->tokens = p->flops / (6 * weights);
    /* Starting, saving and measuring take time, too. */
    const double each = SEARCH_COST_SEEDS * (1.05 * o->time + 5), base = BASE_SEEDS * o->time;
    p->fit = fmax(0, 1 + (o->hours * 3600 * (double)o->jobs - base) / each);
    p->trials = (int64_t)fmin(fmax(p->fit, LEAST_TRIALS), MOST_TRIALS);
    p->memory_mb = floor(trial_memory_mb((unsigned)o->jobs) * 0.9);
}

static int64_t updates(const struct plan *p) {
    return (int64_t)fmax(1, p->tokens / (BATCH * SEQ));
}

/* The file ------------------------------------------------------------------------------------- */

static json_t *base_json(const struct plan *p) {
    const int64_t head = p->width >= 512 ? 64 : 32;
    return json_pack(
        "{s:s, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:s, s:s, s:i, s:i, s:s, s:f, s:f, s:i, s:f}",
        "model", "demo", "set", "num_hidden_layers", (json_int_t)p->layers, "hidden_size",
        (json_int_t)p->width, "intermediate_size", (json_int_t)(p->width * 3),
        "num_attention_heads", (json_int_t)(p->width / head), "num_key_value_heads",
        (json_int_t)(p->width / head), "head_dim", (json_int_t)head, "data", p->data, "tokenizer",
        p->tokenizer, "batch", BATCH, "seq", SEQ, "optimizer", "adamw", "lr", 0.002, "weight-decay",
        0.1, "warmup", 20, "decay-share", 0.5);
}

static json_t *space_json(const struct plan *p) {
    const double head = p->width >= 512 ? 64 : 32;
    const int64_t most = 64 * (int64_t)fmax(2, round(2 * (double)p->width / 64));
    const int64_t warmup = updates(p) / 4;
    return json_pack(
        "{s:{s:[f,f]}, s:{s:[i,i,i,i,i]}, s:{s:[i,I]}, s:{s:i, s:[i,I]}, s:{s:s, s:[i,i], s:i}, "
        "s:{s:s, s:[f]}, s:{s:s, s:[f]}, s:{s:[s,s]}, s:{s:[i,I]}, s:{s:[f,f]}, s:{s:[f,f]}}",
        "lr", "log", 1e-4, 1e-2, "batch", "choice", 2, 4, 8, 16, 32, "set.num_hidden_layers", "int",
        1, (json_int_t)(2 * p->layers), "set.hidden_size", "multiple_of", 64, "range", 64,
        (json_int_t)most, "set.intermediate_size", "share_of", "set.hidden_size", "range", 2, 4,
        "multiple_of", 64, "set.num_attention_heads", "share_of", "set.hidden_size", "choice",
        1 / head, "set.num_key_value_heads", "share_of", "set.hidden_size", "choice", 1 / head,
        "optimizer", "choice", "adamw", "lion", "warmup", "int", 0,
        (json_int_t)(warmup < 20    ? 20
                     : warmup > 500 ? 500
                                    : warmup),
        "weight-decay", "linear", 0.0, 0.3, "decay-share", "linear", 0.2, 1.0);
}

static json_t *file_json(const struct plan *p) {
    const struct search_init *o = p->o;
    json_t *base = base_json(p), *space = space_json(p);
    json_t *limits = json_pack("{s:f}", "seconds", ceil(2 * o->time + 60));
    if (p->memory_mb > 0 && limits)
        json_object_set_new(limits, "peak_rss_mb", json_real(p->memory_mb));
    return json_pack("{s:o, s:{s:f}, s:s, s:I, s:o, s:o, s:I}", "base", base, "budget", "time",
                     o->time, "strategy", "tpe", "trials", (json_int_t)p->trials, "space", space,
                     "limits", limits, "jobs", (json_int_t)o->jobs);
}

static int write_file(const struct plan *p, struct err *e) {
    struct search s = {0};
    json_t *j = file_json(p);
    char *text = NULL;
    int rc;
    if (!j) return err_set(e, ERR_NOMEM, "no memory for a search file");
    TRY(search_plan(&s, j, p->o->out, e)); /* a search would take it */
    search_close(&s);
    text = json_text_dump(j, JSON_INDENT(2));
    if (!text) TRY(err_set(e, ERR_NOMEM, "no memory for a search file"));
    json_text_join_lists(text);
    TRY(write_text(p->o->out, text, e));
out:
    json_decref(j);
    free(text);
    return rc;
}

/* What was chosen, and why --------------------------------------------------------------------- */

static void tell_trials(const struct plan *p, FILE *say) {
    const double hours = p->o->hours;
    const long long n = p->trials;
    if (p->fit < LEAST_TRIALS)
        term_fact(say, "trials",
                  "%lld, the least that is worth a search; into %g h fit %.0f at about %.1f seeds "
                  "each",
                  n, hours, floor(p->fit), SEARCH_COST_SEEDS);
    else if (p->fit > MOST_TRIALS)
        term_fact(say, "trials", "%lld, the most that is written; %g h would do for %.0f", n, hours,
                  floor(p->fit));
    else
        term_fact(say, "trials", "%lld: what fits into %g h at about %.1f seeds each", n, hours,
                  SEARCH_COST_SEEDS);
}

static void tell(const struct plan *p, FILE *say) {
    const struct search_init *o = p->o;
    char time[32], tokens[32], all[32], each[32];
    const double params = 12 * (double)p->width * (double)p->width * (double)p->layers;
    log_duration(o->time, time);
    if (p->made)
        term_fact(say, "data", "%s: %s tokens of %.1f MB; a trial reads about %.2g of them",
                  p->data, num_count((long long)p->made, all), (double)p->bytes * 1e-6,
                  p->tokens / (double)p->made);
    if (p->learned)
        term_fact(say, "tokenizer", "%s: %u tokens, from %.1f MB of it", p->tokenizer, p->vocab,
                  (double)p->learned * 1e-6);
    term_fact(say, "speed", "%.1f GFLOP/s in a step (%d thread%s): %s M tokens in %s", p->gflops,
              p->threads, p->threads == 1 ? "" : "s", num_digits(p->tokens * 1e-6, 2, tokens),
              time);
    term_fact(say, "base",
              "%lld layers of %lld, %.2f M weights: about %s tokens a weight; the "
              "search moves both ways",
              (long long)p->layers, (long long)p->width, params * 1e-6,
              num_digits(p->tokens / params, 2, each));
    term_fact(say, "batch", "%d x %d tokens: about %s updates", BATCH, SEQ,
              num_count((long long)updates(p), all));
    term_fact(say, "space", "rate, batch, shape, optimizer, warm-up, decays: what moves most");
    if (p->memory_mb > 0)
        term_fact(say, "limits", "%.0f MB of memory, %.0f s: what needs more is a failed row",
                  p->memory_mb, ceil(2 * o->time + 60));
    tell_trials(p, say);
    term_fact(say, "next", "duet search %s --out DIR", o->out);
}

int search_init(const struct search_init *o, FILE *say, struct err *e) {
    struct plan p = {.o = o, .vocab = 2048};
    struct log_progress line;
    int rc;
    log_progress_init(&line, o->quiet);
    TRY(out_spares(o->out, o->data, e));
    if (o->tokenizer) TRY(out_spares(o->out, o->tokenizer, e));
    TRY(out_free(o->out, o->overwrite, e));
    TRY(file_out_check(o->out, e));
    p.data = realpath(o->data, NULL);
    if (!p.data) TRY(err_errno(e, ERR_INPUT, "%s", o->data));
    p.threads = trial_threads((unsigned)o->jobs);
    TRY(measure(&p, &line, e));
    /* With more to learn from, more words are worth their rows. */
    p.vocab = p.gflops * 1e9 * o->time < 3e14 ? 2048 : 4096;
    TRY(find_tokenizer(&p, &line, e));
    TRY(make_tokens(&p, &line, e));
    choose(&p);
    TRY(write_file(&p, e));
    log_progress_end(&line);
    if (!o->quiet) tell(&p, say);
out:
    log_progress_end(&line);
    free(p.data);
    free(p.tokenizer);
    return rc;
}
