/* What tests of searches share: a space from text, histories, and a search that is played against a
 * function. */
#ifndef DUET_SPACE_FIXTURE_H
#define DUET_SPACE_FIXTURE_H

#include "err_fixture.h"
#include "space.h"
#include "strategy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct space space;

/* Text with ' for ". */
static inline json_t *parse(const char *text) {
    char *quoted = strdup(text);
    for (char *p = quoted; *p; p++)
        if (*p == '\'') *p = '"';
    json_error_t at;
    json_t *j = json_loads(quoted, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
    if (!j) fail_msg("%s: %s", quoted, at.text);
    free(quoted);
    return j;
}

static inline void make_space(const char *text) {
    json_t *j = parse(text);
    ok(space_read(&space, j, "search.json", &e));
    json_decref(j);
}

/* A search in memory: points, results and what the strategy sees. */
enum { GAME_MAX = 4096 };
struct game {
    struct strategy_choice choice;
    struct strategy_ask ask;
    double start[SPACE_MAX_AXES];
    struct trial trial[GAME_MAX];
    json_t *config[GAME_MAX]; /* of new trials */
    size_t n;
};

static inline struct game *game_start(const char *strategy, uint64_t seed) {
    struct game *g = calloc(1, sizeof *g);
    json_t *j = parse(strategy);
    ok(strategy_read(&g->choice, j, &space, "search.json: \"strategy\"", &e));
    json_decref(j);
    for (size_t i = 0; i < space.n; i++) g->start[i] = 0.5;
    g->ask = (struct strategy_ask){
        .space = &space, .choice = &g->choice, .seed = seed, .start = g->start};
    return g;
}

/* The next proposal; a job is added to the history as pending. */
static inline enum proposal_what game_next(struct game *g, struct proposal *p) {
    assert_true(g->n < GAME_MAX);
    g->ask.history = (struct history){g->trial, g->n};
    ok(strategy_propose(&g->ask, p, &e));
    if (p->what == PROPOSE_WAIT || p->what == PROPOSE_END) return p->what;
    double *u = malloc(space.n * sizeof *u);
    memcpy(u, p->u, space.n * sizeof *u);
    g->trial[g->n] = (struct trial){.trial = p->trial, .rung = p->rung, .share = p->share, .u = u,
                                    .status = TRIAL_pending, .value = NAN};
    g->config[g->n++] = p->config;
    return p->what;
}

static inline void game_result(struct game *g, size_t job, double value) {
    g->trial[job].status = isnan(value) ? TRIAL_crash : TRIAL_ok;
    g->trial[job].value = value;
}

static inline void game_end(struct game *g) {
    for (size_t i = 0; i < g->n; i++) {
        free((void *)(uintptr_t)g->trial[i].u);
        json_decref(g->config[i]);
    }
    strategy_release(&g->choice);
    free(g);
}

static inline double value_of(const json_t *config, const char *key) {
    return json_number_value(json_object_get(config, key));
}

static inline const char *word_of(const json_t *config, const char *key) {
    const char *word = json_string_value(json_object_get(config, key));
    return word ? word : "";
}

#endif
