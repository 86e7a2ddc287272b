/* A file of options (`train --config`, the config.json of a run) from any bytes: what is accepted
 * is written as JSON that is accepted again and written the same. */
#include "fuzz.h"

#include "train_opts.h"

#include <stdlib.h>
#include <string.h>

static const struct cpu cpu = {.tier = CPU_generic};

/* A refusal has a code and a sentence. */
static int read_text(struct conf *c, struct train_opts *o, const char *text) {
    struct err e = {0};
    *o = (struct train_opts){0};
    must(!conf_parse(c, train_rows, o, 0, NULL, &e));
    const int rc = conf_read_defaults_text(c, text, "fuzz", &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    return rc;
}

static void again(const struct conf *c, const char *text) {
    struct train_opts o;
    struct conf back;
    must(!read_text(&back, &o, text));
    char *same = conf_to_json(&back, NULL, NULL);
    must(same && !strcmp(text, same));
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++)
        if (r->type != CONF_T_SECTION && !r->internal) must(conf_same(c, &back, r));
    free(same);
    conf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct train_opts o;
    struct train_setup s;
    struct conf c;
    struct err e = {0};
    char *text = malloc(size + 1);
    must(text != NULL);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    if (!read_text(&c, &o, text)) {
        char *json = conf_to_json(&c, NULL, NULL), *moved = conf_to_json(&c, "/a/b", NULL);
        must(json && moved);
        again(&c, json);
        const int rc = train_setup_make(&s, &o, &cpu, &e);
        must(rc == 0 || (rc == e.code && e.msg[0]));
        if (!rc) train_opts_resolve(&o, &s);
        free(json);
        free(moved);
    }
    conf_release(&c);
    free(text);
    return 0;
}
