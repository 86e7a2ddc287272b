#include "batch.h"
#include "budget.h"
#include "cmd.h"
#include "clock.h"
#include "clock_record.h"
#include "data_show.h"
#include "file.h"
#include "import.h"
#include "log.h"
#include "limit.h"
#include "run_folder.h"
#include "task.h"
#include "textin.h"
#include "textlist.h"
#include "train_model.h"
#include "run_plan.h"
#include "usual_peak.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What `train` would find: everything that decides the shapes of the run. */
struct job {
    const struct train_opts *o;
    struct train_setup setup;
    struct machine machine;
    struct train_files files;
    struct model model;
    struct dataset data, val_data;
    struct task task, task_eval;
    uint32_t *ids; /* those that occur, for --compact-vocab */
    int64_t n_ids;
    int64_t seq, val_seq;
    uint64_t read_tokens; /* of data: the rest is for the test */
    struct engine_opts engine;
    struct engine_memory memory;
    double flops;  /* of an update */
    double epoch;  /* budget_limits */
    int64_t updates; /* of the whole run; 0: not known */
    double all_flops;
};

/* Texts up to this size are tokenised, which takes a moment; of larger ones it is enough to know
 * that there is something to validate on. */
enum { SMALL_TEXT = 4 << 20 };

/* A pipe is left alone: what is read of it is gone. */
static int must_tokenize(const struct train_opts *o, bool *must, struct err *e) {
    struct textlist l;
    uint64_t bytes = 0;
    const int rc = textlist_open(&l, o->data.item, o->data.n, e);
    *must = o->compact_vocab;
    for (size_t i = 0; i < l.n && !rc; i++) {
        const uint64_t size = textin_size(l.path[i]);
        bytes += size ? size : SMALL_TEXT + 1;
    }
    if (bytes <= SMALL_TEXT) *must = true;
    textlist_close(&l);
    return rc;
}

/* The tokenizer: of --tokenizer, else of --init's file, else none. */
static int open_tokenizer(struct job *j, struct model *holder, struct err *e) {
    int rc = 0;
    const struct train_opts *o = j->o;
    struct model_config c = {0};
    if (o->tokenizer) return model_open_tokenizer(&j->data.tokenizer, o->tokenizer, e);
    if (!o->init) return 0;
    struct train_opts base = *o;
    if (base.model) base.set = (struct conf_pairs){0}; /* it is of that description */
    base.model = NULL;
    TRY(train_model_config(&c, &base, &j->files, holder, e));
    TRY(model_try_tokenizer(holder, &j->data.tokenizer, e));
out:
    model_config_release(&c);
    return rc;
}

static int read_tasks(struct job *j, const struct model *holder, struct err *e) {
    int rc = 0;
    const struct train_opts *o = j->o;
    struct task_opts to = {
        .path = o->task, .prompt = o->prompt, .labels = o->labels, .seq = j->seq};
    if (!j->data.tokenizer && holder->tok_problem)
        return err_set(e, ERR_INPUT, "%s", holder->tok_problem);
    if (!j->data.tokenizer)
        return err_set(e, ERR_USAGE, "%s holds no tokenizer: give one with --tokenizer", o->init);
    TRY(task_open(&j->task, &to, j->data.tokenizer, e));
    j->seq = j->task.T;
    j->epoch = (double)j->task.n;
    if (!o->task_eval) goto out;
    to.path = o->task_eval;
    to.seq = j->seq;
    TRY(task_open(&j->task_eval, &to, j->data.tokenizer, e));
    j->val_seq = j->task_eval.T;
out:
    return rc;
}

