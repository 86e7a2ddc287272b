#include "bench.h"
#include "bench_product.h"
#include "cmd.h"
#include "cpu.h"
#include "model_shipped.h"

#include <stdlib.h>
#include <string.h>

#define O struct bench_opts
static const struct conf_row rows[] = {
    CONF_SECTION("Step"),
    CONF_STRING(O, train.model, "model", NULL, "FILE",
                "model description, or the name of one that comes with duet: demo"),
    CONF_PAIRS(O, train.set, "set", "KEY=VALUE",
               "override a key of the model description (repeatable)"),
    CONF_INT(O, vocab, "vocab", "0", 0, 1 << 24, "vocabulary; 0: the model description's"),
    CONF_CHOICE(O, train.weights, "weights", "f32", weights_words,
                "storage of matrices and embeddings; q8_0 with --lora, f16 where a row is not "
                "whole blocks of 32"),
    CONF_INT(O, train.lora_rank, "lora", "0", 0, 65536, "adapters of this rank; 0: none"),
    CONF_STRING(O, train.lora_targets, "lora-targets", "q,k,v,o", "LIST",
                "which weights get adapters: all, or some of q,k,v,o,gate,up,down"),
    CONF_CHOICE(O, train.lora_mode, "lora-mode", "split", "split merge",
                "adapters beside the weights, or merged into them as they are read"),
    CONF_INT(O, train.batch, "batch", "8", 1, 65536, "sequences a micro-batch"),
    CONF_INT(O, train.seq, "seq", "0", 0, 1 << 20,
             "tokens a sequence; 0: the model description's duet.seq_len"),
    CONF_INT(O, train.accum, "accum", "1", 1, 65536, "micro-batches an update"),
    CONF_CHOICE(O, train.engine, "engine", "backprop", engine_words, "how updates are computed"),
    CONF_CHOICE(O, train.optimizer, "optimizer", "auto", auto_optimizer_words,
                "update rule; auto: the engine's"),
    CONF_CHOICE(O, train.optimizer_matrix, "optimizer-matrix", "auto", auto_optimizer_words,
                "update rule of matrices; auto: that of --optimizer"),
    CONF_CHOICE(O, train.estimator, "estimator", "auto", auto_estimator_words,
                "mezo: how losses become a gradient; auto: as in training"),
    CONF_INT(O, train.directions, "directions", "-1", 1, 4096,
             "mezo: directions an update; -1: the estimator's"),
    CONF_BOOL(O, train.recompute, "recompute", "activation checkpointing by block"),
    CONF_INT(O, warmup, "warmup", "2", 0, 1e6, "steps before measuring"),
    CONF_SECTION("Matrix products"),
    CONF_LIST(O, shapes, "shapes", "SHAPES",
              "what is multiplied: MxNxK or a set, see below; usual if not given (repeatable)"),
    CONF_SECTION("Measuring"),
    CONF_LIST(O, against, "against", "RIVAL",
              "take turns with this: a backend, or the path of another duet, which gets the same "
              "options (repeatable)"),
    CONF_INT(O, runs, "runs", "10", 1, 1e6,
             "measured steps; rounds, of products and with --against"),
    CONF_BOOL(O, serve, "serve", "measure what standard input asks for: what --against starts"),
    CONF_SECTION("Computing"),
    CONF_CHOICE(O, train.compute, "compute", "f32", compute_words,
                "type of GEMM inputs; auto: the faster here"),
    CONF_CHOICE(O, train.gemm, "gemm", "auto", gemm_words,
                "matrix product backend (gemm: auto measures all)"),
    THREADS_ROW(O, train.threads),
    CONF_INT(O, train.seed, "seed", "1", 0, 9e18,
             "seed of weights and tokens, and of the order of turns"),
    CONF_SECTION("Output"),
    CONF_BOOL(O, train.json, "json", "print JSON"),
    CONF_BOOL(O, train.quiet, "quiet", "no progress line"),
    CONF_END};
#undef O

static const struct verb {
    const char *name;
    int (*run)(const struct bench_opts *o, struct err *e);
} verbs[] = {{"step", bench_step}, {"gemm", bench_gemm}};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static const char *verb(size_t i) {
    return i < N_VERBS ? verbs[i].name : NULL;
}

/* The verb that is asked for, or NULL. */
static const struct verb *find_verb(const struct conf *conf) {
    for (size_t i = 0; conf->n_pos == 1 && i < N_VERBS; i++)
        if (!strcmp(conf->pos[0], verbs[i].name)) return verbs + i;
    return NULL;
}

/* An option without effect is a mistake of the caller's. */
static int refuse_options(const struct conf *conf, const char *name, struct err *e) {
    const char *const section = !strcmp(name, "gemm") ? "Step" : "Matrix products", *in = "";
    for (const struct conf_row *r = rows; r->type != CONF_T_END; r++) {
        if (r->type == CONF_T_SECTION)
            in = r->help;
        else if (!strcmp(in, section) && conf_given(conf, r->name))
            return err_set(e, ERR_USAGE, "--%s has no effect on bench %s", r->name, name);
    }
    return 0;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    char *found = NULL;
    struct conf conf = {0}, rest = {0};
    struct bench_opts o = {0};
    TRY(conf_parse(&rest, train_rows, &o.train, 0, NULL, e)); /* what bench has no option for */
    TRY(cmd_parse(&cmd_bench, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    const struct verb *v = find_verb(&conf);
    if (!v) TRY(err_set(e, ERR_USAGE, "bench measures one of: step, gemm"));
    TRY(refuse_options(&conf, v->name, e));
    TRY(model_shipped_find(&o.train.model, &found, e));
    o.one_type = conf_given(&conf, "compute");
    o.argc = argc;
    o.argv = argv;
    if (o.serve && o.against.n)
        TRY(err_set(e, ERR_USAGE, "--serve and --against exclude each other"));
    TRY(machine_open(&o.machine,
                     &(struct machine_opts){.threads = (int)o.train.threads, .idle = true}, e));
    rc = v->run(&o, e);
out:
    conf_release(&conf);
    conf_release(&rest);
    machine_close(&o.machine);
    free(found);
    return rc;
}

static void lists(FILE *out) {
    shape_list_help(out);
    cmd_list_training(out);
}

const struct cmd cmd_bench = {
    .name = "bench",
    .summary = "Measure the speed of training steps, or of matrix products.",
    .usage = "step --model FILE [--batch B] [--seq T] [--vocab V] [--against R] [--json]\n"
             "gemm [--shapes S] [--compute C] [--gemm B [--against R]] [--json]",
    .notes =
        "step: random weights and tokens; medians over --runs steps after --warmup. gflops "
        "counts 6\n"
        "flops per parameter of layers and classifier and token, plus attention; peak is the "
        "rate of a\n"
        "large product with the same backend, measured before, between and after the steps.\n"
        "\n"
        "gemm, and step with --against: in every round each rival has a turn of a few "
        "milliseconds\n"
        "(steps: 0.2 s), in an order drawn anew, and so has a large product, the peak. Ratios "
        "are\n"
        "medians of the quotients within a round, with the interval in which the median lies: "
        "what a\n"
        "busy machine does to one it does to the others. A duet without --serve is compared by "
        "whole\n"
        "processes in turns.\n",
    .lists = lists,
    .verb = verb,
    .rows = rows,
    .run = run,
};
