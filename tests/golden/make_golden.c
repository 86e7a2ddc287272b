/* Writes the golden values of stories260K, computed by the double-precision reference.
 *
 *   make_golden DATA WINDOWS > tests/golden/stories260k.json
 *
 * DATA holds weights/stories260K and tinystories/train.txt. What is written: two greedy
 * continuations, the log-probabilities of a text sampled from the model itself, and losses on the
 * TinyStories text, cut as the training of the model cut it (stories stripped, BOS before each, one
 * stream; window i predicts tokens 512 i + 1 .. 512 i + 512 from the 512 before them): of the first
 * 8 windows, and the mean over WINDOWS windows spread evenly (the j-th is total * j / WINDOWS). No
 * text of the data set is written. About 12 s and 0.3 s a window.
 *
 * Published for this model (github.com/karpathy/llama2.c, doc/stories260K.md): validation
 * loss 1.2968 and the greedy story that begins "Once upon a time, there was a little girl named
 * Lily." */
#include "ref_llama2c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEQ = 512, GREEDY = 200, SAMPLED = 256, FIRST = 8 };

struct golden {
    struct ref_model model;
    struct ref_spm spm;
    int seq_len;
};

static void *checked(void *p) {
    if (!p) {
        perror("make_golden");
        exit(1);
    }
    return p;
}

/* ---- JSON ---- */

static void print_string(const char *key, const char *s) {
    printf("\"%s\": \"", key);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if (*s == '\n')
            printf("\\n");
        else if ((unsigned char)*s < 0x20)
            printf("\\u%04x", (unsigned char)*s);
        else
            putchar(*s);
    }
    printf("\"");
}

static void print_ids(const char *key, const int32_t *ids, int n) {
    printf("\"%s\": [", key);
    for (int i = 0; i < n; i++) printf("%s%d", !i ? "" : i % 20 ? ", " : ",\n      ", ids[i]);
    printf("]");
}

static void print_doubles(const char *key, const double *v, int n) {
    printf("\"%s\": [", key);
    for (int i = 0; i < n; i++) printf("%s%.9g", !i ? "" : i % 6 ? ", " : ",\n      ", v[i]);
    printf("]");
}

/* ---- continuation ---- */

/* The likeliest next token. *margin becomes its lead over the second in nats if that is smaller. */
static int32_t likeliest(const double *z, int V, double *margin) {
    int best = 0;
    double second = -INFINITY;
    for (int j = 1; j < V; j++)
        if (z[j] > z[best]) {
            second = z[best];
            best = j;
        } else if (z[j] > second)
            second = z[j];
    *margin = fmin(*margin, z[best] - second);
    return best;
}

/* A token drawn from softmax(z) with u in [0,1). */
static int32_t draw(const double *z, int V, double u) {
    double cdf = 0.0;
    for (int j = 0; j < V; j++)
        if ((cdf += exp(ref_logprob(z, V, j, 0.0))) > u) return j;
    return V - 1;
}

static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return (double)(*state >> 11) * 0x1p-53;
}

/* Appends n tokens to the n_ids there are: greedy, or drawn if seed is not NULL. Recomputes the
 * whole sequence for every token. Returns the smallest greedy margin. */
static double extend(const struct golden *g, int32_t *ids, int n_ids, int n, uint64_t *seed) {
    int V = g->model.config.vocab;
    double *z = checked(malloc((size_t)(n_ids + n) * V * sizeof *z)), margin = INFINITY;
    for (int end = n_ids + n; n_ids < end; n_ids++) {
        ref_logits(&g->model, ids, n_ids, z);
        const double *last = z + (size_t)(n_ids - 1) * V;
        ids[n_ids] = seed ? draw(last, V, uniform(seed)) : likeliest(last, V, &margin);
    }
    free(z);
    return margin;
}

static void print_greedy(const struct golden *g, const char *prompt, bool last) {
    int n = (int)strlen(prompt);
    int32_t *ids = checked(calloc((size_t)n + 2 + GREEDY, sizeof *ids));
    ids[0] = REF_SPM_BOS;
    int n_prompt = 1 + ref_spm_encode(&g->spm, prompt, n, ids + 1);
    double margin = extend(g, ids, n_prompt, GREEDY, NULL);
    char *text = ref_spm_decode(&g->spm, ids, n_prompt + GREEDY);
    printf("    {");
    print_string("prompt", prompt);
    printf(",\n     ");
    print_ids("prompt_ids", ids, n_prompt);
    printf(",\n     ");
    print_ids("ids", ids + n_prompt, GREEDY);
    printf(",\n     ");
    print_string("text", text);
    printf(",\n     \"smallest_margin\": %.6g}%s\n", margin, last ? "" : ",");
    free(text);
    free(ids);
}

