#include "textin.h"
#include "magic.h"
#include "shard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define RAW_BYTES ((size_t)1 << 17)
#define READ_STEP ((size_t)1 << 20)

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
    if (in->tick) in->tick(in->ctx, in->done);
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

/* Unpacking ----------------------------------------------------------------------------------- */

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

/* Offset in the file of the next byte to unpack. */
static uint64_t packed_at(const struct textin *in) {
    return in->done - (in->n - in->pos);
}

static int damaged(const struct textin *in, const char *what, struct err *e) {
    return err_set(e, ERR_INPUT, "%s is damaged: %s near byte %llu of the compressed data",
                   in->name, what, (unsigned long long)packed_at(in));
}

static int cut_off(const struct textin *in, const char *inside, struct err *e) {
    return err_set(e, ERR_INPUT, "%s is cut off: it ends at byte %llu, inside a %s", in->name,
                   (unsigned long long)in->done, inside);
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
        in->pos = from.pos;
        if (ZSTD_isError(left)) return damaged(in, ZSTD_getErrorName(left), e);
        in->in_frame = left != 0;
        /* Room is left and nothing can be flushed any more: the rest of the frame is missing. */
        if (dry && in->in_frame && to.pos < to.size) return cut_off(in, "zstd frame", e);
    }
    *got = to.pos;
    return 0;
}

/* inflate cannot go on; Z_BUF_ERROR: the file ends. Of a member it reads two bytes of
 * magic first. */
static int gzip_error(const struct textin *in, int code, struct err *e) {
    if (code == Z_MEM_ERROR)
        return err_set(e, ERR_NOMEM, "no memory to decompress %s", in->name);
    if (in->member_at && packed_at(in) - in->member_at <= 2)
        return err_set(e, ERR_INPUT,
                       "%s is damaged: what follows the gzip data from byte %llu on is no gzip "
                       "data",
                       in->name, (unsigned long long)in->member_at);
    if (code == Z_BUF_ERROR) return cut_off(in, "gzip member", e);
    return damaged(in, in->gzip->msg ? in->gzip->msg : "broken gzip data", e);
}

static int read_gzip(struct textin *in, char *text, size_t cap, size_t *got, struct err *e) {
    z_stream *z = in->gzip;
    for (*got = 0; *got < cap;) {
        int rc = in->pos == in->n && !in->end ? fill_raw(in, 1, e) : 0;
        if (rc) return rc;
        const bool dry = in->pos == in->n;
        if (dry && !in->in_frame) break;
        if (!in->in_frame) {
            in->member_at = packed_at(in);
            inflateReset(z);
        }
        z->next_in = in->raw + in->pos;
        z->avail_in = (uInt)(in->n - in->pos);
        z->next_out = (Bytef *)text + *got;
        z->avail_out = cap - *got < READ_STEP ? (uInt)(cap - *got) : (uInt)READ_STEP;
        const size_t room = z->avail_out;
        const int code = inflate(z, Z_NO_FLUSH);
        in->pos = in->n - z->avail_in;
        *got += room - z->avail_out;
        in->in_frame = code != Z_STREAM_END;
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return gzip_error(in, code, e);
        if (dry && in->in_frame && z->avail_out) return gzip_error(in, Z_BUF_ERROR, e);
    }
    return 0;
}

static int read_packed(struct textin *in, char *text, size_t cap, size_t *got, struct err *e) {
    return in->gzip   ? read_gzip(in, text, cap, got, e)
           : in->zstd ? read_zstd(in, text, cap, got, e)
                      : read_plain(in, text, cap, got, e);
}

/* Opening ------------------------------------------------------------------------------------- */

static int start_unpacking(struct textin *in, enum magic_kind kind, struct err *e) {
    bool ready;
    if (kind == MAGIC_ZSTD) {
        ready = (in->zstd = ZSTD_createDCtx());
    } else {
        in->gzip = calloc(1, sizeof *in->gzip);
        ready = in->gzip && inflateInit2(in->gzip, 16 + MAX_WBITS) == Z_OK; /* 16: gzip only */
    }
    return ready ? 0 : err_set(e, ERR_NOMEM, "no memory to decompress %s", in->name);
}

/* A shard that is damaged is said to be that first. */
static int refuse(const struct textin *in, const char *how, const struct magic *m, struct err *e) {
    const int rc = *how ? 0 : shard_whole(in->name, e);
    if (rc) return rc;
    return err_set(e, ERR_INPUT, "%s%s %s%s%s", in->name, how, m->is, m->advice ? ": " : "",
                   m->advice ? m->advice : "");
}

