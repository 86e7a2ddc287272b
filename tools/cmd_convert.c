/* duet convert: models and adapters from one format to another. */
#include "adapter.h"
#include "cmd.h"
#include "export.h"
#include "import.h"
#include "open_model.h"
#include "out_format.h"
#include "par.h"
#include "run_folder.h"
#include "run_start.h"
#include "screen.h"

#include <stdio.h>
#include <string.h>

struct opts {
    const char *to, *dtype, *tokenizer, *base;
    struct conf_pairs set;
    int64_t threads;
    bool verify;
};

#define O struct opts
#define W(name) #name " "
#define R(name)
static const char words[] = "auto " FORMATS(W, R);
#undef W
#undef R

static const struct conf_row rows[] = {
    CONF_CHOICE(O, to, "to", "auto", words, "format to write; auto: by the name of OUT"),
    CONF_CHOICE(O, dtype, "dtype", "keep", "keep f32 f16 bf16 q8_0 q4_0",
                "type of the matrices to write; keep: as they are"),
    CONF_STRING(O, tokenizer, "tokenizer", NULL, "T",
                "a tokenizer for a model that has none, or its own from another file; none: "
                "write none, so that it can be given another"),
    CONF_STRING(O, base, "base", NULL, "FILE",
                "an adapter's base model; default: that of a LoRA run's folder"),
    CONF_PAIRS(O, set, "set", "key=value", "change a key of the model's config first"),
    CONF_BOOL(O, verify, "verify",
              "read what was written again, and compare its logits with the source's; nothing is "
              "written if they differ"),
    CONF_INT(O, threads, "threads", "0", 0, 4096, "threads; 0: one per processor"),
    CONF_END};
#undef O

/* ---- verifying ------------------------------------------------------------------------------ */

/* What is written is read again from its temporary and compared, before it takes its place. */
struct verifier {
    struct compare_side in, out;
    const char *name;                   /* of what is written */
    const struct export_report *report; /* NULL: an adapter */
    struct compare c;
};

static int judge(const struct verifier *v, struct err *e) {
    const struct compare *c = &v->c;
    const double bound = !v->report ? 1e-6 : v->report->exact ? -1 : v->report->bound;
    if (!c->finite)
        return err_set(e, ERR_INPUT,
                       "verification failed, nothing is written: %s or %s computes logits that "
                       "are no numbers",
                       v->in.path, v->name);
    if (c->exact) return 0;
    if (bound < 0)
        return err_set(e, ERR_INPUT,
                       "verification failed, nothing is written: %s computes other logits than %s "
                       "(by %.3g), though no weight was rounded",
                       v->name, v->in.path, c->max_diff);
    if (!(c->max_diff <= bound * c->max_logit))
        return err_set(e, ERR_INPUT,
                       "verification failed, nothing is written: the logits of %s differ from "
                       "those of %s by %.3g, more than rounding explains (%.3g)",
                       v->name, v->in.path, c->max_diff, bound * c->max_logit);
    return 0;
}

static int verify(void *ctx, const char *path, struct err *e) {
    struct verifier *v = ctx;
    int rc;
    if (v->report)
        v->out.path = path;
    else
        v->out.adapter = path;
    TRY(model_compare(&v->in, &v->out, &v->c, e));
    TRY(judge(v, e));
out:
    return rc;
}

static void print_verified(const struct verifier *v) {
    const struct compare *c = &v->c;
    if (c->exact)
        printf("verified: the same logits at %lld positions, bit for bit\n", (long long)c->tokens);
    else
        printf("verified: largest difference of a logit %.3g (largest logit %.3g), of a "
               "probability %.3g, at %lld positions\n",
               c->max_diff, c->max_logit, c->max_prob, (long long)c->tokens);
}

/* ---- adapters ------------------------------------------------------------------------------- */

