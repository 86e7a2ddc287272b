#include "cmd.h"
#include "file.h"
#include "format.h"
#include "import.h"
#include "log.h"
#include "out_format.h"
#include "run.h"
#include "run_start.h"
#include "train_model.h"
#include "trajectory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *out, *tokenizer;
    int64_t to_step, threads;
    bool overwrite, quiet;
};

static const struct conf_row rows[] = {
    CONF_STRING(struct opts, out, "out", NULL, "FILE",
                "file to write (also -o): a BLZT v5 model, of a LoRA run the adapter"),
    CONF_INT(struct opts, to_step, "to-step", "-1", 0, 4294967295.0,
             "weights after so many updates; -1: after all"),
    THREADS_ROW(struct opts, threads),
    CONF_STRING(struct opts, tokenizer, "tokenizer", NULL, "T",
                "the run's --tokenizer, where it is now; default: where the run had it"),
    OVERWRITE_ROW(struct opts, overwrite),
    CONF_BOOL(struct opts, quiet, "quiet", "on stderr only warnings and errors"), CONF_END};

/* The run that is made again: its settings, weights and optimizer. */
struct replay {
    const char *base, *path, *out; /* path: of the trajectory */
    const char *tokenizer;         /* in the place of the recorded one; or NULL */
    bool random;                   /* the run began from random weights, written to base */
    struct machine machine;
    struct trajectory trajectory;
    struct conf conf;
    struct train_opts opts;
    struct train_setup setup;
    struct train_files files;
    struct model model;
    struct run *run; /* repeats the recorded updates */
};

/* ---- settings -------------------------------------------------------------------------------- */

static int check_end(const struct trajectory *t, const char *path, int64_t to_step, int64_t *steps,
                     struct err *e) {
    *steps = to_step < 0 ? t->records : to_step;
    if (to_step > t->records)
        return err_set(e, ERR_INPUT, "%s holds %lld updates, --to-step asks for %lld", path,
                       (long long)t->records, (long long)to_step);
    if (to_step < 0 && t->torn)
        return err_set(e, ERR_INPUT,
                       "%s: the record of step %lld at offset %" PRIu64
                       " is cut off or damaged; --to-step %lld gives the weights before it",
                       path, (long long)t->records, t->torn_at, (long long)t->records);
    return 0;
}

/* The options of the run, with the base file in the place of what it began from. */
static int read_settings(struct replay *r, struct err *e) {
    int rc;
    struct train_opts *o = &r->opts;
    TRY(conf_parse(&r->conf, train_rows, o, 0, NULL, e));
    TRY(conf_read_defaults_text(&r->conf, r->trajectory.head.config, r->path, e));
    train_opts_old(o, &r->conf);
    r->random = !o->init;
    if (r->tokenizer && (r->random || !o->tokenizer || o->lora_rank)) {
        rc = err_set(e, ERR_USAGE, "--tokenizer has no effect: %s",
                     o->lora_rank ? "the run made an adapter, which holds none"
                                  : "the run had that of the file that it began from");
        goto out;
    }
    if (r->random) { /* base is all of the model, description included */
        o->model = NULL;
        o->set = (struct conf_pairs){0};
    }
    o->init = r->base;
    rc = train_setup_make(&r->setup, o, &r->machine.cpu, e);
    if (rc)
        err_prefix(e, "%s: the settings of the run", r->path);
    else if (!r->setup.estimator)
        rc = err_set(e, ERR_INPUT, "%s: the run's engine is %s, expected mezo", r->path, o->engine);
out:
    return rc;
}

