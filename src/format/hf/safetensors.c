#include "safetensors.h"

#include "hf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The format's own bound, and what the text without its padding may have: parsing must not cost
 * much, whatever a file says. A real header has about 150 bytes a tensor. */
#define MAX_HEADER ((uint64_t)100000000)
#define MAX_TEXT ((uint64_t)16 << 20)
#define ALIGN 64 /* of copies */

static const struct {
    const char *name;
    enum dtype dtype;
    int order; /* of the reference implementation's writer: larger first */
} types[] = {{"F32", DT_F32, 2}, {"BF16", DT_BF16, 1}, {"F16", DT_F16, 0}};
enum { N_TYPES = sizeof types / sizeof *types };

static int type_row(enum dtype t) {
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].dtype == t) return i;
    return -1;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct entry {
    const char *name;
    json_t *info;
    uint64_t begin, end;
};

struct reader {
    struct model_file *to, *owner;
    const struct file_map *map;
    const char *path;
    uint64_t header, data_start, data_bytes;
    struct entry *entries; /* in the order of their data */
    size_t n;
};

static int read_length(struct reader *r, struct err *e) {
    const size_t size = r->map->size;
    if (size < 8)
        return err_set(e, ERR_INPUT, "%s: file has %zu bytes, safetensors begin with 8", r->path,
                       size);
    memcpy(&r->header, r->map->data, 8);
    if (r->header > MAX_HEADER || r->header > size - 8)
        return err_set(e, ERR_INPUT,
                       "%s: header length at offset 0 is %" PRIu64 ", expected at most %" PRIu64
                       " and to end within the %zu bytes of the file",
                       r->path, r->header, MAX_HEADER, size);
    if (r->header == 0 || r->map->data[8] != '{')
        return err_set(e, ERR_INPUT, "%s: header at offset 8 does not begin with {", r->path);
    r->data_start = 8 + r->header;
    r->data_bytes = size - r->data_start;
    return 0;
}

static int parse_header(const struct reader *r, json_t **root, struct err *e) {
    const char *text = (const char *)r->map->data + 8;
    uint64_t n = r->header;
    while (text[n - 1] == ' ') n--; /* ends at the brace that it begins with */
    if (n > MAX_TEXT)
        return err_set(e, ERR_INPUT,
                       "%s: header at offset 8 has %" PRIu64 " bytes without its padding, at most "
                       "%" PRIu64 " are accepted",
                       r->path, n, MAX_TEXT);
    return hf_object(text, (size_t)n, r->path, 8, root, e);
}

static int read_meta(const struct reader *r, json_t *o, struct err *e) {
    const char *key;
    json_t *v;
    if (!json_is_object(o))
        return err_set(e, ERR_INPUT, "%s: header: __metadata__ is not an object", r->path);
    json_object_foreach(o, key, v) {
        if (!json_is_string(v))
            return err_set(e, ERR_INPUT, "%s: header: __metadata__: value of \"%.60s\" is not text",
                           r->path, key);
    }
    return 0;
}

static int bad_entry(const struct reader *r, const char *name, const char *what, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: tensor %.255s: %s", r->path, name, what);
}

/* Everything but dtype and shape. */
static int read_entry(const struct reader *r, struct entry *x, struct err *e) {
    const json_t *offsets = json_object_get(x->info, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    const char *key;
    json_t *v;
    if (!json_is_object(x->info)) return bad_entry(r, x->name, "its value is not an object", e);
    json_object_foreach(x->info, key, v) {
        if (strcmp(key, "dtype") && strcmp(key, "shape") && strcmp(key, "data_offsets"))
            return err_set(e, ERR_INPUT, "%s: tensor %.255s: unknown key \"%.60s\"", r->path,
                           x->name, key);
    }
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < 0)
        return bad_entry(r, x->name, "data_offsets are not two whole numbers >= 0", e);
    x->begin = (uint64_t)json_integer_value(begin);
    x->end = (uint64_t)json_integer_value(end);
    if (x->begin > x->end || x->end > r->data_bytes)
        return err_set(e, ERR_INPUT,
                       "%s: tensor %.255s: data_offsets %" PRIu64 " to %" PRIu64
                       " do not lie within the %" PRIu64 " bytes of data",
                       r->path, x->name, x->begin, x->end, r->data_bytes);
    return 0;
}

