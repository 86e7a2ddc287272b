/* How many configurations a search will have had. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search's trials");
}

/* What is there, as the strategy sees it: one that goes on with trials does not see the base and
 * what was made by hand (drive_propose.c). NULL: no memory. */
static struct trial *seen(const struct search *s, size_t *n) {
    const struct ledger *l = &s->ledger;
    struct trial *t = ledger_history(l, 0, false);
    *n = 0;
    for (size_t i = 0; t && i < l->n_jobs; i++)
        if (!s->file.strategy.kind->rungs || !ledger_is_own(&l->job[i])) t[(*n)++] = t[i];
    return t;
}

static int ask(const struct search *s, const double *start, struct history h, int64_t most,
               int64_t *n, struct err *e) {
    const struct strategy_ask a = {.space = &s->file.space,
                                   .choice = &s->file.strategy,
                                   .seed = (uint64_t)s->file.seed,
                                   .start = start,
                                   .history = h};
    return strategy_left(&a, most, n, e);
}

/* Of one that has not begun. */
static int left_of_base(const struct search *s, int64_t *n, struct err *e) {
    double u[SPACE_MAX_AXES];
    json_t *config;
    int rc;
    TRY(search_base(&s->file, &config, e));
    TRY(space_nearest(&s->file.space, config, u, e));
    const struct trial base = {.share = 1, .u = u, .config = config};
    const bool hidden = s->file.strategy.kind->rungs;
    rc = ask(s, u, (struct history){&base, !hidden}, s->file.trials - 1, n, e);
    ++*n;
out:
    json_decref(config);
    return rc;
}

int search_expected(const struct search *s, int64_t *n, struct err *e) {
    const int64_t there = search_trials(s), all = s->file.trials + search_by_hand(s);
    struct trial *t = NULL;
    size_t jobs;
    int rc = 0;
    *n = -1;
    if (!strcmp(s->file.strategy.kind->name, SEARCH_HAND)) return 0;
    if (!there) return left_of_base(s, n, e);
    *n = there;
    if (there >= all) return 0;
    t = seen(s, &jobs);
    if (!t) return no_memory(e);
    TRY(ask(s, s->ledger.job[0].u, (struct history){t, jobs}, all - there, n, e));
    *n += there;
out:
    free(t);
    return rc;
}
