/* Folders that are written whole or not at all, and the folder of a model. */
#include "hf.h"

#include "guard.h"
#include "json_text.h"
#include "run_folder.h"
#include "safetensors.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int no_memory(const char *dir, struct err *e) {
    return err_set(e, ERR_NOMEM, "%s: no memory to write it", dir);
}

/* ---- a folder ------------------------------------------------------------------------------- */

/* From before it is made until the release. Takes path. */
static int guard(struct hf_out *d, char *path, struct err *e) {
    if (d->n_guarded == d->cap_guarded) {
        const size_t cap = d->cap_guarded ? 2 * d->cap_guarded : 16;
        char **more = realloc(d->guarded, cap * sizeof *more);
        if (!more) {
            free(path);
            return no_memory(d->dir, e);
        }
        d->guarded = more;
        d->cap_guarded = cap;
    }
    guard_temp(path);
    d->guarded[d->n_guarded++] = path;
    return 0;
}

static void release_guarded(struct hf_out *d) {
    for (size_t i = 0; i < d->n_guarded; i++) {
        guard_temp_done(d->guarded[i]);
        free(d->guarded[i]);
    }
    free(d->guarded);
}

/* file_mkdirs, noting what it makes. */
static int make_folders(struct hf_out *d, struct err *e) {
    const size_t len = strlen(d->dir);
    if (!(d->made = calloc(len + 1, 1))) return no_memory(d->dir, e);
    for (size_t i = 0; i < len;) {
        i += strspn(d->dir + i, "/");
        i += strcspn(d->dir + i, "/");
        char *part = strndup(d->dir, i);
        if (!part) return no_memory(d->dir, e);
        const bool there = file_exists(part);
        int rc = 0;
        if (there)
            free(part);
        else if (!(rc = guard(d, part, e)))
            rc = file_mkdirs(part, e);
        if (rc) return rc;
        d->made[i] = !there;
    }
    return 0;
}

/* From the innermost; one that something else was put into stays. */
static void remove_folders(struct hf_out *d) {
    for (size_t i = d->made ? strlen(d->dir) : 0; i > 0; i--) {
        if (!d->made[i]) continue;
        d->dir[i] = 0;
        rmdir(d->dir);
    }
}

int hf_out_open(struct hf_out *d, const struct model_file *mf, const char *dir, struct err *e) {
    bool same =
        (mf->path && file_same(mf->path, dir)) || (mf->map.path && file_lies_in(mf->map.path, dir));
    *d = (struct hf_out){.check = mf->check};
    for (size_t i = 0; i < mf->n_maps; i++) same |= file_lies_in(mf->maps[i].path, dir);
    if (same)
        return err_set(e, ERR_INPUT, "%s: is the folder being read; write to another name", dir);
    if (run_folder_is(dir))
        return err_set(e, ERR_INPUT,
                       "%s is the folder of a training run, whose config.json would be replaced; "
                       "write to another folder",
                       dir);
    if (!(d->dir = strdup(dir))) return no_memory(dir, e);
    return make_folders(d, e);
}

/* Room for one more, without a name yet. */
static int grow(struct hf_out *d, struct err *e) {
    if (d->n < d->cap) return 0;
    const size_t cap = d->cap ? 2 * d->cap : 16;
    struct hf_out_file *files = realloc(d->files, cap * sizeof *files);
    if (!files) return no_memory(d->dir, e);
    d->files = files;
    d->cap = cap;
    return 0;
}

/* The files of a download cache are links to shared ones, which writing would replace. */
static int check_link(const char *path, struct err *e) {
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode)) return 0;
    return err_set(e, ERR_INPUT, "%s is a symbolic link: writing would change another file", path);
}

int hf_out_file(struct hf_out *d, const char *name, struct file_out **o, struct err *e) {
    char *path = file_join(d->dir, name);
    int rc;
    if (!path) return no_memory(d->dir, e);
    TRY(grow(d, e));
    TRY(check_link(path, e));
    struct hf_out_file *f = d->files + d->n;
    if (!(f->name = strdup(name))) {
        rc = no_memory(d->dir, e);
        goto out;
    }
    if ((rc = file_out_open(&f->out, path, e)) != 0) {
        free(f->name);
        goto out;
    }
    d->n++;
    *o = &f->out;
out:
    free(path);
    return rc;
}

int hf_out_data(struct hf_out *d, const char *name, const void *data, size_t bytes, struct err *e) {
    struct file_out *o;
    const int rc = hf_out_file(d, name, &o, e);
    if (!rc) file_out_write(o, data, bytes);
    return rc;
}

int hf_out_json(struct hf_out *d, const char *name, const json_t *j, struct err *e) {
    char *text = json_text_dump(j, JSON_INDENT(2));
    struct file_out *o;
    if (!text) return no_memory(d->dir, e);
    const int rc = hf_out_file(d, name, &o, e);
    if (!rc) {
        file_out_write(o, text, strlen(text));
        file_out_write(o, "\n", 1);
    }
    free(text);
    return rc;
}

