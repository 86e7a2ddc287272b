/* Any program as a strategy, or at a share of the configurations over another one. It is started
 * for each of its configurations, reads JSON lines on standard input up to their end,
 *
 *   {"event": "search", "base": {...}, ..., "space": {...}, "trial": 12}
 *   {"event": "trial", "trial": 0, "rung": 0, "share": 1, "config": {...}, "status": "ok",
 *    "value": 1.25, "decision": "keep"}
 *   {"event": "suggestion", "from": "cmaes", "config": {...}}
 *   {"event": "refused", "error": "...", "answer": "..."}
 *
 * prints one JSON object, the configuration (keys and values of the space), and ends with status 0.
 * The lines of trials are the history as every strategy sees it, a line a job: results of trials
 * that have not ended, or of the last jobs where several run at a time, are "pending" (value null).
 * What the strategy below would try is told, too, and is what is tried where the answers are
 * refused: no JSON object, no configuration of the space, one that is known, another status, too
 * late. Each refused answer is told in the next try. Nothing of this is silent: see
 * proposal->refused.
 *
 * The answers are results for the strategy below like its own. Its turn is not drawn: of N
 * configurations behind the first ones, the program has N times the share, spread evenly. */
#include "strategy.h"

#include "json_text.h"
#include "ledger.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 10 };

static const struct strategy_option options[] = {
    {"share", "of the configurations behind the first ones", 1, 0.001, 1, OPTION_REAL},
    {"startup", "configurations before its first; -1: 10 with a share below 1, else 0", -1, -1, 1e6,
     OPTION_INT},
    {"tries", "answers to one question that may be refused", 3, 1, 20, OPTION_INT},
    {"timeout", "seconds for an answer", 300, 0.1, 86400, OPTION_REAL},
};
static const char *const keys[] = {"run", NULL};

static int check(const struct space *s, const struct strategy_choice *c, const char *what,
                 struct err *e) {
    json_t *words;
    (void)s;
    const int rc = words_read(what, "run", json_object_get(c->json, "run"), &words, e);
    if (!rc) json_decref(words);
    return rc;
}

static bool has_turn(const struct strategy_choice *c, int64_t trial) {
    const double share = strategy_option(c, "share"), startup = strategy_option(c, "startup");
    const double first = startup >= 0 ? startup : share < 1 ? WARM_UP : 0;
    const double k = (double)trial - first;
    if (k < 0) return false;
    return floor((k + 1) * share + 1e-9) > floor(k * share + 1e-9);
}

/* Lines ---------------------------------------------------------------------------------------- */

/* One question, and what was answered so far. */
struct question {
    const struct strategy_ask *ask;
    const struct proposal *below; /* what is proposed without the program */
    json_t *argv, *refused;
    char name[120]; /* the command, for messages */
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for what a program is asked");
}

/* A line, which is given away. */
static bool put(FILE *out, json_t *line) {
    char *text = line ? json_text_dump(line, JSON_COMPACT) : NULL;
    const bool ok = text && fprintf(out, "%s\n", text) > 0;
    free(text);
    json_decref(line);
    return ok;
}

static json_t *search_line(const struct question *q) {
    const struct strategy_runner *r = q->ask->runner;
    json_t *line = json_pack("{s:s}", "event", "search");
    const int64_t trial = strategy_trials(q->ask->whole);
    json_t *about = (json_t *)(uintptr_t)r->about;
    const bool ok = line && (!about || !json_object_update(line, about)) &&
                    !json_object_set(line, "space", q->ask->space->json) &&
                    !json_object_set_new(line, "trial", json_integer(trial));
    if (ok) return line;
    json_decref(line);
    return NULL;
}

static json_t *trial_line(const struct question *q, const struct trial *t) {
    static const char *const decisions[] = {NULL, "keep", "discard"};
    json_t *value = json_null();
    json_t *config = t->config ? json_incref((json_t *)(uintptr_t)t->config)
                               : space_config(q->ask->space, t->u);
    if (!config) return NULL;
    if (t->status == TRIAL_ok) value = json_real(q->ask->runner->higher ? -t->value : t->value);
    return json_pack("{s:s, s:I, s:i, s:f, s:o, s:s, s:o, s:s?}", "event", "trial", "trial",
                     (json_int_t)t->trial, "rung", t->rung, "share", t->share, "config", config,
                     "status", trial_status_name(t->status), "value", value, "decision",
                     decisions[t->decision]);
}

static json_t *refused_line(json_t *was) {
    json_t *line = json_pack("{s:s}", "event", "refused");
    if (line && !json_object_update(line, was)) return line;
    json_decref(line);
    return NULL;
}

/* All of them: malloc()ed, or NULL. */
static char *lines(const struct question *q, size_t *n) {
    char *text = NULL;
    FILE *out = open_memstream(&text, n);
    if (!out) return NULL;
    bool ok = put(out, search_line(q));
    for (size_t i = 0; i < q->ask->whole->n && ok; i++)
        ok = put(out, trial_line(q, &q->ask->whole->trial[i]));
    ok = ok && put(out, json_pack("{s:s, s:s, s:O}", "event", "suggestion", "from",
                                  q->below->from, "config", q->below->config));
    for (size_t i = 0; i < json_array_size(q->refused) && ok; i++)
        ok = put(out, refused_line(json_array_get(q->refused, i)));
    if (fclose(out) || !ok) {
        free(text);
        return NULL;
    }
    return text;
}

