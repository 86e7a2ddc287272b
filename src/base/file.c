#include "file.h"
#include "guard.h"
#include "magic.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Something endless (/dev/zero) must not fill the memory. */
#define UNMAPPED_MAX ((size_t)4 << 30)
#define OUT_BUFFER ((size_t)1 << 18)

/* Reading ------------------------------------------------------------------------------------- */

static int open_input(const char *path, int *fd, struct stat *st, struct err *e) {
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return err_errno(e, ERR_IO, "cannot open %s", path);
    if (fstat(*fd, st) != 0)
        err_errno(e, ERR_IO, "cannot read %s", path);
    else if (S_ISDIR(st->st_mode))
        err_set(e, ERR_IO, "cannot read %s: it is a folder, expected a file", path);
    else
        return 0;
    close(*fd);
    *fd = -1;
    return e->code;
}

static int refuse(const char *path, const struct magic *m, struct err *e) {
    return err_set(e, ERR_INPUT, "%s %s%s%s", path, m->is, m->advice ? ": " : "",
                   m->advice ? m->advice : "");
}

/* What git leaves in place of a large file that was not fetched: a text of at most 1 kB
 * (git-lfs' spec.md). Nobody means to read that. */
static int check_lfs(const char *path, const void *data, size_t size, struct err *e) {
    const struct magic *m = size <= 1024 ? magic_find(data, size) : NULL;
    return m && m->kind == MAGIC_POINTER ? refuse(path, m, e) : 0;
}

/* Everything up to the end of fd into a malloc()ed buffer with a NUL after it. hint: the expected
 * size. */
static int read_all(int fd, const char *path, size_t hint, size_t limit, char **data, size_t *size,
                    struct err *e) {
    size_t cap = (hint < limit ? hint : limit) + 4096, n = 0;
    char *buf = malloc(cap);
    while (buf) {
        ssize_t got = read(fd, buf + n, cap - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            err_errno(e, ERR_IO, "cannot read %s", path);
            free(buf);
            return e->code;
        }
        if (got == 0) {
            buf[n] = 0;
            *data = buf;
            *size = n;
            return 0;
        }
        n += (size_t)got;
        if (n > limit) {
            free(buf);
            return err_set(e, ERR_INPUT, "%s is longer than %zu bytes, the most accepted here",
                           path, limit);
        }
        if (cap - 1 - n < 1024) {
            cap += cap / 2;
            char *more = realloc(buf, cap);
            if (!more) free(buf);
            buf = more;
        }
    }
    return err_set(e, ERR_NOMEM, "no memory to read %s (%zu bytes)", path, cap);
}

int file_map_open(struct file_map *m, const char *path, struct err *e) {
    int fd, rc;
    struct stat st;
    *m = (struct file_map){0};
    if ((rc = open_input(path, &fd, &st, e)) != 0) return rc;
    m->path = strdup(path);
    if (!m->path) {
        rc = err_set(e, ERR_NOMEM, "no memory to open %s", path);
        goto out;
    }
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            m->data = p;
            m->size = (size_t)st.st_size;
            m->mapped = true;
            guard_map(p, m->size, m->path, st.st_dev, st.st_ino);
            rc = check_lfs(path, m->data, m->size, e);
            goto out;
        }
    }
    /* Size 0 is also what files in /proc have, so only reading tells. */
    char *data = NULL;
    TRY(read_all(fd, path, (size_t)st.st_size, UNMAPPED_MAX, &data, &m->size, e));
    m->data = (uint8_t *)data;
    rc = check_lfs(path, m->data, m->size, e);
out:
    close(fd);
    if (rc) file_map_close(m);
    return rc;
}

/* munmap, madvise and free take the pointer without its const. */
union map_data {
    const uint8_t *in;
    void *out;
};

int file_map_open_text(struct file_map *m, const char *path, struct err *e) {
    const int rc = file_map_open(m, path, e);
    if (rc) return rc;
    m->skipped = magic_mark(m->data, m->size);
    m->data += m->skipped;
    m->size -= m->skipped;
    return 0;
}

void file_map_drop(const struct file_map *m, size_t offset, size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = (offset + page - 1) / page * page, end = (offset + bytes) / page * page;
    assert(offset <= m->size && bytes <= m->size - offset && !m->skipped);
    const union map_data at = {m->data + first};
    if (m->mapped && first < end) madvise(at.out, end - first, MADV_DONTNEED);
}

