#include "bench_product.h"

#include <stdlib.h>
#include <string.h>

/* A model's linear layers and classifier. */
struct net {
    int64_t width, kv, hidden, vocab;
};

static int add(struct shape_list *l, const struct shape_set *set, enum product_form form, int64_t m,
               int64_t n, int64_t k, struct err *e) {
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 32;
        struct shape *s = realloc(l->s, cap * sizeof *s);
        if (s) l->s = s;
        const struct shape_set **of = s ? realloc(l->set, cap * sizeof *of) : NULL;
        if (!of) return err_set(e, ERR_NOMEM, "no memory for %zu shapes", cap);
        l->set = of;
        l->cap = cap;
    }
    l->s[l->n] = (struct shape){form, m, n, k};
    l->set[l->n++] = set;
    return 0;
}

/* A layer of `out` rows of `in` weights, in all passes, for so many tokens. */
static int add_layer(struct shape_list *l, const struct shape_set *set, int64_t tokens, int64_t out,
                     int64_t in, struct err *e) {
    int rc;
    TRY(add(l, set, FORM_forward, tokens, out, in, e));
    TRY(add(l, set, FORM_input_grad, tokens, in, out, e));
    TRY(add(l, set, FORM_weight_grad, out, in, tokens, e));
out:
    return rc;
}

/* Query and output, key or value, gate or up, down, and the classifier. */
static int add_net(struct shape_list *l, const struct shape_set *set, const struct net *net,
                   int64_t tokens, struct err *e) {
    int rc;
    TRY(add_layer(l, set, tokens, net->width, net->width, e));
    TRY(add_layer(l, set, tokens, net->kv, net->width, e));
    TRY(add_layer(l, set, tokens, net->hidden, net->width, e));
    TRY(add_layer(l, set, tokens, net->width, net->hidden, e));
    TRY(add_layer(l, set, tokens, net->vocab, net->width, e));
out:
    return rc;
}

static int add_usual(struct shape_list *l, const struct shape_set *set, struct err *e) {
    int rc;
    TRY(add(l, set, FORM_forward, 2048, 2048, 2048, e));
    TRY(add(l, set, FORM_forward, 1024, 512, 512, e));
    TRY(add(l, set, FORM_forward, 1024, 1408, 512, e));
    TRY(add(l, set, FORM_forward, 1024, 512, 1408, e));
    TRY(add(l, set, FORM_input_grad, 1024, 512, 1408, e));
    TRY(add(l, set, FORM_weight_grad, 1408, 512, 1024, e));
    TRY(add(l, set, FORM_forward, 256, 16384, 512, e));
out:
    return rc;
}

static int add_demo(struct shape_list *l, const struct shape_set *set, struct err *e) {
    return add_net(l, set, &(struct net){128, 64, 352, 2048}, 512, e);
}

static int add_w256(struct shape_list *l, const struct shape_set *set, struct err *e) {
    const struct net net = {256, 128, 704, 4096};
    const int rc = add_net(l, set, &net, 512, e);
    return rc ? rc : add_net(l, set, &net, 4096, e);
}

static int add_w384(struct shape_list *l, const struct shape_set *set, struct err *e) {
    const struct net net = {384, 128, 1056, 8192};
    const int rc = add_net(l, set, &net, 512, e);
    return rc ? rc : add_net(l, set, &net, 4096, e);
}

static int add_large(struct shape_list *l, const struct shape_set *set, struct err *e) {
    static const int64_t widths[] = {64, 128, 256, 512, 1024, 2048};
    int rc = 0;
    for (int64_t tokens = 1024; tokens <= 4096; tokens *= 2)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            if (tokens == 2048 || widths[i] == 512 || widths[i] == 1024)
                TRY(add_layer(l, set, tokens, widths[i] * 11 / 4, widths[i], e));
out:
    return rc;
}

