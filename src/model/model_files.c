#include "model_files.h"

#include "arch.h"

#include <stdlib.h>

int model_file_open(struct model_file *mf, const char *path, bool verify, struct err *e) {
    return format_open(mf, &arch_parts, path, verify, e);
}

int model_file_open_map(struct model_file *mf, struct file_map *map, bool verify, struct err *e) {
    return format_open_map(mf, &arch_parts, map, verify, e);
}

int model_file_hash(const char *path, uint64_t *hash, struct err *e) {
    int rc;
    struct file_map m = {0};
    struct model_file mf = {0};
    char *run = model_file_of_run(path);
    if (!run && file_is_dir(path)) {
        TRY(model_file_open(&mf, path, false, e));
        *hash = model_file_digest(&mf);
    } else {
        TRY(file_map_open(&m, run ? run : path, e));
        *hash = map_hash(&m, 0, m.size);
    }
out:
    free(run);
    model_file_close(&mf);
    file_map_close(&m);
    return rc;
}
