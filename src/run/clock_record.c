#include "clock_record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const char MAGIC[8] = {'D', 'U', 'E', 'T', 'C', 'L', 'C', 'K'};
enum { VERSION = 1, HEADER = 16, RECORD = 16, SUMMED = 12 };

static void put(uint8_t *at, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(x >> (8 * i));
}

static uint64_t get(const uint8_t *at, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)at[i] << (8 * i);
    return x;
}

static double share_at(const uint8_t *at) {
    const uint64_t bits = get(at, 8);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float scale_at(const uint8_t *at) {
    const uint32_t bits = (uint32_t)get(at + 8, 4);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A record belongs to its place: one that was moved has another sum. */
static uint32_t sum(const uint8_t *at, uint64_t number) {
    return (uint32_t)XXH3_64bits_withSeed(at, SUMMED, number);
}

static uint64_t place(int64_t number) {
    return HEADER + RECORD * (uint64_t)number;
}

/* ---- checking -------------------------------------------------------------------------------- */

static int check_head(const struct clock_record *c, struct err *e) {
    const uint8_t *d = c->map.data;
    if (c->map.size < HEADER || memcmp(d, MAGIC, sizeof MAGIC))
        return err_set(e, ERR_INPUT, "%s: not the clock of a run (magic at offset 0)", c->path);
    if (get(d + 8, 4) != VERSION)
        return err_set(e, ERR_INPUT, "%s: version %" PRIu64 " at offset 8, expected %d", c->path,
                       get(d + 8, 4), VERSION);
    if (get(d + 12, 4))
        return err_set(e, ERR_INPUT, "%s: %" PRIu64 " at offset 12, expected 0", c->path,
                       get(d + 12, 4));
    return 0;
}

/* The file has room for it. */
static bool is_whole(const struct clock_record *c, int64_t number) {
    const uint8_t *at = c->map.data + place(number);
    return get(at + SUMMED, 4) == sum(at, (uint64_t)number);
}

/* A whole record says what can be. */
static int check_record(const struct clock_record *c, int64_t number, struct err *e) {
    const uint8_t *at = c->map.data + place(number);
    const double share = share_at(at);
    const float scale = scale_at(at);
    if (c->ended)
        return err_set(e, ERR_INPUT,
                       "%s: record %lld at offset %" PRIu64 " comes behind the end of the run",
                       c->path, (long long)number, place(number));
    if (!(share >= 0 && share <= 1))
        return err_set(e, ERR_INPUT,
                       "%s: record %lld at offset %" PRIu64 ": its share is not from 0 to 1",
                       c->path, (long long)number, place(number));
    if (!(scale >= 0 && scale <= 1))
        return err_set(e, ERR_INPUT,
                       "%s: record %lld at offset %" PRIu64 ": its factor is not from 0 to 1",
                       c->path, (long long)number, place(number));
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
                           c->path, (long long)n, place(n));
    c->torn = c->map.size - place(n);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int clock_record_open(struct clock_record *c, const char *path, struct err *e) {
    int rc;
    *c = (struct clock_record){.path = strdup(path)};
    if (!c->path) return err_set(e, ERR_NOMEM, "out of memory for %s", path);
    TRY(file_map_open(&c->map, path, e));
    TRY(check_head(c, e));
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

static int open_end(struct clock_record *c, struct err *e) {
    c->fd = open(c->path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (c->fd < 0) return err_errno(e, ERR_IO, "cannot write %s", c->path);
    c->writing = true;
    return 0;
}

int clock_record_create(struct clock_record *c, const char *path, struct err *e) {
    int rc;
    struct file_out f = {0};
    uint8_t head[HEADER] = {0};
    *c = (struct clock_record){.path = strdup(path)};
    if (!c->path) return err_set(e, ERR_NOMEM, "out of memory for %s", path);
    memcpy(head, MAGIC, sizeof MAGIC);
    put(head + 8, VERSION, 4);
    TRY(file_out_open(&f, path, e));
    file_out_write(&f, head, sizeof head);
    TRY(file_out_commit(&f, e));
    TRY(open_end(c, e));
out:
    file_out_discard(&f);
    if (rc) clock_record_close(c);
    return rc;
}

static int truncate_to(struct clock_record *c, uint64_t end, struct err *e) {
    if (ftruncate(c->fd, (off_t)end) || fsync(c->fd))
        return err_errno(e, ERR_IO, "cannot cut %s at offset %" PRIu64, c->path, end);
    return 0;
}

int clock_record_append_open(struct clock_record *c, const char *path, struct err *e) {
    int rc;
    TRY(clock_record_open(c, path, e));
    file_map_close(&c->map);
    TRY(open_end(c, e));
    if (c->torn) TRY(truncate_to(c, place(c->updates + c->ended), e));
out:
    if (rc) clock_record_close(c);
    return rc;
}

static int append(struct clock_record *c, double share, float scale, struct err *e) {
    uint8_t r[RECORD];
    uint64_t bits;
    uint32_t factor;
    assert(c->writing && !c->ended && share >= 0 && share <= 1);
    memcpy(&bits, &share, sizeof bits);
    memcpy(&factor, &scale, sizeof factor);
    put(r, bits, 8);
    put(r + 8, factor, 4);
    put(r + SUMMED, sum(r, (uint64_t)c->updates), 4);
    for (size_t done = 0; done < sizeof r;) {
        const ssize_t n = write(c->fd, r + done, sizeof r - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (!n) errno = EIO;
            err_errno(e, ERR_IO, "cannot write %s", c->path);
            struct err ignored;
            if (done) truncate_to(c, place(c->updates), &ignored);
            return e->code;
        }
        done += (size_t)n;
    }
    return 0;
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
    assert(c->writing && updates <= c->updates);
    const int rc = truncate_to(c, place(updates), e);
    if (rc) return rc;
    c->updates = updates;
    c->ended = false;
    return 0;
}

int clock_record_sync(struct clock_record *c, struct err *e) {
    assert(c->writing);
    return fsync(c->fd) ? err_errno(e, ERR_IO, "cannot write %s", c->path) : 0;
}

void clock_record_close(struct clock_record *c) {
    if (c->writing) close(c->fd);
    file_map_close(&c->map);
    free(c->path);
    *c = (struct clock_record){0};
}
