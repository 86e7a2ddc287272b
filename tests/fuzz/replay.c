/* Runs a fuzz target over files and over every prefix of small ones, without a fuzzer:
 * replay DIR-OR-FILE... Any crash is the failure; the count shows that something was read. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL = 4096, MAX = 16 << 20 };

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    uint8_t *data = malloc(MAX);
    const size_t n = data ? fread(data, 1, MAX, f) : 0;
    fclose(f);
    int runs = 0;
    for (size_t cut = n <= SMALL ? 0 : n; cut <= n; cut++, runs++) {
        /* An exact copy, so that reading past the end is seen by a memory checker. */
        uint8_t *copy = malloc(cut + !cut);
        if (!copy) abort();
        memcpy(copy, data, cut);
        LLVMFuzzerTestOneInput(copy, cut);
        free(copy);
    }
    free(data);
    return runs;
}

static int replay(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return 0;
    if (!S_ISDIR(st.st_mode)) return replay_file(path);
    int runs = 0;
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) {
        char name[4096];
        if (x->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", path, x->d_name);
        runs += replay_file(name);
    }
    if (d) closedir(d);
    return runs;
}

int main(int argc, char **argv) {
    int runs = 0;
    for (int i = 1; i < argc; i++) runs += replay(argv[i]);
    printf("%d inputs\n", runs);
    return runs ? 0 : 1;
}
