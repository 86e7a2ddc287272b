/* The parameter table: everything that walks parameters walks this one list (optimizers, gradients,
 * initialisation, checkpoints, converters, counting). */
#ifndef DUET_PARAM_H
#define DUET_PARAM_H

#include "gemm.h"
#include <stdbool.h>
#include <stdint.h>

/* What a parameter is, for learning-rate factors, decay and initialisation. */
#define ROLES(X) X(embed) X(matrix) X(norm) X(bias) X(lora)
enum role {
#define X(name) ROLE_##name,
    ROLES(X)
#undef X
        ROLE_COUNT
};

static inline const char *role_name(enum role r) {
    static const char *const names[] = {
#define X(name) #name,
        ROLES(X)
#undef X
    };
    return names[r];
}

struct param {
    char name[96]; /* Hugging Face tensor name, e.g. model.layers.0.mlp.up_proj.weight */
    enum role role;
    int ndim;           /* 1 or 2 */
    int64_t rows, cols; /* row-major; rows is 1 for ndim 1 */
    double init_scale;  /* extra factor on random initialisation (residual branches) */
    bool trainable;
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
