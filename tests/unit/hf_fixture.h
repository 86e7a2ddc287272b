/* What the tests of Hugging Face's formats share: folders, files of weights made from any header,
 * and a reader of such headers that has nothing in common with duet's. */
#ifndef DUET_HF_FIXTURE_H
#define DUET_HF_FIXTURE_H

#include "model_fixture.h"

/* dir/folder/name, in one of a few buffers. */
static inline const char *in(const char *folder, const char *name) {
    static char path[8][192];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s/%s", dir, folder, name);
    return path[turn];
}

static inline void put(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static inline void put_text(const char *folder, const char *name, const char *text) {
    mkdir(at(folder), 0777);
    put(in(folder, name), text, strlen(text));
}

/* A file with this header and so many bytes 1, 2, 3, ...; malloc()ed. */
static inline uint8_t *weights_file(const char *header, size_t data_bytes, size_t *size) {
    const uint64_t n = strlen(header);
    uint8_t *file = malloc(8 + n + data_bytes);
    memcpy(file, &n, 8);
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) file[8 + n + i] = (uint8_t)(i + 1);
    *size = 8 + n + data_bytes;
    return file;
}

static inline void put_weights(const char *folder, const char *name, const char *header,
                               size_t data_bytes) {
    size_t n;
    uint8_t *file = weights_file(header, data_bytes, &n);
    mkdir(at(folder), 0777);
    put(in(folder, name), file, n);
    free(file);
}

static inline bool there(const char *folder, const char *name) {
    return access(in(folder, name), F_OK) == 0;
}

/* ---- the other reader: a cursor over the text of a header that duet wrote ---- */

struct header_tensor {
    char name[160], dtype[8];
    unsigned long long shape[2], begin, end;
    int ndim;
};

static inline bool eat(const char **p, const char *text) {
    const size_t n = strlen(text);
    if (strncmp(*p, text, n) != 0) return false;
    *p += n;
    return true;
}

static inline void eat_text(const char **p, char *to, size_t size) {
    size_t n = 0;
    assert_true(eat(p, "\""));
    while (**p != '"') {
        assert_true(n + 1 < size && **p && **p != '\\');
        to[n++] = *(*p)++;
    }
    to[n] = 0;
    assert_true(eat(p, "\""));
}

static inline unsigned long long eat_number(const char **p) {
    char *end;
    const unsigned long long x = strtoull(*p, &end, 10);
    assert_true(end > *p && **p != '-' && **p != '+');
    *p = end;
    return x;
}

static inline void eat_tensor(const char **p, struct header_tensor *t) {
    *t = (struct header_tensor){0};
    eat_text(p, t->name, sizeof t->name);
    assert_true(eat(p, ":{\"dtype\":"));
    eat_text(p, t->dtype, sizeof t->dtype);
    assert_true(eat(p, ",\"shape\":["));
    do {
        assert_true(t->ndim < 2);
        t->shape[t->ndim++] = eat_number(p);
    } while (eat(p, ","));
    assert_true(eat(p, "],\"data_offsets\":["));
    t->begin = eat_number(p);
    assert_true(eat(p, ","));
    t->end = eat_number(p);
    assert_true(eat(p, "]}"));
}

static inline int type_order(const char *dtype) {
    return !strcmp(dtype, "F32") ? 2 : !strcmp(dtype, "BF16") ? 1 : 0;
}

/* Reads the header of a file that duet wrote, checks all that a reader may rely on, and compares
 * every tensor with that of mf called the same behind the first `skip` bytes. Number of tensors. */
static inline size_t check_weights(const char *path, const char *meta, const struct model_file *mf,
                                   size_t skip) {
    size_t size, n_tensors = 0;
    uint8_t *file = slurp(path, &size);
    uint64_t n;
    memcpy(&n, file, 8);
    assert_true(n % 8 == 0 && n < size - 8);
    char *header = strndup((char *)file + 8, (size_t)n);
    const char *p = header;
    struct header_tensor t, before = {.end = 0};
    assert_true(eat(&p, "{\"__metadata__\":"));
    assert_true(eat(&p, meta));
    while (eat(&p, ",")) {
        eat_tensor(&p, &t);
        assert_int_equal(t.begin, before.end);
        if (n_tensors++) {
            const int order = type_order(before.dtype) - type_order(t.dtype);
            assert_true(order > 0 || (order == 0 && strcmp(before.name, t.name) < 0));
        }
        before = t;
        const struct mf_tensor *x = model_file_find(mf, t.name + skip);
        assert_non_null(x);
        assert_int_equal(x->ndim, t.ndim);
        assert_true(x->shape[0] == t.shape[0] && (t.ndim == 1 || x->shape[1] == t.shape[1]));
        const size_t bytes = dtype_bytes(x->dtype, (size_t)mf_tensor_count(x));
        assert_int_equal(t.end - t.begin, bytes);
        assert_memory_equal(file + 8 + n + t.begin, x->data, bytes);
    }
    assert_true(eat(&p, "}"));
    assert_int_equal(strspn(p, " "), strlen(p));
    assert_int_equal(8 + n + before.end, size);
    free(header);
    free(file);
    return n_tensors;
}

/* Opening dir/folder fails with a sentence that says this. */
static inline void assert_folder_refused(const char *folder, const char *because) {
    struct model_file mf;
    const int rc = model_file_open(&mf, at(folder), true, &e);
    if (rc != ERR_INPUT || !strstr(e.msg, because))
        fail_msg("%s: expected ERR_INPUT and \"%s\", got %d and \"%s\"", folder, because, rc,
                 rc ? e.msg : "");
    assert_null(mf.tensors);
}

#endif
