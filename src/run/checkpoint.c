#include "checkpoint.h"

#include "adapter.h"
#include "disk.h"
#include "file.h"
#include "format.h"
#include "kern.h"
#include "state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char STATE[] = "state", GOOD_STATE[] = "state.good";

/* The weights' file: of the whole model, or of what LoRA trains. */
static const char *weights_name(const struct engine *g) {
    return g->model->lora ? "adapter.blzt" : "model.blzt";
}

static const char *good_name(const struct engine *g) {
    return g->model->lora ? "adapter.good.blzt" : "model.good.blzt";
}

static const char *next_name(const struct engine *g) {
    return g->model->lora ? "adapter.next.blzt" : "model.next.blzt";
}

static bool all_finite(const struct param *p) {
    float buf[1024];
    const int64_t n = param_count(p);
    for (int64_t at = 0; at < n; at += 1024) {
        const int64_t some = n - at < 1024 ? n - at : 1024;
        if (!isfinite(kern()->sumsq(param_read(p, at, some, buf), some))) return false;
    }
    return true;
}

/* The weights about to be saved must be numbers: a checkpoint never holds NaN. */
static int check_finite(const struct model *m, struct err *e) {
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable && !all_finite(m->params + i))
            return err_set(e, ERR_NUMERIC, "weights of %s are not finite; nothing was saved",
                           m->params[i].name);
    return 0;
}

static char *meta_json(const struct progress *p) {
    json_t *j = json_pack("{s:I,s:I,s:f}", "step", (json_int_t)p->step, "tokens",
                          (json_int_t)p->tokens, "train_loss", isfinite(p->ema) ? p->ema : 0.0);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

struct progress progress_zero(void) {
    return (struct progress){.ema = NAN, .best = NAN, .val_best = NAN, .lr_scale = 1};
}

int checkpoint_save(const char *dir, const struct engine *g, struct progress *p, bool best,
                    struct err *e) {
    int rc;
    bool written = false;
    uint64_t hash = 0, named;
    struct err ignored;
    char *model = file_join(dir, weights_name(g)), *next = file_join(dir, next_name(g)),
         *state = file_join(dir, STATE);
    char *meta = meta_json(p);
    if (!model || !next || !state || !meta) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    TRY(check_finite(g->model, e));
    /* The pair beside the old one, as large as that. */
    const uint64_t again = disk_size(model) + disk_size(state);
    TRY(disk_fits(next, "the checkpoint", again, disk_size(model), e));
    TRY(g->model->lora ? adapter_save(g->model, next, "blzt5", meta, e)
                       : model_save(g->model, next, "blzt5", meta, e));
    TRY(model_file_hash(next, &hash, e));
    written = true;
    if (best) p->best_hash = (int64_t)(hash >> 1);
    TRY(state_write(state, g, p, hash, e));
    TRY(file_replace(next, model, e));
out:
    /* On a full disk the next model goes, unless the state is in place that names it. */
    if (rc && written && !(state_hash(state, &named, &ignored) == 0 && named == hash)) unlink(next);
    free(model);
    free(next);
    free(state);
    free(meta);
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

/* Rows that compaction leaves out come from this file from now on: a checkpoint has them all. */
static int load_weights(struct model *m, const char *path, struct err *e) {
    return m->lora ? adapter_load_values(m, path, e) : model_load(m, path, e);
}

int checkpoint_load(const char *dir, struct engine *g, struct progress *p, struct err *e) {
    int rc;
    uint64_t hash;
    char *model = file_join(dir, weights_name(g)), *next = file_join(dir, next_name(g)),
         *state = file_join(dir, STATE);
    if (!model || !next || !state) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    TRY(state_read(state, g, p, &hash, e));
    TRY(settle(model, next, state, hash, e));
    TRY(load_weights(g->model, model, e));
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
int checkpoint_set_aside(const char *dir, const struct engine *g, struct err *e) {
    const int rc = link_in(dir, weights_name(g), good_name(g), e);
    return rc ? rc : link_in(dir, STATE, GOOD_STATE, e);
}

bool checkpoint_aside(const char *dir) {
    return has(dir, GOOD_STATE);
}

int checkpoint_load_aside(const char *dir, struct engine *g, struct progress *p, struct err *e) {
    int rc;
    uint64_t want, hash;
    char *model = file_join(dir, good_name(g)), *state = file_join(dir, GOOD_STATE);
    if (!model || !state) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    TRY(model_file_hash(model, &hash, e));
    TRY(state_read(state, g, p, &want, e));
    rc = hash == want ? load_weights(g->model, model, e)
                      : err_set(e, ERR_INPUT, "%s does not belong to %s", model, state);
out:
    free(model);
    free(state);
    return rc;
}

void checkpoint_drop_aside(const char *dir, const struct engine *g) {
    const char *const names[] = {GOOD_STATE, good_name(g)};
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

int checkpoint_load_weights(const char *dir, const char *name, struct engine *g, struct err *e) {
    char *path = file_join(dir, name);
    const int rc = path ? load_weights(g->model, path, e)
                        : err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
    free(path);
    return rc;
}

int checkpoint_hash(const char *dir, const struct engine *g, struct progress *p, struct err *e) {
    uint64_t hash = 0;
    char *path = file_join(dir, weights_name(g));
    const int rc = path ? model_file_hash(path, &hash, e)
                        : err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
    free(path);
    p->best_hash = (int64_t)(hash >> 1);
    return rc;
}
