/* BLZT v5: duet's own checkpoint. A prelude of 32 bytes, a JSON header padded with blanks to a
 * multiple of 64, then the data, every section 64-byte aligned: made to be mapped.
 *
 * There is exactly one place where each section can be (right after the one before it, aligned),
 * one size the file can have, and no byte that is not checked: the header and the tokenizer always,
 * the tensors when asked to verify. Layout: docs/formats.md. */
#include "format.h"
#include "json_text.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

extern const struct format format_blzt5;

#define MAGIC 0x424c5a54u
#define ALIGN 64
/* Bounds what parsing a hostile header can cost; a real one is about 200 bytes a tensor. */
#define MAX_HEADER ((uint64_t)16 << 20)

struct prelude {
    uint32_t magic, version;
    uint64_t header_bytes; /* of the JSON with its padding */
    uint64_t header_xxh3;
    uint64_t file_bytes;
};
_Static_assert(sizeof(struct prelude) == 32, "layout of BLZT v5");

/* A run of bytes in the data part. */
struct section {
    uint64_t offset; /* relative to the start of the data */
    uint64_t bytes, xxh3;
};

static uint64_t align_up(uint64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- reading ---- */

struct reader {
    struct model_file *mf;
    uint64_t data_start, data_bytes;
    uint64_t end; /* of the sections so far */
    bool verify;
};

static bool probe(const uint8_t *data, size_t size) {
    uint32_t w[2];
    if (size < sizeof w) return false;
    memcpy(w, data, sizeof w);
    return w[0] == MAGIC && w[1] == 5;
}

static int read_prelude(struct reader *r, struct prelude *p, struct err *e) {
    const struct model_file *mf = r->mf;
    size_t size = mf->map.size;
    if (size < sizeof *p)
        return err_set(e, ERR_INPUT, "%s: file has %zu bytes, BLZT v5 begins with 32", mf->path,
                       size);
    memcpy(p, mf->map.data, sizeof *p);
    if (p->file_bytes != size)
        return err_set(e, ERR_INPUT,
                       "%s: file has %zu bytes, but the size at offset 24 says %" PRIu64
                       ": it was cut off or damaged",
                       mf->path, size, p->file_bytes);
    if (p->header_bytes > MAX_HEADER || p->header_bytes > size - sizeof *p ||
        (p->header_bytes + sizeof *p) % ALIGN != 0)
        return err_set(e, ERR_INPUT,
                       "%s: header length at offset 8 is %" PRIu64 ", expected at most %" PRIu64
                       " and to end at a multiple of %d within the file",
                       mf->path, p->header_bytes, MAX_HEADER, ALIGN);
    uint64_t xxh3 = XXH3_64bits(mf->map.data + sizeof *p, (size_t)p->header_bytes);
    if (xxh3 != p->header_xxh3)
        return err_set(e, ERR_INPUT,
                       "%s: header is damaged: checksum at offset 16 is %016" PRIx64
                       ", its bytes give %016" PRIx64,
                       mf->path, p->header_xxh3, xxh3);
    r->data_start = sizeof *p + p->header_bytes;
    r->data_bytes = size - r->data_start;
    return 0;
}

/* Refuses keys that this version does not know: they might change what the file means. */
static int known_keys(json_t *o, const char *known, const char *where, const char *path,
                      struct err *e) {
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value) {
        char word[64];
        int n = snprintf(word, sizeof word, " %s ", key);
        if (n >= (int)sizeof word || strchr(key, ' ') || !strstr(known, word))
            return err_set(e, ERR_INPUT, "%s: %s: unknown key \"%.60s\" (known:%s)", path, where,
                           key, known);
    }
    return 0;
}

static int get_uint(const json_t *o, const char *key, const char *where, const char *path,
                    uint64_t *value, struct err *e) {
    const json_t *j = json_object_get(o, key);
    if (!json_is_integer(j) || json_integer_value(j) < 0)
        return err_set(e, ERR_INPUT, "%s: %s: \"%s\" is missing or not a whole number >= 0", path,
                       where, key);
    *value = (uint64_t)json_integer_value(j);
    return 0;
}

