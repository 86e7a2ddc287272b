#include "provenance.h"

#include "file.h"
#include "version.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_MAX = 1 << 20, TEXT_MAX = 256 };

/* What is recorded of a process besides its date; the same keys are read back. */
static const char *const facts[] = {"version", "commit",  "host", "cpu",
                                    "tier",    "threads", "gemm", "gemm_peak_gflops"};
enum { N_FACTS = sizeof facts / sizeof *facts };

void provenance_begin(struct provenance *p) {
    struct tm utc;
    const time_t now = time(NULL);
    *p = (struct provenance){0};
    if (gmtime_r(&now, &utc)) strftime(p->date, sizeof p->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

int provenance_read(struct provenance *p, const char *config, struct err *e) {
    char *text;
    size_t size;
    const int rc = file_read_text(config, CONFIG_MAX, &text, &size, e);
    if (rc) return rc;
    json_t *all = json_loadb(text, size, 0, NULL), *run = json_object_get(all, "run");
    free(text);
    free(p->earlier);
    p->earlier = json_is_object(run) ? json_dumps(run, JSON_COMPACT) : NULL;
    p->resumed = true;
    json_decref(all);
    return 0;
}

/* Names of hosts and processors need not be UTF-8. */
static json_t *text_of(const char *s) {
    json_t *v = json_string(s);
    return v ? v : json_string("unknown");
}

static json_t *this_process(const struct provenance *p) {
    char host[TEXT_MAX] = "unknown", model[CPU_MODEL];
    if (gethostname(host, sizeof host)) strcpy(host, "unknown");
    host[sizeof host - 1] = 0;
    json_t *o = json_object();
    json_object_set_new(o, "date", json_string(p->date));
    json_object_set_new(o, "version", json_string(version_number()));
    json_object_set_new(o, "commit", json_string(version_commit()));
    json_object_set_new(o, "host", text_of(host));
    json_object_set_new(o, "cpu", text_of(cpu_model(model, sizeof model)));
    json_object_set_new(o, "tier", json_string(cpu_tier_name(p->machine->cpu.tier)));
    json_object_set_new(o, "threads", json_integer(machine_threads(p->machine)));
    const struct gemm_backend *gemm = p->machine->gemm[GEMM_WEIGHTS].backend;
    if (gemm) json_object_set_new(o, "gemm", json_string(gemm->name));
    if (p->peak > 0)
        json_object_set_new(o, "gemm_peak_gflops", json_real(round(10 * p->peak) / 10));
    return o;
}

/* A value that this program may have written. */
static bool is_ours(const json_t *v) {
    const char *s = json_string_value(v);
    return s ? strlen(s) < TEXT_MAX : json_is_number(v);
}

/* from's facts, and what else is named; anything else that a file holds is left out. */
static json_t *known_of(json_t *from, const char *also) {
    json_t *o = json_object(), *v = json_object_get(from, "date");
    if (is_ours(v)) json_object_set(o, "date", v);
    if (also && is_ours(v = json_object_get(from, also))) json_object_set(o, also, v);
    for (int i = 0; i < N_FACTS; i++)
        if (is_ours(v = json_object_get(from, facts[i]))) json_object_set(o, facts[i], v);
    return o;
}

/* What is the same as at the start is left out; the peak is always said. */
static json_t *entry_of(const struct provenance *p, json_t *start) {
    json_t *now = this_process(p);
    for (int i = 0; i < N_FACTS - 1; i++)
        if (json_equal(json_object_get(now, facts[i]), json_object_get(start, facts[i])))
            json_object_del(now, facts[i]);
    json_object_set_new(now, "step", json_integer(p->step));
    json_t *entry = known_of(now, "step");
    json_decref(now);
    return entry;
}

/* The start as it was recorded, with this process among those that went on. */
static json_t *gone_on(const struct provenance *p) {
    json_t *was = p->earlier ? json_loads(p->earlier, 0, NULL) : NULL;
    json_t *run = known_of(was, NULL), *list = json_array();
    json_t *before = json_object_get(was, "resumed");
    const size_t n = json_array_size(before);
    for (size_t i = n < PROVENANCE_RESUMED ? 0 : n - PROVENANCE_RESUMED + 1; i < n; i++)
        json_array_append_new(list, known_of(json_array_get(before, i), "step"));
    json_array_append_new(list, entry_of(p, run));
    json_object_set_new(run, "resumed", list);
    json_decref(was);
    return run;
}

static char *labelled(json_t *run, const char *name, const char *note) {
    if (name) json_object_set_new(run, "name", json_string(name));
    if (note) json_object_set_new(run, "note", json_string(note));
    char *text = json_dumps(run, JSON_REAL_PRECISION(9));
    json_decref(run);
    return text;
}

char *provenance_json(const struct provenance *p, const char *name, const char *note) {
    return labelled(p->resumed ? gone_on(p) : this_process(p), name, note);
}

char *provenance_labelled(const char *earlier, const char *name, const char *note) {
    json_t *run = earlier ? json_loads(earlier, 0, NULL) : NULL;
    return labelled(run ? run : json_object(), name, note);
}

void provenance_release(struct provenance *p) {
    free(p->earlier);
    *p = (struct provenance){0};
}
