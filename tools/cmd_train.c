#include "cmd.h"
#include "screen.h"
#include "trainer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A path as a word of a shell. */
static void print_word(const char *path) {
    if (!path[strspn(path,
                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-")]) {
        screen_write(stderr, path, strlen(path));
        return;
    }
    fputc('\'', stderr);
    for (const char *p = path; *p; p++) {
        const size_t n = strcspn(p, "'");
        screen_write(stderr, p, n);
        p += n;
        if (!*p) break;
        fputs("'\\''", stderr);
    }
    fputc('\'', stderr);
}

/* What is saved, and what can be done with it: by commands that there are. */
static void say_next(const struct train_end *end) {
    static const struct {
        const char *command, *rest;
        int task; /* 1: of tasks only; -1: not of tasks */
    } rows[] = {{"generate", " \"TEXT\"", -1},
                {"eval", " --data FILE", -1},
                {"eval", " --task FILE", 1},
                {"plot", " -o loss.svg", 0}};
    if (!end->saved) return;
    fputs("saved ", stderr);
    screen_write(stderr, end->saved, strlen(end->saved));
    const char *lead = "\nnext: ";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!cmd_find(rows[i].command) || rows[i].task == (end->task ? -1 : 1)) continue;
        fprintf(stderr, "%sduet %s ", lead, rows[i].command);
        print_word(end->dir);
        fputs(rows[i].rest, stderr);
        lead = "\n      ";
    }
    fputc('\n', stderr);
}

/* What who runs many trainings must tell from other failures has an exit status of its own. */
static int code_of(int rc, const struct train_end *end) {
    static const int codes[] = {[TRAIN_REFUSED] = CMD_REFUSED,
                                [TRAIN_NO_MEMORY] = CMD_NO_MEMORY,
                                [TRAIN_DIVERGED] = CMD_DIVERGED};
    return rc && end->failure != TRAIN_OTHER ? codes[end->failure] : rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct train_opts o = {0};
    struct train_summary s = {0};
    struct train_end end = {0};
    TRY(cmd_parse(&cmd_train, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos) {
        rc = err_set(e, ERR_USAGE, "train takes no plain arguments, found %s", conf.pos[0]);
        goto out;
    }
    signal(SIGPIPE, SIG_IGN); /* whose progress nobody reads any more loses its lines only */
    rc = trainer_run(&o, &conf, &s, &end, e);
    if (!rc) train_summary_print(&s, o.json, stdout);
    if (!rc && fflush(stdout) && errno == EPIPE && !freopen("/dev/null", "w", stdout))
        rc = err_errno(e, ERR_IO, "/dev/null");
    if ((!rc || rc == ERR_STOP) && !o.quiet) say_next(&end);
    rc = code_of(rc, &end);
out:
    train_end_release(&end);
    train_summary_release(&s);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_train = {
    .name = "train",
    .summary = "Train a model, or go on with a run.",
    .usage = "--model FILE --data FILE --tokenizer T (--time S | --steps N | ...) [--out DIR]\n"
             "--resume DIR",
    .notes = "The folder of a run gets config.json (repeats the run: --config), log.jsonl, "
             "start.blzt,\n"
             "model.blzt, state, with --val-every best.blzt (the best by validation), and "
             "summary.json.\n"
             "With --steps, a run that was killed and resumed ends with the same weights, bit for "
             "bit, as one\n"
             "that was not. With --time the clock decides; it is on record, and\n"
             "--config RUN/config.json --clock RUN/clock repeats the run bit for bit. Of the files "
             "outside, a\n"
             "resumed run needs only shards, tables and the base of LoRA, unchanged.\n\n"
             "Ctrl-C, SIGTERM and SIGHUP drop the unfinished update, save and stop; SIGUSR1 saves "
             "and goes on.\n"
             "Time in which the process is stopped or frozen is not charged to --time. An update "
             "that the end of\n"
             "--time finds unfinished is finished if that takes at most a tenth of --time longer, "
             "else dropped.\n"
             "Exit status: 4 if the memory that the run plans is not there, 5 if memory ran out, 6 "
             "if it diverged.\n"
             "\nWhich engine: backprop wherever it fits, with --lora or --recompute if need be "
             "(duet plan says what\n"
             "it takes): it learns many times more from the same seconds. --lora where the model "
             "is large, the\n"
             "text small, or the result is to be a small file. --engine mezo where backpropagation "
             "does not fit,\n"
             "since it takes the memory of inference; for --objective accuracy and f1, which have "
             "no gradient; or\n"
             "for a run that others replay from a few kilobytes. Leave out --estimator, --eps and "
             "--lr: the rate\n"
             "is measured at the start. Validation says how far the loss has come since the first "
             "one, on the\n"
             "same windows, and warns where it rose.\n",
    .lists = cmd_list_training,
    .rows = train_rows,
    .run = run,
};
