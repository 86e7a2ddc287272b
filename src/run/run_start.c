#include "run_start.h"

#include "conf.h"
#include "file.h"
#include "format.h"
#include "run_folder.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char *run_source_name(enum run_source s) {
#define X(name) #name,
    static const char *const names[] = {RUN_SOURCES(X)};
#undef X
    return s == SOURCE_val_data ? "val-data" : s == SOURCE_task_eval ? "task-eval" : names[s];
}

int run_start_set(struct run_start *r, enum run_source s, const char *path, uint64_t hash,
                  struct err *e) {
    char room[PATH_MAX];
    char *copy = path ? strdup(realpath(path, room) ? room : path) : NULL;
    free(r->source[s].path); /* path may be this very string */
    r->source[s].path = copy;
    r->source[s].known = path != NULL;
    r->source[s].hash = hash;
    return copy || !path ? 0 : err_set(e, ERR_NOMEM, "out of memory for the name of a file");
}

int run_start_write(const struct run_start *r, const struct model *m, const char *path,
                    struct err *e) {
    int rc;
    struct model_file mf = {.tokenizer = m->tok_blob, .tokenizer_bytes = m->tok_bytes};
    json_t *sources = json_object(), *meta = NULL;
    for (int i = 0; i < N_RUN_SOURCES; i++) {
        char hash[17];
        if (!r->source[i].path) continue;
        snprintf(hash, sizeof hash, "%016" PRIx64, r->source[i].hash);
        json_object_set_new(sources, run_source_name((enum run_source)i),
                            json_pack("{s:s,s:s}", "path", r->source[i].path, "hash", hash));
    }
    meta = json_pack("{s:O}", "sources", sources);
    mf.meta = meta ? json_dumps(meta, JSON_COMPACT) : NULL;
    mf.config = model_config_dump(&m->config);
    if (!mf.meta || !mf.config) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
        goto out;
    }
    TRY(model_file_write(&mf, "blzt5", path, e));
out:
    json_decref(sources);
    json_decref(meta);
    model_file_close(&mf);
    return rc;
}

static int read_source(struct run_start *r, int i, json_t *sources, const char *path,
                       struct err *e) {
    json_t *o = json_object_get(sources, run_source_name((enum run_source)i));
    const char *file = json_string_value(json_object_get(o, "path"));
    const char *hash = json_string_value(json_object_get(o, "hash"));
    char *end;
    if (!o) return 0;
    if (!file || !hash || strlen(hash) != 16)
        return err_set(e, ERR_INPUT, "%s: meta: sources.%s has no path and hash", path,
                       run_source_name((enum run_source)i));
    r->source[i].hash = strtoull(hash, &end, 16);
    r->source[i].known = !*end;
    r->source[i].path = strdup(file);
    return r->source[i].path ? 0 : err_set(e, ERR_NOMEM, "out of memory for %s", path);
}

int run_start_read(struct run_start *r, const char *path, struct err *e) {
    int rc;
    struct model_file mf = {0};
    json_t *meta = NULL;
    *r = (struct run_start){0};
    TRY(model_file_open(&mf, path, true, e));
    meta = mf.meta ? json_loads(mf.meta, 0, NULL) : NULL;
    json_t *sources = json_object_get(meta, "sources");
    if (!json_is_object(sources)) {
        rc = err_set(e, ERR_INPUT, "%s: its meta data has no sources: not the start of a run",
                     path);
        goto out;
    }
    for (int i = 0; i < N_RUN_SOURCES; i++) TRY(read_source(r, i, sources, path, e));
out:
    json_decref(meta);
    model_file_close(&mf);
    if (rc) run_start_release(r);
    return rc;
}

void run_start_release(struct run_start *r) {
    for (int i = 0; i < N_RUN_SOURCES; i++) free(r->source[i].path);
    *r = (struct run_start){0};
}

/* ---- the base of LoRA ------------------------------------------------------------------------ */

static int find_base(const char *dir, const char *config, char **base, struct err *e) {
    int rc;
    struct run_start start = {0};
    char *path = file_join(dir, "start.blzt"), *init = NULL;
    if (!path) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", dir);
        goto out;
    }
    TRY(conf_file_source(config, "init", &init, e));
    if ((!init || !file_exists(init)) && file_exists(path)) {
        TRY(run_start_read(&start, path, e));
        char **there = &start.source[SOURCE_init].path;
        if (*there) {
            free(init);
            init = *there;
            *there = NULL;
        }
    }
    *base = init;
    init = NULL;
    if (!*base) rc = err_set(e, ERR_INPUT, "%s: config.json names no base (init)", dir);
out:
    run_start_release(&start);
    free(init);
    free(path);
    return rc;
}

/* The folder that `path` stands for: itself, or where one of a LoRA run's adapters lies.
 * malloc()ed. */
static char *folder_of(const char *path) {
    static const char *const names[] = {"adapter.blzt", "adapter.best.blzt", "adapter.good.blzt"};
    if (file_is_dir(path)) return strdup(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]) && file_exists(path))
            return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    return NULL;
}

/* Does the folder of a LoRA run, or of a checkpoint of one, hold no other weights; or does `path`
 * name one of its adapters? */
