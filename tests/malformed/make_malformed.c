#include "malformed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what, const char *name) {
    fprintf(stderr, "make_malformed: %s: %s\n", what, name);
    exit(1);
}

void put(struct bytes *b, const void *p, size_t n) {
    if (n > b->cap - b->n) {
        b->cap = 2 * (b->n + n);
        b->p = realloc(b->p, b->cap);
        if (!b->p) die("no memory", "");
    }
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

void put_u8(struct bytes *b, uint8_t v) {
    put(b, &v, sizeof v);
}

void put_u32(struct bytes *b, uint32_t v) {
    put(b, &v, sizeof v);
}

void put_u64(struct bytes *b, uint64_t v) {
    put(b, &v, sizeof v);
}

void put_f32(struct bytes *b, float v) {
    put(b, &v, sizeof v);
}

void put_text(struct bytes *b, const char *s) {
    put(b, s, strlen(s));
}

void put_zeros(struct bytes *b, size_t n) {
    while (n--) put_u8(b, 0);
}

void put_weights(struct bytes *b, size_t n) {
    for (size_t i = 0; i < n; i++) put_f32(b, 0.125f + (float)(i * 37 % 64) / 64);
}

void set_u32(struct bytes *b, size_t at, uint32_t v) {
    if (at + sizeof v > b->n) die("beyond the file", "set_u32");
    memcpy(b->p + at, &v, sizeof v);
}

void bytes_free(struct bytes *b) {
    free(b->p);
    *b = (struct bytes){0};
}

char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at || strstr(at + 1, from)) die("not there exactly once", from);
    const size_t size = strlen(text) + strlen(to) + 1;
    char *s = malloc(size);
    if (!s) die("no memory", from);
    snprintf(s, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return s;
}

char *repeated(const char *before, const char *what, size_t n, const char *after) {
    struct bytes b = {0};
    put_text(&b, before);
    for (size_t i = 0; i < n; i++) put_text(&b, what);
    put_text(&b, after);
    put_u8(&b, 0);
    return (char *)b.p;
}

void write_file(const char *path, const struct bytes *b) {
    const char *slash = strchr(path, '/');
    char folder[256];
    if (slash) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        mkdir(folder, 0777); /* or it is there; then writing says what is wrong */
    }
    FILE *f = fopen(path, "wbx"); /* no two cases have one name */
    if (!f || (b->n && fwrite(b->p, 1, b->n, f) != b->n) || fclose(f)) die("cannot write", path);
}

void write_text(const char *path, const char *text) {
    struct bytes b = {0};
    put_text(&b, text);
    write_file(path, &b);
    bytes_free(&b);
}

void announce(enum verdict v, const char *path, const char *names, const char *label) {
    static const char *const words[] = {"model",     "no_model",     "no_convert", "no_vocab",
                                        "tokenizer", "no_tokenizer", "adapter",    "no_adapter"};
    printf("%s %s %s %s\n", words[v], path, names, label);
}

void emit(enum verdict v, const char *path, struct bytes *b, const char *label) {
    write_file(path, b);
    announce(v, path, "-", label);
    bytes_free(b);
}

int main(int argc, char **argv) {
    if (argc != 2 || chdir(argv[1])) die("no folder", argc > 1 ? argv[1] : "");
    make_gguf();
    make_gguf_numbers();
    make_gguf_text();
    make_hf();
    make_tokenizers();
    make_fixed();
    make_blzt5();
    return fflush(stdout) ? 1 : 0;
}
