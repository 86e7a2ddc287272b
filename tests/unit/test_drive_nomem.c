/* A search that is driven without memory: with the n-th allocation failing, for many n, it ends with
 * an error, leaks nothing, and goes on later to the end that it always has. */
#include "nomem_fixture.h"

#include "drive.h"
#include "jsonmem.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TRIALS = 4, TRIES = 250 };

static char dir[100], story[2][2048];
static bool busy[2];
static char config[2][200];
static int64_t seed[2];

static int fits(void *ctx, const struct trial_spec *spec, struct trial_plan *plan, struct err *e) {
    (void)ctx, (void)spec, (void)e;
    *plan = (struct trial_plan){.fits = true};
    return 0;
}

static int start(void *ctx, int slot, const struct trial_spec *spec, struct err *e) {
    (void)ctx, (void)e;
    busy[slot] = true;
    seed[slot] = spec->seed;
    snprintf(config[slot], sizeof *config, "%s", spec->config);
    return 0;
}

/* The value follows from the number of the trial, which is in its path. */
static int wait_for(void *ctx, double seconds, struct trial_outcome *out) {
    (void)ctx, (void)seconds;
    const int slot = busy[0] ? 0 : 1;
    if (!busy[slot]) return -1;
    const char *at = strstr(config[slot], "trials/");
    const int trial = at ? atoi(at + 7) : 0;
    busy[slot] = false;
    *out = (struct trial_outcome){.status = TRIAL_ok, .seconds = 1, .peak_rss_mb = 1};
    out->value = 2 - 0.3 * trial + 0.01 * (double)(seed[slot] % 3);
    return slot;
}

static void stop(void *ctx, int slot, bool kill) {
    (void)ctx, (void)slot, (void)kill;
}

static int drive(struct err *e) {
    static const struct drive_runner runner = {NULL, fits, start, wait_for, stop};
    struct search s;
    busy[0] = busy[1] = false;
    int rc = search_open(&s, dir, true, e);
    if (rc) return rc;
    rc = drive_search(&s, &(struct drive_opts){.quiet = true, .runner = &runner}, e);
    search_close(&s);
    return rc;
}

static int create(const json_t *file, struct err *e) {
    struct search s;
    const int rc = search_create(&s, file, "search.json", dir, e);
    if (!rc) search_close(&s);
    return rc;
}

/* Configurations, decisions and reasons. */
static bool tell(char *text, size_t size) {
    struct search s;
    struct err e;
    size_t used = 0;
    if (search_open(&s, dir, false, &e)) return false;
    for (int64_t t = 0; t < search_trials(&s) && used < size; t++) {
        struct search_evidence v;
        char words[200];
        search_evidence(&s, t, &v);
        used += (size_t)snprintf(text + used, size - used, "%s: %s, %lld seeds\n",
                                 search_changes(&s, t, -1, words, sizeof words), v.reason,
                                 (long long)v.seeds);
    }
    const bool whole = search_trials(&s) == TRIALS && search_decision(&s, TRIALS - 1);
    search_close(&s);
    return whole;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f) {
    (void)st, (void)kind, (void)f;
    return remove(path);
}

static void clear(void) {
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Both parts, the first or the second of them with an allocation failing. Prints what is wrong. */
static bool try_at(const json_t *file, bool second, long n, bool *went_through) {
    struct err e = {0};
    int rc = 0;
    clear();
    if (second) rc = create(file, &e);
    jsonmem_ready();
    const long before = live;
    until = n;
    if (!rc) rc = second ? drive(&e) : create(file, &e);
    until = -1;
    jsonmem_ready(); /* what it sets aside is whole again */
    jsonmem_starved();
    *went_through = !rc;
    if (rc && (!*e.msg || e.code != rc)) {
        printf("not ok - allocation %ld: code %d, \"%s\"\n", n, rc, e.msg);
        return false;
    }
    if (live != before) {
        printf("not ok - allocation %ld: %ld left (%s)\n", n, live - before, e.msg);
        return false;
    }
    if (!second && rc) {
        clear();
        rc = create(file, &e);
    }
    rc = drive(&e);
    if (rc || !tell(story[1], sizeof story[1]) || strcmp(story[0], story[1])) {
        printf("not ok - allocation %ld: afterwards %s\n%s", n, rc ? e.msg : "it is", story[1]);
        return false;
    }
    return true;
}

int main(void) {
    struct err e;
    bool good = true, through = false;
    const char *tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"; /* syncs are not tested */
    if (!COUNTED) return 77;
    jsonmem_ready();
    snprintf(dir, sizeof dir, "%s/duet-nomem-%ld", tmp, (long)getpid());
    json_t *file = json_loads("{\"base\": {\"model\": \"/none/m.json\", \"data\": \"s.txt\"}, "
                              "\"budget\": {\"steps\": 9}, \"trials\": 4, \"jobs\": 2, \"seeds\": 3,"
                              " \"space\": {\"lr\": {\"log\": [1e-4, 1e-2]}}}", 0, NULL);
    clear();
    if (!file || create(file, &e) || drive(&e) || !tell(story[0], sizeof story[0])) {
        printf("not ok - with memory: %s\n", file ? e.msg : "no JSON");
        return 1;
    }
    for (int second = 0; second < 2 && good; second++) {
        const long was = calls;
        good = try_at(file, second, -1, &through);
        const long all = calls - was, step = all / TRIES + 1;
        for (long n = 0; n < all && good; n += step) good = try_at(file, second, n, &through);
    }
    clear();
    json_decref(file);
    if (good) printf("ok - a search without memory\n");
    return good ? 0 : 1;
}
