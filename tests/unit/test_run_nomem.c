/* A run without memory: opened, trained, validated, saved and restored with the n-th allocation
 * failing, for every n. It returns ERR_NOMEM and a sentence, or what it returns with memory, and
 * leaks nothing. */
#include "nomem_fixture.h"

#include "jsonmem.h"
#include "model.h"
#include "run.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 2, LEN = 4, VOCAB = 20 };

static void stream(void *ctx, uint64_t row, struct engine_batch *out) {
    (void)ctx;
    for (uint64_t i = 0; i < BATCH * LEN; i++) {
        out->input[i] = (uint32_t)((row * LEN + i * 7) % VOCAB);
        out->target[i] = (uint32_t)((row * LEN + i * 7 + 1) % VOCAB);
    }
}

static struct machine machine;
static struct model model;
static char dir[] = "/tmp/duet-nomem-XXXXXX", weights[64], state[64];

static int make_model(struct err *e) {
    static const char text[] =
        "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":6,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
        "\"vocab_size\":20,\"max_position_embeddings\":16,\"rms_norm_eps\":1e-5,"
        "\"rope_theta\":10000,\"tie_word_embeddings\":true}";
    int rc;
    struct model_config c;
    TRY(model_config_parse(&c, text, strlen(text), "nomem", NULL, e));
    TRY(model_create(&model, &c, e));
    TRY(model_reserve(&model, e));
    TRY(model_init(&model, 1, e));
out:
    return rc;
}

/* Those of an update, without it. */
static int passes(struct run *r, struct err *e) {
    static const uint64_t seed[BATCH] = {1, 2};
    float coef[BATCH];
    double loss;
    const struct engine_probe p = {.n = BATCH, .seed = seed, .eps = 1e-3, .coef = coef};
    return r->opts.engine->backward ? run_gradient(r, &loss, e) : run_probe(r, &p, &loss, e);
}

/* From the same weights each time. */
static int train(const char *engine, struct err *e) {
    int rc;
    struct run *r = NULL;
    struct engine_memory memory;
    const bool zo = strcmp(engine, "mezo") == 0;
    const struct run_pair pair = {.weights = weights, .state = state};
    const struct run_opts o = {
        .engine = engine_find(engine),
        .engine_opts = {.batch = BATCH,
                        .seq = LEN,
                        .machine = &machine,
                        .hyper = opt_hyper_of(opt_find(zo ? "sgd" : "adamw")),
                        .estimator = zo ? zo_find("grzo") : NULL,
                        .eps = 1e-3,
                        .seed = 1,
                        .max_accum = 1},
        .accum = 1,
        .lr = 1e-6,
        .find_lr = zo,
        .sched = {.kind = SCHED_constant},
        .data = {.fill = stream}};
    TRY(run_plan(&memory, o.engine, &model, &o.engine_opts, 0, e));
    TRY(run_plan_fits(&memory, &machine, "this run", NULL, e));
    TRY(run_open(&r, &model, &o, NULL, NULL, e));
    TRY(run_find_rate(r, e));
    TRY(passes(r, e));
    TRY(run_step(r, e));
    TRY(run_snapshot(r, &pair, e));
    TRY(run_step(r, e));
    TRY(run_restore(r, &pair, e));
    if (r->p.step != 1) rc = err_set(e, ERR_INPUT, "restored at step %lld", (long long)r->p.step);
out:
    run_close(r);
    return rc;
}

static int attempt(const char *engine, long n, struct err *e) {
    *e = (struct err){0};
    jsonmem_ready();
    jsonmem_starved();
    atomic_store(&until, n);
    const int rc = train(engine, e);
    atomic_store(&until, -1);
    jsonmem_ready(); /* what it sets aside is whole again */
    free(model.init_path); /* of the pair that was restored, if it was */
    model.init_path = NULL;
    /* Whose JSON ran out of memory hears of a text that is none (duet.c). */
    return rc && jsonmem_starved() ? e->code = ERR_NOMEM : rc;
}

/* Returns how often something was wrong. */
static int every(const char *engine, long *tried) {
    struct err e;
    int bad = 0;
    for (int i = 0; i < 2; i++) /* what is made once for the whole process is made */
        if (attempt(engine, -1, &e)) return printf("# %s: %s\n", engine, e.msg);
    const long before = atomic_load(&calls);
    attempt(engine, -1, &e);
    const long all = atomic_load(&calls) - before;
    *tried = 0; /* the first all, then fewer and fewer */
    for (long n = 0; n < all && bad < 20; n += 1 + n / 400, ++*tried) {
        const long alive = atomic_load(&live);
        const int rc = attempt(engine, n, &e);
        const char *what = atomic_load(&live) != alive    ? "leaks"
                           : rc && rc != ERR_NOMEM        ? "is not out of memory"
                           : rc && (rc != e.code || !*e.msg) ? "says nothing"
                                                          : NULL;
        if (what && ++bad) printf("# %s, allocation %ld: %s: %s\n", engine, n, what, e.msg);
    }
    if (attempt(engine, -1, &e) && ++bad) printf("# %s: then %s\n", engine, e.msg);
    return bad;
}

int main(void) {
    static const char *const engines[] = {"backprop", "mezo"};
    int bad = 0;
    struct err e;
    char command[80];
    if (!COUNTED) return 77;
    if (!mkdtemp(dir)) return 1;
    snprintf(weights, sizeof weights, "%s/weights.blzt", dir);
    snprintf(state, sizeof state, "%s/state", dir);
    if (machine_open(&machine, &(struct machine_opts){.threads = 1, .gemm = "native"}, &e) ||
        make_model(&e)) {
        printf("# %s\n", e.msg);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        long tried = 0;
        const int wrong = every(engines[i], &tried);
        bad += wrong || !tried;
        printf("%s: %d wrong of %ld\n", engines[i], wrong, tried);
    }
    model_close(&model);
    machine_close(&machine);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) || bad ? 1 : 0;
}
