#include "val_change.h"

#include "file.h"
#include "json_text.h"
#include "stat.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void val_change_init(struct val_change *v) {
    *v = (struct val_change){.step = -1, .change = NAN, .stderr_ = NAN};
}

void val_change_release(struct val_change *v) {
    free(v->first);
    free(v->now);
    val_change_init(v);
}

int val_change_reserve(struct val_change *v, int64_t n, struct err *e) {
    if (v->now && v->n == n) return 0;
    val_change_release(v); /* other windows: nothing to compare with */
    v->first = calloc((size_t)n, sizeof *v->first);
    v->now = calloc((size_t)n, sizeof *v->now);
    v->n = n;
    return v->first && v->now ? 0 : err_set(e, ERR_NOMEM, "out of memory for validation losses");
}

void val_change_take(struct val_change *v, int64_t step) {
    const size_t n = (size_t)v->n;
    if (v->step < 0 || v->step == step) { /* the same again is still the first */
        memcpy(v->first, v->now, n * sizeof *v->first);
        v->step = step;
        v->change = v->stderr_ = NAN;
        return;
    }
    for (size_t i = 0; i < n; i++) v->now[i] -= v->first[i];
    v->change = stat_mean(v->now, n);
    v->stderr_ = stat_stderr(v->now, n);
}

bool val_change_risen(const struct val_change *v) {
    if (isnan(v->change)) return false;
    return v->change > (isnan(v->stderr_) ? 0 : 2 * v->stderr_);
}

/* ---- the file -------------------------------------------------------------------------------- */

int val_change_save(const struct val_change *v, const char *path, const struct val_place *p,
                    struct err *e) {
    int rc;
    struct file_out f = {0};
    char *text = NULL;
    json_t *losses = json_array(), *root = NULL;
    for (int64_t i = 0; i < v->n; i++) {
        if (!isfinite(v->first[i])) {
            json_decref(losses);
            return 0;
        }
        json_array_append_new(losses, json_real(v->first[i]));
    }
    root = json_pack("{s:I,s:I,s:I,s:O}", "step", (json_int_t)p->step, "rollbacks",
                     (json_int_t)p->rollbacks, "key", (json_int_t)p->key, "losses", losses);
    text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text) {
        rc = err_set(e, ERR_NOMEM, "out of memory for validation losses");
        goto out;
    }
    TRY(file_out_open(&f, path, e));
    file_out_write(&f, text, strlen(text));
    file_out_write(&f, "\n", 1);
    TRY(file_out_commit(&f, e));
out:
    file_out_discard(&f);
    json_decref(losses);
    json_decref(root);
    free(text);
    return rc;
}

static bool read_losses(const json_t *losses, double *to) {
    for (size_t i = 0; i < json_array_size(losses); i++) {
        const json_t *x = json_array_get(losses, i);
        if (!json_is_number(x)) return false;
        to[i] = json_number_value(x);
    }
    return true;
}

int val_change_load(struct val_change *v, const char *path, struct val_place *p, struct err *e) {
    int rc = 0;
    json_error_t je;
    json_int_t step = -1, rollbacks = -1, key = -1;
    json_t *losses = NULL, *root = json_load_file(path, JSON_REJECT_DUPLICATES, &je);
    if (!root) return err_set(e, ERR_INPUT, "%s:%d: %s", path, je.line, json_text_why(&je));
    if (json_unpack(root, "{s:I,s:I,s:I,s:o}", "step", &step, "rollbacks", &rollbacks, "key", &key,
                    "losses", &losses) ||
        step < 0 || rollbacks < 0 || key < 0 || !json_array_size(losses)) {
        rc = err_set(e, ERR_INPUT, "%s: no step, rollbacks, key and losses", path);
        goto out;
    }
    val_change_release(v);
    TRY(val_change_reserve(v, (int64_t)json_array_size(losses), e));
    if (!read_losses(losses, v->first)) {
        val_change_release(v);
        rc = err_set(e, ERR_INPUT, "%s: losses are not all numbers", path);
        goto out;
    }
    v->step = step;
    *p = (struct val_place){.step = step, .rollbacks = rollbacks, .key = key};
out:
    json_decref(root);
    return rc;
}
