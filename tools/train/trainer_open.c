#include "trainer_impl.h"
#include "stop.h"
#include "train_model.h"
#include "usual_peak.h"

#include "clock.h"
#include "disk.h"
#include "file.h"
#include "format.h"
#include "import.h"
#include "limit.h"
#include "model_shipped.h"
#include "textlist.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- model ----------------------------------------------------------------------------------- */

/* The tokenizer inside --init's file, if there is one. */
static int init_tokenizer(struct trainer *t, struct model *holder, struct err *e) {
    struct model_config c = {0};
    struct train_opts o = t->from;
    if (!o.init) return 0;
    if (o.model) o.set = (struct conf_pairs){0}; /* it is of that description */
    o.model = NULL;
    int rc = train_model_config(&c, &o, &t->files, holder, e);
    model_config_release(&c);
    return rc;
}

static int open_text(struct trainer *t, const struct dataset_opts *d, struct err *e) {
    int rc;
    const struct train_opts *o = &t->from;
    TRY(data_show_open(&t->data, d, t->opts->quiet, e));
    TRY(trainer_open_splits(t, d, e));
    t->batcher = (struct batcher){.shard = &t->data.shard,
                                  .split = t->train,
                                  .T = t->seq,
                                  .seed = (uint64_t)o->seed,
                                  .order = strcmp(o->order, "epoch") ? BATCH_RANDOM : BATCH_EPOCH};
out:
    return rc;
}

/* context: of the model. */
static int open_tasks(struct trainer *t, const struct dataset_opts *d, int64_t context,
                      struct err *e) {
    int rc;
    const struct train_opts *o = &t->from;
    struct task_opts to = {
        .path = o->task, .prompt = o->prompt, .labels = o->labels, .seq = t->seq};
    if (d->tokenizer)
        TRY(model_open_tokenizer(&t->data.tokenizer, d->tokenizer, e));
    else
        TRY(tokenizer_open_own(&t->data.tokenizer, &d->own, o->init, e));
    if (!t->data.tokenizer) {
        rc = d->own.problem ? err_set(e, ERR_INPUT, "%s", d->own.problem)
                            : err_set(e, ERR_USAGE,
                                      "%s holds no tokenizer: give one with --tokenizer", o->init);
        goto out;
    }
    TRY(task_open(&t->task, &to, t->data.tokenizer, e));
    data_say_shortened(&t->task, o->task, context, &t->line);
    t->seq = t->task.T;
    if (o->task_eval) {
        to.path = o->task_eval;
        TRY(task_open(&t->task_val, &to, t->data.tokenizer, e));
        data_say_shortened(&t->task_val, o->task_eval, context, &t->line);
    }
out:
    return rc;
}

static int open_data(struct trainer *t, struct err *e) {
    int rc;
    const struct train_opts *o = &t->from;
    struct model holder = {0};
    struct model_config c = {0};
    char *cache = file_join(t->dir, "tokens.shard");
    struct dataset_opts d = {.data = o->data,
                             .format = o->format,
                             .tokenizer = o->tokenizer,
                             .cache = t->given.source[SOURCE_data] ? NULL : cache,
                             .reuse = t->resumed,
                             .expect = t->start.source[SOURCE_data].hash,
                             .expected = t->start.source[SOURCE_data].known,
                             .pool = t->machine.pool};
    if (!o->tokenizer) {
        TRY(init_tokenizer(t, &holder, e));
        d.own = model_tok_own(&holder);
    }
    TRY(train_model_config(&c, o, &t->files, NULL, e));
    t->described = c.vocab;
    d.raw_vocab = (uint32_t)c.vocab;
    t->seq = t->opts->seq = o->seq ? o->seq : c.seq_len;
    TRY(o->task ? open_tasks(t, &d, model_config_context(&c), e) : open_text(t, &d, e));
    TRY(trainer_check_data(t, e));
out:
    model_config_release(&c);
    model_forget_tokenizer(&holder);
    free(cache);
    return rc;
}