static int read_text(struct job *j, struct model *holder, uint32_t vocab, struct err *e) {
    int rc = 0;
    const struct train_opts *o = j->o;
    bool must;
    char name[256];
    const double share = o->val_data.n ? 0 : o->val_fraction;
    struct splits all;
    struct dataset_opts d = {.data = o->data,
                             .format = o->format,
                             .tokenizer = o->tokenizer,
                             .own = model_tok_own(holder),
                             .raw_vocab = vocab,
                             .pool = j->machine.pool};
    j->val_seq = o->val_data.n || share > 0 ? j->seq : 0;
    if (!o->data.n) return 0;
    TRY(dataset_check(&o->data, o->format, e));
    if (o->val_data.n) TRY(dataset_check(&o->val_data, o->format, e));
    TRY(must_tokenize(o, &must, e));
    if (!must && !shard_probe(o->data.item[0]) && strcmp(o->format, "raw16")) return 0;
    tokenizer_close(j->data.tokenizer);
    j->data.tokenizer = NULL;
    TRY(data_show_open(&j->data, &d, true, e));
    TRY(splits_make(&j->data.shard, dataset_name(&o->data, name), share, o->test_fraction, j->seq,
                    &all, e));
    const struct batcher b = {.split = all.train, .T = j->seq};
    j->read_tokens = all.test.begin;
    j->epoch = (double)batch_epoch_rows(&b) * (double)j->seq;
    if (!o->val_data.n && all.val.end - all.val.begin <= (uint64_t)j->seq) j->val_seq = 0;
    if (!o->val_data.n || !o->compact_vocab) goto out;
    d.data = o->val_data;
    TRY(data_show_open(&j->val_data, &d, true, e));
out:
    return rc;
}

static int read_data(struct job *j, struct err *e) {
    int rc;
    const struct train_opts *o = j->o;
    struct model holder = {0};
    struct model_config c = {0};
    TRY(train_model_config(&c, o, &j->files, NULL, e));
    j->seq = o->seq ? o->seq : c.seq_len;
    TRY(open_tokenizer(j, &holder, e));
    TRY(o->task ? read_tasks(j, &holder, e) : read_text(j, &holder, (uint32_t)c.vocab, e));
out:
    model_config_release(&c);
    model_forget_tokenizer(&holder);
    return rc;
}

/* As many as a recorded run made, whose ramp follows its shares. */
static int count_recorded(struct job *j, double flops, struct err *e) {
    struct clock_record c;
    int64_t micro = 0;
    const int rc = clock_record_open(&c, j->o->clock, e);
    if (rc) return rc;
    for (int64_t i = 0; i < c.updates; i++)
        micro += sched_accum(j->o->accum, j->o->accum_end, clock_record_share(&c, i));
    j->updates = c.updates;
    j->all_flops = (double)micro * flops;
    clock_record_close(&c);
    return 0;
}

/* flops: of a micro-batch. Those of a task may be shorter than planned. */
static void count_updates(struct job *j, double flops) {
    const struct budget_use asked = train_budget(j->o);
    const struct budget_use limit = budget_limits(&asked, j->epoch);
    const double tokens = (double)(j->o->batch * j->seq);
    const struct budget_unit u = {.tokens = tokens,
                                  .epoch = j->o->task ? (double)j->o->batch : tokens,
                                  .flops = flops};
    j->updates = budget_updates(&limit, &u, j->o->accum, j->o->accum_end, &j->all_flops);
}

static int make_plan(struct job *j, struct err *e) {
    int rc;
    const struct train_opts *o = j->o;
    struct train_opts any = *o;
    if (!train_opts_end(&any)) any.steps = 1;
    if (!any.init)
        any.init = any.model; /* what a model will need can be asked before it is there */
    const struct machine_opts mo = {
        .threads = (int)o->threads, .gemm = o->gemm, .compute = o->compute};
    TRY(machine_open(&j->machine, &mo, e));
    TRY(train_setup_make(&j->setup, &any, &j->machine.cpu, e));
    TRY(read_data(j, e));
    const int64_t vocab = j->data.tokenizer    ? tokenizer_vocab_size(j->data.tokenizer)
                          : j->data.shard.vocab ? j->data.shard.vocab
                                                : 0;
    TRY(train_model_create(&j->model, o, &j->files, vocab, e));
    if (o->compact_vocab && o->data.n)
        TRY(dataset_ids(&j->data.shard, j->read_tokens, &j->val_data.shard, j->model.config.vocab,
                        &j->ids, &j->n_ids, e));
    TRY(train_model_shape(&j->model, &j->setup, j->ids, j->n_ids, e));
    j->engine = train_engine_opts(&j->setup, o, &j->machine, j->seq);
    j->engine.n_answers = j->task.n_labels;
    TRY(run_plan(&j->memory, j->setup.engine, &j->model, &j->engine, j->val_seq, e));
    const double flops = j->setup.engine->flops(&j->engine, &j->model.graph);
    j->flops = flops * (double)o->accum;
    if (o->clock)
        TRY(count_recorded(j, flops, e));
    else
        count_updates(j, flops);
out:
    return rc;
}

