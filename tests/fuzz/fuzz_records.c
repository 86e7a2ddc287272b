/* The small text files that a run or an evaluation leaves and a later one reads, from any bytes.
 * The first byte says which: 0 summary.json, 1 the first validation's losses, 2 `eval --exact
 * --out`. What is accepted can be written, and then says the same. */
#include "fuzz.h"

#include "exact.h"
#include "file.h"
#include "trainer.h"
#include "val_change.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64], copy[80];

static void summary(void) {
    struct train_summary s = {0}, back = {0};
    struct err e = {0};
    if (!refused(train_summary_read(&s, path, &e), &e)) {
        char *text = train_summary_json(&s), *ends = train_summary_extend(&s);
        must(text && ends && ends[0] == '[');
        fuzz_put(copy, text, strlen(text));
        must(!train_summary_read(&back, copy, &e));
        char *same = train_summary_json(&back);
        must(back.num_steps == s.num_steps && same && !strcmp(text, same));
        free(same);
        free(ends);
        free(text);
    }
    train_summary_release(&s);
    train_summary_release(&back);
}

static void losses(void) {
    struct val_change v, back;
    struct val_place p = {0}, q = {0};
    struct err e = {0};
    val_change_init(&v);
    val_change_init(&back);
    if (!refused(val_change_load(&v, path, &p, &e), &e)) {
        must(v.n > 0 && p.step >= 0 && p.rollbacks >= 0 && p.key >= 0 && v.step == p.step);
        must(!val_change_save(&v, copy, &p, &e) && !val_change_load(&back, copy, &q, &e));
        must(back.n == v.n && q.step == p.step && q.rollbacks == p.rollbacks && q.key == p.key);
        for (int64_t i = 0; i < v.n; i++) must(isfinite(v.first[i]) && back.first[i] == v.first[i]);
    }
    val_change_release(&v);
    val_change_release(&back);
}

static void exact(void) {
    struct exact_doc docs[2] = {{.bytes = 3, .hash = 0x0123456789abcdef},
                                {.offset = 16, .bytes = 5, .hash = 0xfedcba9876543210}};
    const struct exact_result here = {.docs = docs, .n = 2};
    struct exact_result other, back;
    struct err e = {0};
    struct exact_result any;
    const bool good = !refused(exact_load(&any, path, &e), &e);
    if (good) must(isfinite(exact_total(&any).nats) || any.n > 1); /* a sum may overflow */
    if (good) exact_release(&any);
    if (refused(exact_read(&other, path, &here, &e), &e)) return;
    must(good);
    must(other.n == 2 && !exact_write(&other, copy, &e) && !exact_read(&back, copy, &here, &e));
    for (size_t i = 0; i < 2; i++) {
        must(!memcmp(&back.docs[i], &other.docs[i], sizeof *back.docs));
        must(isfinite(other.docs[i].nats) && other.docs[i].bytes == docs[i].bytes);
    }
    exact_release(&back);
    exact_release(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const kinds[])(void) = {summary, losses, exact};
    if (size < 1 || data[0] > 2) return 0;
    if (!*path) {
        snprintf(path, sizeof path, "/tmp/duet-fuzz-records-%ld", (long)getpid());
        snprintf(copy, sizeof copy, "%s.copy", path);
    }
    fuzz_put(path, data + 1, size - 1);
    kinds[data[0]]();
    unlink(path);
    unlink(copy);
    return 0;
}