/* The description's start and end tokens are those of its own tokenizer; a new model gets ours. */
void trainer_set_token_ids(struct model_config *c, const struct tokenizer *t) {
    const int64_t bos = tokenizer_bos(t), eos = tokenizer_eos(t);
    json_object_set_new(c->json, "bos_token_id", bos < 0 ? json_null() : json_integer(bos));
    json_object_set_new(c->json, "eos_token_id", eos < 0 ? json_null() : json_integer(eos));
}

struct run_opts trainer_run_opts(struct trainer *t) {
    const struct train_opts *o = t->opts;
    if (t->run) return t->run->opts;
    struct run_opts r = train_run_opts(&t->setup, o, &t->machine, t->seq);
    r.engine_opts.n_answers = t->task.n_labels;
    r.engine_opts.answers = t->task.answers;
    r.cancel = stop_flag();
    r.clock = t->clock;
    r.recorded = o->clock ? &t->recorded : NULL;
    r.data.text = t->batcher.shard ? &t->batcher : NULL;
    r.data.task = o->task ? &t->task : NULL;
    r.val.task = o->task_eval ? &t->task_val : NULL;
    r.val.shard = o->task ? NULL : trainer_val_shard(t);
    r.val.split = t->val;
    r.val.windows = (uint64_t)o->val_windows;
    r.val.token_bytes = t->token_bytes;
    return r;
}

/* What the tokenizer means for the model. */
static int match_tokenizer(struct trainer *t, struct err *e) {
    const int rc = model_keep_tokenizer(&t->model, t->data.tokenizer, e);
    if (rc) return rc;
    if (!t->from.init) trainer_set_token_ids(&t->model.config, t->data.tokenizer);
    if (!t->opts->task) t->token_bytes = eval_token_bytes(t->data.tokenizer, t->data.shard.vocab);
    return 0;
}

/* Pairs of --keep beside the last, where it is known that there will be so many. */
static uint64_t kept_pairs(const struct trainer *t, const struct run_opts *o) {
    const int64_t each = t->setup.checkpoint_steps, steps = run_updates(o, 0);
    const int64_t most = each && steps ? steps / each : 1;
    return (uint64_t)(t->opts->keep < most ? t->opts->keep : most > 1 ? most : 1) - 1;
}

/* At a checkpoint the new pair of weights and state stands beside the old one. The state is
 * compressed, to some nine tenths; logs and trajectories are not known ahead. */
static int check_disk(const struct trainer *t, const struct run_opts *o, struct err *e) {
    const struct model *m = &t->model;
    uint64_t weights = m->lora ? 0 : model_weight_bytes(m);
    for (int i = 0; i < m->n_params && m->lora; i++)
        if (m->params[i].trainable) weights += 4 * (uint64_t)param_count(m->params + i);
    const struct engine_kind *k = t->setup.engine;
    const uint64_t own = k->bytes ? k->bytes(&o->engine_opts, m) : 0; /* an estimator's */
    const uint64_t state =
        (opt_state_bytes(&t->setup.hyper, m->params, m->n_params) + own) / 10 * 9;
    const bool there = t->resumed && checkpoint_exists(t->dir);
    const bool base = !t->setup.engine->backward && !t->from.init && !t->resumed;
    const bool best = t->opts->keep_best && t->opts->val_every && !there;
    const uint64_t pairs = (there ? 1 : 2) + (there ? 0 : kept_pairs(t, o));
    return disk_fits(t->dir, "this run", pairs * (weights + state) + (base + best) * weights,
                     weights > state ? weights : state, e);
}

/* Description and tables. */
static int create_model(struct trainer *t, struct err *e) {
    int rc;
    const int64_t vocab =
        t->data.tokenizer ? tokenizer_vocab_size(t->data.tokenizer) : t->data.shard.vocab;
    TRY(train_model_create(&t->model, &t->from, &t->files, vocab, e));
    t->model.pool = t->machine.pool;
    if (t->data.tokenizer) TRY(match_tokenizer(t, e));
    TRY(trainer_check_model(t, e));
out:
    return rc;
}

