#include "model_name.h"

#include "file.h"
#include "run_folder.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)1 << 20)

/* The last part of an absolute path without a slash at its end. */
static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The folder that a path lies in, or NULL: it is the root, or there is no memory. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
}

/* "name" of a run's config.json, malloc()ed, or NULL. */
static char *given_name(const char *run) {
    struct err e;
    char *path = file_join(run, "config.json"), *text = NULL, *name = NULL;
    size_t bytes;
    if (path && file_exists(path) && !file_read_text(path, CONFIG_BYTES, &text, &bytes, &e)) {
        json_t *j = json_loadb(text, bytes, 0, NULL);
        const char *s = json_string_value(json_object_get(j, "name"));
        if (s && *s) name = strdup(s);
        json_decref(j);
    }
    free(text);
    free(path);
    return name;
}

/* The folder of the run that a file or folder belongs to, or NULL. */
static char *run_of(const char *path) {
    char *dir = file_is_dir(path) ? strdup(path) : parent_of(path);
    if (!dir || run_folder_is(dir)) return dir;
    char *kept = parent_of(dir), *run = kept ? parent_of(kept) : NULL;
    const bool checkpoint = run && !strcmp(last_part(kept), RUN_FOLDER_KEPT) && run_folder_is(run);
    free(dir);
    free(kept);
    if (checkpoint) return run;
    free(run);
    return NULL;
}

static char *without_ending(const char *name) {
    static const char *const ends[] = {".gguf", ".blzt", ".blzt4", ".bin", ".safetensors"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (file_ends_with(name, ends[i]) && n > strlen(ends[i])) {
            n -= strlen(ends[i]);
            break;
        }
    return strndup(name, n);
}

static char *name_of(const char *path) {
    char *run = run_of(path), *name;
    if (run) {
        name = given_name(run);
        if (!name) name = strdup(last_part(run));
        free(run);
        return name;
    }
    if (file_is_dir(path)) return strdup(last_part(path));
    char *dir = file_ends_with(path, ".safetensors") ? parent_of(path) : NULL;
    name = dir ? strdup(last_part(dir)) : without_ending(last_part(path));
    free(dir);
    return name;
}

char *model_name(const char *path) {
    char *real = realpath(path, NULL), *name = real ? name_of(real) : strdup("");
    free(real);
    for (char *p = name; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = ' ';
    json_t *text = name ? json_string(name) : NULL; /* NULL: no UTF-8 */
    if (name && (!text || !*name)) {
        free(name);
        name = strdup("duet");
    }
    json_decref(text);
    return name;
}
