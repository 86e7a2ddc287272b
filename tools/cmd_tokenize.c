/* duet tokenize: text files into a token shard, and checking a shard. */
#include "clock.h"
#include "cmd.h"
#include "import.h"
#include "log.h"
#include "out_format.h"
#include "shard.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *tokenizer, *out, *verify, *format;
    int64_t vocab, threads;
    struct machine machine; /* no option */
    bool overwrite, json, quiet;
};

static const struct conf_row rows[] = {
    CONF_SECTION("Writing a shard"),
    CONF_STRING(struct opts, tokenizer, "tokenizer", NULL, "T",
                "\"byte\", a tokenizer.json, tokenizer.model, llama2.c tokenizer.bin, or a folder "
                "with one"),
    CONF_STRING(struct opts, out, "out", NULL, "SHARD", "file to write"),
    OVERWRITE_ROW(struct opts, overwrite),
    CONF_SECTION("Checking a shard"),
    CONF_STRING(struct opts, verify, "verify", NULL, "SHARD",
                "check sizes, checksums and every token of an existing shard"),
    CONF_CHOICE(struct opts, format, "format", "duet", "duet raw16",
                "what --verify reads: a shard of duet, or 16-bit tokens without a header"),
    CONF_INT(struct opts, vocab, "vocab", "0", 0, 4294967295.0,
             "size of the vocabulary, for raw16: every token must be below it"),
    CONF_SECTION("Running"),
    THREADS_ROW(struct opts, threads),
    CONF_BOOL(struct opts, json, "json", "print the result as JSON on standard output"),
    CONF_BOOL(struct opts, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END,
};

static void show_progress(void *ctx, uint64_t done, uint64_t total) {
    log_bar(ctx, "tokenizing", done, total, "MB");
}

static int print_json(json_t *o, struct err *e) {
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(o);
    if (!text) return err_set(e, ERR_NOMEM, "no memory for the result");
    puts(text);
    free(text);
    return 0;
}

static double per_token(uint64_t bytes, uint64_t tokens) {
    return tokens ? (double)bytes / (double)tokens : 0;
}

static int report_build(const struct opts *o, const struct shard_stats *s, double seconds,
                        struct log_progress *line, struct err *e) {
    double rate = seconds > 0 ? (double)s->bytes / 1e6 / seconds : 0;
    if (o->json)
        return print_json(json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f}", "shard", o->out,
                                    "tokens", (json_int_t)s->tokens, "bytes", (json_int_t)s->bytes,
                                    "documents", (json_int_t)s->docs, "bytes_per_token",
                                    per_token(s->bytes, s->tokens), "seconds", seconds,
                                    "mb_per_second", rate),
                          e);
    log_note(line,
             "%s: %" PRIu64 " tokens, %" PRIu64 " bytes of text, %" PRIu64
             " documents, %.3f bytes a token; %.2f s, %.1f MB/s",
             o->out, s->tokens, s->bytes, s->docs, per_token(s->bytes, s->tokens), seconds, rate);
    return 0;
}

static int build(const struct opts *o, const struct conf *c, struct err *e) {
    struct tokenizer *t = NULL;
    struct log_progress line;
    struct shard_stats stats;
    int rc;
    log_progress_init(&line, o->quiet || o->json);
    TRY(model_open_tokenizer(&t, o->tokenizer, e));
    const double start = clock_seconds();
    rc = shard_build(t, o->machine.pool, c->pos, (size_t)c->n_pos, o->out, show_progress, &line,
                     &stats, e);
    const double seconds = clock_seconds() - start;
    log_progress_end(&line); /* the report is its last word */
    if (!rc && *stats.note) log_warn(&line, "note: %s", stats.note);
    if (!rc && tokenizer_note(t)) log_warn(&line, "note: %s: %s", o->tokenizer, tokenizer_note(t));
    if (!rc) rc = report_build(o, &stats, seconds, &line, e);
out:
    tokenizer_close(t);
    return rc;
}