static int check_adapter_opts(const struct conf *conf, const char *in, const char *base,
                              struct err *e) {
    static const char *const none[] = {"dtype", "tokenizer"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (conf_given(conf, none[i]))
            return err_set(e, ERR_USAGE, "--%s has no effect on an adapter, which %s is", none[i],
                           in);
    if (!base)
        return err_set(e, ERR_USAGE, "%s is an adapter: give its base model with --base FILE", in);
    return 0;
}

static int convert_adapter(const struct conf *conf, const struct opts *o, struct err *e) {
    const char *in = conf->pos[0], *out = conf->pos[1];
    const struct format *f;
    const struct adapter_use use = {.weights = DT_F32, .scale = 1, .sets = &o->set};
    struct verifier v = {
        .in = {o->base, in, &o->set}, .out = {o->base, NULL, &o->set}, .name = out};
    const struct mf_check check = {verify, &v};
    struct model m = {0};
    struct run_files run = {0};
    int rc;
    if (!o->base) {
        TRY(run_files_find(&run, in, NULL, e));
        TRY(run_files_there(&run, e));
        v.in.path = v.out.path = run.base;
    }
    const char *base = v.in.path;
    TRY(check_adapter_opts(conf, in, base, e));
    TRY(out_format(out, o->to, true, &f, e));
    TRY(run_folder_spare(out, e));
    TRY(out_is_other(out, in, e));
    TRY(out_is_other(out, base, e));
    TRY(adapter_open(&m, base, in, &use, e));
    open_say(&m);
    TRY(adapter_save_checked(&m, out, f->name, NULL, o->verify ? &check : NULL, e));
    printf("%s: an adapter as %s\n", out, f->name);
    if (o->verify) print_verified(&v);
out:
    model_close(&m);
    run_files_release(&run);
    return rc;
}

/* ---- models --------------------------------------------------------------------------------- */

static int convert_model(const struct conf *conf, const struct opts *o, const struct model_file *mf,
                         struct err *e) {
    const char *in = conf->pos[0], *out = conf->pos[1];
    const struct format *f;
    struct export_report r;
    struct verifier v = {.in = {in, NULL, &o->set}, .name = out, .report = &r};
    const struct mf_check check = {verify, &v};
    const struct export_opts x = {.dtype = dtype_find(o->dtype),
                                  .tokenizer = o->tokenizer,
                                  .sets = &o->set,
                                  .check = o->verify ? &check : NULL};
    int rc;
    if (o->base)
        return err_set(e, ERR_USAGE,
                       "--base is for adapters, and %s is a model; duet adapter merge "
                       "makes a model of both",
                       in);
    TRY(out_format(out, o->to, false, &f, e));
    TRY(model_export(mf, f, out, &x, &r, e));
    if (mf->notes) screen_write(stderr, mf->notes, strlen(mf->notes));
    screen_write(stderr, r.text, strlen(r.text));
    printf("%s: %zu tensors as %s\n", out, mf->n_tensors, f->name);
    if (o->verify) print_verified(&v);
out:
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done, adapter;
    struct conf conf = {0};
    struct opts o = {0};
    struct model_file mf = {0};
    TRY(cmd_parse(&cmd_convert, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 2) {
        rc = err_set(e, ERR_USAGE, "convert takes a model and a name to write, found %d arguments",
                     conf.n_pos);
        goto out;
    }
    if (o.threads) par_init((int)o.threads);
    TRY(model_file_open(&mf, conf.pos[0], true, e));
    TRY(adapter_probe(&mf, &adapter, e));
    if (adapter) {
        TRY(convert_adapter(&conf, &o, e));
    } else {
        TRY(model_import_file(&mf, e));
        TRY(convert_model(&conf, &o, &mf, e));
    }
out:
    model_file_close(&mf);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_convert = {
    .name = "convert",
    .summary = "Write a model or an adapter in another format.",
    .usage = "IN OUT [--to FORMAT] [--dtype TYPE] [--verify]\n"
             "ADAPTER OUT --base MODEL [--verify]\n"
             "RUN OUT [--verify]",
    .notes = "IN is recognised by its content; a folder is a model or an adapter (PEFT) of Hugging "
             "Face. The\n"
             "name of OUT tells its format: .gguf, .blzt, .blzt4, .bin (llama2.c), or a folder "
             "with / at its\n"
             "end. What the format cannot hold is an error that names the tensor or key; nothing "
             "is dropped in\n"
             "silence. A residual scale is folded into the weights. The file read is never written "
             "to.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
