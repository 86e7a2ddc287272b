#include "textin.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define RAW_BYTES ((size_t)1 << 17)

uint64_t textin_size(const char *path) {
    struct stat st;
    bool known = strcmp(path, "-") && stat(path, &st) == 0 && S_ISREG(st.st_mode);
    return known ? (uint64_t)st.st_size : 0;
}

static int read_fd(struct textin *in, void *to, size_t cap, size_t *got, struct err *e) {
    ssize_t n;
    do n = read(in->fd, to, cap);
    while (n < 0 && errno == EINTR);
    if (n < 0) return err_errno(e, ERR_IO, "cannot read %s", in->name);
    *got = (size_t)n;
    in->done += *got;
    in->end = n == 0;
    return 0;
}

/* Fills the raw buffer until it holds least bytes or the file ends. */
static int fill_raw(struct textin *in, size_t least, struct err *e) {
    assert(in->pos == in->n && least <= RAW_BYTES);
    in->pos = in->n = 0;
    while (in->n < least && !in->end) {
        size_t got = 0;
        int rc = read_fd(in, in->raw + in->n, RAW_BYTES - in->n, &got, e);
        if (rc) return rc;
        in->n += got;
    }
    return 0;
}

static bool is_zstd(const uint8_t *p, size_t n) {
    uint32_t magic;
    if (n < sizeof magic) return false;
    magic = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return magic == ZSTD_MAGICNUMBER ||
           (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static int choose_kind(struct textin *in, const char *path, struct err *e) {
    int rc = fill_raw(in, 4, e);
    if (rc) return rc;
    if (is_zstd(in->raw, in->n)) {
        in->zstd = ZSTD_createDCtx();
        return in->zstd ? 0 : err_set(e, ERR_NOMEM, "no memory to decompress %s", in->name);
    }
    const char *dot = strrchr(path, '.');
    if (!dot || strcmp(dot, ".zst")) return 0;
    if (in->n < 4)
        return err_set(e, ERR_INPUT, "%s holds %zu bytes, too few for a zstd frame", in->name,
                       in->n);
    return err_set(e, ERR_INPUT,
                   "%s is not compressed by zstd: it begins with the bytes %02x %02x %02x %02x, "
                   "expected 28 b5 2f fd",
                   in->name, in->raw[0], in->raw[1], in->raw[2], in->raw[3]);
}

int textin_open(struct textin *in, const char *path, struct err *e) {
    bool standard = !strcmp(path, "-");
    *in = (struct textin){.fd = -1, .name = standard ? "standard input" : path};
    in->raw = malloc(RAW_BYTES);
    if (!in->raw) return err_set(e, ERR_NOMEM, "no memory to read %s", in->name);
    in->size = textin_size(path);
    in->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc = in->fd < 0 ? err_errno(e, ERR_IO, "cannot open %s", path) : choose_kind(in, path, e);
    if (rc) textin_close(in);
    return rc;
}

void textin_close(struct textin *in) {
    if (in->raw && in->fd >= 0 && in->fd != STDIN_FILENO) close(in->fd);
    ZSTD_freeDCtx(in->zstd);
    free(in->raw);
    *in = (struct textin){.fd = -1};
}

static int read_plain(struct textin *in, char *text, size_t cap, size_t *got, struct err *e) {
    size_t n = in->n - in->pos;
    if (n > cap) n = cap;
    memcpy(text, in->raw + in->pos, n);
    in->pos += n;
    while (n < cap && !in->end) {
        size_t more = 0;
        int rc = read_fd(in, text + n, cap - n, &more, e);
        if (rc) return rc;
        n += more;
    }
    *got = n;
    return 0;
}

static int read_zstd(struct textin *in, char *text, size_t cap, size_t *got, struct err *e) {
    ZSTD_outBuffer to = {text, cap, 0};
    while (to.pos < to.size) {
        int rc = in->pos == in->n && !in->end ? fill_raw(in, 1, e) : 0;
        if (rc) return rc;
        bool dry = in->pos == in->n;
        if (dry && !in->in_frame) break;
        ZSTD_inBuffer from = {in->raw, in->n, in->pos};
        size_t left = ZSTD_decompressStream(in->zstd, &to, &from);
        if (ZSTD_isError(left))
            return err_set(e, ERR_INPUT, "%s is damaged: %s near byte %llu of the compressed data",
                           in->name, ZSTD_getErrorName(left),
                           (unsigned long long)(in->done - in->n + from.pos));
        in->pos = from.pos;
        in->in_frame = left != 0;
        /* Room is left and nothing can be flushed any more: the rest of the frame is missing. */
        if (dry && in->in_frame && to.pos < to.size)
            return err_set(e, ERR_INPUT, "%s is cut off: it ends at byte %llu, inside a zstd frame",
                           in->name, (unsigned long long)in->done);
    }
    *got = to.pos;
    return 0;
}

int textin_read(struct textin *in, char *text, size_t cap, size_t *got, struct err *e) {
    *got = 0;
    int rc = in->zstd ? read_zstd(in, text, cap, got, e) : read_plain(in, text, cap, got, e);
    in->text += *got;
    return rc;
}
