#include "chars.h"
#include "cmd.h"
#include "log.h"
#include "map.h"
#include "open_model.h"
#include "sample.h"
#include "screen.h"
#include "stoptext.h"
#include "textin.h"
#include "train_opts.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEED_MAX 9e18
#define PROMPT_BYTES ((size_t)1 << 26) /* no context is that long */

struct opts {
    const char *prompt, *prompt_file, *tokenizer, *compute, *gemm;
    struct conf_list stop;
    struct conf_pairs set;
    struct open_opts open;
    double temperature, top_p, min_p, penalty;
    int64_t tokens, samples, top_k, seed, penalty_last, context, threads;
    bool no_stop, special, shift, json, quiet;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_SECTION("Text"),
    {.type = CONF_T_STRING,
     .name = "prompt",
     .offset = offsetof(O, prompt),
     .def = "",
     .arg = "TEXT",
     .help = "text to continue, which may also stand behind MODEL; empty: from the start of a "
             "document",
     .internal = true},
    CONF_STRING(O, prompt_file, "prompt-file", NULL, "FILE",
                "text to continue from a file (also .gz, .zst), without the line break at its end; "
                "- is standard input"),
    CONF_INT(O, tokens, "tokens", "256", 1, 1e9, "at most so many new tokens"),
    CONF_INT(O, samples, "samples", "1", 1, 1e6,
             "so many texts: the first with --seed, each further one with the next seed"),
    CONF_LIST(O, stop, "stop", "TEXT",
              "end before this text, which is not printed (repeatable)", .internal = true),
    CONF_BOOL(O, special, "special",
              "names of special tokens in the prompt, such as <|im_start|>, are these tokens; "
              "without it they are text like any other"),
    CONF_BOOL(O, no_stop, "ignore-eos", "do not stop at the end-of-text token"),
    CONF_SECTION("Sampling"),
    CONF_FLOAT(O, temperature, "temperature", "0.8", 0, 100, "0: always the most likely token"),
    CONF_INT(O, top_k, "top-k", "0", 0, 1e9, "sample among the k most likely; 0: all"),
    CONF_FLOAT(O, top_p, "top-p", "1", 0, 1,
               "sample among the most likely that together have this probability"),
    CONF_FLOAT(O, min_p, "min-p", "0", 0, 1,
               "drop tokens less likely than this share of the most likely"),
    CONF_FLOAT(O, penalty, "repetition-penalty", "1", 1e-3, 1e3,
               "logits of tokens that occur in prompt and text are divided by this, or times it "
               "where negative (CTRL); 1: off"),
    CONF_INT(O, penalty_last, "repeat-last", "0", 0, 1e9,
             "with --repetition-penalty: only of the last N tokens; 0: all"),
    CONF_INT(O, seed, "seed", "-1", 0, SEED_MAX,
             "seed of the sampling; -1: the clock's, which is printed"),
    CONF_SECTION("Model"),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "byte, a tokenizer or model file; default: the one in the model file, and no "
                "other"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "override a key of the model description (repeatable)"),
    OPEN_MODEL_ROWS(O, open),
    CONF_INT(O, context, "context", "0", 0, 1 << 20,
             "most tokens of prompt and text together, at least 2; 0: all that the model has "
             "(max_position_embeddings)"),
    CONF_BOOL(O, shift, "context-shift",
              "when the context is full, forget its older half and go on, instead of stopping"),
    CONF_SECTION("Computing"),
    CONF_CHOICE(O, compute, "compute", "f32", compute_words,
                "type of GEMM inputs; auto: the faster here"),
    CONF_CHOICE(O, gemm, "gemm", "auto", gemm_words, "matrix product backend"),
    THREADS_ROW(O, threads),
    CONF_BOOL(O, json, "json", "print one JSON object: prompt, and of each text its seed, text, "
                               "tokens, finish_reason and speed"),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END};
#undef O

/* ---- the prompt ----------------------------------------------------------------------------- */

