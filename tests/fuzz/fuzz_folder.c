/* A folder of Hugging Face from any bytes: up to the first SOH config.json, up to the second
 * model.safetensors.index.json, then a file of weights: up to the first NUL its header, whose
 * length is put in front. It is there under two names, a.safetensors and b.safetensors. */
#include "fuzz.h"

#include "model_files.h"
#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG, INDEX, A, B, FILES };
static const char *const names[FILES] = {"config.json", "model.safetensors.index.json",
                                         "a.safetensors", "b.safetensors"};
static char dir[64], paths[FILES][128];

static void put(int file, const void *head, size_t head_n, const void *data, size_t n) {
    FILE *f = fopen(paths[file], "wb");
    must(f && fwrite(head, 1, head_n, f) == head_n && fwrite(data, 1, n, f) == n && !fclose(f));
}

/* What is in front of the byte `mark`, which is taken away with it. */
static size_t cut(const uint8_t *data, size_t size, int mark, size_t *used) {
    const uint8_t *end = size ? memchr(data, mark, size) : NULL;
    const size_t n = end ? (size_t)(end - data) : size;
    *used = n + (end != NULL);
    return n;
}

static void write_files(const uint8_t *data, size_t size) {
    size_t used;
    for (int i = CONFIG; i <= INDEX; i++) {
        const size_t n = cut(data, size, 1, &used);
        put(i, "", 0, data, n);
        data += used;
        size -= used;
    }
    const uint64_t header = cut(data, size, 0, &used);
    uint8_t *file = malloc(8 + size);
    must(file != NULL);
    memcpy(file, &header, 8);
    memcpy(file + 8, data, header);
    if (size > used) memcpy(file + 8 + header, data + used, size - used);
    for (int i = A; i <= B; i++) put(i, file, 8 + (size_t)header, file + 8 + header, size - used);
    free(file);
}

static void use(const struct model_file *mf) {
    must(mf->config != NULL);
    for (size_t i = 0; i < mf->n_tensors; i++) {
        const struct mf_tensor *t = mf->tensors + i;
        const size_t count = (size_t)mf_tensor_count(t);
        must(model_file_find(mf, t->name) == t);
        float *copy = malloc(count * sizeof *copy);
        if (copy) mf_tensor_read(t, copy);
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct model_file mf;
    struct err e = {0};
    if (!*dir) {
        snprintf(dir, sizeof dir, "/dev/shm/duet-fuzz-folder-%ld", (long)getpid());
        for (int i = 0; i < FILES; i++) snprintf(paths[i], sizeof paths[i], "%s/%s", dir, names[i]);
    }
    must(!mkdir(dir, 0700));
    write_files(data, size);
    const int rc = model_file_open(&mf, dir, true, &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (!rc) use(&mf);
    if (!rc) model_file_close(&mf);
    for (int i = 0; i < FILES; i++) unlink(paths[i]);
    must(!rmdir(dir));
    return 0;
}
