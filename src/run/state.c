#include "state.h"

#include "binary.h"
#include "file.h"
#include "json_text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { HEADER = 40, VERSION = 3, ONE_OPTIMIZER = 2, CHUNK = 1 << 20, MAX_FOOTER = 64 << 20 };
static const struct binary_kind kind = {.magic = "DUETSTAT", .is = "a state file of a run",
                                        .versions = VERSION, .head = HEADER, .zero = 12};

/* ---- counters -------------------------------------------------------------------------------- */

static const struct field {
    const char *name;
    size_t offset;
    bool real;
    int since; /* version; a state before it leaves the value as it is */
} fields[] = {
#define AT(f) offsetof(struct progress, f)
    {"step", AT(step), false, 1},
    {"rows", AT(rows), false, 1},
    {"tokens", AT(tokens), false, 1},
    {"seconds", AT(seconds), true, 1},
    {"total", AT(total), true, 1},
    {"ema", AT(ema), true, 1},
    {"best", AT(best), true, 1},
    {"log_bytes", AT(log_bytes), false, 1},
    {"log_loss", AT(log_loss), true, 1},
    {"log_seconds", AT(log_seconds), true, 1},
    {"log_steps", AT(log_steps), false, 1},
    {"log_tokens", AT(log_tokens), false, 1},
    {"val_step", AT(val_step), false, 2},
    {"val_best", AT(val_best), true, 2},
    {"val_best_step", AT(val_best_step), false, 2},
    {"val_stale", AT(val_stale), false, 2},
    {"val_key", AT(val_key), false, 2},
    {"best_hash", AT(best_hash), false, 2},
    {"rollbacks", AT(rollbacks), false, 2},
    {"lr_scale", AT(lr_scale), true, 2},
#undef AT
};

static json_t *progress_json(const struct progress *p) {
    json_t *j = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *at = (const char *)p + fields[i].offset;
        const double d = *(const double *)(const void *)at;
        json_t *v = !fields[i].real ? json_integer(*(const int64_t *)(const void *)at)
                    : isfinite(d)   ? json_real(d)
                                    : json_null();
        json_object_set_new(j, fields[i].name, v);
    }
    return j;
}

static int progress_read(struct progress *p, json_t *root, int version, const char *path,
                         struct err *e) {
    json_t *j = json_object_get(root, "progress");
    p->val_step = json_integer_value(json_object_get(j, "step")); /* of version 1 */
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].since > version) continue;
        char *at = (char *)p + fields[i].offset;
        json_t *v = json_object_get(j, fields[i].name);
        if (fields[i].real ? !json_is_number(v) && !json_is_null(v)
                           : !json_is_integer(v) || json_integer_value(v) < 0)
            return err_set(e, ERR_INPUT, "%s: footer: progress.%s is missing or not a number", path,
                           fields[i].name);
        if (fields[i].real)
            *(double *)(void *)at = json_is_null(v) ? NAN : json_number_value(v);
        else
            *(int64_t *)(void *)at = json_integer_value(v);
    }
    if (version > 1 && !(p->lr_scale > 0 && p->lr_scale <= 1))
        return err_set(e, ERR_INPUT, "%s: footer: progress.lr_scale is not between 0 and 1", path);
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* `other`, unless it was a lack of memory. */
static int zstd_code(size_t result, int other) {
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? ERR_NOMEM : other;
}

static int write_frame(struct file_out *f, ZSTD_CCtx *z, uint8_t *room,
                       const struct engine_item *item, struct err *e) {
    ZSTD_inBuffer in = {item->data, (size_t)item->n * sizeof(float), 0};
    size_t left;
    ZSTD_CCtx_reset(z, ZSTD_reset_session_only);
    do {
        ZSTD_outBuffer out = {room, CHUNK, 0};
        left = ZSTD_compressStream2(z, &out, &in, ZSTD_e_end);
        if (ZSTD_isError(left))
            return err_set(e, zstd_code(left, ERR_IO), "%s: compression failed: %s", f->path,
                           ZSTD_getErrorName(left));
        file_out_write(f, room, out.pos);
    } while (left);
    return 0;
}

static int write_sections(struct file_out *f, const struct engine *g, json_t *sections,
                          struct err *e) {
    int rc = 0;
    struct engine_item item;
    ZSTD_CCtx *z = ZSTD_createCCtx();
    uint8_t *room = malloc(CHUNK);
    if (!z || !room) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 1);
    for (int i = 0; engine_item(g, i, &item); i++) {
        if (!item.n) continue;
        char hash[17];
        const uint64_t begin = f->offset;
        TRY(write_frame(f, z, room, &item, e));
        snprintf(hash, sizeof hash, "%016" PRIx64,
                 XXH3_64bits(item.data, (size_t)item.n * sizeof(float)));
        json_array_append_new(sections,
                              json_pack("{s:s,s:I,s:I,s:I,s:s}", "name", item.name, "n",
                                        (json_int_t)item.n, "offset", (json_int_t)begin, "bytes",
                                        (json_int_t)(f->offset - begin), "xxh3", hash));
    }
