/* A search without memory: its file read, a start, proposals of every strategy and a ledger, with
 * the n-th allocation failing, for every n. It returns ERR_NOMEM and a sentence, or what it returns
 * with memory, and leaks nothing. */
#include "nomem_fixture.h"

#include "jsonmem.h"
#include "ledger.h"
#include "search_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const strategies[] = {
    "\"random\"", "\"grid\"", "\"sweep\"", "\"sobol\"", "\"local\"",
    "{\"name\": \"tpe\", \"startup\": 2}", "{\"name\": \"cmaes\", \"population\": 4}",
    ("{\"name\": \"halving\", \"eta\": 2, \"rungs\": 2, \"over\": {\"name\": \"tpe\", "
     "\"startup\": 1, \"multivariate\": false}}"),
    ("{\"name\": \"command\", \"run\": \"a b\", \"tries\": 2, \"share\": 0.5, \"startup\": 0, "
     "\"over\": {\"name\": \"cmaes\", \"population\": 4}}"),
};
enum { N_STRATEGIES = sizeof strategies / sizeof *strategies, JOBS = 6 };

/* A program: nothing that is good, then a configuration. */
static int run(void *owner, const json_t *argv, double seconds, const char *input, size_t n,
               char **output, struct err *e) {
    int *asked = owner;
    char text[80];
    (void)argv, (void)seconds, (void)input, (void)n;
    snprintf(text, sizeof text, "{\"x\": %.2f, \"o\": \"a\"}", 0.05 * *asked);
    *output = strdup(++*asked % 2 ? "{}" : text);
    return *output ? 0 : err_set(e, ERR_NOMEM, "no memory for an answer");
}

/* Proposals from a history of so many. */
static int propose(const struct search_file *f, struct err *e) {
    int rc;
    static double u[JOBS][SPACE_MAX_AXES];
    double start[SPACE_MAX_AXES];
    struct trial trial[JOBS];
    char hash[17];
    TRY(search_file_start(f, NULL, start, e));
    int asked = 0;
    const struct strategy_runner runner = {.run = run, .owner = &asked};
    struct strategy_ask ask = {
        .space = &f->space, .choice = &f->strategy, .start = start, .runner = &runner};
    for (size_t i = 0; i < JOBS; i++) {
        struct proposal p;
        ask.history = (struct history){trial, i};
        TRY(strategy_propose(&ask, &p, e));
        const bool ok = !p.config || search_file_hash(f, p.config, hash);
        json_decref(p.config);
        json_decref(p.refused);
        if (!ok) return err_set(e, ERR_NOMEM, "no memory for a hash");
        if (p.what != PROPOSE_TRIAL && p.what != PROPOSE_CONTINUE)
            return err_set(e, ERR_INPUT, "job %zu is none: %d", i, p.what);
        memcpy(u[i], p.u, sizeof u[i]);
        trial[i] = (struct trial){.trial = p.trial, .rung = p.rung, .share = p.share, .u = u[i],
                                  .status = TRIAL_ok, .value = (double)i};
    }
out:
    return rc;
}

static int use_ledger(const struct space *s, struct err *e) {
    static const char text[] =
        "{\"event\": \"search\"}\n{\"event\": \"proposal\", \"job\": 0, \"trial\": 0, \"rung\": 0, "
        "\"share\": 1, \"config\": {\"x\": 0.5, \"o\": \"a\"}, \"hash\": \"0123456789abcdef\", "
        "\"from\": \"tpe\"}\n{\"event\": \"result\", \"trial\": 0, \"seed\": 1, \"rung\": 0, "
        "\"status\": \"ok\", \"value\": 1}\n{\"event\": \"decision\", \"trial\": 0, \"decision\": "
        "\"keep\"}\n";
    struct ledger l;
    int rc = ledger_read_text(&l, text, sizeof text - 1, "l.jsonl", s, e);
    if (rc) return rc;
    struct trial *t = ledger_history(&l, 1, false);
    if (!t) rc = err_set(e, ERR_NOMEM, "no memory for a history");
    if (t && t[0].value != 1) rc = err_set(e, ERR_INPUT, "another value");
    free(t);
    ledger_close(&l);
    return rc;
}

static int search(const char *strategy, struct err *e) {
    static char text[1000];
    struct search_file f;
    snprintf(text, sizeof text,
             "{\"base\": {\"lr\": 1}, \"budget\": {\"steps\": 3}, \"trials\": 9, \"launcher\": "
             "\"a b\", \"space\": {\"x\": {\"linear\": [0, 1]}, \"o\": {\"choice\": [\"a\", "
             "\"b\"]}, \"set.n\": {\"int\": [1, 3], \"when\": {\"o\": \"b\"}}, \"set.m\": "
             "{\"share_of\": \"set.n\", \"choice\": [1, 2]}}, \"strategy\": %s}",
             strategy);
    int rc = search_file_read(&f, text, strlen(text), "s.json", NULL, e);
    if (!rc) rc = propose(&f, e);
    if (!rc) rc = use_ledger(&f.space, e);
    search_file_close(&f);
    return rc;
}

static int attempt(const char *strategy, long n, struct err *e) {
    *e = (struct err){0};
    jsonmem_ready();
    jsonmem_starved();
    atomic_store(&until, n);
    const int rc = search(strategy, e);
    atomic_store(&until, -1);
    jsonmem_ready(); /* what it sets aside is whole again */
    /* whose JSON ran out of memory may hear of a text that is none */
    return rc && jsonmem_starved() ? e->code = ERR_NOMEM : rc;
}

/* Returns how often something was wrong. */
static int every(const char *strategy, long *tried) {
    struct err e;
    int bad = 0;
    for (int i = 0; i < 2; i++) /* what is made once for the whole process is made */
        if (attempt(strategy, -1, &e)) return printf("# %s: %s\n", strategy, e.msg);
    const long before = atomic_load(&calls);
    attempt(strategy, -1, &e);
    const long all = atomic_load(&calls) - before;
    *tried = 0;
    for (long n = 0; n < all && bad < 20; n += 1 + n / 300, ++*tried) {
        const long alive = atomic_load(&live);
        const int rc = attempt(strategy, n, &e);
        const char *what = atomic_load(&live) != alive       ? "leaks"
                           : rc && rc != ERR_NOMEM           ? "is not out of memory"
                           : rc && (rc != e.code || !*e.msg) ? "says nothing"
                                                             : NULL;
        if (what && ++bad) printf("# %s, allocation %ld: %s: %s\n", strategy, n, what, e.msg);
    }
    return bad;
}

int main(void) {
    int bad = 0;
    if (!COUNTED) return 77;
    for (int i = 0; i < N_STRATEGIES; i++) {
        long tried = 0;
        const int wrong = every(strategies[i], &tried);
        bad += wrong || tried < 100;
        printf("%s: %d wrong of %ld\n", strategies[i], wrong, tried);
    }
    return bad ? 1 : 0;
}