void file_map_close(struct file_map *m) {
    const union map_data data = {m->data ? m->data - m->skipped : NULL};
    if (m->mapped) {
        guard_map_done(data.out);
        munmap(data.out, m->size + m->skipped);
    } else {
        free(data.out);
    }
    free(m->path);
    *m = (struct file_map){0};
}

/* What is no text is named before it is found to be too long. Says nothing about a pipe, where what
 * was read is gone. */
static int check_text(int fd, const char *path, struct err *e) {
    char head[MAGIC_BYTES];
    const ssize_t n = pread(fd, head, sizeof head, 0);
    const struct magic *m = n > 0 ? magic_find(head, (size_t)n) : NULL;
    return m && !magic_is_json(m) ? refuse(path, m, e) : 0;
}

int file_read_text(const char *path, size_t limit, char **text, size_t *size, struct err *e) {
    int fd, rc;
    struct stat st;
    *text = NULL;
    *size = 0;
    if ((rc = open_input(path, &fd, &st, e)) != 0) return rc;
    const size_t hint = st.st_size > 0 ? (size_t)st.st_size : 0;
    rc = check_text(fd, path, e);
    if (!rc) rc = read_all(fd, path, hint, limit, text, size, e);
    close(fd);
    if (rc) return rc;
    const struct magic *m = magic_find(*text, *size); /* of a pipe */
    const size_t mark = magic_mark(*text, *size);
    if (m && !magic_is_json(m)) {
        free(*text);
        *text = NULL;
        return refuse(path, m, e);
    }
    *size -= mark;
    memmove(*text, *text + mark, *size + 1);
    return 0;
}

/* Writing ------------------------------------------------------------------------------------- */

/* The temporary always has the same name, so that a process that was killed leaves at most one, and
 * the next writer reuses it. The lock keeps two writers apart; that the name still means the locked
 * file after locking excludes one that another writer has renamed in between. */
static int open_temp(struct file_out *o, struct err *e) {
    for (int attempt = 0; attempt < 100; attempt++) {
        struct stat mine, named;
        int fd = open(o->temp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0) return err_errno(e, ERR_IO, "cannot write %s", o->path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(fd);
            return err_set(e, ERR_IO, "cannot write %s: another process is writing it", o->path);
        }
        if (fstat(fd, &mine) == 0 && lstat(o->temp, &named) == 0 && S_ISREG(mine.st_mode) &&
            mine.st_ino == named.st_ino && mine.st_dev == named.st_dev && ftruncate(fd, 0) == 0) {
            o->fd = fd;
            guard_temp(o->temp);
            return 0;
        }
        close(fd);
    }
    return err_set(e, ERR_IO, "cannot write %s: %s cannot be used as the temporary file", o->path,
                   o->temp);
}

/* path names a regular file or nothing. */
static int open_replacing(struct file_out *o, const char *path, const struct stat *old,
                          struct err *e) {
    /* Through a symbolic link it is the file behind it that is replaced. */
    if (old) o->path = realpath(path, NULL);
    if (!o->path) o->path = strdup(path);
    if (!o->path || asprintf(&o->temp, "%s" FILE_TEMP_SUFFIX, o->path) < 0) {
        o->temp = NULL; /* asprintf leaves it undefined */
        return err_set(e, ERR_NOMEM, "no memory to write %s", path);
    }
    if (old && access(path, W_OK) != 0) return err_errno(e, ERR_IO, "cannot write %s", path);
    int rc = open_temp(o, e);
    if (!rc && old && fchmod(o->fd, old->st_mode & 0777) != 0)
        rc = err_errno(e, ERR_IO, "cannot set the permissions of %s", o->temp);
    return rc;
}

/* "-", a device or a pipe: /dev/null has to stay what it is, so nothing is renamed onto it. */
static int open_direct(struct file_out *o, const char *path, struct err *e) {
    bool standard = !strcmp(path, "-");
    o->path = strdup(standard ? "standard output" : path);
    if (!o->path) return err_set(e, ERR_NOMEM, "no memory to write %s", path);
    if (standard) fflush(stdout); /* what was printed before stays before */
    o->fd = standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CLOEXEC);
    return o->fd < 0 ? err_errno(e, ERR_IO, "cannot write %s", path) : 0;
}

