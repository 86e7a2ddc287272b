#include "model_shipped.h"

#include "file.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_PLACES = 3 };

/* The folder of the program, without links. */
static bool program_folder(char out[PATH_MAX]) {
    const ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash) *slash = 0;
    return slash != NULL;
}

/* Of those that are there the names without "..". */
static void place(int i, char out[PATH_MAX]) {
    static const char *const beside[] = {"../share/duet/models", "../../models"};
    char program[PATH_MAX], path[PATH_MAX + 32];
    *out = 0;
    if (i == N_PLACES - 1)
        snprintf(out, PATH_MAX, "%s", DUET_MODELS);
    else if (program_folder(program)) {
        snprintf(path, sizeof path, "%s/%s", program, beside[i]);
        if (!realpath(path, out)) *out = 0;
    }
}

int model_shipped_find(const char **model, char **found, struct err *e) {
    char looked[700] = "", folder[PATH_MAX], name[128];
    *found = NULL;
    if (!*model || strchr(*model, '/') || file_exists(*model)) return 0;
    const bool whole = file_ends_with(*model, ".json");
    if (snprintf(name, sizeof name, "%s%s", *model, whole ? "" : ".json") >= (int)sizeof name)
        return 0; /* reading will say that it is not there */
    for (int i = 0; i < N_PLACES; i++) {
        place(i, folder);
        if (!*folder) continue;
        char *path = file_join(folder, name);
        if (!path) return err_set(e, ERR_NOMEM, "out of memory for the name of a model");
        if (file_exists(path)) {
            *model = *found = path;
            return 0;
        }
        free(path);
        const size_t n = strlen(looked);
        snprintf(looked + n, sizeof looked - n, "%s%.200s", n ? " and " : "", folder);
    }
    return err_set(e, ERR_INPUT, "--model %.100s: there is no such file here, and no %s in %s",
                   *model, name, looked);
}
