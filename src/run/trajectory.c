#include "binary.h"
#include "json_text.h"
#include "trajectory.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { WITH_EXTRA = 2, HEADER = 32, MAX_JSON = 4 << 20, MAX_VOCAB = 1 << 30 };
enum { FIXED = 28, COUNT = 4, DIRECTION = 12, SUM = 4 }; /* bytes of a record: before; with extras;
                                                          * of one direction; behind */
static const struct binary_kind kind = {.magic = "DUETZO\r\n", .is = "a trajectory",
                                        .versions = WITH_EXTRA, .head = HEADER, .zero = 28};

/* ---- head ------------------------------------------------------------------------------------ */

static int parse_hash(const char *text, uint64_t *hash) {
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) return -1;
    *hash = strtoull(text, NULL, 16);
    return 0;
}

static int read_json(struct trajectory *t, const uint8_t *text, size_t bytes, struct err *e) {
    json_error_t je;
    struct trajectory_head *h = &t->head;
    json_t *root = json_loadb((const char *)text, bytes, JSON_REJECT_DUPLICATES, &je);
    json_t *config = json_object_get(root, "config"), *vocab = json_object_get(root, "vocab");
    int rc = 0;
    if (!root)
        rc = err_set(e, ERR_INPUT, "%s: JSON at offset %d: %s", t->map.path, HEADER,
                     json_text_why(&je));
    else if (parse_hash(json_string_value(json_object_get(root, "base")), &h->base_hash))
        rc = err_set(e, ERR_INPUT,
                     "%s: JSON: \"base\" is not 16 hexadecimal digits, the hash of a file",
                     t->map.path);
    else if (!json_is_object(config))
        rc = err_set(e, ERR_INPUT, "%s: JSON: \"config\" is not an object of training options",
                     t->map.path);
    else if (!json_is_integer(vocab) || json_integer_value(vocab) < 1 ||
             json_integer_value(vocab) > MAX_VOCAB)
        rc = err_set(e, ERR_INPUT, "%s: JSON: \"vocab\" is not a number from 1 to %d", t->map.path,
                     MAX_VOCAB);
    else if (json_object_size(root) != 3)
        rc = err_set(e, ERR_INPUT, "%s: JSON: %zu keys, expected base, config and vocab",
                     t->map.path, json_object_size(root));
    if (!rc) {
        h->vocab = json_integer_value(vocab);
        h->config = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        if (!h->config) rc = err_set(e, ERR_NOMEM, "out of memory for %s", t->map.path);
    }
    json_decref(root);
    return rc;
}

/* n is bounded by the size of the file. */
static int read_ids(struct trajectory *t, const uint8_t *at, size_t n, struct err *e) {
    if (!n) return 0;
    uint32_t *ids = malloc(n * sizeof *ids);
    if (!ids) return err_set(e, ERR_NOMEM, "out of memory for %s", t->map.path);
    t->head.ids = ids;
    t->head.n_ids = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        ids[i] = (uint32_t)binary_get(at + 4 * i, 4);
        if (ids[i] >= t->head.vocab || (i && ids[i] <= ids[i - 1]))
            return err_set(e, ERR_INPUT,
                           "%s: id %zu of the vocabulary at offset %zu is %u, expected ascending "
                           "ids below %lld",
                           t->map.path, i, (size_t)(at - t->map.data) + 4 * i, ids[i],
                           (long long)t->head.vocab);
    }
    return 0;
}

static int read_head(struct trajectory *t, struct err *e) {
    const uint8_t *d = t->map.data;
    const size_t size = t->map.size;
    int version;
    int rc = binary_check(&t->map, &kind, &version, e);
    if (rc) return rc;
    const uint64_t json = binary_get(d + 12, 4), n = binary_get(d + 24, 4);
    t->head.extra = version == WITH_EXTRA;
    if (json > MAX_JSON || json > size - HEADER || n > (size - HEADER - json) / 4)
        return err_set(e, ERR_INPUT,
                       "%s: head of %" PRIu64 " bytes of JSON (offset 12) and %" PRIu64
                       " ids (offset 24) does not fit into the file of %zu bytes",
                       t->map.path, json, n, size);
    t->begin = (size_t)(HEADER + json + 4 * n);
    if (XXH3_64bits(d + HEADER, t->begin - HEADER) != binary_get(d + 16, 8))
        return err_set(e, ERR_INPUT, "%s: checksum of the head at offset 16 is wrong", t->map.path);
    rc = read_json(t, d + HEADER, (size_t)json, e);
    return rc ? rc : read_ids(t, d + HEADER + json, (size_t)n, e);
}

