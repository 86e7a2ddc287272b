#include "cmd.h"
#include "engine.h"
#include "format.h"

#include <stdio.h>
#include <string.h>

const struct cmd *const commands[] = {
#define X(name) &cmd_##name,
    COMMANDS(X)
#undef X
};
const size_t n_commands = sizeof commands / sizeof *commands;

const struct cmd *cmd_find(const char *name) {
    for (size_t i = 0; i < n_commands; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

/* "usage: duet train ...", each form of the command on a line of its own. */
static void print_usage(const struct cmd *c, FILE *out) {
    const char *p = c->usage;
    for (const char *lead = "usage:"; *p; lead = "      ") {
        size_t n = strcspn(p, "\n");
        fprintf(out, "%s duet %s%s%.*s\n", lead, c->name, n ? " " : "", (int)n, p);
        p += n;
        p += *p == '\n';
    }
}

int cmd_parse(const struct cmd *c, struct conf *conf, void *opts, int argc, char **argv, bool *done,
              struct err *e) {
    *done = false;
    int rc = conf_parse(conf, c->rows, opts, argc, argv, e);
    if (rc || !conf->help) return rc;
    *done = true;
    print_usage(c, stdout);
    printf("\n%s\n\n", c->summary);
    const bool all = conf->help_all || !conf_has_short_help(c->rows);
    conf_help(c->rows, all, stdout);
    if (!all) return 0;
    if (c->notes) {
        size_t n = strlen(c->notes);
        printf("\n%s%s", c->notes, n && c->notes[n - 1] == '\n' ? "" : "\n");
    }
    if (c->lists) c->lists(stdout);
    return 0;
}

int cmd_machine(struct machine *m, int64_t threads, struct err *e) {
    return machine_open(m, &(struct machine_opts){.threads = (int)threads}, e);
}

int cmd_count(const char *what, const struct conf *conf, int from, int least, int most,
              const char *needs, struct err *e) {
    const int n = conf->n_pos > from ? conf->n_pos - from : 0;
    const char *const *pos = conf->pos + from;
    char found[240] = "nothing";
    if (n >= least && n <= most) return 0;
    if (n == 1) snprintf(found, sizeof found, "\"%.200s\"", pos[0]);
    if (n == 2) snprintf(found, sizeof found, "\"%.100s\" and \"%.100s\"", pos[0], pos[1]);
    if (n > 2) snprintf(found, sizeof found, "%d names, the last \"%.200s\"", n, pos[n - 1]);
    return err_set(e, ERR_USAGE, "%s takes %s; found %s", what, needs, found);
}

static void item(FILE *out, const char *name, const char *help) {
    fprintf(out, "  %-10s %s\n", name, help);
}

/* What -1 of --lr, --beta1 and --beta2 is. */
static void optimizer(FILE *out, const struct opt_kind *k) {
    fprintf(out, "  %-10s %s; lr %g", k->name, k->help, k->lr);
    if (k->beta1 > 0) fprintf(out, ", beta1 %g", k->beta1);
    if (k->beta2 > 0) fprintf(out, ", beta2 %g", k->beta2);
    fputs(k->matrices_only ? "; for matrices\n" : "\n", out);
}

void cmd_list_training(FILE *out) {
    fputs("\nEngines:\n", out);
#define X(name) item(out, #name, engine_find(#name)->help);
    ENGINES(X)
#undef X
    fputs("\nEstimators (--engine mezo):\n", out);
#define X(name) item(out, #name, zo_find(#name)->help);
    ESTIMATORS(X)
#undef X
    fputs("\nOptimizers:\n", out);
#define X(name) optimizer(out, opt_find(#name));
    OPTIMIZERS(X)
#undef X
    fputs("\nGEMM backends:\n", out);
    for (size_t i = 0; i < n_gemm_backends; i++)
        item(out, gemm_backends[i]->name, gemm_backends[i]->help);
}

void cmd_list_formats(FILE *out) {
    fputs("\nModel formats:\n", out);
    for (size_t i = 0; i < n_formats; i++) item(out, formats[i]->name, formats[i]->help);
}