/* Answers -------------------------------------------------------------------------------------- */

static int read_answer(const struct question *q, const char *text, json_t **answer,
                       struct err *e) {
    json_error_t at;
    *answer = NULL;
    if (!text[strspn(text, " \t\r\n")])
        return err_set(e, ERR_INPUT, "%s: it printed nothing, expected a JSON object with a "
                                     "configuration",
                       q->name);
    *answer = json_text_load(text, strlen(text), &at);
    if (*answer) return 0;
    return err_set(e, json_text_code(&at),
                   "%s: its answer, line %d, column %d: not valid JSON: %s", q->name, at.line,
                   at.column, json_text_why(&at));
}

/* The point of an answer, settled, in u, and *config. */
static int take_answer(const struct question *q, const char *text, double *u, json_t **config,
                       struct err *e) {
    const struct space *s = q->ask->space;
    char what[160];
    json_t *answer;
    int rc;
    snprintf(what, sizeof what, "%s: its answer", q->name);
    TRY(read_answer(q, text, &answer, e));
    TRY(space_point(s, answer, what, u, e));
    TRY(strategy_settle(s, u, config, e));
    const struct trial *known = strategy_known(q->ask->whole, u, s->n, *config);
    if (known) {
        json_decref(*config);
        *config = NULL;
        rc = err_set(e, ERR_INPUT, "%s is the configuration of trial %lld, expected a new one",
                     what, (long long)known->trial);
    }
out:
    json_decref(answer);
    return rc;
}

static int one_try(const struct question *q, char **text, double *u, json_t **config,
                   struct err *e) {
    const struct strategy_runner *r = q->ask->runner;
    size_t n;
    char *input = lines(q, &n);
    *text = NULL;
    if (!input) return no_memory(e);
    int rc = r->run(r->owner, q->argv, strategy_option(q->ask->choice, "timeout"), input, n, text,
                    e);
    free(input);
    if (!rc) rc = take_answer(q, *text, u, config, e);
    return rc;
}

/* Adds what was refused; text NULL: there was no answer. */
static int note(struct question *q, const char *text, const struct err *why, struct err *e) {
    struct err shown = {0}; /* for its care of what is no UTF-8 */
    if (text) err_set(&shown, ERR_INPUT, "%.500s", text);
    json_t *was = text ? json_pack("{s:s, s:s}", "error", why->msg, "answer", shown.msg)
                       : json_pack("{s:s}", "error", why->msg);
    if (!q->refused) q->refused = json_array();
    const bool ok = q->refused && was && !json_array_append(q->refused, was);
    json_decref(was);
    return ok ? 0 : no_memory(e);
}

/* Until an answer is taken: *config is then its configuration; NULL: none was. */
static int ask_program(struct question *q, double *u, json_t **config, struct err *e) {
    const int tries = (int)strategy_option(q->ask->choice, "tries");
    int rc = 0;
    *config = NULL;
    for (int i = 0; i < tries && !rc && !*config; i++) {
        struct err why = {0};
        char *text;
        rc = one_try(q, &text, u, config, &why);
        if (rc == ERR_NOMEM || rc == ERR_STOP)
            *e = why;
        else if (rc)
            rc = note(q, text, &why, e);
        free(text);
    }
    return rc;
}

static int start_question(struct question *q, struct err *e) {
    const struct strategy_choice *c = q->ask->choice;
    if (!q->ask->runner)
        return err_set(e, ERR_USAGE, "strategy command: no program can be started here");
    const int rc = words_read("strategy command", "run", json_object_get(c->json, "run"), &q->argv,
                              e);
    if (rc) return rc;
    for (size_t i = 0; i < json_array_size(q->argv); i++) {
        const size_t used = strlen(q->name);
        snprintf(q->name + used, sizeof q->name - used, "%s%s", i ? " " : "",
                 json_string_value(json_array_get(q->argv, i)));
    }
    return 0;
}

static int propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    struct strategy_ask below = *ask;
    struct question q = {.ask = ask, .below = p};
    double u[SPACE_MAX_AXES];
    json_t *config = NULL;
    int rc;
    below.choice = ask->choice->over;
    TRY(strategy_propose(&below, p, e));
    if (p->what != PROPOSE_TRIAL || !has_turn(ask->choice, p->trial)) return 0;
    TRY(start_question(&q, e));
    TRY(ask_program(&q, u, &config, e));
    if (config) {
        json_decref(p->config);
        p->config = config;
        memcpy(p->u, u, ask->space->n * sizeof *u);
        p->from = ask->choice->kind->name;
    }
    p->refused = q.refused;
    q.refused = NULL;
out:
    if (rc) {
        json_decref(p->config);
        p->config = NULL;
    }
    json_decref(q.refused);
    json_decref(q.argv);
    return rc;
}

const struct strategy strategy_command = {
    .name = "command",
    .help = "a program that reads space and history, and prints a configuration",
    .options = options,
    .n_options = 4,
    .keys = keys,
    .over = true,
    .check = check,
    .propose = propose,
};
