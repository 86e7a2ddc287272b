/* duet info: what a file or folder is. */
#include "cmd.h"
#include "describe.h"
#include "facts.h"
#include "run_list.h"

#include <stdio.h>

struct opts {
    bool tensors, verify, all, json;
};

static const struct conf_row rows[] = {
    CONF_BOOL(struct opts, tensors, "tensors", "list every tensor of a model"),
    CONF_BOOL(struct opts, verify, "verify",
              "check everything: checksums, token ranges, that every weight is finite"),
    CONF_BOOL(struct opts, all, "all", "of a run's options those at their defaults too"),
    CONF_BOOL(struct opts, json, "json", "print the result as one JSON object"),
    CONF_END,
};

static void print_tensors(const json_t *list) {
    size_t i;
    const json_t *v;
    json_array_foreach((json_t *)(uintptr_t)list, i, v) {
        const json_t *shape = json_object_get(v, "shape");
        char dims[48];
        snprintf(dims, sizeof dims, "%lld",
                 (long long)json_integer_value(json_array_get(shape, 0)));
        if (json_array_size(shape) == 2)
            snprintf(dims, sizeof dims, "%lld x %lld",
                     (long long)json_integer_value(json_array_get(shape, 0)),
                     (long long)json_integer_value(json_array_get(shape, 1)));
        printf("    %-52s %-5s %-15s offset %lld\n", json_string_value(json_object_get(v, "name")),
               json_string_value(json_object_get(v, "dtype")), dims,
               (long long)json_integer_value(json_object_get(v, "offset")));
    }
}

/* Of many options the few that were given or decided. */
static void leave_out_defaults(json_t *options) {
    const char *key;
    json_t *v;
    void *next;
    char text[64];
    int n = 0;
    json_object_foreach_safe(options, next, key, v) {
        if (!run_option_is_default(key, v)) continue;
        json_object_del(options, key);
        n++;
    }
    snprintf(text, sizeof text, "%d options, shown with --all", n);
    if (n) facts_text(options, "at_defaults", text);
}

static void print_text(const char *path, json_t *o, bool all) {
    json_t *in = json_object_get(o, "weights"), *holder = in ? in : o;
    json_t *list = json_incref(json_object_get(holder, "tensor_list"));
    json_object_del(holder, "tensor_list");
    /* Of a run `info` of its model has it; what an adapter's says is said. */
    if (in || json_object_get(o, "rank"))
        json_object_del(holder, "config");
    if (!all) leave_out_defaults(json_object_get(o, "options"));
    facts_print(path, o, stdout);
    if (list) print_tensors(list);
    json_decref(list);
}

static int run(int argc, char **argv, struct err *e) {
    struct conf conf = {0};
    struct opts opt;
    json_t *o = json_object();
    bool done;
    int rc;
    TRY(cmd_parse(&cmd_info, &conf, &opt, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 1) {
        rc = err_set(e, ERR_USAGE,
                     "duet info takes one FILE or folder, found %d; see duet info --help",
                     conf.n_pos);
        goto out;
    }
    const struct describe_opts d = {.tensors = opt.tensors, .verify = opt.verify};
    TRY(describe(o, conf.pos[0], &d, e));
    if (opt.json) {
        facts_text(o, "file", conf.pos[0]);
        facts_print_json(o, stdout);
    } else {
        print_text(conf.pos[0], o, opt.all);
    }
out:
    json_decref(o);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_info = {
    .name = "info",
    .summary = "Say what a model, run, or any other file of duet's is.",
    .usage = "FILE [--tensors] [--verify] [--all] [--json]",
    .notes = "FILE is a model, adapter or tokenizer of any readable format; the folder of a run, "
             "one of its\n"
             "checkpoints, or a file in it (log, summary, options, state, trajectory, what it "
             "began from); a\n"
             "token shard; a model's description; a text. Of a run's options those that are not at "
             "their defaults\n"
             "are shown; --all and --json have the others too.\n",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