static int get_hash(const json_t *o, const char *where, const char *path, uint64_t *value,
                    struct err *e) {
    const char *s = json_string_value(json_object_get(o, "xxh3"));
    if (!s || strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16)
        return err_set(e, ERR_INPUT, "%s: %s: \"xxh3\" is missing or not 16 lower-case hex digits",
                       path, where);
    *value = strtoull(s, NULL, 16);
    return 0;
}

static int check_bytes(const struct reader *r, const struct section *s, const char *where,
                       struct err *e) {
    const struct model_file *mf = r->mf;
    const uint8_t *data = mf->map.data + r->data_start;
    uint64_t xxh3 = map_hash(&mf->map, r->data_start + s->offset, (size_t)s->bytes);
    if (xxh3 != s->xxh3)
        return err_set(e, ERR_INPUT,
                       "%s: %s is damaged: its checksum is %016" PRIx64 ", its %" PRIu64
                       " bytes at offset %" PRIu64 " give %016" PRIx64,
                       mf->path, where, s->xxh3, s->bytes, r->data_start + s->offset, xxh3);
    for (uint64_t i = r->end; i < s->offset; i++)
        if (data[i])
            return err_set(e, ERR_INPUT,
                           "%s: byte at offset %" PRIu64 " is 0x%02x, expected padding of 0",
                           mf->path, r->data_start + i, data[i]);
    return 0;
}

/* Takes the next section in order; *s is checked to be inside the file. */
static int read_section(struct reader *r, const json_t *o, const char *where, bool verify,
                        struct section *s, struct err *e) {
    const char *path = r->mf->path;
    int rc;
    TRY(get_uint(o, "offset", where, path, &s->offset, e));
    TRY(get_uint(o, "bytes", where, path, &s->bytes, e));
    TRY(get_hash(o, where, path, &s->xxh3, e));
    uint64_t expected = align_up(r->end);
    if (s->offset != expected) {
        rc = err_set(e, ERR_INPUT, "%s: %s: offset %" PRIu64 " found, %" PRIu64 " expected", path,
                     where, s->offset, expected);
        goto out;
    }
    if (s->bytes == 0 || s->offset > r->data_bytes || s->bytes > r->data_bytes - s->offset) {
        rc = err_set(e, ERR_INPUT,
                     "%s: %s: %" PRIu64 " bytes at offset %" PRIu64
                     " do not lie within the %" PRIu64 " bytes of data",
                     path, where, s->bytes, s->offset, r->data_bytes);
        goto out;
    }
    if (verify) TRY(check_bytes(r, s, where, e));
    r->end = s->offset + s->bytes;
out:
    return rc;
}

static int read_shape(struct mf_tensor *t, const json_t *shape, const char *where, const char *path,
                      struct err *e) {
    t->ndim = (int)json_array_size(shape);
    if (t->ndim != 1 && t->ndim != 2)
        return err_set(e, ERR_INPUT, "%s: %s: \"shape\" is not a list of 1 or 2 sizes", path,
                       where);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 1)
            return err_set(e, ERR_INPUT,
                           "%s: %s: dimension %d of \"shape\" is not a whole number >= 1", path,
                           where, i);
        t->shape[i] = (uint64_t)json_integer_value(dim);
    }
    return 0;
}

static int read_tensor(struct reader *r, json_t *o, size_t index, struct err *e) {
    const char *path = r->mf->path, *name = json_string_value(json_object_get(o, "name"));
    struct mf_tensor t = {0};
    struct section s;
    char where[320];
    int rc, dtype;
    snprintf(where, sizeof where, "tensors[%zu]", index);
    if (!name) {
        rc = err_set(e, ERR_INPUT, "%s: %s: no \"name\"", path, where);
        goto out;
    }
    snprintf(where, sizeof where, "tensor %.255s", name);
    TRY(known_keys(o, " name dtype shape offset bytes xxh3 ", where, path, e));
    const char *type = json_string_value(json_object_get(o, "dtype"));
    if (!type || (dtype = dtype_find(type)) < 0) {
        rc = err_set(e, ERR_INPUT, "%s: %s: dtype \"%.40s\" is not one this version knows", path,
                     where, type ? type : "");
        goto out;
    }
    t.dtype = (enum dtype)dtype;
    TRY(read_shape(&t, json_object_get(o, "shape"), where, path, e));
    if (!(t.name = strdup(name))) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory", path);
        goto out;
    }
    TRY(read_section(r, o, where, r->verify, &s, e));
    t.offset = r->data_start + s.offset;
    t.data = r->mf->map.data + t.offset;
    TRY(model_file_add(r->mf, &t, e)); /* shape and dtype give a size, without overflow */
    if (dtype_bytes(t.dtype, (size_t)mf_tensor_count(&t)) != s.bytes)
        rc = err_set(e, ERR_INPUT, "%s: %s: %" PRIu64 " bytes found, shape and dtype give %zu",
                     path, where, s.bytes, dtype_bytes(t.dtype, (size_t)mf_tensor_count(&t)));
