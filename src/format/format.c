#include "format.h"

#include "disk.h"
#include "magic.h"
#include "run_folder.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the size of a state */
#include <jansson.h>
#include <xxhash.h>

/* Far more than a decoder of 1024 layers needs, and few enough that names chosen to collide in the
 * index cannot stall a reader. */
#define MAX_TENSORS 16384
#define HASH_STEP ((size_t)1 << 20)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are mapped as they are");

#define X(name) extern const struct format format_##name;
FORMATS(X, X)
#undef X

const struct format *const formats[] = {
#define X(name) &format_##name,
    FORMATS(X, X)
#undef X
};
const size_t n_formats = sizeof formats / sizeof *formats;

const struct format *format_find(const char *name) {
    for (size_t i = 0; i < n_formats; i++)
        if (!strcmp(formats[i]->name, name)) return formats[i];
    return NULL;
}

const struct format *format_probe(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < n_formats; i++)
        if (formats[i]->probe && formats[i]->probe(data, size)) return formats[i];
    return NULL;
}

uint64_t map_hash(const struct file_map *m, size_t offset, size_t bytes) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (size_t done = 0, n; done < bytes; done += n) {
        n = bytes - done < HASH_STEP ? bytes - done : HASH_STEP;
        XXH3_64bits_update(&state, m->data + offset + done, n);
        file_map_drop(m, offset + done, n);
    }
    return XXH3_64bits_digest(&state);
}

uint64_t model_file_digest(const struct model_file *mf) {
    if (mf->map.data) return map_hash(&mf->map, 0, mf->map.size);
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (size_t i = 0; i < mf->n_maps; i++) {
        if (!file_ends_with(mf->maps[i].path, ".safetensors")) continue;
        const uint64_t h = map_hash(mf->maps + i, 0, mf->maps[i].size);
        XXH3_64bits_update(&state, &h, sizeof h);
    }
    XXH3_64bits_update(&state, &mf->config_hash, sizeof mf->config_hash);
    return XXH3_64bits_digest(&state);
}

static char *file_in(const char *dir, const char *name) {
    char *path = file_join(dir, name);
    if (path && file_exists(path)) return path;
    free(path);
    return NULL;
}

char *model_file_of_run(const char *path) {
    if (!file_is_dir(path)) return NULL;
    char *model = file_in(path, "model.blzt");
    return model ? model : file_in(path, "adapter.blzt");
}

/* No byte is a control character that text does not have. */
static bool is_text(const uint8_t *p, size_t n) {
    if (n > MAGIC_BYTES) n = MAGIC_BYTES;
    for (size_t i = 0; i < n; i++)
        if (p[i] == 127 || (p[i] < 32 && (p[i] < '\t' || p[i] > '\r'))) return false;
    return n > 0;
}

/* What to do with a file that is no model, if there is something; the table's advice is mostly for
 * readers of text. */
static const char *advice_of(const struct magic *m) {
    switch (m->kind) {
    case MAGIC_OWN:
    case MAGIC_GZIP:
    case MAGIC_ZSTD:
    case MAGIC_TOKENIZER: return m->advice;
    case MAGIC_RECORD:
    case MAGIC_DESCRIPTION:
    case MAGIC_OPTIONS: return "give the folder that it lies in";
    default: return NULL;
    }
}

static int unknown_format(const struct file_map *map, struct err *e) {
    const struct magic *m = magic_find(map->data, map->size);
    const char *advice = m ? advice_of(m) : NULL;
    if (m && m->kind != MAGIC_MODEL)
        return err_set(e, ERR_INPUT, "%s: not a model file: it %s%s%s", map->path, m->is,
                       advice ? ": " : "", advice ? advice : "");
    if (!m && is_text(map->data, map->size))
        return err_set(e, ERR_INPUT, "%s: not a model file: it is text", map->path);
    char names[128] = "", bytes[32] = "nothing";
    size_t n = 0;
    for (size_t i = 0; i < n_formats && n < sizeof names; i++)
        if (formats[i]->probe)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "",
                                  formats[i]->name);
    for (size_t i = 0; i < 8 && i < map->size; i++)
        snprintf(bytes + 3 * i, sizeof bytes - 3 * i, "%02x ", map->data[i]);
    if (map->size) bytes[3 * (map->size < 8 ? map->size : 8) - 1] = '\0';
    return err_set(e, ERR_INPUT,
                   "%s: not a model file that duet reads (formats: %s): it has %zu bytes and "
                   "begins with %s",
                   map->path, names, map->size, bytes);
}

