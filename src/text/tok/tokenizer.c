#include "tokenizer.h"

#include "file.h"
#include "limit.h"
#include "tok.h"
#include "unicode.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BLOB_LIMIT ((size_t)500000000)

static const struct tok_kind *const kinds[] = {
#define X(name) &tok_##name,
    TOKENIZERS(X)
#undef X
};

void tokenizer_close(struct tokenizer *t) {
    if (!t) return;
    if (t->kind) t->kind->release(t->impl);
    for (int pass = 0; pass < 2; pass++) free(t->added[pass].marks);
    strmap_release(&t->strs);
    free(t->str_id);
    free(t->pieces);
    free(t->blob);
    if (t->made_of) vocab_release(t->made_of);
    free(t->made_of);
    if (t->made) free(t->made->data);
    free(t->made);
    free(t);
}

/* One line of a tiktoken file: a token in base64, a blank, its rank. */
static bool is_tiktoken(const char *s, size_t n) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t i = 0, start;
    while (i < n && s[i] && strchr(alphabet, s[i])) i++;
    if (i < 4 || i % 4 || i == n || s[i] != ' ') return false;
    for (start = ++i; i < n && s[i] >= '0' && s[i] <= '9';) i++;
    return i > start && (i == n || s[i] == '\n' || s[i] == '\r');
}

/* A file that is no tokenizer: what it is, if that is known. */
static int not_a_tokenizer(const char *data, size_t bytes, const char *name, struct err *e) {
    static const char lfs[] = "version https://git-lfs.github.com/spec/";
    if (is_tiktoken(data, bytes))
        return err_set(e, ERR_INPUT,
                       "%s: a tiktoken file (tokens in base64 with their ranks), which does not "
                       "say how text is cut: not supported; its tokenizer.json is",
                       name);
    if (bytes >= sizeof lfs - 1 && !memcmp(data, lfs, sizeof lfs - 1))
        return err_set(e, ERR_INPUT, "%s: a pointer of Git LFS, not the file itself", name);
    return err_set(e, ERR_INPUT,
                   "%s: not a tokenizer: %zu bytes that are neither a Hugging Face tokenizer.json "
                   "(a JSON object), a SentencePiece tokenizer.model, llama2.c's tokenizer.bin nor "
                   "a model file with a tokenizer in it",
                   name, bytes);
}

static const struct tok_kind *find_kind(const void *data, size_t bytes) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i]->probe(data, bytes)) return kinds[i];
    return NULL;
}

static struct tokenizer *empty(const struct tok_kind *kind) {
    struct tokenizer *t = calloc(1, sizeof *t);
    unicode_init();
    if (!t) return NULL;
    t->kind = kind;
    t->bos = t->eos = t->unk = -1;
    return t;
}

int tokenizer_open_blob(struct tokenizer **out, const void *data, size_t bytes, const char *name,
                        struct err *e) {
    int rc = 0;
    *out = NULL;
    const struct tok_kind *kind = find_kind(data, bytes);
    if (!kind) return not_a_tokenizer(data, bytes, name, e);
    if (bytes > BLOB_LIMIT)
        return err_set(e, ERR_INPUT, "%s: a tokenizer of %.0f MB, more than the %.0f MB expected",
                       name, in_mb(bytes), in_mb(BLOB_LIMIT));
    struct tokenizer *t = empty(kind);
    if (!t || !(t->blob = malloc(bytes + 1))) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
        goto out;
    }
    memcpy(t->blob, data, bytes);
    t->blob[bytes] = '\0';
    t->blob_bytes = bytes;
    TRY(kind->load(t, name, e));
    tok_table_finish(t);
    *out = t;
out:
    if (rc) tokenizer_close(t);
    return rc;
}

int tokenizer_from_vocab(struct tokenizer **out, const struct vocab *v, const char *name,
                         struct err *e) {
    int rc;
    bool is_bytes;
    struct tokenizer *t = NULL;
    *out = NULL;
    TRY(spm_is_bytes(v, name, &is_bytes, e));
    if (is_bytes) return tokenizer_open_blob(out, "byte", 4, name, e);
    t = empty(v->model == VOCAB_BPE ? &tok_bpe : &tok_spm);
    if (!t || !(t->made_of = calloc(1, sizeof *t->made_of))) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
        goto out;
    }
    TRY(vocab_copy(t->made_of, v, e));
    TRY(t->kind->load(t, name, e));
    tok_table_finish(t);
    *out = t;
out:
    if (rc) tokenizer_close(t);
    return rc;
}

int tokenizer_open_own(struct tokenizer **t, const struct tok_own *own, const char *name,
                       struct err *e) {
    *t = NULL;
    if (own->blob) return tokenizer_open_blob(t, own->blob, own->bytes, name, e);
    return own->vocab ? tokenizer_from_vocab(t, own->vocab, name, e) : 0;
}

/* ---- folders -------------------------------------------------------------------------------- */