static int open_model(struct trainer *t, struct err *e) {
    int rc;
    const struct train_opts *o = &t->from;
    const struct train_setup *s = &t->setup;
    uint32_t *ids = NULL;
    int64_t n_ids = 0;
    TRY(create_model(t, e));
    if (!o->init && !t->resumed && t->model.config.vocab != t->described) {
        const char *slash = strrchr(o->model, '/');
        log_note(&t->line, "the tokenizer decides the vocabulary: %lld tokens, not the %lld of %s",
                 (long long)t->model.config.vocab, (long long)t->described,
                 slash ? slash + 1 : o->model);
    }
    if (o->compact_vocab)
        TRY(dataset_ids(&t->data.shard, t->read_tokens, &t->val_data.shard, t->model.config.vocab,
                        &ids, &n_ids, e));
    TRY(train_model_shape(&t->model, s, ids, n_ids, e));
    if (o->task) TRY(task_map(&t->task, &t->model, e));
    if (o->task_eval) TRY(task_map(&t->task_val, &t->model, e));
    const struct run_opts ro = trainer_run_opts(t);
    TRY(run_plan(&t->memory, ro.engine, &t->model, &ro.engine_opts, run_val_seq(&ro), e));
    rc = run_plan_fits(&t->memory, &t->machine, "this run", run_plan_advice(ro.engine), e);
    t->refused = rc == ERR_NOMEM;
    if (rc) goto out;
    TRY(check_disk(t, &ro, e));
    TRY(trainer_check_base(t, e));
    if (t->model.lora && t->base_hashed) t->model.lora->base_hash = t->base_hash;
    /* Now, while the memory of the run is not in use. */
    log_state(&t->line, "measuring the GEMM peak");
    t->peak = machine_peak(&t->machine, 0.3, t->memory.total);
    t->usual_peak = usual_peak_note(t->machine.gemm, t->memory.total, t->peak);
    log_state(&t->line, "preparing the model");
    TRY(t->restores ? model_reserve(&t->model, e)
                    : train_model_load(&t->model, s, o, &t->files, t->base, e));
    TRY(run_open(&t->run, &t->model, &ro, trainer_event, t, e));
    t->p = &t->run->p;
out:
    free(ids);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* A pipe gives its text to one of the options. */
static int check_once(const struct train_opts *o, struct err *e) {
    const size_t n = o->data.n + o->val_data.n;
    const char **paths = calloc(n + 1, sizeof *paths);
    if (!paths) return err_set(e, ERR_NOMEM, "out of memory for the names of texts");
    for (size_t i = 0; i < n; i++)
        paths[i] = i < o->data.n ? o->data.item[i] : o->val_data.item[i - o->data.n];
    const int rc = textlist_once(paths, n, e);
    free(paths);
    return rc;
}

/* What is wrong with the command line and can be seen without tokenising is said before the folder
 * is touched. */
static int check_inputs(const struct train_opts *o, struct train_files *f, struct err *e) {
    int rc;
    struct model m = {0}, own = {0};
    struct model_config c = {0};
    struct tokenizer *tok = NULL;
    if (o->model && o->init && !engine_find(o->engine)->backward)
        return err_set(e, ERR_USAGE,
                       "give either --model or --init: a trajectory must be replayable from the "
                       "file of its base alone; --set changes the description");
    if (!o->task && !o->data.n)
        return err_set(e, ERR_USAGE, "give the training text or shard with --data FILE");
    TRY(check_once(o, e));
    if (o->data.n) TRY(dataset_check(&o->data, o->format, e));
    if (o->val_data.n) TRY(dataset_check(&o->val_data, o->format, e));
    if (o->task && access(o->task, R_OK)) return err_errno(e, ERR_INPUT, "cannot read %s", o->task);
    if (o->task_eval && access(o->task_eval, R_OK))
        return err_errno(e, ERR_INPUT, "cannot read %s", o->task_eval);
    if (o->adapter && access(o->adapter, R_OK))
        return err_errno(e, ERR_INPUT, "cannot read %s", o->adapter);
    if (o->init && access(o->init, R_OK)) return err_errno(e, ERR_INPUT, "cannot read %s", o->init);
    if (o->tokenizer) TRY(model_open_tokenizer(&tok, o->tokenizer, e));
    if (o->init && tok) {
        TRY(train_model_config(&c, o, f, &own, e));
        const struct tok_own its = model_tok_own(&own);
        TRY(tokenizer_check(tok, c.vocab, &its, o->init, e));
    }
    TRY(train_model_create(&m, o, f, tok ? tokenizer_vocab_size(tok) : 0, e));
out:
    model_config_release(&c);
    model_forget_tokenizer(&own);
    tokenizer_close(tok);
    model_close(&m);
    return rc;
}

/* Where the log ends of a run that ended at its last checkpoint; else `from`. */
static int64_t end_of_log(const struct trainer *t, const char *path, int64_t from) {
    char line[1024];
    long long step;
    int64_t end = from, at = from;
    FILE *f = t->ended.num_steps == t->p->step ? fopen(path, "r") : NULL;
    if (f && !fseek(f, (long)from, SEEK_SET))
        while (fgets(line, sizeof line, f)) {
            at += (int64_t)strlen(line);
            if (sscanf(line, "{\"event\":\"report\",\"step\":%lld", &step) == 1 &&
                step == t->p->step)
                end = at;
        }
    if (f) fclose(f);
    return end;
}

/* Fills logged and logged_val: a killed process may have recorded an update that the log lacks. */
static void find_logged(struct trainer *t, const char *path) {
    char line[1024];
    FILE *f = t->resumed && t->log.file.regular ? fopen(path, "r") : NULL;
    long long step;
    t->logged_val = -1;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "{\"event\":\"step\",\"step\":%lld", &step) == 1) {
            t->logged = step;
        } else if (sscanf(line, "{\"event\":\"val\",\"step\":%lld", &step) == 1) {
            t->logged_val = step;
        } else if (sscanf(line, "{\"event\":\"rollback\",\"step\":%lld", &step) == 1 ||
                   sscanf(line, "{\"event\":\"diverged\",\"step\":%lld", &step) == 1) {
            t->logged = step;
            if (t->logged_val > step) t->logged_val = step;
        }
    }
    if (f) fclose(f);
}

