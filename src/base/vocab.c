#include "vocab.h"

#include <stdlib.h>

void vocab_release(struct vocab *v) {
    free(v->tokens);
    free(v->types);
    free(v->scores);
    free(v->merges);
    free(v->text);
    *v = (struct vocab){0};
}
