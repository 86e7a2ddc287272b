/* A made-up search of ten trials in a folder: kept, discarded, refused, crashed, out of memory,
 * diverged at its second seed, stopped at a rung, and one that runs. */
#ifndef DUET_SEARCH_FIXTURE_H
#define DUET_SEARCH_FIXTURE_H

#include "folder_fixture.h"

#include "search.h"

static inline FILE *create(const char *name) {
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    return f;
}

/* more: further members of the file, with their comma in front. */
static inline void write_search_file(const char *more) {
    FILE *f = create("search.json");
    fprintf(f,
            "{\"base\": {\"model\": \"demo\", \"lr\": 0.002, \"batch\": 4, \"data\": \"x.txt\"},\n"
            " \"budget\": {\"steps\": 100}, \"trials\": 20, \"seeds\": 4,\n"
            " \"space\": {\"lr\": {\"log\": [1e-4, 1e-2]}, \"batch\": {\"choice\": [2, 4, 8]},\n"
            "  \"set.num_hidden_layers\": {\"int\": [1, 4]}}%s}\n",
            more);
    fclose(f);
}

static inline void head_line(FILE *f) {
    fprintf(f, "{\"event\": \"search\", \"version\": \"0.1.0\", \"commit\": "
               "\"0123456789abcdef0123456789abcdef01234567\", \"trials\": 20}\n");
}

static inline void proposal_line(FILE *f, int job, int trial, int rung, double share, double lr,
                                 int batch, int layers, const char *more) {
    fprintf(f,
            "{\"event\": \"proposal\", \"job\": %d, \"trial\": %d, \"rung\": %d, \"share\": %g, "
            "\"config\": {\"lr\": %g, \"batch\": %d, \"set.num_hidden_layers\": %d}, \"hash\": "
            "\"%016x\", \"from\": \"tpe\"%s}\n",
            job, trial, rung, share, lr, batch, layers, trial + 1, more);
}

/* A summary of a tenth more loss than bits a byte. */
static inline void result_line(FILE *f, int trial, int seed, int rung, double value) {
    fprintf(
        f,
        "{\"event\": \"result\", \"trial\": %d, \"seed\": %d, \"rung\": %d, \"status\": \"ok\", "
        "\"value\": %g, \"seconds\": 10, \"summary\": {\"val_loss\": %g, \"val_bpb\": %g, "
        "\"peak_rss_mb\": %d, \"num_steps\": 100, \"num_params_M\": %g, \"ms_per_step\": 12.5, "
        "\"training_seconds\": %d, \"peak_fraction\": 0.25}}\n",
        trial, seed, rung, value, 1.1 * value, value, 500 + 100 * trial, 1 + 0.5 * trial,
        8 + trial);
}

static inline void failure_line(FILE *f, int trial, int seed, const char *status) {
    fprintf(f,
            "{\"event\": \"result\", \"trial\": %d, \"seed\": %d, \"rung\": 0, \"status\": \"%s\", "
            "\"value\": null, \"seconds\": 2}\n",
            trial, seed, status);
}

static inline void decision_line(FILE *f, int trial, bool keep, int against, const char *evidence) {
    fprintf(f,
            "{\"event\": \"decision\", \"trial\": %d, \"decision\": \"%s\", \"against\": %d, "
            "\"evidence\": {%s}}\n",
            trial, keep ? "keep" : "discard", against, evidence);
}

static inline void base_lines(FILE *f) {
    static const double value[] = {2.0, 2.1, 1.9, 2.05, 1.95};
    proposal_line(f, 0, 0, 0, 1, 0.002, 4, 2, "");
    for (int i = 0; i < 5; i++) result_line(f, 0, i + 1, 0, value[i]);
    fprintf(f, "{\"event\": \"decision\", \"trial\": 0, \"decision\": \"keep\", \"evidence\": "
               "{\"reason\": \"base\", \"seeds\": 5}}\n");
}

static const double kept_values[2][4] = {{1.8, 1.85, 1.75, 1.85}, {1.75, 1.8, 1.65, 1.8}};

static inline void kept_lines(FILE *f, int trial, int against, const double value[4],
                              const char *evidence) {
    for (int i = 0; i < 4; i++) result_line(f, trial, i + 1, 0, value[i]);
    decision_line(f, trial, true, against, evidence);
}

static inline void write_ledger_lines(FILE *f) {
    head_line(f);
    base_lines(f);
    proposal_line(f, 1, 1, 0, 1, 0.004, 4, 2, "");
    kept_lines(
        f, 1, 0, kept_values[0],
        "\"reason\": \"proven\", \"diff\": -0.2, \"low\": -0.3, \"high\": -0.1, \"log_e\": 7, "
        "\"threshold\": 6, \"seeds\": 4");
    proposal_line(f, 2, 2, 0, 1, 0.002, 8, 2, "");
    result_line(f, 2, 1, 0, 2.2);
    decision_line(f, 2, false, 1, "\"reason\": \"hopeless\", \"diff\": 0.4, \"seeds\": 1");
    static const char *const failed[] = {"refused", "crash", "memory"};
    for (int i = 0; i < 3; i++) {
        proposal_line(f, 3 + i, 3 + i, 0, 1, 0.001 + 0.0001 * i, 2, 4, "");
        failure_line(f, 3 + i, 1, failed[i]);
        decision_line(f, 3 + i, false, 1, "\"reason\": \"failed\", \"seeds\": 1");
    }
    proposal_line(f, 6, 6, 0, 1, 0.009, 4, 1, "");
    result_line(f, 6, 1, 0, 1.95);
    failure_line(f, 6, 2, "nan");
    decision_line(f, 6, false, 1, "\"reason\": \"failed\", \"seeds\": 2");
    proposal_line(f, 7, 7, 0, 0.25, 0.003, 4, 3, "");
    result_line(f, 7, 1, 0, 2.5);
    decision_line(f, 7, false, 1, "\"reason\": \"outrun\", \"seeds\": 1");
    proposal_line(f, 8, 8, 0, 1, 0.005, 4, 2, ", \"note\": \"a note\\twith a tab\"");
    kept_lines(f, 8, 1, kept_values[1],
               "\"reason\": \"proven\", \"diff\": -0.0625, \"low\": -0.1, \"high\": -0.02, "
               "\"log_e\": 8, \"threshold\": 5.5, \"seeds\": 3, \"first_seed\": 2");
    proposal_line(f, 9, 9, 0, 1, 0.005, 8, 2, "");
}

/* Opened to look at. */
static inline void open_made_up(struct search *s, const char *more) {
    write_search_file(more);
    FILE *f = create("ledger.jsonl");
    write_ledger_lines(f);
    fclose(f);
    ok(search_open(s, dir, false, &e));
}

#endif