int format_open_map(struct model_file *mf, const struct part_tables *archs, struct file_map *map,
                    bool verify, struct err *e) {
    int rc;
    *mf = (struct model_file){.archs = archs, .map = *map};
    *map = (struct file_map){0};
    mf->path = strdup(mf->map.path);
    if (!mf->path) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory", mf->map.path);
        goto out;
    }
    mf->format = format_probe(mf->map.data, mf->map.size);
    if (mf->format)
        rc = mf->format->read(mf, verify, e);
    else
        rc = unknown_format(&mf->map, e);
out:
    if (rc) model_file_close(mf);
    return rc;
}

/* Folders of a run without a model in them. */
static int refuse_run(const char *path, struct err *e) {
    char *log = file_in(path, "log.jsonl");
    const bool run = log != NULL;
    free(log);
    if (run)
        return err_set(e, ERR_INPUT,
                       "%s: a run without a checkpoint: neither model.blzt nor adapter.blzt in it "
                       "yet; duet train --resume %s goes on with it",
                       path, path);
    if (run_folder_is_kept(path))
        return err_set(e, ERR_INPUT,
                       "%s holds a run's earlier checkpoints: give one of the folders in it", path);
    return 0;
}

static int open_dir(struct model_file *mf, const char *path, bool verify, struct err *e) {
    int rc = refuse_run(path, e);
    if (rc) return rc;
    if (!(mf->path = strdup(path))) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    for (size_t i = 0; i < n_formats && !mf->format; i++)
        if (formats[i]->probe_dir && formats[i]->probe_dir(path)) mf->format = formats[i];
    if (!mf->format)
        rc = err_set(e, ERR_INPUT,
                     "%s: a folder with neither config.json nor adapter_config.json in it: not a "
                     "model of Hugging Face",
                     path);
    else
        rc = mf->format->read(mf, verify, e);
    if (!rc && !mf->config_hash) mf->config_hash = XXH3_64bits(mf->config, strlen(mf->config));
    if (rc) model_file_close(mf);
    return rc;
}

int format_open(struct model_file *mf, const struct part_tables *archs, const char *path,
                bool verify, struct err *e) {
    struct file_map map;
    *mf = (struct model_file){.archs = archs};
    char *run = model_file_of_run(path);
    if (!run && file_is_dir(path)) return open_dir(mf, path, verify, e);
    int rc = run && !file_is_regular(run) ? err_set(e, ERR_INPUT, "%s is no file", run)
                                          : file_map_open(&map, run ? run : path, e);
    free(run);
    return rc ? rc : format_open_map(mf, archs, &map, verify, e);
}

int model_file_map(struct model_file *mf, const char *path, const struct file_map **m,
                   struct err *e) {
    struct file_map *maps = realloc(mf->maps, (mf->n_maps + 1) * sizeof *maps);
    if (!maps) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    mf->maps = maps;
    const int rc = file_map_open(maps + mf->n_maps, path, e);
    if (!rc) *m = maps + mf->n_maps++;
    return rc;
}

int model_file_side(struct model_file *mf, const char *name, const void *data, size_t bytes,
                    void *owned, struct err *e) {
    struct mf_side *sides = realloc(mf->sides, (mf->n_sides + 1) * sizeof *sides);
    if (sides) mf->sides = sides;
    char *copy = sides ? strdup(name) : NULL;
    if (!copy) {
        free(owned);
        return err_set(e, ERR_NOMEM, "%s: no memory", name);
    }
    sides[mf->n_sides++] = (struct mf_side){copy, data, bytes, owned};
    return 0;
}

const struct mf_side *model_file_find_side(const struct model_file *mf, const char *name) {
    for (size_t i = 0; i < mf->n_sides; i++)
        if (!strcmp(mf->sides[i].name, name)) return mf->sides + i;
    return NULL;
}

