#include "chars.h"
#include "cmd.h"
#include "open_model.h"
#include "par.h"
#include "sample.h"
#include "screen.h"
#include "train_opts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct opts {
    const char *prompt, *tokenizer, *compute, *gemm;
    struct conf_pairs set;
    struct open_opts open;
    double temperature, top_p, min_p;
    int64_t tokens, top_k, seed, context, threads;
    bool no_stop, special, shift, quiet;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_SECTION("Text"),
    {.type = CONF_T_STRING,
     .name = "prompt",
     .offset = offsetof(O, prompt),
     .def = "",
     .arg = "TEXT",
     .help = "text to continue; empty: from the start of a document",
     .internal = true},
    CONF_INT(O, tokens, "tokens", "256", 1, 1e9, "at most so many new tokens"),
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
    CONF_INT(O, seed, "seed", "-1", -1, 9e18,
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
    CONF_INT(O, threads, "threads", "0", 0, 4096, "threads; 0: one per processor"),
    CONF_BOOL(O, quiet, "quiet", "no speed report on stderr"),
    CONF_END};
#undef O

/* The text goes out in whole characters, token by token, the prompt before the first: when nothing
 * can be said, nothing is. */
struct stream {
    const struct tokenizer *t;
    const char *prompt; /* NULL once it is written */
    struct chars chars;
    int rc;
    struct err *e;
};

static bool put(struct stream *s) {
    if (s->rc) return false;
    if (s->prompt) screen_write(stdout, s->prompt, strlen(s->prompt));
    s->prompt = NULL;
    screen_write(stdout, s->chars.out.data, s->chars.out.n);
    return fflush(stdout) == 0;
}

static bool emit(void *ctx, uint32_t prev, uint32_t id) {
    struct stream *s = ctx;
    size_t n;
    const char *piece = tokenizer_piece(s->t, (int64_t)prev, id, &n);
    s->rc = chars_add(&s->chars, piece, n, s->e);
    return put(s);
}

static int check_prompt(const struct model *m, const struct tok_ids *ids, struct err *e) {
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] >= m->config.vocab)
            return err_set(
                e, ERR_INPUT,
                "prompt token id %u is outside the model's vocabulary of %lld: is this its "
                "tokenizer?",
                ids->ids[i], (long long)m->config.vocab);
    return 0;
}

static const char *end_words(const struct sample_stats *s) {
    return s->end == SAMPLE_STOP      ? "; end of text"
           : s->end == SAMPLE_CONTEXT ? "; context full (--context-shift goes on)"
                                      : "";
}

static void report(const struct opts *o, const struct model *m, const struct sample_opts *so,
                   const struct sample_stats *s, uint64_t replaced) {
    const json_t *trained = json_object_get(json_object_get(m->config.json, "duet"), "seq_len");
    fprintf(stderr,
            "\n[prompt %lld tokens in %.2f s (%.0f tokens/s); %lld tokens in %.2f s (%.1f "
            "tokens/s)%s",
            (long long)s->prompt_tokens, s->prompt_seconds,
            (double)s->prompt_tokens / s->prompt_seconds, (long long)s->tokens, s->seconds,
            (double)s->tokens / s->seconds, end_words(s));
    if (s->shifts)
        fprintf(stderr, "; the older half of the context was forgotten %lld time%s",
                (long long)s->shifts, s->shifts == 1 ? "" : "s");
    if (json_is_integer(trained) && s->prompt_tokens + s->tokens - 1 > m->config.seq_len)
        fprintf(stderr, "; text longer than the %lld tokens that the model was last trained at",
                (long long)m->config.seq_len);
    if (replaced)
        fprintf(stderr, "; %llu U+FFFD in place of bytes that are no character",
                (unsigned long long)replaced);
    if (o->seed < 0 && o->temperature > 0)
        fprintf(stderr, "; seed %llu", (unsigned long long)so->seed);
    fprintf(stderr, "]\n");
}

/* What looks like a special token and is text, as text of others should be, is said. */
static void note_special(const struct opts *o, const struct tokenizer *t) {
    size_t n;
    const int64_t id = tokenizer_first_special(t, o->prompt, strlen(o->prompt));
    if (o->special || o->quiet || id < 0) return;
    const char *name = tokenizer_piece(t, -1, (uint32_t)id, &n);
    fputs("note: ", stderr);
    screen_write(stderr, name, n);
    fputs(" in the prompt is read as text; --special reads it as the token\n", stderr);
}

static int write_text(const struct opts *o, struct model *m, const struct gemm *gemm,
                      const struct tokenizer *t, const struct sample_opts *so,
                      const struct tok_ids *ids, struct err *e) {
    int rc;
    struct sample_stats stats;
    struct stream out = {.t = t, .prompt = o->prompt, .e = e};
    TRY(sample_run(m, gemm, so, ids->ids, (int64_t)ids->n, emit, &out, &stats, e));
    TRY(out.rc ? out.rc : chars_end(&out.chars, e));
    put(&out);
    if (!o->quiet) report(o, m, so, &stats, out.chars.replaced);
out:
    chars_release(&out.chars);
    return rc;
}

static int generate(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct gemm gemm;
    struct tokenizer *t = NULL;
    struct tok_ids ids = {0};
    struct sample_opts so = {.temperature = o->temperature,
                             .top_k = o->top_k,
                             .top_p = o->top_p,
                             .min_p = o->min_p,
                             .tokens = o->tokens,
                             .context = o->context,
                             .shift = o->shift,
                             .seed = o->seed < 0 ? (uint64_t)time(NULL) : (uint64_t)o->seed};
    if (o->context == 1)
        return err_set(e, ERR_USAGE, "--context 1 leaves no room to continue; at least 2");
    TRY(open_gemm(&gemm, o->gemm, o->compute, o->quiet, e));
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, e));
    TRY(model_pick_tokenizer(&m, o->tokenizer, conf->pos[0], &t, e));
    note_special(o, t);
    if (!o->no_stop) sample_stops(&m, t, &so);
    TRY(sample_prompt(t, o->prompt, o->special, &ids, e));
    TRY(check_prompt(&m, &ids, e));
    TRY(write_text(o, &m, &gemm, t, &so, &ids, e));
out:
    free(ids.ids);
    tokenizer_close(t);
    model_close(&m);
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    TRY(cmd_parse(&cmd_generate, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 1) {
        rc = err_set(e, ERR_USAGE, "generate takes one model file, found %d", conf.n_pos);
        goto out;
    }
    if (o.threads) par_init((int)o.threads);
    TRY(generate(&o, &conf, e));
out:
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_generate = {
    .name = "generate",
    .summary = "Continue a text with a model.",
    .usage = "MODEL --prompt TEXT [--tokens N] [--temperature X] [--adapter FILE]",
    .notes =
        "stdout is exactly the prompt and its continuation, in whole characters: bytes that are "
        "no UTF-8, and\n"
        "a character that the last token leaves incomplete, become U+FFFD. On a terminal "
        "control\n"
        "characters other than line breaks and tabs stand as \\x1b. A prompt longer than the "
        "context is\n"
        "refused; text stops where the context is full. Without --quiet stderr says why the text "
        "ends and,\n"
        "if none was given, the seed.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