static void print_scored(const struct golden *g) {
    int32_t ids[SAMPLED + 1] = {REF_SPM_BOS};
    double logprobs[SAMPLED];
    uint64_t seed = 1;
    extend(g, ids, 1, SAMPLED, &seed);
    double loss = ref_score(&g->model, ids, ids + 1, SAMPLED, logprobs);
    char *text = ref_spm_decode(&g->spm, ids, SAMPLED + 1);
    printf("  \"scored\": {\n    ");
    print_string("text", text);
    printf(",\n    ");
    print_ids("ids", ids, SAMPLED + 1);
    printf(",\n    ");
    print_doubles("logprobs", logprobs, SAMPLED);
    printf(",\n    \"mean_loss\": %.9g\n  },\n", loss);
    free(text);
}

/* ---- windows of real text ---- */

static char *read_text(const char *path, size_t *n) {
    FILE *f = checked(fopen(path, "rb"));
    if (fseek(f, 0, SEEK_END)) checked(NULL);
    long size = ftell(f);
    rewind(f);
    char *text = checked(calloc((size_t)size + 1, 1));
    if (fread(text, 1, (size_t)size, f) != (size_t)size) checked(NULL);
    fclose(f);
    *n = (size_t)size;
    return text;
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The stories of text as one stream of tokens; returns their number. ids must hold as many as
 * text has bytes and two more: a mark is longer than the BOS and the blank that a story adds. */
static int encode_stories(const struct ref_spm *spm, char *text, int32_t *ids) {
    static const char mark[] = "<|endoftext|>";
    int n = 0;
    for (char *story = text, *end; *story; story = end) {
        char *cut = strstr(story, mark);
        char *stop = cut ? cut : story + strlen(story);
        end = cut ? cut + strlen(mark) : stop;
        while (story < stop && is_blank(*story)) story++;
        while (stop > story && is_blank(stop[-1])) stop--;
        if (story == stop) continue;
        ids[n++] = REF_SPM_BOS;
        n += ref_spm_encode(spm, story, (int)(stop - story), ids + n);
    }
    return n;
}

static double window_loss(const struct golden *g, const int32_t *ids, int window) {
    const int32_t *in = ids + (size_t)window * SEQ;
    return ref_score(&g->model, in, in + 1, SEQ, NULL);
}

static void print_windows(const struct golden *g, char *text, size_t bytes, int n) {
    int32_t *ids = checked(calloc(bytes + 2, sizeof *ids));
    double first[FIRST], *loss = checked(calloc((size_t)n, sizeof *loss)), sum = 0.0, squares = 0.0;
    int n_ids = encode_stories(&g->spm, text, ids), total = (n_ids - 1) / SEQ;
    if (total < n || total < FIRST) {
        fprintf(stderr, "make_golden: the text has only %d windows\n", total);
        exit(1);
    }
    for (int i = 0; i < n; i++) sum += loss[i] = window_loss(g, ids, (int)((long)total * i / n));
    double mean = sum / n;
    for (int i = 0; i < n; i++) squares += (loss[i] - mean) * (loss[i] - mean);
    for (int i = 0; i < FIRST; i++) first[i] = window_loss(g, ids, i);
    printf("  \"windows\": {\n    \"text\": \"tinystories/train.txt\",\n");
    printf("    \"tokens\": %d,\n    \"seq_len\": %d,\n    \"total\": %d,\n", n_ids, SEQ, total);
    printf("    ");
    print_doubles("first_losses", first, FIRST);
    printf(",\n    \"spread_n\": %d,\n    \"spread_mean_loss\": %.9g,\n", n, mean);
    printf("    \"spread_stderr\": %.3g\n  }\n}\n", n > 1 ? sqrt(squares / (n - 1) / n) : 0.0);
    free(loss);
    free(ids);
}

int main(int argc, char **argv) {
    int n = argc == 3 ? atoi(argv[2]) : 0;
    if (n < 1) {
        fprintf(stderr, "usage: make_golden DATA WINDOWS > stories260k.json\n");
        return 2;
    }
    struct golden g;
    char path[4096];
    snprintf(path, sizeof path, "%s/weights/stories260K/stories260K.bin", argv[1]);
    if (!ref_llama2c_model(&g.model, &g.seq_len, path)) return 1;
    snprintf(path, sizeof path, "%s/weights/stories260K/tok512.bin", argv[1]);
    if (!ref_spm_open(&g.spm, path, g.model.config.vocab)) return 1;
    snprintf(path, sizeof path, "%s/tinystories/train.txt", argv[1]);
    size_t bytes;
    char *text = read_text(path, &bytes);

    printf("{\n  \"model\": \"weights/stories260K/stories260K.bin\",\n");
    printf("  \"made_by\": \"tests/golden/make_golden.c DATA %d\",\n", n);
    printf("  \"params\": %llu,\n", (unsigned long long)ref_param_count(&g.model.config));
    printf("  \"published_val_loss\": 1.2968,\n  \"greedy\": [\n");
    print_greedy(&g, "", false);
    print_greedy(&g, "Once upon a time", true);
    printf("  ],\n");
    print_scored(&g);
    print_windows(&g, text, bytes, n);
    free(text);
    ref_spm_close(&g.spm);
    ref_model_release(&g.model);
    return 0;
}