/* Of a folder every file is written anew; another model file that lies in it stays. */
bool model_file_uses(const struct model_file *mf, const char *path) {
    const bool folder = file_is_dir(path), part = mf->n_maps > 0 || !mf->map.data;
    if (mf->path && file_same(mf->path, path)) return true;
    if (!mf->map.data && mf->path && file_exists(path) && file_lies_in(path, mf->path))
        return true; /* one of the files of a folder, its config for one */
    if (mf->map.path &&
        (file_same(mf->map.path, path) || (folder && part && file_lies_in(mf->map.path, path))))
        return true;
    for (size_t i = 0; i < mf->n_maps; i++)
        if (file_same(mf->maps[i].path, path) || (folder && file_lies_in(mf->maps[i].path, path)))
            return true;
    return false;
}

static bool drop_in(const struct file_map *m, const void *data, size_t bytes) {
    const uintptr_t at = (uintptr_t)data, start = (uintptr_t)m->data;
    if (!m->data || at < start || at - start >= m->size) return false;
    file_map_drop(m, at - start, bytes);
    return true;
}

void model_file_drop(const struct model_file *mf, const void *data, size_t bytes) {
    for (; mf; mf = mf->source) {
        if (drop_in(&mf->map, data, bytes)) return;
        for (size_t i = 0; i < mf->n_maps; i++)
            if (drop_in(mf->maps + i, data, bytes)) return;
    }
}

void model_file_note(struct model_file *mf, const char *fmt, ...) {
    char *text = NULL, *all = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0) text = NULL;
    va_end(ap);
    if (!text || asprintf(&all, "%s%s\n", mf->notes ? mf->notes : "", text) < 0) all = NULL;
    free(text);
    if (!all) return;
    free(mf->notes);
    mf->notes = all;
}

void model_file_close(struct model_file *mf) {
    for (size_t i = 0; i < mf->n_tensors; i++) free(mf->tensors[i].name);
    free(mf->tensors);
    free(mf->slots);
    free(mf->config);
    free(mf->meta);
    free(mf->name);
    free(mf->path);
    free(mf->tokenizer_owned);
    free(mf->tokenizer_problem);
    free(mf->notes);
    if (mf->vocab) vocab_release(mf->vocab);
    free(mf->vocab);
    for (size_t i = 0; i < mf->n_sides; i++) {
        free(mf->sides[i].name);
        free(mf->sides[i].owned);
    }
    free(mf->sides);
    file_map_close(&mf->map);
    for (size_t i = 0; i < mf->n_maps; i++) file_map_close(mf->maps + i);
    free(mf->maps);
    *mf = (struct model_file){0};
}

/* The slot that holds name, or the free one where it belongs. n_slots > 0. */
static uint32_t *name_slot(const struct model_file *mf, const char *name) {
    size_t mask = mf->n_slots - 1;
    for (size_t i = XXH3_64bits(name, strlen(name)) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &mf->slots[i];
        if (!*slot || !strcmp(mf->tensors[*slot - 1].name, name)) return slot;
    }
}

/* Room for one more tensor. */
static int grow(struct model_file *mf, const char *path, struct err *e) {
    if (mf->n_tensors < mf->cap_tensors) return 0;
    if (mf->n_tensors == MAX_TENSORS)
        return err_set(e, ERR_INPUT, "%s: more than %d tensors", path, MAX_TENSORS);
    size_t cap = mf->cap_tensors ? 2 * mf->cap_tensors : 64;
    struct mf_tensor *tensors = realloc(mf->tensors, cap * sizeof *tensors);
    if (tensors) mf->tensors = tensors;
    uint32_t *slots = calloc(2 * cap, sizeof *slots);
    if (!tensors || !slots) {
        free(slots);
        return err_set(e, ERR_NOMEM, "%s: no memory for a table of %zu tensors", path, cap);
    }
    free(mf->slots);
    mf->cap_tensors = cap;
    mf->slots = slots;
    mf->n_slots = 2 * cap;
    for (size_t i = 0; i < mf->n_tensors; i++)
        *name_slot(mf, mf->tensors[i].name) = (uint32_t)i + 1;
    return 0;
}

