/* A ledger from any bytes: whole lines are taken up or refused in a sentence, what is accepted is a
 * history, and what is behind the last line break is left. */
#include "fuzz.h"

#include "ledger.h"
#include "strategy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char axes[] =
    "{\"x\": {\"log\": [1e-3, 1]}, \"n\": {\"int\": [1, 5]}, \"o\": {\"choice\": [\"a\", \"b\"]}, "
    "\"y\": {\"linear\": [0, 1], \"when\": {\"o\": \"b\"}}}";

static void use(const struct ledger *l) {
    struct err e;
    struct strategy_choice tpe;
    double start[SPACE_MAX_AXES];
    json_t *name = json_string("tpe");
    must(!strategy_read(&tpe, name, l->space, "", &e));
    for (size_t i = 0; i < l->space->n; i++) start[i] = 0.5;
    for (size_t visible = 0; visible <= l->n_jobs && visible < 40; visible++) {
        struct proposal p;
        struct trial *t = ledger_history(l, visible, visible % 2);
        must(t != NULL);
        for (size_t i = 0; i < l->n_jobs; i++) {
            must(t[i].trial >= 0 && t[i].trial < (int64_t)l->n_trials && t[i].u == l->job[i].u);
            must((t[i].status == TRIAL_ok) == (isfinite(t[i].value) != 0));
            must(i < visible || t[i].status == TRIAL_pending);
        }
        const struct strategy_ask ask = {.space = l->space, .choice = &tpe, .start = start,
                                         .seed = 1, .history = {t, l->n_jobs}};
        must(!strategy_propose(&ask, &p, &e) && p.what == PROPOSE_TRIAL);
        json_decref(p.config);
        free(t);
    }
    strategy_release(&tpe);
    json_decref(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct space s;
    struct ledger l;
    struct err e = {0};
    json_t *j = json_loads(axes, 0, NULL);
    must(j && !space_read(&s, j, "s.json", &e));
    const int rc = ledger_read_text(&l, (const char *)data, size, "l.jsonl", &s, &e);
    must(rc ? rc == e.code && e.msg[0] : l.size + l.cut == size);
    if (!rc) {
        must(!l.size || data[l.size - 1] == '\n');
        must(!memchr(data + l.size, '\n', l.cut));
        use(&l);
    }
    ledger_close(&l);
    space_release(&s);
    json_decref(j);
    return 0;
}
