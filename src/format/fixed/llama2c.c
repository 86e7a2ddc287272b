/* llama2.c's `.bin` (https://github.com/karpathy/llama2.c, export.py): version 0, which has no
 * magic, and version 1 ("ak42"). Both hold f32 grouped by kind over the layers. Version 0 is what
 * its run.c reads. Layout: docs/formats.md. */
#include "json_text.h"
#include "layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const struct format format_llama2c, format_llama2c_v1;

#define MAGIC 0x616b3432u
#define V1_HEADER 256

/* Sizes as both versions store them. */
struct sizes {
    int32_t dim, hidden, n_layers, n_heads, n_kv_heads, vocab, seq_len;
};

static struct sizes sizes_of(const struct llama_dims *d) {
    return (struct sizes){
        (int32_t)d->dim,      (int32_t)d->hidden, (int32_t)d->layers, (int32_t)d->heads,
        (int32_t)d->kv_heads, (int32_t)d->vocab,  (int32_t)d->seq,
    };
}

/* freq_cis tables stand between PART_NORM and PART_HEAD. */
static const enum part_kind v0_parts[] = {
    PART_EMBED,    PART_ATT_NORM, PART_Q,    PART_K,  PART_V,    PART_O,
    PART_FFN_NORM, PART_GATE,     PART_DOWN, PART_UP, PART_NORM,
};
static const enum part_kind v1_parts[] = {
    PART_ATT_NORM, PART_FFN_NORM, PART_NORM, PART_EMBED, PART_Q,  PART_K,
    PART_V,        PART_O,        PART_GATE, PART_DOWN,  PART_UP,
};
#define N_PARTS (sizeof v0_parts / sizeof *v0_parts)
_Static_assert(sizeof v0_parts == sizeof v1_parts, "the same parts in another order");

static int check_sizes(struct llama_dims *d, const struct sizes *s, bool tied, const char *path,
                       struct err *e) {
    if (s->n_heads < 1 || s->dim % s->n_heads != 0)
        return err_set(e, ERR_INPUT, "%s: dim %d is not a multiple of n_heads %d", path, s->dim,
                       s->n_heads);
    *d = (struct llama_dims){
        .dim = (uint64_t)s->dim,
        .hidden = (uint64_t)s->hidden,
        .layers = (uint64_t)s->n_layers,
        .heads = (uint64_t)s->n_heads,
        .kv_heads = (uint64_t)s->n_kv_heads,
        .head_dim = (uint64_t)(s->dim / s->n_heads),
        .vocab = (uint64_t)s->vocab,
        .seq = (uint64_t)s->seq_len,
        .tied = tied,
    };
    return llama_dims_check(d, path, e);
}

/* A negative vocabulary size says that the classifier is not tied. */
static int v0_dims(struct llama_dims *d, const uint8_t *data, const char *path, struct err *e) {
    struct sizes s;
    memcpy(&s, data, sizeof s);
    bool tied = s.vocab > 0;
    if (!tied && s.vocab > INT32_MIN) s.vocab = -s.vocab;
    return check_sizes(d, &s, tied, path, e);
}

/* Bytes of freq_cis_real and freq_cis_imag, (seq, head_dim / 2) each; skipped, as run.c does. */
static uint64_t v0_tables(const struct llama_dims *d) {
    return 4 * d->seq * d->head_dim;
}

static bool probe(const uint8_t *data, size_t size) {
    uint32_t magic;
    struct llama_dims d;
    struct err ignored;
    if (size < sizeof(struct sizes)) return false;
    memcpy(&magic, data, sizeof magic);
    return magic == MAGIC || v0_dims(&d, data, "", &ignored) == 0;
}

static int v1_header(struct llama_dims *d, const uint8_t *data, size_t size, const char *path,
                     struct err *e) {
    struct sizes s;
    int32_t version;
    if (size < V1_HEADER)
        return err_set(e, ERR_INPUT, "%s: llama2.c header is cut off: %zu bytes, expected %d", path,
                       size, V1_HEADER);
    memcpy(&version, data + 4, sizeof version);
    if (version != 1)
        return err_set(e, ERR_INPUT,
                       "%s: llama2.c version at offset 4 is %d, expected 1 (2 is quantised to "
                       "int8, which duet does not read)",
                       path, version);
    memcpy(&s, data + 8, sizeof s);
    if (data[36] > 1)
        return err_set(e, ERR_INPUT, "%s: shared_classifier at offset 36 is %d, expected 0 or 1",
                       path, data[36]);
    for (size_t i = 37; i < V1_HEADER; i++)
        if (data[i])
            return err_set(e, ERR_INPUT, "%s: byte at offset %zu is 0x%02x, expected padding of 0",
                           path, i, data[i]);
    return check_sizes(d, &s, data[36] == 1, path, e);
}