static int add_vocab(struct shape_list *l, const struct shape_set *set, struct err *e) {
    int rc = 0;
    for (int64_t words = 512; words <= 131072; words *= 4)
        for (int64_t width = 128; width <= 512; width *= 4)
            TRY(add_layer(l, set, 256, words, width, e));
out:
    return rc;
}

/* In the order of --shapes all. */
static const struct {
    struct shape_set set;
    bool small;
    int (*add)(struct shape_list *l, const struct shape_set *set, struct err *e);
} sets[] = {
    {{"usual", "a large square; 1024 tokens, width 512, hidden 1408; 16,384 words"}, 0, add_usual},
    {{"demo", "512 tokens, width 128, keys 64, hidden 352, 2,048 words"}, 1, add_demo},
    {{"w256", "512 and 4096 tokens, width 256, keys 128, hidden 704, 4,096 words"}, 1, add_w256},
    {{"w384", "512 and 4096 tokens, width 384, keys 128, hidden 1056, 8,192 words"}, 1, add_w384},
    {{"large", "1024 to 4096 tokens, widths 64 to 2048, hidden 11/4 of that"}, 0, add_large},
    {{"vocab", "classifiers: 256 rows, widths 128 and 512, 512 to 131,072 words"}, 0, add_vocab},
};
enum { SETS = sizeof sets / sizeof *sets };
static const struct shape_set given = {NULL, "given"};

void shape_list_help(FILE *out) {
    fprintf(out, "\n--shapes: [FORM:]MxNxK is C (M,N) = A (M,K) B (N,K)'; FORM, how A and B are "
                 "stored:\n  forward, input-grad (B transposed), weight-grad (both). Or a set:\n");
    for (int i = 0; i < SETS; i++) fprintf(out, "  %-8s %s\n", sets[i].set.name, sets[i].set.about);
    fprintf(out, "  %-8s demo, w256 and w384\n  %-8s all of them\n", "small", "all");
}

/* A side at *text, which is moved behind it; 0 if there is none from 1 to 2^24. */
static int64_t side(const char **text) {
    char *end;
    if (**text < '1' || **text > '9') return 0;
    const unsigned long long x = strtoull(*text, &end, 10);
    *text = end;
    return x <= 1 << 24 ? (int64_t)x : 0;
}

static bool read_shape(const char *word, struct shape *s) {
    const char *colon = strchr(word, ':');
    s->form = FORM_forward;
    if (colon) {
        for (s->form = 0; s->form < FORM_COUNT; s->form++) {
            const char *name = shape_form(s);
            if (strlen(name) == (size_t)(colon - word) && !strncmp(word, name, strlen(name))) break;
        }
        if (s->form == FORM_COUNT) return false;
        word = colon + 1;
    }
    return (s->m = side(&word)) && *word++ == 'x' && (s->n = side(&word)) && *word++ == 'x' &&
           (s->k = side(&word)) && !*word;
}

int shape_list_add(struct shape_list *l, const char *word, struct err *e) {
    const bool all = !strcmp(word, "all"), small = !strcmp(word, "small");
    bool found = false;
    struct shape s;
    int rc = 0;
    for (int i = 0; i < SETS; i++) {
        if (!(all || (small && sets[i].small) || !strcmp(word, sets[i].set.name))) continue;
        found = true;
        TRY(sets[i].add(l, &sets[i].set, e));
    }
    if (found) goto out;
    if (!read_shape(word, &s))
        TRY(err_set(e, ERR_USAGE,
                    "--shapes %.80s: expected MxNxK with sides from 1 to 16777216, perhaps after "
                    "forward:, input-grad: or weight-grad:, or one of usual, demo, w256, w384, "
                    "large, vocab, small, all",
                    word));
    TRY(add(l, &given, s.form, s.m, s.n, s.k, e));
out:
    return rc;
}

void shape_list_release(struct shape_list *l) {
    free(l->s);
    free(l->set);
    *l = (struct shape_list){0};
}
