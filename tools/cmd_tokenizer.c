/* duet tokenizer: training a vocabulary, encoding and decoding with any, and converting files. */
#include "bpe_train.h"
#include "cmd.h"
#include "file.h"
#include "import.h"
#include "log.h"
#include "map.h"
#include "out_format.h"
#include "screen.h"
#include "stories.h"
#include "textin.h"
#include "textlist.h"
#include "tok_convert.h"
#include "tokenizer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define END_OF_TEXT "<|endoftext|>"
#define READ_STEP ((size_t)1 << 20)

struct opts {
    const char *out, *tokenizer, *text, *pre;
    struct conf_list special;
    int64_t vocab, min_count, threads;
    struct machine machine; /* no option */
    bool plain, bos, json, overwrite, quiet;
};

static const struct conf_row rows[] = {
    CONF_SECTION("train"),
    CONF_INT(struct opts, vocab, "vocab", "4096", 257, 1000000,
             "size of the vocabulary: special tokens, 256 bytes, merges"),
    CONF_STRING(struct opts, out, "out", "tokenizer.json", "FILE",
                "file to write; convert: its ending says the form, .json, .bin or .model"),
    CONF_LIST(struct opts, special, "special", "TEXT",
              "a special token besides " END_OF_TEXT ", which is always the first; may be given "
              "several times"),
    CONF_INT(struct opts, min_count, "min-count", "2", 1, 1e9,
             "pairs that occur less often are not merged"),
    CONF_SECTION("encode, decode, info"),
    CONF_STRING(struct opts, tokenizer, "tokenizer", NULL, "T",
                "\"byte\", a tokenizer.json, tokenizer.model, llama2.c tokenizer.bin, a folder "
                "with one, or a model file with a tokenizer in it (a GGUF may hold nothing else)"),
    CONF_STRING(struct opts, text, "text", NULL, "STR", "encode this text instead of a file"),
    CONF_BOOL(struct opts, plain, "plain",
              "encode: special tokens in the text are ordinary text; decode: leave them out"),
    CONF_BOOL(struct opts, bos, "bos", "encode: begin with the tokenizer's token for it, if any"),
    CONF_BOOL(struct opts, json, "json", "info: print JSON"),
    CONF_SECTION("convert"),
    CONF_STRING(
        struct opts, pre, "pre", NULL, "NAME",
        "IN is a folder with vocab.json and merges.txt, whose pre-tokenizer is gpt-2, smollm, "
        "llama-bpe or qwen2"),
    CONF_SECTION("Running"),
    THREADS_ROW(struct opts, threads),
    CONF_BOOL(struct opts, overwrite, "overwrite",
              "train, convert: write over what is there under the name to be written"),
    CONF_BOOL(struct opts, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END,
};

/* Appends the whole of a file (as textin.h reads it; "-": standard input) to text. Without a line
 * for progress nothing is said about bytes that may be no text either. */
static int read_text(const char *path, struct tok_bytes *text, struct log_progress *line,
                     struct err *e) {
    struct textin in = {0};
    size_t got = 1;
    char note[512];
    int rc;
    TRY(textin_open(&in, path, e));
    while (got) {
        if (grow(&text->data, &text->cap, text->n + READ_STEP, 1)) {
            rc = err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes of text", in.name,
                         text->n + READ_STEP);
            goto out;
        }
        TRY(textin_read(&in, text->data + text->n, READ_STEP, &got, e));
        text->n += got;
        if (line) log_bar(line, "reading", text->n, 0, "MB");
    }
    if (line && textscan_note(&in.scan, in.name, note, sizeof note))
        log_warn(line, "note: %s", note);
out:
    textin_close(&in);
    return rc;
}

/* train --------------------------------------------------------------------------------------- */

static void show_merges(void *ctx, uint32_t done, uint32_t total) {
    log_bar(ctx, "learning", done, total, "tokens");
}

