#include "model_diff.h"

#include "import.h"
#include "run_start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sides ----------------------------------------------------------------------------------- */

/* Base and adapter as one, held in f32. */
static int open_merged(struct diff_side *s, const struct run_files *f,
                       const struct machine *machine, struct err *e) {
    int rc;
    const struct adapter_use use = {
        .weights = DT_F32, .scale = 1, .merge = true, .pool = machine->pool};
    TRY(run_files_open(f, &s->merged, &use, e));
    TRY(lora_merge(&s->merged, machine->kern, e));
    TRY(model_as_file(&s->merged, &s->mf, &s->hold, NULL, e));
out:
    return rc;
}

/* What the description means, whatever the format leaves unsaid. */
static int spell_out(struct diff_side *s, struct err *e) {
    struct model_config c;
    const int rc =
        model_config_parse(&c, s->mf.config, strlen(s->mf.config), s->path, NULL, e);
    if (rc) return rc;
    char *text = model_config_dump(&c);
    model_config_release(&c);
    if (!text) return err_set(e, ERR_NOMEM, "out of memory for %s", s->path);
    free(s->mf.config);
    s->mf.config = text;
    return 0;
}

int diff_side_open(struct diff_side *s, const char *path, const struct machine *machine,
                   struct err *e) {
    int rc;
    struct run_files f = {0};
    *s = (struct diff_side){.path = path};
    TRY(run_files_find(&f, path, NULL, e));
    if (f.adapter) {
        TRY(open_merged(s, &f, machine, e));
        goto out;
    }
    TRY(model_import(&s->mf, path, false, e));
    TRY(adapter_probe(&s->mf, &s->adapter, e));
    if (!s->adapter) TRY(spell_out(s, e));
out:
    run_files_release(&f);
    if (rc) diff_side_close(s);
    return rc;
}

void diff_side_close(struct diff_side *s) {
    model_file_close(&s->mf);
    model_as_file_close(s->hold);
    model_close(&s->merged);
    *s = (struct diff_side){0};
}

/* ---- tensors --------------------------------------------------------------------------------- */

struct sums {
    double max, squares, own;
    bool same;
};

static void add(struct sums *s, const float *x, const float *y, size_t n) {
    double squares = 0, own = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (double)y[i];
        s->same &= x[i] == y[i];
        if (!(fabs(d) <= s->max)) s->max = isnan(d) ? INFINITY : fabs(d);
        squares += d * d;
        own += (double)x[i] * (double)x[i];
    }
    s->squares += squares;
    s->own += own;
}

static void read_row(const struct mf_tensor *t, uint64_t r, float *to) {
    const size_t n = (size_t)(t->ndim == 2 ? t->shape[1] : t->shape[0]);
    const double factor = mf_tensor_factor(t);
    if (t->ndim != 2) {
        mf_tensor_read(t, to);
        return;
    }
    dtype_to_f32(t->dtype, mf_tensor_row(t, r), to, n);
    for (size_t i = 0; factor != 1 && i < n; i++) to[i] = (float)((double)to[i] * factor);
}

static bool same_shape(const struct mf_tensor *a, const struct mf_tensor *b) {
    return a->ndim == b->ndim && a->shape[0] == b->shape[0] &&
           (a->ndim < 2 || a->shape[1] == b->shape[1]);
}

/* Numbers that are no weights: the map of a compacted vocabulary. */
static bool same_bytes(const struct mf_tensor *a, const struct mf_tensor *b) {
    const size_t n = dtype_bytes(a->dtype, (size_t)mf_tensor_count(a));
    return a->dtype == b->dtype && !memcmp(a->data, b->data, n);
}

static int compare_tensor(struct tensor_diff *d, const struct diff_side *a,
                          const struct diff_side *b, struct err *e) {
    struct sums s = {.same = true};
    if (!same_shape(d->a, d->b)) {
        d->kind = DIFF_SHAPE;
        return 0;
    }
    if (!dtype_is_float(d->a->dtype) || !dtype_is_float(d->b->dtype)) {
        d->same = same_bytes(d->a, d->b);
        d->max = d->rms = d->scale = d->same ? 0 : NAN;
        return 0;
    }
    const size_t cols = (size_t)(d->a->ndim == 2 ? d->a->shape[1] : d->a->shape[0]);
    const uint64_t rows = d->a->ndim == 2 ? d->a->shape[0] : 1;
    float *x = malloc(2 * cols * sizeof *x);
    if (!x) return err_set(e, ERR_NOMEM, "out of memory for tensor %s", d->name);
    for (uint64_t r = 0; r < rows; r++) {
        read_row(d->a, r, x);
        read_row(d->b, r, x + cols);
        add(&s, x, x + cols, cols);
    }
    free(x);
    model_file_drop(&a->mf, d->a->data, dtype_bytes(d->a->dtype, (size_t)mf_tensor_count(d->a)));
    model_file_drop(&b->mf, d->b->data, dtype_bytes(d->b->dtype, (size_t)mf_tensor_count(d->b)));
    const double n = (double)rows * (double)cols;
    d->same = s.same;
    d->max = s.max;
    d->rms = sqrt(s.squares / n);
    d->scale = sqrt(s.own / n);
    return 0;
}

