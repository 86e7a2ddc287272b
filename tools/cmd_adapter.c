/* duet adapter: what is in an adapter, and merging one into its base. */
#include "adapter.h"
#include "cmd.h"
#include "describe.h"
#include "facts.h"
#include "merge.h"
#include "open_model.h"
#include "out_format.h"
#include "run_start.h"
#include "screen.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *out, *to, *dtype;
    struct conf_pairs set;
    double scale;
    int64_t threads;
    struct machine machine; /* no option */
    bool json, overwrite;
};

#define O struct opts
#define W(name) #name " "
#define R(name)
static const char words[] = "auto " FORMATS(W, R);
#undef W
#undef R

static const struct conf_row rows[] = {
    CONF_STRING(O, out, "out", NULL, "FILE", "merge: model to write; its name tells the format"),
    CONF_CHOICE(O, to, "to", "auto", words, "merge: format to write; auto: by the name of --out"),
    CONF_FLOAT(O, scale, "scale", "1", -1e3, 1e3, "merge: factor on the adapter"),
    CONF_CHOICE(O, dtype, "dtype", "f32", "f32 f16 bf16 q8_0 q4_0",
                "merge: type of the matrices to write"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE",
               "merge: override a key of the base's description (repeatable)"),
    THREADS_ROW(O, threads),
    OVERWRITE_ROW(O, overwrite),
    CONF_BOOL(O, json, "json", "info: print JSON"),
    CONF_END};
#undef O

/* ---- info ----------------------------------------------------------------------------------- */

static int info(const struct opts *o, const char *path, struct err *e) {
    json_t *facts = json_object();
    const int rc = describe_adapter(facts, path, e);
    if (!rc && o->json) {
        json_object_set_new(facts, "adapter", json_string(path));
        char *text = json_dumps(facts, JSON_COMPACT);
        puts(text ? text : "{}");
        free(text);
    } else if (!rc) {
        facts_print(path, facts, stdout);
    }
    json_decref(facts);
    return rc;
}

/* ---- merge ---------------------------------------------------------------------------------- */

/* adapter NULL: base is the folder of a LoRA run, which has both. */
static int merge(const struct opts *o, const char *base, const char *adapter, struct err *e) {
    int rc;
    struct model m = {0};
    struct run_files run = {0};
    const struct format *f;
    struct export_report r;
    const struct export_opts x = {.dtype = dtype_find(o->dtype)};
    const struct adapter_use use = {.weights = DT_F32,
                                    .scale = o->scale,
                                    .merge = true,
                                    .sets = &o->set,
                                    .pool = o->machine.pool};
    if (!o->out) return err_set(e, ERR_USAGE, "give the file to write with --out FILE");
    TRY(run_files_find(&run, base, adapter, e));
    if (!run.adapter) {
        rc = err_set(e, ERR_USAGE, "%s is no LoRA run's folder: give an adapter, too", base);
        goto out;
    }
    TRY(run_files_there(&run, e));
    TRY(out_is_other(o->out, run.model, e));
    TRY(out_is_other(o->out, run.adapter, e));
    TRY(out_format(o->out, o->to, false, &f, e));
    TRY(out_free(o->out, o->overwrite, e));
    TRY(run_files_open(&run, &m, &use, e));
    open_say_assumed(&m);
    TRY(merge_export(&m, o->machine.kern, run.model, f, o->out, &x, &r, e));
    screen_write(stderr, r.text, strlen(r.text));
    printf("%s: %s with %s merged into it, as %s\n", o->out, run.model, run.adapter, f->name);
out:
    run_files_release(&run);
    model_close(&m);
    return rc;
}

/* ---- the command line ----------------------------------------------------------------------- */

static const struct verb {
    const char *name, *needs, *options;
    int least, most;
} verbs[] = {{"merge", "a base model and an adapter, or the folder of a LoRA run",
              "out to scale dtype set overwrite threads", 1, 2},
             {"info", "an adapter", "json", 1, 1}};

static const char *verb(size_t i) {
    return i < sizeof verbs / sizeof *verbs ? verbs[i].name : NULL;
}

/* Options that would have no effect are errors: each verb knows its own. */
static int check_opts(const struct conf *c, const struct verb **found, struct err *e) {
    *found = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (c->n_pos && !strcmp(c->pos[0], verbs[i].name)) *found = verbs + i;
    const struct verb *v = *found;
    if (!v)
        return err_set(e, ERR_USAGE, "%s%s%s; expected merge or info",
                       c->n_pos ? "unknown verb \"" : "no verb given", c->n_pos ? c->pos[0] : "",
                       c->n_pos ? "\"" : "");
    for (const struct conf_row *r = rows; r->type != CONF_T_END; r++) {
        const char *at = strstr(v->options, r->name);
        if (!at && conf_given(c, r->name))
            return err_set(e, ERR_USAGE, "--%s has no effect on duet adapter %s", r->name, v->name);
    }
    char what[40];
    snprintf(what, sizeof what, "duet adapter %s", v->name);
    return cmd_count(what, c, 1, v->least, v->most, v->needs, e);
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    const struct verb *v;
    TRY(cmd_parse(&cmd_adapter, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(check_opts(&conf, &v, e));
    TRY(cmd_machine(&o.machine, o.threads, e));
    TRY(v == verbs ? merge(&o, conf.pos[1], conf.n_pos > 2 ? conf.pos[2] : NULL, e)
                   : info(&o, conf.pos[1], e));
out:
    machine_close(&o.machine);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_adapter = {
    .name = "adapter",
    .summary = "What a LoRA adapter is; a model with one merged in.",
    .usage = "merge BASE ADAPTER --out FILE [--dtype TYPE] [--scale X]\n"
             "merge RUN --out FILE [--dtype TYPE] [--scale X]\n"
             "info ADAPTER [--json]",
    .notes = "merge writes W + scale (alpha/rank) B A in place of every weight that the adapter "
             "corrects,\n"
             "computed in f32. An adapter of duet belongs to the very file that it was trained on; "
             "those of\n"
             "PEFT and GGUF to any model of their shapes. From one format to another: `duet "
             "convert`.\n",
    .verb = verb,
    .rows = rows,
    .run = run,
};
