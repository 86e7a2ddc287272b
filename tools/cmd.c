#include "cmd.h"

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
    return 0;
}
