#include "out_format.h"

#include "file.h"
#include "run_folder.h"
#include "run_start.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

static int refuse(const char *path, const char *in, struct err *e) {
    return err_set(e, ERR_USAGE, "writing %s would overwrite %s, which is being read", path, in);
}

static int check_model(const char *path, const char *in, struct err *e) {
    struct model_file mf;
    const int rc = in ? model_file_open(&mf, in, false, e) : 0;
    if (rc || !in) return rc;
    const bool same = model_file_uses(&mf, path);
    model_file_close(&mf);
    return same ? refuse(path, in, e) : 0;
}

int out_is_other(const char *path, const char *in, struct err *e) {
    int rc;
    struct run_files f;
    if (!file_exists(path)) return 0;
    TRY(run_files_find(&f, in, NULL, e));
    if (!f.base || file_exists(f.base)) TRY(check_model(path, f.model, e));
    TRY(check_model(path, f.adapter, e));
out:
    run_files_release(&f);
    return rc;
}

/* Is the file, through links, somewhere in the folder? */
static bool is_below(const char *file, const char *folder) {
    char *a = realpath(file, NULL), *b = realpath(folder, NULL);
    const size_t n = b ? strlen(b) : 0;
    const bool yes = a && b && !strncmp(a, b, n) && a[n] == '/';
    free(a);
    free(b);
    return yes;
}

/* A terminal or /dev/null may well be read and written. */
int out_spares(const char *path, const char *in, struct err *e) {
    struct stat st;
    if (!in || stat(path, &st) || !S_ISREG(st.st_mode)) return 0;
    if (file_same(in, path) || (file_is_dir(in) && is_below(path, in))) return refuse(path, in, e);
    return 0;
}

/* A folder that a model, an adapter or a tokenizer would be written into, file by file. */
static bool holds_model(const char *dir) {
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "adapter_config.json",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "adapter_model.safetensors"};
    bool any = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !any; i++) {
        char *path = file_join(dir, names[i]);
        any = path && file_exists(path);
        free(path);
    }
    return any;
}

int out_free(const char *path, bool overwrite, struct err *e) {
    struct stat st;
    const int rc = run_folder_spare(path, e);
    if (rc || overwrite || !strcmp(path, "-") || stat(path, &st)) return rc;
    const bool taken = S_ISREG(st.st_mode) ? st.st_size > 0
                       : S_ISDIR(st.st_mode) ? !run_folder_is(path) && holds_model(path) : false;
    if (!taken) return 0; /* writing into the folder of a run is refused by those who would */
    return err_set(e, ERR_USAGE, "%s is there already: choose another name, or give --overwrite",
                   path);
}
