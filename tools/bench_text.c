/* What `duet bench step` and `duet bench gemm` say and read alike. */
#include "bench.h"
#include "log.h"
#include "num.h"

#include <stdio.h>
#include <string.h>

int bench_against_kind(const char *word, bool *backend, struct err *e) {
    char list[128] = "";
    *backend = false;
    if (strchr(word, '/')) return 0;
    for (size_t i = 0; i < n_gemm_backends; i++) {
        if (!strcmp(word, gemm_backends[i]->name)) {
            *backend = true;
            return 0;
        }
        strncat(list, gemm_backends[i]->name, sizeof list - strlen(list) - 1);
        strncat(list, ", ", sizeof list - strlen(list) - 1);
    }
    return err_set(e, ERR_USAGE,
                   "--against %.80s: expected %sor the path of a program, with a slash", word,
                   list);
}

const char *bench_short_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

void bench_warn_of_drift(const struct drift *peak) {
    const struct drift_range d = drift_range(peak);
    struct log_progress line;
    if (d.moved <= 0.1) return;
    log_progress_init(&line, true);
    log_warn(&line,
             "warning: the machine's peak moved by %.0f %% meanwhile (%.0f to %.0f GFLOP/s): "
             "compare ratios, not rates",
             100 * d.moved, d.low, d.high);
}

void bench_warn_of_share(double most) {
    struct log_progress line;
    if (!(most > 1.25)) return;
    log_progress_init(&line, true);
    log_warn(&line,
             "warning: a share of %.2f cannot be: other work had the processors in the turns of the "
             "peak; compare ratios, not shares",
             most);
}

const char *bench_spread_text(struct stat_spread s, char buf[48]) {
    snprintf(buf, 48, "%.2f %.2f-%.2f", s.median, s.low, s.high);
    return buf;
}

void bench_spread_json(json_t *object, const char *key, struct stat_spread s) {
    char name[64];
    json_object_set_new(object, key, num_json(s.median));
    snprintf(name, sizeof name, "%s_low", key);
    json_object_set_new(object, name, num_json(s.low));
    snprintf(name, sizeof name, "%s_high", key);
    json_object_set_new(object, name, num_json(s.high));
}
