/* A search file from any bytes: what is accepted has points, configurations that lead back to them,
 * a start, a hash, and proposals of its strategy that are configurations of its space. */
#include "fuzz.h"

#include "search_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A few options of `duet train`. */
struct opts {
    int64_t batch;
    double lr;
    const char *optimizer;
    bool recompute;
    struct conf_pairs set;
};
static const struct conf_row rows[] = {
    CONF_INT(struct opts, batch, "batch", "8", 1, 65536, "sequences"),
    CONF_FLOAT(struct opts, lr, "lr", "-1", 0, 100, "rate"),
    CONF_CHOICE(struct opts, optimizer, "optimizer", "auto", "auto adamw lion", "rule"),
    CONF_BOOL(struct opts, recompute, "recompute", "memory"),
    CONF_PAIRS(struct opts, set, "set", "KEY=VALUE", "description"),
    CONF_END};

/* A program whose answers are a configuration of the space now and then. */
static int run(void *owner, const json_t *argv, double seconds, const char *input, size_t n,
               char **output, struct err *e) {
    const struct search_file *f = owner;
    double u[SPACE_MAX_AXES];
    must(json_array_size(argv) > 0 && seconds > 0 && n && input[n - 1] == '\n');
    for (size_t i = 0; i < f->space.n; i++) u[i] = fmod((double)n * 0.37, 1.0);
    json_t *config = space_config(&f->space, u);
    if (n % 3 == 0) json_object_set_new(config, "no axis", json_null());
    *output = n % 5 ? json_dumps(config, 0) : strdup("]");
    json_decref(config);
    return *output ? 0 : err_set(e, ERR_NOMEM, "no memory");
}

static void play(const struct search_file *f, const double *start) {
    struct err e;
    struct trial trial[4];
    double u[4][SPACE_MAX_AXES];
    const struct strategy_runner runner = {.run = run, .owner = (void *)(uintptr_t)f};
    struct strategy_ask ask = {.space = &f->space, .choice = &f->strategy, .start = start,
                               .seed = (uint64_t)f->seed, .trials = f->trials, .runner = &runner};
    for (size_t i = 0; i < 4; i++) {
        struct proposal p;
        ask.history = (struct history){trial, i};
        must(!strategy_propose(&ask, &p, &e));
        must(p.what != PROPOSE_WAIT);
        if (p.what == PROPOSE_END) return;
        must((p.what == PROPOSE_TRIAL) == (p.config != NULL) && p.share > 0 && p.share <= 1);
        if (p.config) must(!space_point(&f->space, p.config, "", u[i], &e));
        if (p.config) must(!memcmp(u[i], p.u, f->space.n * sizeof *p.u));
        memcpy(u[i], p.u, sizeof p.u);
        trial[i] = (struct trial){.trial = p.trial, .rung = p.rung, .share = p.share, .u = u[i],
                                  .status = i == 1 ? TRIAL_crash : TRIAL_ok,
                                  .value = i == 1 ? NAN : (double)i};
        json_decref(p.config);
        json_decref(p.refused);
    }
}

static void use(const struct search_file *f, const struct conf_row *known) {
    struct err e;
    double u[SPACE_MAX_AXES], back[SPACE_MAX_AXES], start[SPACE_MAX_AXES];
    char hash[17];
    for (int k = 0; k <= 8; k++) {
        for (size_t i = 0; i < f->space.n; i++) u[i] = fmod(k * 0.125 + (double)i * 0.37, 1.001);
        json_t *c = space_config(&f->space, u);
        must(c && !space_point(&f->space, c, "", back, &e));
        json_t *d = space_config(&f->space, back);
        must(json_equal(c, d) && search_file_hash(f, c, hash) && strlen(hash) == 16);
        json_decref(c);
        json_decref(d);
    }
    const double count = space_count(&f->space, 2);
    bool found;
    must(count >= 1 && !space_grid(&f->space, 2, 0, u, &found, &e) && found == isfinite(count));
    must(!search_file_start(f, known, start, &e));
    play(f, start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct search_file f;
    struct err e = {0};
    json_t *j = json_loadb((const char *)data, size, 0, NULL);
    const bool other_file = json_is_string(json_object_get(j, "base"));
    json_decref(j);
    if (other_file) return 0;
    for (int known = 0; known < 2; known++) {
        const struct conf_row *r = known ? rows : NULL;
        const int rc = search_file_read(&f, (const char *)data, size, "s.json", r, &e);
        must(rc ? rc == e.code && e.msg[0] : f.space.n > 0);
        if (!rc) use(&f, r);
        search_file_close(&f);
    }
    return 0;
}