/* The texts of the files in one buffer, without the trailers of built-in corpora. bytes: of
 * each. */
static int read_corpus(const struct textlist *l, struct tok_bytes *text, size_t *bytes,
                       struct log_progress *line, struct err *e) {
    int rc = 0;
    if (l->n > 1) TRY(textlist_check(l, e));
    for (size_t i = 0; i < l->n; i++) {
        size_t start = text->n, n;
        double *bits;
        TRY(read_text(l->path[i], text, line, e));
        rc = stories_trailer(text->data + start, text->n - start, &bytes[i], &bits, &n, e);
        if (rc) {
            err_prefix(e, "%s", l->path[i]);
            goto out;
        }
        free(bits);
        text->n = start + bytes[i];
    }
out:
    return rc;
}

static int write_json(const char *path, const char *json, struct err *e) {
    struct file_out out = {0};
    int rc = file_out_open(&out, path, e);
    if (rc) return rc;
    file_out_write(&out, json, strlen(json));
    file_out_write(&out, "\n", 1);
    return file_out_commit(&out, e);
}

/* What is learned from, and with. */
struct corpus {
    struct textlist list;
    struct tok_bytes text;
    const char **texts, **specials; /* texts: into text */
    size_t *bytes, all;             /* of each; together */
};

static int open_corpus(struct corpus *k, const struct opts *o, const struct conf *c,
                       struct log_progress *line, struct err *e) {
    int rc;
    TRY(textlist_open(&k->list, c->pos + 1, (size_t)c->n_pos - 1, e));
    for (size_t i = 0; i < k->list.n; i++)
        if (file_same(o->out, k->list.path[i]))
            return err_set(e, ERR_USAGE, "--out %s would overwrite a text to learn from", o->out);
    TRY(out_free(o->out, o->overwrite, e));
    TRY(file_out_check(o->out, e));
    k->bytes = calloc(k->list.n + 1, sizeof *k->bytes);
    k->texts = calloc(k->list.n + 1, sizeof *k->texts);
    k->specials = calloc(o->special.n + 1, sizeof *k->specials);
    if (!k->bytes || !k->texts || !k->specials) return err_set(e, ERR_NOMEM, "no memory");
    TRY(read_corpus(&k->list, &k->text, k->bytes, line, e));
    for (size_t i = 0; i < k->list.n; k->all += k->bytes[i++]) k->texts[i] = k->text.data + k->all;
out:
    return rc;
}

static void close_corpus(struct corpus *k) {
    textlist_close(&k->list);
    free(k->text.data);
    free(k->texts);
    free(k->specials);
    free(k->bytes);
}

static int train(const struct opts *o, const struct conf *c, struct err *e) {
    struct log_progress line;
    struct corpus k = {0};
    struct bpe_train_opts b = {.vocab = (uint32_t)o->vocab,
                               .min_count = (uint32_t)o->min_count,
                               .pool = o->machine.pool,
                               .progress = show_merges,
                               .ctx = &line};
    char *json = NULL;
    uint32_t vocab;
    int rc;
    log_progress_init(&line, o->quiet);
    TRY(open_corpus(&k, o, c, &line, e));
    k.specials[b.n_specials++] = END_OF_TEXT;
    for (size_t i = 0; i < o->special.n; i++)
        if (strcmp(o->special.item[i], END_OF_TEXT))
            k.specials[b.n_specials++] = o->special.item[i];
    b.specials = k.specials;
    log_bar_end(&line, "read", k.all, "MB");
    log_begin(&line);
    TRY(bpe_train(&b, k.texts, k.bytes, k.list.n, &json, &vocab, e));
    log_progress_end(&line);
    TRY(write_json(o->out, json, e));
    if (vocab < b.vocab)
        log_note(&line, "the text has no more pairs that occur %" PRId64 " times or more",
                 o->min_count);
    log_note(&line, "%s: %u tokens from %.1f MB of text", o->out, vocab, (double)k.all / 1e6);
out:
    log_progress_end(&line);
    close_corpus(&k);
    free(json);
    return rc;
}

