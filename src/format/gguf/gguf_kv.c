/* Header and key-value pairs of a GGUF file. Every length is compared with what is left of the file
 * before it is used, and nothing is allocated by what the file says rather than by what
 * it holds. */
#include "gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_STRING ((uint64_t)1 << 30)
#define MAX_ITEMS ((uint64_t)1 << 30)

const char *const gguf_type_names[GGUF_TYPES] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

size_t gguf_type_bytes(enum gguf_type t) {
    static const uint8_t bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return bytes[t];
}

int gguf_need(const struct gguf *g, uint64_t bytes, const char *what, struct err *e) {
    const size_t left = g->mf->map.size - g->at;
    if (bytes <= left) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: %s at offset %zu needs %" PRIu64 " bytes, but the file has %zu left",
                   g->path, what, g->at, bytes, left);
}

static int take(struct gguf *g, void *to, size_t bytes, const char *what, struct err *e) {
    const int rc = gguf_need(g, bytes, what, e);
    if (rc) return rc;
    memcpy(to, g->mf->map.data + g->at, bytes);
    g->at += bytes;
    return 0;
}

/* Bytes of the character at s, of which n are left; 0: not UTF-8. The Unicode Standard,
 * table 3-7. */
static size_t utf8_char(const uint8_t *s, size_t n) {
    if (s[0] < 0x80) return 1;
    const size_t k = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (k == 0 || k > n) return 0;
    const uint8_t lo = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    const uint8_t hi = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < lo || s[1] > hi) return 0;
    for (size_t i = 2; i < k; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return k;
}

static bool is_utf8(const char *text, size_t n) {
    const uint8_t *s = (const uint8_t *)text;
    for (size_t i = 0, k; i < n; i += k)
        if (!(k = utf8_char(s + i, n - i))) return false;
    return true;
}

int gguf_string(struct gguf *g, const char *what, uint64_t max, struct vocab_text *t,
                struct err *e) {
    const size_t at = g->at;
    uint64_t n;
    int rc;
    TRY(take(g, &n, sizeof n, what, e));
    if (n > max) {
        rc = err_set(e, ERR_INPUT,
                     "%s: %s at offset %zu has a length of %" PRIu64 " bytes, at most %" PRIu64
                     " expected",
                     g->path, what, at, n, max);
        goto out;
    }
    TRY(gguf_need(g, n, what, e));
    *t = (struct vocab_text){(const char *)g->mf->map.data + g->at, (uint32_t)n};
    g->at += (size_t)n;
    if (!is_utf8(t->s, t->n))
        rc = err_set(e, ERR_INPUT, "%s: %s at offset %zu is not UTF-8", g->path, what, at);
out:
    return rc;
}

/* Values of a fixed size: they are there, and truth is 0 or 1. */
static int skip_plain(struct gguf *g, const struct gguf_kv *kv, const char *what, struct err *e) {
    const size_t size = gguf_type_bytes(kv->item);
    const int rc = gguf_need(g, kv->n * size, what, e); /* n <= MAX_ITEMS */
    if (rc) return rc;
    for (uint64_t i = 0; kv->item == GGUF_BOOL && i < kv->n; i++)
        if (kv->value[i] > 1)
            return err_set(e, ERR_INPUT,
                           "%s: %s: bool at offset %" PRIu64 " is %d, expected 0 or 1", g->path,
                           what, g->at + i, kv->value[i]);
    g->at += (size_t)(kv->n * size);
    return 0;
}

static int skip_values(struct gguf *g, const struct gguf_kv *kv, const char *what, struct err *e) {
    if (kv->item != GGUF_STRING) return skip_plain(g, kv, what, e);
    struct vocab_text t;
    int rc;
    TRY(gguf_need(g, kv->n * sizeof(uint64_t), what, e)); /* each has at least its length */
    for (uint64_t i = 0; i < kv->n; i++) TRY(gguf_string(g, what, MAX_STRING, &t, e));
out:
    return rc;
}