static int verify(const struct opts *o, struct err *e) {
    bool raw = !strcmp(o->format, "raw16");
    struct shard s;
    char hash[17];
    int rc = shard_open(&s, o->verify, raw ? SHARD_RAW16 : SHARD_DUET, (uint32_t)o->vocab, true,
                        o->machine.pool, e);
    if (rc) return rc;
    snprintf(hash, sizeof hash, "%016" PRIx64, s.tok_hash);
    if (o->json) {
        rc = print_json(json_pack("{s:s, s:s, s:I, s:I, s:i, s:I, s:I, s:s, s:b}", "shard",
                                  o->verify, "format", o->format, "tokens", (json_int_t)s.n_tokens,
                                  "vocab", (json_int_t)s.vocab, "token_width", s.width, "bytes",
                                  (json_int_t)s.n_bytes, "documents", (json_int_t)s.n_docs,
                                  "tokenizer_hash", hash, "has_bits", s.doc_bits != NULL),
                        e);
    } else {
        printf("%s: valid\n", o->verify);
        printf("tokens: %" PRIu64 " of %d bytes, vocabulary %" PRIu32 "\n", s.n_tokens, s.width,
               s.vocab);
        if (!raw)
            printf("text: %" PRIu64 " bytes in %" PRIu64 " documents, %.3f bytes a token\n"
                   "tokenizer hash: %s\ninformation: %s\n",
                   s.n_bytes, s.n_docs, per_token(s.n_bytes, s.n_tokens), hash,
                   s.doc_bits ? "known for each document" : "not known");
    }
    shard_close(&s);
    return rc;
}

/* Options that would have no effect are errors. */
static int check_opts(const struct opts *o, const struct conf *c, struct err *e) {
    bool raw = !strcmp(o->format, "raw16");
    if (o->verify && (o->tokenizer || o->out || c->n_pos))
        return err_set(e, ERR_USAGE,
                       "--verify takes one shard and neither --tokenizer, --out nor text files");
    if (!o->verify && (raw || conf_given(c, "vocab")))
        return err_set(e, ERR_USAGE,
                       "--format and --vocab belong to --verify; shards are written "
                       "with a header and the vocabulary of the tokenizer");
    if (o->verify && raw != (o->vocab > 0))
        return err_set(e, ERR_USAGE,
                       raw ? "--format raw16 needs --vocab N"
                           : "--vocab belongs to --format raw16");
    if (o->verify) return 0;
    if (!o->tokenizer)
        return err_set(e, ERR_USAGE, "--tokenizer is missing: \"byte\" or the file of a tokenizer");
    if (!o->out) return err_set(e, ERR_USAGE, "--out is missing: the shard to write");
    if (!c->n_pos) return err_set(e, ERR_USAGE, "no text file given (\"-\" is standard input)");
    int rc = out_spares(o->out, o->tokenizer, e);
    for (int i = 0; i < c->n_pos && !rc; i++) rc = out_spares(o->out, c->pos[i], e);
    return rc ? rc : out_free(o->out, o->overwrite, e);
}

static int run(int argc, char **argv, struct err *e) {
    struct opts o = {0};
    struct conf c = {0};
    bool done;
    int rc;
    TRY(cmd_parse(&cmd_tokenize, &c, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_opts(&o, &c, e));
    TRY(cmd_machine(&o.machine, o.threads, e));
    rc = o.verify ? verify(&o, e) : build(&o, &c, e);
out:
    machine_close(&o.machine);
    conf_release(&c);
    return rc;
}

const struct cmd cmd_tokenize = {
    .name = "tokenize",
    .summary = "Turn text files into a token shard.",
    .usage = "--tokenizer T --out SHARD FILE...\n--verify SHARD",
    .notes =
        "FILE is plain text or compressed by gzip or zstd, a folder of such files, or \"-\" for\n"
        "standard input. Documents end at the text <|endoftext|> and at the end of a file. Text "
        "of\nany size takes little memory.",
    .rows = rows,
    .run = run,
};
