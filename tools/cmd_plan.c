#include "cmd.h"
#include "file.h"
#include "limit.h"
#include "log.h"
#include "run_folder.h"
#include "train_plan.h"
#include "usual_peak.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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

static void print_text(const struct train_plan *p) {
    const struct model_config *c = &p->model.config;
    const struct engine_memory *mem = &p->memory;
    const int64_t all = model_param_count(&p->model), trained = model_trained_count(&p->model);
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
    printf("\nmicro-batch      %lld x %lld tokens, %d threads, %s\n", (long long)p->engine.batch,
           (long long)p->engine.seq, machine_threads(&p->machine),
           dtype_row(p->machine.gemm->compute)->name);
    char both[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%-16s %10.1f MB", rows[i].name, in_mb(rows[i].bytes));
        if (i == 0) printf(" of 10^6 bytes");
        if (i == 2) printf(", %s", train_optimizer_text(&p->setup, both));
        putchar('\n');
    }
    print_room(&p->machine, mem->total);
    printf("flops a step     %10.3f GFLOP\n", p->flops * 1e-9);
    if (p->updates)
        printf("updates          %10lld%s, together %.4g GFLOP\n", (long long)p->updates,
               p->o->task && (p->o->tokens || p->o->flops > 0) ? " or more" : "",
               p->all_flops * 1e-9);
    const double peak = usual_peak(p->machine.gemm, p->memory.total);
    char time[32];
    if (p->updates && peak > 0)
        printf("at least         %10s at the GEMM peak that this machine usually has, %.0f "
               "GFLOP/s\n",
               log_duration(p->all_flops / peak * 1e-9, time), peak);
    if (p->o->epochs > 0 && !(p->epoch > 0))
        printf("(how many updates --epochs %g are is known when the data is tokenised)\n",
               p->o->epochs);
    if (p->o->compact_vocab && !p->n_ids)
        printf("(without --data the tokens that occur are not known: planned for the whole "
               "vocabulary)\n");
}

static void print_json(const struct train_plan *p) {
    const struct engine_memory *mem = &p->memory;
    json_t *out = json_object();
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {
        {"params", model_param_count(&p->model)},
        {"trained_params", model_trained_count(&p->model)},
        {"vocab", p->model.config.vocab},
        {"batch", p->engine.batch},
        {"seq", p->engine.seq},
        {"weights_bytes", (int64_t)mem->weights},
        {"gradients_bytes", (int64_t)mem->gradients},
        {"optimizer_bytes", (int64_t)mem->optimizer},
        {"kept_bytes", (int64_t)mem->kept},
        {"passing_bytes", (int64_t)mem->passing},
        {"threads_bytes", (int64_t)mem->threads},
        {"validation_bytes", (int64_t)mem->validation},
        {"total_bytes", (int64_t)mem->total},
        {"available_bytes", (int64_t)machine_memory(&p->machine)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(out, rows[i].name, json_integer(rows[i].value));
    json_object_set_new(out, "optimizer", json_string(p->setup.optimizer->name));
    json_object_set_new(out, "optimizer_matrix", json_string(p->setup.optimizer_matrix->name));
    json_object_set_new(out, "planned_mb", json_real(in_mb(mem->total)));
    const size_t have = machine_memory(&p->machine);
    json_object_set_new(out, "fits", have ? json_boolean(mem->total <= have) : json_null());
    json_object_set_new(out, "flops_per_step", json_real(p->flops));
    json_object_set_new(out, "updates", p->updates ? json_integer(p->updates) : json_null());
    json_object_set_new(out, "flops", p->updates ? json_real(p->all_flops) : json_null());
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
    struct train_plan p = {0};
    struct plan_run at = {0};
    TRY(cmd_parse(&cmd_plan, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(take_argument(&o, &conf, e));
    TRY(take_run(&o, &conf, &at, e));
    TRY(train_take_adapter(&o, &conf, &words, e));
    TRY(train_plan_make(&p, &o, e));
    (o.json ? print_json : print_text)(&p);
out:
    train_plan_close(&p);
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
