#include "num.h"
#include "trainer.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const struct row {
    const char *name;
    size_t offset;
    int digits;    /* after the point; -1: integer */
    bool optional; /* left out when NaN */
} rows[] = {
#define AT(f) #f, offsetof(struct train_summary, f)
    {AT(val_loss), 6, false},
    {AT(val_loss_stderr), 6, false},
    {AT(val_bpb), 6, false},
    {AT(floor_bpb), 6, false},
    {AT(val_loss_full), 6, true},
    {AT(val_accuracy), 6, true},
    {AT(val_f1), 6, true},
    {AT(train_loss), 6, false},
    {AT(training_seconds), 1, false},
    {AT(total_seconds), 1, false},
    {AT(peak_rss_mb), 1, false},
    {AT(planned_mb), 1, false},
    {AT(total_tokens_M), 6, false},
    {AT(num_steps), -1, false},
    {AT(num_params_M), 6, false},
    {AT(trained_params_M), 6, false},
    {AT(depth), -1, false},
    {AT(tokens_per_second), 1, false},
    {AT(ms_per_step), 3, false},
    {AT(gflops), 1, false},
    {AT(gemm_peak_gflops), 1, false},
    {AT(peak_fraction), 3, false},
#undef AT
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static double real_at(const struct train_summary *s, const struct row *r) {
    return *(const double *)(const void *)((const char *)s + r->offset);
}

static int64_t int_at(const struct train_summary *s, const struct row *r) {
    return *(const int64_t *)(const void *)((const char *)s + r->offset);
}

char *train_summary_json(const struct train_summary *s) {
    json_t *j = json_object();
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *r = rows + i;
        if (r->digits < 0)
            json_object_set_new(j, r->name, json_integer(int_at(s, r)));
        else if (isfinite(real_at(s, r)) || !r->optional)
            json_object_set_new(j, r->name, num_json(real_at(s, r)));
    }
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(j);
    return text;
}

void train_summary_print(const struct train_summary *s, bool json, FILE *out) {
    if (json) {
        char *text = train_summary_json(s);
        fprintf(out, "%s\n", text ? text : "{}");
        free(text);
        return;
    }
    char room[32];
    fprintf(out, "---\n");
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *r = rows + i;
        if (r->digits < 0)
            fprintf(out, "%s: %lld\n", r->name, (long long)int_at(s, r));
        else if (isfinite(real_at(s, r)) || !r->optional)
            fprintf(out, "%s: %s\n", r->name, num_text(real_at(s, r), r->digits, room));
    }
}
