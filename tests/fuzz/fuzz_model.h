/* What the fuzz targets of model files share: open the bytes, then use all that was accepted. */
#ifndef DUET_FUZZ_MODEL_H
#define DUET_FUZZ_MODEL_H

#include "fuzz.h"
#include "model_files.h"
#include <stdlib.h>
#include <string.h>

/* A tensor that was accepted lies within the file, can be read, and can be found by its name. */
static inline void fuzz_tensor(const struct model_file *mf, const struct mf_tensor *t) {
    const uint8_t *data = t->data, *end = mf->map.data + mf->map.size;
    uint64_t count = mf_tensor_count(t);
    size_t bytes = dtype_bytes(t->dtype, count);
    if (data < mf->map.data || data > end || bytes > (size_t)(end - data)) abort();
    if (model_file_find(mf, t->name) != t) abort();
    if (!dtype_is_float(t->dtype) || t->rope_heads < 0) return; /* heads of another file */
    float *copy = malloc(count * sizeof *copy);
    if (copy) mf_tensor_read(t, copy);
    free(copy);
}

/* Opens a block of exactly these bytes. A refusal has a code and a sentence. */
static inline void fuzz_open(const uint8_t *data, size_t size, bool verify) {
    uint8_t *copy = malloc(size ? size : 1);
    struct file_map map = {.data = copy, .size = size, .path = strdup("fuzz")};
    struct model_file mf;
    struct err e = {0};
    if (!copy || !map.path) abort();
    if (size) memcpy(copy, data, size);
    if (model_file_open_map(&mf, &map, verify, &e) != 0) {
        if (e.code == 0 || !e.msg[0]) abort();
        return;
    }
    if (!mf.config) abort();
    for (size_t i = 0; i < mf.n_tensors; i++) fuzz_tensor(&mf, &mf.tensors[i]);
    const uint8_t *tok = mf.tokenizer, *end = mf.map.data + size;
    if (tok && (tok < mf.map.data || tok > end || mf.tokenizer_bytes > (size_t)(end - tok)))
        abort();
    model_file_close(&mf);
}

#endif
