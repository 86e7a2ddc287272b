/* The `state` file of a run from any bytes; the first byte says whether its footer's checksum is
 * put right, which no fuzzer would guess. */
#include "fuzz.h"

#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static struct model model;
static struct engine engine;
static struct machine gemm;
static char path[64];

static void open_once(void) {
    static const char text[] =
        "{\"hidden_size\": 8, \"intermediate_size\": 8, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 2, \"vocab_size\": 16}";
    struct err e;
    struct model_config c;
    if (engine.kind) return;
    snprintf(path, sizeof path, "/tmp/duet-fuzz-state-%ld", (long)getpid());
    must(!machine_open(&gemm, &(struct machine_opts){.threads = 1}, &e));
    must(!model_config_parse(&c, text, strlen(text), "fuzz", NULL, &e) &&
         !model_create(&model, &c, &e));
    must(!model_reserve(&model, &e) && !model_init(&model, 1, &e));
    const struct engine_opts o = {
        .batch = 1, .seq = 4, .machine = &gemm, .hyper = opt_hyper_of(opt_find("adamw"))};
    must(!engine_open(&engine, engine_find("backprop"), &model, &o, &e));
}

static uint64_t get(const uint8_t *at) {
    uint64_t x = 0;
    for (int i = 0; i < 8; i++) x |= (uint64_t)at[i] << (8 * i);
    return x;
}

static void repair(uint8_t *file, size_t size) {
    if (size < 40) return;
    const uint64_t at = get(file + 16), n = get(file + 24);
    if (at > size || n > size - at) return;
    const uint64_t hash = XXH3_64bits(file + at, (size_t)n);
    for (int i = 0; i < 8; i++) file[32 + i] = (uint8_t)(hash >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct progress p;
    uint64_t hash;
    if (size < 1) return 0;
    open_once();
    uint8_t *file = malloc(size);
    must(file != NULL);
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1) repair(file, size - 1);
    fuzz_put(path, file, size - 1);
    const int rc = state_read(path, &engine, &p, &hash, &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (!rc) must(p.step >= 0 && p.rows >= 0 && p.tokens >= 0 && engine.opt.t >= 0);
    free(file);
    unlink(path);
    return 0;
}
