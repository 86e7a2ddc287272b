/* A search whose trainings are a formula, on a machine that may go off at any call. */
#ifndef DUET_DRIVE_FIXTURE_H
#define DUET_DRIVE_FIXTURE_H

#include "folder_fixture.h"
#include "space_fixture.h"

#include "canon.h"
#include "drive.h"
#include "judge.h"
#include "rng.h"
#include "search.h"

#include <math.h>

enum { MAX_SLOTS = 8 };

/* A machine that trains by a formula, and may be switched off. */
struct world {
    struct rng order;                    /* of ends */
    bool busy[MAX_SLOTS], asked[MAX_SLOTS];
    struct trial_spec spec[MAX_SLOTS];
    char config[MAX_SLOTS][256];         /* paths; the driver's go */
    char output[MAX_SLOTS][256];
    int started, ended, most;            /* processes; at a time */
    int calls, off;                      /* of start and wait; off after so many; 0: never */
    const char *crash;                   /* all do, and say this */
    int killed;                          /* of so many processes one is killed by somebody, */
    char lost[MAX_SLOTS][256];           /* none of them twice */
};

static inline double noise(const char *text, int64_t seed) {
    struct rng r = rng_make(77, RNG_SEARCH, (uint64_t)seed, 0, 0);
    const uint64_t some = (uint64_t)text[strlen(text) / 2] + 31 * (uint64_t)text[strlen(text) / 3];
    struct rng own = rng_make(78, RNG_SEARCH, (uint64_t)seed, (uint64_t)strlen(text), some);
    return 0.02 * (strategy_normal(&r) + 0.3 * strategy_normal(&own));
}

/* Of a configuration: lower for lr near 1e-3 and large batches; diverges above 5e-3. */
static inline double value_at(const json_t *options, int64_t seed, double share) {
    const double lr = value_of(options, "lr"), batch = value_of(options, "batch");
    const double off = log10(lr) + 3;
    char *text = canon_text(options);
    const double y = 1 + 0.5 * off * off + 0.02 * (8 - batch) + 0.3 * (1 - share) +
                     noise(text, seed);
    free(text);
    return lr > 5e-3 ? NAN : y;
}

static inline int world_fits(void *ctx, const struct trial_spec *spec, struct trial_plan *plan,
                      struct err *err) {
    (void)ctx, (void)err;
    json_t *o = json_load_file(spec->config, 0, NULL);
    assert_non_null(o);
    *plan = (struct trial_plan){.fits = value_of(o, "batch") < 8 || value_of(o, "lr") < 2e-3};
    if (!plan->fits) strcpy(plan->words, "too large");
    json_decref(o);
    return 0;
}

static inline int switched_off(struct world *w, struct err *err) {
    w->calls++;
    return w->off && w->calls > w->off ? err_set(err, ERR_IO, "off") : 0;
}

static inline int world_start(void *ctx, int slot, const struct trial_spec *spec, struct err *err) {
    struct world *w = ctx;
    assert_false(w->busy[slot]);
    if (switched_off(w, err)) return ERR_IO;
    w->busy[slot] = true;
    w->asked[slot] = false;
    w->spec[slot] = *spec;
    snprintf(w->config[slot], sizeof *w->config, "%s", spec->config);
    snprintf(w->output[slot], sizeof *w->output, "%s", spec->output);
    w->started++;
    int n = 0;
    for (int i = 0; i < MAX_SLOTS; i++) n += w->busy[i];
    if (n > w->most) w->most = n;
    return 0;
}

