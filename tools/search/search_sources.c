#include "search_sources.h"

#include "file.h"
#include "format.h"
#include "run_start.h"
#include "textlist.h"
#include "train_opts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

bool search_names_file(const char *key, const char *text) {
    const struct conf_row *row = conf_row(train_rows, key);
    if (!strcmp(key, "program")) return strchr(text, '/') != NULL;
    return row && conf_is_path(row) && !(row->choices && conf_has_word(row->choices, text));
}

/* Hashes --------------------------------------------------------------------------------------- */

static int hash_file(const char *path, uint64_t *hash, struct err *e) {
    struct file_map m;
    const int rc = file_map_open(&m, path, e);
    if (rc) return rc;
    *hash = XXH64(m.data, m.size, 0);
    file_map_close(&m);
    return 0;
}

static int add_file(XXH64_state_t *h, const char *path, struct err *e) {
    struct file_map m;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const int rc = file_map_open(&m, path, e);
    if (rc) return rc;
    const uint64_t size = m.size;
    XXH64_update(h, name, strlen(name) + 1);
    XXH64_update(h, &size, sizeof size);
    XXH64_update(h, m.data, m.size);
    file_map_close(&m);
    return 0;
}

static int add_texts(XXH64_state_t *h, const char *folder, struct err *e) {
    struct textlist l;
    int rc = textlist_open(&l, &folder, 1, e);
    for (size_t i = 0; i < l.n && !rc; i++) rc = add_file(h, l.path[i], e);
    textlist_close(&l);
    return rc;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_regular(XXH64_state_t *h, const char *folder, struct err *e) {
    struct dirent **entry = NULL;
    int rc = 0;
    const int n = scandir(folder, &entry, NULL, by_name);
    if (n < 0) return err_errno(e, ERR_IO, "cannot read the folder %s", folder);
    for (int i = 0; i < n; i++) {
        char *path = rc || *entry[i]->d_name == '.' ? NULL : file_join(folder, entry[i]->d_name);
        if (!rc && !path && *entry[i]->d_name != '.') rc = no_memory(e);
        if (path && file_is_regular(path)) rc = add_file(h, path, e);
        free(path);
        free(entry[i]);
    }
    free(entry);
    return rc;
}

/* A run goes on, is logged and measured beside what is read of it. */
static int add_part(XXH64_state_t *h, const char *path, struct err *e) {
    if (!file_is_dir(path)) return add_file(h, path, e);
    char *weights = model_file_of_run(path);
    const int rc = weights ? add_file(h, weights, e) : add_regular(h, path, e);
    free(weights);
    return rc;
}

static int add_model(XXH64_state_t *h, const char *folder, struct err *e) {
    struct run_files f = {0};
    int rc;
    TRY(run_files_find(&f, folder, NULL, e));
    const char *const part[] = {f.model, f.adapter, f.start};
    for (int i = 0; i < 3; i++)
        if (part[i]) TRY(add_part(h, part[i], e));
out:
    run_files_release(&f);
    return rc;
}

static int hash_folder(const char *key, const char *path, uint64_t *hash, struct err *e) {
    XXH64_state_t *h = XXH64_createState();
    int rc;
    if (!h) return no_memory(e);
    XXH64_reset(h, 0);
    const bool texts = !strcmp(key, "data") || !strcmp(key, "val-data");
    const bool model = !strcmp(key, "init") || !strcmp(key, "adapter");
    TRY(texts ? add_texts(h, path, e) : model ? add_model(h, path, e) : add_regular(h, path, e));
    *hash = XXH64_digest(h);
out:
    XXH64_freeState(h);
    return rc;
}

/* Files ---------------------------------------------------------------------------------------- */

/* name: under which it is put, where that is not the path. */
static int add_source(json_t *sources, const char *key, const char *name, const char *path,
                      struct err *e) {
    const bool folder = file_is_dir(path);
    char text[24];
    uint64_t hash = 0;
    if (!search_names_file(key, path) || !(folder || file_is_regular(path))) return 0;
    const int rc = folder ? hash_folder(key, path, &hash, e) : hash_file(path, &hash, e);
    if (rc) return rc;
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return json_object_set_new(sources, name, json_string(text)) ? no_memory(e) : 0;
}

/* v: a value or an array of them. */
static int add_sources(json_t *sources, const char *key, const json_t *v, struct err *e) {
    const char *one = json_string_value(v);
    int rc = one ? add_source(sources, key, one, one, e) : 0;
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v) && !rc; i++) {
        const char *path = json_string_value(json_array_get(v, i));
        if (path) rc = add_source(sources, key, path, path, e);
    }
    return rc;
}

int search_sources(const struct search_file *f, json_t *sources, struct err *e) {
    const char *key;
    json_t *v;
    int rc = 0;
    json_object_foreach(f->base, key, v) TRY(add_sources(sources, key, v, e));
    for (size_t i = 0; i < f->space.n; i++)
        TRY(add_sources(sources, f->space.axis[i].key, f->space.axis[i].choices, e));
    if (f->program) /* where it is now, by what the file says */
        rc = add_source(sources, "program",
                        json_string_value(json_object_get(f->json, "program")), f->program, e);
out:
    return rc;
}

/* Other data under the same name would make the trials incomparable without a word. */
int search_sources_same(const char *dir, json_t *was, json_t *now, struct err *e) {
    const char *path;
    json_t *hash;
    json_object_foreach(was, path, hash) {
        const json_t *found = json_object_get(now, path);
        if (!found)
            return err_set(e, ERR_INPUT, "%s: %s is not there any more, which its trials read",
                           dir, path);
        if (!json_equal(hash, found))
            return err_set(e, ERR_INPUT,
                           "%s: %s %s (hash %s, was %s) than when the search began: trials would "
                           "not be comparable",
                           dir, path, file_is_dir(path) ? "holds other files" : "is another file",
                           json_string_value(found), json_string_value(hash));
    }
    return 0;
}