static bool name_ok(const char *name) {
    size_t n = strlen(name);
    json_t *text = json_string(name); /* only UTF-8 becomes one */
    if (!text) return false;
    json_decref(text);
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f) return false;
    return n > 0 && n < 256;
}

static int tensor_check(const struct mf_tensor *t, const char *path, struct err *e) {
    if (!name_ok(t->name))
        return err_set(e, ERR_INPUT,
                       "%s: a tensor's name has %zu bytes, or bytes that are not printable UTF-8; "
                       "expected 1 to 255",
                       path, strlen(t->name));
    if (t->ndim != 1 && t->ndim != 2)
        return err_set(e, ERR_INPUT, "%s: tensor %s: %d dimensions found, 1 or 2 expected", path,
                       t->name, t->ndim);
    uint64_t count = t->shape[0];
    bool overflow = t->ndim == 2 && __builtin_mul_overflow(count, t->shape[1], &count);
    if (t->shape[0] == 0 || t->shape[t->ndim - 1] == 0)
        return err_set(e, ERR_INPUT, "%s: tensor %s: a dimension is 0", path, t->name);
    if (t->shape[t->ndim - 1] % (uint64_t)dtype_row(t->dtype)->block != 0)
        return err_set(e, ERR_INPUT, "%s: tensor %s: rows are not whole blocks of %s", path,
                       t->name, dtype_row(t->dtype)->name);
    if (overflow || dtype_bytes(t->dtype, (size_t)count) > SIZE_MAX / 2)
        return err_set(e, ERR_INPUT, "%s: tensor %s: shape is too large", path, t->name);
    if (t->rope_heads < MF_ROPE_K ||
        (t->rope_heads > 0 && (t->shape[0] % (2 * (uint64_t)t->rope_heads) != 0 ||
                               (t->ndim == 1 && dtype_row(t->dtype)->block > 1))))
        return err_set(e, ERR_INPUT,
                       "%s: tensor %s: %llu rows cannot be cut into %d heads of even size", path,
                       t->name, (unsigned long long)t->shape[0], t->rope_heads);
    return 0;
}

int model_file_add(struct model_file *mf, const struct mf_tensor *t, struct err *e) {
    const char *path = mf->path ? mf->path : "model";
    int rc = tensor_check(t, path, e);
    if (rc || (rc = grow(mf, path, e))) return rc;
    uint32_t *slot = name_slot(mf, t->name);
    if (*slot) return err_set(e, ERR_INPUT, "%s: tensor %s is there twice", path, t->name);
    struct mf_tensor *copy = &mf->tensors[mf->n_tensors];
    *copy = *t;
    if (!(copy->name = strdup(t->name))) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    *slot = (uint32_t)++mf->n_tensors;
    return 0;
}

const struct mf_tensor *model_file_find(const struct model_file *mf, const char *name) {
    uint32_t i = mf->n_slots ? *name_slot(mf, name) : 0;
    return i ? &mf->tensors[i - 1] : NULL;
}

uint64_t mf_tensor_count(const struct mf_tensor *t) {
    return t->ndim == 2 ? t->shape[0] * t->shape[1] : t->shape[0];
}

double mf_tensor_factor(const struct mf_tensor *t) {
    return t->zero ? 0 : t->factor != 0 ? t->factor : 1;
}

void mf_tensor_set_factor(struct mf_tensor *t, double factor) {
    t->zero = factor == 0;
    t->factor = factor == 1 ? 0 : factor;
}

void mf_tensor_read(const struct mf_tensor *t, float *dst) {
    size_t count = (size_t)mf_tensor_count(t);
    if (t->rope_heads == 0) {
        dtype_to_f32(t->dtype, t->data, dst, count);
    } else {
        size_t cols = count / t->shape[0], bytes = dtype_bytes(t->dtype, cols);
        for (uint64_t r = 0; r < t->shape[0]; r++)
            dtype_to_f32(t->dtype, (const uint8_t *)t->data + mf_stored_row(t, r, 0) * bytes,
                         dst + r * cols, cols);
    }
    const double factor = mf_tensor_factor(t);
    for (size_t i = 0; factor != 1 && i < count; i++) dst[i] = (float)((double)dst[i] * factor);
}

