/* What `duet bench step` and `duet bench gemm` say alike. */
#include "bench.h"
#include "log.h"
#include "num.h"

#include <stdio.h>

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