static bool is_lora(const char *path, const char *dir, const char *up) {
    if (strcmp(path, dir) != 0) return run_folder_is(dir) || run_folder_is(up);
    char *model = file_join(dir, "model.blzt"), *adapter = file_join(dir, "adapter.blzt");
    const bool yes = model && adapter && !file_exists(model) && file_exists(adapter);
    free(model);
    free(adapter);
    return yes;
}

/* *base: malloc()ed, or NULL if path is not of a LoRA run. */
static int run_base(const char *path, char **base, struct err *e) {
    int rc = 0;
    char *dir = folder_of(path), *up = dir ? file_join(dir, "../..") : NULL;
    *base = NULL;
    if (!up || !is_lora(path, dir, up)) goto out;
    for (int i = 0; i < 2 && !*base && !rc; i++) {
        char *config = file_join(i ? up : dir, "config.json");
        if (!config)
            rc = err_set(e, ERR_NOMEM, "out of memory for %s", dir);
        else if (file_exists(config))
            rc = find_base(i ? up : dir, config, base, e);
        free(config);
    }
    if (!rc && !*base)
        rc = err_set(e, ERR_INPUT, "%s: adapter.blzt, but no config.json that names its base", dir);
out:
    free(dir);
    free(up);
    return rc;
}

/* *start: of the run that path is or belongs to; else NULL. */
static int run_record(const char *path, char **start, struct err *e) {
    static const char *const names[] = {"start.blzt", "../../start.blzt"};
    char *dir = folder_of(path);
    *start = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !*start && dir; i++) {
        *start = file_join(dir, names[i]);
        if (*start && file_exists(*start)) break;
        const bool none = !*start;
        free(*start);
        *start = NULL;
        if (none) {
            free(dir);
            return err_set(e, ERR_NOMEM, "out of memory for %s", path);
        }
    }
    free(dir);
    return 0;
}

int run_base_find(const char *dir, char **base, struct err *e) {
    int rc = 0;
    char *own = file_join(dir, "base.blzt"), *config = file_join(dir, "config.json");
    *base = NULL;
    if (!own || !config) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", dir);
    } else if (file_exists(own)) {
        *base = own;
        own = NULL;
    } else {
        rc = find_base(dir, config, base, e);
    }
    free(own);
    free(config);
    return rc;
}

int run_files_find(struct run_files *f, const char *path, const char *adapter, struct err *e) {
    int rc;
    *f = (struct run_files){.model = path, .adapter = adapter};
    TRY(run_base(path, &f->base, e));
    if (f->base && adapter) {
        rc = err_set(e, ERR_USAGE, "%s is a LoRA run, with its own adapter: %s is another", path,
                     adapter);
        goto out;
    }
    if (f->base) {
        f->model = f->base;
        f->adapter = path;
    }
    if (f->adapter) TRY(run_record(f->adapter, &f->start, e));
out:
    if (rc) run_files_release(f);
    return rc;
}

int run_files_there(const struct run_files *f, struct err *e) {
    if (!f->base || file_exists(f->base)) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: its base %s is gone: give the base where it is now, and --adapter %s",
                   f->adapter, f->base, f->adapter);
}

int run_files_tokenizer(const struct run_files *f, struct model *m, struct err *e) {
    int rc = 0;
    struct model_file mf = {0};
    if (m->tok_blob || m->tok_vocab || !f->start) return 0;
    TRY(model_file_open(&mf, f->start, true, e));
    if (mf.tokenizer) TRY(model_set_tokenizer(m, mf.tokenizer, mf.tokenizer_bytes, e));
out:
    model_file_close(&mf);
    return rc;
}

int run_files_open(const struct run_files *f, struct model *m, const struct adapter_use *u,
                   struct err *e) {
    int rc;
    TRY(run_files_there(f, e));
    TRY(f->adapter ? adapter_open(m, f->model, f->adapter, u, e)
                   : model_open_frozen(m, f->model, u->sets, u->weights, u->pool, e));
    TRY(run_files_tokenizer(f, m, e));
out:
    return rc;
}

void run_files_release(struct run_files *f) {
    free(f->base);
    free(f->start);
    *f = (struct run_files){0};
}

/* ---- descriptions ---------------------------------------------------------------------------- */

static bool same_value(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static void shown(const json_t *v, char text[80]) {
    char *s = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    snprintf(text, 80, "%.70s", s ? s : "not there");
    free(s);
}

static bool objects_differ(const char *prefix, json_t *now, json_t *then, char text[256]) {
    const char *key;
    json_t *value;
    /* Every key of either: those of `then` first. */
    for (int turn = 0; turn < 2; turn++)
        json_object_foreach(turn ? now : then, key, value) {
            json_t *a = json_object_get(now, key), *b = json_object_get(then, key);
            if (a && b && same_value(a, b)) continue;
            if (json_is_object(a) && json_is_object(b)) {
                if (objects_differ("duet.", a, b, text)) return true;
                continue;
            }
            char x[80], y[80];
            shown(a, x);
            shown(b, y);
            snprintf(text, 256, "%s%.60s is %s, not %s", prefix, key, x, y);
            return true;
        }
    return false;
}

bool run_start_differs(const struct model_config *now, const struct model_config *then,
                       char text[256]) {
    return objects_differ("", now->json, then->json, text);
}