/* The name promises what the content is not. */
static int check_suffix(const struct textin *in, const char *path, struct err *e) {
    const char *dot = strrchr(path, '.'),
               *format = !dot                  ? NULL
                         : !strcmp(dot, ".zst") ? "zstd"
                         : !strcmp(dot, ".gz")  ? "gzip"
                                                : NULL;
    if (!format) return 0;
    if (in->n < 4)
        return err_set(e, ERR_INPUT, "%s holds %zu bytes, too few for %s data", in->name, in->n,
                       format);
    return err_set(e, ERR_INPUT,
                   "%s is not compressed by %s: it begins with the bytes %02x %02x %02x %02x, "
                   "expected %s",
                   in->name, format, in->raw[0], in->raw[1], in->raw[2], in->raw[3],
                   *format == 'z' ? "28 b5 2f fd" : "1f 8b 08");
}

/* What the file is, and what is in it: a compressed text may turn out to be an archive. */
static int look(struct textin *in, const char *path, struct err *e) {
    int rc = fill_raw(in, MAGIC_BYTES, e);
    if (rc) return rc;
    const struct magic *m = magic_find(in->raw, in->n);
    if (m && m->kind != MAGIC_GZIP && m->kind != MAGIC_ZSTD) return refuse(in, "", m, e);
    if (!m) {
        in->pos = magic_mark(in->raw, in->n);
        return check_suffix(in, path, e);
    }
    if ((rc = start_unpacking(in, m->kind, e))) return rc;
    in->head = malloc(MAGIC_BYTES);
    if (!in->head) return err_set(e, ERR_NOMEM, "no memory to read %s", in->name);
    if ((rc = read_packed(in, in->head, MAGIC_BYTES, &in->head_n, e))) return rc;
    m = magic_find(in->head, in->head_n);
    if (m) return refuse(in, ", unpacked,", m, e);
    in->head_pos = magic_mark(in->head, in->head_n);
    return 0;
}

/* A device that is no terminal has no end, or none that anybody wants (/dev/zero). */
static int check_device(const struct textin *in, struct err *e) {
    struct stat st;
    if (fstat(in->fd, &st) || !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) || isatty(in->fd))
        return 0;
    return err_set(e, ERR_INPUT, "%s is a device, expected a file or a pipe", in->name);
}

int textin_open(struct textin *in, const char *path, struct err *e) {
    bool standard = !strcmp(path, "-");
    *in = (struct textin){.fd = -1, .name = standard ? "standard input" : path};
    in->raw = malloc(RAW_BYTES);
    if (!in->raw) return err_set(e, ERR_NOMEM, "no memory to read %s", in->name);
    in->size = textin_size(path);
    in->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc = in->fd < 0 ? err_errno(e, ERR_IO, "cannot open %s", path) : check_device(in, e);
    if (!rc) rc = look(in, path, e);
    if (rc) textin_close(in);
    return rc;
}

void textin_close(struct textin *in) {
    if (in->raw && in->fd >= 0 && in->fd != STDIN_FILENO) close(in->fd);
    ZSTD_freeDCtx(in->zstd);
    if (in->gzip) inflateEnd(in->gzip);
    free(in->gzip);
    free(in->head);
    free(in->raw);
    *in = (struct textin){.fd = -1};
}

/* Reading ------------------------------------------------------------------------------------- */

int textin_read(struct textin *in, char *text, size_t cap, size_t *got, struct err *e) {
    size_t n = in->head_n - in->head_pos;
    if (n > cap) n = cap;
    if (n) memcpy(text, in->head + in->head_pos, n);
    in->head_pos += n;
    *got = 0;
    const int rc = read_packed(in, text + n, cap - n, got, e);
    *got += n;
    in->text += *got;
    textscan_add(&in->scan, text, *got);
    return rc;
}

int textin_read_all(const char *path, size_t limit, char **text, size_t *bytes, struct err *e) {
    struct textin in = {0};
    char *buf = NULL;
    size_t n = 0, got = 1;
    int rc;
    *text = NULL;
    TRY(textin_open(&in, path, e));
    while (got) {
        char *more = realloc(buf, n + READ_STEP + 1);
        if (!more) {
            rc = err_set(e, ERR_NOMEM, "no memory to read %s", in.name);
            goto out;
        }
        buf = more;
        TRY(textin_read(&in, buf + n, READ_STEP, &got, e));
        n += got;
        if (n > limit) {
            rc = err_set(e, ERR_INPUT, "%s is longer than %zu bytes, the most accepted here",
                         in.name, limit);
            goto out;
        }
    }
    buf[n] = '\0';
    *text = buf;
    *bytes = n;
    buf = NULL;
out:
    free(buf);
    textin_close(&in);
    return rc;
}
