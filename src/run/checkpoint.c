#include "checkpoint.h"

#include "disk.h"
#include "file.h"
#include "format.h"
#include "state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char STATE[] = "state", GOOD_STATE[] = "state.good";

/* The weights' file: of the whole model, or of what LoRA trains. */
static const char *weights_name(const struct run *r) {
    return r->model->lora ? "adapter.blzt" : "model.blzt";
}

static const char *good_name(const struct run *r) {
    return r->model->lora ? "adapter.good.blzt" : "model.good.blzt";
}

static const char *next_name(const struct run *r) {
    return r->model->lora ? "adapter.next.blzt" : "model.next.blzt";
}

int checkpoint_save(const char *dir, struct run *r, bool best, struct err *e) {
    int rc;
    char *model = file_join(dir, weights_name(r)), *next = file_join(dir, next_name(r)),
         *state = file_join(dir, STATE);
    const struct run_pair pair = {.weights = next, .state = state, .best = best};
    if (!model || !next || !state) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    /* The pair beside the old one, as large as that. */
    const uint64_t again = disk_size(model) + disk_size(state);
    TRY(disk_fits(next, "the checkpoint", again, disk_size(model), e));
    TRY(run_snapshot(r, &pair, e));
    TRY(file_replace(next, model, e));
out:
    free(model);
    free(next);
    free(state);
    return rc;
}

static bool has(const char *dir, const char *name) {
    char *path = file_join(dir, name);
    const bool yes = path && file_exists(path);
    free(path);
    return yes;
}

bool checkpoint_exists(const char *dir) {
    return has(dir, STATE);
}

/* Makes model.blzt the file whose hash the state names. */
static int settle(const char *model, const char *next, const char *state, uint64_t want,
                  struct err *e) {
    uint64_t hash;
    struct err ignored;
    if (file_exists(model) && !model_file_hash(model, &hash, &ignored) && hash == want) return 0;
    if (file_exists(next) && !model_file_hash(next, &hash, &ignored) && hash == want)
        return file_replace(next, model, e);
    return err_set(
        e, ERR_INPUT,
        "%s belongs to a model file with hash %016llx, and neither %s nor %s is that file", state,
        (unsigned long long)want, model, next);
}

int checkpoint_load(const char *dir, struct run *r, struct err *e) {
    int rc;
    uint64_t hash;
    char *model = file_join(dir, weights_name(r)), *next = file_join(dir, next_name(r)),
         *state = file_join(dir, STATE);
    const struct run_pair pair = {.weights = model, .state = state, .known = true};
    if (!model || !next || !state) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    TRY(state_hash(state, &hash, e));
    TRY(settle(model, next, state, hash, e));
    TRY(run_restore(r, &pair, e));
out:
    free(model);
    free(next);
    free(state);
    return rc;
}

static int link_in(const char *dir, const char *from, const char *to, struct err *e) {
    char *a = file_join(dir, from), *b = file_join(dir, to);
    const int rc = a && b ? file_link(a, b, e) : err_set(e, ERR_NOMEM, "out of memory");
    free(a);
    free(b);
    return rc;
}

/* The state comes last: without it there is nothing aside. */
int checkpoint_set_aside(const char *dir, const struct run *r, struct err *e) {
    const int rc = link_in(dir, weights_name(r), good_name(r), e);
    return rc ? rc : link_in(dir, STATE, GOOD_STATE, e);
}

bool checkpoint_aside(const char *dir) {
    return has(dir, GOOD_STATE);
}

/* In the order of writing, so that one of the two pairs is whole at any time. */
int checkpoint_load_aside(const char *dir, struct run *r, struct err *e) {
    int rc;
    TRY(link_in(dir, good_name(r), next_name(r), e));
    TRY(link_in(dir, GOOD_STATE, STATE, e));
    TRY(checkpoint_load(dir, r, e));
out:
    return rc;
}

void checkpoint_drop_aside(const char *dir, const struct run *r) {
    const char *const names[] = {GOOD_STATE, good_name(r)};
    for (int i = 0; i < 2; i++) {
        char *path = file_join(dir, names[i]);
        if (path) unlink(path);
        free(path);
    }
}

int checkpoint_progress(const char *dir, struct progress *p, struct err *e) {
    char *state = file_join(dir, STATE);
    const int rc = state ? state_read_progress(state, p, e)
                         : err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
    free(state);
    return rc;
}

int checkpoint_load_weights(const char *dir, const char *name, struct run *r, struct err *e) {
    char *path = file_join(dir, name);
    const int rc = path ? run_load_weights(r, path, e)
                        : err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
    free(path);
    return rc;
}

int checkpoint_hash(const char *dir, struct run *r, struct err *e) {
    uint64_t hash = 0;
    char *path = file_join(dir, weights_name(r));
    const int rc = path ? model_file_hash(path, &hash, e)
                        : err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
    free(path);
    r->p.best_hash = (int64_t)(hash >> 1);
    return rc;
}