/* Missing ones first, then the largest difference; of equal ones the file's order. */
static int by_difference(const void *x, const void *y) {
    const struct tensor_diff *a = x, *b = y;
    if ((a->kind == DIFF_BOTH) != (b->kind == DIFF_BOTH))
        return (a->kind == DIFF_BOTH) - (b->kind == DIFF_BOTH);
    if (a->kind != DIFF_BOTH) return a->kind != b->kind ? (int)a->kind - (int)b->kind
                                                        : strcmp(a->name, b->name);
    if (a->same != b->same) return a->same - b->same;
    const double p = isnan(a->max) ? INFINITY : a->max, q = isnan(b->max) ? INFINITY : b->max;
    return p != q ? (p < q) - (p > q) : strcmp(a->name, b->name);
}

static int compare_tensors(struct model_diff *d, const struct diff_side *a,
                           const struct diff_side *b, struct err *e) {
    int rc = 0;
    d->tensor = calloc(a->mf.n_tensors + b->mf.n_tensors + 1, sizeof *d->tensor);
    if (!d->tensor) return err_set(e, ERR_NOMEM, "out of memory for tensors");
    for (size_t i = 0; i < a->mf.n_tensors; i++) {
        const struct mf_tensor *t = a->mf.tensors + i, *u = model_file_find(&b->mf, t->name);
        struct tensor_diff *x = d->tensor + d->n++;
        *x = (struct tensor_diff){
            .name = t->name, .a = t, .b = u, .kind = u ? DIFF_BOTH : DIFF_ONLY_A};
        if (u) TRY(compare_tensor(x, a, b, e));
        d->n_same += x->same;
    }
    for (size_t i = 0; i < b->mf.n_tensors; i++) {
        const struct mf_tensor *u = b->mf.tensors + i;
        if (!model_file_find(&a->mf, u->name))
            d->tensor[d->n++] =
                (struct tensor_diff){.name = u->name, .b = u, .kind = DIFF_ONLY_B};
    }
    qsort(d->tensor, d->n, sizeof *d->tensor, by_difference);
out:
    return rc;
}

/* ---- config and tokenizer -------------------------------------------------------------------- */

/* A key that is not there and one that is null are both nothing. */
static bool same_value(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    const bool none = !a || json_is_null(a);
    if (none) return !b || json_is_null(b);
    return b && json_equal(a, b);
}

/* Keys of inner objects stand as "outer.inner". */
static void diff_objects(json_t *out, const char *prefix, json_t *a, json_t *b) {
    const char *key;
    json_t *v;
    for (int turn = 0; turn < 2; turn++)
        json_object_foreach(turn ? b : a, key, v) {
            json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
            char name[256];
            if ((turn && x) || same_value(x, y)) continue;
            snprintf(name, sizeof name, "%.120s%.120s", prefix, key);
            if (json_is_object(x) && json_is_object(y)) {
                strcat(name, ".");
                diff_objects(out, name, x, y);
                continue;
            }
            json_object_set_new(out, name, json_pack("[o,o]", x ? json_incref(x) : json_null(),
                                                     y ? json_incref(y) : json_null()));
        }
}

static int compare_configs(struct model_diff *d, const struct diff_side *a,
                           const struct diff_side *b, struct err *e) {
    json_error_t je;
    json_t *x = json_loads(a->mf.config, 0, &je), *y = json_loads(b->mf.config, 0, &je);
    d->config = json_object();
    if (x && y && d->config) diff_objects(d->config, "", x, y);
    const bool good = x && y && d->config;
    json_decref(x);
    json_decref(y);
    return good ? 0 : err_set(e, ERR_NOMEM, "out of memory for a description");
}

/* A vocabulary that cannot be used is none. */
static int tokenizer_of(const struct diff_side *s, struct tokenizer **t, struct err *e) {
    const struct tok_own own = model_file_tok_own(&s->mf);
    const int rc = tokenizer_open_own(t, &own, s->path, e);
    return rc == ERR_INPUT && own.vocab ? 0 : rc;
}

static int compare_tokenizers(struct model_diff *d, const struct diff_side *a,
                              const struct diff_side *b, struct err *e) {
    int rc = 0;
    struct tokenizer *x = NULL, *y = NULL;
    TRY(tokenizer_of(a, &x, e));
    TRY(tokenizer_of(b, &y, e));
    d->tokenizer = x && y ? tokenizer_hash(x) == tokenizer_hash(y) ? "same" : "differ"
                   : x   ? "only in A"
                   : y   ? "only in B"
                         : "none";
out:
    tokenizer_close(x);
    tokenizer_close(y);
    return rc;
}

int model_diff_make(struct model_diff *d, const struct diff_side *a, const struct diff_side *b,
                    struct err *e) {
    int rc;
    *d = (struct model_diff){0};
    TRY(compare_configs(d, a, b, e));
    TRY(compare_tokenizers(d, a, b, e));
    TRY(compare_tensors(d, a, b, e));
out:
    if (rc) model_diff_release(d);
    return rc;
}

void model_diff_release(struct model_diff *d) {
    free(d->tensor);
    json_decref(d->config);
    *d = (struct model_diff){0};
}