/* encode, decode, info ------------------------------------------------------------------------ */

static int encode(const struct opts *o, const struct conf *c, const struct tokenizer *t,
                  struct err *e) {
    struct tok_bytes text = {0};
    struct tok_ids ids = {0};
    struct file_out out = {0};
    const char *s = o->text;
    size_t n = s ? strlen(s) : 0;
    int rc;
    if (!s) {
        TRY(read_text(c->n_pos > 1 ? c->pos[1] : "-", &text, NULL, e));
        s = text.data;
        n = text.n;
    }
    /* The same ids, by all threads where the text is cut at special tokens. */
    if (o->plain || o->bos)
        TRY(tokenizer_encode(t, s, n, !o->plain, o->bos, &ids, e));
    else
        TRY(tokenizer_encode_docs(t, o->machine.pool, s, n, &ids, NULL, e));
    TRY(file_out_open(&out, "-", e));
    for (size_t i = 0; i < ids.n; i++) {
        char number[16];
        int len = snprintf(number, sizeof number, i ? " %" PRIu32 : "%" PRIu32, ids.ids[i]);
        file_out_write(&out, number, (size_t)len);
    }
    file_out_write(&out, "\n", 1);
    TRY(file_out_commit(&out, e));
out:
    free(text.data);
    free(ids.ids);
    return rc;
}

/* Appends the numbers in s, NUL-terminated; where: for messages. */
static int parse_ids(const char *s, const char *where, struct tok_ids *ids, struct err *e) {
    static const char blank[] = " \t\r\n,";
    for (s += strspn(s, blank); *s; s += strspn(s, blank)) {
        size_t n = strcspn(s, blank);
        char *end;
        unsigned long long id = strtoull(s, &end, 10);
        if (*s < '0' || *s > '9' || end != s + n || id > UINT32_MAX)
            return err_set(e, ERR_INPUT, "%s: \"%.*s\" is not a token id (number %zu)", where,
                           (int)(n < 40 ? n : 40), s, ids->n + 1);
        if (grow(&ids->ids, &ids->cap, ids->n + 1, sizeof *ids->ids))
            return err_set(e, ERR_NOMEM, "%s: no memory for %zu ids", where, ids->n);
        ids->ids[ids->n++] = (uint32_t)id;
        s += n;
    }
    return 0;
}

/* Ids from the command line, or from the file that is its only argument, or from standard input. */
static int read_ids(const struct conf *c, struct tok_ids *ids, struct err *e) {
    struct tok_bytes text = {0};
    int rc = 0;
    const char *first = c->n_pos > 1 ? c->pos[1] : "-";
    if (*first >= '0' && *first <= '9') {
        for (int i = 1; i < c->n_pos; i++) TRY(parse_ids(c->pos[i], "command line", ids, e));
        return 0;
    }
    if (c->n_pos > 2) return err_set(e, ERR_USAGE, "decode takes token ids, or one file with them");
    TRY(read_text(first, &text, NULL, e));
    if (memchr(text.data, 0, text.n)) {
        rc = err_set(e, ERR_INPUT, "%s: not a text of token ids: it holds a NUL byte", first);
        goto out;
    }
    text.data[text.n] = '\0'; /* read_text leaves room */
    TRY(parse_ids(text.data, first, ids, e));
out:
    free(text.data);
    return rc;
}

static int decode(const struct opts *o, const struct conf *c, const struct tokenizer *t,
                  struct err *e) {
    struct tok_ids ids = {0};
    struct tok_bytes text = {0};
    int rc;
    TRY(read_ids(c, &ids, e));
    TRY(tokenizer_decode(t, ids.ids, ids.n, !o->plain, &text, e));
    screen_write(stdout, text.data, text.n);
out:
    free(ids.ids);
    free(text.data);
    return rc;
}

