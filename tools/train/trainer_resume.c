/* What a run goes on from: its own folder, and what of the files outside must still be the same. */
#include "trainer_impl.h"
#include "train_model.h"

#include "file.h"
#include "format.h"
#include "import.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- options --------------------------------------------------------------------------------- */

static int is_fixed(const struct trainer *t, const char *name, const char *now, const char *then,
                    struct err *e) {
    return err_set(e, ERR_USAGE,
                   "--%s is %s, but %s was begun with %s, which a run cannot change; --init %s "
                   "begins a new one from its weights",
                   name, now ? now : "another", t->dir, then ? then : "another", t->dir);
}

/* The first key of --set that differs. */
static int fixed_pair(const struct trainer *t, const struct conf_pairs *now,
                      const struct conf_pairs *then, struct err *e) {
    for (size_t i = 0; i < now->n; i++) {
        size_t k = 0;
        while (k < then->n && strcmp(then->key[k], now->key[i])) k++;
        if (k < then->n && !strcmp(then->value[k], now->value[i])) continue;
        char what[128], old[128];
        snprintf(what, sizeof what, "%.60s=%.60s", now->key[i], now->value[i]);
        snprintf(old, sizeof old, "%.120s", k < then->n ? then->value[k] : "none");
        return is_fixed(t, "set", what, old, e);
    }
    return 0;
}

/* One given option against its recorded value, as its row says. Those of recorded updates are the
 * trajectory's to check, and sources are compared by what they hold. */
static int check_option(const struct trainer *t, const struct conf *now, const struct conf *then,
                        const struct conf_row *row, struct err *e) {
    const struct train_opts *o = then->opts;
    if (row->resume == RESUME_START)
        return err_set(e, ERR_USAGE,
                       "--%s does not belong to --resume, which goes on in its own folder",
                       row->name);
    if (row->resume != RESUME_FIXED || conf_same(now, then, row)) return 0;
    if (row->type == CONF_T_PAIRS) return fixed_pair(t, &t->opts->set, &o->set, e);
    char *a = conf_text(now, row), *b = conf_text(then, row);
    const int rc = is_fixed(t, row->name, a, b, e);
    free(a);
    free(b);
    return rc;
}

/* How long to train says something to a finished run; so do files, which are compared. */
static void note_change(struct trainer *t, const struct conf *now, const struct conf *then,
                        const struct conf_row *row) {
    char *to = t->given.changed;
    const size_t n = strlen(to);
    if (row->internal || row->label || row->resume == RESUME_SOURCE ||
        !strcmp(row->name, "steps") || conf_same(now, then, row))
        return;
    snprintf(to + n, sizeof t->given.changed - n, " --%s", row->name);
}

int trainer_read_config(struct trainer *t, struct conf *conf, struct err *e) {
    int rc;
    struct conf then = {0};
    struct train_opts o;
    char *config = file_join(t->dir, "config.json");
    if (!config) return err_set(e, ERR_NOMEM, "out of memory");
    TRY(conf_parse(&then, train_rows, &o, 0, NULL, e));
    TRY(conf_read_file(&then, config, e));
    TRY(provenance_read(&t->provenance, config, e));
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++)
        if (r->name && conf_given(conf, r->name)) {
            TRY(check_option(t, conf, &then, r, e));
            note_change(t, conf, &then, r);
        }
    t->given.model = conf_given(conf, "model");
    t->given.tokenizer = conf_given(conf, "tokenizer");
    t->given.lr = conf_given(conf, "lr");
    for (int i = 0; i < N_RUN_SOURCES; i++)
        t->given.source[i] = conf_given(conf, run_source_name(i));
    const bool recorded = trainer_has_file(t, "trajectory.zo");
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++)
        if (r->resume == RESUME_SOURCE || (r->resume == RESUME_RECORDED && recorded))
            t->given.any |= r->name && conf_given(conf, r->name);
    TRY(conf_read_defaults(conf, config, e));
out:
    conf_release(&then);
    free(config);
    return rc;
}

/* ---- sources --------------------------------------------------------------------------------- */

/* A file that is not where config.json says, from the folder, may be where it was at the start. */
static const char *find(struct trainer *t, enum run_source s, const char *path) {
    const char *old = t->start.source[s].path;
    if (!path || file_exists(path) || !old || !file_exists(old)) return path;
    free(t->moved[s]);
    t->moved[s] = strdup(old); /* the record is written anew while this is in use */
    return t->moved[s] ? t->moved[s] : path;
}