out:
    free(t.name);
    return rc;
}

static int read_tokenizer(struct reader *r, json_t *o, struct err *e) {
    struct section s;
    int rc;
    TRY(known_keys(o, " offset bytes xxh3 ", "tokenizer", r->mf->path, e));
    TRY(read_section(r, o, "tokenizer", true, &s, e));
    r->mf->tokenizer = r->mf->map.data + r->data_start + s.offset;
    r->mf->tokenizer_bytes = (size_t)s.bytes;
out:
    return rc;
}

/* The text of an object under key; *text stays NULL if the key is absent. */
static int read_object(const struct reader *r, const json_t *root, const char *key, char **text,
                       struct err *e) {
    const json_t *o = json_object_get(root, key);
    if (!o) return 0;
    if (!json_is_object(o))
        return err_set(e, ERR_INPUT, "%s: header: \"%s\" is not an object", r->mf->path, key);
    *text = json_text(o);
    return *text ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", r->mf->path);
}

static int read_header(struct reader *r, json_t *root, struct err *e) {
    struct model_file *mf = r->mf;
    json_t *tensors = json_object_get(root, "tensors"), *tok = json_object_get(root, "tokenizer");
    int rc;
    TRY(known_keys(root, " config meta tensors tokenizer ", "header", mf->path, e));
    TRY(read_object(r, root, "config", &mf->config, e));
    TRY(read_object(r, root, "meta", &mf->meta, e));
    if (!mf->config || !json_is_array(tensors)) {
        rc = err_set(e, ERR_INPUT, "%s: header: no %s", mf->path,
                     mf->config ? "list \"tensors\"" : "object \"config\"");
        goto out;
    }
    for (size_t i = 0; i < json_array_size(tensors); i++)
        TRY(read_tensor(r, json_array_get(tensors, i), i, e));
    if (tok) TRY(read_tokenizer(r, tok, e));
    if (r->end != r->data_bytes)
        rc = err_set(e, ERR_INPUT,
                     "%s: %" PRIu64 " bytes follow the last section, at offset %" PRIu64
                     "; expected the end of the file",
                     mf->path, r->data_bytes - r->end, r->data_start + r->end);
out:
    return rc;
}

static int read_blzt5(struct model_file *mf, bool verify, struct err *e) {
    struct reader r = {.mf = mf, .verify = verify};
    struct prelude p;
    json_error_t je;
    json_t *root = NULL;
    int rc;
    TRY(read_prelude(&r, &p, e));
    root = json_loadb((const char *)mf->map.data + sizeof p, (size_t)p.header_bytes,
                      JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(root)) {
        rc = err_set(e, ERR_INPUT, "%s: header at offset %zu: %s", mf->path,
                     sizeof p + (root || je.position < 0 ? 0 : (size_t)je.position),
                     root ? "not a JSON object" : json_text_why(&je));
        goto out;
    }
    TRY(read_header(&r, root, e));
out:
    json_decref(root);
    return rc;
}

/* ---- writing ---- */

/* Stands for a hash in a header whose data has not been seen. */
#define NO_HASH "0000000000000000"

static int put_hash(json_t *o, uint64_t xxh3) {
    char hex[sizeof NO_HASH];
    snprintf(hex, sizeof hex, "%016" PRIx64, xxh3);
    return json_object_set_new(o, "xxh3", json_string(hex));
}