static int check_base(const struct replay *r, struct err *e) {
    uint64_t hash;
    int rc = model_file_hash(r->base, &hash, e);
    if (!rc && hash != r->trajectory.head.base_hash)
        rc = err_set(e, ERR_INPUT,
                     "%s is not the file that %s began from: its hash is %016" PRIx64
                     ", expected %016" PRIx64,
                     r->base, r->path, hash, r->trajectory.head.base_hash);
    return rc;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* What the run saved had the tokenizer of --tokenizer or else that of the file it began from. No
 * weight depends on it. */
static int open_tokenizer(struct replay *r, struct log_progress *line, struct err *e) {
    int rc;
    struct model_config c = {0};
    struct tokenizer *tok = NULL;
    const struct train_opts from_base = {.init = r->base};
    struct err missing;
    const char *spec = r->tokenizer ? r->tokenizer : r->opts.tokenizer;
    if (r->opts.lora_rank) return 0; /* an adapter holds none */
    if (r->random || !r->opts.tokenizer) {
        TRY(train_model_config(&c, &from_base, &r->files, &r->model, e));
    } else if (r->tokenizer) {
        TRY(model_open_tokenizer(&tok, spec, e));
    } else if (model_open_tokenizer(&tok, spec, &missing)) {
        log_warn(line, "%s gets no tokenizer: %s; --tokenizer T names it where it is now", r->out,
                 missing.msg);
        rc = 0;
    }
    if (tok) TRY(model_keep_tokenizer(&r->model, tok, e));
out:
    tokenizer_close(tok);
    model_config_release(&c);
    return rc;
}

static int open_run(struct replay *r, struct log_progress *line, struct err *e) {
    int rc;
    const struct trajectory_head *h = &r->trajectory.head;
    struct engine_memory memory;
    TRY(train_model_create(&r->model, &r->opts, &r->files, 0, e));
    r->model.pool = r->machine.pool;
    if (r->model.full_vocab != h->vocab) {
        rc = err_set(e, ERR_INPUT, "%s: vocabulary of %lld, but that of %s is %lld", r->path,
                     (long long)h->vocab, r->base, (long long)r->model.full_vocab);
        goto out;
    }
    const int64_t seq = r->opts.seq ? r->opts.seq : r->model.config.seq_len;
    struct run_opts o = train_run_opts(&r->setup, &r->opts, &r->machine, seq);
    o.engine_opts.repeat = true;
    o.spike = 0; /* what was recorded went on */
    TRY(open_tokenizer(r, line, e));
    TRY(train_model_shape(&r->model, &r->setup, h->ids, h->n_ids, e));
    TRY(run_plan(&memory, o.engine, &r->model, &o.engine_opts, 0, e));
    TRY(run_plan_fits(&memory, &r->machine, "this replay", NULL, e));
    TRY(train_model_load(&r->model, &r->setup, &r->opts, &r->files, r->base, e));
    TRY(run_open(&r->run, &r->model, &o, NULL, NULL, e));
out:
    return rc;
}

static int repeat_all(struct replay *r, int64_t steps, struct log_progress *line, struct err *e) {
    int rc = 0;
    struct zo_record z;
    const struct progress *p = &r->run->p;
    log_begin(line);
    while (p->step < steps && trajectory_next(&r->trajectory, &z)) {
        if ((rc = run_repeat(r->run, &z, e))) {
            err_prefix(e, "%s", r->path);
            goto out;
        }
        log_bar(line, "replaying", (uint64_t)p->step, (uint64_t)steps, "updates");
    }
out:
    log_progress_end(line);
    return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int replay_run(struct replay *r, const struct opts *o, struct err *e) {
    int rc;
    int64_t steps;
    struct log_progress line;
    log_progress_init(&line, o->quiet);
    TRY(cmd_machine(&r->machine, o->threads, e));
    TRY(trajectory_open(&r->trajectory, r->path, e));
    TRY(check_end(&r->trajectory, r->path, o->to_step, &steps, e));
    TRY(read_settings(r, e));
    TRY(check_base(r, e));
    TRY(open_run(r, &line, e));
    TRY(repeat_all(r, steps, &line, e));
    TRY(run_write_weights(r->run, r->out, e));
    log_note(&line, "%s: %s after %lld updates of %s", r->out, r->base,
             (long long)r->run->p.step, r->path);
out:
    /* What is wrong with recorded settings is wrong with a file, not with this command line. */
    if (rc == ERR_USAGE) rc = e->code = ERR_INPUT;
    return rc;
}

static void replay_release(struct replay *r) {
    run_close(r->run);
    train_files_close(&r->files);
    model_close(&r->model);
    machine_close(&r->machine);
    conf_release(&r->conf);
    trajectory_close(&r->trajectory);
}

/* Where base and trajectory are: a run's folder stands for its trajectory, and alone for both. */
struct inputs {
    char *base, *path; /* owned; NULL: as given */
};

static int find_inputs(struct replay *r, struct inputs *in, const struct conf *conf,
                       struct err *e) {
    int rc = 0;
    TRY(cmd_count("duet replay", conf, 0, 1, 2,
                  "a model file and a trajectory, or the folder of a run", e));
    const char *last = conf->pos[conf->n_pos - 1];
    r->base = conf->pos[0];
    r->path = last;
    if (conf->n_pos == 1 && !file_is_dir(last))
        return err_set(e, ERR_USAGE, "%s: give the base and this trajectory, or the folder of the "
                       "run", last);
    if (!file_is_dir(last)) return 0;
    r->path = in->path = file_join(last, "trajectory.zo");
    if (!r->path) return err_set(e, ERR_NOMEM, "out of memory for %s", last);
    if (!file_exists(r->path))
        return err_set(e, ERR_INPUT, "%s: no trajectory.zo in it: not the folder of a MeZO run",
                       last);
    if (conf->n_pos == 1) {
        TRY(run_base_find(last, &in->base, e));
        r->base = in->base;
        if (!file_exists(r->base))
            rc = err_set(e, ERR_INPUT,
                         "%s: its base %s is gone: give the base where it is now: duet replay BASE "
                         "%s",
                         last, r->base, last);
    }
out:
    return rc;
}

static int check_args(const struct replay *r, const struct opts *o, struct err *e) {
    if (!o->out) return err_set(e, ERR_USAGE, "give the file to write with --out FILE");
    if (file_same(r->base, o->out) || file_same(r->path, o->out))
        return err_set(e, ERR_USAGE, "%s is to be read: choose another --out", o->out);
    const int rc = out_free(o->out, o->overwrite, e);
    return rc ? rc : file_out_check(o->out, e);
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct replay r = {.files.verify = true};
    struct inputs in = {0};
    TRY(cmd_parse(&cmd_replay, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(find_inputs(&r, &in, &conf, e));
    TRY(check_args(&r, &o, e));
    r.out = o.out;
    r.tokenizer = o.tokenizer;
    TRY(replay_run(&r, &o, e));
out:
    replay_release(&r);
    free(in.base);
    free(in.path);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_replay = {
    .name = "replay",
    .summary = "Rebuild the weights of a MeZO run from its trajectory, bit for bit.",
    .usage = "BASE TRAJECTORY -o OUT [--to-step N]\n"
             "RUN -o OUT [--to-step N]",
    .notes =
        "BASE is the file that the run began from: that of --init, or base.blzt in its "
        "folder.\n"
        "TRAJECTORY is trajectory.zo in its folder, or the folder; RUN alone stands for both.\n"
        "The updates are made again without the data and without a forward pass.\n",
    .rows = rows,
    .run = run,
};
