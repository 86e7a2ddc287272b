#include "size_class.h"

#include "model_shipped.h"
#include "run_plan.h"
#include "train_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct size_shape size_shapes[] = {
    {.name = "demo", .options = "--model demo", .batch = 2, .seq = 256, .accum = 1,
     .share_f32 = 0.70, .share_bf16 = NAN},
    {.name = "autoresearch", .options = "--model autoresearch --set vocab_size=16893", .batch = 8,
     .seq = 128, .accum = 1, .share_f32 = 0.91, .share_bf16 = 0.72},
    {.name = "SmolLM2-135M", .options = "--model smollm2_135m", .batch = 4, .seq = 256, .accum = 1,
     .share_f32 = 0.91, .share_bf16 = 0.74},
};
const int n_size_shapes = sizeof size_shapes / sizeof *size_shapes;

/* Shares are those of measured shapes of nearly this width: 4 layers of 256 and 6 of 384 in 16 x
 * 256 tokens, autoresearch (512), SmolLM2-135M (576). */
const struct size_shape size_classes[] = {
    {.name = "Base", .memory = "8-16 GB", .depth = 4, .batch = 4, .seq = 1024, .accum = 1,
     .share_f32 = 0.86, .share_bf16 = NAN},
    {.name = "Pro", .memory = "18-36 GB", .depth = 6, .batch = 8, .seq = 1024, .accum = 1,
     .share_f32 = 0.89, .share_bf16 = NAN},
    {.name = "Max", .memory = "36-128 GB", .depth = 8, .batch = 16, .seq = 1024, .accum = 2,
     .share_f32 = 0.91, .share_bf16 = 0.72},
    {.name = "Ultra", .memory = "64-192 GB", .depth = 10, .batch = 32, .seq = 1024, .accum = 2,
     .share_f32 = 0.91, .share_bf16 = 0.74},
};
const int n_size_classes = sizeof size_classes / sizeof *size_classes;

/* SwiGLU's three matrices of 8/3 of the width are as many weights as two of 4 times it. */
static int class_options(const struct size_shape *s, char *text) {
    const int dim = (64 * s->depth + 127) / 128 * 128, heads = dim / 128;
    return snprintf(text, SIZE_TEXT,
                    "--model demo --set num_hidden_layers=%d --set hidden_size=%d "
                    "--set intermediate_size=%d --set num_attention_heads=%d "
                    "--set num_key_value_heads=%d --set head_dim=128 --set vocab_size=8192 "
                    "--set max_position_embeddings=%lld --set tie_word_embeddings=false "
                    "--set duet.value_embeds=true --set duet.qk_norm=true "
                    "--set duet.logit_softcap=15",
                    s->depth, dim, (8 * dim / 3 + 31) / 32 * 32, heads, heads, (long long)s->seq);
}

const char *size_options(const struct size_shape *s, char text[SIZE_TEXT]) {
    int n = s->depth ? class_options(s, text) : snprintf(text, SIZE_TEXT, "%s", s->options);
    n += snprintf(text + n, (size_t)(SIZE_TEXT - n), " --batch %lld --seq %lld",
                  (long long)s->batch, (long long)s->seq);
    if (s->accum > 1)
        snprintf(text + n, (size_t)(SIZE_TEXT - n), " --accum %lld", (long long)s->accum);
    return text;
}

/* Reads the options as `duet train` would, so that what is printed is what was planned. */
static int read_options(struct train_opts *o, struct conf *conf, char *text, struct err *e) {
    char *word[SIZE_OPTIONS], *rest = text;
    static char steps[] = "--steps=1";
    int n = 0;
    word[n++] = steps; /* some end */
    for (char *w; (w = strsep(&rest, " ")) && n < SIZE_OPTIONS;) word[n++] = w;
    return conf_parse(conf, train_rows, o, n, word, e);
}

int size_plan(const struct size_shape *s, const struct machine *m, struct size_need *need,
              struct err *e) {
    int rc;
    char text[SIZE_TEXT], *found = NULL;
    struct conf conf = {0};
    struct train_opts o;
    struct train_setup setup;
    struct train_files files = {0};
    struct model model = {0};
    struct engine_memory memory;
    size_options(s, text);
    TRY(read_options(&o, &conf, text, e));
    TRY(model_shipped_find(&o.model, &found, e));
    TRY(train_setup_make(&setup, &o, &m->cpu, e));
    TRY(train_model_create(&model, &o, &files, 0, e));
    TRY(train_model_shape(&model, &setup, NULL, 0, e));
    const struct engine_opts engine = train_engine_opts(&setup, &o, m, o.seq);
    TRY(run_plan(&memory, setup.engine, &model, &engine, o.seq, e));
    *need = (struct size_need){
        .params = model_param_count(&model),
        .tokens = o.batch * o.seq * o.accum,
        .layers = model.config.layers,
        .dim = model.config.dim,
        .flops = setup.engine->flops(&engine, &model.graph) * (double)o.accum,
        .bytes = memory.total,
    };
out:
    model_close(&model);
    train_files_close(&files);
    conf_release(&conf);
    free(found);
    return rc;
}

double size_rate(const struct size_shape *s, double peak_f32, double peak_bf16) {
    const double f32 = s->share_f32 * peak_f32, bf16 = s->share_bf16 * peak_bf16;
    return fmax(f32 > 0 ? f32 : 0, bf16 > 0 ? bf16 : 0);
}

int class_judge(struct class_fit *fit, int n, size_t have, int threads) {
    int best = -1;
    for (int i = 0; i < n; i++) {
        struct class_fit *f = fit + i;
        f->updates = f->rate > 0 ? CLASS_SECONDS * 1e9 * f->rate / f->need.flops : 0;
        f->threads =
            f->updates > 0 ? (int)fmin(ceil(threads * CLASS_UPDATES / f->updates), 1e6) : 0;
        f->fits = !have || f->need.bytes <= have;
        f->fast = f->updates >= CLASS_UPDATES;
        if (f->fits && f->fast) best = i;
    }
    return best;
}
