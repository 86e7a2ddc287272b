/* What the tests of tasks share: a table from a text, and one of letters, with bytes as tokens. */
#ifndef DUET_TASK_FIXTURE_H
#define DUET_TASK_FIXTURE_H

#include "data.h"
#include "llama_fixture.h"
#include "objective.h"
#include "task.h"
#include "tok_util.h"

#include <unistd.h>

static char path[64];
static struct tokenizer *byte;

static inline int open_bytes(struct task *t, const char *text, size_t n, const char *prompt,
                             const char *labels, int64_t seq, const struct tokenizer *tok) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    const struct task_opts o = {.path = path, .prompt = prompt, .labels = labels, .seq = seq};
    e = (struct err){0};
    const int rc = task_open(t, &o, tok, &e);
    if (rc) {
        assert_int_equal(rc, e.code);
        assert_true(e.msg[0] && !t->ids && !t->words && !t->start);
    }
    return rc;
}

static inline struct task task_of(const char *text, const char *prompt, const char *labels,
                                  int64_t seq, const struct tokenizer *tok) {
    struct task t;
    ok(open_bytes(&t, text, strlen(text), prompt, labels, seq, tok));
    return t;
}

enum { N = 23 };

static inline struct task letters(void) {
    char text[512] = "x\tlabel\n";
    size_t used = strlen(text);
    for (int i = 0; i < N; i++) /* lengths 1 to 5 */
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s%c\t%d\n", i % 5, "----",
                                 'a' + i, i % 3);
    return task_of(text, "{x}", "0,1,2", 0, byte);
}

static inline int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/duet-task-%ld", (long)getpid());
    return tokenizer_open(&byte, "byte", &e);
}

static inline int teardown(void **state) {
    (void)state;
    tokenizer_close(byte);
    unlink(path);
    return 0;
}

#endif
