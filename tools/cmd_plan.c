#include "cmd.h"
#include "machine.h"
#include "par.h"
#include "choice.h"
#include "train_model.h"

#include <jansson.h>
#include <stdlib.h>

/* Everything `train` knows; what only matters to a running run has no effect on a plan. */
static int make_plan(const struct train_opts *o, struct gemm *gemm, struct model *m,
                     struct train_setup *s, struct engine_opts *eo, struct err *e) {
    int rc;
    struct train_opts any = *o;
    if (!any.steps && !(any.time > 0)) any.steps = 1;
    TRY(train_setup_make(s, &any, e));
    TRY(gemm_init(gemm, o->gemm, s->compute, e));
    TRY(train_model_create(m, o, 0, e));
    TRY(train_model_shape(m, s, NULL, 0, e));
    *eo = train_engine_opts(s, o, gemm, o->seq ? o->seq : m->config.seq_len);
    eo->n_answers = s->objective ? CHOICE_MAX : 0;
out:
    return rc;
}

static void print_text(const struct model *m, const struct engine_opts *eo,
                       const struct engine_memory *mem, double flops) {
    const double mb = 1.0 / 1048576;
    printf("model            %s, %lld layers of %lld, vocabulary %lld\n", m->config.arch,
           (long long)m->config.layers, (long long)m->config.dim, (long long)m->config.vocab);
    printf("parameters       %lld\n", (long long)model_param_count(m));
    printf("micro-batch      %lld x %lld tokens, %d threads\n", (long long)eo->batch,
           (long long)eo->seq, par_threads());
    printf("weights          %10.1f MB\n", (double)mem->weights * mb);
    printf("gradients        %10.1f MB\n", (double)mem->gradients * mb);
    printf("optimizer        %10.1f MB\n", (double)mem->optimizer * mb);
    printf("activations kept %10.1f MB\n", (double)mem->kept * mb);
    printf("passing buffers  %10.1f MB\n", (double)mem->passing * mb);
    printf("threads, tables  %10.1f MB\n", (double)mem->threads * mb);
    printf("total            %10.1f MB\n", (double)mem->total * mb);
    printf("available        %10.1f MB\n", (double)memory_available() * mb);
    printf("flops a step     %10.3f GFLOP\n", flops * 1e-9);
}

static void print_json(const struct model *m, const struct engine_opts *eo,
                       const struct engine_memory *mem, double flops) {
    json_t *j = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "params", (json_int_t)model_param_count(m),
        "batch", (json_int_t)eo->batch, "seq", (json_int_t)eo->seq, "weights_bytes",
        (json_int_t)mem->weights, "gradients_bytes", (json_int_t)mem->gradients, "optimizer_bytes",
        (json_int_t)mem->optimizer, "kept_bytes", (json_int_t)mem->kept, "passing_bytes",
        (json_int_t)mem->passing, "threads_bytes", (json_int_t)mem->threads, "total_bytes",
        (json_int_t)mem->total, "flops_per_step", flops);
    char *text = json_dumps(j, JSON_INDENT(1));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct train_opts o = {0};
    struct train_setup s;
    struct gemm gemm;
    struct model m = {0};
    struct engine_opts eo;
    struct engine_memory mem;
    TRY(cmd_parse(&cmd_plan, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (o.threads) par_init((int)o.threads);
    TRY(make_plan(&o, &gemm, &m, &s, &eo, e));
    TRY(engine_plan(s.engine, &m, &eo, &mem, e));
    const double flops = s.engine->flops(&eo, &m.graph) * (double)o.accum;
    (o.json ? print_json : print_text)(&m, &eo, &mem, flops);
out:
    model_close(&m);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_plan = {
    .name = "plan",
    .summary =
        "Memory by purpose and floating point operations of a training step, without training.",
    .usage = "--model FILE [--batch B] [--seq T] [any option of train] [--json]",
    .notes = "Takes every option of `duet train`. Memory of the program itself, of libraries and "
             "of mapped data\n"
             "is not in the plan: add about 15 MB.\n",
    .lists = cmd_list_training,
    .rows = train_rows,
    .run = run,
};
