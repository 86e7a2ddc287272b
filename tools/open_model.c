#include "open_model.h"

#include "config_refuse.h"
#include "run_start.h"
#include "screen.h"
#include "train_opts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void open_say_assumed(const struct model *m) {
    if (m->config.assumed) fprintf(stderr, "%s\n", m->config.assumed);
    if (m->notes) screen_write(stderr, m->notes, strlen(m->notes));
}

void open_say(const struct model *m) {
    char text[600];
    open_say_assumed(m);
    if (!config_unknown_note(m->config.json, text, sizeof text)) return;
    screen_write(stderr, text, strlen(text));
    fputc('\n', stderr);
}

int open_check_length(const struct model *m, int64_t tokens, const char *path, struct err *e) {
    const int64_t all = model_config_context(&m->config);
    const int rc = config_check_length(&m->config, tokens, path, e);
    if (!rc && tokens > all)
        fprintf(stderr,
                "%s: sequences of %lld tokens, the model is made for %lld; it has not learned the "
                "positions beyond\n",
                path, (long long)tokens, (long long)all);
    return rc;
}

int open_model(struct model *m, const char *path, const struct open_opts *o,
               const struct conf_pairs *sets, const struct conf *conf, struct pool *pool,
               struct err *e) {
    int rc;
    struct run_files f;
    static const char *const only[] = {"adapter-scale", "lora-mode"};
    TRY(run_files_find(&f, path, o->adapter, e));
    for (size_t i = 0; i < sizeof only / sizeof *only; i++)
        if (!f.adapter && conf_given(conf, only[i])) {
            rc = err_set(e, ERR_USAGE, "--%s has no effect without --adapter", only[i]);
            goto out;
        }
    const struct adapter_use use = {.weights = (enum dtype)dtype_find(o->weights),
                                    .scale = o->adapter_scale,
                                    .merge = !strcmp(o->lora_mode, "merge"),
                                    .sets = sets,
                                    .pool = pool};
    TRY(run_files_open(&f, m, &use, e));
    open_say(m);
out:
    run_files_release(&f);
    return rc;
}

int open_machine(struct machine *m, const struct open_machine *o, struct err *e) {
    const struct machine_opts mo = {
        .threads = (int)o->threads, .gemm = o->gemm, .compute = o->compute};
    const int rc = machine_open(m, &mo, e);
    if (!rc && !o->quiet && !strcmp(o->compute, "auto"))
        fprintf(stderr, "computing in %s (%s)\n",
                dtype_row(m->gemm[GEMM_WEIGHTS].compute)->name,
                m->gemm[GEMM_WEIGHTS].backend->name);
    return rc;
}
