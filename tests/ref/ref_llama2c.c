#include "ref_llama2c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fail(FILE *f, const char *path, const char *what) {
    fprintf(stderr, "reference: %s: %s\n", path, what);
    if (f) fclose(f);
    return false;
}

/* ---- model ---- */

static bool read_doubles(FILE *f, double *dst, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float v;
        if (fread(&v, sizeof v, 1, f) != 1) return false;
        dst[i] = v;
    }
    return true;
}

/* A (heads * hd, cols) matrix whose row 2i of a head is row i of the split halves, and whose row
 * 2i + 1 is row i + hd/2. */
static bool read_pairs(FILE *f, double *dst, int heads, int hd, int cols) {
    for (int h = 0; h < heads; h++)
        for (int r = 0; r < hd; r++) {
            int row = h * hd + r / 2 + (r % 2) * (hd / 2);
            if (!read_doubles(f, dst + (size_t)row * cols, (size_t)cols)) return false;
        }
    return true;
}

static bool read_weights(FILE *f, struct ref_model *m, int seq_len) {
    const struct ref_config *c = &m->config;
    size_t dim = (size_t)c->dim, ffn = dim * (size_t)c->hidden, vocab = dim * (size_t)c->vocab;
    size_t q = dim * (size_t)c->heads * c->head_dim, kv = dim * (size_t)c->kv_heads * c->head_dim;
    struct ref_layer *begin = m->layers, *end = begin + c->layers, *L;
    bool ok = read_doubles(f, m->embed, vocab);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->input_layernorm, dim);
    for (L = begin; ok && L < end; L++) ok = read_pairs(f, L->q, c->heads, c->head_dim, c->dim);
    for (L = begin; ok && L < end; L++) ok = read_pairs(f, L->k, c->kv_heads, c->head_dim, c->dim);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->v, kv);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->o, q);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->post_attention_layernorm, dim);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->gate, ffn);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->down, ffn);
    for (L = begin; ok && L < end; L++) ok = read_doubles(f, L->up, ffn);
    ok = ok && read_doubles(f, m->norm, dim);
    long tables = (long)seq_len * c->head_dim * (long)sizeof(float);
    ok = ok && fseek(f, tables, SEEK_CUR) == 0;
    if (!c->tied) ok = ok && read_doubles(f, m->lm_head, vocab);
    long here = ok ? ftell(f) : -1;
    return ok && fseek(f, 0, SEEK_END) == 0 && ftell(f) == here;
}

bool ref_llama2c_model(struct ref_model *m, int *seq_len, const char *path) {
    FILE *f = fopen(path, "rb");
    int32_t h[7]; /* dim, hidden, layers, heads, kv_heads, +-vocab, seq_len */
    if (!f) return fail(f, path, "cannot be opened");
    if (fread(h, sizeof h, 1, f) != 1) return fail(f, path, "no header of 7 integers");
    for (int i = 0; i < 7; i++)
        if (h[i] > 1 << 20 || h[i] < (i == 5 ? -(1 << 20) : 1) || h[i] == 0)
            return fail(f, path, "a size in the header is out of range");
    if (h[0] % h[3] || h[3] % h[4] || h[0] / h[3] % 2)
        return fail(f, path, "dim, heads and kv_heads in the header do not divide");
    struct ref_config c = {.dim = h[0],
                           .hidden = h[1],
                           .layers = h[2],
                           .heads = h[3],
                           .kv_heads = h[4],
                           .head_dim = h[0] / h[3],
                           .vocab = abs(h[5]),
                           .rope_theta = 1e4,
                           .eps = 1e-5,
                           .tied = h[5] > 0,
                           .residual_scale = 1.0};
    *seq_len = h[6];
    if (fseek(f, 0, SEEK_END) != 0 || (uint64_t)ftell(f) / sizeof(float) < ref_param_count(&c))
        return fail(f, path, "shorter than its header says");
    fseek(f, sizeof h, SEEK_SET);
    ref_model_init(m, &c);
    if (!read_weights(f, m, *seq_len)) {
        ref_model_release(m);
        return fail(f, path, "its size is not what its header says");
    }
    fclose(f);
    return true;
}

/* ---- tokenizer ---- */

/* A piece of text that need not end in NUL. */
struct span {
    const char *text;
    size_t n;
};

static int compare(struct span a, struct span b) {
    int by_bytes = memcmp(a.text, b.text, a.n < b.n ? a.n : b.n);
    return by_bytes ? by_bytes : (a.n > b.n) - (a.n < b.n);
}

static struct span piece_span(const struct ref_spm *s, int id) {
    return (struct span){s->piece[id], strlen(s->piece[id])};
}

