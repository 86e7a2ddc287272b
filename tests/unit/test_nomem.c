/* The library without memory: each call of the public header with the n-th allocation failing, for
 * every n. It returns a code and a sentence, leaks nothing, and works the next time. Arguments: a
 * model, an adapter for it, a model with a tokenizer.json of its own. */
#include "duet.h"
#include "nomem_fixture.h"

#include <stdio.h>
#include <string.h>

/* ---- what is done ---------------------------------------------------------------------------- */

static const char *model, *adapter, *other;
static const char text[] = "Once upon a time, there was a cat. It sat on a mat.";

/* What came out, to be the same whenever it succeeds. */
struct outcome {
    char bytes[8192];
    size_t n;
};

static void add(struct outcome *o, const void *p, size_t n) {
    if (o->n + n > sizeof o->bytes) n = sizeof o->bytes - o->n;
    memcpy(o->bytes + o->n, p, n);
    o->n += n;
}

static int open_and_close(const char *path, const char *with, const char *tokenizer,
                          struct outcome *o, duet_error *err) {
    duet_model *m;
    const int rc = with ? duet_open_adapter(&m, path, with, tokenizer, err)
                        : duet_open(&m, path, tokenizer, err);
    if (rc) return rc;
    const int64_t n[2] = {duet_vocab_size(m), duet_param_count(m)};
    add(o, n, sizeof n);
    duet_close(&m);
    return 0;
}

static int open_model(struct outcome *o, duet_error *err) {
    return open_and_close(model, NULL, NULL, o, err);
}

static int open_other(struct outcome *o, duet_error *err) {
    return open_and_close(other, NULL, NULL, o, err);
}

static int open_adapter(struct outcome *o, duet_error *err) {
    return open_and_close(model, adapter, "byte", o, err);
}

static int open_run(struct outcome *o, duet_error *err) {
    char run[128];
    snprintf(run, sizeof run, "%.*s", (int)(strrchr(adapter, '/') - adapter), adapter);
    return open_and_close(run, NULL, NULL, o, err);
}

static duet_model *m; /* open, for what follows */

static int encode(struct outcome *o, duet_error *err) {
    uint32_t *ids;
    size_t n, bytes;
    char *back;
    int rc = duet_encode(m, text, strlen(text), &ids, &n, err);
    if (rc) return rc;
    add(o, ids, n * sizeof *ids);
    rc = duet_decode(m, ids, n, &back, &bytes, err);
    if (!rc) add(o, back, bytes);
    if (!rc) duet_free(back);
    duet_free(ids);
    return rc;
}

static int score(struct outcome *o, duet_error *err) {
    uint32_t ids[60];
    float nll[59];
    for (uint32_t i = 0; i < 60; i++) ids[i] = i * 3 % 250;
    const int rc = duet_score(m, ids, 60, nll, err);
    if (!rc) add(o, nll, sizeof nll);
    return rc;
}

static int piece(void *ctx, const char *bytes, size_t n) {
    add(ctx, bytes, n);
    return 0;
}

/* Text that came before the failure does not count. */
static int generate(struct outcome *o, duet_error *err) {
    duet_sampling s = duet_default_sampling();
    s.max_tokens = 6;
    s.temperature = 3;
    const int rc = duet_generate(m, text, &s, piece, o, err);
    if (rc) o->n = 0;
    return rc;
}

static int convert(struct outcome *o, duet_error *err) {
    (void)o;
    static const char *const set[] = {"rope_theta=5000", "rms_norm_eps=1e-4", NULL};
    const duet_conversion how = {.dtype = "bf16", .set = set};
    char *notes;
    const int rc = duet_convert_with(model, "nomem.gguf", "gguf", &how, &notes, err);
    duet_free(notes);
    return rc;
}

static const struct step {
    const char *name;
    int (*run)(struct outcome *o, duet_error *err);
} steps[] = {{"open", open_model},           {"open with a tokenizer.json", open_other},
             {"open_adapter", open_adapter}, {"open a LoRA run", open_run},
             {"encode and decode", encode},  {"score", score},
             {"generate", generate},         {"convert", convert}};

/* ---- every n --------------------------------------------------------------------------------- */

static int failed;

static void complain(const struct step *s, long n, const char *what, const char *more) {
    if (failed++ < 20) printf("# %s, allocation %ld: %s %s\n", s->name, n, what, more);
}

/* What the library sets aside for the next time is whole again. */
static void settle(void) {
    duet_model *none;
    duet_open(&none, "/nonexistent", NULL, NULL);
}

static int attempt(const struct step *s, long n, struct outcome *o, duet_error *err) {
    *o = (struct outcome){.n = 0};
    *err = (duet_error){.code = 0};
    atomic_store(&until, n);
    const int rc = s->run(o, err);
    atomic_store(&until, -1);
    settle();
    return rc;
}

/* Returns how many allocations failed in turn. */
static long every(const struct step *s) {
    struct outcome want, o;
    duet_error err;
    for (int i = 0; i < 2; i++) /* what is made once for the whole process is made */
        if (attempt(s, -1, &want, &err)) complain(s, -1, "does not work at all:", err.msg);
    const long before = atomic_load(&calls);
    attempt(s, -1, &want, &err);
    const long all = atomic_load(&calls) - before;
    long tried = 0;
    for (long n = 0; n < all; n += 1 + n / 400, tried++) { /* the first all, then fewer and fewer */
        const long alive = atomic_load(&live);
        const int rc = attempt(s, n, &o, &err);
        if (atomic_load(&live) != alive) complain(s, n, "leaks", err.msg);
        if (rc && !err.msg[0]) complain(s, n, "says nothing", "");
        if (rc && rc != err.code) complain(s, n, "returns another code than it fills in", "");
        if (rc && rc != DUET_ERR_NOMEM) complain(s, n, "is not out of memory:", err.msg);
        if (!rc && (o.n != want.n || memcmp(o.bytes, want.bytes, o.n)))
            complain(s, n, "succeeds with another result", "");
    }
    if (attempt(s, -1, &o, &err) || o.n != want.n || memcmp(o.bytes, want.bytes, o.n))
        complain(s, all, "does not work any more:", err.msg);
    return tried;
}

int main(int argc, char **argv) {
    duet_error err;
    if (argc != 4) return 2;
    model = argv[1], adapter = argv[2], other = argv[3];
    printf("1..%zu\n", sizeof steps / sizeof *steps);
    if (!COUNTED) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
            printf("ok %zu - %s # SKIP another allocator counts here\n", i + 1, steps[i].name);
        return 0;
    }
    duet_set_threads(1);
    if (duet_open(&m, model, NULL, &err)) {
        printf("Bail out! %s\n", err.msg);
        return 1;
    }
    int bad = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const int before = failed;
        const long tried = every(steps + i);
        const bool ok = failed == before && tried > 0;
        bad += !ok;
        printf("%sok %zu - %s without memory, %ld times\n", ok ? "" : "not ", i + 1, steps[i].name,
               tried);
    }
    duet_close(&m);
    return bad > 0;
}
