/* An adapter file from any bytes, loaded into a model that has LoRA attached. The first byte says
 * whether the size and the checksum of its header are put right, which no fuzzer would guess. */
#include "fuzz.h"

#include "adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static struct model model;
static char path[64];

static void open_once(void) {
    static const char text[] =
        "{\"hidden_size\": 4, \"intermediate_size\": 4, \"num_hidden_layers\": "
        "1, \"num_attention_heads\": 1, \"vocab_size\": 4}";
    static const struct lora_opts o = {
        .rank = 1, .alpha = 2, .norms = true, .targets = "k,down", .init = "peft"};
    struct err e;
    struct model_config c;
    if (model.params) return;
    snprintf(path, sizeof path, "/tmp/duet-fuzz-adapter-%ld", (long)getpid());
    must(!model_config_parse(&c, text, strlen(text), "fuzz", NULL, &e));
    must(!model_create(&model, &c, &e) && !lora_attach(&model, &o, &e));
    must(!model_reserve(&model, &e) && !model_init(&model, 1, &e));
    model.lora->base_hash = 0x0123456789abcdef; /* what the seeds say */
}

static void repair(uint8_t *file, size_t size) {
    static const uint8_t magic[8] = {0x54, 0x5a, 0x4c, 0x42, 5, 0, 0, 0};
    uint64_t header, total = size;
    if (size < 32 || memcmp(file, magic, sizeof magic) != 0) return;
    memcpy(file + 24, &total, sizeof total);
    memcpy(&header, file + 8, sizeof header);
    if (header > size - 32) return;
    const uint64_t xxh3 = XXH3_64bits(file + 32, (size_t)header);
    memcpy(file + 16, &xxh3, sizeof xxh3);
}

/* What is refused has changed nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct adapter_info a;
    if (size < 1) return 0;
    open_once();
    uint8_t *file = malloc(size);
    must(file != NULL);
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1) repair(file, size - 1);
    fuzz_put(path, file, size - 1);
    if (!adapter_info_read(&a, path, &e)) {
        must(a.rank > 0 && a.alpha > 0 && memchr(a.targets, 0, sizeof a.targets) &&
             memchr(a.init, 0, sizeof a.init) && memchr(a.model_type, 0, sizeof a.model_type));
        adapter_info_release(&a);
    }
    float *last = model.params[model.n_params - 1].data;
    *last = 42;
    const int rc = adapter_load_values(&model, path, &e);
    must(rc == 0 || (rc == e.code && e.msg[0] && *last == 42));
    free(file);
    unlink(path);
    return 0;
}
