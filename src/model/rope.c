#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct llama3 {
    double factor, low, high, original;
};

static double llama3_factor(const struct llama3 *s, double theta, int64_t i, int64_t head_dim) {
    const double wave = 2 * M_PI * pow(theta, 2.0 * (double)i / (double)head_dim);
    if (wave < s->original / s->high) return 1;
    if (wave > s->original / s->low) return s->factor;
    const double smooth = (s->original / wave - s->low) / (s->high - s->low);
    return 1 / ((1 - smooth) / s->factor + smooth);
}

static int bad(const char *name, const char *key, const char *want, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: rope_scaling (or rope_parameters): %s is missing or not %s",
                   name, key, want);
}

static int get_real(const json_t *o, const char *key, const char *name, double *v, struct err *e) {
    const json_t *j = json_object_get(o, key);
    *v = json_number_value(j);
    if (!json_is_number(j) || !(*v > 0 && *v < 1e12)) return bad(name, key, "a number above 0", e);
    return 0;
}

/* transformers 5 takes the length that the config says beside rope_scaling, transformers 4 the one
 * in it. */
static int get_original(const json_t *config, const json_t *o, const char *name, double *v,
                        struct err *e) {
    static const char key[] = "original_max_position_embeddings";
    const json_t *outer = json_object_get(config, key), *inner = json_object_get(o, key);
    if (!outer || json_is_null(outer)) return get_real(o, key, name, v, e);
    if (inner && !json_is_null(inner) && json_number_value(inner) != json_number_value(outer))
        return err_set(e, ERR_INPUT, "%s: %s differs from the one in rope_scaling", name, key);
    return get_real(config, key, name, v, e);
}

static int read_llama3(const json_t *config, const json_t *o, const char *name, struct llama3 *s,
                       struct err *e) {
    int rc;
    TRY(get_real(o, "factor", name, &s->factor, e));
    TRY(get_real(o, "low_freq_factor", name, &s->low, e));
    TRY(get_real(o, "high_freq_factor", name, &s->high, e));
    TRY(get_original(config, o, name, &s->original, e));
    if (s->high <= s->low) rc = bad(name, "high_freq_factor", "above low_freq_factor", e);
out:
    return rc;
}

static int read_list(const json_t *list, int64_t n, const char *name, double *f, struct err *e) {
    if (!json_is_array(list) || (int64_t)json_array_size(list) != n)
        return err_set(e, ERR_INPUT, "%s: duet.rope_factors is not a list of %lld numbers", name,
                       (long long)n);
    for (int64_t i = 0; i < n; i++) {
        f[i] = json_number_value(json_array_get(list, (size_t)i));
        if (!(f[i] > 0 && f[i] < 1e12))
            return err_set(e, ERR_INPUT, "%s: duet.rope_factors[%lld] is not a number above 0",
                           name, (long long)i);
    }
    return 0;
}

static int read_scaling(const json_t *config, const json_t *o, double theta, int64_t head_dim,
                        const char *name, double *f, struct err *e) {
    struct llama3 s = {0};
    int rc = 0;
    const json_t *type = json_object_get(o, "rope_type");
    const json_t *part = json_object_get(o, "partial_rotary_factor");
    if (!type || json_is_null(type)) type = json_object_get(o, "type");
    const char *word = json_is_string(type) ? json_string_value(type) : "";
    if (part && !json_is_null(part) && json_number_value(part) != 1) {
        rc = bad(name, "partial_rotary_factor", "1: duet turns all of a head", e);
        goto out;
    }
    if (!strcmp(word, "default")) {
        for (int64_t i = 0; i < head_dim / 2; i++) f[i] = 1;
    } else if (!strcmp(word, "linear")) {
        TRY(get_real(o, "factor", name, f, e));
        for (int64_t i = 1; i < head_dim / 2; i++) f[i] = f[0];
    } else if (!strcmp(word, "llama3")) {
        TRY(read_llama3(config, o, name, &s, e));
        for (int64_t i = 0; i < head_dim / 2; i++) f[i] = llama3_factor(&s, theta, i, head_dim);
    } else {
        rc = err_set(e, ERR_INPUT,
                     "%s: rope_scaling (or rope_parameters) has %s%.40s%s, which duet does not "
                     "compute; expected rope_type default, linear or llama3",
                     name, *word ? "type \"" : "no rope_type", word, *word ? "\"" : "");
    }
out:
    return rc;
}

int rope_factors(const json_t *config, double theta, int64_t head_dim, const char *name,
                 double **factors, struct err *e) {
    int rc = 0;
    const json_t *list = json_object_get(json_object_get(config, "duet"), "rope_factors");
    const json_t *scaling = json_object_get(config, "rope_scaling");
    const int64_t n = head_dim / 2;
    *factors = NULL;
    if (json_is_null(list)) list = NULL;
    if (json_is_null(scaling) || (json_is_object(scaling) && !json_object_size(scaling)))
        scaling = NULL;
    if (!list && !scaling) return 0;
    double *f = malloc(2 * (size_t)n * sizeof *f), *other = f + n;
    if (!f) return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    if (list) TRY(read_list(list, n, name, f, e));
    if (scaling) TRY(read_scaling(config, scaling, theta, head_dim, name, list ? other : f, e));
    for (int64_t i = 0; list && scaling && i < n; i++)
        if (fabs(other[i] - f[i]) > 1e-5 * f[i]) {
            rc = err_set(e, ERR_INPUT,
                         "%s: duet.rope_factors and rope_scaling say different things, which duet "
                         "does not combine",
                         name);
            goto out;
        }
    for (int64_t i = 0; i < n && !*factors; i++)
        if (f[i] != 1) *factors = f;
out:
    if (!*factors) free(f);
    return rc;
}

json_t *rope_find_llama3(const double *factors, double theta, int64_t head_dim) {
    struct llama3 s = {.low = 1, .high = 4};
    for (int64_t i = 0; i < head_dim / 2; i++)
        if (factors[i] > s.factor) s.factor = factors[i];
    for (s.original = 1024; s.original <= 1 << 20; s.original *= 2) {
        bool same = true;
        for (int64_t i = 0; i < head_dim / 2 && same; i++) {
            const double want = llama3_factor(&s, theta, i, head_dim);
            same = fabs(factors[i] - want) <= 1e-6 * want;
        }
        if (same)
            return json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", "llama3", "factor", s.factor,
                             "low_freq_factor", s.low, "high_freq_factor", s.high,
                             "original_max_position_embeddings", (json_int_t)s.original);
    }
    return NULL;
}
