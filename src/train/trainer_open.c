#include "trainer_impl.h"

#include "clock.h"
#include "file.h"
#include "format.h"
#include "par.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folder and config ------------------------------------------------------------------------
 */

static int free_folder(char **dir, struct err *e) {
    for (int i = 1; i < 100000; i++) {
        char name[32];
        snprintf(name, sizeof name, "runs/%d", i);
        if (file_exists(name)) continue;
        *dir = strdup(name);
        return *dir ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    }
    return err_set(e, ERR_USAGE, "no free folder in runs/; choose one with --out");
}

/* What a run writes. */
static const char *const run_files[] = {"config.json",     "state",     "model.blzt",
                                        "model.next.blzt", "log.jsonl", "summary.json",
                                        "tokens.shard"};
enum { N_RUN_FILES = sizeof run_files / sizeof *run_files };

/* A folder that holds any of a run's files is only written with --overwrite, and never when one of
 * them is what this run is to read. */
static int check_folder(const struct trainer *t, struct err *e) {
    const struct train_opts *o = t->opts;
    const char *const inputs[] = {o->model, o->init, o->data, o->tokenizer};
    int rc = 0;
    for (int i = 0; i < N_RUN_FILES && !rc; i++) {
        char *path = file_join(t->dir, run_files[i]);
        if (!path) return err_set(e, ERR_NOMEM, "out of memory");
        if (file_exists(path) && !o->overwrite)
            rc =
                err_set(e, ERR_USAGE,
                        "%s already holds a run (%s): continue it with --resume %s, choose another "
                        "--out, or give --overwrite",
                        t->dir, run_files[i], t->dir);
        for (size_t k = 0; k < sizeof inputs / sizeof *inputs && !rc; k++)
            if (inputs[k] && file_same(inputs[k], path))
                rc = err_set(
                    e, ERR_USAGE,
                    "%s is to be read, but would be overwritten by a run in %s: choose another "
                    "--out",
                    inputs[k], t->dir);
        free(path);
    }
    return rc;
}

