/* GGUF models, vocabularies and adapters from any bytes; what is accepted is also written. */
#include "fuzz_model.h"

static bool lies_in(struct vocab_text t, const char *begin, size_t n) {
    return begin && t.s >= begin && t.s <= begin + n && t.n <= (size_t)(begin + n - t.s);
}

/* Texts lie within the file, or are names of empty tokens. */
static void check_vocab(const struct model_file *mf) {
    const struct vocab *v = mf->vocab;
    const char *file = (const char *)mf->map.data;
    for (uint32_t i = 0; v && i < v->n; i++)
        if (!v->tokens[i].n || (!lies_in(v->tokens[i], file, mf->map.size) &&
                                !lies_in(v->tokens[i], v->text, v->text_n)))
            abort();
    for (size_t i = 0; v && i < v->n_merges; i++)
        if (!lies_in(v->merges[i], file, mf->map.size)) abort();
}

static void write_again(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    struct file_map map = {.data = copy, .size = size, .path = strdup("fuzz")};
    struct model_file mf;
    struct err e = {0};
    if (!copy || !map.path) abort();
    if (size) memcpy(copy, data, size);
    if (model_file_open_map(&mf, &map, true, &e) != 0) return;
    check_vocab(&mf);
    if (model_file_write(&mf, "gguf", "/dev/null", &e) != 0 && (e.code == 0 || !e.msg[0])) abort();
    model_file_close(&mf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_open(data, size, true);
    write_again(data, size);
    return 0;
}