static int find(const struct ref_spm *s, struct span key) {
    int low = 0, high = s->n_order;
    while (low < high) {
        int mid = (low + high) / 2, by = compare(key, piece_span(s, s->order[mid]));
        if (by == 0) return s->order[mid];
        if (by < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return -1;
}

/* Insertion keeps `order` sorted; vocabularies of the golden programs are small. */
static void insert(struct ref_spm *s, int id) {
    int at = s->n_order++;
    while (at > 0 && compare(piece_span(s, id), piece_span(s, s->order[at - 1])) < 0) {
        s->order[at] = s->order[at - 1];
        at--;
    }
    s->order[at] = id;
}

bool ref_spm_open(struct ref_spm *s, const char *path, int vocab) {
    FILE *f = fopen(path, "rb");
    int32_t n;
    if (!f) return fail(f, path, "cannot be opened");
    *s = (struct ref_spm){.vocab = vocab};
    s->piece = calloc((size_t)vocab, sizeof *s->piece);
    s->score = calloc((size_t)vocab, sizeof *s->score);
    s->order = calloc((size_t)vocab, sizeof *s->order);
    if (!s->piece || !s->score || !s->order) abort();
    bool ok = fread(&n, sizeof n, 1, f) == 1;
    for (int id = 0; ok && id < vocab; id++) {
        ok = fread(&s->score[id], sizeof(float), 1, f) == 1 && fread(&n, sizeof n, 1, f) == 1 &&
             n >= 0 && n < 1 << 16;
        if (!ok) break;
        s->piece[id] = calloc((size_t)n + 1, 1);
        if (!s->piece[id]) abort();
        ok = fread(s->piece[id], 1, (size_t)n, f) == (size_t)n;
        if (ok && id >= REF_SPM_TEXT) insert(s, id);
    }
    if (!ok || fgetc(f) != EOF) {
        ref_spm_close(s);
        return fail(f, path, "does not hold exactly the pieces of its vocabulary");
    }
    fclose(f);
    return true;
}

void ref_spm_close(struct ref_spm *s) {
    for (int id = 0; s->piece && id < s->vocab; id++) free(s->piece[id]);
    free(s->piece);
    free(s->score);
    free(s->order);
    *s = (struct ref_spm){0};
}

/* Bytes of the UTF-8 character at text: a byte and the continuation bytes after it, 4 at most. */
static size_t char_bytes(const char *text, size_t left) {
    size_t n = 1;
    while (n < left && n < 4 && ((unsigned char)text[n] & 0xC0) == 0x80) n++;
    return n;
}

/* Neighbouring symbols are neighbours in the text, so the union of two is one span. */
static int find_union(const struct ref_spm *s, struct span a, struct span b) {
    return find(s, (struct span){a.text, a.n + b.n});
}

/* Joins the best pairs of n symbols; returns how many are left. */
static size_t merge(const struct ref_spm *s, struct span *sym, size_t n) {
    int *pair = calloc(n, sizeof *pair); /* id of sym[i] joined with sym[i + 1], or -1 */
    if (!pair) abort();
    for (size_t i = 0; i + 1 < n; i++) pair[i] = find_union(s, sym[i], sym[i + 1]);
    while (n > 1) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (pair[i] >= 0 && (best == n || s->score[pair[i]] > s->score[pair[best]])) best = i;
        if (best == n) break;
        sym[best].n += sym[best + 1].n;
        n--;
        memmove(sym + best + 1, sym + best + 2, (n - best - 1) * sizeof *sym);
        memmove(pair + best, pair + best + 1, (n - best) * sizeof *pair);
        if (best > 0) pair[best - 1] = find_union(s, sym[best - 1], sym[best]);
        pair[best] = best + 1 < n ? find_union(s, sym[best], sym[best + 1]) : -1;
    }
    free(pair);
    return n;
}

int ref_spm_encode(const struct ref_spm *s, const char *text, int n, int32_t *ids) {
    if (n <= 0) return 0;
    size_t bytes = (size_t)n + 1, n_sym = 0;
    char *blanked = malloc(bytes);
    struct span *sym = calloc(bytes, sizeof *sym);
    if (!blanked || !sym) abort();
    blanked[0] = ' ';
    memcpy(blanked + 1, text, (size_t)n);
    for (size_t at = 0; at < bytes; at += sym[n_sym++].n)
        sym[n_sym] = (struct span){blanked + at, char_bytes(blanked + at, bytes - at)};
    n_sym = merge(s, sym, n_sym);

    int n_ids = 0;
    for (size_t i = 0; i < n_sym; i++) {
        int id = find(s, sym[i]);
        if (id >= 0)
            ids[n_ids++] = id;
        else
            for (size_t b = 0; b < sym[i].n; b++)
                ids[n_ids++] = REF_SPM_BYTE + (unsigned char)sym[i].text[b];
    }
    free(sym);
    free(blanked);
    return n_ids;
}

char *ref_spm_decode(const struct ref_spm *s, const int32_t *ids, int n) {
    size_t room = 1, used = 0;
    for (int i = 0; i < n; i++) room += strlen(s->piece[ids[i]]) + 1;
    char *text = calloc(room, 1);
    if (!text) abort();
    for (int i = 0; i < n; i++) {
        if (ids[i] == REF_SPM_BOS) continue;
        if (ids[i] >= REF_SPM_BYTE && ids[i] < REF_SPM_TEXT) {
            text[used++] = (char)(ids[i] - REF_SPM_BYTE);
            continue;
        }
        const char *piece = s->piece[ids[i]];
        if (i > 0 && ids[i - 1] == REF_SPM_BOS && piece[0] == ' ') piece++;
        size_t len = strlen(piece);
        memcpy(text + used, piece, len);
        used += len;
    }
    text[used] = 0;
    return text;
}