static bool is_new(const struct hf_out *d, const char *name) {
    for (size_t i = 0; i < d->n; i++)
        if (!strcmp(d->files[i].name, name)) return true;
    return false;
}

static int remove_in(const struct hf_out *d, const char *name, struct err *e) {
    char *path = file_join(d->dir, name);
    const int rc = path ? file_remove(path, e) : no_memory(d->dir, e);
    free(path);
    return rc;
}

static int remove_stale(const struct hf_out *d, bool (*stale)(const char *), struct err *e) {
    DIR *list = opendir(d->dir);
    int rc = 0;
    if (!list) return err_errno(e, ERR_IO, "cannot list %s", d->dir);
    for (struct dirent *x; !rc && (x = readdir(list));)
        if (stale(x->d_name) && !is_new(d, x->d_name)) rc = remove_in(d, x->d_name, e);
    closedir(list);
    return rc;
}

/* ---- what is to be checked ------------------------------------------------------------------ */

/* A name in the folder of links: of a file, or of the folder itself. malloc()ed. */
static char *link_path(const struct hf_out *d, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/" HF_CHECK "%s%s", d->dir, name ? "/" : "", name ? name : "") < 0
               ? NULL
               : path;
}

static void remove_links(const struct hf_out *d, const char *folder) {
    for (size_t i = 0; i < d->n; i++) {
        char *path = link_path(d, d->files[i].name);
        if (path) unlink(path);
        free(path);
    }
    rmdir(folder);
}

static int make_link(struct hf_out *d, const struct hf_out_file *f, struct err *e) {
    const char *slash = strrchr(f->out.temp, '/');
    char *path = link_path(d, f->name), *to = NULL;
    if (!path) return no_memory(d->dir, e);
    int rc = guard(d, path, e);
    if (rc) return rc;
    if (asprintf(&to, "../%s", slash ? slash + 1 : f->out.temp) < 0) return no_memory(d->dir, e);
    if (symlink(to, path) != 0 && link(f->out.temp, path) != 0)
        rc = err_errno(e, ERR_IO, "cannot link %s", path);
    free(to);
    return rc;
}

/* The files under their names, in a folder that exists for the check only. */
static int check_files(struct hf_out *d, struct err *e) {
    char *folder = link_path(d, NULL);
    int rc = 0;
    if (!folder) return no_memory(d->dir, e);
    if ((rc = guard(d, folder, e))) return rc;
    remove_links(d, folder); /* of a process that was killed */
    if (mkdir(folder, 0777) != 0) {
        rc = err_errno(e, ERR_IO, "cannot create the folder %s", folder);
        goto out;
    }
    for (size_t i = 0; i < d->n; i++) TRY(make_link(d, d->files + i, e));
    TRY(d->check->fn(d->check->ctx, folder, e));
out:
    remove_links(d, folder);
    return rc;
}

int hf_out_commit(struct hf_out *d, bool (*stale)(const char *name), struct err *e) {
    int rc = 0;
    assert(d->n);
    char *config = file_join(d->dir, d->files[d->n - 1].name), *aside = NULL;
    if (!config || asprintf(&aside, "%s" HF_ASIDE, config) < 0) {
        aside = NULL; /* asprintf leaves it undefined */
        rc = no_memory(d->dir, e);
        goto out;
    }
    for (size_t i = 0; i < d->n; i++) TRY(file_out_sync(&d->files[i].out, e));
    if (d->check) TRY(check_files(d, e));
    if (file_exists(config)) TRY(file_replace(config, aside, e));
    const bool old = file_exists(aside);
    if (old && stale) TRY(remove_stale(d, stale, e));
    memset(d->made, 0, strlen(d->dir) + 1);
    for (size_t i = 0; i < d->n; i++) TRY(file_out_commit(&d->files[i].out, e));
    if (old) TRY(file_remove(aside, e));
out:
    free(config);
    free(aside);
    return rc;
}

void hf_out_release(struct hf_out *d) {
    for (size_t i = 0; i < d->n; i++) {
        file_out_discard(&d->files[i].out);
        free(d->files[i].name);
    }
    free(d->files);
    remove_folders(d);
    release_guarded(d);
    free(d->made);
    free(d->dir);
    *d = (struct hf_out){0};
}

json_t *hf_meta(const struct model_file *mf) {
    json_error_t je;
    json_t *old = mf->meta ? json_loads(mf->meta, 0, &je) : NULL;
    json_t *kept = json_object_get(old, "safetensors");
    json_t *meta = json_pack("{s:s}", "format", "pt"), *v;
    const char *key;
    json_object_foreach(kept, key, v) {
        if (json_is_string(v) && strcmp(key, "format")) json_object_set(meta, key, v);
    }
    json_decref(old);
    return meta;
}

/* ---- a model -------------------------------------------------------------------------------- */

struct writer {
    const struct model_file *mf;
    struct hf_out d;
    struct safetensors_item *items; /* of a shard */
    json_t *meta, *map;             /* map: weight_map of the index */
    size_t n_shards;
    uint64_t bytes, shard_bytes;
};