int file_out_open(struct file_out *o, const char *path, struct err *e) {
    int rc;
    struct stat st;
    *o = (struct file_out){.fd = -1};
    if (!*path) return err_set(e, ERR_IO, "cannot write a file with an empty name");
    bool standard = !strcmp(path, "-"), old = !standard && stat(path, &st) == 0;
    if (old && S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "cannot write %s: it is a folder, expected a file", path);
    o->buf = malloc(OUT_BUFFER);
    if (!o->buf)
        rc = err_set(e, ERR_NOMEM, "no memory to write %s", path);
    else if (standard || (old && !S_ISREG(st.st_mode)))
        rc = open_direct(o, path, e);
    else
        rc = open_replacing(o, path, old ? &st : NULL, e);
    if (rc) file_out_discard(o);
    return rc;
}

int file_out_check(const char *path, struct err *e) {
    struct file_out o;
    struct stat st;
    if (!strcmp(path, "-")) return 0;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return 0;
    const int rc = file_out_open(&o, path, e);
    file_out_discard(&o);
    return rc;
}

static void write_through(struct file_out *o, const uint8_t *p, size_t n) {
    while (n && !o->error) {
        ssize_t done = write(o->fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            o->error = done < 0 ? errno : EIO;
            o->from = p;
            return;
        }
        p += done;
        n -= (size_t)done;
    }
}

static void flush(struct file_out *o) {
    write_through(o, o->buf, o->used);
    o->used = 0;
}

void file_out_write(struct file_out *o, const void *data, size_t bytes) {
    o->offset += bytes;
    if (o->error || !bytes) return;
    if (bytes > OUT_BUFFER - o->used) flush(o);
    if (bytes >= OUT_BUFFER) {
        write_through(o, data, bytes);
        return;
    }
    memcpy(o->buf + o->used, data, bytes);
    o->used += bytes;
}

void file_out_pad(struct file_out *o, size_t align) {
    static const uint8_t zeros[256];
    assert(align && (align & (align - 1)) == 0);
    size_t n = (size_t)(-o->offset & (align - 1));
    while (n) {
        size_t part = n < sizeof zeros ? n : sizeof zeros;
        file_out_write(o, zeros, part);
        n -= part;
    }
}

bool file_out_can_patch(const struct file_out *o) {
    return o->temp || (o->fd != STDOUT_FILENO && lseek(o->fd, 0, SEEK_CUR) >= 0);
}

void file_out_patch(struct file_out *o, uint64_t offset, const void *data, size_t bytes) {
    assert(offset <= o->offset && bytes <= o->offset - offset);
    if (!file_out_can_patch(o) && !o->error) o->error = ESPIPE;
    flush(o);
    const uint8_t *p = data;
    while (bytes && !o->error) {
        ssize_t done = pwrite(o->fd, p, bytes, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            o->error = done < 0 ? errno : EIO;
            return;
        }
        p += done;
        bytes -= (size_t)done;
        offset += (uint64_t)done;
    }
}

/* Makes the new name itself survive a power failure. */
static int sync_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(dir);
    if (fd < 0) return 0; /* a folder that may be written but not listed */
    int failed = fsync(fd) != 0 && errno != EINVAL ? errno : 0;
    close(fd);
    return failed;
}

int file_sync_name(const char *path, struct err *e) {
    errno = sync_folder_of(path);
    return errno ? err_errno(e, ERR_IO, "%s: cannot sync its folder", path) : 0;
}

int file_lock(int fd) {
    const struct timespec instant = {.tv_nsec = 10000000};
    int failed = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; failed && errno == EWOULDBLOCK && i < 10; i++) {
        nanosleep(&instant, NULL);
        failed = flock(fd, LOCK_EX | LOCK_NB);
    }
    return failed ? errno : 0;
}

int file_replace(const char *from, const char *to, struct err *e) {
    if (rename(from, to) != 0) return err_errno(e, ERR_IO, "%s: cannot rename to %s", from, to);
    return file_sync_name(to, e);
}