/* Maps the first of the names, of which the last is NULL, that the folder has; none: all zeros. */
static int map_first(struct file_map *m, const char *dir, const char *const *names, struct err *e) {
    int rc = 0;
    *m = (struct file_map){0};
    for (; *names && !m->data && !rc; names++) {
        char *path = file_join(dir, *names);
        if (!path)
            rc = err_set(e, ERR_NOMEM, "%s: out of memory", dir);
        else if (file_exists(path))
            rc = file_map_open_text(m, path, e);
        free(path);
    }
    if (!rc && m->size > BLOB_LIMIT)
        rc = err_set(e, ERR_INPUT, "%s: a file of %.0f MB, more than the %.0f MB expected", m->path,
                     in_mb(m->size), in_mb(BLOB_LIMIT));
    return rc;
}

/* As map_first, but there must be one of the two. */
static int map_either(struct file_map *m, const char *dir, const char *a, const char *b,
                      struct err *e) {
    const int rc = map_first(m, dir, (const char *const[]){a, b, NULL}, e);
    if (rc || m->data) return rc;
    return err_set(e, ERR_INPUT, "%s: a folder with neither %s nor %s", dir, a, b);
}

/* The files beside a vocabulary. */
struct side_maps {
    struct file_map config, added, map;
};

static int map_sides(struct side_maps *m, struct tok_sides *s, const char *dir, struct err *e) {
    static const char *const names[][2] = {{"tokenizer_config.json", NULL},
                                           {"added_tokens.json", NULL},
                                           {"special_tokens_map.json", NULL}};
    struct file_map *const maps[] = {&m->config, &m->added, &m->map};
    struct tok_text *const texts[] = {&s->config, &s->added, &s->map};
    int rc = 0;
    for (int i = 0; i < 3; i++) {
        TRY(map_first(maps[i], dir, names[i], e));
        *texts[i] = (struct tok_text){(const char *)maps[i]->data, maps[i]->size};
    }
out:
    return rc;
}

static void close_sides(struct side_maps *m) {
    file_map_close(&m->config);
    file_map_close(&m->added);
    file_map_close(&m->map);
}

int tokenizer_open_merges(struct tokenizer **t, const char *dir, const char *pre, struct err *e) {
    struct file_map vocab = {0}, merges = {0};
    struct side_maps sides = {0};
    struct tok_merges m = {.pre = pre};
    void *blob = NULL;
    size_t bytes;
    int rc;
    *t = NULL;
    TRY(map_either(&vocab, dir, "vocab.json", "encoder.json", e));
    TRY(map_either(&merges, dir, "merges.txt", "vocab.bpe", e));
    TRY(map_sides(&sides, &m.sides, dir, e));
    m.vocab = (struct tok_text){(const char *)vocab.data, vocab.size};
    m.merges = (struct tok_text){(const char *)merges.data, merges.size};
    TRY(tokenizer_blob_from_merges(&m, dir, &blob, &bytes, e));
    TRY(tokenizer_open_blob(t, blob, bytes, dir, e));
out:
    file_map_close(&vocab);
    file_map_close(&merges);
    close_sides(&sides);
    free(blob);
    return rc;
}

/* A tokenizer.model and what lies beside it. */
static int open_model(struct tokenizer **t, const char *dir, const struct file_map *m,
                      struct err *e) {
    struct side_maps maps = {0};
    struct tok_sides sides;
    void *blob = NULL;
    size_t n;
    int rc;
    TRY(map_sides(&maps, &sides, dir, e));
    TRY(tokenizer_blob_from_model(m->data, m->size, &sides, m->path, &blob, &n, e));
    rc = blob ? tokenizer_open_blob(t, blob, n, m->path, e)
              : tokenizer_open_blob(t, m->data, m->size, m->path, e);
out:
    close_sides(&maps);
    free(blob);
    return rc;
}

static int open_folder(struct tokenizer **t, const char *dir, struct err *e) {
    static const char *const whole[] = {"tokenizer.json", "tokenizer.model", "tokenizer.bin", NULL};
    static const char *const parts[] = {"vocab.json", "encoder.json", NULL};
    struct file_map m;
    int rc;
    TRY(map_first(&m, dir, whole, e));
    if (m.data) {
        rc = file_ends_with(m.path, ".model")
                 ? open_model(t, dir, &m, e)
                 : tokenizer_open_blob(t, m.data, m.size, m.path, e);
        goto out;
    }
    TRY(map_first(&m, dir, parts, e));
    rc = m.data ? tokenizer_open_merges(t, dir, NULL, e)
                : err_set(e, ERR_INPUT,
                          "%s: a folder without a tokenizer: there is no tokenizer.json, "
                          "tokenizer.model, tokenizer.bin or vocab.json",
                          dir);
out:
    file_map_close(&m);
    return rc;
}

int tokenizer_open(struct tokenizer **t, const char *spec, struct err *e) {
    *t = NULL;
    if (strcmp(spec, "byte") == 0) return tokenizer_open_blob(t, "byte", 4, "byte", e);
    if (file_is_dir(spec)) return open_folder(t, spec, e);
    struct file_map m = {0};
    int rc = file_map_open_text(&m, spec, e);
    if (rc == 0) rc = tokenizer_open_blob(t, m.data, m.size, spec, e);
    file_map_close(&m);
    return rc;
}