/* New, of *bytes. path: for messages. */
static int make_head(const struct trajectory_head *h, const char *path, uint8_t **head,
                     size_t *bytes, struct err *e) {
    char *json = NULL;
    int rc = 0;
    assert(h->vocab > 0 && h->n_ids <= h->vocab);
    const int n =
        asprintf(&json, "{\"base\": \"%016" PRIx64 "\", \"config\": %s, \"vocab\": %lld}\n",
                 h->base_hash, h->config, (long long)h->vocab);
    if (n < 0) return err_set(e, ERR_NOMEM, "out of memory for %s", path); /* json is undefined */
    if (n > MAX_JSON)
        TRY(err_set(e, ERR_USAGE, "%s: the options of the run take %d bytes, a trajectory holds %d",
                    path, n, MAX_JSON));
    *bytes = HEADER + (size_t)n + 4 * (size_t)h->n_ids;
    uint8_t *d = *head = malloc(*bytes);
    if (!d) TRY(err_set(e, ERR_NOMEM, "out of memory for %s", path));
    binary_begin(d, &kind, h->extra ? WITH_EXTRA : 1);
    memcpy(d + HEADER, json, (size_t)n);
    for (int64_t i = 0; i < h->n_ids; i++) binary_put(d + HEADER + n + 4 * i, h->ids[i], 4);
    binary_put(d + 12, (uint64_t)n, 4);
    binary_put(d + 16, XXH3_64bits(d + HEADER, *bytes - HEADER), 8);
    binary_put(d + 24, (uint64_t)h->n_ids, 4);
out:
    free(json);
    return rc;
}

/* ---- records --------------------------------------------------------------------------------- */

/* Where the directions begin. */
static size_t fixed(const struct trajectory *t) {
    return FIXED + (t->head.extra ? COUNT : 0);
}

static uint64_t extras(const struct trajectory *t, const uint8_t *at) {
    return t->head.extra ? binary_get(at + FIXED, COUNT) : 0;
}

static size_t record_bytes(const struct trajectory *t, uint64_t n, uint64_t extra) {
    return fixed(t) + n * DIRECTION + extra * sizeof(float) + SUM;
}

static size_t least_bytes(const struct trajectory *t) {
    return record_bytes(t, 1, 0);
}

/* Bytes of the record at `at`, of which at least the least are there; 0: what it says of itself
 * cannot be. */
static size_t bytes_said(const struct trajectory *t, const uint8_t *at) {
    const uint64_t n = binary_get(at + 8, 4), m = extras(t, at);
    const bool can_be = n >= 1 && n <= TRAJECTORY_MAX_DIRECTIONS && m <= TRAJECTORY_MAX_EXTRA;
    return can_be ? record_bytes(t, n, m) : 0;
}

static uint32_t record_sum(const uint8_t *at, size_t bytes) {
    return (uint32_t)XXH3_64bits(at, bytes - SUM);
}

/* Bytes of the record at `at`, of which `left` are there, or 0 if it is not whole. */
static size_t record_whole(const struct trajectory *t, const uint8_t *at, size_t left) {
    if (left < least_bytes(t)) return 0;
    const size_t bytes = bytes_said(t, at);
    if (!bytes || bytes > left) return 0;
    return binary_get(at + bytes - SUM, SUM) == record_sum(at, bytes) ? bytes : 0;
}