static json_t *id_or_null(int64_t id) {
    return id < 0 ? json_null() : json_integer(id);
}

static int info(const struct opts *o, const struct tokenizer *t, struct err *e) {
    json_t *specials = json_array();
    size_t longest = 0, n;
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, tokenizer_hash(t));
    for (uint32_t id = 0; id < tokenizer_vocab_size(t); id++) {
        const char *s = tokenizer_piece(t, 0, id, &n);
        if (tokenizer_is_special(t, id))
            json_array_append_new(specials,
                                  json_pack("{s:I, s:s%}", "id", (json_int_t)id, "text", s, n));
        else if (tokenizer_token_bytes(t, id) > longest)
            longest = tokenizer_token_bytes(t, id);
    }
    json_t *root =
        json_pack("{s:s, s:s, s:I, s:o, s:o, s:b, s:I, s:s, s:o}", "tokenizer", o->tokenizer,
                  "kind", tokenizer_kind(t), "vocab", (json_int_t)tokenizer_vocab_size(t), "bos",
                  id_or_null(tokenizer_bos(t)), "eos", id_or_null(tokenizer_eos(t)), "exact",
                  tokenizer_is_exact(t), "longest_token_bytes", (json_int_t)longest, "hash", hash,
                  "special_tokens", specials);
    if (root && tokenizer_note(t)) 
        json_object_set_new(root, "note", json_string(tokenizer_note(t)));
    char *json = root && o->json ? json_dumps(root, JSON_COMPACT) : NULL;
    int rc = root && (json || !o->json) ? 0 : err_set(e, ERR_NOMEM, "no memory for the result");
    const char *key;
    json_t *v;
    size_t i;
    if (json) {
        puts(json);
    } else if (rc == 0) {
        json_object_foreach(root, key, v) {
            if (json_is_array(v)) continue;
            char *text = json_dumps(v, JSON_ENCODE_ANY);
            printf("%s: %s\n", key, json_is_string(v) ? json_string_value(v) : text ? text : "");
            free(text);
        }
        json_array_foreach(specials, i, v) printf("special: %" JSON_INTEGER_FORMAT " %s\n",
                                                  json_integer_value(json_object_get(v, "id")),
                                                  json_string_value(json_object_get(v, "text")));
    }
    free(json);
    json_decref(root);
    return rc;
}

/* The command line ---------------------------------------------------------------------------- */

/* Options that would have no effect are errors: each verb knows these. */
static const struct verb {
    const char *name, *options; /* besides threads and quiet */
    int min_pos, max_pos;       /* arguments behind the verb */
    const char *needs;
} verbs[] = {
    {"train", "vocab out special min-count overwrite quiet threads", 1, 1 << 30,
     "text files to learn from"},
    {"encode", "tokenizer text plain bos", 0, 1, "at most one file"},
    {"decode", "tokenizer plain", 0, 1 << 30, "token ids, or one file with them"},
    {"info", "tokenizer json", 0, 0, "nothing more: --tokenizer names the tokenizer"},
    {"convert", "out pre overwrite quiet", 1, 1, "a tokenizer"},
};

#define N_VERBS (sizeof verbs / sizeof *verbs)

static const char *verb(size_t i) {
    return i < N_VERBS ? verbs[i].name : NULL;
}

