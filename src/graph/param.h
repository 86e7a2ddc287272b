/* The parameter table: everything that walks parameters walks this one list (optimizers, gradients,
 * initialisation, checkpoints, converters, counting). */
#ifndef DUET_PARAM_H
#define DUET_PARAM_H

#include "gemm.h"
#include "part.h"
#include <stdbool.h>
#include <stdint.h>

static inline const char *role_name(enum role r) {
    static const char *const names[] = {
#define X(name) #name,
        ROLES(X)
#undef X
    };
    return names[r];
}

struct param {
    char name[PART_NAME];    /* Hugging Face's */
    const struct part *part; /* of its architecture, static; LoRA's: of the weight that it corrects.
                              * NULL in graphs that are no model (tests) */
    int layer;               /* of parts that are in layers, else -1 */
    enum role role;
    int ndim;           /* 1 or 2 */
    int64_t rows, cols; /* row-major; rows is 1 for ndim 1 */
    bool trainable;
    float move; /* of what is trained: how far a zeroth-order direction moves it beside others */
    enum dtype dtype; /* of data */
    void *data;       /* rows*cols elements; owned by the model's weight arena */
    float *grad;      /* rows*cols floats, or NULL when no gradient is wanted */
};

static inline int64_t param_count(const struct param *p) {
    return p->rows * p->cols;
}

/* The weight as a GEMM operand: (rows, cols), or its transpose. */
static inline struct mat param_mat(const struct param *p, bool trans) {
    return (struct mat){.data = p->data, .dtype = p->dtype, .trans = trans, .ld = p->cols};
}

/* n elements from element `begin` on as f32: a pointer to the weights themselves if they are f32,
 * else buf, filled. */
const float *param_read(const struct param *p, int64_t begin, int64_t n, float *buf);

#endif
