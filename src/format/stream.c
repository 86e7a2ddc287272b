/* The bytes of a tensor as they are to be written, whatever it is made from. */
#include "format.h"
#include "pool.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)1 << 20)

/* Rows first, first + 1, ... of what is written, into buf. */
struct job {
    const struct mf_tensor *src;
    enum dtype to;
    int pair_heads;
    double factor;
    uint64_t cols, first;
    size_t in_bytes, out_bytes; /* of a row */
    uint8_t *buf;
    _Atomic bool bad; /* a number in buf is not finite */
};

/* In double, so that a factor costs one rounding; at most so many numbers at a time. */
static void scale_row(const struct job *j, const uint8_t *in, uint8_t *out) {
    enum { PART = 1024 };
    float x[PART];
    for (size_t i = 0, n; i < j->cols; i += n) {
        n = j->cols - i < PART ? (size_t)j->cols - i : PART;
        dtype_to_f32(j->src->dtype, in + dtype_bytes(j->src->dtype, i), x, n);
        for (size_t k = 0; k < n; k++) x[k] = (float)((double)x[k] * j->factor);
        dtype_from_f32(j->to, x, out + dtype_bytes(j->to, i), n);
    }
}

static void convert_row(void *ctx, int64_t i, int tid) {
    (void)tid;
    struct job *j = ctx;
    const uint64_t r = mf_stored_row(j->src, j->first + (uint64_t)i, j->pair_heads);
    const uint8_t *in = (const uint8_t *)j->src->data + r * j->in_bytes;
    uint8_t *out = j->buf + (size_t)i * j->out_bytes;
    if (j->factor != 1)
        scale_row(j, in, out);
    else
        dtype_convert(j->src->dtype, in, j->to, out, (size_t)j->cols);
    if (!dtype_finite(j->to, out, (size_t)j->cols)) j->bad = true;
}

/* A tensor of one dimension is a column where its rows are permuted, else a row. */
static void shape_of(const struct mf_tensor *t, bool column, uint64_t *rows, uint64_t *cols) {
    *rows = t->ndim == 2 || column ? t->shape[0] : 1;
    *cols = t->ndim == 2 ? t->shape[1] : column ? 1 : t->shape[0];
}

/* ---- what is no number ---------------------------------------------------------------------- */

static bool is_finite(float x) {
    return dtype_finite(DT_F32, &x, 1);
}

/* The file that the data comes from. */
static const char *origin(const struct model_file *mf) {
    while (mf->source) mf = mf->source;
    return mf->path ? mf->path : "model";
}

/* A place in a tensor, in the layout of Hugging Face. */
struct place {
    const struct model_file *mf;
    const struct mf_tensor *t;
    uint64_t row, col, cols;
};

static void index_text(const struct place *p, char to[48]) {
    if (p->t->ndim == 2)
        snprintf(to, 48, "[%llu,%llu]", (unsigned long long)p->row, (unsigned long long)p->col);
    else
        snprintf(to, 48, "[%llu]", (unsigned long long)(p->row * p->cols + p->col));
}

static int say_not_finite(const struct place *p, float x, struct err *e) {
    char index[48];
    index_text(p, index);
    return err_set(e, ERR_INPUT, "%s: tensor %s holds %s at %s; weights are finite numbers",
                   origin(p->mf), p->t->name, isnan(x) ? "NaN" : x > 0 ? "infinity" : "-infinity",
                   index);
}

static int say_overflow(const struct place *p, double x, enum dtype to, struct err *e) {
    char index[48];
    index_text(p, index);
    return err_set(e, ERR_INPUT,
                   "%s: tensor %s has weights that %s cannot hold: %g at %s would be infinite",
                   origin(p->mf), p->t->name, dtype_row(to)->name, x, index);
}

enum { LOOK = 4 * DTYPE_MAX_BLOCK };

/* The first of n numbers at p that is not finite: *found, and the error. */
static int look_at(struct place *p, const float *x, size_t n, bool *found, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        if (is_finite(x[i])) continue;
        *found = true;
        p->col += i;
        return say_not_finite(p, x[i], e);
    }
    return 0;
}