static int make_config(struct model_file *mf, const struct llama_dims *d, struct err *e) {
    json_t *config = llama_config(d);
    bool ok = config && llama_assume(config, false, false) &&
              !json_object_set_new(config, "bos_token_id", json_integer(1)) &&
              !json_object_set_new(config, "eos_token_id", json_integer(2)) &&
              (mf->config = json_text(config));
    json_decref(config);
    return ok ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
}

/* ---- tokenizer.bin beside it --- */

/* "tokenizer.bin" in the folder of path; malloc()ed, NULL: no memory. */
static char *beside(const char *path) {
    static const char name[] = "tokenizer.bin";
    const char *end = strrchr(path, '/');
    const size_t n = end ? (size_t)(end - path) + 1 : 0;
    char *out = malloc(n + sizeof name);
    if (!out) return NULL;
    memcpy(out, path, n);
    memcpy(out + n, name, sizeof name);
    return out;
}

/* Tokens of a tokenizer.bin: i32 longest, then f32 score, i32 length and the bytes of each. 0: it
 * is none. */
static uint64_t count_tokens(const struct file_map *m) {
    uint64_t n = 0;
    size_t at = 4;
    for (; at < m->size && m->size - at >= 8; n++) {
        uint32_t len;
        memcpy(&len, m->data + at + 4, sizeof len);
        if (len > m->size - at - 8) return 0;
        at += 8 + (size_t)len;
    }
    return at == m->size ? n : 0;
}

/* Takes the tokenizer that stands beside the model, if it has as many tokens: else it belongs to
 * another. */
static int find_tokenizer(struct model_file *mf, uint64_t vocab, struct err *e) {
    int rc = 0;
    const struct file_map *m;
    char *path = beside(mf->path);
    if (!path) return err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
    if (file_exists(path) && !file_is_dir(path)) {
        TRY(model_file_map(mf, path, &m, e));
        if (count_tokens(m) == vocab)
            TRY(model_file_side(mf, "tokenizer.bin", m->data, m->size, NULL, e));
    }
out:
    free(path);
    return rc;
}

static int check_tokenizer(const struct mf_side *s, const char *path, struct err *e) {
    struct file_map m;
    if (!file_exists(path)) return 0;
    int rc = file_map_open(&m, path, e);
    if (rc) return rc;
    if (m.size != s->bytes || memcmp(m.data, s->data, s->bytes) != 0)
        rc = err_set(e, ERR_INPUT,
                     "%s is there and holds another tokenizer; write to another folder, or with "
                     "--tokenizer none",
                     path);
    file_map_close(&m);
    return rc;
}

/* Up to the commit. */
static int write_tokenizer(struct file_out *o, const struct mf_side *s, const char *path,
                           struct err *e) {
    const int rc = file_out_open(o, path, e);
    if (rc) return rc;
    file_out_write(o, s->data, s->bytes);
    return file_out_sync(o, e);
}

/* ---- reading and writing --- */

static int read_llama2c(struct model_file *mf, bool verify, struct err *e) {
    (void)verify;
    const uint8_t *data = mf->map.data;
    uint32_t magic;
    memcpy(&magic, data, sizeof magic);
    bool v1 = magic == MAGIC;
    struct llama_dims d;
    int rc;
    TRY(v1 ? v1_header(&d, data, mf->map.size, mf->path, e) : v0_dims(&d, data, mf->path, e));
    d.parts = llama_parts(mf);
    uint64_t offset = v1 ? V1_HEADER : sizeof(struct sizes), tables = v1 ? 0 : v0_tables(&d);
    uint64_t expected = offset + 4 * llama_total(&d) + tables;
    if (mf->map.size != expected) {
        rc = err_set(e, ERR_INPUT,
                     "%s: file has %zu bytes, but its llama2.c header (version %d) asks for %llu",
                     mf->path, mf->map.size, v1, (unsigned long long)expected);
        goto out;
    }
    const enum part_kind *parts = v1 ? v1_parts : v0_parts;
    for (size_t i = 0; i < N_PARTS; i++)
        for (uint64_t l = 0; l < llama_copies(&d, parts[i]); l++)
            TRY(llama_add(mf, &d, parts[i], l, &offset, e));
    offset += tables;
    if (!d.tied) TRY(llama_add(mf, &d, PART_HEAD, 0, &offset, e));
    TRY(make_config(mf, &d, e));
    TRY(find_tokenizer(mf, d.vocab, e));
out:
    return rc;
}

