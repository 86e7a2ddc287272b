#include "ledger.h"

#include "file.h"
#include "json_lines.h"
#include "num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Files ---------------------------------------------------------------------------------------- */

int ledger_read(struct ledger *l, const char *path, const struct space *space, struct err *e) {
    struct file_map m;
    *l = (struct ledger){0};
    int rc = file_map_open(&m, path, e);
    if (rc) return rc;
    rc = ledger_read_text(l, (const char *)m.data, m.size, path, space, e);
    file_map_close(&m);
    return rc;
}

int ledger_open(struct ledger *l, const char *path, const struct space *space, struct err *e) {
    int rc;
    struct record_file file = {0};
    *l = (struct ledger){0};
    TRY(record_file_open(&file, path, e));
    TRY(record_file_lock(&file, "another search is going on with it", e));
    TRY(ledger_read(l, path, space, e));
    TRY(record_file_cut(&file, l->size, e));
    l->file = file;
    return 0;
out:
    record_file_close(&file);
    ledger_close(l);
    return rc;
}

void ledger_close(struct ledger *l) {
    for (size_t i = 0; i < l->n_jobs; i++) {
        free(l->job[i].u);
        json_decref(l->job[i].json);
    }
    for (size_t i = 0; i < l->n_results; i++) json_decref(l->result[i].json);
    for (size_t i = 0; i < l->n_decisions; i++) json_decref(l->decision[i].json);
    free(l->job);
    free(l->result);
    free(l->decision);
    free(l->trial);
    json_decref(l->head);
    json_decref(l->other);
    record_file_close(&l->file);
    free(l->path);
    *l = (struct ledger){0};
}

/* Writing -------------------------------------------------------------------------------------- */

int ledger_append(struct ledger *l, const json_t *event, struct err *e) {
    int rc;
    json_t *copy = json_deep_copy(event);
    if (!copy) return err_set(e, ERR_NOMEM, "no memory for a line of %s", l->path);
    TRY(ledger_take(l, copy, l->n_lines + 1, e)); /* first: what is refused is not written */
    copy = NULL;
    TRY(json_lines_append(&l->file, event, e));
    l->n_lines++;
    l->size = (size_t)l->file.size;
out:
    json_decref(copy);
    return rc;
}

json_t *ledger_proposal(const struct ledger *l, int64_t trial, int rung, double share,
                        json_t *config, const char *hash, const char *from) {
    return json_pack("{s:s, s:I, s:I, s:i, s:f, s:O, s:s, s:s}", "event", "proposal", "job",
                     (json_int_t)l->n_jobs, "trial", (json_int_t)trial, "rung", rung, "share",
                     share, "config", config, "hash", hash, "from", from);
}

json_t *ledger_result_event(int64_t trial, int64_t seed, int rung, enum trial_status status,
                            double value) {
    return json_pack("{s:s, s:I, s:I, s:i, s:s, s:o}", "event", "result", "trial",
                     (json_int_t)trial, "seed", (json_int_t)seed, "rung", rung, "status",
                     trial_status_name(status), "value", num_json(value));
}

json_t *ledger_decision_event(int64_t trial, bool keep, int64_t against) {
    json_t *j = json_pack("{s:s, s:I, s:s}", "event", "decision", "trial", (json_int_t)trial,
                          "decision", keep ? "keep" : "discard");
    if (j && against >= 0 && json_object_set_new(j, "against", json_integer(against))) {
        json_decref(j);
        return NULL;
    }
    return j;
}

/* Reading -------------------------------------------------------------------------------------- */

const struct ledger_result *ledger_find(const struct ledger *l, int64_t trial, int64_t seed,
                                        int rung) {
    if (trial < 0 || trial >= (int64_t)l->n_trials) return NULL;
    for (size_t i = l->trial[trial].result; i; i = l->result[i - 1].before) {
        const struct ledger_result *r = &l->result[i - 1];
        if (r->seed == seed && r->rung == rung) return r;
    }
    return NULL;
}

/* The result of a trial's first seed at a rung: the lowest, whichever ended first. */
static const struct ledger_result *first_result(const struct ledger *l, int64_t trial, int rung) {
    const struct ledger_result *first = NULL;
    for (size_t i = l->trial[trial].result; i; i = l->result[i - 1].before) {
        const struct ledger_result *r = &l->result[i - 1];
        if (r->rung == rung && (!first || r->seed < first->seed)) first = r;
    }
    return first;
}

struct trial *ledger_history(const struct ledger *l, size_t visible, bool higher) {
    struct trial *t = calloc(l->n_jobs + 1, sizeof *t);
    for (size_t i = 0; t && i < l->n_jobs; i++) {
        const struct ledger_job *job = &l->job[i];
        const struct ledger_result *r = i < visible ? first_result(l, job->trial, job->rung) : NULL;
        t[i] = (struct trial){.trial = job->trial, .rung = job->rung, .share = job->share,
                              .u = job->u, .config = json_object_get(job->json, "config"),
                              .status = TRIAL_pending, .value = NAN};
        if (!r) continue;
        t[i].status = r->status;
        t[i].value = higher ? -r->value : r->value;
        if (l->trial[job->trial].job <= visible) t[i].decision = l->trial[job->trial].decision;
    }
    return t;
}
