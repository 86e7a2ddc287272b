#include "cmd.h"
#include "format.h"

#include <string.h>

struct opts {
    const char *to;
};

#define X(name) #name " "
static const char words[] = "auto " FORMATS(X);
#undef X

static const struct conf_row rows[] = {
    CONF_CHOICE(
        struct opts, to, "to", "auto", words,
        "format to write; auto: by the name: .blzt is blzt5, .blzt4 is blzt4, .bin is llama2c"),
    CONF_END};

/* The first format whose suffix the name has. */
static int by_name(const char *path, const char **format, struct err *e) {
    const size_t n = strlen(path);
    for (size_t i = 0; i < n_formats; i++) {
        const size_t k = strlen(formats[i]->suffix);
        if (!formats[i]->write || n < k || strcmp(path + n - k, formats[i]->suffix) != 0) continue;
        *format = formats[i]->name;
        return 0;
    }
    return err_set(e, ERR_USAGE,
                   "%s: the name does not tell the format (.blzt, .blzt4, .bin); say it with --to",
                   path);
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct model_file mf = {0};
    TRY(cmd_parse(&cmd_convert, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 2) {
        rc = err_set(e, ERR_USAGE, "convert takes a model file and a file to write, found %d",
                     conf.n_pos);
        goto out;
    }
    const char *format = o.to;
    if (!strcmp(format, "auto")) TRY(by_name(conf.pos[1], &format, e));
    TRY(model_file_open(&mf, conf.pos[0], true, e));
    TRY(model_file_write(&mf, format, conf.pos[1], e));
out:
    model_file_close(&mf);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_convert = {
    .name = "convert",
    .summary = "Write a model file in another format.",
    .usage = "IN OUT [--to FORMAT]",
    .notes = "What the format cannot hold is an error that names the tensor or key; nothing is "
             "dropped in silence,\n"
             "except the tokenizer, which only BLZT v5 holds. The file read is never written to.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
