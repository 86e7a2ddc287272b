#include "weights_hash.h"

#include "model_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void take_word(XXH3_state_t *all, const char *word) {
    XXH3_64bits_update(all, word, strlen(word) + 1);
}

static void take(XXH3_state_t *all, const struct model_file *mf, const struct mf_tensor *t) {
    const size_t bytes = dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
    char shape[48];
    snprintf(shape, sizeof shape, "%d %" PRIu64 " %" PRIu64, t->ndim, t->shape[0],
             t->ndim == 2 ? t->shape[1] : 1);
    take_word(all, t->name);
    take_word(all, dtype_row(t->dtype)->name);
    take_word(all, shape);
    XXH3_64bits_update(all, t->data, bytes);
    model_file_drop(mf, t->data, bytes);
}

int weights_hash(const char *folder, char hash[17], struct err *e) {
    struct model_file mf = {0};
    char *path = model_file_of_run(folder);
    XXH3_state_t *all = XXH3_createState();
    int rc;
    if (!all) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory for the hash of its weights", folder);
        goto out;
    }
    TRY(model_file_open(&mf, path ? path : folder, true, e));
    XXH3_64bits_reset(all);
    for (size_t i = 0; i < mf.n_tensors; i++) take(all, &mf, &mf.tensors[i]);
    snprintf(hash, 17, "%016" PRIx64, XXH3_64bits_digest(all));
out:
    XXH3_freeState(all);
    model_file_close(&mf);
    free(path);
    return rc;
}
