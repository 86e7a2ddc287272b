/* The bytes of a tensor as they are to be written, whatever it is made from. */
#include "layout.h"
#include "par.h"

#include <assert.h>
#include <stdbool.h>
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
    _Atomic bool overflow; /* a finite number became infinite */
};

static bool all_finite(enum dtype t, const uint8_t *row, uint64_t n) {
    enum { PART = 1024 };
    float x[PART];
    for (size_t i = 0, part; i < n; i += part) {
        part = n - i < PART ? (size_t)n - i : PART;
        dtype_to_f32(t, row + dtype_bytes(t, i), x, part);
        uint32_t bits[PART], any = 0;
        memcpy(bits, x, part * sizeof *x);
        for (size_t k = 0; k < part; k++) any |= (bits[k] & 0x7F800000) == 0x7F800000;
        if (any) return false;
    }
    return true;
}

/* Types whose exponent, or whose scale's, is f16's. */
static bool is_narrow(enum dtype t) {
    return t != DT_F32 && t != DT_BF16;
}

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
    const uint64_t r = layout_row(j->src, j->first + (uint64_t)i, j->pair_heads);
    const uint8_t *in = (const uint8_t *)j->src->data + r * j->in_bytes;
    uint8_t *out = j->buf + (size_t)i * j->out_bytes;
    if (j->factor != 1)
        scale_row(j, in, out);
    else
        dtype_convert(j->src->dtype, in, j->to, out, (size_t)j->cols);
    if (j->src->dtype != j->to && is_narrow(j->to) && !all_finite(j->to, out, j->cols) &&
        all_finite(j->src->dtype, in, j->cols))
        j->overflow = true;
}

static double factor_of(const struct mf_tensor *t) {
    return t->factor != 0 ? t->factor : 1;
}

/* A tensor of one dimension is a column where its rows are permuted, else a row. */
static void shape_of(const struct mf_tensor *t, bool column, uint64_t *rows, uint64_t *cols) {
    *rows = t->ndim == 2 || column ? t->shape[0] : 1;
    *cols = t->ndim == 2 ? t->shape[1] : column ? 1 : t->shape[0];
}

/* Row by row as the builder gives them. */
static int stream_rows(const struct mf_tensor *t, void (*emit)(void *, const void *, size_t),
                       void *ctx, struct err *e) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)t->shape[1]);
    void *buf = malloc(bytes);
    if (!buf) return err_set(e, ERR_NOMEM, "no memory for a row of %s", t->name);
    for (uint64_t r = 0; r < t->shape[0]; r++) emit(ctx, t->row(t->row_ctx, r, buf), bytes);
    free(buf);
    return 0;
}

static void stream_raw(const struct model_file *mf, const struct mf_tensor *t,
                       void (*emit)(void *, const void *, size_t), void *ctx) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
    for (size_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < PIECE ? bytes - at : PIECE;
        emit(ctx, (const uint8_t *)t->data + at, n);
        model_file_drop(mf, (const uint8_t *)t->data + at, n);
    }
}

int mf_tensor_stream(const struct model_file *mf, const struct mf_tensor *t, int pair_heads,
                     void (*emit)(void *ctx, const void *p, size_t n), void *ctx, struct err *e) {
    const struct mf_tensor *src = t->from ? t->from : t;
    const double factor = factor_of(t) * (t->from ? factor_of(src) : 1);
    assert(src->rope_heads >= 0 && (!t->row || pair_heads == 0));
    if (t->row) return stream_rows(t, emit, ctx, e);
    if (src->dtype == t->dtype && factor == 1 && src->rope_heads == pair_heads) {
        stream_raw(mf, src, emit, ctx);
        return 0;
    }
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
        par_for((int64_t)n, convert_row, &j);
        emit(ctx, j.buf, (size_t)n * j.out_bytes);
        if (src->rope_heads == pair_heads)
            model_file_drop(mf, (const uint8_t *)src->data + j.first * j.in_bytes,
                            (size_t)n * j.in_bytes);
    }
    model_file_drop(mf, src->data, (size_t)rows * j.in_bytes);
    free(j.buf);
    if (!j.overflow) return 0;
    return err_set(e, ERR_INPUT,
                   "tensor %s has weights that %s cannot hold: they would be infinite", t->name,
                   dtype_row(t->dtype)->name);
}

static void write_piece(void *ctx, const void *p, size_t n) {
    file_out_write(ctx, p, n);
}

int mf_tensor_write(struct file_out *o, const struct model_file *mf, const struct mf_tensor *t,
                    int pair_heads, struct err *e) {
    return mf_tensor_stream(mf, t, pair_heads, write_piece, o, e);
}
