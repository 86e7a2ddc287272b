/* A task from any bytes: the first line is the limit on tokens (its first byte) and the template,
 * the second the label words, the rest the table. */
#include "fuzz.h"

#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tokenizer *tok;
static char path[64];

static void open_once(void) {
    struct err e;
    if (tok) return;
    snprintf(path, sizeof path, "/tmp/duet-fuzz-task-%ld", (long)getpid());
    must(!tokenizer_open(&tok, "byte", &e));
}

/* The next line as a string; NUL bytes end it early. */
static char *line_of(const uint8_t **data, size_t *size) {
    const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
    const size_t n = end ? (size_t)(end - *data) : *size;
    char *s = malloc(n + 1);
    must(s != NULL);
    if (n) memcpy(s, *data, n);
    s[n] = '\0';
    *data += n + (end != NULL);
    *size -= n + (end != NULL);
    return s;
}

static void use(struct task *t) {
    uint32_t *input = malloc((size_t)t->T * sizeof *input);
    int32_t pos, label;
    must(input && t->n > 0 && t->T > 0 && t->T <= t->max_len);
    must(t->n_labels >= 2 && t->n_labels <= CHOICE_MAX);
    for (int64_t i = 0; i < t->n; i++) {
        task_fill(t, 1, (uint64_t)i, 1, t->T, input, &pos, &label);
        must(pos >= 0 && pos < t->T && label >= 0 && label < t->n_labels);
    }
    free(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct task t;
    if (size < 1) return 0;
    open_once();
    const int64_t seq = data[0] % 64;
    data++, size--;
    char *prompt = line_of(&data, &size), *labels = line_of(&data, &size);
    fuzz_put(path, data, size);
    const struct task_opts o = {.path = path, .prompt = prompt, .labels = labels, .seq = seq};
    const int rc = task_open(&t, &o, tok, &e);
    must(rc == 0 || (rc == e.code && e.msg[0]));
    if (!rc) use(&t);
    task_close(&t);
    unlink(path);
    free(prompt);
    free(labels);
    return 0;
}