/* Appends {"offset", "bytes", "xxh3"} of the next section to o. */
static int put_section(json_t *o, uint64_t bytes, uint64_t *end) {
    uint64_t offset = align_up(*end);
    *end = offset + bytes;
    return json_object_set_new(o, "offset", json_integer((json_int_t)offset)) |
           json_object_set_new(o, "bytes", json_integer((json_int_t)bytes)) |
           json_object_set_new(o, "xxh3", json_string(NO_HASH));
}

static int put_tensor(json_t *list, const struct mf_tensor *t, uint64_t *end) {
    json_t *o = json_pack("{s:s, s:s, s:[I]}", "name", t->name, "dtype", dtype_row(t->dtype)->name,
                          "shape", (json_int_t)t->shape[0]);
    int bad = json_array_append_new(list, o);
    if (bad) return bad;
    if (t->ndim == 2)
        bad |= json_array_append_new(json_object_get(o, "shape"),
                                     json_integer((json_int_t)t->shape[1]));
    return bad | put_section(o, dtype_bytes(t->dtype, (size_t)mf_tensor_count(t)), end);
}

/* A JSON object from the text of mf, which a caller may have written by hand. */
static int put_object(json_t *root, const char *key, const char *text, const char *path,
                      struct err *e) {
    json_error_t je;
    json_t *o = json_loads(text ? text : "", JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(o)) {
        json_decref(o);
        return err_set(e, ERR_INPUT, "%s: cannot be written: its %s is not a JSON object", path,
                       key);
    }
    if (json_object_set_new(root, key, o)) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    return 0;
}

/* The header as JSON, but for the hashes of tensors. *data_bytes: of all sections. */
static int make_header(const struct model_file *mf, const char *path, json_t *root,
                       uint64_t *data_bytes, struct err *e) {
    json_t *list = json_array(), *tok = NULL;
    int rc, bad = !root || !list;
    *data_bytes = 0;
    TRY(put_object(root, "config", mf->config, path, e));
    if (mf->meta) TRY(put_object(root, "meta", mf->meta, path, e));
    for (size_t i = 0; i < mf->n_tensors && !bad; i++)
        bad = put_tensor(list, &mf->tensors[i], data_bytes);
    bad = bad || json_object_set(root, "tensors", list);
    if (mf->tokenizer && !bad) {
        tok = json_object();
        bad = put_section(tok, mf->tokenizer_bytes, data_bytes) ||
              put_hash(tok, XXH3_64bits(mf->tokenizer, mf->tokenizer_bytes)) ||
              json_object_set(root, "tokenizer", tok);
    }
    if (bad) rc = err_set(e, ERR_NOMEM, "%s: no memory for its header", path);
out:
    json_decref(tok);
    json_decref(list);
    return rc;
}

/* Prelude and header, padded; as long whatever the hashes are. */
static int header_bytes(const json_t *root, uint64_t data_bytes, const char *path, uint8_t **head,
                        size_t *bytes, struct err *e) {
    struct prelude p = {.magic = MAGIC, .version = 5};
    char *json = json_text(root);
    const size_t n = json ? strlen(json) : 0;
    int rc = 0;
    *bytes = align_up(sizeof p + n);
    p.header_bytes = *bytes - sizeof p;
    p.file_bytes = *bytes + data_bytes;
    *head = json ? malloc(*bytes) : NULL;
    if (*head && p.header_bytes <= MAX_HEADER) {
        memset(*head, ' ', *bytes);
        memcpy(*head + sizeof p, json, n);
        p.header_xxh3 = XXH3_64bits(*head + sizeof p, (size_t)p.header_bytes);
        memcpy(*head, &p, sizeof p);
    } else if (*head) {
        rc = err_set(e, ERR_INPUT,
                     "%s: cannot be written: header of %" PRIu64 " bytes, at most %" PRIu64, path,
                     p.header_bytes, MAX_HEADER);
    } else {
        rc = err_set(e, ERR_NOMEM, "%s: no memory for its header", path);
    }
    free(json);
    return rc;
}