/* What was logged after the checkpoint is logged again; but not the updates that a trajectory
 * holds, nor what an end has said. */
static int open_log(struct trainer *t, struct err *e) {
    char *path = file_join(t->dir, "log.jsonl");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    const int64_t keep = t->resumed && trainer_has_file(t, "trajectory.zo")
                             ? -1
                             : end_of_log(t, path, t->p->log_bytes);
    const int rc = log_lines_open(&t->log, path, keep, e);
    if (!rc) find_logged(t, path);
    free(path);
    return rc;
}

/* MeZO: the rate where none was given, and whether eps is of use. */
static int find_rate(struct trainer *t, struct err *e) {
    struct train_setup *s = &t->setup;
    if (t->resumed && !s->find_lr) return 0;
    const int rc = run_find_rate(t->run, e);
    s->find_lr = t->run->opts.find_lr;
    s->lr = t->run->opts.lr;
    s->hyper = t->run->opts.engine_opts.hyper;
    if (rc || !s->estimator) return rc;
    t->opts->lr = s->lr;
    t->opts->lr_matrix = s->hyper.of[ROLE_matrix].lr_factor;
    return rc;
}

/* A killed run must find its config, so a new one writes it first; a resumed one only when it is
 * sure to go on with it. */
static int open_run(struct trainer *t, struct conf *conf, struct err *e) {
    int rc;
    if (!t->resumed) TRY(trainer_open_folder(t, e));
    if (!t->resumed) TRY(trainer_take_clock(t, e));
    TRY(trainer_find_sources(t, e));
    if (!t->resumed) TRY(trainer_write_config(t, conf, e));
    TRY(open_data(t, e));
    TRY(open_model(t, e));
    TRY(train_check_head(t->model.config.tied, conf, e));
    if (t->resumed && checkpoint_exists(t->dir)) {
        TRY(checkpoint_load(t->dir, t->run, e));
        t->saved_step = t->provenance.step = t->p->step;
        t->total_before = t->p->total;
        if (t->given.lr) { /* what was halved was another rate */
            t->p->lr_scale = 1;
            t->p->rollbacks = 0;
        }
    }
    if (t->resumed && !t->setup.engine->backward) TRY(trainer_check_trajectory(t, conf, e));
    t->over = trainer_is_over(t); /* --epochs and --flops count what is only known now */
    if (t->over) goto out;
    TRY(trainer_reopen_kept(t, e)); /* from here on files change */
    TRY(trainer_reopen_best(t, e));
    TRY(find_rate(t, e));
    TRY(trainer_write_start(t, e));
    TRY(open_log(t, e));
    TRY(trainer_reopen_first(t, e));
    t->last_save = clock_seconds();
    if (!t->setup.engine->backward) TRY(trainer_open_trajectory(t, conf, e));
    TRY(trainer_open_clock(t, e));
    if (t->val_changed) t->logged_val = -1; /* lines of its own */
    TRY(trainer_write_config(t, conf, e)); /* a new run's again, with the measured rate */
out:
    return rc;
}

