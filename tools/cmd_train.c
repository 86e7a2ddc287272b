#include "cmd.h"
#include "trainer.h"

#include <stdlib.h>

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct train_opts o = {0};
    struct train_summary s;
    TRY(cmd_parse(&cmd_train, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos) {
        rc = err_set(e, ERR_USAGE, "train takes no plain arguments, found %s", conf.pos[0]);
        goto out;
    }
    TRY(trainer_run(&o, &conf, &s, NULL, e));
    train_summary_print(&s, o.json, stdout);
out:
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_train = {
    .name = "train",
    .summary = "Train a model, or go on with a run.",
    .usage = "--model FILE --data FILE --tokenizer T (--time SECONDS | --steps N) [--out DIR]\n"
             "--resume DIR",
    .notes = "The folder of a run gets config.json (repeats the run: --config), log.jsonl, "
             "model.blzt, state and\n"
             "summary.json. Ctrl-C saves and stops; a second one kills. With --steps, a run that "
             "was killed and\n"
             "resumed ends with the same weights, bit for bit, as one that was not.\n",
    .lists = cmd_list_training,
    .rows = train_rows,
    .run = run,
};