/* Two processes in one folder would mix their files. The lock ends with the process. */
static int lock_folder(struct trainer *t, struct err *e) {
    t->lock = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0) return err_errno(e, ERR_IO, "cannot open the folder %s", t->dir);
    if (flock(t->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return err_set(e, ERR_IO, "%s: another process is training in this folder", t->dir);
    return 0;
}

static void clear_folder(const struct trainer *t) {
    for (int i = 0; i < N_RUN_FILES; i++) {
        char *path = file_join(t->dir, run_files[i]);
        if (path) unlink(path);
        free(path);
    }
}

/* What is left of an old run must not be mistaken for this one's. */
static int open_folder(struct trainer *t, struct err *e) {
    const struct train_opts *o = t->opts;
    const char *dir = t->resumed ? o->resume : o->out;
    int rc;
    if (dir)
        t->dir = strdup(dir);
    else
        TRY(free_folder(&t->dir, e));
    if (!t->dir) return err_set(e, ERR_NOMEM, "out of memory");
    if (!t->resumed) {
        TRY(check_folder(t, e));
        const bool made = !file_exists(t->dir);
        TRY(file_mkdirs(t->dir, e));
        t->made_dir = made;
    }
    TRY(lock_folder(t, e));
    if (!t->resumed) {
        clear_folder(t);
        t->cleared = true;
    }
out:
    return rc;
}

static int write_text(const char *dir, const char *name, const char *text, struct err *e) {
    struct file_out f = {0};
    char *path = file_join(dir, name);
    if (!path || !text) {
        free(path);
        return err_set(e, ERR_NOMEM, "out of memory for %s", name);
    }
    int rc = file_out_open(&f, path, e);
    free(path);
    if (rc) return rc;
    file_out_write(&f, text, strlen(text));
    return file_out_commit(&f, e);
}

/* ---- model ------------------------------------------------------------------------------------
 */

static int read_config(struct model_config *c, const struct train_opts *o, struct model *tok,
                       struct err *e) {
    if (o->model) return model_config_read(c, o->model, &o->set, e);
    struct model_file mf = {0};
    int rc = model_file_open(&mf, o->init, false, e);
    if (rc) return rc;
    rc = model_config_parse(c, mf.config, strlen(mf.config), o->init, &o->set, e);
    if (!rc && tok && mf.tokenizer)
        rc = model_set_tokenizer(tok, mf.tokenizer, mf.tokenizer_bytes, e);
    model_file_close(&mf);
    return rc;
}

static bool vocab_was_set(const struct train_opts *o) {
    for (size_t i = 0; i < o->set.n; i++)
        if (!strcmp(o->set.key[i], "vocab_size")) return true;
    return false;
}

int train_model_create(struct model *m, const struct train_opts *o, int64_t vocab, struct err *e) {
    struct model_config c = {0};
    if (!o->model && !o->init)
        return err_set(e, ERR_USAGE, "give the model with --model FILE or --init FILE");
    int rc = read_config(&c, o, NULL, e);
    if (rc) return rc;
    if (vocab > c.vocab) {
        rc = err_set(
            e, ERR_INPUT, "the tokenizer has %lld tokens, the model's vocabulary only %lld%s",
            (long long)vocab, (long long)c.vocab, o->init ? "" : "; --set vocab_size=N changes it");
        model_config_release(&c);
        return rc;
    }
    if (vocab && vocab != c.vocab && !o->init && !vocab_was_set(o)) {
        /* From scratch the tokenizer decides: rows that no token uses would only cost time. */
        json_object_set_new(c.json, "vocab_size", json_integer(vocab));
        c.vocab = vocab;
    }
    if (o->seq && o->seq != c.seq_len) {
        /* The length it was trained at belongs to the model: eval and generate go by it. */
        json_t *duet = json_object_get(c.json, "duet");
        if (!duet) json_object_set_new(c.json, "duet", duet = json_object());
        json_object_set_new(duet, "seq_len", json_integer(o->seq));
        c.seq_len = o->seq;
    }
    return model_create(m, &c, e);
}

/* The tokenizer inside --init's file, if there is one. */
static int init_tokenizer(struct trainer *t, struct model *holder, struct err *e) {
    struct model_config c = {0};
    struct train_opts o = *t->opts;
    if (!o.init) return 0;
    o.model = NULL;
    o.set = (struct conf_pairs){0};
    int rc = read_config(&c, &o, holder, e);
    model_config_release(&c);
    return rc;
}

static int open_data(struct trainer *t, struct err *e) {
    int rc;
    const struct train_opts *o = t->opts;
    struct model holder = {0};
    struct model_config c = {0};
    char *cache = file_join(t->dir, "tokens.shard");
    struct dataset_opts d = {.path = o->data,
                             .format = o->format,
                             .tokenizer = o->tokenizer,
                             .cache = cache,
                             .reuse = t->reuse,
                             .quiet = o->quiet};
    if (!o->tokenizer) {
        TRY(init_tokenizer(t, &holder, e));
        d.blob = holder.tok_blob;
        d.blob_bytes = holder.tok_bytes;
    }
    TRY(read_config(&c, o, NULL, e));
    d.raw_vocab = (uint32_t)c.vocab;
    t->seq = o->seq ? o->seq : c.seq_len;
    TRY(dataset_open(&t->data, &d, e));
    rc = split_make(&t->data.shard, o->val_fraction, t->seq, &t->train, &t->val, e);
    if (rc && !file_same(t->data.shard.map.path, o->data)) err_prefix(e, "%s", o->data);
    if (rc) goto out;
    t->batcher = (struct batcher){.shard = &t->data.shard,
                                  .split = t->train,
                                  .T = t->seq,
                                  .seed = (uint64_t)o->seed,
                                  .order = strcmp(o->order, "epoch") ? BATCH_RANDOM : BATCH_EPOCH};
out:
    model_config_release(&c);
    free(holder.tok_blob);
    free(cache);
    return rc;
}

static int compact(struct trainer *t, struct err *e) {
    const struct shard *s = &t->data.shard;
    const size_t V = (size_t)t->model.config.vocab;
    uint8_t *seen = calloc(V, 1);
    uint32_t *ids = malloc(V * sizeof *ids);
    int64_t n = 0;
    int rc = 0;
    if (!seen || !ids) rc = err_set(e, ERR_NOMEM, "out of memory for the vocabulary map");
    for (uint64_t i = 0; !rc && i < s->n_tokens; i++) seen[shard_token(s, i)] = 1;
    for (size_t v = 0; !rc && v < V; v++)
        if (seen[v]) ids[n++] = (uint32_t)v;
    if (!rc) rc = model_compact(&t->model, ids, n, e);
    free(seen);
    free(ids);
    return rc;
}

/* The description's start and end tokens are those of its own tokenizer; a new model gets ours. */
static void set_token_ids(struct model_config *c, const struct tokenizer *t) {
    const int64_t bos = tokenizer_bos(t), eos = tokenizer_eos(t);
    json_object_set_new(c->json, "bos_token_id", bos < 0 ? json_null() : json_integer(bos));
    json_object_set_new(c->json, "eos_token_id", eos < 0 ? json_null() : json_integer(eos));
}

static int open_model(struct trainer *t, struct err *e) {
    int rc;
    size_t blob_bytes;
    const struct train_opts *o = t->opts;
    const struct shard *s = &t->data.shard;
    const int64_t vocab = t->data.tokenizer ? tokenizer_vocab_size(t->data.tokenizer) : s->vocab;
    TRY(train_model_create(&t->model, o, vocab, e));
    if (t->data.tokenizer) {
        const void *blob = tokenizer_blob(t->data.tokenizer, &blob_bytes);
        TRY(model_set_tokenizer(&t->model, blob, blob_bytes, e));
        if (!o->init) set_token_ids(&t->model.config, t->data.tokenizer);
        t->token_bytes = eval_token_bytes(t->data.tokenizer, s->vocab);
    }
    if (o->compact_vocab) TRY(compact(t, e));
    const struct engine_opts eo = {.batch = o->batch,
                                   .seq = t->seq,
                                   .recompute = o->recompute,
                                   .gemm = &t->gemm,
                                   .optimizer = t->setup.optimizer,
                                   .hyper = t->setup.hyper};
    TRY(engine_plan(t->setup.engine, &t->model, &eo, &t->memory, e));
    const size_t have = memory_available();
    if (have && t->memory.total > have) {
        rc = err_set(
            e, ERR_NOMEM,
            "this run needs %zu MB (weights %zu, gradients %zu, optimizer %zu, activations %zu) "
            "and %zu MB are free; try a smaller --batch, --recompute or --optimizer lion",
            t->memory.total >> 20, t->memory.weights >> 20, t->memory.gradients >> 20,
            t->memory.optimizer >> 20, (t->memory.kept + t->memory.passing) >> 20, have >> 20);
        goto out;
    }
    TRY(model_reserve(&t->model, e));
    if (o->init)
        TRY(model_load(&t->model, o->init, e));
    else
        TRY(model_init(&t->model, (uint64_t)o->seed, e));
    TRY(engine_open(&t->engine, t->setup.engine, &t->model, &eo, e));
out:
    return rc;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

/* What is wrong with the command line and can be seen without tokenising is said before the folder
 * is touched. */
static int check_inputs(const struct train_opts *o, struct err *e) {
    int rc;
    struct stat st;
    struct model m = {0};
    struct tokenizer *tok = NULL;
    if (!o->data) return err_set(e, ERR_USAGE, "give the training text or shard with --data FILE");
    if (stat(o->data, &st) || access(o->data, R_OK))
        return err_errno(e, ERR_INPUT, "cannot read %s", o->data);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "cannot train on %s: it is not a regular file", o->data);
    if (o->init && access(o->init, R_OK)) return err_errno(e, ERR_INPUT, "cannot read %s", o->init);
    if (o->tokenizer) TRY(tokenizer_open(&tok, o->tokenizer, e));
    TRY(train_model_create(&m, o, tok ? tokenizer_vocab_size(tok) : 0, e));
out:
    tokenizer_close(tok);
    model_close(&m);
    return rc;
}

/* Paths in config.json are absolute, so that it repeats the run from anywhere. A text that is gone
 * when a run is resumed is not needed any more: its tokens are in the folder. */
static int absolute(const struct trainer *t, const char **path, char room[PATH_MAX],
                    struct err *e) {
    if (!*path || (t->resumed && **path == '/')) return 0;
    if (!realpath(*path, room)) return err_errno(e, ERR_INPUT, "%s", *path);
    *path = room;
    return 0;
}

static int write_config(struct trainer *t, struct conf *conf, struct err *e) {
    int rc;
    struct train_opts *o = t->opts, saved = *o;
    static char room[4][PATH_MAX];
    char *json = NULL;
    TRY(absolute(t, &o->model, room[0], e));
    TRY(absolute(t, &o->init, room[1], e));
    TRY(absolute(t, &o->data, room[2], e));
    if (o->tokenizer && strcmp(o->tokenizer, "byte")) TRY(absolute(t, &o->tokenizer, room[3], e));
    json = conf_to_json(conf);
    TRY(write_text(t->dir, "config.json", json, e));
out:
    free(json);
    *o = saved;
    return rc;
}

static int read_resumed_config(struct trainer *t, struct conf *conf, struct err *e) {
    const char *data = t->opts->data;
    char *config = file_join(t->opts->resume, "config.json");
    if (!config) return err_set(e, ERR_NOMEM, "out of memory");
    int rc = 0;
    if (t->opts->out || t->opts->overwrite)
        rc = err_set(
            e, ERR_USAGE,
            "--resume goes on in its own folder: --out and --overwrite do not belong to it");
    else if (!file_exists(config))
        rc = err_set(e, ERR_INPUT, "%s: no config.json: not the folder of a run", t->opts->resume);
    else
        rc = conf_read_defaults(conf, config, e);
    t->reuse = !data; /* tokens made from other data are no use */
    free(config);
    return rc;
}

static int open_log(struct trainer *t, struct err *e) {
    char *path = file_join(t->dir, "log.jsonl");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    const int rc = log_lines_open(&t->log, path, t->p.log_bytes, e);
    free(path);
    return rc;
}

/* A killed run must find its config, so a new one writes it first; a resumed one only when it is
 * sure to go on with it. */
static int open_run(struct trainer *t, struct conf *conf, struct err *e) {
    int rc;
    TRY(open_folder(t, e));
    if (!t->resumed) TRY(write_config(t, conf, e));
    TRY(open_data(t, e));
    TRY(open_model(t, e));
    if (t->resumed && checkpoint_exists(t->dir)) {
        TRY(checkpoint_load(t->dir, &t->engine, &t->p, e));
        t->saved_step = t->p.step;
        t->total_before = t->p.total;
    }
    if (t->resumed) TRY(write_config(t, conf, e));
    TRY(open_log(t, e));
    t->peak = gemm_peak(&t->gemm, 0.3);
out:
    return rc;
}

int trainer_open(struct trainer *t, struct train_opts *o, struct conf *conf, struct err *e) {
    int rc;
    *t = (struct trainer){.opts = o,
                          .began = clock_seconds(),
                          .resumed = o->resume != NULL,
                          .saved_step = -1,
                          .lock = -1};
    t->p.ema = t->p.best = NAN;
    log_progress_init(&t->line, o->quiet);
    if (t->resumed) TRY(read_resumed_config(t, conf, e));
    if (o->threads) par_init((int)o->threads);
    TRY(train_setup_make(&t->setup, o, e));
    TRY(gemm_init(&t->gemm, o->gemm, t->setup.compute, e));
    if (!t->resumed) TRY(check_inputs(o, e));
    rc = open_run(t, conf, e);
    if (rc && t->cleared) clear_folder(t);
    if (rc && t->made_dir) rmdir(t->dir);
    t->last_save = clock_seconds();
out:
    return rc;
}

void trainer_close(struct trainer *t) {
    log_progress_end(&t->line);
    log_lines_close(&t->log);
    engine_close(&t->engine);
    model_close(&t->model);
    dataset_close(&t->data);
    free(t->token_bytes);
    free(t->dir);
    if (t->lock >= 0) close(t->lock);
    *t = (struct trainer){0};
}
