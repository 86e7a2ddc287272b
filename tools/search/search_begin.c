/* Who begins a search, or goes on with it: what is on record of that, and what is refused. */
#include "search.h"

#include "machine.h"
#include "provenance.h"
#include "screen.h"
#include "search_sources.h"
#include "trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

/* Facts ---------------------------------------------------------------------------------------- */

/* Date, version, commit, host, processor, tier and backend, as a run's record has them. */
static json_t *machine_facts(const struct search_file *f, struct err *e) {
    struct machine m = {0};
    struct provenance p;
    json_t *facts = NULL;
    const struct machine_opts o = {
        .gemm = json_string_value(json_object_get(f->base, "gemm")),
        .compute = json_string_value(json_object_get(f->base, "compute"))};
    if (machine_open(&m, &o, e)) return NULL;
    provenance_begin(&p);
    p.machine = &m;
    char *text = provenance_json(&p, NULL, NULL);
    facts = text ? json_loads(text, 0, NULL) : NULL;
    if (!facts) no_memory(e);
    free(text);
    machine_close(&m);
    return facts;
}

json_t *search_facts(const struct search_file *f, struct err *e) {
    json_t *facts = machine_facts(f, e), *sources = json_object();
    int rc = facts && sources ? search_sources(f, sources, e) : facts ? no_memory(e) : e->code;
    if (!rc && (json_object_set(facts, "sources", sources) ||
                json_object_set_new(facts, "trials", json_integer(f->trials))))
        rc = no_memory(e);
    json_decref(sources);
    if (!rc) return facts;
    json_decref(facts);
    return NULL;
}

static const char *text_of(const json_t *line, const char *key) {
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "";
}

/* Is it the same? ------------------------------------------------------------------------------ */

/* Another instruction set, or another library of products, makes other bits. */
static int same_machine(const struct search *s, const json_t *now, struct err *e) {
    const json_t *was = s->ledger.head;
    const char *tier = text_of(was, "tier"), *gemm = text_of(was, "gemm");
    if (*tier && strcmp(tier, text_of(now, "tier")))
        return err_set(e, ERR_INPUT,
                       "%s: its trials were trained with the instruction set %s, here is %s: "
                       "others would not be comparable; DUET_CPU=%s goes on with it, on a "
                       "processor that has %s",
                       s->dir, tier, text_of(now, "tier"), tier, tier);
    if (*gemm && strcmp(gemm, text_of(now, "gemm")))
        return err_set(e, ERR_INPUT,
                       "%s: its trials were trained with products by %s, here is %s: others would "
                       "not be comparable; go on with it by a duet that has %s",
                       s->dir, gemm, text_of(now, "gemm"), gemm);
    return 0;
}

/* What somebody who goes on with it would put on record, against what is. */
static int same_facts(const struct search *s, const json_t *now, struct err *e) {
    const int rc = search_sources_same(s->dir, json_object_get(s->ledger.head, "sources"),
                                       json_object_get(now, "sources"), e);
    return rc ? rc : same_machine(s, now, e);
}

int search_check_resume(const struct search *s, struct err *e) {
    json_t *now = NULL;
    int rc = 0;
    if (search_is_locked(s->dir))
        return err_set(e, ERR_USAGE, "%s: another search is going on with it", s->ledger.path);
    if (access(s->ledger.path, W_OK))
        return err_errno(e, ERR_IO, "%s: cannot be opened", s->ledger.path);
    TRY(search_check_file(s, e));
    now = search_facts(&s->file, e);
    rc = now ? same_facts(s, now, e) : e->code;
out:
    json_decref(now);
    return rc;
}

void search_warn(const char *text) {
    fputs("warning: ", stderr);
    screen_write(stderr, text, strlen(text));
    fputc('\n', stderr);
}

int search_warn_changed(const struct search *s, struct err *e) {
    struct err why;
    json_t *now = machine_facts(&s->file, &why);
    int rc = now ? search_check_file(s, &why) : why.code;
    if (!rc) rc = same_machine(s, now, &why);
    json_decref(now);
    if (rc == ERR_NOMEM) return no_memory(e);
    if (rc) search_warn(why.msg);
    return 0;
}

/* Beginning, and going on ---------------------------------------------------------------------- */

/* The first line of an empty ledger. */
static int begin(struct search *s, json_t *line, struct err *e) {
    const double memory = s->file.launcher ? 0 : trial_memory_mb((unsigned)s->file.jobs);
    if (json_object_set_new(line, "event", json_string("search")) ||
        json_object_set(line, "file", s->file.json) ||
        (!s->file.launcher && json_object_set_new(line, "memory_mb", json_real(memory))))
        return no_memory(e);
    return ledger_append(&s->ledger, line, e);
}

int search_begin(struct search *s, struct err *e) {
    json_t *line = search_facts(&s->file, e);
    int rc;
    if (!line) return e->code;
    if (!s->ledger.head) {
        rc = begin(s, line, e);
        goto out;
    }
    TRY(same_facts(s, line, e));
    if (json_object_set_new(line, "event", json_string("resume"))) TRY(no_memory(e));
    s->resumed = json_incref(line);
out:
    json_decref(line);
    return rc;
}

/* Trials of a program that the file names are of that one, whoever starts them. */
static void warn_of_program(const struct search *s) {
    const char *was = text_of(s->ledger.head, "commit"), *is = text_of(s->resumed, "commit");
    if (s->file.program || !*was || !strcmp(was, is)) return;
    fprintf(stderr,
            "warning: %s was begun by another duet (commit %s, this is %s): trials of both may not "
            "be comparable\n",
            s->dir, was, is);
}

int search_go_on(struct search *s, struct err *e) {
    int rc = 0;
    if (!s->resumed) return 0;
    if (json_object_set_new(s->resumed, "trials", json_integer(s->file.trials)))
        TRY(no_memory(e));
    TRY(ledger_append(&s->ledger, s->resumed, e));
    warn_of_program(s);
    json_decref(s->resumed);
    s->resumed = NULL;
out:
    return rc;
}