/* A whole record says what an update can be. */
static int check_record(const struct trajectory *t, size_t offset, struct err *e) {
    const uint8_t *at = t->map.data + offset;
    const uint64_t step = binary_get(at, 4), n = binary_get(at + 8, 4);
    const double lr = binary_f64(at + 16);
    if (step != (uint64_t)t->records)
        return err_set(e, ERR_INPUT,
                       "%s: record at offset %zu is of step %" PRIu64 ", expected %lld",
                       t->map.path, offset, step, (long long)t->records);
    if (!binary_get(at + 4, 4))
        return err_set(e, ERR_INPUT,
                       "%s: record of step %" PRIu64 " at offset %zu: 0 micro-batches", t->map.path,
                       step, offset);
    if (!isfinite(lr))
        return err_set(e, ERR_INPUT,
                       "%s: record of step %" PRIu64
                       " at offset %zu: the learning rate is not a finite number",
                       t->map.path, step, offset);
    const uint8_t *of = at + fixed(t);
    for (uint64_t d = 0; d < n; d++)
        if (!isfinite(binary_f32(of + d * DIRECTION + 8)))
            return err_set(e, ERR_INPUT,
                           "%s: record of step %" PRIu64 " at offset %zu: coefficient %" PRIu64
                           " is not a finite number",
                           t->map.path, step, offset, d);
    for (uint64_t k = 0; k < extras(t, at); k++)
        if (!isfinite(binary_f32(of + n * DIRECTION + 4 * k)))
            return err_set(e, ERR_INPUT,
                           "%s: record of step %" PRIu64 " at offset %zu: number %" PRIu64
                           " behind its coefficients is not a finite one",
                           t->map.path, step, offset, k);
    return 0;
}

/* Looks for a whole record of a later step behind a place that holds none: then that place is
 * damage, and not the end of a write that was cut off. A file that is made so that every byte looks
 * like a record of its own would take forever: what is looked at is bounded, and beyond it counts
 * as damage. */
static bool good_data_follows(const struct trajectory *t, size_t offset) {
    uint64_t budget = (uint64_t)1 << 30;
    for (size_t p = offset + 1; p + least_bytes(t) <= t->map.size; p++) {
        const uint8_t *at = t->map.data + p;
        const uint64_t step = binary_get(at, 4);
        const size_t bytes = bytes_said(t, at);
        if (step < (uint64_t)t->records || !bytes ||
            step - (uint64_t)t->records > (p - offset) / least_bytes(t) + 1 ||
            bytes > t->map.size - p)
            continue;
        if (bytes > budget) return true;
        budget -= bytes;
        if (record_whole(t, at, t->map.size - p)) return true;
    }
    return false;
}

/* Checks everything behind the head, counts the records and finds a torn end. */
static int scan(struct trajectory *t, struct err *e) {
    size_t at = t->begin, bytes;
    while ((bytes = record_whole(t, t->map.data + at, t->map.size - at)) != 0) {
        const int rc = check_record(t, at, e);
        if (rc) return rc;
        const int n = (int)binary_get(t->map.data + at + 8, 4);
        const int m = (int)extras(t, t->map.data + at);
        if (n > t->n_max) t->n_max = n;
        if (m > t->extra_max) t->extra_max = m;
        at += bytes;
        t->records++;
    }
    t->end = at;
    t->torn_at = at;
    t->torn = t->map.size - at;
    if (t->torn && good_data_follows(t, at))
        return err_set(e, ERR_INPUT,
                       "%s: record of step %lld at offset %zu is damaged (length or checksum), and "
                       "more records follow it",
                       t->map.path, (long long)t->records, at);
    return 0;
}