out:
    ZSTD_freeCCtx(z);
    free(room);
    return rc;
}

/* The one that all follow, or by role. */
static json_t *optimizers_json(const struct opt *o) {
    const struct opt_kind *only = opt_only_kind(o);
    if (only) return json_string(only->name);
    json_t *j = json_object();
    for (int r = 0; r < ROLE_COUNT; r++)
        if (opt_has_role(o, (enum role)r))
            json_object_set_new(j, role_name((enum role)r), json_string(o->hyper.of[r].kind->name));
    return j;
}

int state_write(const char *path, const struct engine *g, const struct progress *p,
                uint64_t model_hash, struct err *e) {
    int rc;
    struct file_out f = {0};
    uint8_t head[HEADER] = {0};
    char hash[17], *text = NULL;
    json_t *sections = json_array(), *root = NULL;
    TRY(file_out_open(&f, path, e));
    file_out_write(&f, head, sizeof head);
    TRY(write_sections(&f, g, sections, e));
    snprintf(hash, sizeof hash, "%016" PRIx64, model_hash);
    root = json_pack("{s:s,s:o,s:I,s:o,s:O}", "model", hash, "progress", progress_json(p), "t",
                     (json_int_t)g->opt.t, "optimizer", optimizers_json(&g->opt), "sections",
                     sections);
    text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    binary_begin(head, &kind, opt_only_kind(&g->opt) ? ONE_OPTIMIZER : VERSION);
    binary_put(head + 16, f.offset, 8);
    binary_put(head + 24, strlen(text), 8);
    binary_put(head + 32, XXH3_64bits(text, strlen(text)), 8);
    file_out_write(&f, text, strlen(text));
    file_out_patch(&f, 0, head, sizeof head);
    TRY(file_out_commit(&f, e));
out:
    file_out_discard(&f);
    json_decref(sections);
    json_decref(root);
    free(text);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_footer(const struct file_map *m, json_t **root, int *version, struct err *e) {
    const int rc = binary_check(m, &kind, version, e);
    if (rc) return rc;
    const uint64_t at = binary_get(m->data + 16, 8), n = binary_get(m->data + 24, 8);
    if (at < HEADER || at > m->size || n != m->size - at || n > MAX_FOOTER)
        return err_set(e, ERR_INPUT,
                       "%s: footer of %" PRIu64 " bytes at offset %" PRIu64
                       " does not end the file of %zu bytes",
                       m->path, n, at, m->size);
    if (XXH3_64bits(m->data + at, (size_t)n) != binary_get(m->data + 32, 8))
        return err_set(e, ERR_INPUT, "%s: checksum of the footer at offset %" PRIu64 " is wrong",
                       m->path, at);
    json_error_t je;
    *root = json_loadb((const char *)m->data + at, (size_t)n, JSON_REJECT_DUPLICATES, &je);
    if (!*root) return err_set(e, ERR_INPUT, "%s: footer: %s", m->path, json_text_why(&je));
    return 0;
}

static int read_frame(const struct file_map *m, json_t *s, const struct engine_item *item,
                      struct err *e) {
    const json_int_t at = json_integer_value(json_object_get(s, "offset"));
    const json_int_t n = json_integer_value(json_object_get(s, "bytes"));
    const char *hash = json_string_value(json_object_get(s, "xxh3"));
    char now[17];
    if (json_integer_value(json_object_get(s, "n")) != item->n)
        return err_set(e, ERR_INPUT, "%s: section %s does not have the %lld values of this model",
                       m->path, item->name, (long long)item->n);
    if (at < HEADER || n < 1 || (uint64_t)at > m->size || (uint64_t)n > m->size - (uint64_t)at ||
        !hash)
        return err_set(e, ERR_INPUT, "%s: section %s lies outside the file", m->path, item->name);
    const size_t bytes = (size_t)item->n * sizeof(float);
    const size_t got = ZSTD_decompress(item->data, bytes, m->data + at, (size_t)n);
    if (ZSTD_isError(got) || got != bytes)
        return err_set(e, zstd_code(got, ERR_INPUT),
                       "%s: section %s at offset %lld does not decompress", m->path, item->name,
                       (long long)at);
    snprintf(now, sizeof now, "%016" PRIx64, XXH3_64bits(item->data, bytes));
    if (strcmp(now, hash))
        return err_set(e, ERR_INPUT, "%s: checksum of section %s is wrong", m->path, item->name);
    return 0;
}

static int read_sections(const struct file_map *m, json_t *sections, struct engine *g,
                         struct err *e) {
    struct engine_item item;
    size_t k = 0;
    for (int i = 0; engine_item(g, i, &item); i++) {
        if (!item.n) continue;
        json_t *s = json_array_get(sections, k++);
        const char *name = json_string_value(json_object_get(s, "name"));
        if (!name || strcmp(name, item.name))
            return err_set(e, ERR_INPUT, "%s: section %zu is %s, expected %s", m->path, k - 1,
                           name ? name : "missing", item.name);
        int rc = read_frame(m, s, &item, e);
        if (rc) return rc;
    }
    if (k != json_array_size(sections))
        return err_set(e, ERR_INPUT, "%s: %zu sections, expected %zu", m->path,
                       json_array_size(sections), k);
    return 0;
}

/* Every role that is trained was by the same optimizer. */
static int check_optimizers(const char *path, json_t *found, const struct opt *o, struct err *e) {
    if (!json_is_string(found) && !json_is_object(found))
        return err_set(e, ERR_INPUT, "%s: footer: optimizer is missing", path);
    const char *key;
    json_t *value;
    json_object_foreach(found, key, value) { /* of a name there are none */
        bool known = false;
        for (int r = 0; r < ROLE_COUNT; r++) known |= !strcmp(key, role_name((enum role)r));
        if (!known)
            return err_set(e, ERR_INPUT, "%s: footer: optimizer of an unknown role %.40s", path,
                           key);
    }
    for (int r = 0; r < ROLE_COUNT; r++) {
        const char *role = role_name((enum role)r), *now = o->hyper.of[r].kind->name,
                   *then = json_string_value(
                       json_is_object(found) ? json_object_get(found, role) : found);
        if (!opt_has_role(o, (enum role)r)) continue;
        if (!then)
            return err_set(e, ERR_INPUT, "%s: footer: optimizer of role %s is missing", path, role);
        if (strcmp(then, now))
            return err_set(e, ERR_INPUT,
                           "%s: state of optimizer %s for parameters of role %s, but the run uses "
                           "%s for them",
                           path, then, role, now);
    }
    return 0;
}

/* A state whose footer is good. */
struct reader {
    struct file_map m;
    json_t *root;
    int version;
    uint64_t model; /* hash of the model file that it belongs to */
};

static int reader_open(struct reader *r, const char *path, struct err *e) {
    int rc;
    *r = (struct reader){0};
    TRY(file_map_open(&r->m, path, e));
    TRY(read_footer(&r->m, &r->root, &r->version, e));
    const char *model = json_string_value(json_object_get(r->root, "model"));
    if (model && strlen(model) == 16)
        r->model = strtoull(model, NULL, 16);
    else
        rc = err_set(e, ERR_INPUT, "%s: footer: model is missing", path);
out:
    return rc;
}

static void reader_close(struct reader *r) {
    json_decref(r->root);
    file_map_close(&r->m);
}

int state_hash(const char *path, uint64_t *model_hash, struct err *e) {
    struct reader r;
    const int rc = reader_open(&r, path, e);
    if (!rc) *model_hash = r.model;
    reader_close(&r);
    return rc;
}

int state_read(const char *path, struct engine *g, struct progress *p, uint64_t *model_hash,
               struct err *e) {
    int rc;
    struct reader r;
    TRY(reader_open(&r, path, e));
    const json_int_t t = json_integer_value(json_object_get(r.root, "t"));
    if (t < 0) {
        rc = err_set(e, ERR_INPUT, "%s: footer: t is below 0", path);
        goto out;
    }
    TRY(check_optimizers(path, json_object_get(r.root, "optimizer"), &g->opt, e));
    *model_hash = r.model;
    TRY(progress_read(p, r.root, r.version, path, e));
    TRY(read_sections(&r.m, json_object_get(r.root, "sections"), g, e));
    g->opt.t = t;
out:
    reader_close(&r);
    return rc;
}

int state_footer(const char *path, json_t **footer, int *version, struct err *e) {
    struct reader r;
    const int rc = reader_open(&r, path, e);
    if (!rc) {
        *footer = json_incref(r.root);
        *version = r.version;
    }
    reader_close(&r);
    return rc;
}

int state_read_progress(const char *path, struct progress *p, struct err *e) {
    struct reader r;
    int rc;
    TRY(reader_open(&r, path, e));
    TRY(progress_read(p, r.root, r.version, path, e));
out:
    reader_close(&r);
    return rc;
}
