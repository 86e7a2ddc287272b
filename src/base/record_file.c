#include "record_file.h"

#include "file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening -------------------------------------------------------------------------------------- */

static int cannot_write(const struct record_file *f, struct err *e) {
    return err_errno(e, ERR_IO, "cannot write %s", f->path);
}

static int look(struct record_file *f, struct err *e) {
    struct stat st;
    if (fstat(f->fd, &st)) return cannot_write(f, e);
    f->regular = S_ISREG(st.st_mode);
    f->size = f->regular ? (uint64_t)st.st_size : 0;
    return 0;
}

/* f has its path. */
static int open_end(struct record_file *f, int flags, struct err *e) {
    f->fd = open(f->path, O_RDWR | O_APPEND | O_CLOEXEC | flags, 0666);
    if (f->fd < 0) return cannot_write(f, e);
    f->writing = true;
    return look(f, e);
}

static int name(struct record_file *f, const char *path, struct err *e) {
    *f = (struct record_file){.path = strdup(path)};
    return f->path ? 0 : err_set(e, ERR_NOMEM, "out of memory for %s", path);
}

int record_file_create(struct record_file *f, const char *path, const void *head, size_t bytes,
                       struct err *e) {
    int rc;
    struct file_out out = {0};
    TRY(name(f, path, e));
    TRY(file_out_open(&out, path, e));
    file_out_write(&out, head, bytes);
    TRY(file_out_commit(&out, e));
    TRY(open_end(f, 0, e));
out:
    if (rc) record_file_close(f);
    return rc;
}

int record_file_open(struct record_file *f, const char *path, struct err *e) {
    int rc;
    const bool there = file_exists(path);
    TRY(name(f, path, e));
    TRY(open_end(f, O_CREAT, e));
    if (!there) TRY(file_sync_name(path, e));
out:
    if (rc) record_file_close(f);
    return rc;
}

int record_file_lock(struct record_file *f, const char *busy, struct err *e) {
    assert(f->writing);
    if (!f->regular) return err_set(e, ERR_INPUT, "%s is no regular file", f->path);
    const int failed = file_lock(f->fd);
    if (failed == EWOULDBLOCK) return err_set(e, ERR_USAGE, "%s: %s", f->path, busy);
    errno = failed;
    if (failed) return err_errno(e, ERR_IO, "cannot lock %s", f->path);
    return look(f, e); /* whoever had it may have written more */
}

void record_file_close(struct record_file *f) {
    if (f->writing) close(f->fd);
    free(f->path);
    *f = (struct record_file){0};
}

/* Writing -------------------------------------------------------------------------------------- */

int record_file_cut(struct record_file *f, uint64_t size, struct err *e) {
    assert(f->writing);
    if (size > f->size)
        return err_set(e, ERR_INPUT,
                       "%s: ends at offset %" PRIu64 ", expected %" PRIu64 " bytes at least",
                       f->path, f->size, size);
    if (size == f->size) return 0;
    if (ftruncate(f->fd, (off_t)size) || fdatasync(f->fd))
        return err_errno(e, ERR_IO, "cannot cut %s at offset %" PRIu64, f->path, size);
    f->size = size;
    return 0;
}

int record_file_append(struct record_file *f, const void *data, size_t bytes, struct err *e) {
    assert(f->writing);
    const uint8_t *at = data;
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(f->fd, at + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (!n) errno = EIO;
            cannot_write(f, e);
            /* half a record would hide later ones */
            if (done) (void)!ftruncate(f->fd, (off_t)f->size);
            return e->code;
        }
        done += (size_t)n;
    }
    f->size += bytes;
    return 0;
}

int record_file_sync(struct record_file *f, struct err *e) {
    assert(f->writing);
    return fdatasync(f->fd) ? cannot_write(f, e) : 0;
}