static int load(struct trajectory *t, const char *path, struct err *e) {
    int rc;
    *t = (struct trajectory){0};
    TRY(file_map_open(&t->map, path, e));
    TRY(read_head(t, e));
    TRY(scan(t, e));
out:
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

int trajectory_open(struct trajectory *t, const char *path, struct err *e) {
    int rc;
    TRY(load(t, path, e));
    t->next = t->begin;
    t->seed = malloc((size_t)(t->n_max + 1) * sizeof *t->seed);
    t->coef = malloc((size_t)(t->n_max + 1) * sizeof *t->coef);
    t->extra = malloc((size_t)(t->extra_max + 1) * sizeof *t->extra);
    if (!t->seed || !t->coef || !t->extra) rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
out:
    if (rc) trajectory_close(t);
    return rc;
}

bool trajectory_next(struct trajectory *t, struct zo_record *r) {
    if (t->next == t->end) return false;
    const uint8_t *at = t->map.data + t->next;
    *r = (struct zo_record){.step = (int64_t)binary_get(at, 4),
                            .accum = (int64_t)binary_get(at + 4, 4),
                            .n = (int)binary_get(at + 8, 4),
                            .loss = binary_f32(at + 12),
                            .lr = binary_f64(at + 16),
                            .seconds = binary_f32(at + 24),
                            .seed = t->seed,
                            .coef = t->coef,
                            .n_extra = (int)extras(t, at),
                            .extra = t->extra};
    const uint8_t *of = at + fixed(t);
    for (int d = 0; d < r->n; d++, of += DIRECTION) {
        t->seed[d] = binary_get(of, 8);
        t->coef[d] = binary_f32(of + 8);
    }
    for (int k = 0; k < r->n_extra; k++, of += 4) t->extra[k] = binary_f32(of);
    t->next += record_bytes(t, (uint64_t)r->n, (uint64_t)r->n_extra);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

int trajectory_create(struct trajectory *t, const char *path, const struct trajectory_head *h,
                      struct err *e) {
    int rc;
    uint8_t *head = NULL;
    size_t bytes = 0;
    *t = (struct trajectory){.head.extra = h->extra};
    TRY(make_head(h, path, &head, &bytes, e));
    TRY(record_file_create(&t->file, path, head, bytes, e));
out:
    free(head);
    if (rc) trajectory_close(t);
    return rc;
}

int trajectory_append_open(struct trajectory *t, const char *path, struct err *e) {
    int rc;
    TRY(load(t, path, e));
    file_map_close(&t->map);
    TRY(record_file_open(&t->file, path, e));
    TRY(record_file_cut(&t->file, t->end, e));
out:
    if (rc) trajectory_close(t);
    return rc;
}

int trajectory_cut(struct trajectory *t, int64_t records, struct err *e) {
    int rc;
    struct trajectory old = {0};
    struct zo_record r;
    assert(t->file.writing && records <= t->records);
    TRY(trajectory_open(&old, t->file.path, e));
    for (int64_t i = 0; i < records; i++)
        if (!trajectory_next(&old, &r)) break;
    TRY(record_file_cut(&t->file, old.next, e));
    t->records = records;
out:
    trajectory_close(&old);
    return rc;
}

static void fill(const struct trajectory *t, uint8_t *at, const struct zo_record *r) {
    const size_t bytes = record_bytes(t, (uint64_t)r->n, (uint64_t)r->n_extra);
    uint8_t *of = at + fixed(t);
    binary_put(at, (uint64_t)r->step, 4);
    binary_put(at + 4, (uint64_t)r->accum, 4);
    binary_put(at + 8, (uint64_t)r->n, 4);
    binary_put_f32(at + 12, (float)r->loss);
    binary_put_f64(at + 16, r->lr);
    binary_put_f32(at + 24, (float)r->seconds);
    if (t->head.extra) binary_put(at + FIXED, (uint64_t)r->n_extra, COUNT);
    for (int d = 0; d < r->n; d++, of += DIRECTION) {
        assert(isfinite(r->coef[d]));
        binary_put(of, r->seed[d], 8);
        binary_put_f32(of + 8, r->coef[d]);
    }
    for (int k = 0; k < r->n_extra; k++, of += 4) {
        assert(isfinite(r->extra[k]));
        binary_put_f32(of, r->extra[k]);
    }
    binary_put(of, record_sum(at, bytes), SUM);
}

int trajectory_append(struct trajectory *t, const struct zo_record *r, struct err *e) {
    assert(r->step == t->records && r->step < UINT32_MAX && isfinite(r->lr));
    assert(r->accum > 0 && r->accum <= UINT32_MAX);
    assert(r->n > 0 && r->n <= TRAJECTORY_MAX_DIRECTIONS);
    assert(r->n_extra >= 0 && r->n_extra <= (t->head.extra ? TRAJECTORY_MAX_EXTRA : 0));
    const size_t bytes = record_bytes(t, (uint64_t)r->n, (uint64_t)r->n_extra);
    if (bytes > t->buf_bytes) {
        uint8_t *more = realloc(t->buf, bytes);
        if (!more) return err_set(e, ERR_NOMEM, "out of memory for %s", t->file.path);
        t->buf = more;
        t->buf_bytes = bytes;
    }
    fill(t, t->buf, r);
    const int rc = record_file_append(&t->file, t->buf, bytes, e);
    if (!rc) t->records++;
    return rc;
}

int trajectory_sync(struct trajectory *t, struct err *e) {
    return record_file_sync(&t->file, e);
}

void trajectory_close(struct trajectory *t) {
    union { /* free takes the pointers without their const */
        const void *in;
        void *out;
    } config = {t->head.config}, ids = {t->head.ids};
    record_file_close(&t->file);
    file_map_close(&t->map);
    free(config.out);
    free(ids.out);
    free(t->seed);
    free(t->coef);
    free(t->extra);
    free(t->buf);
    *t = (struct trajectory){0};
}