/* The same of what n finite numbers become: the largest of the first block that to cannot hold. */
static int look_beyond(struct place *p, const float *x, size_t n, double factor, enum dtype to,
                       bool *found, struct err *e) {
    float y[LOOK], back[LOOK];
    uint8_t out[LOOK * sizeof(float)];
    const size_t block = (size_t)dtype_row(to)->block;
    for (size_t i = 0; i < n; i++) y[i] = factor == 1 ? x[i] : (float)((double)x[i] * factor);
    dtype_from_f32(to, y, out, n);
    dtype_to_f32(to, out, back, n);
    for (size_t i = 0; i < n; i++) {
        if (is_finite(back[i])) continue;
        size_t top = i -= i % block;
        for (size_t k = i; k < i + block; k++)
            if (fabsf(x[k]) > fabsf(x[top])) top = k;
        *found = true;
        p->col += top;
        return say_overflow(p, (double)x[top] * factor, to, e);
    }
    return 0;
}

/* Row p->row of p->t, whose data is at row: what is no number, or with beyond what becomes none. */
static int look_row(struct place *p, const uint8_t *row, double factor, enum dtype to, bool beyond,
                    bool *found, struct err *e) {
    const enum dtype t = p->t->dtype;
    float x[LOOK];
    for (size_t c = 0, n; c < p->cols; c += n) {
        n = p->cols - c < LOOK ? (size_t)p->cols - c : LOOK;
        p->col = c;
        dtype_to_f32(t, row + dtype_bytes(t, c), x, n);
        const int rc = beyond ? look_beyond(p, x, n, factor, to, found, e)
                              : look_at(p, x, n, found, e);
        if (*found) return rc;
    }
    return 0;
}

/* Why what t becomes is not finite: the first number that is none already, else the first that
 * becomes one. An adapter's rows whose heads only the base knows are counted as they are stored. */
static int explain(const struct model_file *mf, const struct mf_tensor *t, double factor,
                   enum dtype to, struct err *e) {
    uint64_t rows, cols;
    bool found = false;
    shape_of(t, t->rope_heads > 0, &rows, &cols);
    const size_t bytes = dtype_bytes(t->dtype, (size_t)cols);
    for (int beyond = 0; beyond < 2; beyond++)
        for (uint64_t r = 0; r < rows; r++) {
            const uint64_t stored = t->rope_heads > 0 ? mf_stored_row(t, r, 0) : r;
            const uint8_t *row = (const uint8_t *)t->data + stored * bytes;
            struct place p = {mf, t, r, 0, cols};
            const int rc = look_row(&p, row, factor, to, beyond, &found, e);
            if (found) return rc;
        }
    return err_set(e, ERR_INPUT, "%s: tensor %s changed while it was read", origin(mf), t->name);
}

int mf_tensor_check(const struct model_file *mf, const struct mf_tensor *t, struct err *e) {
    if (dtype_finite(t->dtype, t->data, (size_t)mf_tensor_count(t))) return 0;
    return explain(mf, t, 1, DT_F32, e);
}

int mf_tensor_beyond(const struct model_file *mf, const struct mf_tensor *t, enum dtype to,
                     struct err *e) {
    return explain(mf, t, 1, to, e);
}

/* ---- streaming ------------------------------------------------------------------------------ */

/* Row by row as the builder gives them. */
static int stream_rows(const struct model_file *mf, const struct mf_tensor *t,
                       void (*emit)(void *, const void *, size_t), void *ctx, struct err *e) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)t->shape[1]);
    void *buf = malloc(bytes);
    int rc = 0;
    bool found = false;
    if (!buf) return err_set(e, ERR_NOMEM, "no memory for a row of %s", t->name);
    for (uint64_t r = 0; r < t->shape[0] && !rc; r++) {
        const void *row = t->row(t->row_ctx, r, buf);
        struct place p = {mf, t, r, 0, t->shape[1]};
        if (dtype_finite(t->dtype, row, (size_t)t->shape[1]))
            emit(ctx, row, bytes);
        else
            rc = look_row(&p, row, 1, t->dtype, false, &found, e);
    }
    free(buf);
    return rc;
}

