/* safetensors, and the configs of folders, from any bytes. The first byte says how to take them:
 * bit 0: up to the first NUL they are the header, whose length is put in front, and the data
 * follows; bits 1 and 2: a text up to the first SOH is config.json (2) or
 * adapter_config.json (4). */
#include "fuzz_model.h"

#include "arch.h"

#include "hf.h"
#include "safetensors.h"

struct bytes {
    const uint8_t *p;
    size_t n;
};

/* What is in front of the byte `mark`, which is taken away with it. */
static struct bytes cut(struct bytes *all, int mark) {
    const uint8_t *end = all->n ? memchr(all->p, mark, all->n) : NULL;
    const struct bytes first = {all->p, end ? (size_t)(end - all->p) : all->n};
    const size_t used = first.n + (end != NULL);
    *all = (struct bytes){all->p + used, all->n - used};
    return first;
}

/* A block of exactly this size. */
static uint8_t *with_length(struct bytes all, size_t *size) {
    const struct bytes header = cut(&all, 0);
    const uint64_t length = header.n;
    uint8_t *file = malloc(8 + header.n + all.n);
    if (!file) abort();
    memcpy(file, &length, 8);
    if (header.n) memcpy(file + 8, header.p, header.n);
    if (all.n) memcpy(file + 8 + header.n, all.p, all.n);
    *size = 8 + header.n + all.n;
    return file;
}

static void check_tensor(const struct model_file *mf, const struct mf_tensor *t) {
    const size_t count = (size_t)mf_tensor_count(t);
    const size_t bytes = dtype_bytes(t->dtype, count);
    const uint8_t *data = t->data;
    bool inside = false;
    for (size_t i = 0; i < mf->n_maps && !inside; i++) {
        const struct file_map *m = mf->maps + i;
        inside = data >= m->data && data <= m->data + m->size &&
                 bytes <= (size_t)(m->data + m->size - data);
    }
    if (!inside || model_file_find(mf, t->name) != t || t->factor < 0) abort();
    float *copy = malloc(count * sizeof *copy);
    if (copy) mf_tensor_read(t, copy);
    free(copy);
}

/* As a folder would be read. Takes file over. */
static void take(uint8_t *file, size_t size, struct bytes config, bool adapter) {
    struct model_file mf = {.archs = &arch_parts, .path = strdup("fuzz")},
                      raw = {.path = strdup("raw")};
    struct err e = {0};
    json_t *meta = NULL;
    if (!(mf.maps = calloc(1, sizeof *mf.maps)) || !mf.path || !raw.path) abort();
    mf.maps[mf.n_maps++] = (struct file_map){.data = file, .size = size, .path = strdup("fuzz")};
    int rc = safetensors_read(&raw, &mf, mf.maps, &meta, &e);
    if (!rc)
        rc = (adapter ? peft_take : hf_take)(&mf, &raw, "config", (const char *)config.p, config.n,
                                             &e);
    if (!rc) rc = hf_keep_meta(&mf, meta, &e);
    if (rc && (e.code != rc || !e.msg[0])) abort();
    if (!rc && !mf.config) abort();
    for (size_t i = 0; i < mf.n_tensors && !rc; i++) check_tensor(&mf, mf.tensors + i);
    json_decref(meta);
    model_file_close(&raw);
    model_file_close(&mf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const int how = data[0];
    struct bytes all = {data + 1, size - 1}, config = {(const uint8_t *)"{}", 2};
    if (how & 6) config = cut(&all, 1);
    uint8_t *file;
    size_t n = all.n;
    if (how & 1) {
        file = with_length(all, &n);
    } else {
        if (!(file = malloc(n ? n : 1))) abort();
        if (n) memcpy(file, all.p, n);
    }
    take(file, n, config, how & 4);
    return 0;
}
