/* Reading stored matrices line by line: weights widened and corrected (mat_stored) for every
 * product, and perturbed (mat_line) for backends that have no way of their own. The native backend
 * adds a direction's signs as it turns lines into slivers (gemm_pack.h); rows outside of products
 * (exec_param_row) and updates (zo.c) go through direction_add. check_view holds all of them
 * against each other. */
#include "gemm.h"

#include <assert.h>
#include <string.h>

/* Blocks are read whole, whatever part of the first and the last is wanted. */
static void read_blocks(const struct mat *m, int64_t at, int64_t n, float *buf) {
    const struct dtype_row *t = dtype_row(m->dtype);
    float whole[MAT_LINE + 2 * DTYPE_MAX_BLOCK];
    const int64_t first = at / t->block * t->block, end = at + n;
    const int64_t blocks = (end - first + t->block - 1) / t->block;
    const char *src = (const char *)m->data + first / t->block * t->bytes;
    const bool aligned = first == at && n % t->block == 0;
    assert(blocks * t->block <= MAT_LINE + 2 * DTYPE_MAX_BLOCK);
    dtype_to_f32(m->dtype, src, aligned ? buf : whole, (size_t)(blocks * t->block));
    if (!aligned) memcpy(buf, whole + (at - first), (size_t)n * sizeof *buf);
}

static const float *add_lora(const struct variants *s, int v, int64_t line, int64_t col, int64_t n,
                             const float *x, float *buf) {
    const float *b = s->lora_b + (v * s->row_count + s->row0 + line) * s->rank;
    const float *a = s->lora_a + (int64_t)v * s->rank * s->cols + col;
    if (x != buf) memcpy(buf, x, (size_t)n * sizeof *buf);
    for (int r = 0; r < s->rank; r++) s->kern->axpy(buf, s->scale * b[r], a + r * s->cols, n);
    return buf;
}

const float *mat_stored(const struct mat *m, int v, int64_t line, int64_t col, int64_t n,
                        float *buf) {
    const struct variants *s = m->var;
    const int64_t at = (s ? v * s->stride : 0) + line * m->ld + col;
    const float *x = buf;
    if (m->dtype == DT_F32)
        x = (const float *)m->data + at;
    else if (dtype_row(m->dtype)->block > 1)
        read_blocks(m, at, n, buf);
    else
        dtype_to_f32(m->dtype, (const char *)m->data + at * dtype_row(m->dtype)->bytes, buf,
                     (size_t)n);
    return s && s->rank ? add_lora(s, v, line, col, n, x, buf) : x;
}

const float *mat_line(const struct mat *m, int v, int64_t line, int64_t col, int64_t n,
                      float *buf) {
    const float *x = mat_stored(m, v, line, col, n, buf);
    const struct variants *s = m->var;
    if (!s || !s->probes || s->probes[v].eps == 0) return x;
    assert(!m->trans);
    direction_add(&s->probes[v].dir, buf, x, s->probes[v].eps, s->tensor, s->row0 + line, col, n);
    return buf;
}

struct mat mat_some(struct mat m, int first, int n, struct variants *some) {
    if (!m.var) return m;
    *some = *m.var;
    assert(first >= 0 && n > 0 && first + n <= some->n);
    some->n = n;
    m.data = (const char *)m.data + dtype_bytes(m.dtype, (size_t)(first * some->stride));
    if (some->probes) some->probes += first;
    if (some->rank) {
        some->lora_b += first * some->row_count * some->rank;
        some->lora_a += (int64_t)first * some->rank * some->cols;
    }
    m.var = some;
    return m;
}