/* A piece of a tensor that is copied, cut so that several threads look at it. */
struct look {
    enum dtype dtype;
    const uint8_t *p;
    size_t n; /* elements */
    _Atomic bool bad;
};

enum { LOOK_STEP = 64 * LOOK };

static void look_part(void *ctx, int64_t i, int tid) {
    (void)tid;
    struct look *l = ctx;
    const size_t at = (size_t)i * LOOK_STEP, n = l->n - at < LOOK_STEP ? l->n - at : LOOK_STEP;
    if (!dtype_finite(l->dtype, l->p + dtype_bytes(l->dtype, at), n)) l->bad = true;
}

static int stream_raw(const struct model_file *mf, const struct mf_tensor *t,
                      void (*emit)(void *, const void *, size_t), void *ctx, struct err *e) {
    const size_t count = (size_t)mf_tensor_count(t), step = PIECE / 4;
    for (size_t at = 0, n; at < count; at += n) {
        n = count - at < step ? count - at : step;
        struct look l = {t->dtype, (const uint8_t *)t->data + dtype_bytes(t->dtype, at), n, false};
        const size_t bytes = dtype_bytes(t->dtype, n);
        pool_for(mf->pool, (int64_t)((n + LOOK_STEP - 1) / LOOK_STEP), look_part, &l);
        if (l.bad) return explain(mf, t, 1, t->dtype, e);
        emit(ctx, l.p, bytes);
        model_file_drop(mf, l.p, bytes);
    }
    return 0;
}

int mf_tensor_stream(const struct model_file *mf, const struct mf_tensor *t, int pair_heads,
                     void (*emit)(void *ctx, const void *p, size_t n), void *ctx, struct err *e) {
    const struct mf_tensor *src = t->from ? t->from : t;
    const double factor = mf_tensor_factor(t) * (t->from ? mf_tensor_factor(src) : 1);
    assert(src->rope_heads >= 0 && (!t->row || pair_heads == 0));
    if (t->row) return stream_rows(mf, t, emit, ctx, e);
    if (src->dtype == t->dtype && factor == 1 && src->rope_heads == pair_heads)
        return stream_raw(mf, src, emit, ctx, e);
    uint64_t rows, cols;
    shape_of(src, src->rope_heads != pair_heads, &rows, &cols);
    struct job j = {.src = src,
                    .to = t->dtype,
                    .pair_heads = pair_heads,
                    .factor = factor,
                    .cols = cols,
                    .in_bytes = dtype_bytes(src->dtype, (size_t)cols),
                    .out_bytes = dtype_bytes(t->dtype, (size_t)cols)};
    uint64_t step = j.out_bytes < PIECE ? PIECE / j.out_bytes : 1;
    if (step > rows) step = rows;
    if (!(j.buf = malloc((size_t)step * j.out_bytes)))
        return err_set(e, ERR_NOMEM, "no memory for a piece of %s", t->name);
    for (; j.first < rows; j.first += step) {
        const uint64_t n = rows - j.first < step ? rows - j.first : step;
        pool_for(mf->pool, (int64_t)n, convert_row, &j);
        if (j.bad) break;
        emit(ctx, j.buf, (size_t)n * j.out_bytes);
        if (src->rope_heads == pair_heads)
            model_file_drop(mf, (const uint8_t *)src->data + j.first * j.in_bytes,
                            (size_t)n * j.in_bytes);
    }
    model_file_drop(mf, src->data, (size_t)rows * j.in_bytes);
    free(j.buf);
    return j.bad ? explain(mf, src, factor, t->dtype, e) : 0;
}

static void write_piece(void *ctx, const void *p, size_t n) {
    file_out_write(ctx, p, n);
}

int mf_tensor_write(struct file_out *o, const struct model_file *mf, const struct mf_tensor *t,
                    int pair_heads, struct err *e) {
    return mf_tensor_stream(mf, t, pair_heads, write_piece, o, e);
}