static int check_opts(const struct opts *o, const struct conf *c, const struct verb **found,
                      struct err *e) {
    const char *names[N_VERBS];
    *found = NULL;
    for (size_t i = 0; i < N_VERBS; i++) {
        names[i] = verbs[i].name;
        if (c->n_pos && strcmp(c->pos[0], verbs[i].name) == 0) *found = &verbs[i];
    }
    const char *near = c->n_pos && !*found ? conf_suggest(c->pos[0], names, N_VERBS) : NULL;
    if (!*found)
        return err_set(e, ERR_USAGE,
                       "%s%s%s; expected train, encode, decode, info or convert%s%s%s",
                       c->n_pos ? "unknown verb \"" : "no verb given", c->n_pos ? c->pos[0] : "",
                       c->n_pos ? "\"" : "", near ? "; did you mean \"" : "", near ? near : "",
                       near ? "\"?" : "");
    const struct verb *v = *found;
    for (const struct conf_row *r = rows; r->type != CONF_T_END; r++) {
        if (r->type == CONF_T_SECTION || !conf_given(c, r->name)) continue;
        const char *at = strstr(v->options, r->name);
        size_t n = strlen(r->name);
        bool whole = at && (at == v->options || at[-1] == ' ') && (at[n] == ' ' || !at[n]);
        if (!whole)
            return err_set(e, ERR_USAGE, "--%s has no effect on duet tokenizer %s", r->name,
                           v->name);
    }
    char what[40];
    snprintf(what, sizeof what, "duet tokenizer %s", v->name);
    int rc = cmd_count(what, c, 1, v->min_pos, o->text ? 0 : v->max_pos,
                       o->text ? "either a file or --text" : v->needs, e);
    if (rc) return rc;
    const bool convert = v == &verbs[4];
    if (convert && !conf_given(c, "out"))
        return err_set(e, ERR_USAGE, "--out is missing: the file to write");
    if (v != verbs && !convert && !o->tokenizer)
        return err_set(e, ERR_USAGE, "--tokenizer is missing: \"byte\" or the file of a tokenizer");
    rc = convert ? out_spares(o->out, c->pos[1], e) : 0;
    return rc || !convert ? rc : out_free(o->out, o->overwrite, e);
}

static int run(int argc, char **argv, struct err *e) {
    struct opts o = {0};
    struct conf c = {0};
    struct tokenizer *t = NULL;
    const struct verb *v;
    int rc;
    bool done;
    TRY(cmd_parse(&cmd_tokenizer, &c, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_opts(&o, &c, &v, e));
    TRY(cmd_machine(&o.machine, o.threads, e));
    if (v == &verbs[0]) {
        rc = train(&o, &c, e);
        goto out;
    }
    if (v == &verbs[4]) {
        struct log_progress line;
        log_progress_init(&line, o.quiet);
        TRY(tok_convert(c.pos[1], o.out, o.pre, o.quiet ? NULL : &line, e));
        goto out;
    }
    TRY(model_open_tokenizer(&t, o.tokenizer, e));
    if (v == &verbs[1]) TRY(encode(&o, &c, t, e));
    if (v == &verbs[2]) TRY(decode(&o, &c, t, e));
    if (v == &verbs[3]) TRY(info(&o, t, e));
out:
    tokenizer_close(t);
    machine_close(&o.machine);
    conf_release(&c);
    return rc;
}

const struct cmd cmd_tokenizer = {
    .name = "tokenizer",
    .summary = "Train a vocabulary, encode and decode text, convert tokenizers.",
    .usage = "train --vocab N [--out FILE] [--special TEXT]... FILE...\n"
             "encode --tokenizer T [FILE | --text STR]\n"
             "decode --tokenizer T [ID... | FILE]\n"
             "info --tokenizer T [--json]\n"
             "convert IN --out FILE [--pre NAME]",
    .notes =
        "train learns a byte-level BPE (GPT-2's words, Unicode classes) and writes Hugging Face's\n"
        "tokenizer.json. Texts may be compressed by gzip or zstd; a folder is its files; \"-\" is\n"
        "standard input, as is no file for encode and decode. encode prints ids on one line; "
        "decode\nwrites exactly the bytes that they stand for, and on a terminal control "
        "characters as \\x1b.\n\n"
        "convert writes any tokenizer that can be read in the form that FILE's ending says:\n"
        ".json for Hugging Face, .bin for llama2.c, .model for SentencePiece. What the form "
        "cannot\n"
        "hold is an error.",
    .verb = verb,
    .rows = rows,
    .run = run,
};