static int read_type(struct gguf *g, const char *what, enum gguf_type *t, struct err *e) {
    const size_t at = g->at;
    uint32_t id;
    const int rc = take(g, &id, sizeof id, what, e);
    if (rc) return rc;
    if (id >= GGUF_TYPES)
        return err_set(e, ERR_INPUT, "%s: %s: value type at offset %zu is %u, expected 0 to %d",
                       g->path, what, at, (unsigned)id, GGUF_TYPES - 1);
    *t = (enum gguf_type)id;
    return 0;
}

static int read_array(struct gguf *g, struct gguf_kv *kv, const char *what, struct err *e) {
    int rc;
    TRY(read_type(g, what, &kv->item, e));
    const size_t at = g->at;
    TRY(take(g, &kv->n, sizeof kv->n, what, e));
    if (kv->item == GGUF_ARRAY)
        rc = err_set(e, ERR_INPUT, "%s: %s: array at offset %zu holds arrays", g->path, what, at);
    else if (kv->n > MAX_ITEMS)
        rc = err_set(e, ERR_INPUT,
                     "%s: %s: array at offset %zu has %" PRIu64 " values, at most %" PRIu64
                     " expected",
                     g->path, what, at, kv->n, MAX_ITEMS);
out:
    return rc;
}

static int check_key(const struct gguf *g, const struct gguf_kv *kv, struct err *e) {
    if (kv->key.n == 0)
        return err_set(e, ERR_INPUT, "%s: key at offset %" PRIu64 " is empty", g->path, kv->offset);
    for (uint32_t i = 0; i < kv->key.n; i++)
        if ((uint8_t)kv->key.s[i] < 0x20 || kv->key.s[i] == 0x7f)
            return err_set(e, ERR_INPUT,
                           "%s: key at offset %" PRIu64 " has the control character 0x%02x",
                           g->path, kv->offset, (uint8_t)kv->key.s[i]);
    return 0;
}

static int read_pair(struct gguf *g, struct gguf_kv *kv, struct err *e) {
    char what[96];
    int rc;
    *kv = (struct gguf_kv){.offset = g->at, .n = 1};
    TRY(gguf_string(g, "key", GGUF_MAX_KEY, &kv->key, e));
    TRY(check_key(g, kv, e));
    snprintf(what, sizeof what, "key %.*s", gguf_shown(kv->key), kv->key.s);
    TRY(read_type(g, what, &kv->type, e));
    kv->item = kv->type;
    if (kv->type == GGUF_ARRAY) TRY(read_array(g, kv, what, e));
    kv->value = g->mf->map.data + g->at;
    TRY(skip_values(g, kv, what, e));
out:
    return rc;
}

