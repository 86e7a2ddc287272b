#include "clock_record.h"

#include "binary.h"

#include <assert.h>
#include <inttypes.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { VERSION = 1, HEADER = 16, RECORD = 16, SUMMED = 12 };
static const struct binary_kind kind = {.magic = "DUETCLCK", .is = "the clock of a run",
                                        .versions = VERSION, .head = HEADER, .zero = 12};

/* Of a record. */
static double share_at(const uint8_t *at) {
    return binary_f64(at);
}

static float scale_at(const uint8_t *at) {
    return binary_f32(at + 8);
}

/* A record belongs to its place: one that was moved has another sum. */
static uint32_t sum(const uint8_t *at, uint64_t number) {
    return (uint32_t)XXH3_64bits_withSeed(at, SUMMED, number);
}

static uint64_t place(int64_t number) {
    return HEADER + RECORD * (uint64_t)number;
}

/* ---- checking -------------------------------------------------------------------------------- */

/* The file has room for it. */
static bool is_whole(const struct clock_record *c, int64_t number) {
    const uint8_t *at = c->map.data + place(number);
    return binary_get(at + SUMMED, 4) == sum(at, (uint64_t)number);
}

/* A whole record says what can be. */
static int check_record(const struct clock_record *c, int64_t number, struct err *e) {
    const uint8_t *at = c->map.data + place(number);
    const double share = share_at(at);
    const float scale = scale_at(at);
    if (c->ended)
        return err_set(e, ERR_INPUT,
                       "%s: record %lld at offset %" PRIu64 " comes behind the end of the run",
                       c->map.path, (long long)number, place(number));
    if (!(share >= 0 && share <= 1))
        return err_set(e, ERR_INPUT,
                       "%s: record %lld at offset %" PRIu64 ": its share is not from 0 to 1",
                       c->map.path, (long long)number, place(number));
    if (!(scale >= 0 && scale <= 1))
        return err_set(e, ERR_INPUT,
                       "%s: record %lld at offset %" PRIu64 ": its factor is not from 0 to 1",
                       c->map.path, (long long)number, place(number));
    return 0;
}

/* Counts the records and finds a torn end. */
static int scan(struct clock_record *c, struct err *e) {
    const int64_t room = (int64_t)((c->map.size - HEADER) / RECORD);
    int64_t n = 0;
    for (; n < room && is_whole(c, n); n++) {
        const int rc = check_record(c, n, e);
        if (rc) return rc;
        if (scale_at(c->map.data + place(n)) > 0) {
            c->updates++;
        } else {
            c->ended = true;
            c->end = share_at(c->map.data + place(n));
        }
    }
    for (int64_t later = n + 1; later < room; later++)
        if (is_whole(c, later))
            return err_set(e, ERR_INPUT,
                           "%s: record %lld at offset %" PRIu64
                           " is damaged (checksum), and more records follow it",
                           c->map.path, (long long)n, place(n));
    c->torn = c->map.size - place(n);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int clock_record_open(struct clock_record *c, const char *path, struct err *e) {
    int rc;
    int version;
    *c = (struct clock_record){0};
    TRY(file_map_open(&c->map, path, e));
    TRY(binary_check(&c->map, &kind, &version, e));
    TRY(scan(c, e));
out:
    if (rc) clock_record_close(c);
    return rc;
}

double clock_record_share(const struct clock_record *c, int64_t update) {
    if (update < c->updates) return share_at(c->map.data + place(update));
    return c->ended ? c->end : 1;
}

double clock_record_scale(const struct clock_record *c, int64_t update) {
    assert(update >= 0 && update < c->updates);
    return (double)scale_at(c->map.data + place(update));
}

int clock_record_copy(const struct clock_record *c, const char *path, struct err *e) {
    struct file_out f = {0};
    const int rc = file_out_open(&f, path, e);
    if (rc) return rc;
    file_out_write(&f, c->map.data, (size_t)place(c->updates + c->ended));
    return file_out_commit(&f, e);
}

/* ---- writing --------------------------------------------------------------------------------- */

int clock_record_create(struct clock_record *c, const char *path, struct err *e) {
    uint8_t head[HEADER];
    *c = (struct clock_record){0};
    binary_begin(head, &kind, VERSION);
    return record_file_create(&c->file, path, head, sizeof head, e);
}

int clock_record_append_open(struct clock_record *c, const char *path, struct err *e) {
    int rc;
    TRY(clock_record_open(c, path, e));
    file_map_close(&c->map);
    TRY(record_file_open(&c->file, path, e));
    TRY(record_file_cut(&c->file, place(c->updates + c->ended), e));
out:
    if (rc) clock_record_close(c);
    return rc;
}

static int append(struct clock_record *c, double share, float scale, struct err *e) {
    uint8_t r[RECORD];
    assert(!c->ended && share >= 0 && share <= 1);
    binary_put_f64(r, share);
    binary_put_f32(r + 8, scale);
    binary_put(r + SUMMED, sum(r, (uint64_t)c->updates), 4);
    return record_file_append(&c->file, r, sizeof r, e);
}

int clock_record_append(struct clock_record *c, double share, double lr_scale, struct err *e) {
    assert((float)lr_scale > 0 && lr_scale <= 1);
    const int rc = append(c, share, (float)lr_scale, e);
    if (!rc) c->updates++;
    return rc;
}

int clock_record_end(struct clock_record *c, double share, struct err *e) {
    const int rc = append(c, share, 0, e);
    if (rc) return rc;
    c->ended = true;
    c->end = share;
    return 0;
}

int clock_record_cut(struct clock_record *c, int64_t updates, struct err *e) {
    assert(updates <= c->updates);
    const int rc = record_file_cut(&c->file, place(updates), e);
    if (rc) return rc;
    c->updates = updates;
    c->ended = false;
    return 0;
}

int clock_record_sync(struct clock_record *c, struct err *e) {
    return record_file_sync(&c->file, e);
}

void clock_record_close(struct clock_record *c) {
    record_file_close(&c->file);
    file_map_close(&c->map);
    *c = (struct clock_record){0};
}