static int compare_entries(const void *pa, const void *pb) {
    const struct entry *a = pa, *b = pb;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

static int read_entries(struct reader *r, json_t *root, struct err *e) {
    const char *name;
    json_t *v;
    if (!(r->entries = calloc(json_object_size(root) + 1, sizeof *r->entries)))
        return err_set(e, ERR_NOMEM, "%s: no memory for a table of tensors", r->path);
    json_object_foreach(root, name, v) {
        const bool meta = !strcmp(name, "__metadata__");
        struct entry *x = r->entries + r->n;
        *x = (struct entry){.name = name, .info = v};
        const int rc = meta ? read_meta(r, v, e) : read_entry(r, x, e);
        if (rc) return rc;
        r->n += !meta;
    }
    qsort(r->entries, r->n, sizeof *r->entries, compare_entries);
    return 0;
}

/* One tensor begins where the one before it ends, and the last one ends the file. */
static int check_whole(const struct reader *r, struct err *e) {
    uint64_t end = 0;
    for (size_t i = 0; i < r->n; end = r->entries[i++].end)
        if (r->entries[i].begin != end)
            return err_set(e, ERR_INPUT,
                           "%s: tensor %.255s: data begins at offset %" PRIu64
                           ", but the data before it ends at %" PRIu64,
                           r->path, r->entries[i].name, r->data_start + r->entries[i].begin,
                           r->data_start + end);
    if (end != r->data_bytes)
        return err_set(e, ERR_INPUT,
                       "%s: %" PRIu64 " bytes follow the last tensor, at offset %" PRIu64
                       "; expected the end of the file",
                       r->path, r->data_bytes - end, r->data_start + end);
    return 0;
}

static int read_type(const struct reader *r, const struct entry *x, struct mf_tensor *t,
                     struct err *e) {
    const char *type = json_string_value(json_object_get(x->info, "dtype"));
    if (!type) return bad_entry(r, x->name, "dtype is missing or not text", e);
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(types[i].name, type)) {
            t->dtype = types[i].dtype;
            return 0;
        }
    return err_set(e, ERR_INPUT,
                   "%s: tensor %.255s: dtype %.20s, which duet does not read; expected F32, F16 "
                   "or BF16",
                   r->path, x->name, type);
}

static int read_shape(const struct reader *r, const struct entry *x, struct mf_tensor *t,
                      struct err *e) {
    const json_t *shape = json_object_get(x->info, "shape");
    const size_t n = json_array_size(shape);
    if (!json_is_array(shape)) return bad_entry(r, x->name, "shape is missing or not a list", e);
    if (n != 1 && n != 2)
        return err_set(e, ERR_INPUT, "%s: tensor %.255s: %zu dimensions found, 1 or 2 expected",
                       r->path, x->name, n);
    t->ndim = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 1)
            return bad_entry(r, x->name, "a dimension of shape is not a whole number >= 1", e);
        t->shape[i] = (uint64_t)json_integer_value(dim);
    }
    return 0;
}

static int add_entry(const struct reader *r, const struct entry *x, struct err *e) {
    char *name = strdup(x->name);
    struct mf_tensor t = {.name = name,
                          .data = r->map->data + r->data_start + x->begin,
                          .offset = r->data_start + x->begin};
    int rc;
    if (!name) return err_set(e, ERR_NOMEM, "%s: no memory", r->path);
    TRY(read_type(r, x, &t, e));
    TRY(read_shape(r, x, &t, e));
    TRY(model_file_add(r->to, &t, e)); /* shape and dtype give a size, without overflow */
    const size_t bytes = dtype_bytes(t.dtype, (size_t)mf_tensor_count(&t));
    if (bytes != x->end - x->begin)
        rc = err_set(e, ERR_INPUT,
                     "%s: tensor %s: data_offsets give %" PRIu64 " bytes, shape and dtype %zu",
                     r->path, name, x->end - x->begin, bytes);
out:
    free(name);
    return rc;
}

static size_t misaligned(const struct mf_tensor *t) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
    if ((uintptr_t)t->data % (size_t)dtype_row(t->dtype)->bytes == 0) return 0;
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Files of early writers have no padding, and then nothing in them is aligned. At most as much
 * memory as the file has bytes, and the rounding. */