const void *mf_tensor_row(const struct mf_tensor *t, uint64_t r) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)t->shape[1]);
    return (const uint8_t *)t->data + mf_stored_row(t, r, 0) * bytes;
}

int model_file_ready(const struct model_file *mf, struct file_out *o, struct err *e) {
    int rc = file_out_sync(o, e);
    if (rc || !mf->check) return rc;
    if (!o->temp)
        return err_set(e, ERR_USAGE, "%s is no file, and cannot be read again to verify it",
                       o->path);
    return mf->check->fn(mf->check->ctx, o->temp, e);
}

int model_file_commit(const struct model_file *mf, struct file_out *o, struct err *e) {
    const int rc = mf->check ? model_file_ready(mf, o, e) : 0;
    return rc ? rc : file_out_commit(o, e);
}

/* At least so much is written, whatever the format; a folder's files are cut to size. */
static int check_room(const struct model_file *mf, const struct format *f, const char *path,
                      struct err *e) {
    uint64_t bytes = mf->tokenizer_bytes;
    const bool folder = f->suffix && !strcmp(f->suffix, "/");
    for (size_t i = 0; i < mf->n_tensors; i++)
        bytes += dtype_bytes(mf->tensors[i].dtype, (size_t)mf_tensor_count(mf->tensors + i));
    return disk_fits(path, "the model", bytes, folder ? 0 : bytes, e);
}

/* Of a file that was written. */
static int read_hash(const struct model_file *mf, const char *path, struct err *e) {
    struct model_file written;
    const int rc = format_open(&written, mf->archs, path, false, e);
    if (rc) return rc;
    *mf->hash = model_file_digest(&written);
    model_file_close(&written);
    return 0;
}

int model_file_write(const struct model_file *mf, const char *format, const char *path,
                     struct err *e) {
    const struct format *f = format_find(format);
    if (!f || !f->write)
        return err_set(e, ERR_USAGE, "%s: \"%s\" is not a model format that duet writes", path,
                       format);
    for (size_t i = 0; i < mf->n_tensors; i++)
        if (mf->tensors[i].row && !f->rows)
            return err_set(e, ERR_USAGE,
                           "%s: format %s cannot write tensor %s, which is made row by row", path,
                           format, mf->tensors[i].name);
    if (mf->path && file_same(mf->path, path))
        return err_set(e, ERR_INPUT, "%s: is the file being read; write to another name", path);
    int rc = check_room(mf, f, path, e);
    if (!rc) rc = f->write(mf, path, e);
    return rc || !mf->hash || f->hashes ? rc : read_hash(mf, path, e);
}

/* Within a head of hd rows, rotation i turns rows 2i and 2i+1 of one layout, i and i + hd/2 of the
 * other. */
static uint64_t half_of_pair(uint64_t p, uint64_t hd) {
    return p % 2 * (hd / 2) + p / 2;
}

static uint64_t pair_of_half(uint64_t h, uint64_t hd) {
    return h < hd / 2 ? 2 * h : 2 * (h - hd / 2) + 1;
}

uint64_t mf_stored_row(const struct mf_tensor *t, uint64_t r, int pair_heads) {
    assert(t->rope_heads >= 0); /* an adapter's: the base says how many */
    if (pair_heads == t->rope_heads) return r;
    assert(pair_heads == 0 || t->rope_heads == 0);
    uint64_t hd = t->shape[0] / (uint64_t)(pair_heads + t->rope_heads), i = r % hd;
    return r - i + (pair_heads ? half_of_pair(i, hd) : pair_of_half(i, hd));
}

void rope_to_pairs(float *out, const float *in, uint64_t rows, uint64_t cols, int heads) {
    uint64_t hd = rows / (uint64_t)heads;
    for (uint64_t r = 0; r < rows; r++)
        memcpy(out + r * cols, in + (r - r % hd + half_of_pair(r % hd, hd)) * cols,
               cols * sizeof *out);
}

void rope_to_halves(float *out, const float *in, uint64_t rows, uint64_t cols, int heads) {
    uint64_t hd = rows / (uint64_t)heads;
    for (uint64_t r = 0; r < rows; r++)
        memcpy(out + r * cols, in + (r - r % hd + pair_of_half(r % hd, hd)) * cols,
               cols * sizeof *out);
}
