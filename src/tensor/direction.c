#include "direction.h"

#include <assert.h>
#include <string.h>

static const struct direction_kind *const kinds[] = {
#define X(name) &direction_##name,
    DIRECTIONS(X)
#undef X
};

const struct direction_kind *direction_find(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->name, name)) return kinds[i];
    return NULL;
}

struct direction direction_make(const struct direction_space *s, uint64_t seed, int64_t step) {
    struct direction d = {.space = s};
    assert(!s->kind->words == !s->kind->bits);
    s->kind->keys(&d, seed, step);
    return d;
}

void direction_add(const struct direction *d, float *y, const float *x, float scale,
                   int64_t tensor, int64_t row, int64_t col, int64_t n) {
    const float by = scale * direction_scale(d, tensor);
    if (by != 0)
        d->space->kind->add(d, y, x, by, tensor, row, col, n);
    else if (!x)
        memset(y, 0, (size_t)n * sizeof *y);
    else if (x != y)
        memcpy(y, x, (size_t)n * sizeof *y);
}
