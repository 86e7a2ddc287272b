/* The predecessors' stream of signs, for comparison with them (--rng compat): one sequential
 * xoshiro256+ generator a direction walks all trainable tensors in their order, the low four bits
 * of each output giving four signs, and a tensor's last elements one output each. Their rotary rows
 * stand as interleaved pairs, so rows of q and k are visited in that order. */
#include "zo.h"

#include "rng.h"

#include <stdlib.h>
#include <string.h>

struct stream {
    uint64_t s[4];
};

/* xoshiro256+ (Blackman & Vigna): the state transition of xoshiro256++, another output. */
static uint64_t next(struct stream *r) {
    uint64_t *s = r->s, out = s[0] + s[3], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return out;
}

/* Their order within a layer; adapters come first there, and norms after them. */
static int rank_in_layer(const char *name, bool lora) {
    static const char *const full[] = {"input_layernorm", "q_proj",    "k_proj",
                                       "v_proj",          "o_proj",    "post_attention_layernorm",
                                       "gate_proj",       "down_proj", "up_proj"};
    static const char *const split[] = {
        "q_proj.lora_A",    "q_proj.lora_B",    "k_proj.lora_A",    "k_proj.lora_B",
        "v_proj.lora_A",    "v_proj.lora_B",    "o_proj.lora_A",    "o_proj.lora_B",
        "gate_proj.lora_A", "gate_proj.lora_B", "down_proj.lora_A", "down_proj.lora_B",
        "up_proj.lora_A",   "up_proj.lora_B",   "input_layernorm",  "post_attention_layernorm"};
    const char *const *list = lora ? split : full;
    const int n = lora ? sizeof split / sizeof *split : sizeof full / sizeof *full;
    for (int i = 0; i < n; i++)
        if (strstr(name, list[i])) return i;
    return n; /* biases and QK norms: they had none */
}

static int by_place(const void *a, const void *b) {
    const struct zo_place *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    if (x->rank != y->rank) return x->rank - y->rank;
    return x->index - y->index;
}

static struct zo_place place_of(const struct param *p, int index, bool lora) {
    const char *at = strstr(p->name, "layers.");
    if (at) return (struct zo_place){strtol(at + 7, NULL, 10), rank_in_layer(p->name, lora), index};
    /* Embedding first, final norm last, an untied classifier after it. */
    const long layer = strstr(p->name, "embed_tokens") ? -1 : 1L << 30;
    return (struct zo_place){layer, p->role == ROLE_embed, index};
}

/* Head dimension of rotary rows, or 0: q and k projections and their B. */
static int64_t rotary(const struct zo_bits *b, const struct param *p) {
    if (p->role != ROLE_matrix && p->role != ROLE_lora) return 0;
    if (strstr(p->name, "lora_A")) return 0;
    return strstr(p->name, "q_proj") || strstr(p->name, "k_proj") ? b->head_dim : 0;
}

/* Row of the tensor that stands at row r of theirs. */
static int64_t stored_row(int64_t r, int64_t head_dim) {
    if (!head_dim) return r;
    const int64_t i = r % head_dim;
    return r - i + (i % 2 ? head_dim / 2 : 0) + i / 2;
}

static void put(uint64_t *words, const struct param *p, int64_t head_dim, int64_t i, bool plus) {
    const int64_t row = stored_row(i / p->cols, head_dim), col = i % p->cols;
    const int64_t at = row * perturb_blocks(p->cols) * SIGN_BLOCK + col;
    words[at / 64] |= (uint64_t)plus << (at % 64);
}

static void fill_param(struct stream *r, uint64_t *words, const struct param *p, int64_t head_dim) {
    const int64_t n = param_count(p);
    int64_t i = 0;
    memset(words, 0, (size_t)(p->rows * perturb_blocks(p->cols)) * SIGN_WORDS * sizeof *words);
    for (; i + 4 <= n; i += 4) {
        const uint64_t x = next(r);
        for (int k = 0; k < 4; k++) put(words, p, head_dim, i + k, x >> k & 1);
    }
    for (; i < n; i++) put(words, p, head_dim, i, next(r) & 1);
}

/* The trainable parameters in their order; b->order has room for all. */
static void find_order(struct zo_bits *b) {
    bool lora = false;
    for (int i = 0; i < b->n_params; i++) lora = lora || b->params[i].role == ROLE_lora;
    for (int i = 0; i < b->n_params; i++)
        if (b->params[i].trainable) b->order[b->n_order++] = place_of(b->params + i, i, lora);
    qsort(b->order, (size_t)b->n_order, sizeof *b->order, by_place);
}

int zo_bits_open(struct zo_bits *b, const struct param *params, int n, int64_t head_dim,
                 struct err *e) {
    size_t words = 1, at = 0;
    *b = (struct zo_bits){.params = params, .n_params = n, .head_dim = head_dim};
    for (int i = 0; i < n; i++)
        if (params[i].trainable)
            words += (size_t)(params[i].rows * perturb_blocks(params[i].cols)) * SIGN_WORDS;
    b->table = calloc((size_t)n + 1, sizeof *b->table);
    b->order = calloc((size_t)n + 1, sizeof *b->order);
    b->words = malloc(words * sizeof *b->words);
    if (!b->table || !b->order || !b->words) {
        zo_bits_close(b);
        return err_set(e, ERR_NOMEM, "out of memory for the signs of --rng compat");
    }
    for (int i = 0; i < n; i++) {
        if (!params[i].trainable) continue;
        b->table[i] = b->words + at;
        at += (size_t)(params[i].rows * perturb_blocks(params[i].cols)) * SIGN_WORDS;
    }
    find_order(b);
    return 0;
}

void zo_bits_close(struct zo_bits *b) {
    free((void *)b->table);
    free(b->order);
    free(b->words);
    *b = (struct zo_bits){0};
}

void zo_bits_fill(struct zo_bits *b, uint64_t seed) {
    struct stream r;
    for (int i = 0; i < 4; i++) r.s[i] = rng_splitmix(&seed);
    for (int i = 0; i < b->n_order; i++) {
        const int index = b->order[i].index;
        fill_param(&r, b->words + (b->table[index] - b->words), b->params + index,
                   rotary(b, b->params + index));
    }
}