static int copy_file(const char *from, const char *to, struct err *e) {
    int rc;
    struct file_map m = {0};
    struct file_out o = {0};
    TRY(file_map_open(&m, from, e));
    TRY(file_out_open(&o, to, e));
    file_out_write(&o, m.data, m.size);
    TRY(file_out_commit(&o, e));
out:
    file_map_close(&m);
    file_out_discard(&o);
    return rc;
}

int file_link(const char *from, const char *to, struct err *e) {
    if (file_same(from, to)) return 0;
    char *temp = malloc(strlen(to) + sizeof ".duet-tmp");
    if (!temp) return err_set(e, ERR_NOMEM, "out of memory for %s", to);
    sprintf(temp, "%s.duet-tmp", to);
    unlink(temp);
    const int rc = link(from, temp) ? copy_file(from, to, e) : file_replace(temp, to, e);
    free(temp);
    return rc;
}

int file_remove(const char *path, struct err *e) {
    if (unlink(path) != 0)
        return errno == ENOENT ? 0 : err_errno(e, ERR_IO, "cannot remove %s", path);
    return file_sync_name(path, e);
}

/* The sentence of the first failure. What was to be written may lie in a map whose file was cut. */
static int failed(const struct file_out *o, struct err *e) {
    if (o->error == EFAULT && guard_check_at(o->from, e)) return e->code;
    errno = o->error;
    return err_errno(e, ERR_IO, "cannot write %s", o->path);
}

int file_out_sync(struct file_out *o, struct err *e) {
    flush(o);
    if (o->temp && !o->error && fsync(o->fd) != 0) o->error = errno;
    return o->error ? failed(o, e) : 0;
}

int file_out_commit(struct file_out *o, struct err *e) {
    assert(o->path);
    flush(o);
    int rc = o->error ? 0 : guard_check_maps(e);
    if (rc) goto out;
    if (o->temp && !o->error) {
        if (fsync(o->fd) != 0 || rename(o->temp, o->path) != 0) {
            o->error = errno;
        } else {
            guard_temp_done(o->temp);
            free(o->temp);
            o->temp = NULL;
            o->error = sync_folder_of(o->path);
        }
    }
    if (o->error) rc = failed(o, e);
out:
    file_out_discard(o);
    return rc;
}

void file_out_discard(struct file_out *o) {
    if (o->temp && o->fd >= 0) unlink(o->temp); /* before the lock goes with the descriptor */
    if (o->path && o->fd >= 0 && o->fd != STDOUT_FILENO) close(o->fd);
    guard_temp_done(o->temp);
    free(o->temp);
    free(o->path);
    free(o->buf);
    *o = (struct file_out){.fd = -1};
}

/* Names --------------------------------------------------------------------------------------- */

int file_mkdirs(const char *path, struct err *e) {
    char *part = strdup(path);
    if (!part) return err_set(e, ERR_NOMEM, "no memory to create %s", path);
    int rc = 0;
    size_t i = 0, len = strlen(path);
    while (!rc && i < len) {
        i += strspn(path + i, "/");
        i += strcspn(path + i, "/");
        part[i] = 0;
        struct stat st;
        if (mkdir(part, 0777) != 0) {
            int why = errno; /* EEXIST, or EROFS and others for a parent that is simply there */
            if (stat(part, &st) == 0) {
                if (!S_ISDIR(st.st_mode))
                    rc =
                        err_set(e, ERR_IO, "cannot create the folder %s: %s is a file", path, part);
            } else {
                errno = why;
                rc = err_errno(e, ERR_IO, "cannot create the folder %s", part);
            }
        }
        part[i] = path[i];
    }
    free(part);
    return rc;
}

bool file_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_regular(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *file_join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    char *out = NULL;
    if (asprintf(&out, "%s%s%s", dir, n && dir[n - 1] != '/' ? "/" : "", name) < 0) return NULL;
    return out;
}

bool file_same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool file_ends_with(const char *path, const char *end) {
    const size_t n = strlen(path), k = strlen(end);
    return n >= k && !strcmp(path + n - k, end);
}

bool file_lies_in(const char *file, const char *folder) {
    const char *slash = strrchr(file, '/');
    char *parent = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
    const bool in = parent && file_same(parent, folder);
    free(parent);
    return in;
}