struct prompt {
    const char *text; /* bytes of them: there may be a NUL */
    size_t bytes;
    char *owned;
};

/* An editor ends the last line of a file; a model should not go on from a line that is over. */
static size_t without_line_break(const char *text, size_t n) {
    if (n && text[n - 1] == '\n') n--;
    if (n && text[n - 1] == '\r') n--;
    return n;
}

static int check_prompt_source(const struct opts *o, const struct conf *conf, struct err *e) {
    const int given =
        conf_given(conf, "prompt") + conf_given(conf, "prompt-file") + (conf->n_pos > 1);
    if (conf->n_pos < 1)
        return err_set(e, ERR_USAGE, "generate takes a model and a prompt, found neither");
    if (conf->n_pos > 2)
        return err_set(e, ERR_USAGE,
                       "generate takes a model and a prompt, found %d arguments: a prompt of "
                       "several words is one argument in quotes",
                       conf->n_pos);
    if (given > 1)
        return err_set(e, ERR_USAGE,
                       "the prompt is given twice: behind the model, with --prompt, or with "
                       "--prompt-file");
    for (size_t i = 0; i < o->stop.n; i++)
        if (!*o->stop.item[i])
            return err_set(e, ERR_USAGE, "--stop is empty, expected a text to end before");
    return 0;
}

static int read_prompt(struct prompt *p, const struct opts *o, const struct conf *conf,
                       struct err *e) {
    int rc = 0;
    const char *text = conf->n_pos > 1 ? conf->pos[1] : o->prompt;
    const bool in = conf->n_pos > 1 && !strcmp(text, "-");
    *p = (struct prompt){.text = text, .bytes = strlen(text)};
    if (!in && !o->prompt_file) return 0;
    TRY(textin_read_all(in ? "-" : o->prompt_file, PROMPT_BYTES, &p->owned, &p->bytes, e));
    p->text = p->owned;
    p->bytes = without_line_break(p->text, p->bytes);
out:
    return rc;
}

/* Whoever pipes a prompt without saying so would get a text from nowhere. */
static void note_unread(const struct opts *o, const struct conf *conf) {
    struct stat st;
    if (o->quiet || conf->n_pos > 1 || *o->prompt || o->prompt_file) return;
    if (!fstat(STDIN_FILENO, &st) && S_ISFIFO(st.st_mode))
        fputs("standard input is not read; --prompt-file - takes the prompt from it\n", stderr);
}

static int check_ids(const struct model *m, const struct tok_ids *ids, struct err *e) {
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] >= m->config.vocab)
            return err_set(
                e, ERR_INPUT,
                "prompt token id %u is outside the model's vocabulary of %lld: is this its "
                "tokenizer?",
                ids->ids[i], (long long)m->config.vocab);
    return 0;
}