static inline int world_wait(void *ctx, double seconds, struct trial_outcome *out) {
    struct world *w = ctx;
    int at[MAX_SLOTS], n = 0;
    (void)seconds;
    w->calls++;
    for (int i = 0; i < MAX_SLOTS; i++)
        if (w->busy[i]) at[n++] = i;
    const uint64_t pick = rng_below(&w->order, (uint64_t)n + 1);
    if (pick == (uint64_t)n) return -1;
    const int slot = at[pick];
    w->busy[slot] = false;
    w->ended++;
    *out = (struct trial_outcome){.status = TRIAL_ok, .seconds = 1, .peak_rss_mb = 10};
    if (w->asked[slot]) {
        out->status = TRIAL_pending;
        out->value = NAN;
        return slot;
    }
    if (w->killed && w->ended % w->killed == 0 && strcmp(w->lost[slot], w->output[slot])) {
        memmove(w->lost[slot], w->output[slot], sizeof *w->lost);
        out->status = TRIAL_killed;
        out->value = NAN;
        return slot;
    }
    if (w->crash) {
        out->status = TRIAL_crash;
        out->value = NAN;
        snprintf(out->words, sizeof out->words, "%s", w->crash);
        return slot;
    }
    json_t *o = json_load_file(w->config[slot], 0, NULL);
    assert_non_null(o);
    out->value = value_at(o, w->spec[slot].seed, w->spec[slot].share);
    if (isnan(out->value)) out->status = TRIAL_nan;
    json_decref(o);
    return slot;
}

static inline void world_stop(void *ctx, int slot, bool kill) {
    struct world *w = ctx;
    (void)kill;
    assert_true(w->busy[slot]);
    w->asked[slot] = true;
}

/* Searches ------------------------------------------------------------------------------------- */

static inline json_t *file_of(const char *more) {
    char text[1000];
    snprintf(text, sizeof text,
             "{'base': {'model': '/none/m.json', 'data': 's.txt', 'lr': 4e-3, 'batch': 2}, "
             "'budget': {'steps': 10}, 'space': {'lr': {'log': [1e-5, 1e-2]}, "
             "'batch': {'choice': [2, 4, 8]}}, %s}",
             more);
    return parse(text);
}

static inline void create(const char *folder, const char *more) {
    struct search s;
    json_t *file = file_of(more);
    ok(search_create(&s, file, "search.json", folder, &e));
    search_close(&s);
    json_decref(file);
}

/* Goes on with a search; the machine goes off after so many calls. True: it has ended. */
static inline bool go_on(const char *folder, uint64_t order, int off, int killed, struct world *w) {
    struct search s;
    *w = (struct world){.order = rng_make(order, RNG_SEARCH, 1, 2, 3), .off = off,
                        .killed = killed};
    const struct drive_runner r = {w, world_fits, world_start, world_wait, world_stop};
    ok(search_open(&s, folder, true, &e));
    const int rc = drive_search(&s, &(struct drive_opts){.quiet = true, .runner = &r}, &e);
    search_close(&s);
    if (rc && rc != ERR_IO) fail_msg("%s", e.msg);
    return !rc;
}

/* Proposals and decisions of a ledger, without what the clock says, and results with their seeds
 * counted: one a (trial, seed, rung), which ledger_read sees to. New. */
static inline json_t *story(const char *folder) {
    struct search s;
    json_t *all = json_array();
    ok(search_open(&s, folder, false, &e));
    for (size_t i = 0; i < s.ledger.n_jobs; i++) {
        json_t *j = json_deep_copy(s.ledger.job[i].json);
        json_object_del(j, "date");
        json_array_append_new(all, j);
    }
    for (size_t i = 0; i < s.ledger.n_decisions; i++) {
        json_t *j = json_deep_copy(s.ledger.decision[i].json);
        json_object_del(j, "date");
        json_array_append_new(all, j);
    }
    search_close(&s);
    return all;
}

static inline void same_story(const char *folder, const json_t *as) {
    json_t *now = story(folder);
    assert_int_equal(json_array_size(now), json_array_size(as));
    for (size_t i = 0; i < json_array_size(as); i++)
        if (!json_equal(json_array_get(as, i), json_array_get(now, i)))
            fail_msg("%s\nis not\n%s", json_dumps(json_array_get(now, i), 0),
                     json_dumps(json_array_get(as, i), 0));
    json_decref(now);
}

/* Syncs of a disk are most of what this takes, and not what is tested. */
static inline int make_fast_dir(void **state) {
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    return make_dir(state);
}

#endif