/* A run that is there: its own options, and what its folder holds of what they name. */
struct plan_run {
    char *config, *start, *tokens;
    const char *data;
};

static void release_run(struct plan_run *r) {
    free(r->config);
    free(r->start);
    free(r->tokens);
}

/* JSON, as every model's file is that is none. */
static bool is_description(const char *path) {
    struct file_map m;
    struct err ignored;
    if (file_is_dir(path) || file_map_open_text(&m, path, &ignored)) return false;
    size_t i = 0;
    while (i < m.size && strchr(" \t\r\n", m.data[i])) i++;
    const bool yes = i < m.size && m.data[i] == '{';
    file_map_close(&m);
    return yes;
}

/* The one argument without a name: a run as --resume means it, a description as --model, any other
 * model as --init. */
static int take_argument(struct train_opts *o, const struct conf *conf, struct err *e) {
    const char *path = conf->n_pos ? conf->pos[0] : NULL;
    if (!path) return 0;
    if (conf->n_pos > 1)
        return err_set(e, ERR_USAGE, "plan takes one run or model, found %d", conf->n_pos);
    if (o->resume || o->init || o->model)
        return err_set(e, ERR_USAGE, "give either %s or --%s", path,
                       o->resume ? "resume" : o->init ? "init" : "model");
    if (run_folder_is(path))
        o->resume = path;
    else if (is_description(path))
        o->model = path;
    else
        o->init = path;
    return 0;
}

static int take_run(struct train_opts *o, struct conf *conf, struct plan_run *r, struct err *e) {
    int rc = 0;
    if (!o->resume) return 0;
    r->config = file_join(o->resume, "config.json");
    r->start = file_join(o->resume, "start.blzt");
    r->tokens = file_join(o->resume, "tokens.shard");
    if (!r->config || !r->start || !r->tokens) return err_set(e, ERR_NOMEM, "out of memory");
    if (!file_exists(r->config))
        return err_set(e, ERR_INPUT, "%s: no config.json: not the folder of a run", o->resume);
    TRY(conf_read_defaults(conf, r->config, e));
    train_opts_old(o, conf);
    if (file_exists(r->start)) {
        o->init = r->start;
        o->model = o->tokenizer = o->adapter = NULL;
        o->set = (struct conf_pairs){0};
    }
    if (file_exists(r->tokens)) {
        r->data = r->tokens;
        o->data = (struct conf_list){&r->data, 1};
    }
out:
    return rc;
}

/* Would the run be refused for its memory? (run_plan_fits) */
static void print_room(const struct machine *machine, size_t total) {
    const size_t have = machine_memory(machine);
    if (!have) {
        printf("available        not known\n");
        return;
    }
    printf("available        %10.1f MB\n", in_mb(have));
    if (total <= have)
        printf("fits             yes\n");
    else
        printf("fits             no: %.1f MB too much\n", in_mb(total - have));
}

static void print_text(const struct job *j) {
    const struct model_config *c = &j->model.config;
    const struct engine_memory *mem = &j->memory;
    const int64_t all = model_param_count(&j->model), trained = model_trained_count(&j->model);
    const struct {
        const char *name;
        size_t bytes;
    } rows[] = {
        {"weights", mem->weights},       {"gradients", mem->gradients},
        {"optimizer", mem->optimizer},   {"activations kept", mem->kept},
        {"passing buffers", mem->passing}, {"threads, tables", mem->threads},
        {"validation", mem->validation}, {"total", mem->total},
    };
    printf("model            %s, %lld layers of %lld, vocabulary %lld\n", c->arch,
           (long long)c->layers, (long long)c->dim, (long long)c->vocab);
    printf("parameters       %lld", (long long)all);
    if (trained != all)
        printf(", %lld of them trained (%.2f %%)", (long long)trained,
               100 * (double)trained / (double)all);
    printf("\nmicro-batch      %lld x %lld tokens, %d threads, %s\n", (long long)j->engine.batch,
           (long long)j->engine.seq, machine_threads(&j->machine),
           dtype_row(j->machine.gemm->compute)->name);
    char both[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%-16s %10.1f MB", rows[i].name, in_mb(rows[i].bytes));
        if (i == 0) printf(" of 10^6 bytes");
        if (i == 2) printf(", %s", train_optimizer_text(&j->setup, both));
        putchar('\n');
    }
    print_room(&j->machine, mem->total);
    printf("flops a step     %10.3f GFLOP\n", j->flops * 1e-9);
    if (j->updates)
        printf("updates          %10lld%s, together %.4g GFLOP\n", (long long)j->updates,
               j->o->task && (j->o->tokens || j->o->flops > 0) ? " or more" : "",
               j->all_flops * 1e-9);
    const double peak = usual_peak(j->machine.gemm, j->memory.total);
    char time[32];
    if (j->updates && peak > 0)
        printf("at least         %10s at the GEMM peak that this machine usually has, %.0f "
               "GFLOP/s\n",
               log_duration(j->all_flops / peak * 1e-9, time), peak);
    if (j->o->epochs > 0 && !(j->epoch > 0))
        printf("(how many updates --epochs %g are is known when the data is tokenised)\n",
               j->o->epochs);
    if (j->o->compact_vocab && !j->n_ids)
        printf("(without --data the tokens that occur are not known: planned for the whole "
               "vocabulary)\n");
}

