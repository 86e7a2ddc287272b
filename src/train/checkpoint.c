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

static const char STATE[] = "state";

/* The weights' file: of the whole model, or of what LoRA trains. */
static const char *weights_name(const struct engine *g) {
    return g->model->lora ? "adapter.blzt" : "model.blzt";
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

int checkpoint_save(const char *dir, const struct engine *g, const struct progress *p,
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

bool checkpoint_exists(const char *dir) {
    char *state = file_join(dir, STATE);
    const bool yes = state && file_exists(state);
    free(state);
    return yes;
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
    if (g->model->lora) {
        rc = adapter_load_values(g->model, model, e);
        goto out;
    }
    /* Rows that compaction leaves out come from this file from now on: a checkpoint has them all. */
    rc = model_load(g->model, model, e);
out:
    free(model);
    free(next);
    free(state);
    return rc;
}
