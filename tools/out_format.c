#include "out_format.h"

#include <string.h>

static bool writes(const struct format *f, bool adapter) {
    return f->write && (adapter ? f->adapters : f->models);
}

int out_format(const char *path, const char *to, bool adapter, const struct format **f,
               struct err *e) {
    const char *what = adapter ? "adapters" : "models";
    if (!strcmp(path, "-"))
        return err_set(e, ERR_USAGE, "models are written to files, not to standard output");
    if (strcmp(to, "auto") != 0) {
        *f = format_find(to);
        if (!writes(*f, adapter))
            return err_set(e, ERR_USAGE, "--to %s: format %s does not hold %s", to, to, what);
        return 0;
    }
    if (file_is_dir(path) || file_ends_with(path, "/")) {
        *f = format_find(adapter ? "peft" : "hf");
        return 0;
    }
    for (size_t i = 0; i < n_formats; i++) {
        if (!formats[i]->suffix || !file_ends_with(path, formats[i]->suffix)) continue;
        *f = formats[i];
        if (!writes(*f, adapter))
            return err_set(e, ERR_USAGE, "%s: format %s does not hold %s", path, (*f)->name, what);
        return 0;
    }
    return err_set(e, ERR_USAGE,
                   "%s: the name does not tell the format (.gguf, .blzt, .blzt4, .bin, or a folder "
                   "with / at its end); say it with --to",
                   path);
}

int out_is_other(const char *path, const char *in, struct err *e) {
    struct model_file mf;
    const int rc = model_file_open(&mf, in, false, e);
    if (rc) return rc;
    const bool same = model_file_uses(&mf, path);
    model_file_close(&mf);
    return same ? err_set(e, ERR_USAGE, "writing %s would overwrite %s, which is being read", path,
                          in)
                : 0;
}