/* What run.c computes from the other sizes and has no field for. */
static int check_heads(const struct llama_dims *d, const char *path, struct err *e) {
    if (d->heads * d->head_dim != d->dim)
        return err_set(e, ERR_INPUT,
                       "%s: cannot be written as llama2.c: head_dim %llu is not hidden_size %llu / "
                       "num_attention_heads %llu",
                       path, (unsigned long long)d->head_dim, (unsigned long long)d->dim,
                       (unsigned long long)d->heads);
    return 0;
}

/* cos (sine: sin) of position * theta^(-2i / head_dim), each step rounded to f32 as llama2.c's
 * model.py does it. */
static void write_table(struct file_out *o, const struct llama_dims *d, bool sine) {
    for (uint64_t pos = 0; pos < d->seq; pos++)
        for (uint64_t i = 0; i < d->head_dim / 2; i++) {
            const float freq = 1 / (float)pow(1e4, (double)((float)(2 * i) / (float)d->head_dim));
            const float angle = (float)pos * freq;
            const float v = (float)(sine ? sin((double)angle) : cos((double)angle));
            file_out_write(o, &v, sizeof v);
        }
}

static void write_v0_header(struct file_out *o, const struct llama_dims *d) {
    struct sizes s = sizes_of(d);
    if (!d->tied) s.vocab = -s.vocab;
    file_out_write(o, &s, sizeof s);
}

static void write_v1_header(struct file_out *o, const struct llama_dims *d) {
    const uint32_t magic = MAGIC;
    const int32_t version = 1;
    const struct sizes s = sizes_of(d);
    const uint8_t shared = d->tied;
    file_out_write(o, &magic, sizeof magic);
    file_out_write(o, &version, sizeof version);
    file_out_write(o, &s, sizeof s);
    file_out_write(o, &shared, sizeof shared);
    file_out_pad(o, V1_HEADER);
}

static int write_parts(struct file_out *o, const struct model_file *mf, const struct llama_dims *d,
                       const enum part_kind *parts, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < N_PARTS; i++)
        for (uint64_t l = 0; l < llama_copies(d, parts[i]); l++)
            TRY(llama_write(o, mf, d, parts[i], l, e));
out:
    return rc;
}

static int write_version(const struct model_file *mf, const char *path, int version,
                         struct err *e) {
    struct llama_dims d;
    struct file_out o = {0}, tok_out = {0};
    json_t *config = NULL;
    const struct mf_side *side = model_file_find_side(mf, "tokenizer.bin");
    char *tok = side ? beside(path) : NULL;
    int rc;
    if (side && !tok) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    TRY(llama_dims_from(&d, &config, mf, "llama2.c", e));
    TRY(check_heads(&d, path, e));
    if (side) TRY(check_tokenizer(side, tok, e));
    TRY(file_out_open(&o, path, e));
    if (version == 1)
        write_v1_header(&o, &d);
    else
        write_v0_header(&o, &d);
    TRY(write_parts(&o, mf, &d, version == 1 ? v1_parts : v0_parts, e));
    if (version == 0) {
        write_table(&o, &d, false);
        write_table(&o, &d, true);
    }
    if (!d.tied) TRY(llama_write(&o, mf, &d, PART_HEAD, 0, e));
    /* Nothing is put in place before both are on the disk, and right. */
    if (side) TRY(write_tokenizer(&tok_out, side, tok, e));
    TRY(model_file_ready(mf, &o, e));
    TRY(file_out_commit(&o, e));
    if (side) TRY(file_out_commit(&tok_out, e));
out:
    file_out_discard(&o);
    file_out_discard(&tok_out);
    json_decref(config);
    free(tok);
    return rc;
}

static int write_v0(const struct model_file *mf, const char *path, struct err *e) {
    return write_version(mf, path, 0, e);
}

static int write_v1(const struct model_file *mf, const char *path, struct err *e) {
    return write_version(mf, path, 1, e);
}

const struct format format_llama2c = {
    .name = "llama2c",
    .help = "llama2.c .bin, f32: versions 0 and 1 are read, version 0 is written",
    .suffix = ".bin",
    .types = MF_TYPE(DT_F32),
    .vector_types = MF_TYPE(DT_F32),
    .models = true,
    .tok = TOK_SIDES,
    .probe = probe,
    .read = read_llama2c,
    .write = write_v0,
};

/* For writing: both versions are read as llama2c. */
const struct format format_llama2c_v1 = {
    .name = "llama2c_v1",
    .help = "llama2.c .bin version 1 (\"ak42\"), for writing",
    .types = MF_TYPE(DT_F32),
    .vector_types = MF_TYPE(DT_F32),
    .models = true,
    .tok = TOK_SIDES,
    .write = write_v1,
};