/* ---- what it is ----------------------------------------------------------------------------- */

/* Two threads that ask first at once make the same file, and one of them drops its own. */
static const struct tok_file *make_file(struct tokenizer *t) {
    struct tok_file *made = calloc(1, sizeof *made), *before = NULL;
    struct err ignored; /* the vocabulary is good, else there were no tokenizer */
    void *data;
    if (!made || tokenizer_blob_from_vocab(t->made_of, "itself", &data, &made->bytes, &ignored)) {
        free(made);
        return NULL;
    }
    made->data = data;
    if (atomic_compare_exchange_strong(&t->made, &before, made)) return made;
    free(made->data);
    free(made);
    return before;
}

const void *tokenizer_blob(const struct tokenizer *t, size_t *bytes) {
    *bytes = t->blob_bytes;
    if (!t->made_of) return t->blob;
    const struct tok_file *f = t->made;
    if (!f) f = make_file((struct tokenizer *)(uintptr_t)t);
    *bytes = f ? f->bytes : 0;
    return f ? f->data : NULL;
}

const char *tokenizer_kind(const struct tokenizer *t) {
    return t->kind->name;
}

uint32_t tokenizer_vocab_size(const struct tokenizer *t) {
    return t->vocab;
}

int64_t tokenizer_bos(const struct tokenizer *t) {
    return t->bos;
}

int64_t tokenizer_eos(const struct tokenizer *t) {
    return t->eos;
}

bool tokenizer_is_exact(const struct tokenizer *t) {
    return t->exact;
}

const char *tokenizer_note(const struct tokenizer *t) {
    return t->note;
}

int64_t tokenizer_find(const struct tokenizer *t, const char *text) {
    uint32_t str = strmap_find(&t->strs, text, strlen(text));
    return str == MAP_NONE || t->str_id[str] == MAP_NONE ? -1 : (int64_t)t->str_id[str];
}

bool tokenizer_is_special(const struct tokenizer *t, uint32_t id) {
    return id < t->vocab && (t->pieces[id].flags & TOK_SPECIAL);
}

bool tokenizer_is_mark(const struct tokenizer *t, uint32_t id) {
    for (size_t pass = 0; pass < sizeof t->added / sizeof *t->added; pass++)
        for (size_t i = 0; i < t->added[pass].n; i++)
            if (t->added[pass].marks[i].id == id) return true;
    return false;
}

const char *tokenizer_piece(const struct tokenizer *t, int64_t prev, uint32_t id, size_t *bytes) {
    *bytes = 0;
    if (id >= t->vocab) return "";
    const char *s = strmap_get(&t->strs, t->pieces[id].str, bytes);
    bool starts =
        prev < 0 || prev == t->bos ||
        (t->drops == TOK_DROPS_EACH && prev < t->vocab && tokenizer_is_special(t, (uint32_t)prev));
    if (t->drops != TOK_DROPS_NONE && starts && *bytes && *s == ' ') s++, --*bytes;
    return s;
}

uint32_t tokenizer_token_bytes(const struct tokenizer *t, uint32_t id) {
    if (id >= t->vocab || tokenizer_is_special(t, id)) return 0;
    return t->strs.entries[t->pieces[id].str].len;
}

int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool specials,
                     struct tok_bytes *out, struct err *e) {
    int64_t prev = -1;
    for (size_t i = 0; i < n; prev = ids[i++]) {
        if (ids[i] >= t->vocab)
            return err_set(e, ERR_INPUT, "token %zu has id %u, but the vocabulary has %u tokens", i,
                           ids[i], t->vocab);
        if (!specials && tokenizer_is_special(t, ids[i])) continue;
        size_t len;
        const char *s = tokenizer_piece(t, prev, ids[i], &len);
        if (grow(&out->data, &out->cap, out->n + len + 1, 1))
            return err_set(e, ERR_NOMEM, "no memory for %zu bytes of text", out->n + len);
        memcpy(out->data + out->n, s, len);
        out->n += len;
    }
    if (grow(&out->data, &out->cap, out->n + 1, 1))
        return err_set(e, ERR_NOMEM, "no memory for text");
    out->data[out->n] = '\0';
    return 0;
}

int tokenizer_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                              struct err *e) {
    return (v->model == VOCAB_BPE ? bpe_blob_from_vocab : spm_blob_from_vocab)(v, name, blob, bytes,
                                                                               e);
}

static int cannot(const struct tokenizer *t, const char *form, struct err *e) {
    return err_set(e, ERR_INPUT, "%s cannot hold a tokenizer of kind %s", form, t->kind->name);
}

int tokenizer_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e) {
    *v = (struct vocab){0};
    const int rc = t->kind->to_vocab ? t->kind->to_vocab(t, v, e) : cannot(t, "a GGUF", e);
    if (rc) vocab_release(v);
    return rc;
}

int tokenizer_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    return t->kind->to_json ? t->kind->to_json(t, out, e) : cannot(t, "a tokenizer.json", e);
}

int tokenizer_to_bin(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    return t->kind->to_bin ? t->kind->to_bin(t, out, e) : cannot(t, "llama2.c's tokenizer.bin", e);
}