static uint64_t bytes_of(const struct mf_tensor *t) {
    return dtype_bytes(t->dtype, (size_t)mf_tensor_count(t));
}

/* The tensor behind those that go into one shard with tensor i. */
static size_t shard_end(const struct writer *w, size_t i) {
    uint64_t sum = bytes_of(w->mf->tensors + i++);
    for (; i < w->mf->n_tensors; i++) {
        const uint64_t more = bytes_of(w->mf->tensors + i);
        if (sum + more > w->shard_bytes) break;
        sum += more;
    }
    return i;
}

static int count(struct writer *w, const char *dir, struct err *e) {
    for (size_t i = 0; i < w->mf->n_tensors; i++) {
        const int rc = safetensors_check(w->mf->tensors + i, dir, e);
        if (rc) return rc;
        w->bytes += bytes_of(w->mf->tensors + i);
    }
    if (w->mf->n_tensors == 0)
        return err_set(e, ERR_INPUT, "%s: cannot be written: there are no tensors", dir);
    for (size_t i = 0; i < w->mf->n_tensors; i = shard_end(w, i)) w->n_shards++;
    return 0;
}

static int write_shard(struct writer *w, size_t shard, size_t first, size_t end, struct err *e) {
    char name[64] = "model.safetensors";
    struct file_out *o;
    if (w->n_shards > 1)
        snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, w->n_shards);
    for (size_t i = first; i < end; i++) {
        const struct mf_tensor *t = w->mf->tensors + i;
        w->items[i - first] = (struct safetensors_item){t->name, t};
        json_object_set_new(w->map, t->name, json_string(name));
    }
    int rc = hf_out_file(&w->d, name, &o, e);
    if (!rc) rc = safetensors_write(o, w->mf, w->items, end - first, w->meta, e);
    return rc;
}

static int write_index(struct writer *w, struct err *e) {
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)w->bytes,
                              "weight_map", w->map);
    const int rc = hf_out_json(&w->d, "model.safetensors.index.json", index, e);
    json_decref(index);
    return rc;
}

static int write_config(struct writer *w, const char *dir, struct err *e) {
    json_t *config = NULL;
    const char *text = w->mf->config ? w->mf->config : "";
    int rc = hf_object(text, strlen(text), dir, 0, &config, e);
    if (rc)
        err_prefix(e, "the config to be written");
    else
        rc = hf_out_json(&w->d, "config.json", config, e);
    json_decref(config);
    return rc;
}

static bool is_shard(const char *name) {
    static const char shape[] = "model-#####-of-#####.safetensors";
    size_t i = 0;
    while (shape[i] && (shape[i] == '#' ? isdigit((unsigned char)name[i]) : shape[i] == name[i]))
        i++;
    return !shape[i] && !name[i];
}

static bool stale_in_model(const char *name) {
    bool stale = is_shard(name) || !strcmp(name, "model.safetensors") ||
                 !strcmp(name, "model.safetensors.index.json");
    for (size_t i = 0; i < n_hf_sides; i++) stale |= !strcmp(name, hf_sides[i]);
    return stale;
}

/* A single file of weights goes before shards: one that may not be removed would be
 * read instead. */
static int check_weights(const struct writer *w, const char *dir, struct err *e) {
    if (w->n_shards == 1 || !hf_has(dir, "model.safetensors") || hf_has(dir, "config.json") ||
        hf_has(dir, "config.json" HF_ASIDE))
        return 0;
    return err_set(e, ERR_INPUT,
                   "%s has a model.safetensors, which would be read instead of the %zu shards to "
                   "be written, and no config.json; write to another folder",
                   dir, w->n_shards);
}

int hf_write(const struct model_file *mf, const char *dir, uint64_t shard_bytes, struct err *e) {
    struct writer w = {.mf = mf, .shard_bytes = shard_bytes};
    int rc;
    TRY(count(&w, dir, e));
    TRY(check_weights(&w, dir, e));
    TRY(hf_out_open(&w.d, mf, dir, e));
    w.items = calloc(mf->n_tensors + 1, sizeof *w.items);
    w.meta = hf_meta(mf);
    w.map = json_object();
    if (!w.items || !w.meta || !w.map) {
        rc = no_memory(dir, e);
        goto out;
    }
    for (size_t i = 0, end, shard = 0; i < mf->n_tensors; i = end, shard++) {
        end = shard_end(&w, i);
        TRY(write_shard(&w, shard, i, end, e));
    }
    if (w.n_shards > 1) TRY(write_index(&w, e));
    for (size_t i = 0; i < mf->n_sides; i++)
        TRY(hf_out_data(&w.d, mf->sides[i].name, mf->sides[i].data, mf->sides[i].bytes, e));
    TRY(write_config(&w, dir, e));
    TRY(hf_out_commit(&w.d, stale_in_model, e));
out:
    hf_out_release(&w.d);
    json_decref(w.meta);
    json_decref(w.map);
    free(w.items);
    return rc;
}