/* What looks like a special token and is text, as text of others should be, is said. */
static void note_special(const struct opts *o, const struct prompt *p, const struct tokenizer *t) {
    size_t n;
    const int64_t id = tokenizer_first_special(t, p->text, p->bytes);
    if (o->special || o->quiet || id < 0) return;
    const char *name = tokenizer_piece(t, -1, (uint32_t)id, &n);
    fputs("note: ", stderr);
    screen_write(stderr, name, n);
    fputs(" in the prompt is read as text; --special reads it as the token\n", stderr);
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* A text on its way out, in whole characters, token by token, the prompt before the first: when
 * nothing can be said, nothing is. As JSON it is kept. */
struct stream {
    const struct tokenizer *t;
    const struct prompt *prompt; /* NULL once it is written */
    char heading[80];            /* before it, or "" */
    struct stoptext stop;
    struct chars chars;
    struct tok_bytes *kept; /* NULL: to stdout */
    struct log_progress *line; /* where nobody sees it grow; else NULL */
    uint64_t done, total;      /* tokens of all texts */
    int rc;
    struct err *e;
};

static int append(struct tok_bytes *to, const struct tok_bytes *text, struct err *e) {
    if (grow(&to->data, &to->cap, to->n + text->n + 1, 1))
        return err_set(e, ERR_NOMEM, "out of memory for text");
    if (text->n) memcpy(to->data + to->n, text->data, text->n);
    to->n += text->n;
    return 0;
}

/* What chars has now. */
static bool put(struct stream *s) {
    if (s->rc) return false;
    if (s->kept) {
        s->rc = append(s->kept, &s->chars.out, s->e);
        return !s->rc;
    }
    fputs(s->heading, stdout);
    *s->heading = 0;
    if (s->prompt) screen_write(stdout, s->prompt->text, s->prompt->bytes);
    s->prompt = NULL;
    screen_write(stdout, s->chars.out.data, s->chars.out.n);
    return fflush(stdout) == 0;
}

static bool emit(void *ctx, uint32_t prev, uint32_t id) {
    struct stream *s = ctx;
    size_t n;
    const char *piece = tokenizer_piece(s->t, (int64_t)prev, id, &n);
    if (s->line) log_bar(s->line, "generating", ++s->done, s->total, "tokens");
    s->rc = stoptext_add(&s->stop, piece, n, s->e);
    if (!s->rc) s->rc = chars_add(&s->chars, s->stop.out.data, s->stop.out.n, s->e);
    return put(s) && !s->stop.found;
}

/* There is no more. */
static int stream_end(struct stream *s, struct err *e) {
    int rc = s->rc;
    if (rc) return rc;
    stoptext_end(&s->stop);
    TRY(chars_add(&s->chars, s->stop.out.data, s->stop.out.n, e));
    put(s);
    TRY(s->rc);
    TRY(chars_end(&s->chars, e));
    put(s);
    TRY(s->rc);
out:
    return rc;
}

static void stream_release(struct stream *s) {
    stoptext_release(&s->stop);
    chars_release(&s->chars);
}

static const char *finish_reason(const struct stream *s, const struct sample_stats *stats) {
    return s->stop.found                 ? "stop"
           : stats->end == SAMPLE_STOP    ? "eos"
           : stats->end == SAMPLE_CONTEXT ? "context"
                                          : "length";
}

/* ---- reports -------------------------------------------------------------------------------- */

static const char *end_words(const struct stream *s, const struct sample_stats *stats) {
    return s->stop.found                 ? "; stop text"
           : stats->end == SAMPLE_STOP    ? "; end of text"
           : stats->end == SAMPLE_CONTEXT ? "; context full (--context-shift goes on)"
                                          : "";
}

static double rate(int64_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void report(const struct model *m, const struct stream *s, const struct sample_stats *x) {
    const json_t *trained = json_object_get(json_object_get(m->config.json, "duet"), "seq_len");
    fprintf(stderr,
            "\n[prompt %lld tokens in %.2f s (%.0f tokens/s); %lld tokens in %.2f s (%.1f "
            "tokens/s)%s",
            (long long)x->prompt_tokens, x->prompt_seconds,
            rate(x->prompt_tokens, x->prompt_seconds), (long long)x->tokens, x->seconds,
            rate(x->tokens, x->seconds), end_words(s, x));
    if (x->shifts)
        fprintf(stderr, "; the older half of the context was forgotten %lld time%s",
                (long long)x->shifts, x->shifts == 1 ? "" : "s");
    if (json_is_integer(trained) && x->prompt_tokens + x->tokens - 1 > m->config.seq_len)
        fprintf(stderr, "; text longer than the %lld tokens that the model was last trained at",
                (long long)m->config.seq_len);
    if (s->chars.replaced)
        fprintf(stderr, "; %llu U+FFFD in place of bytes that are no character",
                (unsigned long long)s->chars.replaced);
    fprintf(stderr, "]\n");
}

/* text in whole characters. */
static json_t *sample_json(const struct stream *s, const struct tok_bytes *text, uint64_t seed,
                           const struct sample_stats *x) {
    return json_pack("{s:I,s:o,s:I,s:s,s:f,s:f}", "seed", (json_int_t)seed, "text",
                     json_stringn(text->n ? text->data : "", text->n), "tokens",
                     (json_int_t)x->tokens, "finish_reason", finish_reason(s, x), "ms",
                     1e3 * x->seconds, "tokens_per_second", rate(x->tokens, x->seconds));
}

/* In whole characters, too. */
static int prompt_json(const struct prompt *p, json_t **j, struct err *e) {
    int rc;
    struct chars c = {0};
    struct tok_bytes all = {0};
    TRY(chars_add(&c, p->text, p->bytes, e));
    TRY(append(&all, &c.out, e));
    TRY(chars_end(&c, e));
    TRY(append(&all, &c.out, e));
    *j = json_stringn(all.data, all.n);
    if (!*j) rc = err_set(e, ERR_NOMEM, "out of memory for the result");
out:
    chars_release(&c);
    free(all.data);
    return rc;
}

static int print_json(const struct prompt *p, json_t *samples, const struct sample_stats *x,
                      struct err *e) {
    int rc;
    json_t *prompt = NULL;
    TRY(prompt_json(p, &prompt, e));
    json_t *j = json_pack("{s:o,s:I,s:f,s:O}", "prompt", prompt, "prompt_tokens",
                          (json_int_t)x->prompt_tokens, "prompt_ms", 1e3 * x->prompt_seconds,
                          "samples", samples);
    char *text = j ? json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    if (text) {
        screen_write(stdout, text, strlen(text));
        putchar('\n');
    } else {
        rc = err_set(e, ERR_NOMEM, "out of memory for the result");
    }
    free(text);
    json_decref(j);
out:
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* One of the texts, to stdout or to samples. */
static int write_sample(const struct opts *o, const struct model *m, struct sampler *sampler,
                        struct stream *s, uint64_t seed, json_t *samples, struct sample_stats *x,
                        struct err *e) {
    int rc;
    TRY(sampler_run(sampler, seed, emit, s, x, e));
    if (s->line) log_progress_end(s->line);
    TRY(stream_end(s, e));
    if (!o->json) {
        if (o->samples > 1) putchar('\n');
        fflush(stdout);
        if (!o->quiet) report(m, s, x);
    } else if (json_array_append_new(samples, sample_json(s, s->kept, seed, x))) {
        rc = err_set(e, ERR_NOMEM, "out of memory for the result");
    }
out:
    return rc;
}

static int write_samples(const struct opts *o, struct model *m, const struct machine *machine,
                         const struct tokenizer *t, const struct sample_opts *so,
                         const struct prompt *p, const struct tok_ids *ids,
                         struct log_progress *line, struct err *e) {
    int rc;
    struct sampler *sampler = NULL;
    struct sample_stats x = {0};
    json_t *samples = json_array();
    struct tok_bytes kept = {0};
    const bool seen = !o->json && isatty(STDOUT_FILENO);
    log_state(line, "reading the prompt");
    TRY(sampler_open(&sampler, m, machine, so, ids->ids, (int64_t)ids->n, e));
    log_progress_end(line);
    if (o->seed < 0 && o->temperature > 0 && !o->quiet)
        fprintf(stderr, "seed %" PRIu64 "\n", so->seed);
    for (int64_t i = 0; i < o->samples && !rc; i++) {
        const uint64_t seed = so->seed + (uint64_t)i;
        struct stream s = {.t = t,
                           .prompt = p,
                           .stop = {.text = o->stop.item, .n = o->stop.n},
                           .kept = o->json ? &kept : NULL,
                           .line = seen ? NULL : line,
                           .done = (uint64_t)(i * o->tokens),
                           .total = (uint64_t)(o->samples * o->tokens),
                           .e = e};
        if (o->samples > 1)
            snprintf(s.heading, sizeof s.heading,
                     "%s=== %" PRId64 " of %" PRId64 ", seed %" PRIu64 "\n", i ? "\n" : "", i + 1,
                     o->samples, seed);
        kept.n = 0;
        rc = write_sample(o, m, sampler, &s, seed, samples, &x, e);
        stream_release(&s);
    }
    if (!rc && o->json) rc = print_json(p, samples, &x, e);
out:
    sampler_close(sampler);
    json_decref(samples);
    free(kept.data);
    return rc;
}

/* Short to type, and another one in each of the runs of a loop. */
static uint64_t clock_seed(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) % 1000000000;
}

static int check_opts(const struct opts *o, const struct conf *conf, struct err *e) {
    if (o->context == 1)
        return err_set(e, ERR_USAGE, "--context 1 leaves no room to continue; at least 2");
    if (conf_given(conf, "repeat-last") && o->penalty == 1)
        return err_set(e, ERR_USAGE, "--repeat-last has no effect without --repetition-penalty");
    if (o->samples > 1 && o->temperature <= 0)
        return err_set(e, ERR_USAGE,
                       "--samples %" PRId64 " at --temperature 0 would all be the same text",
                       o->samples);
    if (o->seed > (int64_t)SEED_MAX - (o->samples - 1))
        return err_set(e, ERR_USAGE, "--seed %" PRId64 " has no %" PRId64 " seeds behind it",
                       o->seed, o->samples);
    return 0;
}

static int generate(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct machine machine = {0};
    struct tokenizer *t = NULL;
    struct tok_ids ids = {0};
    struct prompt p = {0};
    struct sample_opts so = {.temperature = o->temperature,
                             .top_k = o->top_k,
                             .top_p = o->top_p,
                             .min_p = o->min_p,
                             .penalty = o->penalty,
                             .penalty_last = o->penalty_last,
                             .tokens = o->tokens,
                             .context = o->context,
                             .shift = o->shift,
                             .seed = o->seed < 0 ? clock_seed() : (uint64_t)o->seed};
    struct log_progress line;
    log_progress_init(&line, o->quiet);
    note_unread(o, conf);
    TRY(read_prompt(&p, o, conf, e));
    TRY(open_machine(&machine,
                     &(struct open_machine){o->threads, o->gemm, o->compute, o->quiet}, e));
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, machine.pool, e));
    TRY(model_pick_tokenizer(&m, o->tokenizer, conf->pos[0], &t, e));
    note_special(o, &p, t);
    if (!o->no_stop) sample_stops(&m, t, &so);
    TRY(sample_prompt(t, p.text, p.bytes, o->special, &ids, e));
    TRY(check_ids(&m, &ids, e));
    TRY(write_samples(o, &m, &machine, t, &so, &p, &ids, &line, e));
out:
    log_progress_end(&line);
    free(ids.ids);
    free(p.owned);
    tokenizer_close(t);
    model_close(&m);
    machine_close(&machine);
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    TRY(cmd_parse(&cmd_generate, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_prompt_source(&o, &conf, e));
    TRY(check_opts(&o, &conf, e));
    TRY(generate(&o, &conf, e));
out:
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_generate = {
    .name = "generate",
    .summary = "Continue a text with a model.",
    .usage = "MODEL [PROMPT] [--tokens N] [--temperature X] [--stop TEXT] [-n SAMPLES]\n"
             "MODEL --prompt-file FILE [--json] ...",
    .notes =
        "stdout is exactly the prompt and its continuation, in whole characters: bytes that are "
        "no UTF-8, and\n"
        "a character that the last token leaves incomplete, become U+FFFD. On a terminal "
        "control\n"
        "characters other than line breaks and tabs stand as \\x1b. A prompt longer than the "
        "context is\n"
        "refused; text stops where the context is full. Of several samples each has a line with "
        "its seed\n"
        "above it; --seed with that number gives it alone. Without --quiet stderr says why the "
        "text ends\n"
        "and, first of all, the seed if none was given. finish_reason is stop (--stop), length "
        "(--tokens),\n"
        "eos (the end-of-text token) or context (it is full).\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
