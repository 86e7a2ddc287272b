/* What the tests of conversion share: a folder that goes away, models of random weights, and how
 * far two of them are apart. */
#ifndef DUET_CONVERT_FIXTURE_H
#define DUET_CONVERT_FIXTURE_H

#include "folder_fixture.h"

#include "compare.h"
#include "export.h"
#include "import.h"
#include "machine_fixture.h"
#include "rng.h"
#include <jansson.h>
#include <math.h>

/* A file of random weights: norms and biases too, every tensor as dtype t. */
static inline void write_model(const char *path, const char *keys, enum dtype t) {
    struct model_config c;
    struct model m;
    static const char *const base[][2] = {
        {"hidden_size", "64"},          {"intermediate_size", "96"},
        {"num_hidden_layers", "2"},     {"num_attention_heads", "4"},
        {"num_key_value_heads", "2"},   {"vocab_size", "50"},
        {"rms_norm_eps", "1e-5"},       {"max_position_embeddings", "64"},
        {"tie_word_embeddings", "true"}};
    char text[1024];
    int n = snprintf(text, sizeof text, "{%s", keys);
    for (size_t i = 0; i < sizeof base / sizeof *base; i++)
        if (!strstr(keys, base[i][0]))
            n += snprintf(text + n, sizeof text - (size_t)n, ",\"%s\":%s", base[i][0], base[i][1]);
    snprintf(text + n, sizeof text - (size_t)n, "}");
    ok(model_config_parse(&c, text, strlen(text), "test", NULL, &e));
    ok(model_create(&m, &c, &e));
    ok(model_set_storage(&m, t, &e));
    ok(model_reserve(&m, &e));
    ok(model_init(&m, 7, &e));
    struct rng g = rng_make(3, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < m.n_params; i++)
        if (m.params[i].ndim == 1) {
            float *x = m.params[i].data;
            for (int64_t k = 0; k < m.params[i].cols; k++)
                x[k] = (m.params[i].role == ROLE_norm) + 0.2f * (float)rng_normal(&g);
        }
    ok(model_save(&m, path, "blzt5", NULL, &e));
    model_close(&m);
}

static struct export_report report;

static inline int convert(const char *from, const char *to, const char *format, int dtype) {
    struct model_file mf;
    const struct export_opts o = {.dtype = dtype};
    int rc = model_import(&mf, from, true, &e);
    if (!rc) rc = model_export(&mf, format_find(format), to, &o, &report, &e);
    model_file_close(&mf);
    return rc;
}

static inline struct compare compare(const char *a, const char *b) {
    struct compare c;
    const struct machine one = machine_of("auto", DT_F32);
    const struct compare_side x = {a, NULL, NULL}, y = {b, NULL, NULL};
    ok(model_compare(&one, &x, &y, &c, &e));
    return c;
}

#endif