static void print_json(const struct job *j) {
    const struct engine_memory *mem = &j->memory;
    json_t *out = json_object();
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {
        {"params", model_param_count(&j->model)},
        {"trained_params", model_trained_count(&j->model)},
        {"vocab", j->model.config.vocab},
        {"batch", j->engine.batch},
        {"seq", j->engine.seq},
        {"weights_bytes", (int64_t)mem->weights},
        {"gradients_bytes", (int64_t)mem->gradients},
        {"optimizer_bytes", (int64_t)mem->optimizer},
        {"kept_bytes", (int64_t)mem->kept},
        {"passing_bytes", (int64_t)mem->passing},
        {"threads_bytes", (int64_t)mem->threads},
        {"validation_bytes", (int64_t)mem->validation},
        {"total_bytes", (int64_t)mem->total},
        {"available_bytes", (int64_t)machine_memory(&j->machine)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(out, rows[i].name, json_integer(rows[i].value));
    json_object_set_new(out, "optimizer", json_string(j->setup.optimizer->name));
    json_object_set_new(out, "optimizer_matrix", json_string(j->setup.optimizer_matrix->name));
    json_object_set_new(out, "planned_mb", json_real(in_mb(mem->total)));
    const size_t have = machine_memory(&j->machine);
    json_object_set_new(out, "fits", have ? json_boolean(mem->total <= have) : json_null());
    json_object_set_new(out, "flops_per_step", json_real(j->flops));
    json_object_set_new(out, "updates", j->updates ? json_integer(j->updates) : json_null());
    json_object_set_new(out, "flops", j->updates ? json_real(j->all_flops) : json_null());
    char *text = json_dumps(out, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(out);
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct adapter_words words = {0};
    struct train_opts o = {0};
    struct job j = {.o = &o};
    struct plan_run at = {0};
    TRY(cmd_parse(&cmd_plan, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(take_argument(&o, &conf, e));
    TRY(take_run(&o, &conf, &at, e));
    TRY(train_take_adapter(&o, &conf, &words, e));
    TRY(make_plan(&j, e));
    (o.json ? print_json : print_text)(&j);
out:
    model_close(&j.model);
    train_files_close(&j.files);
    dataset_close(&j.data);
    dataset_close(&j.val_data);
    task_close(&j.task);
    task_close(&j.task_eval);
    free(j.ids);
    machine_close(&j.machine);
    train_release_adapter(&words);
    release_run(&at);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_plan = {
    .name = "plan",
    .summary =
        "Memory by purpose and floating point operations of a training step, without training.",
    .usage = "RUN | MODEL | --model FILE | --init MODEL [any option of train] [--json]",
    .notes =
        "RUN is the folder of a run, planned as `--resume RUN` would go on with it. MODEL is a "
        "description\n"
        "(as --model takes it) or any model file (--init).\n"
        "Takes every option of `duet train`, and with the same options gives the numbers that "
        "it will report:\n"
        "a tokenizer or data that is named decides the vocabulary as it does there. A run is "
        "resident within\n"
        "10 % + 12 MB of its plan (the program, its libraries, the tokenizer). MB are 10^6 "
        "bytes.\n",
    .lists = cmd_list_training,
    .rows = train_rows,
    .run = run,
};