/* A file on its way out. */
struct out {
    struct file_out file;
    XXH3_state_t *all; /* hash of the whole file, or NULL: nobody asks for it */
};

static void out_write(struct out *o, const void *p, size_t n) {
    file_out_write(&o->file, p, n);
    if (o->all) XXH3_64bits_update(o->all, p, n);
}

static void out_pad(struct out *o) {
    static const uint8_t zeros[ALIGN];
    out_write(o, zeros, (size_t)(align_up(o->file.offset) - o->file.offset));
}

/* Where the bytes of a tensor go: into its hash, to a file, or both. */
struct sink {
    XXH3_state_t *hash;
    struct out *out;
};

static void take(void *ctx, const void *p, size_t n) {
    struct sink *s = ctx;
    if (s->hash) XXH3_64bits_update(s->hash, p, n);
    if (s->out) out_write(s->out, p, n);
}

/* Every tensor once. hash: of each into root's list; to: NULL, or where their bytes go. */
static int put_data(json_t *root, const struct model_file *mf, bool hash, struct out *to,
                    struct err *e) {
    struct sink s = {hash ? XXH3_createState() : NULL, to};
    int rc = hash && !s.hash ? err_set(e, ERR_NOMEM, "no memory for a hash") : 0;
    for (size_t i = 0; i < mf->n_tensors && !rc; i++) {
        json_t *o = json_array_get(json_object_get(root, "tensors"), i);
        if (hash) XXH3_64bits_reset(s.hash);
        if (to) out_pad(to);
        rc = mf_tensor_stream(mf, &mf->tensors[i], 0, take, &s, e);
        if (!rc && hash && put_hash(o, XXH3_64bits_digest(s.hash)))
            rc = err_set(e, ERR_NOMEM, "no memory for a hash");
    }
    XXH3_freeState(s.hash);
    return rc;
}

static int open_out(struct out *o, bool hash, const char *path, struct err *e) {
    if (hash && !(o->all = XXH3_createState()))
        return err_set(e, ERR_NOMEM, "%s: no memory for a hash", path);
    if (hash) XXH3_64bits_reset(o->all);
    return file_out_open(&o->file, path, e);
}

/* The hashes of tensors stand before the data. A file's are filled in at the end. Where nothing can
 * be filled in, in a pipe, and where the hash of the whole file is asked for, which begins with
 * them, every tensor is made twice: for its hash, and for the file. */
static int write_blzt5(const struct model_file *mf, const char *path, struct err *e) {
    struct out o = {0};
    json_t *root = json_object();
    uint8_t *head = NULL;
    size_t bytes;
    uint64_t data_bytes;
    int rc;
    TRY(make_header(mf, path, root, &data_bytes, e));
    TRY(open_out(&o, mf->hash != NULL, path, e));
    const bool fill_in = !mf->hash && file_out_can_patch(&o.file);
    if (!fill_in) TRY(put_data(root, mf, true, NULL, e));
    TRY(header_bytes(root, data_bytes, path, &head, &bytes, e));
    out_write(&o, head, bytes);
    TRY(put_data(root, mf, fill_in, &o, e));
    if (mf->tokenizer) {
        out_pad(&o);
        out_write(&o, mf->tokenizer, mf->tokenizer_bytes);
    }
    if (fill_in) {
        free(head);
        TRY(header_bytes(root, data_bytes, path, &head, &bytes, e));
        file_out_patch(&o.file, 0, head, bytes);
    }
    TRY(model_file_commit(mf, &o.file, e));
    if (mf->hash) *mf->hash = XXH3_64bits_digest(o.all);
out:
    file_out_discard(&o.file);
    XXH3_freeState(o.all);
    json_decref(root);
    free(head);
    return rc;
}

const struct format format_blzt5 = {
    .name = "blzt5",
    .help = "BLZT v5, duet's own: any tensors and types, config, tokenizer, checksums",
    .suffix = ".blzt",
    .checksums = true,
    .tok = TOK_BLOB,
    .types = ~0u,
    .vector_types = ~0u,
    .native = true,
    .models = true,
    .adapters = true,
    .rows = true,
    .hashes = true,
    .probe = probe,
    .read = read_blzt5,
    .write = write_blzt5,
};