static int align_data(const struct reader *r, size_t first, struct err *e) {
    struct model_file *to = r->to, *owner = r->owner;
    size_t bytes = 0;
    for (size_t i = first; i < to->n_tensors; i++) bytes += misaligned(to->tensors + i);
    if (!bytes) return 0;
    struct file_map *maps = realloc(owner->maps, (owner->n_maps + 1) * sizeof *maps);
    if (maps) owner->maps = maps;
    uint8_t *at = maps ? aligned_alloc(ALIGN, bytes) : NULL;
    char *path = strdup(r->path);
    if (!at || !path) {
        free(at);
        free(path);
        return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes of tensors that are not aligned",
                       r->path, bytes);
    }
    owner->maps[owner->n_maps++] = (struct file_map){.data = at, .size = bytes, .path = path};
    memset(at, 0, bytes);
    for (size_t i = first, n; i < to->n_tensors; at += n, i++) {
        struct mf_tensor *t = to->tensors + i;
        if (!(n = misaligned(t))) continue;
        const size_t used = dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
        memcpy(at, t->data, used);
        file_map_drop(r->map, (size_t)((const uint8_t *)t->data - r->map->data), used);
        t->data = at;
    }
    return 0;
}

int safetensors_read(struct model_file *to, struct model_file *owner, const struct file_map *map,
                     json_t **meta, struct err *e) {
    /* The list of maps may move when one is added. */
    const struct file_map copy = *map;
    struct reader r = {.to = to, .owner = owner, .map = &copy, .path = map->path};
    const size_t first = to->n_tensors;
    json_t *root = NULL;
    int rc;
    *meta = NULL;
    TRY(read_length(&r, e));
    TRY(parse_header(&r, &root, e));
    TRY(read_entries(&r, root, e));
    TRY(check_whole(&r, e));
    for (size_t i = 0; i < r.n; i++) TRY(add_entry(&r, r.entries + i, e));
    TRY(align_data(&r, first, e));
    *meta = json_incref(json_object_get(root, "__metadata__"));
out:
    free(r.entries);
    json_decref(root);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

int safetensors_check(const struct mf_tensor *t, const char *path, struct err *e) {
    if (type_row(t->dtype) >= 0) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: cannot be written: tensor %s has type %s, safetensors of a model hold f32, "
                   "f16 and bf16",
                   path, t->name, dtype_row(t->dtype)->name);
}

static int compare_items(const void *pa, const void *pb) {
    const struct safetensors_item *a = pa, *b = pb;
    const int x = types[type_row(a->t->dtype)].order, y = types[type_row(b->t->dtype)].order;
    return x != y ? y - x : strcmp(a->name, b->name);
}

/* The header with its padding, malloc()ed. */
static char *make_header(const struct safetensors_item *items, size_t n, json_t *meta,
                         size_t *bytes) {
    json_t *root = json_object();
    uint64_t at = 0;
    int bad = json_object_set(root, "__metadata__", meta);
    for (size_t i = 0; i < n && !bad; i++) {
        const struct mf_tensor *t = items[i].t;
        const uint64_t end = at + dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
        json_t *shape = json_pack("[I]", (json_int_t)t->shape[0]);
        if (t->ndim == 2)
            bad |= json_array_append_new(shape, json_integer((json_int_t)t->shape[1]));
        bad |= json_object_set_new(root, items[i].name,
                                   json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                                             types[type_row(t->dtype)].name, "shape", shape,
                                             "data_offsets", (json_int_t)at, (json_int_t)end));
        at = end;
    }
    char *text = bad ? NULL : json_dumps(root, JSON_COMPACT), *padded = NULL;
    const size_t used = text ? strlen(text) : 0;
    *bytes = (used + 7) / 8 * 8;
    if (text && (padded = realloc(text, *bytes + 1)))
        memset(padded + used, ' ', *bytes - used);
    else
        free(text);
    json_decref(root);
    return padded;
}

int safetensors_write(struct file_out *o, const struct model_file *mf,
                      struct safetensors_item *items, size_t n, json_t *meta, struct err *e) {
    size_t bytes;
    int rc = 0;
    qsort(items, n, sizeof *items, compare_items);
    char *header = make_header(items, n, meta, &bytes);
    if (!header) return err_set(e, ERR_NOMEM, "%s: no memory for its header", o->path);
    const uint64_t length = bytes;
    file_out_write(o, &length, sizeof length);
    file_out_write(o, header, bytes);
    for (size_t i = 0; i < n; i++) TRY(mf_tensor_write(o, mf, items[i].t, 0, e));
out:
    free(header);
    return rc;
}
