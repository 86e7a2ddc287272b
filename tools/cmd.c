#include "cmd.h"
#include "engine.h"
#include "format.h"

#include <stdio.h>
#include <string.h>

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
    conf_help(c->rows, stdout);
    if (c->notes) {
        size_t n = strlen(c->notes);
        printf("\n%s%s", c->notes, n && c->notes[n - 1] == '\n' ? "" : "\n");
    }
    if (c->lists) c->lists(stdout);
    return 0;
}

static void item(FILE *out, const char *name, const char *help) {
    fprintf(out, "  %-10s %s\n", name, help);
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
#define X(name) item(out, #name, opt_find(#name)->help);
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
