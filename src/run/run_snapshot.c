/* A run as a pair of files. */
#include "run_impl.h"

#include "adapter.h"
#include "format.h"
#include "state.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* How long prompts were is not known of a task whose updates are only repeated. */
static char *meta_json(const struct run *r) {
    const struct progress *p = &r->p;
    const bool prompts = r->opts.engine_opts.objective && !r->opts.data.task;
    json_t *j = json_object();
    json_object_set_new(j, "step", json_integer(p->step));
    if (!prompts) json_object_set_new(j, "tokens", json_integer(p->tokens));
    json_object_set_new(j, "train_loss", json_real(isfinite(p->ema) ? p->ema : 0.0));
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

static int write_weights(const struct run *r, const char *path, uint64_t *hash, struct err *e) {
    char *meta = meta_json(r);
    if (!meta) return err_set(e, ERR_NOMEM, "out of memory for %s", path);
    const int rc =
        r->model->lora ? adapter_save_checked(r->model, path, "blzt5", meta, NULL, hash, e)
                       : model_save_hashed(r->model, path, "blzt5", meta, hash, e);
    free(meta);
    return rc;
}

int run_write_weights(const struct run *r, const char *path, struct err *e) {
    return write_weights(r, path, NULL, e);
}

/* Weights that are no numbers are found by who makes the file, before its first byte. They are no
 * input, but what became of the run. */
static int diverged(const struct model *m, int rc, struct err *e) {
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        if (p->trainable && !dtype_finite(p->dtype, p->data, (size_t)param_count(p)))
            return err_set(e, ERR_NUMERIC, "weights of %s are not finite; nothing was saved",
                           p->name);
    }
    return rc;
}

/* The weights are read twice (format.h), the file that they become is not. */
int run_snapshot(struct run *r, const struct run_pair *to, struct err *e) {
    int rc;
    bool written = false;
    uint64_t hash = 0, named;
    struct err ignored;
    rc = write_weights(r, to->weights, &hash, e);
    if (rc == ERR_INPUT) rc = diverged(r->model, rc, e);
    if (rc) goto out;
    written = true;
    if (to->best) r->p.best_hash = (int64_t)(hash >> 1);
    TRY(state_write(to->state, &r->engine, &r->p, hash, e));
out:
    /* On a full disk the new weights go, unless the state is in place that names them. */
    if (rc && written && !(state_hash(to->state, &named, &ignored) == 0 && named == hash))
        unlink(to->weights);
    return rc;
}

/* Rows that compaction leaves out come from this file from now on: a snapshot has them all. */
int run_load_weights(struct run *r, const char *path, struct err *e) {
    return r->model->lora ? adapter_load_values(r->model, path, e)
                          : model_load(r->model, path, e);
}

int run_restore(struct run *r, const struct run_pair *from, struct err *e) {
    int rc;
    uint64_t want, hash;
    if (!from->known) TRY(model_file_hash(from->weights, &hash, e));
    TRY(state_read(from->state, &r->engine, &r->p, &want, e));
    if (!from->known && hash != want) {
        rc = err_set(e, ERR_INPUT, "%s does not belong to %s", from->weights, from->state);
        goto out;
    }
    TRY(run_load_weights(r, from->weights, e));
    r->last_val_step = -1;
    r->back = true;
out:
    return rc;
}