int gguf_text_cmp(const void *a, const void *b) {
    const struct vocab_text *x = a, *y = b;
    const int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

void gguf_sort(struct vocab_text *t, size_t n) {
    if (n) qsort(t, n, sizeof *t, gguf_text_cmp);
}

/* Sorted rather than hashed: no choice of keys makes this slow. */
static int check_unique(const struct gguf *g, struct err *e) {
    int rc = 0;
    struct vocab_text *keys = calloc(g->n_kv + 1, sizeof *keys);
    if (!keys) return err_set(e, ERR_NOMEM, "%s: no memory", g->path);
    for (size_t i = 0; i < g->n_kv; i++) keys[i] = g->kv[i].key;
    gguf_sort(keys, g->n_kv);
    for (size_t i = 1; i < g->n_kv && !rc; i++)
        if (!gguf_text_cmp(keys + i - 1, keys + i))
            rc = err_set(
                e, ERR_INPUT, "%s: key %.*s is there twice, the second time at offset %zu", g->path,
                gguf_shown(keys[i]), keys[i].s,
                (size_t)((const uint8_t *)(keys[i].s > keys[i - 1].s ? keys[i].s : keys[i - 1].s) -
                         g->mf->map.data));
    free(keys);
    return rc;
}

static int read_pairs(struct gguf *g, uint64_t n, struct err *e) {
    int rc = 0;
    size_t cap = 0;
    while (g->n_kv < n) {
        if (g->n_kv == cap) {
            cap = cap ? 2 * cap : 64;
            struct gguf_kv *kv = realloc(g->kv, cap * sizeof *kv);
            if (!kv) return err_set(e, ERR_NOMEM, "%s: no memory for %zu keys", g->path, cap);
            g->kv = kv;
        }
        TRY(read_pair(g, g->kv + g->n_kv, e));
        g->n_kv++;
    }
    TRY(check_unique(g, e));
out:
    return rc;
}

static int check_version(const struct gguf *g, uint32_t version, struct err *e) {
    if (version == 2 || version == 3) return 0;
    if (version && !(version & 0xffff))
        return err_set(e, ERR_INPUT,
                       "%s: GGUF version at offset 4 is 0x%08x: a big-endian file, which duet does "
                       "not read",
                       g->path, (unsigned)version);
    return err_set(e, ERR_INPUT, "%s: GGUF version at offset 4 is %u, expected 2 or 3", g->path,
                   (unsigned)version);
}

static int check_count(const struct gguf *g, const char *what, int offset, uint64_t n, int max,
                       struct err *e) {
    if (n <= (uint64_t)max) return 0;
    return err_set(e, ERR_INPUT, "%s: number of %s at offset %d is %" PRIi64 ", expected 0 to %d",
                   g->path, what, offset, (int64_t)n, max);
}

int gguf_read_kv(struct gguf *g, struct err *e) {
    struct {
        uint32_t magic, version;
        uint64_t tensors, pairs;
    } h;
    int rc;
    TRY(take(g, &h, sizeof h, "GGUF header", e));
    TRY(check_version(g, h.version, e));
    TRY(check_count(g, "tensors", 8, h.tensors, GGUF_MAX_TENSORS, e));
    TRY(check_count(g, "keys", 16, h.pairs, GGUF_MAX_KV, e));
    g->n_tensors = h.tensors;
    TRY(read_pairs(g, h.pairs, e));
out:
    return rc;
}

struct gguf_kv *gguf_find(const struct gguf *g, const char *key) {
    for (size_t i = 0; i < g->n_kv; i++)
        if (gguf_text_is(g->kv[i].key, key)) return g->kv + i;
    return NULL;
}

int gguf_get(const struct gguf *g, const char *key, enum gguf_type t, const struct gguf_kv **kv,
             struct err *e) {
    struct gguf_kv *found = gguf_find(g, key);
    *kv = found;
    if (!found) return 0;
    if (found->type != t)
        return err_set(e, ERR_INPUT, "%s: key %s at offset %" PRIu64 " is of type %s, expected %s",
                       g->path, key, found->offset, gguf_type_names[found->type],
                       gguf_type_names[t]);
    found->used = true;
    return 0;
}

int gguf_get_arch(const struct gguf *g, const char *key, enum gguf_type t,
                  const struct gguf_kv **kv, struct err *e) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", g->arch, key);
    return gguf_get(g, name, t, kv, e);
}

/* ---- ids of tokens -------------------------------------------------------------------------- */

static bool no_token(const struct gguf *g, const struct gguf_kv *kv, uint64_t n) {
    const uint32_t id = gguf_u32(kv->value);
    if (id == UINT32_MAX) return true;
    if (!n || id < n) return false;
    model_file_note(g->mf, "%s: key %.*s is %u, but there are %" PRIu64 " tokens: read as absent.",
                    g->path, gguf_shown(kv->key), kv->key.s, (unsigned)id, n);
    return true;
}

int gguf_token_id(const struct gguf *g, const char *key, uint64_t n, int64_t *id, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get(g, key, GGUF_U32, &kv, e);
    *id = -1;
    if (!rc && kv && !no_token(g, kv, n)) *id = gguf_u32(kv->value);
    return rc;
}

void gguf_drop_ids(const struct gguf *g, uint64_t n) {
    static const char start[] = "tokenizer.ggml.", end[] = "_token_id";
    const size_t a = sizeof start - 1, b = sizeof end - 1;
    for (size_t i = 0; i < g->n_kv; i++) {
        struct gguf_kv *kv = g->kv + i;
        const struct vocab_text t = kv->key;
        if (!kv->used && kv->type == GGUF_U32 && t.n > a + b && !memcmp(t.s, start, a) &&
            !memcmp(t.s + t.n - b, end, b))
            kv->used = no_token(g, kv, n);
    }
}
