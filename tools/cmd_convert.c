/* duet convert: models and adapters from one format to another. */
#include "adapter.h"
#include "cmd.h"
#include "export.h"
#include "file.h"
#include "import.h"
#include "log.h"
#include "merge.h"
#include "modelfile.h"
#include "open_model.h"
#include "out_format.h"
#include "run_start.h"
#include "screen.h"
#include "verify.h"

#include <stdio.h>
#include <string.h>

struct opts {
    const char *to, *dtype, *tokenizer, *base, *name, *modelfile;
    struct conf_pairs set;
    int64_t threads;
    struct machine machine; /* no option */
    struct conf_list data;
    bool verify, merge, overwrite, quiet;
    struct log_progress *line;
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
    CONF_STRING(O, name, "name", NULL, "TEXT",
                "what the model is called (general.name of a GGUF, _name_or_path of others); "
                "default: as before, or as its run, folder or file"),
    CONF_STRING(O, modelfile, "modelfile", NULL, "FILE",
                "beside a GGUF: also write what Ollama is told of it"),
    CONF_STRING(O, base, "base", NULL, "FILE",
                "an adapter's base model; default: that of a LoRA run's folder"),
    CONF_BOOL(O, merge, "merge",
              "write an adapter and its base as one model, its weights in f32 unless --dtype says "
              "otherwise"),
    CONF_PAIRS(O, set, "set", "key=value", "change a key of the model's config first"),
    CONF_BOOL(O, verify, "verify",
              "read what was written again, and compare its logits with the source's; nothing is "
              "written if they differ by more than rounding explains, and where it does, the "
              "change of the loss is printed"),
    OVERWRITE_ROW(O, overwrite),
    CONF_LIST(O, data, "data", "FILE",
              "with --verify: measure how the loss changes on these texts (as eval's --data) "
              "instead of on built-in stories"),
    THREADS_ROW(O, threads),
    CONF_BOOL(O, quiet, "quiet", "no progress line"),
    CONF_END};
#undef O

/* ---- adapters ------------------------------------------------------------------------------- */

static int check_adapter_opts(const struct conf *conf, const struct opts *o, const char *in,
                              const char *base, struct err *e) {
    static const char *const none[] = {"dtype", "tokenizer", "name", "modelfile"};
    for (size_t i = 0; i < sizeof none / sizeof *none && !o->merge; i++)
        if (conf_given(conf, none[i]))
            return err_set(e, ERR_USAGE, "--%s has no effect on an adapter, which %s is", none[i],
                           in);
    if (!base)
        return err_set(e, ERR_USAGE, "%s is an adapter: give its base model with --base FILE", in);
    return 0;
}

/* What is opened, the format and the name: m has the adapter and its base. *base: of run's, or
 * --base. */
static int open_adapter(const struct conf *conf, const struct opts *o, struct run_files *run,
                        const char **base, const struct format **f, struct model *m,
                        struct err *e) {
    const char *in = conf->pos[0], *out = conf->pos[1];
    const struct adapter_use use = {
        .weights = DT_F32, .scale = 1, .merge = o->merge, .sets = &o->set, .pool = o->machine.pool};
    int rc;
    *base = o->base;
    if (!o->base) {
        TRY(run_files_find(run, in, NULL, e));
        TRY(run_files_there(run, e));
        *base = run->base;
    }
    TRY(check_adapter_opts(conf, o, in, *base, e));
    TRY(out_format(out, o->to, !o->merge, f, e));
    TRY(out_is_other(out, in, e));
    TRY(out_is_other(out, *base, e));
    TRY(out_free(out, o->overwrite, e));
    TRY(adapter_open(m, *base, in, &use, e));
    if (o->merge) TRY(run_files_tokenizer(run, m, e));
out:
    log_progress_end(o->line);
    return rc;
}

static int convert_adapter(const struct conf *conf, const struct opts *o, struct err *e) {
    const char *in = conf->pos[0], *out = conf->pos[1], *base;
    const struct format *f;
    struct verifier v = {.in = {NULL, in, &o->set},
                         .out = {NULL, NULL, &o->set},
                         .name = out,
                         .line = o->line,
                         .data = &o->data,
                         .machine = &o->machine};
    const struct mf_check check = {verify, &v};
    struct model m = {0};
    struct run_files run = {0};
    int rc;
    TRY(open_adapter(conf, o, &run, &base, &f, &m, e));
    v.in.path = v.out.path = base;
    open_say(&m);
    log_state(o->line, "writing %s", out);
    TRY(adapter_save_checked(&m, out, f->name, NULL, o->verify ? &check : NULL, NULL, e));
    log_progress_end(o->line);
    printf("%s: an adapter as %s\n", out, f->name);
    if (o->verify) verify_print(&v);
out:
    model_close(&m);
    run_files_release(&run);
    return rc;
}