/* A run that is over goes on from nothing, but what is given must still be its own. */
static int check_over(struct trainer *t, struct conf *conf, struct err *e) {
    int rc;
    train_opts_resolve(t->opts, &t->setup);
    TRY(trainer_find_sources(t, e));
    TRY(open_data(t, e));
    TRY(create_model(t, e));
    if (t->given.source[SOURCE_init]) TRY(trainer_check_base(t, e));
    if (!t->setup.engine->backward) TRY(trainer_check_trajectory(t, conf, e));
out:
    return rc;
}

int trainer_open(struct trainer *t, struct train_opts *o, struct conf *conf, struct err *e) {
    int rc;
    *t = (struct trainer){.opts = o,
                          .began = clock_seconds(),
                          .resumed = o->resume != NULL,
                          .saved_step = -1,
                          .files.verify = true,
                          .lock = -1};
    t->early = progress_zero();
    t->p = &t->early;
    provenance_begin(&t->provenance);
    t->ended.num_steps = -1;
    log_progress_init(&t->line, o->quiet);
    log_progress_init(&t->val_line, o->quiet);
    if (t->resumed) {
        TRY(trainer_open_folder(t, e));
        TRY(trainer_read_config(t, conf, e));
        TRY(model_shipped_find(&o->model, &t->adapter.model, e));
    }
    if (!t->resumed) {
        TRY(train_take_adapter(o, conf, &t->adapter, e));
        if (o->init && (t->own_run = model_file_of_run(o->init))) o->init = t->own_run;
    }
    TRY(machine_open(&t->machine,
                     &(struct machine_opts){.threads = (int)o->threads, .idle = true}, e));
    train_opts_old(o, conf);
    TRY(train_setup_make(&t->setup, o, &t->machine.cpu, e));
    TRY(train_check_effect(&t->setup, o, conf, e));
    TRY(trainer_find_clock(t, e));
    if (t->resumed) TRY(trainer_look_at_end(t, e));
    if (t->over) {
        if (t->given.any) TRY(check_over(t, conf, e));
        goto out;
    }
    train_opts_resolve(o, &t->setup);
    TRY(machine_products(&t->machine,
                         &(struct machine_opts){.gemm = o->gemm, .compute = o->compute}, e));
    if (!t->resumed) TRY(check_inputs(o, &t->files, e));
    TRY(heartbeat_open(&t->clock, machine_threads(&t->machine), e));
    TRY(open_run(t, conf, e));
out:
    return rc;
}

void trainer_close(struct trainer *t) {
    log_progress_end(&t->val_line);
    log_progress_end(&t->line);
    log_lines_close(&t->log);
    run_close(t->run);
    train_files_close(&t->files);
    heartbeat_close(t->clock);
    model_close(&t->model);
    dataset_close(&t->data);
    dataset_close(&t->val_data);
    task_close(&t->task);
    task_close(&t->task_val);
    trajectory_close(&t->trajectory);
    clock_record_close(&t->clocked);
    clock_record_close(&t->recorded);
    free(t->own_clock);
    free(t->token_bytes);
    free(t->dir);
    free(t->own_init);
    for (int i = 0; i < N_RUN_SOURCES; i++) free(t->moved[i]);
    free(t->own_run);
    run_start_release(&t->start);
    provenance_release(&t->provenance);
    machine_close(&t->machine);
    train_release_adapter(&t->adapter);
    train_summary_release(&t->ended);
    if (t->lock >= 0) close(t->lock);
    *t = (struct trainer){0};
}
