#include "num.h"
#include "term.h"
#include "trainer.h"

#include "file.h"
#include "json_text.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THREE = 100 };

static const struct row {
    const char *name;
    size_t offset;
    int digits;    /* after the point, in lines; -1: integer; THREE in all */
    enum { ALWAYS, LINES, KNOWN } left; /* out when NaN or -1: never, in lines, always */
} rows[] = {
#define AT(f) #f, offsetof(struct train_summary, f)
    {AT(val_loss), 4, ALWAYS},
    {AT(val_loss_stderr), 4, ALWAYS},
    {AT(val_bpb), 4, ALWAYS},
    {AT(floor_bpb), 4, LINES},
    {AT(val_loss_full), 4, KNOWN},
    {AT(val_change), 4, KNOWN},
    {AT(val_change_stderr), 4, KNOWN},
    {AT(val_accuracy), 4, KNOWN},
    {AT(val_f1), 4, KNOWN},
    {AT(train_loss), 4, ALWAYS},
    {AT(training_seconds), 1, ALWAYS},
    {AT(total_seconds), 1, ALWAYS},
    {AT(peak_rss_mb), 1, ALWAYS},
    {AT(planned_mb), 1, ALWAYS},
    {AT(total_tokens_M), THREE, ALWAYS},
    {AT(total_flops), THREE, KNOWN},
    {AT(num_steps), -1, ALWAYS},
    {AT(num_params_M), THREE, ALWAYS},
    {AT(trained_params_M), THREE, ALWAYS},
    {AT(depth), -1, ALWAYS},
    {AT(tokens_per_second), 0, ALWAYS},
    {AT(ms_per_step), THREE, ALWAYS},
    {AT(gflops), 1, ALWAYS},
    {AT(gemm_peak_gflops), 1, ALWAYS},
    {AT(peak_fraction), 3, ALWAYS},
    {AT(best_val_loss), 4, KNOWN},
    {AT(best_val_accuracy), 4, KNOWN},
    {AT(best_val_f1), 4, KNOWN},
    {AT(best_step), -1, KNOWN},
    {AT(budget_share), 4, KNOWN},
#undef AT
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static double real_at(const struct train_summary *s, const struct row *r) {
    return *(const double *)(const void *)((const char *)s + r->offset);
}

static int64_t int_at(const struct train_summary *s, const struct row *r) {
    return *(const int64_t *)(const void *)((const char *)s + r->offset);
}

/* How the run came to its end, which it may go on from. */
static const char *status_of(const struct train_summary *s) {
    return s->stopped ? "stopped" : "finished";
}

char *train_summary_json(const struct train_summary *s) {
    json_t *j = json_object();
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *r = rows + i;
        if (r->digits < 0 && r->left == KNOWN && int_at(s, r) < 0) continue;
        if (r->digits < 0)
            json_object_set_new(j, r->name, json_integer(int_at(s, r)));
        else if (isfinite(real_at(s, r)) || r->left != KNOWN)
            json_object_set_new(j, r->name, num_json(real_at(s, r)));
    }
    json_object_set_new(j, "status", json_string(status_of(s)));
    if (s->run) json_object_set_new(j, CONF_RECORD, json_loads(s->run, 0, NULL));
    if (s->history) json_object_set_new(j, "history", json_loads(s->history, 0, NULL));
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(j);
    return text;
}

/* The array of earlier ends, and this one behind them, for the next. */
char *train_summary_extend(const struct train_summary *s) {
    struct train_summary alone = *s;
    alone.run = alone.history = NULL;
    char *text = train_summary_json(&alone);
    json_t *all = s->history ? json_loads(s->history, 0, NULL) : NULL;
    json_t *last = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (!json_is_array(all)) {
        json_decref(all);
        all = json_array();
    }
    json_array_append_new(all, last);
    text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(all);
    return text;
}

int train_summary_read(struct train_summary *s, const char *path, struct err *e) {
    struct file_map m = {0};
    json_error_t je;
    int rc = file_map_open(&m, path, e); /* not as text: that a user means, a summary is none */
    if (rc) return rc;
    json_t *j = json_loadb((const char *)m.data, m.size, 0, &je);
    *s = (struct train_summary){0};
    for (int i = 0; i < N_ROWS && json_is_object(j); i++) {
        json_t *v = json_object_get(j, rows[i].name);
        char *at = (char *)s + rows[i].offset;
        if (rows[i].digits < 0)
            *(int64_t *)(void *)at = json_is_integer(v) ? json_integer_value(v) : -1;
        else
            *(double *)(void *)at = json_is_number(v) ? json_number_value(v) : NAN;
    }
    const char *status = json_string_value(json_object_get(j, "status"));
    s->stopped = status && !strcmp(status, "stopped");
    json_t *run = json_object_get(j, CONF_RECORD);
    if (json_is_object(run)) s->run = json_dumps(run, JSON_REAL_PRECISION(9));
    json_t *history = json_object_get(j, "history");
    if (json_is_array(history))
        s->history = json_dumps(history, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!json_is_object(j))
        rc = err_set(e, ERR_INPUT, "%s: line %d: %s", path, j ? 1 : je.line,
                     j ? "not a JSON object" : json_text_why(&je));
    json_decref(j);
    file_map_close(&m);
    return rc;
}

void train_summary_release(struct train_summary *s) {
    free(s->run);
    free(s->history);
    s->run = s->history = NULL;
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
        if (r->digits < 0 && r->left == KNOWN && int_at(s, r) < 0) continue;
        if (r->digits < 0) {
            term_fact(out, r->name, "%lld", (long long)int_at(s, r));
            continue;
        }
        const double x = real_at(s, r);
        if (!isfinite(x) && r->left != ALWAYS) continue;
        term_fact(out, r->name, "%s",
                  r->digits == THREE ? num_digits(x, 3, room) : num_text(x, r->digits, room));
    }
    term_fact(out, "status", "%s", status_of(s));
}