/* Before anything is written. */
static int check_modelfile(const struct conf *conf, const struct opts *o, const struct format *f,
                           struct err *e) {
    int rc = 0;
    if (!o->modelfile) return 0;
    if (strcmp(f->name, "gguf"))
        return err_set(e, ERR_USAGE, "--modelfile is for a GGUF, and %s is of format %s",
                       conf->pos[1], f->name);
    if (!strcmp(o->modelfile, conf->pos[1]))
        return err_set(e, ERR_USAGE, "--modelfile and the model cannot both be %s", o->modelfile);
    TRY(out_spares(o->modelfile, conf->pos[0], e));
    TRY(out_spares(o->modelfile, o->tokenizer, e));
    TRY(out_spares(o->modelfile, o->base, e));
    TRY(out_free(o->modelfile, o->overwrite, e));
    TRY(file_out_check(o->modelfile, e));
out:
    return rc;
}

static int write_modelfile(const struct conf *conf, const struct opts *o, struct err *e) {
    const int rc = o->modelfile ? modelfile_write(o->modelfile, conf->pos[1], e) : 0;
    if (!rc && o->modelfile)
        printf("%s: for `ollama create NAME -f %s`\n", o->modelfile, o->modelfile);
    return rc;
}

/* Base and adapter as one model. */
static int convert_merged(const struct conf *conf, const struct opts *o, struct err *e) {
    const char *in = conf->pos[0], *out = conf->pos[1], *base;
    const struct format *f;
    struct export_report r;
    struct verifier v = {.in = {NULL, in, &o->set},
                         .name = out,
                         .report = &r,
                         .merged = true,
                         .tokenizer = o->tokenizer,
                         .line = o->line, .data = &o->data, .machine = &o->machine};
    const struct mf_check check = {verify, &v};
    const struct export_opts x = {.dtype = dtype_find(o->dtype),
                                  .tokenizer = o->tokenizer,
                                  .name = o->name,
                                  .check = o->verify ? &check : NULL};
    struct model m = {0};
    struct run_files run = {0};
    int rc;
    TRY(open_adapter(conf, o, &run, &base, &f, &m, e));
    v.in.path = base;
    open_say_assumed(&m);
    TRY(check_modelfile(conf, o, f, e));
    log_state(o->line, "writing %s", out);
    TRY(merge_export(&m, o->machine.kern, base, f, out, &x, &r, e));
    log_progress_end(o->line);
    screen_write(stderr, r.text, strlen(r.text));
    printf("%s: %s with %s merged into it, as %s\n", out, base, in, f->name);
    if (o->verify) verify_print(&v);
    TRY(write_modelfile(conf, o, e));
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
    struct verifier v = {
        .in = {in, NULL, &o->set}, .name = out, .report = &r, .tokenizer = o->tokenizer,
        .line = o->line, .data = &o->data, .machine = &o->machine};
    const struct mf_check check = {verify, &v};
    const struct export_opts x = {.dtype = dtype_find(o->dtype),
                                  .tokenizer = o->tokenizer,
                                  .name = o->name,
                                  .sets = &o->set,
                                  .check = o->verify ? &check : NULL};
    int rc;
    if (o->base || o->merge)
        return err_set(e, ERR_USAGE,
                       "--%s is for adapters, and %s is a model: the adapter stands first, its "
                       "model behind --base",
                       o->base ? "base" : "merge", in);
    TRY(out_format(out, o->to, false, &f, e));
    TRY(export_spares(mf, f, out, o->tokenizer, e));
    TRY(out_free(out, o->overwrite, e));
    TRY(check_modelfile(conf, o, f, e));
    log_state(o->line, "writing %s", out);
    TRY(model_export(mf, f, out, &x, &r, e));
    log_progress_end(o->line);
    if (mf->notes) screen_write(stderr, mf->notes, strlen(mf->notes));
    screen_write(stderr, r.text, strlen(r.text));
    printf("%s: %zu tensors as %s\n", out, mf->n_tensors, f->name);
    if (o->verify) verify_print(&v);
    TRY(write_modelfile(conf, o, e));
out:
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done, adapter;
    struct conf conf = {0};
    struct opts o = {0};
    struct model_file mf = {0};
    struct log_progress line = {0};
    TRY(cmd_parse(&cmd_convert, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    TRY(cmd_count("duet convert", &conf, 0, 2, 2, "a model and a name to write", e));
    if (o.data.n && !o.verify) {
        rc = err_set(e, ERR_USAGE, "--data has no effect without --verify");
        goto out;
    }
    TRY(cmd_machine(&o.machine, o.threads, e));
    log_progress_init(&line, o.quiet);
    o.line = &line;
    log_state(&line, "reading %s", conf.pos[0]);
    TRY(model_file_open(&mf, conf.pos[0], true, e));
    mf.pool = o.machine.pool;
    TRY(adapter_probe(&mf, &adapter, e));
    if (adapter) {
        TRY((o.merge ? convert_merged : convert_adapter)(&conf, &o, e));
    } else {
        TRY(model_import_file(&mf, e));
        TRY(convert_model(&conf, &o, &mf, e));
    }
out:
    log_progress_end(&line);
    model_file_close(&mf);
    machine_close(&o.machine);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_convert = {
    .name = "convert",
    .summary = "Write a model or an adapter in another format.",
    .usage = "IN OUT [--to FORMAT] [--dtype TYPE] [--verify]\n"
             "ADAPTER OUT --base MODEL [--merge] [--verify]\n"
             "RUN OUT [--merge] [--verify]",
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
