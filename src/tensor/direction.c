#include "direction.h"

#include <string.h>

struct direction direction_make(const struct direction_space *s, uint64_t seed) {
    return (struct direction){.space = s, .key = s->kind->key(seed)};
}

void direction_add(const struct direction *d, float *y, const float *x, float scale,
                   int64_t tensor, int64_t row, int64_t col, int64_t n) {
    const float by = scale * direction_scale(d, tensor);
    if (by != 0)
        d->space->kind->add(d, y, x, by, tensor, row, col, n);
    else if (x != y)
        memcpy(y, x, (size_t)n * sizeof *y);
}