/* What the folder does not hold. */
static int must_be_there(const struct trainer *t, enum run_source s, const char *path,
                         struct err *e) {
    if (!path || t->given.source[s] || file_exists(path)) return 0;
    return err_set(e, ERR_INPUT,
                   "%s, which %s was begun with, is gone: --%s FILE names it where it is now", path,
                   t->dir, run_source_name(s));
}

/* The same for data; of several files, texts all, the tokens are in the folder. */
static void find_data(struct trainer *t, enum run_source s, struct conf_list *data,
                      const char **found) {
    if (data->n != 1) return;
    *found = find(t, s, data->item[0]);
    *data = (struct conf_list){found, 1};
}

static int keep_path(struct trainer *t, const char *name, const char **path, struct err *e) {
    free(t->own_init);
    *path = t->own_init = file_join(t->dir, name);
    return *path ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

/* Description and tokenizer come from a file of the folder. */
static int take_from_folder(struct trainer *t, const char *name, struct err *e) {
    const int rc = keep_path(t, name, &t->from.init, e);
    t->from.model = NULL;
    t->from.set = (struct conf_pairs){0};
    t->from.tokenizer = NULL;
    return rc;
}

/* *known: start.blzt is there and whole. Weights and state do not depend on it. */
static int read_start(struct trainer *t, bool *known, struct err *e) {
    struct err damage;
    char *path = file_join(t->dir, "start.blzt");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    *known = file_exists(path) && !run_start_read(&t->start, path, &damage);
    int rc = 0;
    if (!*known && file_exists(path) && !checkpoint_exists(t->dir))
        rc = err_set(e, damage.code, "%s", damage.msg);
    else if (!*known && file_exists(path))
        log_warn(&t->line,
                 "%s; it is made anew, and whether data and base are those that the run began with "
                 "is not known",
                 damage.msg);
    free(path);
    return rc;
}

int trainer_find_sources(struct trainer *t, struct err *e) {
    int rc = 0;
    const struct train_opts *o = t->opts;
    t->from = *o;
    t->origin = t->base = o->init;
    if (!t->resumed) return 0;
    const char *weights = t->setup.lora.rank ? "adapter.blzt" : "model.blzt";
    if (!checkpoint_exists(t->dir) && trainer_has_file(t, weights))
        return err_set(e, ERR_INPUT,
                       "%s holds %s but no state, which says how far it is: to begin from these "
                       "weights, start another run with --init",
                       t->dir, weights);
    t->restores = checkpoint_exists(t->dir) && !t->setup.lora.rank;
    if (t->restores && t->given.source[SOURCE_init] && t->setup.engine->backward)
        return err_set(e, ERR_USAGE,
                       "--init does not belong to --resume: the weights of %s are its own", t->dir);
    if (checkpoint_exists(t->dir) && t->given.source[SOURCE_adapter])
        return err_set(e, ERR_USAGE,
                       "--adapter does not belong to --resume: the adapter of %s is its own",
                       t->dir);
    bool known;
    TRY(read_start(t, &known, e));
    if (known) {
        TRY(take_from_folder(t, "start.blzt", e));
    } else if (t->restores) { /* a run of an earlier version */
        TRY(take_from_folder(
            t, trainer_has_file(t, "model.blzt") ? "model.blzt" : "model.next.blzt", e));
    }
    if (!t->given.source[SOURCE_init]) t->origin = find(t, SOURCE_init, o->init);
    t->base = t->restores ? NULL : t->origin;
    if (!t->given.source[SOURCE_data]) find_data(t, SOURCE_data, &t->from.data, t->found);
    if (!t->given.source[SOURCE_val_data])
        find_data(t, SOURCE_val_data, &t->from.val_data, t->found + 1);
    t->from.adapter = checkpoint_exists(t->dir) ? NULL : find(t, SOURCE_adapter, o->adapter);
    t->from.task = find(t, SOURCE_task, o->task);
    t->from.task_eval = find(t, SOURCE_task_eval, o->task_eval);
    TRY(must_be_there(t, SOURCE_init, t->base, e));
    TRY(must_be_there(t, SOURCE_adapter, t->from.adapter, e));
    TRY(must_be_there(t, SOURCE_task, t->from.task, e));
    TRY(must_be_there(t, SOURCE_task_eval, t->from.task_eval, e));
out:
    return rc;
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* What a source holds now, against what the run began with, and on to the record. */
static int check_source(struct trainer *t, enum run_source s, const char *path, uint64_t hash,
                        struct err *e) {
    const struct run_start *r = &t->start;
    const bool differs = r->source[s].known && r->source[s].hash != hash;
    if (differs && t->given.source[s])
        return err_set(e, ERR_INPUT,
                       "%s is not what %s was begun with: its hash is %016" PRIx64
                       ", not %016" PRIx64 ", that of %s; without --%s the run goes on with that",
                       path, t->dir, hash, r->source[s].hash, r->source[s].path,
                       run_source_name(s));
    if (differs)
        return err_set(e, ERR_INPUT,
                       "%s is not what %s was begun with: its hash is %016" PRIx64
                       ", not %016" PRIx64 "; --%s FILE names the file where it is now",
                       path, t->dir, hash, r->source[s].hash, run_source_name(s));
    if (!file_exists(path) && r->source[s].path) return 0;
    return run_start_set(&t->start, s, path, hash, e);
}

static int check_file(struct trainer *t, enum run_source s, const char *path, struct err *e) {
    uint64_t hash;
    if (!path) return 0;
    const int rc = model_file_hash(path, &hash, e);
    return rc ? rc : check_source(t, s, path, hash, e);
}

/* The description that the options name now, as it would become this run's. */
static int check_description(struct trainer *t, struct err *e) {
    int rc;
    struct model m = {0};
    char what[256];
    const int64_t vocab = t->data.tokenizer ? tokenizer_vocab_size(t->data.tokenizer)
                                            : (int64_t)t->data.shard.vocab;
    if (!t->given.model) return 0;
    TRY(train_model_create(&m, t->opts, &t->files, vocab, e));
    if (!t->opts->init && t->data.tokenizer) trainer_set_token_ids(&m.config, t->data.tokenizer);
    if (run_start_differs(&m.config, &t->model.config, what))
        rc = err_set(e, ERR_INPUT, "%s: %s as in %s, which goes on as it began", t->opts->model,
                     what, t->dir);
out:
    model_close(&m);
    return rc;
}

static int check_tokenizer(struct trainer *t, struct err *e) {
    struct tokenizer *tok;
    if (!t->given.tokenizer) return 0;
    const int rc = model_open_tokenizer(&tok, t->opts->tokenizer, e);
    if (rc) return rc;
    const uint64_t now = tokenizer_hash(tok),
                   then = t->data.tokenizer ? tokenizer_hash(t->data.tokenizer) : 0;
    tokenizer_close(tok);
    if (now == then) return 0;
    return err_set(e, ERR_INPUT,
                   "%s is another tokenizer (hash %016" PRIx64 ") than that of %s (%016" PRIx64
                   "), to which the weights belong",
                   t->opts->tokenizer, now, t->dir, then);
}

int trainer_check_data(struct trainer *t, struct err *e) {
    int rc;
    if (t->resumed) TRY(check_tokenizer(t, e));
    const struct conf_list *data = &t->from.data, *val = &t->from.val_data;
    if (data->n) TRY(check_source(t, SOURCE_data, data->item[0], t->data.shard.hash, e));
    if (val->n) TRY(check_source(t, SOURCE_val_data, val->item[0], t->val_data.shard.hash, e));
    TRY(check_file(t, SOURCE_task, t->from.task, e));
    TRY(check_file(t, SOURCE_task_eval, t->from.task_eval, e));
out:
    return rc;
}

int trainer_check_base(struct trainer *t, struct err *e) {
    int rc;
    if (t->base) {
        TRY(train_files_hash(&t->files, t->base, &t->base_hash, e));
        t->base_hashed = true;
        TRY(check_source(t, SOURCE_init, t->base, t->base_hash, e));
    }
    TRY(check_file(t, SOURCE_adapter, t->from.adapter, e));
out:
    return rc;
}

int trainer_check_model(struct trainer *t, struct err *e) {
    return t->resumed ? check_description(t, e) : 0;
}

int trainer_write_start(const struct trainer *t, struct err *e) {
    char *path = file_join(t->dir, "start.blzt");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    const int rc = run_start_write(&t->start, &t->model, path, e);
    free(path);
    return rc;
}
