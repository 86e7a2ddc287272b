#include "search_verbs.h"

#include "cmd.h"
#include "search_compare.h"
#include "search_confirm.h"
#include "search_rerun.h"
#include "verbs_view.h"

#include <stdlib.h>
#include <string.h>

#define O struct search_opts
const struct conf_row search_rows[] = {
    CONF_SECTION("A search"),
    CONF_STRING(O, out, "out", NULL, "PATH",
                "folder of a new search, or of rerun's run; best, plot, init: the file to write",
                .basic = true),
    CONF_STRING(O, resume, "resume", NULL, "DIR", "go on with the search in this folder",
                .basic = true),
    CONF_BOOL(O, dry_run, "dry-run",
              "say what would be tried, and what it takes of time, memory and disk, and stop",
              .basic = true),
    CONF_INT(O, jobs, "jobs", "0", 0, 4096,
             "trials at a time, each with its share of the processors; 0: what the file says",
             .basic = true),
    CONF_STRING(O, launcher, "launcher", NULL, "WORDS",
                "what is put before the command of each trial: \"srun -n1 -c8\""),
    CONF_INT(
        O, trials, "trials", "0", 0, 1000000,
        "configurations in all, the base included; 0: what the file says, 60 without one. With "
        "--resume: go on to so many",
        .basic = true),
    CONF_SECTION("A search without a file"),
    CONF_STRING(O, brief.base, "base", NULL, "FILE", "options of duet train that all trials share",
                .basic = true),
    CONF_PAIRS(
        O, brief.axes, "try", "KEY=VALUES",
        "an option, or set.KEY of the model description, from LOW..HIGH or A,B,C (repeatable); "
        "LOW and HIGH: whole numbers; with a point or an exponent any, on a logarithmic "
        "scale from a factor of 10 on",
        .basic = true),
    CONF_FLOAT(O, brief.time, "time", "0", 0, 1e9, "budget of a trial in seconds; init: 0 is 300",
               .basic = true),
    CONF_INT(O, brief.steps, "steps", "0", 0, 1e12, "in updates", .basic = true),
    CONF_INT(O, brief.tokens, "tokens", "0", 0, 1e15, "in tokens"),
    CONF_FLOAT(O, brief.flops, "flops", "0", 0, 1e30, "in floating point operations"),
    CONF_STRING(O, brief.strategy, "strategy", "tpe", "NAME",
                "how configurations are proposed: tpe, cmaes, random, local, grid, sweep, sobol, "
                "halving; hand: by duet experiment alone, and no --try is needed"),
    CONF_SECTION("confirm, rerun"),
    CONF_INT(O, seeds, "seeds", "3", 2, 1000, "confirm: fresh seeds of each of the two"),
    CONF_INT(O, trial, "trial", "-1", 0, 1000000, "confirm: the trial; -1: the incumbent"),
    CONF_INT(O, against, "against", "0", 0, 1000000, "confirm: what it is compared with"),
    CONF_INT(O, seed, "seed", "0", 0, 1e18, "rerun: the seed; 0: the first that has a result"),
    CONF_INT(O, rung, "rung", "-1", 0, 1000,
             "rerun: the rung of halving, from 0 on; -1: the last of the trial"),
    CONF_SECTION("Output"),
    CONF_BOOL(O, json, "json", "print the result as JSON", .basic = true),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors", .basic = true),
    VIEW_ROWS(O, view),
    CONF_END};
#undef O

/* Verbs ---------------------------------------------------------------------------------------- */

static int confirm(const struct search_opts *o, const struct conf *c, struct err *e) {
    const struct confirm_opts co = {.seeds = o->seeds,
                                    .trial = o->trial,
                                    .against = o->against,
                                    .json = o->json,
                                    .quiet = o->quiet};
    struct search s;
    bool real;
    int rc = search_open(&s, c->pos[1], false, e);
    if (rc) return rc;
    rc = search_confirm(&s, &co, &real, e);
    search_close(&s);
    return rc || real ? rc : CMD_DIFFERS;
}

static int rerun(const struct search_opts *o, const struct conf *c, struct err *e) {
    struct rerun_opts ro = {.seed = o->seed,
                            .rung = o->rung,
                            .out = o->out,
                            .json = o->json,
                            .quiet = o->quiet};
    const char *row = c->pos[2];
    struct search s;
    bool same;
    ro.trial = strtoll(row, NULL, 10);
    if (!*row || strspn(row, "0123456789") != strlen(row) || strlen(row) > 9)
        return err_set(e, ERR_USAGE, "\"%.40s\" is no row, expected the number of a trial", row);
    int rc = search_open(&s, c->pos[1], false, e);
    if (rc) return rc;
    rc = search_rerun(&s, &ro, &same, e);
    search_close(&s);
    return rc || same ? rc : CMD_DIFFERS;
}

static int compare(const struct search_opts *o, const struct conf *c, struct err *e) {
    return search_compare(c->pos + 1, (size_t)c->n_pos - 1, o->json, stdout, e);
}

const struct search_verb search_verbs[] = {
    {"status", "the folder of a search", 1, 1, "tsv json", verb_status},
    {"best", "the folder of a search", 1, 1, "out overwrite json", verb_best},
    {"plot", "the folder of a search", 1, 1,
     "out overwrite chart cost width height dark adaptive quiet", verb_plot},
    {"init", "a text, a folder of texts, or a shard", 1, 1,
     "out overwrite time hours jobs tokenizer quiet", verb_init},
    {"compare", "folders of two or more searches, or of a suite", 1, 1000, "json", compare},
    {"confirm", "the folder of a search", 1, 1, "seeds trial against json quiet", confirm},
    {"rerun", "the folder of a search and a row", 2, 2, "seed rung out json quiet", rerun},
    {.word = NULL},
};

const struct search_verb *search_verb(const char *word) {
    for (const struct search_verb *v = search_verbs; v->word; v++)
        if (!strcmp(v->word, word)) return v;
    return NULL;
}

int search_takes(const char *what, const char *takes, const struct conf *c, struct err *e) {
    for (const struct conf_row *r = c->rows; r->type != CONF_T_END; r++)
        if (r->name && conf_given(c, r->name) && !conf_has_word(takes, r->name))
            return err_set(e, ERR_USAGE, "--%s has no effect on %s", r->name, what);
    return 0;
}
