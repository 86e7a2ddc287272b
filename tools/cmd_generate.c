#include "cmd.h"
#include "open_model.h"
#include "par.h"
#include "sample.h"
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
    bool no_stop, quiet;
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
    CONF_BOOL(O, no_stop, "ignore-eos", "do not stop at the end-of-text token"),
    CONF_SECTION("Sampling"),
    CONF_FLOAT(O, temperature, "temperature", "0.8", 0, 100, "0: always the most likely token"),
    CONF_INT(O, top_k, "top-k", "0", 0, 1e9, "sample among the k most likely; 0: all"),
    CONF_FLOAT(O, top_p, "top-p", "1", 0, 1,
               "sample among the most likely that together have this probability"),
    CONF_FLOAT(O, min_p, "min-p", "0", 0, 1,
               "drop tokens less likely than this share of the most likely"),
    CONF_INT(O, seed, "seed", "-1", -1, 9e18, "seed of the sampling; -1: the clock"),
    CONF_SECTION("Model"),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "byte, or a tokenizer file; default: the one in the model file"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "override a key of the model description (repeatable)"),
    OPEN_MODEL_ROWS(O, open),
    CONF_INT(O, context, "context", "0", 0, 1 << 20,
             "positions of the key/value cache, at least 2; 0: the training length"),
    CONF_SECTION("Computing"),
    CONF_CHOICE(O, compute, "compute", "f32", compute_words, "type of GEMM inputs"),
    CONF_CHOICE(O, gemm, "gemm", "auto", gemm_words, "matrix product backend"),
    CONF_INT(O, threads, "threads", "0", 0, 4096, "threads; 0: one per processor"),
    CONF_BOOL(O, quiet, "quiet", "no speed report on stderr"),
    CONF_END};
#undef O

static bool emit(void *ctx, uint32_t prev, uint32_t id) {
    size_t n;
    const char *piece = tokenizer_piece(ctx, (int64_t)prev, id, &n);
    fwrite(piece, 1, n, stdout);
    return fflush(stdout) == 0;
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

static void report(const struct sample_stats *s) {
    fprintf(stderr,
            "\n[prompt %lld tokens in %.2f s (%.0f tokens/s); %lld tokens in %.2f s (%.1f "
            "tokens/s)%s]\n",
            (long long)s->prompt_tokens, s->prompt_seconds,
            (double)s->prompt_tokens / s->prompt_seconds, (long long)s->tokens, s->seconds,
            (double)s->tokens / s->seconds, s->ended ? "; end of text" : "");
}

static int generate(const struct opts *o, const struct conf *conf, struct err *e) {
    int rc;
    struct model m = {0};
    struct gemm gemm;
    struct tokenizer *t = NULL;
    struct tok_ids ids = {0};
    struct sample_stats stats;
    struct sample_opts so = {.temperature = o->temperature,
                             .top_k = o->top_k,
                             .top_p = o->top_p,
                             .min_p = o->min_p,
                             .tokens = o->tokens,
                             .context = o->context,
                             .seed = o->seed < 0 ? (uint64_t)time(NULL) : (uint64_t)o->seed};
    if (o->context == 1)
        return err_set(e, ERR_USAGE, "--context 1 leaves no room to continue; at least 2");
    TRY(gemm_init(&gemm, o->gemm, (enum dtype)compute_type(o->compute), e));
    TRY(open_model(&m, conf->pos[0], &o->open, &o->set, conf, e));
    if (o->tokenizer)
        TRY(tokenizer_open(&t, o->tokenizer, e));
    else
        TRY(model_tokenizer(&m, &t, e));
    if (tokenizer_vocab_size(t) > m.config.vocab) {
        rc =
            err_set(e, ERR_INPUT,
                    "the tokenizer has %u tokens, the model only %lld: they do not belong together",
                    tokenizer_vocab_size(t), (long long)m.config.vocab);
        goto out;
    }
    if (!o->no_stop) sample_stops(&m, t, &so);
    TRY(sample_prompt(t, o->prompt, &ids, e));
    TRY(check_prompt(&m, &ids, e));
    fputs(o->prompt, stdout);
    fflush(stdout);
    TRY(sample_run(&m, &gemm, &so, ids.ids, (int64_t)ids.n, emit, t, &stats, e));
    if (!o->quiet) report(&stats);
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
    .notes = "stdout is exactly the prompt and its continuation. When the context is used up the "
             "older half is\n"
             "dropped and generation goes on.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
